"""Has Dask's servers measure themselves less often while workers train.

Each event loop of Dask measures its lag 50 times a second (the tick), and a worker samples the stack of its tasks 100
times a second (the profile). Where there is no processor for that, each sample delays a window, and with it all workers
that wait for its gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from ..host.forks import new_lock

SLOWED = {"profile": 1_000.0, "tick": 1_000.0, "monitor": 2_000.0}  # milliseconds between two samples, by Dask's name
_lock = new_lock()
_slowed: dict[int, tuple[int, dict[str, float]]] = {}  # by the server: runs that want it so, and the usual times


@contextmanager
def slower_monitoring(servers: Sequence[Any]) -> Iterator[None]:
    """A block in which servers of Dask sample themselves less often, until the last of such blocks has ended.

    Heartbeats and the limits of memory stay as they are.
    """
    with ExitStack() as stack:
        for server in servers:
            stack.callback(_speed_up, server)
            _slow_down(server)
        yield


def servers_of(client: Any) -> list[Any]:
    """The servers of Dask in this process that a client's cluster has: its scheduler, and the workers' nannies."""
    cluster = getattr(client, "cluster", None)
    workers = getattr(cluster, "workers", None)
    found = [getattr(cluster, "scheduler", None), *(workers.values() if isinstance(workers, dict) else ())]
    return [server for server in found if isinstance(getattr(server, "periodic_callbacks", None), dict)]


def _callbacks(server: Any) -> dict[str, Any]:
    """What a server calls again and again to measure itself, by Dask's name."""
    callbacks = server.periodic_callbacks
    return {name: callbacks[name] for name in SLOWED if hasattr(callbacks.get(name), "callback_time")}


def _slow_down(server: Any) -> None:
    with _lock:
        callbacks = _callbacks(server)
        usual = {name: callback.callback_time for name, callback in callbacks.items()}
        runs, usual = _slowed.get(id(server), (0, usual))
        _slowed[id(server)] = runs + 1, usual
        for name, callback in callbacks.items():
            callback.callback_time = max(callback.callback_time, SLOWED[name])


def _speed_up(server: Any) -> None:
    with _lock:
        runs, usual = _slowed.pop(id(server), (0, {}))
        if runs > 1:
            _slowed[id(server)] = runs - 1, usual
            return
        for name, callback in _callbacks(server).items():
            callback.callback_time = usual.get(name, callback.callback_time)
