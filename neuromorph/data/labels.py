"""Converts lengths to sample weights and class labels to vectors.

Shapes: N sequences, S samples (time steps), B lanes (the batch), W numbers in a vector (the width).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..host.frozen import frozen
from .arrays import Shape, as_tensor, batches, check_inputs
from .reading import Given, Place, read, read_inputs

Array = NDArray[Any]
_AT_ONCE = 1 << 16  # labels that become vectors at once


@frozen
class Needs:
    """What a network takes: the number of lanes, the widths of vectors and the dtype.

    takes_labels: whether class labels may stand for expected vectors. recurrent: whether it has links back in time.
    """

    batch: int
    width_in: int
    width_out: int
    dtype: np.dtype[Any]
    takes_labels: bool
    recurrent: bool = False

    @property
    def short(self) -> bool:
        """Whether what is expected may lack the axis of the width: labels, or the numbers of an output of width 1."""
        return self.takes_labels or self.width_out == 1


def as_vectors_and_weights(
    needs: Needs, inputs: Any, expected: Any, sample_weight: Any, lengths: Any, *, small: bool = False
) -> tuple[Given, Given, Given | None]:
    """The inputs, the expected vectors and the weights, each argument read once.

    Lengths become weights. Class labels of a cross-entropy become vectors, of one byte a number if ``small``. Raises
    DataError where inputs, lengths or labels do not fit; the other arguments are checked later.
    """
    given, wanted = read_inputs(inputs), read("expected", expected)
    weights = None if sample_weight is None else read("sample_weight", sample_weight)
    check_inputs(given, batch=needs.batch, width=needs.width_in, recurrent=needs.recurrent)
    leading = given.numbers.shape[:-1]
    if lengths is not None:
        weights = lengths_as_weights(leading, weights, read("lengths", lengths), needs.dtype)
    if needs.takes_labels and wanted.numbers.ndim == len(leading):
        wanted = _labels_as_vectors(leading, wanted, weights, needs, np.dtype(np.int8) if small else needs.dtype)
    return given, wanted, weights


def lengths_as_weights(
    leading: tuple[int, ...], sample_weight: Given | None, lengths: Given, dtype: np.dtype[Any]
) -> Given:
    """Weights that are 0 beyond each sequence's length. leading: the leading axes of the inputs.

    lengths: whole numbers from 0 to S, of shape (N,) or (N, B) for inputs of shape (N, S, B, W), and of shape (B,), one
    for each lane, for (S, B, W). Raises DataError where they do not fit.
    """
    mask = _within(lengths, leading, dtype)
    if sample_weight is None:
        return Given("sample_weight", mask, mask)
    if sample_weight.numbers.ndim != mask.ndim:
        return sample_weight
    weights = as_tensor("sample_weight", sample_weight, dtype=dtype, shape=_leading_shape(leading))
    return sample_weight._replace(numbers=np.where(mask > 0.0, weights, mask))


def _labels_as_vectors(
    leading: tuple[int, ...], labels: Given, sample_weight: Given | None, needs: Needs, dtype: np.dtype[Any]
) -> Given:
    """Class labels of shape (S, B) or (N, S, B) as vectors with a single 1.

    A label is a whole number from 0 to the output's width - 1; where its weight is 0, it may be anything. Raises
    DataError that names the place of a wrong label.
    """
    shape = _leading_shape(leading)
    exact = labels.numbers.dtype if labels.numbers.dtype.kind == "f" else np.dtype(np.float64)
    array = as_tensor("expected", labels, dtype=exact, shape=shape, check_finite=False)
    counts = np.ones(array.shape, bool)
    if sample_weight is not None and sample_weight.numbers.ndim == array.ndim:
        counts = as_tensor("sample_weight", sample_weight, dtype=needs.dtype, shape=shape) != 0.0
    vectors = _one_hot(labels, array, counts, needs.width_out, dtype)
    return Given("expected", vectors, vectors)


def _leading_shape(sizes: tuple[int, ...]) -> Shape:
    """The shape of an argument that has one number for each vector of the inputs."""
    return tuple(zip(("sequences", "samples", "batch")[-len(sizes) :], sizes, strict=True))


def _within(lengths: Given, leading: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array with 1 for each vector within the length of its sequence, and 0 for the others."""
    samples, batch = leading[-2:]
    shape: Shape = (("batch", batch),)
    if len(leading) == 3:
        shape = (("sequences", leading[0]), *(shape if lengths.numbers.ndim == 2 else ()))
    array = checked_lengths(lengths, shape, samples)
    if len(leading) == 3:
        array = array.reshape(leading[0], 1, -1)
    steps = np.arange(samples)[:, np.newaxis]
    return np.ascontiguousarray(np.broadcast_to(steps < array, leading), dtype=dtype)


def checked_lengths(lengths: Given, shape: Shape, samples: int) -> Array:
    """Lengths of a shape as an array: whole numbers from 0 to ``samples``. Raises DataError for others."""
    array = as_tensor("lengths", lengths, dtype=np.dtype(np.float64), shape=shape)
    right = (array >= 0) & (array <= samples) & (array == np.floor(array))
    if not right.all():
        place, length = _first(array, ~right)
        raise DataError(f"{lengths.at(place)} is {length:g}, but a length must be a whole number from 0 to {samples}")
    return array


def _one_hot(given: Given, labels: Array, counts: Array, classes: int, dtype: np.dtype[Any]) -> Array:
    """Labels (…,) as vectors (…, classes); zeros where ``counts`` is false. given: the labels as they were read."""
    vectors = np.zeros((*labels.shape, classes), dtype)
    flat, counting, rows = labels.reshape(-1), counts.reshape(-1), vectors.reshape(-1, classes)
    for start in range(0, len(flat), _AT_ONCE):
        some = flat[start : start + _AT_ONCE]
        counted = counting[start : start + _AT_ONCE]
        right = (some >= 0) & (some < classes) & (some == np.floor(some))
        if not right[counted].all():
            place = np.unravel_index(start + int((counted & ~right).argmax()), labels.shape)
            where, label = tuple(map(int, place)), float(labels[place])
            raise DataError(
                f"{given.at(where)} is {label:g}, but a label must be a whole number from 0 to {classes - 1}"
            )
        numbers = np.flatnonzero(counted & right)
        rows[start + numbers, some[numbers].astype(np.intp)] = 1
    return vectors


def _first(array: Array, wrong: Array) -> tuple[Place, float]:
    """The index of the first wrong number, and the number."""
    index = tuple(int(axis) for axis in np.argwhere(wrong)[0])
    return index, float(array[index])


def batches_for(needs: Needs, inputs: Any, expected: Any, classes: int | None) -> tuple[Array, Array, Array]:
    """Vectors in batches for a network, which has their number of lanes and their type; see ``neuromorph.batches``."""
    if needs.recurrent:
        raise DataError(
            "batches deals single vectors out over lanes, and this model has links back in time, which would read them "
            "as sequences: give layout='NSW' to train or fit for sequences, or cut one long series by windows()"
        )
    wanted = read("expected", expected)
    if classes is None and needs.takes_labels and wanted.numbers.ndim == 1:
        classes = needs.width_out
    return batches(inputs, wanted, needs.batch, classes=classes, dtype=needs.dtype)
