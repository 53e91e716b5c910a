"""A lock under which all work of Numba and LLVM is done: one thread at a time, no fork, no signal handler."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from .forks import new_lock
from .interrupts import held

_lock = new_lock(first=True)


@contextmanager
def exclusive() -> Iterator[None]:
    """One thread at a time, no fork, and in the main thread no signal handler inside the block.

    Numba is imported, compiles and loads inside such blocks only. Its locks and those of LLVM would stay locked in a
    child that is forked meanwhile. An exception of a signal handler inside a function that LLVM calls back would crash
    the process or be lost. A signal that comes while this thread waits for another one's block is handled at once.

    Only Numba may be called inside. A library with locks and fork hooks of its own may wait for a fork that waits for
    this block.
    """
    with _lock, held():
        yield


def imported(name: str) -> Any:
    """A module, imported without a fork or a signal handler in between. A child could never import what another thread
    was importing, and Numba can't be imported again once an exception has ended that half-way."""
    with exclusive():
        return import_module(name)
