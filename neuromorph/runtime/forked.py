"""Repairs networks in a forked child, where the threads that used them in the parent do not exist."""

from __future__ import annotations

from typing import Protocol
from weakref import ref

from ..host.forks import after_in_child, new_lock


class Forked(Protocol):
    """An object that can repair itself in a forked child."""

    def after_fork(self) -> None: ...


_known: list[ref[Forked]] = []  # some of them may not exist any more
_lock = new_lock()
_room = 64  # objects in the list before those that do not exist any more are removed


class Changing:
    """A block that writes to the memory, while the network's lock is held. If another thread forks during the block,
    the child's copy of the memory is half written."""

    __slots__ = ("depth",)

    def __init__(self) -> None:
        self.depth = 0

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(self, *exception: object) -> None:
        self.depth -= 1


def remember(one: Forked) -> None:
    """Add an object to those that a forked child repairs. A ``WeakSet`` would run Python code when one is collected,
    and Python drops a Ctrl-C that comes there."""
    global _room
    with _lock:
        if len(_known) >= _room:
            _known[:] = [known for known in _known if known() is not None]
            _room = 2 * len(_known) + 64
        _known.append(ref(one))


def _after_fork() -> None:
    for known in _known:
        if (one := known()) is not None:
            one.after_fork()


after_in_child(_after_fork)
