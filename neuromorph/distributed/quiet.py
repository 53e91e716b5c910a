"""Has Dask look less often at itself while its workers train.

Each of its event loops measures its own lag 50 times a second, and a worker the stack of its tasks 100 times a second.
Where there is no processor for that, each look delays a window, and with it all workers that wait for its gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..host.forks import new_lock

SLOWED = {"profile": 1_000.0, "tick": 1_000.0, "monitor": 10_000.0}  # milliseconds between two looks, by Dask's name
_lock = new_lock()
_slowed: dict[int, tuple[int, dict[str, float]]] = {}  # by the server: runs that want it so, and the usual times


@contextmanager
def seldom_looked_at(servers: Sequence[Any]) -> Iterator[None]:
    """Slow down the looks of servers of Dask at themselves, until the last of the runs that want it so has ended.

    Heartbeats and the watch over memory go on as they are.
    """
    with _lock:
        for server in servers:
            _slow_down(server)
    try:
        yield
    finally:
        with _lock:
            for server in servers:
                _speed_up(server)


def servers_of(client: Any) -> list[Any]:
    """The servers of Dask in this process that a client's cluster has: its scheduler, and what looks after workers."""
    cluster = getattr(client, "cluster", None)
    workers = getattr(cluster, "workers", None)
    found = [getattr(cluster, "scheduler", None), *(workers.values() if isinstance(workers, dict) else ())]
    return [server for server in found if isinstance(getattr(server, "periodic_callbacks", None), dict)]


def _looks(server: Any) -> dict[str, Any]:
    """What a server calls again and again to look at itself, by Dask's name."""
    callbacks = server.periodic_callbacks
    return {name: callbacks[name] for name in SLOWED if hasattr(callbacks.get(name), "callback_time")}


def _slow_down(server: Any) -> None:
    looks = _looks(server)
    runs, usual = _slowed.get(id(server), (0, {name: look.callback_time for name, look in looks.items()}))
    _slowed[id(server)] = runs + 1, usual
    for name, look in looks.items():
        look.callback_time = max(look.callback_time, SLOWED[name])


def _speed_up(server: Any) -> None:
    runs, usual = _slowed.pop(id(server))
    if runs > 1:
        _slowed[id(server)] = runs - 1, usual
        return
    for name, look in _looks(server).items():
        look.callback_time = usual.get(name, look.callback_time)
