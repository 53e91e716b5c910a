"""Checks and converts the numbers that users pass, before any kernel sees them: data, parameters and state.

Lists, or anything that NumPy takes, are read once (``reading.py``) and become C-contiguous arrays of the model's dtype.
An array of that form is used itself: it is neither copied nor written to. Everything else is cast once. Input that does
not fit raises :class:`~neuromorph.errors.DataError`, which names the argument, the place in it, what was given and what
is needed. Shapes: N sequences, S samples (time steps), B lanes (the batch), W numbers in a vector (the width).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .packing import Packing, Reading
from .reading import Given, read, read_inputs, shown

Array = NDArray[Any]
Axis = tuple[str, int | None]  # what the axis counts, and how many are needed (None: one or more)
Shape = tuple[Axis, ...]

_CHUNK = 1 << 16  # numbers that are searched at once for a wrong one
_FEW = 1 << 12  # up to so many numbers, a NumPy call takes as long as for none
_CACHED = 1 << 17  # numbers that a second-level cache holds
SINGLE = np.dtype(np.float32)
_MOST = 2**31 - 1  # the largest batch size or number of classes, lanes or steps


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Checked arguments of training and evaluation.

    inputs: (S, B, W_in) or (N, S, B, W_in). expected: the same axes with W_out. weights: (S, B) or (N, S, B), or None
    if all vectors have the same weight. sequences: whether the inputs have four axes. Where a weight is 0, ``expected``
    may hold anything, NaN too. reading: how the call read its data, if it named a layout. unknown: whether NaN
    elsewhere in ``expected`` is a component that is not known. Where small types were allowed, inputs and expected
    values may be whole numbers of one or two bytes, which become the model's type part by part.
    """

    inputs: Array
    expected: Array
    weights: Array | None
    sequences: bool
    reading: Reading | None = None
    unknown: bool = False


@dataclass(frozen=True, eq=False)
class PredictionData:
    """Checked inputs of prediction: (S, B, W) with any B, or (N, S, B, W) where ``sequences`` is true.

    squeeze: whether the user gave (S, W). Then there is one lane, and the result loses the axis of lanes again.
    packing: how the inputs were packed, if the call named a layout.
    """

    inputs: Array
    squeeze: bool
    sequences: bool
    packing: Packing | None = None

    def restore(self, results: Array) -> Any:
        """The results (…, B, W_out) in the form of the user's inputs: (S, W_out) for inputs (S, W)."""
        if self.packing is not None:
            return self.packing.unpack(results)
        return results[:, 0, :] if self.squeeze else results


def as_tensor(name: str, value: object, *, dtype: np.dtype[Any], shape: Shape, check_finite: bool = True) -> Array:
    """``value`` as a C-contiguous array of ``dtype`` whose axes fit ``shape``.

    name: the argument's name in messages. shape: one (meaning, size) for each axis; size None allows any size from 1.
    An aligned C-contiguous array of that dtype is returned itself, and a memory map as a plain array on the same
    memory. Everything else is cast once, booleans and integers included.

    Raises DataError for values that are no real numbers, ragged lists, a shape that does not fit, and, with
    ``check_finite``, for NaN, infinity, and numbers beyond the range of ``dtype``.
    """
    given = read(name, value)
    check_shape(given, (shape,))
    array = _cast(given, dtype)
    if check_finite:
        _check_finite(given, array)
    return array


def as_broadcast(name: str, value: object, *, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """``value``, a number or an array, broadcast to ``shape``. It serves parameters and state.

    Raises DataError for values that are no real numbers, ragged lists, a shape that does not broadcast, NaN, infinity,
    and numbers beyond the range of ``dtype``.
    """
    given = read(name, value)
    try:
        fits = np.broadcast_shapes(given.numbers.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise DataError(f"{name} has shape {given.numbers.shape}, and the model needs {shape}")
    array = _cast(given, dtype)
    _check_finite(given, array)
    return np.broadcast_to(array, shape)


def training_data(
    inputs: object,
    expected: object,
    sample_weight: object = None,
    *,
    batch: int | None,
    width_in: int,
    width_out: int,
    dtype: np.dtype[Any],
    recurrent: bool = False,
    small: bool = False,
) -> TrainingData:
    """The inputs, the expected values and the weights of vectors, checked against each other.

    inputs: (S, B, W_in) or (N, S, B, W_in). expected: the same leading axes with W_out. sample_weight: None, or an
    array of those leading axes, finite and at least 0. batch: the needed B; None allows any. Where the weight is 0, the
    expected values are not used and need not be finite. recurrent: whether the model has links back in time, for
    advice. small: whether arrays of small whole numbers stay as they are.

    Raises DataError where something does not fit the model or the other arguments.
    """
    if sample_weight is None and _as_they_are(inputs, expected, batch, width_in, width_out, dtype):
        return TrainingData(inputs, expected, None, sequences=False)  # type: ignore[arg-type]
    given, wanted = read_inputs(inputs), read("expected", expected)
    check_inputs(given, batch=batch, width=width_in, recurrent=recurrent)
    leading = given.numbers.shape[:-1]
    array = given.numbers if small and is_small(given.numbers) else cast_finite(given, dtype)
    _check_expected(wanted, leading, _choices(batch, width_out))
    target = wanted.numbers if small and is_small(wanted.numbers) else _cast(wanted, dtype)
    weights = None if sample_weight is None else _weights(read("sample_weight", sample_weight), dtype, leading)
    _check_finite(wanted, target, weights)
    return TrainingData(array, target, weights, sequences=array.ndim == 4)


def is_small(array: Array) -> bool:
    """Whether an array has whole numbers of at most two bytes, which need less memory than those of a model."""
    return array.dtype.kind in "biu" and array.dtype.itemsize <= 2 and bool(array.flags.c_contiguous)


def check_inputs(given: Given, *, batch: int | None, width: int, recurrent: bool) -> None:
    """Raise DataError if the inputs of training have the shape of neither one sequence nor several."""
    shape, lanes = given.numbers.shape, ""
    vectors = "for single vectors (vectors, width) give layout='NW'"
    if recurrent:
        vectors = "one sequence of one lane is (samples, 1, width), and windows() cuts a long series into sequences"
        lanes = "; if these are sequences (sequences, steps, width), give layout='NSW'"
    check_shape(
        given, _choices(batch, width), f"; {vectors}" if len(shape) == 2 else "", lanes if len(shape) == 3 else ""
    )


def _as_they_are(
    inputs: object, expected: object, batch: int | None, width_in: int, width_out: int, dtype: np.dtype[Any]
) -> bool:
    """Whether one sequence needs no cast and no message. This check is the quick way for on-line learning."""
    if type(inputs) is not np.ndarray or type(expected) is not np.ndarray or inputs.ndim != 3:
        return False
    samples, lanes, width = inputs.shape
    return (
        (samples > 0 and lanes == batch and width == width_in)
        and expected.shape == (samples, lanes, width_out)
        and (_is_ready(inputs, dtype) and _is_ready(expected, dtype))
        and math.isfinite(_total(inputs))
        and math.isfinite(_total(expected))
    )


def prediction_data(inputs: object, *, width: int, dtype: np.dtype[Any]) -> PredictionData:
    """The checked inputs of prediction: (S, any B, W), (S, W) for one lane, or (N, S, any B, W).

    Raises DataError for a shape that does not fit, and for a number that is not finite.
    """
    one_lane: Shape = (("samples", None), ("width", width))
    shapes = (*_choices(None, width), one_lane)
    given = read_inputs(inputs)
    check_shape(given, shapes)
    array = cast_finite(given, dtype)
    if array.ndim == 2:
        return PredictionData(array[:, np.newaxis, :], squeeze=True, sequences=False)
    return PredictionData(array, squeeze=False, sequences=array.ndim == 4)


def batches(
    inputs: object,
    expected: object,
    batch_size: int,
    *,
    classes: int | None = None,
    dtype: np.dtype[Any] = SINGLE,
) -> tuple[Array, Array, Array]:
    """Vectors and their expected values, padded to whole batches, ready for ``train`` and ``fit``.

    inputs: (N, W_in). expected: (N, W_out); or, if ``classes`` is given, N labels of shape (N,), whole numbers from 0
    to ``classes - 1``, each of which becomes a row with a single 1.

    Returns new arrays of ``dtype``, ``(S, B, W_in)``, ``(S, B, W_out)`` and the ``sample_weight`` (S, B), with B =
    ``batch_size`` and S = ⌈N / B⌉. Vector n is at ``[n // B, n % B]`` with weight 1. The padding after the last vector
    is 0 with weight 0, so that training leaves it out.

    Raises DataError (a ValueError) where sizes, labels or values do not fit.

    >>> inputs, expected, sample_weight = batches([[0.5], [1.5], [2.5]], [0, 2, 1], 2, classes=3)
    >>> inputs.shape, expected.shape
    ((2, 2, 1), (2, 2, 3))
    >>> expected[0, 1].tolist(), sample_weight.tolist()
    ([0.0, 0.0, 1.0], [[1.0, 1.0], [1.0, 0.0]])
    """
    lanes = as_count("batch_size", batch_size)
    vectors = as_tensor("inputs", inputs, dtype=dtype, shape=(("vectors", None), ("width", None)))
    targets = _vectors(expected, dtype) if classes is None else _one_hot(expected, as_count("classes", classes), dtype)
    check_agree("expected", targets.shape, "inputs", vectors.shape, ("vectors",))
    packing = Packing(len(vectors), lanes)
    return packing.pack(vectors), packing.pack(targets), packing.pack(np.ones(len(vectors), dtype))


def _vectors(expected: object, dtype: np.dtype[Any]) -> Array:
    """The expected vectors as an array (N, W_out). DataError if they do not fit."""
    given, hint = read("expected", expected), ""
    if given.numbers.ndim == 1:
        hint = "; for labels pass classes=, the number of classes, and for single numbers give shape (N, 1)"
    check_shape(given, ((("vectors", None), ("width", None)),), hint)
    return cast_finite(given, dtype)


def _one_hot(labels: object, classes: int, dtype: np.dtype[Any]) -> Array:
    """The labels (N,) as an array (N, classes): each row has a single 1. DataError for a wrong label."""
    given = read("expected", labels)
    hint = "; classes= is for labels" if given.numbers.ndim == 2 else ""
    check_shape(given, ((("vectors", None),),), hint)
    array = _cast(given, np.dtype(np.float64))
    right = (array >= 0) & (array < classes) & (array == np.floor(array))
    if not right.all():
        place, item = _found(given, (int(right.argmin()),))
        raise DataError(f"{place} is {shown(item)}, but a label must be a whole number from 0 to {classes - 1}")
    rows = np.zeros((len(array), classes), dtype)
    rows[np.arange(len(array)), array.astype(np.intp)] = 1
    return rows


def as_count(name: str, value: Any) -> int:
    """``value`` as an integer. DataError if it is no whole number from 1 to _MOST, or a boolean."""
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if is_whole and 1 <= int(value) <= _MOST:
        return int(value)
    raise DataError(f"{name} is {shown(value)}, but must be a whole number from 1 to {_MOST}")


def _choices(batch: int | None, width: int) -> tuple[Shape, Shape]:
    """The shape of one sequence, and the shape of several."""
    one: Shape = (("samples", None), ("batch", batch), ("width", width))
    return one, (("sequences", None), *one)


def _check_expected(given: Given, leading: tuple[int, ...], shapes: tuple[Shape, Shape]) -> None:
    """Check that the expected values have the leading axes of the inputs."""
    axes, shape = len(leading) + 1, shapes[len(leading) - 2]
    check_shape(given, (shape,), f", as inputs has {axes} axes" if given.numbers.ndim in {3, 4} else "")
    check_agree(given.name, given.numbers.shape, "inputs", leading, _meanings(shape[:-1]))


def _weights(given: Given, dtype: np.dtype[Any], leading: tuple[int, ...]) -> Array:
    """The weight of each vector, as an array with the leading axes. DataError if one is not finite, or negative."""
    meanings = ("sequences", "samples", "batch")[-len(leading) :]
    shape: Shape = tuple((meaning, None) for meaning in meanings)
    array = as_tensor(given.name, given, dtype=dtype, shape=shape)
    check_agree(given.name, array.shape, "inputs", leading, meanings)
    if np.minimum.reduce(array, axis=None) < 0:
        place, item = _found(given, _position(int((array < 0).argmax()), array.shape))
        raise DataError(f"{place} is {shown(item)}, but a weight must be 0 or more")
    return array


def check_agree(
    name: str, shape: tuple[int, ...], other: str, wanted: tuple[int, ...], meanings: tuple[str, ...]
) -> None:
    """Check that the leading axes of two arguments have the same sizes. meanings: the names of these axes."""
    for axis, meaning in enumerate(meanings):
        if shape[axis] != wanted[axis]:
            raise DataError(
                f"{name} has {shape[axis]} on axis {axis} ({meaning}), but {other} has {wanted[axis]}: "
                "both must be the same"
            )


# Shapes


def check_shape(given: Given, shapes: tuple[Shape, ...], hint: str = "", size_hint: str = "") -> None:
    """Check that the argument has one of the shapes.

    hint: the end of a message about a wrong number of axes. size_hint: that of one about the size of an axis.
    """
    array = given.numbers
    for shape in shapes:
        if array.ndim == len(shape):
            _check_axes(given.name, array.shape, shape, size_hint)
            return
    needed = " or ".join(map(_shape_text, shapes))
    raise DataError(f"{given.name} {_given_shape(array)}, but needs shape {needed}{hint}")


def _check_axes(name: str, given: tuple[int, ...], shape: Shape, hint: str) -> None:
    for axis, (meaning, needed) in enumerate(shape):
        size = given[axis]
        if size == 0 or (needed is not None and size != needed):
            wanted = "at least 1" if needed is None else str(needed)
            raise DataError(
                f"{name} has {size} on axis {axis} ({meaning}), but needs {wanted}: "
                f"its shape is {given}, and must be {_shape_text(shape)}{hint}"
            )


def _given_shape(array: Array) -> str:
    if array.ndim == 0:
        return "is a single number"
    return f"is empty, of shape {array.shape}" if array.size == 0 else f"has shape {array.shape}"


def _meanings(shape: Shape) -> tuple[str, ...]:
    return tuple(meaning for meaning, _ in shape)


def _shape_text(shape: Shape) -> str:
    """A wanted shape in words, such as ``(samples, batch = 5, width = 4)``."""
    axes = [meaning if size is None else f"{meaning} = {size}" for meaning, size in shape]
    return f"({', '.join(axes)}{',' if len(axes) == 1 else ''})"


# Values


def cast_finite(given: Given, dtype: np.dtype[Any]) -> Array:
    """The argument as a C-contiguous array of the dtype. DataError for numbers that are not finite in it."""
    array = _cast(given, dtype)
    _check_finite(given, array)
    return array


def _cast(given: Given, dtype: np.dtype[Any]) -> Array:
    """The argument as a C-contiguous array of the dtype; the argument itself if it is one already."""
    array = given.numbers
    if _is_ready(array, dtype):
        return array
    with np.errstate(all="ignore"):  # the check for finiteness reports overflow
        return array.astype(dtype, order="C")


def _is_ready(array: Array, dtype: np.dtype[Any]) -> bool:
    flags = array.flags
    return array.dtype == dtype and flags.c_contiguous and flags.aligned


def _check_finite(given: Given, array: Array, weights: Array | None = None) -> None:
    """Check that every number of the cast argument is finite, except in vectors whose weight is 0."""
    if not math.isfinite(_total(array)):
        index = _first_not_finite(array, weights)
        if index is not None:
            raise DataError(_not_finite(given, array, index))


def _total(array: Array) -> float:
    """A number that is finite only if every number of the array is. It may overflow although all are finite.

    It allocates no memory. For a few numbers it is the sum of squares: that is the quickest NumPy call, and too short
    for a BLAS to start threads. For many numbers, it adds the smallest and the largest of each piece of the array. A
    piece fits into a second-level cache.
    """
    if array.size <= _FEW:
        return float(np.vdot(array, array))
    step = max(1, _CACHED * len(array) // array.size)
    total = 0.0
    with np.errstate(all="ignore"):
        for start in range(0, len(array), step):
            some = array[start : start + step]
            total += float(np.minimum.reduce(some, axis=None)) + float(np.maximum.reduce(some, axis=None))
    return total


def _first_not_finite(array: Array, weights: Array | None) -> tuple[int, ...] | None:
    """The index of the first NaN or infinity in a vector whose weight is not 0; None if there is none."""
    width = array.shape[-1] if array.shape else 1
    rows = array.reshape(-1, width)
    counts = None if weights is None else weights.reshape(-1) != 0
    step = max(1, _CHUNK // width)
    for start in range(0, len(rows), step):
        wrong = ~np.isfinite(rows[start : start + step])
        if counts is not None:
            wrong &= counts[start : start + step, np.newaxis]
        if wrong.any():
            return _position(start * width + int(wrong.argmax()), array.shape)
    return None


def _not_finite(given: Given, array: Array, index: tuple[int, ...]) -> str:
    place, item = _found(given, index)
    if isinstance(item, (float, np.floating)) and not np.isfinite(item):
        return f"{place} is {shown(item)}, but must be finite"
    return f"{place} is {shown(item)}, too large for {array.dtype.name}"


def _position(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(axis) for axis in np.unravel_index(flat, shape))


def _found(given: Given, index: tuple[int, ...]) -> tuple[str, object]:
    """The place of a number, such as ``inputs[0, 2, 1]``, and the number there as the user gave it."""
    return given.at(index), given.items[index]
