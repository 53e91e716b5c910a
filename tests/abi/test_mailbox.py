"""The slots of the box that a team of threads shares."""

from __future__ import annotations

from neuromorph import simd
from neuromorph.abi.mailbox import (
    BOX_SIZE,
    CALLS,
    ENDED,
    GIVEN,
    IN_BOX,
    LAST,
    NOT_KNOWN,
    PATIENCE,
    STREAK,
    SUMS,
    USER,
    WAITING,
    new_box,
)
from neuromorph.codegen.waiting import _places

CACHE_LINE = 8  # slots


def test_what_a_call_needs_has_its_place() -> None:
    in_box, in_numbers = _places()
    assert CALLS >= simd.SYNC_SIZE
    assert GIVEN + len(in_box) <= BOX_SIZE
    assert len(in_numbers) <= SUMS


def test_no_two_slots_are_one() -> None:
    slots = [CALLS, IN_BOX, USER, LAST, ENDED, STREAK, WAITING, PATIENCE]
    assert len(set(slots)) == len(slots)
    assert max(slots) < GIVEN


def test_what_other_threads_look_at_and_write_is_never_in_one_cache_line() -> None:
    """Wherever in a line the box begins."""
    assert abs(CALLS - WAITING) >= CACHE_LINE


def test_a_new_box_is_empty_and_has_two_sums_for_each_member() -> None:
    box, numbers = new_box(3)
    assert box.shape == (BOX_SIZE,)
    assert box[PATIENCE] == NOT_KNOWN
    assert not box[:PATIENCE].any()
    assert not box[PATIENCE + 1 :].any()
    assert numbers.shape == (SUMS + 2 * 3,)
    assert not numbers.any()
