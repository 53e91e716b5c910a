"""Threads that run one kernel together.

Numba's own layers of threads can't be entered from several threads at once, or die in a forked child. These are plain
Python threads over kernels that release the GIL: a kernel's members meet at barriers inside it, so a team is called
once for many windows. A team belongs to one call at a time; calls at once each take a team of their own.

In training, a kernel's first member is the thread that calls. The others linger a little after each call: the next one,
which in on-line learning comes at once, then finds them awake.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from itertools import starmap
from typing import Any

from .limits import allowed_processors

LOOKS = 1000  # at the number of calls before a thread goes to sleep: half a millisecond on an idle machine
TRIES = 3  # of a call here, before an Exception is taken to be the function's own, and not one of a signal handler
Arguments = tuple[Any, ...]
Stay = Callable[[Any, int, int], None]


class Team:
    """Some waiting threads."""

    def __init__(self, size: int) -> None:
        import numpy as np

        self.size = size
        self.lost = False  # whether its threads may wait for a member that never comes
        self._condition = threading.Condition()
        self._job: tuple[Callable[..., Any], Sequence[Arguments]] | None = None
        self._calls = np.zeros(16, np.int64)  # how many there were stands in the first, alone on its cache line
        self._stay: Stay | None = None
        self._open = 0
        self._results: list[Any] = [None] * size
        for member in range(size):
            threading.Thread(target=self._work, args=(member,), name=f"neuromorph-{member}", daemon=True).start()

    def _work(self, member: int) -> None:
        done = 0
        while True:
            stay = self._stay
            if stay is not None:
                stay(self._calls, done, LOOKS)
            with self._condition:
                self._condition.wait_for(lambda seen=done: self._calls[0] != seen)  # type: ignore[misc]
                done, job = int(self._calls[0]), self._job
            assert job is not None
            function, arguments = job
            try:
                result = function(*arguments[member])
            except BaseException as error:
                result = error
            del job, arguments
            with self._condition:
                self._results[member] = result
                self._open -= 1
                if not self._open:
                    self._job = None
                    self._condition.notify_all()

    def run(self, function: Callable[..., Any], arguments: Sequence[Arguments]) -> Any:
        """Call a function once in each thread, with that member's arguments; the first member's result.

        An interrupt is raised only after all members are done, since none can finish alone.
        """
        interrupt: BaseException | None = None
        before = int(self._calls[0])
        while True:
            try:
                self._post(before, function, arguments, None)
                with self._condition:
                    self._condition.wait_for(lambda: not self._open)
                break
            except BaseException as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt
        for result in self._results:
            if isinstance(result, BaseException):
                raise result
        return self._results[0]

    def join(self, function: Callable[..., Any], arguments: Sequence[Arguments], mine: Arguments, stay: Stay) -> Any:
        """Call a compiled function once in each thread, with that member's arguments, and here with ``mine``; its
        result here. The threads linger for the next call by ``stay``.

        The function is called, and its result kept, in one step that no interrupt comes between; one that came before
        is raised afterwards, since the others can't finish alone. They have then passed their last meeting: they touch
        nothing any more, and are not waited for.
        """
        interrupt: BaseException | None = None
        before, tries, results = int(self._calls[0]), 0, list[Any]()
        while not results and not self.lost:
            try:
                self._post(before, function, arguments, stay)
                results.extend(starmap(function, (mine,)))
            except BaseException as error:
                interrupt = error
                tries += isinstance(error, Exception)
                self.lost = tries == TRIES and not results
        if interrupt is not None:
            raise interrupt
        return results[0]

    def _post(
        self, before: int, function: Callable[..., Any], arguments: Sequence[Arguments], stay: Stay | None
    ) -> None:
        """Give the threads their work, once they are done with the last; after ``before`` calls, and only then."""
        with self._condition:
            if self._calls[0] == before:
                self._condition.wait_for(lambda: not self._open)
                self._job, self._open, self._stay = (function, arguments), self.size, stay
                self._calls[0] += 1
            self._condition.notify_all()


_lock = threading.Lock()
_idle: dict[int, list[Team]] = {}
_process = os.getpid()


def run_together(function: Callable[..., Any], arguments: Sequence[Arguments], stay: Stay | None = None) -> Any:
    """Call a function in as many threads as there are tuples of arguments; the first one's result.

    Where there is ``stay``, a compiled function by which a thread waits for the next call, this thread is the first of
    them, and ``function`` has to be compiled too and may not raise. Threads are kept for the next call; a forked child
    starts its own.
    """
    team = _team(len(arguments) - (stay is not None))
    try:
        if stay is None:
            return team.run(function, arguments)
        return team.join(function, arguments[1:], arguments[0], stay)
    finally:
        if not team.lost:
            with _lock:
                _idle.setdefault(team.size, []).append(team)


def _team(size: int) -> Team:
    """A team that nobody uses."""
    global _process
    with _lock:
        if _process != os.getpid():
            _idle.clear()
            _process = os.getpid()
        kept = _idle.setdefault(size, [])
        return kept.pop() if kept else Team(size)


def _after_fork() -> None:
    """In a child, nothing of the parent's threads is left, and its lock may be held."""
    global _lock
    _lock = threading.Lock()
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def processors() -> int:
    """Processors that this process may use: those that it may run on, and no more than its quota of time is worth."""
    try:
        there = len(os.sched_getaffinity(0))
    except AttributeError:
        there = os.cpu_count() or 1
    return min(there, allowed_processors())
