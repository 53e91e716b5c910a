"""Calls a training kernel that is made for several members, with a thread pool or in one thread.

A member is a share of a window's work. A pool of threads runs one member in each thread. A call that is too short to
justify waking threads is made by one thread. It runs all members and gives the same bits. It runs members together
where that does not change the result, else one after the other. For such a call each Python statement costs noticeable
time, so the compiled function ``lead`` decides how to make it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..abi.arguments import CALL_ARRAYS, TrainCall
from ..abi.mailbox import GRADIENTS, WAITING, new_mailbox
from ..host.interrupts import held
from .autotune import Autotuner, Way
from .memory import Memory
from .threadpool import Stay, ThreadPool, run_together, take

if TYPE_CHECKING:
    from .kernels import Kernels


_local = threading.local()  # alone: whether this thread runs all members itself; ending: whether it is to end
SOON_THERE = 1e-3  # the longest wait for a pool between two parts of a call, in seconds


@contextmanager
def in_one_thread(ending: threading.Event) -> Iterator[None]:
    """A block in which calls of this thread wake no others: it runs all members itself, and the bits are the same.

    ending: once it is set, training in this thread ends after the present piece of work.
    """
    before = getattr(_local, "alone", False), getattr(_local, "ending", None)
    _local.alone, _local.ending = True, ending
    try:
        yield
    finally:
        _local.alone, _local.ending = before


def runs_alone() -> bool:
    """Whether calls of this thread wake no others."""
    return bool(getattr(_local, "alone", False))


def ends_soon() -> bool:
    """Whether training in this thread ends after the present piece of work, as after Ctrl-C in another thread."""
    ending: threading.Event | None = getattr(_local, "ending", None)
    return ending is not None and ending.is_set()


def call_members(kernels: Kernels, memory: Memory, call: TrainCall, enough: int) -> int:
    """Run the kernel's ``train`` with all its members; the number of the sample that it reached.

    Threads that are still awake after this model's last call are used. Sleeping threads are woken for a call of at
    least ``enough`` samples, or when calls have followed one another closely for so long that the threads will stay
    awake from now on. For short windows, where threads may cost more than they save, the autotuner chooses between all
    threads and one.
    """
    if runs_alone():
        return int(kernels.train(0, kernels.threads, *memory.alone(kernels.threads), *call))
    makes_gradients = call.mode == GRADIENTS  # in windows of any length, which are not timed
    if not kernels.autotuned or (makes_gradients and not kernels.meets_in_steps):
        return _call(kernels, memory, call, enough)
    if makes_gradients or call.stop - call.sample < kernels.autotuned_from[call.mode]:
        return int(kernels.train(0, kernels.threads, *memory.alone(kernels.threads), *call))
    return _autotuned(kernels, memory, call, enough)


def _autotuned(kernels: Kernels, memory: Memory, call: TrainCall, enough: int) -> int:
    """Run a call in parts, each by all threads or by one, and time the parts."""
    at, stop, capacity = call.sample, call.stop, call.capacity
    autotuner = memory.autotuners.get(call.mode)
    if autotuner is None:
        autotuner = memory.autotuners[call.mode] = Autotuner(max(1, kernels.autotuned_from[call.mode] // capacity))
    before = Way.ONE
    for way, windows in autotuner.parts(-(-(stop - at) // capacity)):
        end = min(stop, at + windows * capacity)
        part = call._replace(sample=at, stop=end)
        if way is before is Way.ALL:
            _meet_again(memory.pool, kernels.threads - 1)
        before, started = way, time.perf_counter()
        if way is Way.ALL:
            reached = _call(kernels, memory, part, min(enough, end - at))
        else:
            reached = int(kernels.train(0, kernels.threads, *memory.alone(kernels.threads), *part))
        if reached < end:
            return reached
        autotuner.took(way, windows, time.perf_counter() - started)
        at = end
    return int(stop)


def _call(kernels: Kernels, memory: Memory, call: TrainCall, enough: int) -> int:
    """Run a call in all threads or, if it is too short to wake them, in one thread."""
    pool = memory.pool
    if pool is not None and pool.taken():
        return _call_pool(kernels, pool, memory.number, call, enough)
    if not kernels.compiled:
        return _in_plain_python(kernels, call)
    with held():  # an interrupt while a pool is taken would leave it taken
        try:
            memory.pool = pool = take(kernels.threads - 1)
        except RuntimeError:  # no thread can be started
            return int(kernels.train(0, kernels.threads, *new_mailbox(kernels.threads), *call))
        return _call_pool(kernels, pool, memory.number, call, enough)


def _call_pool(kernels: Kernels, pool: ThreadPool, user: int, call: TrainCall, enough: int) -> int:
    """Run a call in a pool that was taken, or in this thread alone. The pool is free afterwards."""
    try:
        reached: int = kernels.lead(pool.mailbox, pool.numbers, user, enough, *call)
        return reached if reached >= 0 else _woken(kernels, pool, user, call)
    finally:
        pool.free.release()


def _meet_again(pool: ThreadPool | None, members: int) -> None:
    """Wait until the threads of a pool wait for calls again. Before that they need the interpreter for a moment."""
    late = time.perf_counter() + SOON_THERE
    while pool is not None and pool.mailbox[WAITING] < members and time.perf_counter() < late:
        time.sleep(0)


def _woken(kernels: Kernels, pool: ThreadPool, user: int, call: TrainCall) -> int:
    """Run a call in threads that sleep or wait for another model's calls."""
    _, *others = _members(kernels.threads, (pool.mailbox, pool.numbers, *call))
    mine = (pool.mailbox, pool.numbers, user, -1, *call)
    return int(pool.join(kernels.train, others, kernels.lead, mine, _waiting(kernels, pool, call), user))


def _in_plain_python(kernels: Kernels, call: TrainCall) -> int:
    """Run a call with JIT off: each member in a Python thread."""
    mailbox, numbers = new_mailbox(kernels.threads)
    return int(run_together(kernels.train, _members(kernels.threads, (mailbox, numbers, *call))))


def _members(threads: int, shared: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """The arguments of each member's call."""
    return [(member, member + 1, *shared) for member in range(threads)]


def _waiting(kernels: Kernels, pool: ThreadPool, call: TrainCall) -> Stay:
    """The function by which a member waits for more calls. It keeps the model's arrays, but no data of this call."""
    serve, mailbox, numbers = kernels.serve, pool.mailbox, pool.numbers
    empty: dict[str, Any] = {name: np.empty(0, getattr(call, name).dtype) for name in CALL_ARRAYS}
    kept = call._replace(**empty)
    return lambda member, calls, looks: int(serve(member, mailbox, numbers, calls, looks, *kept))
