"""A team whose caller works too, and what its threads do between two calls."""

from __future__ import annotations

import operator
import threading
import time
from typing import Any

import numpy as np
import pytest
from numba import njit
from test_threads import interrupted_after

from neuromorph import simd
from neuromorph.team import TRIES, Team, run_together


@njit(nogil=True)
def stay(box: Any, calls: int, looks: int) -> None:
    simd.linger(box, calls, looks)


@njit(nogil=True)
def meet(member: int, sync: Any, times: int) -> int:
    for _ in range(times):
        simd.barrier(sync, 3)
    return member


def test_the_caller_is_the_first_member() -> None:
    sync = np.zeros(simd.SYNC_SIZE, np.int64)
    for _ in range(200):
        assert run_together(meet, [(member, sync, 5) for member in range(3)], stay) == 0
    assert sync[8] == 200 * 5


def test_a_team_works_again_after_its_threads_went_to_sleep() -> None:
    sync = np.zeros(simd.SYNC_SIZE, np.int64)
    for pause in (0.0, 0.05, 0.0):
        time.sleep(pause)
        assert run_together(meet, [(member, sync, 1) for member in range(3)], stay) == 0


def test_an_interrupt_of_the_caller_comes_when_all_have_met() -> None:
    sync = np.zeros(simd.SYNC_SIZE, np.int64)

    def for_ever() -> None:
        while True:
            run_together(meet, [(member, sync, 50) for member in range(3)], stay)

    for number in range(10):
        interrupted_after(0.02 + 0.007 * number, for_ever)
        assert sync[0] == 0
        assert sync[8] % 50 == 0
    assert run_together(meet, [(member, sync, 1) for member in range(3)], stay) == 0


def test_an_error_of_the_function_is_raised_and_the_team_goes_on() -> None:
    for _ in range(TRIES):
        with pytest.raises(ZeroDivisionError):
            run_together(operator.truediv, [(1, 0), (1, 1)], stay)
        assert run_together(operator.truediv, [(1, 4), (1, 1)], stay) == 0.25


def test_any_number_of_interrupts_before_the_call_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members that wait for the caller can't be left alone: neither then, nor for the next call."""
    sync, left = np.zeros(simd.SYNC_SIZE, np.int64), [KeyboardInterrupt()] * (3 * TRIES)
    post = Team._post

    def interrupted(*arguments: Any) -> None:
        post(*arguments)
        if left:
            raise left.pop()

    monkeypatch.setattr(Team, "_post", interrupted)
    arguments = [(member, sync, 5) for member in range(3)]
    with pytest.raises(KeyboardInterrupt):
        run_together(meet, arguments, stay)
    assert (sync[8], left) == (5, [])
    assert run_together(meet, arguments, stay) == 0


def test_a_team_whose_call_was_never_made_is_not_used_again() -> None:
    box, other = np.zeros((2, simd.SYNC_SIZE), np.int64)
    with pytest.raises(TypeError):
        run_together(meet, [(0, box), (1, box, 1), (2, box, 1)], stay)  # the others wait for the first
    assert run_together(meet, [(member, other, 1) for member in range(3)], stay) == 0
    meet(0, box, 1)  # those that wait go


@pytest.mark.parametrize("waits", [stay, simd.linger], ids=["compiled", "plain"])
def test_lingering_ends_with_the_next_call_or_with_the_last_look(waits: Any) -> None:
    box = np.zeros(16, np.int64)
    waits(box, 7, 1 << 60)
    waits(box, 0, 1000)
    caller = threading.Timer(0.05, box.__setitem__, (0, 1))
    caller.start()
    started = time.perf_counter()
    waits(box, 0, 1 << 60)
    assert box[0] == 1
    assert time.perf_counter() - started > 0.02
