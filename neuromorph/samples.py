"""Lengths as weights and class labels as vectors: what users may hand over in place of what kernels take.

Shapes: N sequences, S samples (time steps), B lanes (the batch), W numbers in a vector (the width).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .data import Shape, as_tensor
from .errors import DataError

if TYPE_CHECKING:
    from .model import Model

Array = NDArray[Any]
_AXES = (3, 4)  # of inputs: (samples, batch, width), or (sequences, samples, batch, width)


def lengths_as_weights(model: Model, inputs: Any, sample_weight: Any, lengths: Any) -> tuple[Any, Any]:
    """Inputs as an array, and weights that are 0 beyond each sequence's length.

    lengths: whole numbers from 0 to S, of shape (N,) or (N, B) for inputs of shape (N, S, B, W), and (B,), one a lane,
    for (S, B, W). Raises DataError where they do not fit; what is wrong with the other arguments is left to be found
    by their own checks.
    """
    if axes_of(inputs) not in _AXES:
        return inputs, None
    array = _inputs(model, inputs)
    mask = _within(lengths, array.shape[:-1], array.dtype)
    if sample_weight is None:
        return array, mask
    if axes_of(sample_weight) != mask.ndim:
        return array, sample_weight
    weights = as_tensor("sample_weight", sample_weight, dtype=array.dtype, shape=_leading_shape(array.shape[:-1]))
    return array, np.where(mask > 0.0, weights, mask)


def labels_as_vectors(model: Model, inputs: Any, expected: Any, sample_weight: Any) -> tuple[Any, Any]:
    """Inputs and expected vectors; class labels of shape (S, B) or (N, S, B) become vectors with a single 1.

    A label is a whole number from 0 to the output's width - 1, or anything where its weight is 0. Raises DataError,
    with the place, where it is not.
    """
    axes = axes_of(inputs)
    if axes not in _AXES or axes_of(expected) != axes - 1:
        return inputs, expected
    array = _inputs(model, inputs)
    shape = _leading_shape(array.shape[:-1])
    labels = as_tensor("expected", expected, dtype=np.dtype(np.float64), shape=shape, check_finite=False)
    counts = np.ones(labels.shape, bool)
    if sample_weight is not None and axes_of(sample_weight) == labels.ndim:
        counts = as_tensor("sample_weight", sample_weight, dtype=array.dtype, shape=shape) != 0.0
    return array, _one_hot(labels, counts, model.output_width, array.dtype)


def axes_of(value: Any) -> int:
    """The axes of an array or of what makes one of itself, or how deep lists are nested (9 for deeper ones)."""
    axes = 0
    while isinstance(value, list | tuple) and value and axes < 9:
        value, axes = value[0], axes + 1
    if not hasattr(value, "ndim") and hasattr(value, "__array__"):
        value = _as_array(value)
    return axes + int(getattr(value, "ndim", 0))


def _as_array(value: Any) -> Any:
    """What ``__array__`` makes; the value itself where it fails, as the checks that follow will say."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError):
        return value


def _inputs(model: Model, inputs: Any) -> Array:
    """Inputs as an array of the model's type, not yet checked for finiteness."""
    shape: Shape = (("samples", None), ("batch", model.batch_size), ("width", model.input_width))
    if axes_of(inputs) == 4:
        shape = (("sequences", None), *shape)
    return as_tensor("inputs", inputs, dtype=model.dtype, shape=shape, check_finite=False)


def _leading_shape(sizes: tuple[int, ...]) -> Shape:
    """The shape of what has one number for each vector of the inputs."""
    return tuple(zip(("sequences", "samples", "batch")[-len(sizes) :], sizes, strict=True))


def _within(lengths: Any, leading: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """1 for each vector inside its sequence's length, 0 beyond."""
    samples, batch = leading[-2:]
    shape: Shape = (("batch", batch),)
    if len(leading) == 3:
        shape = (("sequences", leading[0]), *(shape if axes_of(lengths) == 2 else ()))
    array = as_tensor("lengths", lengths, dtype=np.dtype(np.float64), shape=shape)
    right = (array >= 0) & (array <= samples) & (array == np.floor(array))
    if not right.all():
        place, given = _first(array, ~right)
        raise DataError(f"lengths{place} is {given:g}, but a length must be a whole number from 0 to {samples}")
    if len(leading) == 3:
        array = array.reshape(leading[0], 1, -1)
    steps = np.arange(samples)[:, np.newaxis]
    return np.ascontiguousarray(np.broadcast_to(steps < array, leading), dtype=dtype)


def _one_hot(labels: Array, counts: Array, classes: int, dtype: np.dtype[Any]) -> Array:
    """(…,) labels as (…, classes); zeros where a label does not count."""
    right = (labels >= 0) & (labels < classes) & (labels == np.floor(labels))
    if not right[counts].all():
        place, given = _first(labels, counts & ~right)
        raise DataError(f"expected{place} is {given:g}, but a label must be a whole number from 0 to {classes - 1}")
    vectors = np.zeros((*labels.shape, classes), dtype)
    places = np.nonzero(counts & right)
    vectors[(*places, labels[places].astype(np.intp))] = 1.0
    return vectors


def _first(array: Array, wrong: Array) -> tuple[list[int], float]:
    """Where the first wrong number stands, and what it is."""
    index = tuple(int(axis) for axis in np.argwhere(wrong)[0])
    return list(index), float(array[index])
