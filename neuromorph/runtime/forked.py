"""Knows all networks of this process, so that a forked child can repair them."""

from __future__ import annotations

from typing import Protocol
from weakref import ref

from ..host.forks import after_in_child, new_lock


class Repairable(Protocol):
    """An object that a forked child has to repair."""

    def after_fork(self) -> None:
        """Repair it."""


_networks: list[ref[Repairable]] = []  # some of them may not exist any more
_networks_lock = new_lock()
_room = 64  # networks in the list before those that do not exist any more are removed


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


def remember(network: Repairable) -> None:
    """Add a network to those that a forked child repairs. A ``WeakSet`` would run Python code when a network is
    collected, and Python drops a Ctrl-C that comes there."""
    global _room
    with _networks_lock:
        if len(_networks) >= _room:
            _networks[:] = [known for known in _networks if known() is not None]
            _room = 2 * len(_networks) + 64
        _networks.append(ref(network))


def _after_fork() -> None:
    for known in _networks:
        if (network := known()) is not None:
            network.after_fork()


after_in_child(_after_fork)
