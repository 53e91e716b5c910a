"""Threads that run one kernel together.

Numba's own layers of threads can't be entered from several threads at once, or die in a forked child. These are plain
Python threads over kernels that release the GIL: a kernel's members meet at barriers inside it, so a team is called
once for many windows. A team belongs to one call at a time; calls at once each take a team of their own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any


class Team:
    """Some waiting threads."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._condition = threading.Condition()
        self._job: tuple[Callable[..., Any], Sequence[tuple[Any, ...]]] | None = None
        self._number = 0
        self._open = 0
        self._results: list[Any] = [None] * size
        for member in range(size):
            threading.Thread(target=self._work, args=(member,), name=f"neuromorph-{member}", daemon=True).start()

    def _work(self, member: int) -> None:
        done = 0
        while True:
            with self._condition:
                self._condition.wait_for(lambda seen=done: self._number != seen)  # type: ignore[misc]
                done, job = self._number, self._job
            assert job is not None
            function, arguments = job
            try:
                result = function(*arguments[member])
            except BaseException as error:
                result = error
            with self._condition:
                self._results[member] = result
                self._open -= 1
                if not self._open:
                    self._condition.notify_all()

    def run(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Any:
        """Call a function once in each thread, with that member's arguments; the first member's result.

        An interrupt is raised only after all members are done, since none can finish alone.
        """
        interrupt: BaseException | None = None
        with self._condition:
            self._job, self._open = (function, arguments), self.size
            self._number += 1
            while self._open:
                try:
                    self._condition.notify_all()
                    self._condition.wait_for(lambda: not self._open)
                except BaseException as error:
                    interrupt = error
        if interrupt is not None:
            raise interrupt
        for result in self._results:
            if isinstance(result, BaseException):
                raise result
        return self._results[0]


_lock = threading.Lock()
_idle: dict[int, list[Team]] = {}
_process = os.getpid()


def run_together(function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Any:
    """Call a function in as many threads as there are tuples of arguments; the first one's result.

    Threads are kept for the next call; a forked child starts its own.
    """
    global _process
    with _lock:
        if _process != os.getpid():
            _idle.clear()
            _process = os.getpid()
        kept = _idle.setdefault(len(arguments), [])
        team = kept.pop() if kept else Team(len(arguments))
    try:
        return team.run(function, arguments)
    finally:
        with _lock:
            _idle.setdefault(team.size, []).append(team)


def _after_fork() -> None:
    """In a child, nothing of the parent's threads is left, and its lock may be held."""
    global _lock
    _lock = threading.Lock()
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def processors() -> int:
    """Processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
