"""Single sequences and vectors in another order, and the part of them that is held out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neuromorph.data.arrays import TrainingData
from neuromorph.data.holding_out import drawn
from neuromorph.data.mixing import as_vectors, classes_of, counting_units, groups, mixed, taken

RNG = np.random.default_rng(1)


def data_of(*leading: int, weights: Any = None) -> TrainingData:
    """Data in which every number is another one."""
    inputs = np.arange(np.prod(leading) * 2.0).reshape(*leading, 2)
    return TrainingData(inputs, inputs[..., :1] + 0.5, weights, sequences=len(leading) == 3)


def units_of(data: TrainingData) -> list[tuple[Any, ...]]:
    """What belongs to each unit: inputs, expected values and weights, as tuples."""
    weights = np.ones(data.inputs.shape[:-1]) if data.weights is None else data.weights
    arrays = [*map(np.asarray, (data.inputs, data.expected, weights))]
    if data.sequences:
        arrays = [array.swapaxes(1, 2) for array in arrays]
    parts = [array.reshape(array.shape[0] * array.shape[1], -1) for array in arrays]
    return [tuple(tuple(part[unit]) for part in parts) for unit in range(len(parts[0]))]


@pytest.mark.parametrize("leading", [(4, 3), (4, 5, 3)])
def test_every_unit_keeps_its_parts_in_a_new_order(leading: tuple[int, ...]) -> None:
    data = data_of(*leading, weights=RNG.random(leading))
    order = mixed(data, np.random.default_rng(0))
    found, before = units_of(taken(data, order)), units_of(data)
    assert found == [before[unit] for unit in order]
    assert sorted(found) == sorted(before)
    assert found != before
    lane = [unit % 3 for unit in order]
    assert lane != [unit % 3 for unit in range(12)]


def test_units_without_weight_come_last() -> None:
    weights = np.ones((4, 3))
    weights[2, 1] = weights[0, 0] = 0
    data = data_of(4, 3, weights=weights)
    counting, others = counting_units(data)
    assert (others.tolist(), len(counting)) == ([0, 7], 10)
    assert mixed(data, np.random.default_rng(0))[-2:].tolist() == [0, 7]


@pytest.mark.parametrize("leading", [(4, 3), (4, 5, 3)])
def test_a_part_is_padded_with_weight_0(leading: tuple[int, ...]) -> None:
    data = data_of(*leading)
    part = taken(data, np.array([7, 2, 9, 4]))
    before, found = units_of(data), units_of(part)
    assert found[:4] == [before[unit] for unit in (7, 2, 9, 4)]
    assert len(found) == 6
    assert not np.any([np.any(each) for unit in found[4:] for each in unit])
    assert taken(data, np.arange(6)).weights is None


def test_groups_are_the_same_data_one_after_the_other() -> None:
    data = data_of(4, 5, 3, weights=RNG.random((4, 5, 3)))
    order = mixed(data, np.random.default_rng(0))
    whole, parts = taken(data, order), list(groups(data, order))
    assert len(parts) == 4
    for number, part in enumerate(parts):
        np.testing.assert_array_equal(part.inputs[0], whole.inputs[number])
        np.testing.assert_array_equal(part.expected[0], whole.expected[number])


def test_sequences_of_vectors_are_vectors() -> None:
    data = as_vectors(data_of(4, 5, 3, weights=np.ones((4, 5, 3))))
    assert (data.inputs.shape, data.weights.shape, data.sequences) == ((20, 3, 2), (20, 3), False)  # type: ignore[union-attr]


def test_the_class_of_a_sequence_is_that_of_what_counts_in_it() -> None:
    labels = np.array([[0, 1], [2, 1], [1, 1]])  # steps, lanes
    data = TrainingData(np.zeros((1, 3, 2, 2)), np.eye(3)[labels][None], None, sequences=True)
    assert classes_of(data, np.arange(2)) is None
    last = np.zeros((1, 3, 2))
    last[:, 2] = 1
    found = classes_of(TrainingData(data.inputs, data.expected, last, sequences=True), np.arange(2))
    assert found is not None
    assert found.tolist() == [1, 1]
    sides = TrainingData(np.zeros((2, 2, 1)), np.array([[[0.0], [1]], [[1], [0]]]), None, sequences=False)
    assert np.array_equal(classes_of(sides, np.arange(4)), [0, 1, 1, 0])  # type: ignore[arg-type]


@pytest.mark.parametrize("held", [1, 7, 20, 49])
def test_a_part_of_sorted_classes_has_each_class(held: int) -> None:
    classes = np.repeat([0, 1, 2], [25, 15, 10])
    kept, out = drawn(50, held, classes)
    assert sorted([*kept, *out]) == list(range(50))
    assert len(out) == held
    shares = np.bincount(classes[out], minlength=3)
    assert np.all(np.abs(shares - np.array([25, 15, 10]) * held / 50) < 1)
    if held < 47:
        assert len(set(classes[kept])) == 3


def test_the_last_of_a_class_is_kept_to_learn_from() -> None:
    kept, out = drawn(6, 2, np.array([0, 0, 0, 1, 2, 3]))
    assert set(out) <= {0, 1, 2}
    assert {3, 4, 5} <= set(kept)


def test_the_same_part_is_drawn_each_time() -> None:
    one, other = drawn(100, 20), drawn(100, 20)
    np.testing.assert_array_equal(one[1], other[1])
    assert one[1].tolist() != list(range(80, 100))
    assert np.all(np.diff(one[1]) > 0)
