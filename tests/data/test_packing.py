"""Sequences and single vectors in lanes, and the way back."""

from __future__ import annotations

import numpy as np
import pytest

from neuromorph.data.packing import Packing, even_lanes


def numbered(*shape: int) -> np.ndarray:
    return np.arange(1.0, 1 + np.prod(shape)).reshape(shape)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_each_sequence_has_a_lane_and_comes_back(count: int) -> None:
    rows, packing = numbered(count, 5, 2), Packing(count, 3, 5)
    packed = packing.pack(rows)
    assert packed.shape == (*packing.leading, 2) == (-(-count // 3), 5, 3, 2)
    for n in range(packed.shape[0] * 3):
        there = rows[n] if n < count else np.zeros((5, 2))
        np.testing.assert_array_equal(packed[n // 3, :, n % 3], there)
    np.testing.assert_array_equal(packing.unpack(packed), rows)


@pytest.mark.parametrize("count", [1, 3, 4])
def test_each_vector_has_a_lane_and_comes_back(count: int) -> None:
    rows, packing = numbered(count, 2), Packing(count, 3)
    packed = packing.pack(rows)
    assert packed.shape == (*packing.leading, 2)
    np.testing.assert_array_equal(packed.reshape(-1, 2)[:count], rows)
    assert not packed.reshape(-1, 2)[count:].any()
    np.testing.assert_array_equal(packing.unpack(packed), rows)


def test_sequences_of_a_list_are_padded_and_come_back_as_a_list() -> None:
    rows = [numbered(3, 2), numbered(1, 2) + 10, numbered(4, 2) + 20]
    packing = Packing(3, 2, 4, np.array([3, 1, 4]))
    packed = packing.pack_list(rows)
    assert packed.shape == (2, 4, 2, 2)
    assert not packed[0, 1:, 1].any()
    assert not packed[1, :, 1].any()
    for back, row in zip(packing.unpack(packed), rows, strict=True):
        np.testing.assert_array_equal(back, row)


def test_one_row_for_a_sequence_stands_at_its_step() -> None:
    packed = Packing(3, 2, 4).pack_once(numbered(3, 2), np.array([3, -1, 0]))
    assert packed.shape == (2, 4, 2, 2)
    assert np.count_nonzero(packed) == 4
    np.testing.assert_array_equal(packed[0, 3, 0], [1, 2])
    np.testing.assert_array_equal(packed[1, 0, 0], [5, 6])


def test_the_place_of_a_packed_number_is_known() -> None:
    rows, packing = numbered(7, 5, 2), Packing(7, 3, 5)
    packed = packing.pack(rows)
    for index in np.argwhere(packed):
        assert packed[tuple(index)] == rows[packing.number(tuple(index))]
    vectors, packing = numbered(4, 2), Packing(4, 3)
    packed = packing.pack(vectors)
    for index in np.argwhere(packed):
        assert packed[tuple(index)] == vectors[packing.number(tuple(index))]


def test_a_view_is_packed_as_it_is() -> None:
    view = np.lib.stride_tricks.sliding_window_view(numbered(9), 4)[:, :, np.newaxis]
    packing = Packing(6, 2, 4)
    np.testing.assert_array_equal(packing.unpack(packing.pack(view)), view)


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 64, 65, 97, 1000])
def test_even_lanes_leave_less_than_one_group_of_lanes_empty(count: int) -> None:
    lanes, fewest = even_lanes(count, 32), -(-count // 32)
    assert 1 <= lanes <= min(count, 32)
    assert -(-count // lanes) == fewest, "as few groups as with all lanes"
    assert lanes * fewest - count < fewest, "at most one empty lane a group"
