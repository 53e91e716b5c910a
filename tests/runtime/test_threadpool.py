"""A pool whose caller works too, and what its threads do between two calls."""

from __future__ import annotations

import operator
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest
from numba import njit

from helpers.threads import LIMIT, interrupted_after
from neuromorph import simd
from neuromorph.abi.mailbox import CALLS
from neuromorph.host.interrupts import held
from neuromorph.runtime import threadpool
from neuromorph.runtime.threadpool import ThreadPool, take


@njit(nogil=True)
def meet(member: int, sync: Any, times: int) -> int:
    for _ in range(times):
        simd.barrier(sync, 3)
    return member


def join(function: Any, arguments: list[Any]) -> Any:
    """A call whose first member is the caller; the others go to sleep at once."""
    with held():
        pool = take(len(arguments) - 1)
        try:
            return pool.join(function, arguments[1:], function, arguments[0], lambda member, calls, looks: calls, 7)
        finally:
            pool.free.release()


def test_the_caller_is_the_first_member() -> None:
    sync = np.zeros(simd.SYNC_SIZE, np.int64)
    for _ in range(200):
        assert join(meet, [(member, sync, 5) for member in range(3)]) == 0
    assert sync[8] == 200 * 5


def test_a_pool_works_again_after_its_threads_went_to_sleep() -> None:
    sync = np.zeros(simd.SYNC_SIZE, np.int64)
    for pause in (0.0, 0.05, 0.0):
        time.sleep(pause)
        assert join(meet, [(member, sync, 1) for member in range(3)]) == 0


def test_an_interrupt_of_the_caller_comes_when_all_have_met() -> None:
    sync = np.zeros(simd.SYNC_SIZE, np.int64)

    def for_ever() -> None:
        while True:
            join(meet, [(member, sync, 50) for member in range(3)])

    for number in range(10):
        interrupted_after(0.02 + 0.007 * number, for_ever)
        assert sync[0] == 0
        assert sync[8] % 50 == 0
    assert join(meet, [(member, sync, 1) for member in range(3)]) == 0


def test_an_error_of_the_function_is_raised_and_the_pool_goes_on() -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            join(operator.truediv, [(1, 0), (1, 1)])
        assert join(operator.truediv, [(1, 4), (1, 1)]) == 0.25


def test_any_number_of_interrupts_before_the_call_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members that wait for the caller can't be left alone: neither then, nor for the next call."""
    sync, post = np.zeros(simd.SYNC_SIZE, np.int64), ThreadPool._post

    def interrupted(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        post(*arguments)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    arguments = [(member, sync, 5) for member in range(3)]
    with monkeypatch.context() as patch:
        patch.setattr(ThreadPool, "_post", interrupted)
        with pytest.raises(KeyboardInterrupt):
            join(meet, arguments)
    assert sync[8] == 5
    assert join(meet, arguments) == 0


def test_a_member_that_could_not_linger_is_there_for_the_next_call() -> None:
    sync, pool = np.zeros(simd.SYNC_SIZE, np.int64), take(2)

    def stay(member: int, calls: int, looks: int) -> int:
        raise MemoryError

    try:
        for _ in range(3):
            assert pool.join(meet, [(1, sync, 1), (2, sync, 1)], meet, (0, sync, 1), stay, 7) == 0
    finally:
        pool.free.release()
    assert sync[8] == 3
    assert not pool.lost


def test_a_pool_in_a_call_is_kept_and_a_forked_child_knows_that_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though others look for a pool meanwhile: else each call at once would leave its threads behind for ever."""
    monkeypatch.setattr(threadpool, "_pools", {})
    pool, others = take(2), list[ThreadPool]()

    def lead() -> None:
        others.append(take(2))

    pool.join(lambda: None, [(), ()], lead, (), lambda member, calls, looks: calls, 7)
    for one in (pool, *others):
        one.free.release()
    assert {take(2), take(2)} == {pool, *others}
    threadpool._after_fork()
    assert all(one.gone and one.lost for one in (pool, *others))
    new = take(2)
    assert new not in (pool, *others)


def test_where_not_all_threads_can_be_started_those_that_were_end(monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = threading.Thread.start, list[threading.Thread]()

    def two(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", two)
    with pytest.raises(RuntimeError):
        take(11)  # no other test has a pool of so many that could be taken again
    for thread in started:
        thread.join(LIMIT)
        assert not thread.is_alive()


def test_a_member_whose_count_is_late_waits_for_the_next_call() -> None:
    """Such as one that did a call in the sync, and had no memory to say so."""
    sync, pool, late = np.zeros(simd.SYNC_SIZE, np.int64), take(2), list[int]()

    def stay(member: int, calls: int, looks: int) -> int:
        pool.mailbox[CALLS] += 1
        late.append(member)
        raise MemoryError

    try:
        for times in range(1, 5):
            assert pool.join(meet, [(1, sync, 1), (2, sync, 1)], meet, (0, sync, 1), stay, 7) == 0
            ended = time.monotonic() + LIMIT
            while len(late) < 2 * times:
                assert time.monotonic() < ended
                time.sleep(0.001)
    finally:
        pool.free.release()
    assert sync[8] == 4


def test_an_error_before_the_call_leaves_a_pool_that_nobody_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The members wait for a caller that went."""

    post, sync = ThreadPool._post, np.zeros(simd.SYNC_SIZE, np.int64)

    def failing(*arguments: Any) -> None:
        post(*arguments)
        raise MemoryError

    arguments = [(member, sync, 1) for member in range(3)]
    pool = take(2)
    with monkeypatch.context() as patch:
        patch.setattr(ThreadPool, "_post", failing)
        with pytest.raises(MemoryError):
            pool.join(meet, arguments[1:], meet, arguments[0], lambda member, calls, looks: calls, 7)
    pool.free.release()
    assert pool.lost
    other = np.zeros(simd.SYNC_SIZE, np.int64)
    assert join(meet, [(member, other, 1) for member in range(3)]) == 0
    meet(0, sync, 1)  # those that wait go


def test_a_pool_whose_call_was_never_made_is_not_used_again() -> None:
    sync, other = np.zeros((2, simd.SYNC_SIZE), np.int64)
    with pytest.raises(TypeError):
        join(meet, [(0, sync), (1, sync, 1), (2, sync, 1)])  # the others wait for the first
    assert join(meet, [(member, other, 1) for member in range(3)]) == 0
    meet(0, sync, 1)  # those that wait go
