"""Compiles native functions, without a cache."""

from collections.abc import Callable
from typing import Any

from neuromorph.host.exclusive import exclusive
from neuromorph.jit.calling import callers
from neuromorph.jit.compiling import compiled
from neuromorph.jit.linking import linked


def compiled_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """A native function as machine code, with all that it calls."""
    name = function.__name__
    with exclusive():
        made = compiled(function, [function])
        found: Callable[..., Any] = getattr(linked([made.data, callers([made.native], [name])], [name]), name)
    return found
