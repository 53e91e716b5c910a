"""The slots of the mailbox that a pool of threads shares."""

from __future__ import annotations

from neuromorph import simd
from neuromorph.abi.mailbox import (
    CALLS,
    ENDED,
    GIVEN,
    IN_MAILBOX,
    LAST,
    MAILBOX_SIZE,
    NOT_KNOWN,
    PATIENCE,
    STREAK,
    SUMS,
    USER,
    WAITING,
    new_mailbox,
)
from neuromorph.codegen.waiting import _places

CACHE_LINE = 8  # slots


def test_what_a_call_needs_has_its_place() -> None:
    in_mailbox, in_numbers = _places()
    assert CALLS >= simd.SYNC_SIZE
    assert GIVEN + len(in_mailbox) <= MAILBOX_SIZE
    assert len(in_numbers) <= SUMS


def test_no_two_slots_are_one() -> None:
    slots = [CALLS, IN_MAILBOX, USER, LAST, ENDED, STREAK, WAITING, PATIENCE]
    assert len(set(slots)) == len(slots)
    assert max(slots) < GIVEN


def test_what_other_threads_look_at_and_write_is_never_in_one_cache_line() -> None:
    """Wherever in a line the mailbox begins."""
    assert abs(CALLS - WAITING) >= CACHE_LINE


def test_a_new_mailbox_is_empty_and_has_two_sums_for_each_member() -> None:
    mailbox, numbers = new_mailbox(3)
    assert mailbox.shape == (MAILBOX_SIZE,)
    assert mailbox[PATIENCE] == NOT_KNOWN
    assert not mailbox[:PATIENCE].any()
    assert not mailbox[PATIENCE + 1 :].any()
    assert numbers.shape == (SUMS + 2 * 3,)
    assert not numbers.any()
