"""Kernels as plain Python, which take no time to compile."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from helpers.witnesses import jit_disabled

_COMPILED = "neuromorph_kernel_"  # what the names of compiled modules begin with


@contextmanager
def plain_kernels() -> Iterator[None]:
    """A block in which kernels run as plain Python. Compiled ones are back afterwards, and plain ones forgotten."""
    compiled = {name: module for name, module in sys.modules.items() if name.startswith(_COMPILED)}
    for name in compiled:
        del sys.modules[name]
    try:
        with jit_disabled():
            yield
    finally:
        for name in [name for name in sys.modules if name.startswith(_COMPILED)]:
            del sys.modules[name]
        sys.modules.update(compiled)
