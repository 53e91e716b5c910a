"""A thread pool whose threads run one kernel together.

Numba's own thread layers can't be entered from several threads at once, or die in a forked child. These are plain
Python threads that run kernels without the GIL. The members of a kernel wait for one another at barriers inside it, so
one call of a pool covers many windows. A pool serves one call at a time; concurrent calls each take a pool of their
own.

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
    """Threads that wait for calls, and run those of the thread that holds the lock ``free``.

    mailbox, numbers: arrays that the threads share with the caller, in which they find further calls. The user of a
    pool is a model, or 0 for none.

    | state | free | lost | gone | what a thread that needs a pool does |
    |---|---|---|---|---|
    | new, or in use | held | False | False | tries another pool; without any it makes one |
    | at rest | not held | False | False | takes it |
    | in a call of ``join`` | held | True | False | tries another pool |
    | after a failed ``join`` | any | True | False | never takes it: its threads may wait for a member for ever |
    | after a fork, in the child | any | True | True | never takes it: it has no threads there |
    | a thread could not be started | held | False | True | can't find it: its maker gets the error |
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.lost = False  # whether its threads may wait for a member that never comes, or do not exist any more
        self.gone = False  # whether it has no threads: one could not be started, or this process is a forked child
        self.free = threading.Lock()
        self.free.acquire()
        self.mailbox, self.numbers = new_mailbox(size + 1)
        self._mutex = threading.RLock()
        self._condition = threading.Condition(self._mutex)
        self._job: Job | None = None  # the present call; None when it is done
        self._posted = 0  # the number of the present call
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
        """Try to take the pool, without waiting; whether that worked. A lost pool is never taken.

        A caller that has taken it must release ``free``.
        """
        return self.free.acquire(False) and not self.lost

    def _work(self, member: int) -> None:
        done, stay = 0, None
        while True:
            if stay is not None:
                with suppress(Exception):  # such as no memory to call it: then the thread sleeps at once
                    stay(member + 1, done, LOOKS)
                stay = None  # it refers to the arrays of a model, which the pool must not keep
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

        An interrupt is raised only after all members are done, since no member can finish alone.
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
        """Call a compiled function once in each thread, with that member's arguments, and ``lead`` with ``mine`` in the
        calling thread; the result of ``lead``.

        Then the threads wait for more calls of this user by ``stay(member, calls, looks)``, until no call comes in time
        or a call that is not in the mailbox. An interrupt is raised when ``lead`` has returned, since the members can't
        finish alone. The threads have then passed their last barrier and touch no data any more, so they are not waited
        for.
        """
        with held():
            self.lost = True  # until the call was made
            self._post((function, arguments, stay), user)
            result = lead(*mine)
            self.lost = self.gone
        return result

    def _post(self, job: Job, user: int) -> None:
        """Give the threads a job when they are done with the last one. After it they wait for calls of this user."""
        with self._mutex:
            self._condition.wait_for(lambda: not self._open)
            self._job, self._open = job, self.size
            self.mailbox[USER] = user
            self.mailbox[CALLS] += 1
            self._posted = int(self.mailbox[CALLS])
            self._condition.notify_all()


_lock = new_lock()
_pools: dict[int, list[ThreadPool]] = {}


def run_together(
    function: Callable[..., Any], arguments: Sequence[Arguments], alone: Callable[[], Any] | None = None
) -> Any:
    """Call a function in one thread for each tuple of arguments; the result of the first.

    alone: what is called instead where no thread can be started; without it, that is a RuntimeError.
    """
    with held():  # an interrupt while a pool is taken would leave it taken
        try:
            pool = take(len(arguments))
        except RuntimeError:
            if alone is None:
                raise
            return alone()
        try:
            return pool.run(function, arguments)
        finally:
            pool.free.release()


def take(size: int) -> ThreadPool:
    """A pool of ``size`` threads, taken by the caller, which must release its lock ``free`` and holds signals back.

    Pools are kept for later calls; a forked child starts its own. Raises RuntimeError if no thread can be started.
    """
    with _lock:
        kept = _pools.setdefault(size, [])
        for pool in reversed(kept):
            if pool.taken():
                return pool
        kept.append(ThreadPool(size))
        return kept[-1]


def _after_fork() -> None:
    """Mark all pools in a forked child, where the parent's threads do not exist."""
    for kept in _pools.values():
        for pool in kept:
            pool.lost = pool.gone = True
    _pools.clear()


after_in_child(_after_fork)
