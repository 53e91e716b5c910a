"""Takes single sequences, or single vectors, out of data in lanes, in any order, and packs them into lanes again.

A *unit* is what may change its place: one lane of one sequence of (N, S, B, W), or one vector of (S, B, W). Unit u is
lane u % B of sequence, or sample, u // B.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import TrainingData
from .packing import Packing

Array = NDArray[Any]
PART = 1 << 22  # numbers of a part of the data that is copied at once
Numbers = NDArray[np.intp]


def in_order(data: TrainingData, places: Numbers | slice) -> TrainingData:
    """The data at these places on the first axis, in their order."""
    weights = None if data.weights is None else data.weights[places]
    return replace(data, inputs=data.inputs[places], expected=data.expected[places], weights=weights)


def parts_of(data: TrainingData, window: int = 1) -> Iterator[slice]:
    """Parts of the first axis, of about ``PART`` numbers each: single sequences, or whole windows of one sequence."""
    count, step = len(data.inputs), 1
    if not data.sequences:
        numbers = max(data.inputs.size, data.expected.size) // count
        step = max(1, PART // (numbers * window)) * window
    for start in range(0, count, step):
        yield slice(start, min(count, start + step))


def of_type(data: TrainingData, dtype: np.dtype[Any]) -> TrainingData:
    """The data with inputs, expected values and weights of a type."""
    arrays = {name: getattr(data, name) for name in ("inputs", "expected", "weights")}
    cast = {name: array.astype(dtype) for name, array in arrays.items() if array is not None and array.dtype != dtype}
    return replace(data, **cast) if cast else data


def as_vectors(data: TrainingData) -> TrainingData:
    """Several sequences as one, whose samples are those of all; for models in which nothing is recurrent."""
    if not data.sequences:
        return data
    weights = None if data.weights is None else _joined(data.weights)
    return TrainingData(_joined(data.inputs), _joined(data.expected), weights, False, data.reading)


def _joined(array: Array) -> Array:
    return array.reshape(-1, *array.shape[2:])


def counting_units(data: TrainingData) -> tuple[Numbers, Numbers]:
    """The units with a weight above 0, and the others, such as padding."""
    count = data.inputs.shape[0] * data.inputs.shape[-2]
    numbers = np.arange(count)
    if data.weights is None:
        return numbers, numbers[:0]
    weights = _units(data.weights, data.sequences, numbers)
    counts = weights.reshape(count, -1).any(axis=1)
    return numbers[counts], numbers[~counts]


def mixed(data: TrainingData, rng: np.random.Generator) -> Numbers:
    """All units in a random order, those without weight last."""
    counting, others = counting_units(data)
    rng.shuffle(counting)
    return np.concatenate([counting, others]) if len(others) else counting


def taken(data: TrainingData, numbers: Numbers) -> TrainingData:
    """The data of these units, in their order, in as many lanes as before, with padding of weight 0."""
    packing = _packing(data, numbers)
    inputs, expected = (packing.pack(_units(each, data.sequences, numbers)) for each in (data.inputs, data.expected))
    return replace(data, inputs=inputs, expected=expected, weights=weights_of(data, numbers))


def weights_of(data: TrainingData, numbers: Numbers) -> Array | None:
    """The weights of ``taken``; None if each is 1."""
    packing = _packing(data, numbers)
    if data.weights is not None:
        return packing.pack(_units(data.weights, data.sequences, numbers))
    if packing.count % packing.lanes == 0:
        return None
    steps = () if packing.steps is None else (packing.steps,)
    return packing.pack(np.ones((packing.count, *steps), data.inputs.dtype))


def _packing(data: TrainingData, numbers: Numbers) -> Packing:
    return Packing(len(numbers), data.inputs.shape[-2], data.inputs.shape[1] if data.sequences else None)


def groups(data: TrainingData, numbers: Numbers) -> Iterator[TrainingData]:
    """The sequences of these units, in their order, one group of lanes after the other."""
    lanes = data.inputs.shape[-2]
    for first in range(0, len(numbers), lanes):
        yield taken(data, numbers[first : first + lanes])


def classes_of(data: TrainingData, numbers: Numbers) -> NDArray[np.intp] | None:
    """The class of each of these units: its largest component, or for a single one whether it is above 0.5.

    None if a sequence has several classes.
    """
    expected = data.expected
    labels = expected.argmax(axis=-1) if expected.shape[-1] > 1 else (expected[..., 0] > 0.5).astype(np.intp)
    return classes_of_labels(data, labels, numbers)


def classes_of_labels(data: TrainingData, labels: Array, numbers: Numbers) -> NDArray[np.intp] | None:
    """The class of each of these units, from the labels of all vectors. None if a sequence has several classes."""
    found: NDArray[np.intp] = _units(labels, data.sequences, numbers)
    if not data.sequences:
        return found
    counts = np.ones(found.shape, bool)
    if data.weights is not None:
        counts = _units(data.weights, True, numbers) > 0.0
    first: NDArray[np.intp] = found[np.arange(len(found)), counts.argmax(axis=1)]
    return first if ((found == first[:, np.newaxis]) | ~counts).all() else None


def _units(array: Array, sequences: bool, numbers: Numbers) -> Array:
    """The parts of an array that belong to these units: (n, S, …) of sequences, (n, …) of vectors."""
    if not sequences:
        return _joined(array)[numbers]
    lanes = array.shape[2]
    found: Array = array.swapaxes(1, 2)[numbers // lanes, numbers % lanes]
    return found
