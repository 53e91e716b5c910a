"""The mailbox: threads that wait awake are claimed for a call, all or none, and each makes each call once."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from numba import njit

from helpers.threads import LIMIT, wait_until
from neuromorph import simd
from neuromorph.abi.mailbox import CALLS, GIVEN, IN_MAILBOX, MAILBOX_SIZE, WAITING


def lead(mailbox: Any, members: int, number: int) -> bool:
    if not simd.claim(mailbox, members):
        return False
    mailbox[GIVEN] = number
    simd.post(mailbox)
    return True


def serve(member: int, mailbox: Any, calls: int, looks: int, board: Any) -> int:
    simd.arrive(mailbox)
    while True:
        seen = simd.linger(mailbox, calls, looks)
        if seen == calls:
            if simd.leave(mailbox):
                return calls
            seen = simd.linger(mailbox, calls, 1 << 60)
        if mailbox[IN_MAILBOX] != seen:
            simd.leave(mailbox)
            return calls
        calls = seen
        board[member] += mailbox[GIVEN]
        simd.arrive(mailbox)


def linger(mailbox: Any, calls: int, looks: int) -> int:
    return simd.linger(mailbox, calls, looks)


@pytest.fixture(scope="module")
def compiled_mailbox() -> tuple[Any, Any]:
    return njit(nogil=True)(lead), njit(nogil=True)(serve)


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "compiled"])
@pytest.mark.parametrize("members", [1, 3])
def test_a_call_in_the_mailbox_is_made_by_all_or_none(jit: bool, members: int, request: pytest.FixtureRequest) -> None:
    """Members come and go, after few looks and many; each call that was led is made once by each."""
    first, rest = request.getfixturevalue("compiled_mailbox") if jit else (lead, serve)
    mailbox, board, over = np.zeros(MAILBOX_SIZE, np.int64), np.zeros(members, np.int64), threading.Event()
    counts = [0] * members

    def work(member: int) -> None:
        random = np.random.default_rng(member)
        while not over.is_set():
            counts[member] = int(rest(member, mailbox, counts[member], int(random.integers(0, 2000)), board))

    threads = [threading.Thread(target=work, args=(member,)) for member in range(members)]
    for thread in threads:
        thread.start()
    led, ended = 0, time.monotonic() + LIMIT
    while led < 200 and time.monotonic() < ended:
        if first(mailbox, members, led + 1):
            led += 1
            while board.min() < led * (led + 1) // 2 and time.monotonic() < ended:
                time.sleep(0)
    over.set()
    for thread in threads:
        thread.join(LIMIT)
    assert led == 200
    assert (board == led * (led + 1) // 2).all()
    assert mailbox[WAITING] == 0
    assert mailbox[CALLS] == led
    assert counts == [led] * members


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "compiled"])
def test_members_leave_for_a_call_that_is_not_in_the_mailbox(jit: bool, request: pytest.FixtureRequest) -> None:
    first, rest = request.getfixturevalue("compiled_mailbox") if jit else (lead, serve)
    mailbox, board, found = np.zeros(MAILBOX_SIZE, np.int64), np.zeros(1, np.int64), []
    thread = threading.Thread(target=lambda: found.append(rest(0, mailbox, 0, 1 << 60, board)))
    thread.start()
    wait_until(lambda: first(mailbox, 1, 7))
    wait_until(lambda: board[0] and mailbox[WAITING])
    mailbox[CALLS] += 1
    thread.join(LIMIT)
    assert (found, board[0], mailbox[WAITING]) == ([1], 7, 0)


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "compiled"])
def test_lingering_ends_with_the_next_call_or_with_the_last_look(jit: bool) -> None:
    waits = njit(nogil=True)(linger) if jit else linger
    mailbox = np.zeros(MAILBOX_SIZE, np.int64)
    assert waits(mailbox, 7, 1 << 60) == 0
    assert waits(mailbox, 0, 1000) == 0
    caller = threading.Timer(0.05, mailbox.__setitem__, (CALLS, 1))
    started = time.perf_counter()
    caller.start()
    assert waits(mailbox, 0, 1 << 60) == 1
    assert time.perf_counter() - started > 0.02
