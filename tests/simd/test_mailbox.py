"""The box through which threads that wait awake are claimed for calls: all or none, and each call made once by each."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from numba import njit

from helpers.threads import LIMIT, wait_until
from neuromorph import simd
from neuromorph.abi.mailbox import BOX_SIZE, CALLS, GIVEN, IN_BOX, WAITING


def lead(box: Any, members: int, number: int) -> bool:
    if not simd.claim(box, members):
        return False
    box[GIVEN] = number
    simd.post(box)
    return True


def serve(member: int, box: Any, calls: int, looks: int, board: Any) -> int:
    simd.arrive(box)
    while True:
        seen = simd.linger(box, calls, looks)
        if seen == calls:
            if simd.leave(box):
                return calls
            seen = simd.linger(box, calls, 1 << 60)
        if box[IN_BOX] != seen:
            simd.leave(box)
            return calls
        calls = seen
        board[member] += box[GIVEN]
        simd.arrive(box)


def linger(box: Any, calls: int, looks: int) -> int:
    return simd.linger(box, calls, looks)


@pytest.fixture(scope="module")
def compiled_box() -> tuple[Any, Any]:
    return njit(nogil=True)(lead), njit(nogil=True)(serve)


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "compiled"])
@pytest.mark.parametrize("members", [1, 3])
def test_a_call_in_the_box_is_made_by_all_or_none(jit: bool, members: int, request: pytest.FixtureRequest) -> None:
    """Members come and go, after few looks and many; each call that was led is made once by each."""
    first, rest = request.getfixturevalue("compiled_box") if jit else (lead, serve)
    box, board, over = np.zeros(BOX_SIZE, np.int64), np.zeros(members, np.int64), threading.Event()
    counts = [0] * members

    def work(member: int) -> None:
        random = np.random.default_rng(member)
        while not over.is_set():
            counts[member] = int(rest(member, box, counts[member], int(random.integers(0, 2000)), board))

    threads = [threading.Thread(target=work, args=(member,)) for member in range(members)]
    for thread in threads:
        thread.start()
    led, ended = 0, time.monotonic() + LIMIT
    while led < 200 and time.monotonic() < ended:
        if first(box, members, led + 1):
            led += 1
            while board.min() < led * (led + 1) // 2 and time.monotonic() < ended:
                time.sleep(0)
    over.set()
    for thread in threads:
        thread.join(LIMIT)
    assert led == 200
    assert (board == led * (led + 1) // 2).all()
    assert box[WAITING] == 0
    assert box[CALLS] == led
    assert counts == [led] * members


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "compiled"])
def test_members_leave_for_a_call_that_is_not_in_the_box(jit: bool, request: pytest.FixtureRequest) -> None:
    first, rest = request.getfixturevalue("compiled_box") if jit else (lead, serve)
    box, board, found = np.zeros(BOX_SIZE, np.int64), np.zeros(1, np.int64), []
    thread = threading.Thread(target=lambda: found.append(rest(0, box, 0, 1 << 60, board)))
    thread.start()
    wait_until(lambda: first(box, 1, 7))
    wait_until(lambda: board[0] and box[WAITING])
    box[CALLS] += 1
    thread.join(LIMIT)
    assert (found, board[0], box[WAITING]) == ([1], 7, 0)


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "compiled"])
def test_lingering_ends_with_the_next_call_or_with_the_last_look(jit: bool) -> None:
    waits = njit(nogil=True)(linger) if jit else linger
    box = np.zeros(BOX_SIZE, np.int64)
    assert waits(box, 7, 1 << 60) == 0
    assert waits(box, 0, 1000) == 0
    caller = threading.Timer(0.05, box.__setitem__, (CALLS, 1))
    started = time.perf_counter()
    caller.start()
    assert waits(box, 0, 1 << 60) == 1
    assert time.perf_counter() - started > 0.02
