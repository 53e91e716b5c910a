"""The lock for all work of Numba and LLVM: only one thread at a time, no fork, no signal handler."""

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
    """Run the block in one thread at a time, without a fork and, in the main thread, without signal handlers.

    Numba is imported, compiles and loads inside such blocks only. Without this lock, a child that is forked meanwhile
    would inherit locks of Numba and LLVM that stay locked. An exception from a signal handler inside a function that
    LLVM calls back would crash the process or be lost. A signal that comes while this thread waits for another thread's
    block is handled at once.

    Only Numba may be called inside. A library with locks and fork hooks of its own may wait for a fork that waits for
    this block.
    """
    with _lock, held():
        yield


def imported(name: str) -> Any:
    """A module, imported without a fork or a signal handler in between.

    A forked child could never import a module that another thread was importing. And Numba can't be imported again
    after an exception has interrupted its import.
    """
    with exclusive():
        return import_module(name)
