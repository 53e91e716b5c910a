"""Parses Python's own syntax, in several threads at once too.

CPython before 3.11.8 counts the depth of a tree in one place for all threads, and raises SystemError where two of them
mix up the count (CPython issue 106905). The tree itself is right when it is made again.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import partial
from typing import Any

_TRIES = 100


def parsed_expression(text: str) -> ast.expr:
    """The tree of an expression."""
    found: ast.Expression = _tried(partial(ast.parse, text, mode="eval"))
    return found.body


def parsed_module(text: str) -> ast.Module:
    """The tree of a file."""
    found: ast.Module = _tried(partial(ast.parse, text))
    return found


def _tried(parse: Callable[[], Any]) -> Any:
    for _ in range(_TRIES):
        try:
            return parse()
        except SystemError:
            continue
    return parse()
