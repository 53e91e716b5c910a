"""A thread pool whose threads run one kernel together.

Numba's own thread layers can't be entered from several threads at once, or die in a forked child. These are plain
Python threads that run kernels without the GIL. The members of a kernel meet at barriers inside it, so one call of a
pool covers many windows. A pool serves one call at a time; concurrent calls each take a pool of their own.

In training, the calling thread runs the first member. The other threads stay in compiled code for a short time after
each call and poll the mailbox, so that the next call of on-line learning finds them awake.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from ..abi.mailbox import CALLS, USER, new_mailbox
from ..host.forks import after_in_child, new_lock
from ..host.interrupts import held

LOOKS = 2000  # polls of the mailbox before a thread goes to sleep: 0.2 to 1 ms on an idle machine
Arguments = tuple[Any, ...]
Stay = Callable[[int, int, int], int]
Job = tuple[Callable[..., Any], Sequence[Arguments], Stay | None]


class ThreadPool:
    """Waiting threads that run the calls of whoever holds the lock ``free``; at first its maker holds it.

    mailbox, numbers: what the threads share with the caller, and where they find further calls. Users have numbers,
    which are never 0.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.lost = False  # whether its threads may wait for a member that never comes, or are not there any more
        self.gone = False  # whether it has no threads: some could not be started, or we are in a forked child
        self.free = threading.Lock()
        self.free.acquire()
        self.mailbox, self.numbers = new_mailbox(size + 1)
        self._mutex = threading.RLock()
        self._condition = threading.Condition(self._mutex)
        self._job: Job | None = None  # none when it is done
        self._posted = 0  # which call it is
        self._open = 0
        self._results: list[Any] = [None] * size
        try:
            for member in range(size):
                threading.Thread(target=self._work, args=(member,), name=f"neuromorph-{member}", daemon=True).start()
        except BaseException:
            with self._mutex:
                self.gone = True
                self._condition.notify_all()
            raise

    def taken(self) -> bool:
        """Try to take the pool, without waiting; whether that worked. The caller then releases ``free``. A lost pool is
        never taken."""
        return self.free.acquire(False) and not self.lost

    def _work(self, member: int) -> None:
        done, stay = 0, None
        while True:
            if stay is not None:
                with suppress(Exception):  # such as no memory to call it: then we sleep at once
                    stay(member + 1, done, LOOKS)
                stay = None  # and with it what belongs to a model
            with self._mutex:
                while self._posted == done and not self.gone:
                    self._condition.wait()
                if self.gone:
                    return
                done, job = self._posted, self._job
            assert job is not None
            function, arguments, stay = job
            try:
                result = function(*arguments[member])
            except BaseException as error:
                result = error
            del job, arguments
            with self._mutex:
                self._results[member] = result
                self._open -= 1
                if not self._open:
                    self._job = None
                    self._condition.notify_all()

    def run(self, function: Callable[..., Any], arguments: Sequence[Arguments]) -> Any:
        """Call a function once in each thread, with that member's arguments; the first member's result.

        An interrupt is raised only after all members are done, since none can finish alone.
        """
        with held():
            self._post((function, arguments, None), 0)
            with self._mutex:
                self._condition.wait_for(lambda: not self._open)
        for result in self._results:
            if isinstance(result, BaseException):
                raise result
        return self._results[0]

    def join(
        self, function: Callable[..., Any], arguments: Sequence[Arguments], lead: Callable[..., Any], mine: Arguments,
        stay: Stay, user: int,
    ) -> Any:  # fmt: skip
        """Call a compiled function once in each thread, with that member's arguments, and here ``lead`` with ``mine``;
        the result here. Then the threads linger for more calls of this user's by ``stay(member, calls, looks)``, until
        none comes or one that is not in the mailbox.

        An interrupt is raised after that, since the others can't finish alone. They have then passed their last
        meeting: they touch nothing any more, and are not waited for.
        """
        with held():
            self.lost = True  # until the call was made
            self._post((function, arguments, stay), user)
            result = lead(*mine)
            self.lost = self.gone
        return result

    def _post(self, job: Job, user: int) -> None:
        """Give the threads their work, once they are done with the last. They will linger for this user."""
        with self._mutex:
            self._condition.wait_for(lambda: not self._open)
            self._job, self._open = job, self.size
            self.mailbox[USER] = user
            self.mailbox[CALLS] += 1
            self._posted = int(self.mailbox[CALLS])
            self._condition.notify_all()


_lock = new_lock()
_pools: dict[int, list[ThreadPool]] = {}


def run_together(function: Callable[..., Any], arguments: Sequence[Arguments]) -> Any:
    """Call a function in as many threads as there are tuples of arguments; the first one's result."""
    with held():  # an interrupt while a pool is taken would leave it taken
        pool = take(len(arguments))
        try:
            return pool.run(function, arguments)
        finally:
            pool.free.release()


def take(size: int) -> ThreadPool:
    """A pool that nobody else uses until its lock ``free`` is released. The caller has signals held back.

    Threads are kept for the next call; a forked child starts its own. A RuntimeError where none can be started.
    """
    with _lock:
        kept = _pools.setdefault(size, [])
        for pool in reversed(kept):
            if pool.taken():
                return pool
        kept.append(ThreadPool(size))
        return kept[-1]


def _after_fork() -> None:
    """In a child, nothing of the parent's threads is left."""
    for kept in _pools.values():
        for pool in kept:
            pool.lost = pool.gone = True
    _pools.clear()


after_in_child(_after_fork)
