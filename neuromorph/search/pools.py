"""The pool that a search runs on: this process, processes of this machine, or a Dask cluster."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import Any

from ..host.exclusive import imported
from ..options import whole_number
from ..sweeps.failures import raised
from ..sweeps.pool import LocalPool, Pool


class InProcess(Pool):
    """A pool without processes: ``finished`` runs the next task."""

    def __init__(self, data: Any = None) -> None:
        self._data, self._numbers = data, itertools.count()
        self._waiting: deque[tuple[int, Callable[..., Any], tuple[Any, ...]]] = deque()

    @property
    def size(self) -> int:
        return 1

    @property
    def pending(self) -> int:
        return len(self._waiting)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> int:
        ticket = next(self._numbers)
        self._waiting.append((ticket, function, arguments))
        return ticket

    def finished(self, timeout: float | None = None) -> list[tuple[int, Any]]:
        if not self._waiting:
            return []
        ticket, function, arguments = self._waiting.popleft()
        try:
            return [(ticket, function(self._data, *arguments))]
        except Exception as error:
            return [(ticket, raised(error))]

    def close(self) -> None:
        self._waiting.clear()


def pool_of(workers: Any, client: Any, data: Any) -> Pool:
    """The pool for the arguments of a search. workers: 0 means this process."""
    if client is not None:
        if workers is not None:
            raise ValueError("give workers= or client=, not both: the workers are those of the client")
        made: Pool = imported("neuromorph.sweeps.dask_pool").DaskPool(client, data)
        return made
    if workers is not None and whole_number("workers", workers, least=0) == 0:
        return InProcess(data)
    return LocalPool(workers, data)
