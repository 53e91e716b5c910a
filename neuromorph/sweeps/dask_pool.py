"""``DaskPool``: tasks on the workers of a Dask cluster.

Each task is sent to one worker, which it may not leave, and each worker gets as many tasks as it has threads. So a task
that kills its worker kills no other one: Dask alone would run it again elsewhere, several times.
"""

from __future__ import annotations

import itertools
import math
import pickle
import queue
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..errors import ClusterError
from ..host.callers import warn_user
from ..host.exclusive import imported
from ..version import __version__
from .failures import Failure, lost, raised
from .pool import Pool

ALONE = 60.0  # seconds without any worker after which there is a warning
_LOOK = 0.5  # seconds between two looks at which workers are there
_FETCHING = 1.0  # seconds after which it is asked whether the worker that has a result is still there
_MOST_LOSSES = 3  # of the data of a task, after which the task has failed


@dataclass(eq=False)
class _Task:
    """A task on its way. worker: the address of its worker. losses: how often its data were lost before it ran."""

    ticket: int
    content: bytes
    worker: str = ""
    future: Any = None
    losses: int = 0


class DaskPool(Pool):
    """A pool that runs tasks on the workers of a Dask client, which stay when the pool is closed.

    client: a ``distributed.Client``, which the caller closes. data: for all tasks. They are sent to the workers once,
    and from them to workers that join. Tasks are not sent ahead, so give an adaptive cluster a ``minimum``.

    The outcome of a task whose worker is lost says so. If all workers that hold the data are lost, the data are sent
    again; while there are no workers, tasks wait, with a RuntimeWarning after a minute. Raises ImportError if Dask is
    missing, TypeError if ``client`` is no client of Dask; in ``submit`` and ``finished``, ConnectionError if the
    scheduler is gone, ClusterError if a worker does not have this version of neuromorph.
    """

    def __init__(self, client: Any, data: Any = None) -> None:
        check_client(client)
        self._client, self._data = client, data
        self._held: Any = None  # the data on the workers
        self._numbers = itertools.count()
        self._waiting: deque[_Task] = deque()
        self._sent: dict[int, _Task] = {}
        self._ended: queue.SimpleQueue[tuple[_Task | None, Any]] = queue.SimpleQueue()  # None for a check
        self._workers: dict[str, int] = {}  # the threads of each worker by its address
        self._checks: dict[str, Any] = {}  # of each worker's version: a future, or None once it is known to be this one
        self._looked, self._closed = -_LOOK, False
        self._call: Any = None  # makes a cluster without workers start one
        self._alone: float | None = None  # since when there are no workers

    @property
    def size(self) -> int:
        self._look()
        return max(1, sum(self._workers.values()))

    @property
    def pending(self) -> int:
        return len(self._waiting) + len(self._sent)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> int:
        if self._closed:
            raise RuntimeError("the pool is closed")
        task = _Task(next(self._numbers), _pickled(function, arguments))
        self._waiting.append(task)
        self._look()
        self._send()
        return task.ticket

    def finished(self, timeout: float | None = None) -> list[tuple[int, Any]]:
        end = None if timeout is None else time.monotonic() + timeout
        found: list[tuple[int, Any]] = []
        while self.pending:
            found += self._gone()
            self._send()
            left = _LOOK if end is None else min(_LOOK, max(0.0, end - time.monotonic()))
            with suppress(queue.Empty):
                found += self._outcome(*self._ended.get(timeout=0.0 if found else left))
                while True:
                    found += self._outcome(*self._ended.get_nowait())
            if found or (end is not None and time.monotonic() >= end):
                break
        self._send()
        return found

    def close(self) -> None:
        self._closed = True
        self._waiting.clear()
        tasks, self._sent = list(self._sent.values()), {}
        if self._client.status == "running":
            self._client.cancel([task.future for task in tasks], force=True)
        self._held = self._call = None
        self._checks.clear()

    # What is there ----------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Note which workers are there, unless that was done just now."""
        if time.monotonic() - self._looked < _LOOK:
            return
        self._workers = self._there()
        self._looked = time.monotonic()
        self._checks = {worker: check for worker, check in self._checks.items() if worker in self._workers}
        if self._workers:
            self._call, self._alone = None, None
        elif self._alone is None:
            self._call, self._alone = self._client.submit(_nothing, pure=False), self._looked
        elif self._looked - self._alone >= ALONE:
            warn_user(f"the Dask cluster has no workers; {self.pending} tasks wait for one", RuntimeWarning)
            self._alone = math.inf  # which is told once

    def _there(self) -> dict[str, int]:
        """The threads of each worker by its address; ConnectionError if there is no scheduler to ask."""
        if self._client.status != "running":
            raise ConnectionError(f"the Dask client has no scheduler any more: it is {self._client.status}")
        try:
            return dict(self._client.nthreads())
        except (OSError, TimeoutError) as error:
            raise ConnectionError(f"the Dask scheduler does not answer: {error}") from error

    def _gone(self) -> list[tuple[int, Any]]:
        """The tasks whose workers are gone."""
        self._look()
        tasks = [task for task in self._sent.values() if task.worker not in self._workers]
        return [outcome for task in tasks for outcome in self._drop(task, lost(task.worker))]

    # Tasks ------------------------------------------------------------------------------------------------------------

    def _send(self) -> None:
        """Send tasks that wait to workers with an idle thread."""
        if not self._waiting:
            return
        idle = {worker: threads for worker, threads in self._workers.items() if self._is_checked(worker)}
        for task in self._sent.values():
            idle[task.worker] = idle.get(task.worker, 0) - 1
        while self._waiting:
            worker = max(idle, key=lambda address: idle[address], default="")
            if idle.get(worker, 0) < 1 or not self._has_data():
                return
            self._send_to(worker, self._waiting.popleft())
            idle[worker] -= 1

    def _is_checked(self, worker: str) -> bool:
        """Whether a worker is known to have this version of neuromorph. It is asked once. Raises ClusterError."""
        if worker not in self._checks:
            self._checks[worker] = future = self._client.submit(_check, __version__, pure=False, workers=[worker])
            future.add_done_callback(lambda done: self._ended.put((None, done)))  # so that ``finished`` goes on
        check = self._checks[worker]
        if check is None or check.status == "pending":
            return check is None
        if check.status == "finished":
            self._checks[worker] = None
            return True
        del self._checks[worker]  # which is asked anew if it is there at all
        if check.status == "error" and type(error := check.exception()).__name__ != "KilledWorker":
            raise ClusterError(
                f"the Dask worker {worker} must have neuromorph {__version__}, as this process has: {error}"
            ) from error
        return False

    def _send_to(self, worker: str, task: _Task) -> None:
        task.worker = worker
        task.future = future = self._client.submit(_call, self._held, task.content, pure=False, workers=[worker])
        self._sent[task.ticket] = task
        future.add_done_callback(lambda done: self._ended.put((task, done)))

    def _has_data(self) -> bool:
        """Whether the data are on the workers; they are sent if they are not."""
        if self._held is not None and self._held.status == "finished":
            return True
        try:
            self._held = self._client.scatter([_Box(self._data)], broadcast=True, hash=False)[0]
        except TimeoutError:  # the workers went away meanwhile
            return False
        return True

    def _outcome(self, task: _Task | None, future: Any) -> list[tuple[int, Any]]:
        """How a task has ended; nothing if that is known already, or if it is sent again."""
        if task is None or self._sent.get(task.ticket) is not task or task.future is not future:
            return []
        if future.status == "finished":
            return self._fetched(task)
        if future.status == "error":
            error = future.exception()
            killed = type(error).__name__ == "KilledWorker"
            return self._drop(task, lost(task.worker) if killed else raised(error))
        self._workers, self._looked = self._there(), time.monotonic()
        if task.worker not in self._workers:
            return self._drop(task, lost(task.worker))
        del self._sent[task.ticket]
        task.losses += 1
        if task.losses >= _MOST_LOSSES:
            return [(task.ticket, lost(task.worker))]
        self._waiting.appendleft(task)
        return []

    def _fetched(self, task: _Task) -> list[tuple[int, Any]]:
        """The value of a task, unless its worker is gone before it is here."""
        while True:
            try:
                return self._drop(task, pickle.loads(task.future.result(timeout=_FETCHING)))
            except TimeoutError:
                if task.worker not in self._there():
                    return self._drop(task, lost(task.worker))
            except Exception as error:  # lost on the way, or nothing that can be unpickled
                gone = type(error).__name__ in ("FutureCancelledError", "CancelledError", "KilledWorker")
                return self._drop(task, lost(task.worker) if gone else raised(error))

    def _drop(self, task: _Task, outcome: Any) -> list[tuple[int, Any]]:
        """Forget a task that has ended."""
        del self._sent[task.ticket]
        if isinstance(outcome, Failure):
            self._client.cancel([task.future], force=True)
        task.future = None
        return [(task.ticket, outcome)]


class _Box:
    """The data, as one thing for Dask, which would take a list or a dict apart."""

    def __init__(self, data: Any) -> None:
        self.data = data


def _pickled(function: Callable[..., Any], arguments: tuple[Any, ...]) -> bytes:
    """A task as bytes. Functions of the user's program go along as a whole, because workers do not have it."""
    try:
        made: bytes = imported("cloudpickle").dumps((function, arguments))
    except Exception as error:  # of the user's own class
        raise TypeError(f"{function!r} or one of its arguments can't be sent to another process: {error}") from error
    return made


def _call(box: _Box, task: bytes) -> bytes:
    """Run a task on a worker; its outcome, pickled."""
    try:
        function, arguments = pickle.loads(task)
        return pickle.dumps(function(box.data, *arguments))
    except BaseException as error:
        return pickle.dumps(raised(error))


def _check(version: str) -> None:
    """Raise ClusterError on a worker that has another version."""
    if version != __version__:
        raise ClusterError(f"it has {__version__}")


def _nothing() -> None:
    """A task that makes a cluster start its first worker."""


def check_client(client: Any) -> None:
    """Raise TypeError for what is no client of Dask, ImportError if Dask is missing."""
    try:
        kind = imported("distributed").Client
    except ImportError:
        raise ImportError('a Dask client needs Dask: pip install "neuromorph[distributed]"') from None
    if not isinstance(client, kind):
        raise TypeError(f"client must be a distributed.Client, not {client!r}")
    if client.asynchronous:
        raise TypeError("client is asynchronous; give one that is made without asynchronous=True")
