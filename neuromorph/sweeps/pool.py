"""Pools run tasks on other processes. ``Pool`` is what all pools can do; ``LocalPool`` has processes of this machine.

A task is a function and its arguments, which are pickled; it is called as ``function(data, *arguments)``, where
``data`` is what the pool was given for all tasks. Tasks end in any order.
"""

from __future__ import annotations

import itertools
import json
import os
import pickle
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import wait
from typing import Any, Self

from ..errors import brief
from ..host.interrupts import held
from ..host.processes import given, start
from ..host.resources import OWN, processors
from ..options import whole_number
from . import worker
from .failures import RAISED, Failure, died, raised
from .program import MAIN, main_program
from .sharing import Shared

_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from neuromorph.sweeps.worker import main; main()"
_OF_LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_LOOK = 1.0  # seconds between two looks for workers that ended without closing their pipe
_PATIENCE = 2.0  # seconds that a worker has to end
_MOST_FALSE_STARTS = 3  # of workers one after the other


class Pool(ABC):
    """Runs tasks on other processes. A pool is used by one thread, and closed by ``close`` or a ``with`` block."""

    @property
    @abstractmethod
    def size(self) -> int:
        """The number of tasks that can run at the same time, >= 1; of a cluster, it may change."""

    @property
    @abstractmethod
    def pending(self) -> int:
        """The number of tasks that were submitted and are not among those that ``finished`` has given."""

    @abstractmethod
    def submit(self, function: Callable[..., Any], *arguments: Any) -> int:
        """Have ``function(data, *arguments)`` run; the number (ticket) of the task.

        Raises TypeError if the function or an argument can't be pickled: a function must be in a module or a program.
        """

    @abstractmethod
    def finished(self, timeout: float | None = None) -> list[tuple[int, Any]]:
        """The tasks that have ended since the last call, each once: the ticket, and the value or a ``Failure``.

        It waits until there is one, at most ``timeout`` seconds; None waits as long as it takes. An empty list if the
        time is over, or if no task is pending.
        """

    @abstractmethod
    def close(self) -> None:
        """End all tasks, and the processes if they are the pool's own. A second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def pickled(function: Callable[..., Any], arguments: tuple[Any, ...]) -> bytes:
    """A task as bytes; TypeError if that is impossible."""
    try:
        return pickle.dumps((function, arguments))
    except Exception as error:
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(
            f"{name} or one of its arguments can't be sent to another process: {error}; use functions that stand in a "
            "module, not in another function, and no lambda"
        ) from error


def check_sent(argument: str, function: Any) -> None:
    """Raise TypeError, naming the argument, for a function that processes of this machine can't get."""
    try:
        pickle.dumps(function)
    except Exception as error:
        raise TypeError(
            f"{argument} is {brief(function)}, which can't be sent to another process: {error}; give a function that "
            "stands in a module or a program, not in another function, and no lambda; or give workers=0"
        ) from error
    if getattr(function, "__module__", "") == MAIN and main_program() is None:
        raise TypeError(
            f"{argument} is a function of an interactive session, which other processes do not have: put it into a "
            "module, or give workers=0"
        )


class SerialPool(Pool):
    """A pool that runs each task in this process, in ``finished``."""

    def __init__(self, data: Any = None) -> None:
        self._data = data
        self._waiting: deque[tuple[int, Callable[..., Any], tuple[Any, ...]]] = deque()
        self._numbers = itertools.count()

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


class _Worker:
    """A worker process as its pool sees it. ticket: of the task that it has, or None; task: that task."""

    def __init__(self, data: Shared | None, threads: int) -> None:
        self.pipe, end = Pipe()
        self.ticket: int | None = None
        self.task = b""
        self.is_ready = False
        folders = [folder for folder in sys.path if isinstance(folder, str)]
        file = None if data is None else given(data.file.fileno())
        try:
            self.process = start(
                [sys.executable, "-c", _START, json.dumps(folders), str(end.fileno())],
                [end.fileno(), *([] if file is None else [file])],
                stdin=subprocess.DEVNULL,
                env=_environment(threads),
            )
        finally:
            end.close()
        with suppress(OSError):  # it has ended; the pool will see that
            self.pipe.send(worker.Setting(file, None if data is None else data.layout, main_program()))

    def give(self, ticket: int, task: bytes) -> None:
        """Have a task run."""
        self.ticket, self.task = ticket, task
        with suppress(OSError):
            self.pipe.send((ticket, task))

    def status(self) -> int | None:
        """How the process has ended; it is killed if it has not."""
        self.pipe.close()
        try:
            return self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def _environment(threads: int) -> dict[str, str]:
    """The variables of a worker: its models and other libraries use so many threads."""
    given = dict(os.environ) | {OWN: str(threads)}
    return given | {name: str(threads) for name in _OF_LIBRARIES}


class LocalPool(Pool):
    """A pool of processes of this machine, which need no ``if __name__ == "__main__"``.

    workers: their number; None means one for each processor that this process may use. data: for all tasks, anything
    that can be pickled. Its arrays are written once into a file that the workers map, so that they share the memory;
    those that are mapped from a file already (``np.memmap``, ``np.load(…, mmap_mode="r")``) are mapped from there.
    Workers can't write to them. threads: those of each worker's models.

    Workers start with the first tasks. One that is killed costs the task that it had, whose outcome says so, and
    another one takes its place. All end when the pool is closed, or when this process ends, however it does. Raises
    RuntimeError in ``finished`` if workers can't be started.
    """

    def __init__(self, workers: int | None = None, data: Any = None, *, threads: int = 1) -> None:
        if worker.is_importing_main:
            raise RuntimeError(
                "a worker imports this program for one of its functions, and the program begins a pool of workers: "
                'put what is to run once under if __name__ == "__main__":'
            )
        self._size = processors() if workers is None else whole_number("workers", workers)
        self._threads = whole_number("threads", threads)
        self._data = None if data is None else Shared(data)
        self._workers: list[_Worker] = []
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._numbers = itertools.count()
        self._false_starts, self._closed = 0, False

    @property
    def size(self) -> int:
        return self._size

    @property
    def pending(self) -> int:
        return len(self._waiting) + sum(one.ticket is not None for one in self._workers)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> int:
        if self._closed:
            raise RuntimeError("the pool is closed")
        task, ticket = pickled(function, arguments), next(self._numbers)
        self._waiting.append((ticket, task))
        self._start()
        return ticket

    def finished(self, timeout: float | None = None) -> list[tuple[int, Any]]:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            self._start()
            busy = [one for one in self._workers if one.ticket is not None]
            if not busy:
                return []
            left = _LOOK if end is None else min(_LOOK, max(0.0, end - time.monotonic()))
            ready = wait([one.pipe for one in busy], left)
            with held():
                heard = [one for one in busy if one.pipe in ready or (not ready and one.process.poll() is not None)]
                found = [outcome for one in heard for outcome in self._hear(one)]
                self._start()
            if found or (end is not None and time.monotonic() >= end):
                return found

    def _start(self) -> None:
        """Give waiting tasks to idle workers, and to new ones."""
        with held():
            for one in self._workers:
                if self._waiting and one.ticket is None:
                    one.give(*self._waiting.popleft())
            while self._waiting and len(self._workers) < self._size:
                made = _Worker(self._data, self._threads)
                self._workers.append(made)
                made.give(*self._waiting.popleft())

    def _hear(self, one: _Worker) -> list[tuple[int, Any]]:
        """What a worker says: the end of its task, or nothing."""
        try:
            number, outcome = one.pipe.recv()
        except (EOFError, OSError):
            return self._bury(one)
        except Exception as error:  # what was pickled there can't be unpickled here
            number, outcome = one.ticket, Failure(RAISED, f"the result of a task can't be unpickled: {error}")
        if number == worker.READY:
            one.is_ready, self._false_starts = True, 0
            return []
        one.ticket, one.task = None, b""
        return [(number, outcome)]

    def _bury(self, one: _Worker) -> list[tuple[int, Any]]:
        """Note the end of a worker. A task that it has not begun waits for another one."""
        status, ticket = one.status(), one.ticket
        self._workers.remove(one)
        if ticket is None:
            return []
        if one.is_ready:
            return [(ticket, died(status))]
        self._waiting.appendleft((ticket, one.task))
        self._false_starts += 1
        if self._false_starts >= _MOST_FALSE_STARTS:
            raise RuntimeError(f"no worker can be started: {died(status)} before its first task")
        return []

    def close(self) -> None:
        self._closed = True
        self._waiting.clear()
        with held():
            workers, self._workers = self._workers, []
            for one in workers:
                one.pipe.close()
            for one in workers:
                one.status()
            if self._data is not None:
                self._data.close()
