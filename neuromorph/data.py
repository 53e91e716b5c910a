"""Checks and conversion of the numbers that users hand over, before any kernel sees them.

Lists, or anything that NumPy takes, become C-contiguous arrays of the model's type. An array that is one
already is used itself: it is neither copied nor ever written to; all else is cast once. Whatever does not fit
is a :class:`~neuromorph.errors.DataError` that names the argument, the place in it, what was given and what
is needed. Shapes: N sequences, S samples (time steps), B lanes (the batch), W numbers in a vector (the width).
"""

import math
import numbers
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import DataError

Array = NDArray[Any]
Axis = tuple[str, int | None]  # what the axis counts, and how many are needed (None: one or more)
Shape = tuple[Axis, ...]

_DEEPEST = 8  # lists within lists that are followed: more than any argument has axes
_CHUNK = 1 << 16  # numbers looked at in one go when searching for a wrong one
_FEW = 1 << 12  # numbers below which the time of a NumPy call is that of the call itself
_CACHED = 1 << 17  # numbers that a second-level cache holds
_SHOWN = 40  # characters of a value that a message shows
_MOST = 2**31 - 1  # the largest batch size or number of classes
_MIXED = "OUSTc"  # kinds of array that NumPy makes of a list with some wrong items among its numbers


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Checked arguments of training and evaluation.

    ``inputs`` (S, B, W_in) or (N, S, B, W_in), ``expected`` likewise with W_out, ``weights`` (S, B) or
    (N, S, B), or None where every vector counts the same. ``sequences`` tells the four-axis form.
    Where a weight is 0, ``expected`` may hold anything, NaN too.
    """

    inputs: Array
    expected: Array
    weights: Array | None
    sequences: bool


@dataclass(frozen=True, eq=False)
class PredictionData:
    """Checked inputs of prediction: (S, B, W) with any B, or (N, S, B, W) where ``sequences`` is true.

    ``squeeze`` tells that the user gave (S, W): there is one lane, and the result loses its axis again.
    """

    inputs: Array
    squeeze: bool
    sequences: bool

    def restore(self, results: Array) -> Array:
        """Results (…, B, W_out) of these inputs in the form that the user gave: (S, W_out) for (S, W)."""
        return results[:, 0, :] if self.squeeze else results


def as_tensor(name: str, value: object, *, dtype: np.dtype[Any], shape: Shape, check_finite: bool = True) -> Array:
    """``value`` as a C-contiguous array of ``dtype`` whose axes fit ``shape``.

    ``name`` is the argument's name for messages; ``shape`` has one (meaning, size) a wanted axis, None for
    any size from 1. An aligned C-contiguous array of that type comes back itself, and a memory map as
    a plain array on the same memory; all else is cast once, booleans and integers included.

    Raises DataError for values that are no real numbers, ragged lists, a shape that does not fit, and, with
    ``check_finite``, for NaN, infinity, and numbers beyond the range of ``dtype``.
    """
    array = _fitting(name, _numbers(name, value, dtype), (shape,))
    if check_finite:
        _check_finite(name, array, value)
    return array


def training_data(
    inputs: object,
    expected: object,
    sample_weight: object = None,
    *,
    batch: int | None,
    width_in: int,
    width_out: int,
    dtype: np.dtype[Any],
) -> TrainingData:
    """Inputs, what is expected of them, and perhaps a weight for each vector, checked against each other.

    ``inputs`` (S, B, W_in) or (N, S, B, W_in), ``expected`` with the same leading axes and W_out,
    ``sample_weight`` None or of those leading axes, finite and at least 0. ``batch`` None takes any B.
    What is expected where the weight is 0 is left out whatever it is, and need not be finite.

    Raises DataError where something does not fit the model or the other arguments.
    """
    if sample_weight is None and _as_they_are(inputs, expected, batch, width_in, width_out, dtype):
        return TrainingData(inputs, expected, None, sequences=False)  # type: ignore[arg-type]
    given = _numbers("inputs", inputs, dtype)
    array = _fitting("inputs", given, _choices(batch, width_in), _batches_hint(given))
    _check_finite("inputs", array, inputs)
    leading = array.shape[:-1]
    target = _expected("expected", expected, dtype, leading, _choices(batch, width_out))
    weights = None if sample_weight is None else _weights("sample_weight", sample_weight, dtype, leading)
    _check_finite("expected", target, expected, weights)
    return TrainingData(array, target, weights, sequences=array.ndim == 4)


def _as_they_are(
    inputs: object, expected: object, batch: int | None, width_in: int, width_out: int, dtype: np.dtype[Any]
) -> bool:
    """Whether one sequence needs neither a cast nor a message: the quick way for on-line learning."""
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
    """Inputs of prediction, finite: (S, any B, W), (S, W) for one lane, or (N, S, any B, W).

    Raises DataError where the shape or a value does not fit.
    """
    one_lane: Shape = (("samples", None), ("width", width))
    shapes = (*_choices(None, width), one_lane)
    array = _fitting("inputs", _numbers("inputs", inputs, dtype), shapes)
    _check_finite("inputs", array, inputs)
    if array.ndim == 2:
        return PredictionData(array[:, np.newaxis, :], squeeze=True, sequences=False)
    return PredictionData(array, squeeze=False, sequences=array.ndim == 4)


def batches(
    inputs: ArrayLike, expected: ArrayLike, batch_size: int, *, classes: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Vectors and what is expected of them, padded to whole batches, ready for ``train`` and ``fit``.

    ``inputs`` (N, W_in); ``expected`` (N, W_out), or with ``classes`` N labels of shape (N,), whole numbers
    from 0 to ``classes - 1``, each of which becomes a row with a single 1.

    Returns new float32 arrays ``(S, B, W_in)``, ``(S, B, W_out)`` and the ``sample_weight`` (S, B), with
    B = ``batch_size`` and S = ⌈N / B⌉. Vector n sits at ``[n // B, n % B]`` with weight 1; the padding after
    the last one is 0 with weight 0, so that training leaves it out.

    Raises DataError (a ValueError) where sizes, labels or values do not fit.

    >>> inputs, expected, sample_weight = batches([[0.5], [1.5], [2.5]], [0, 2, 1], 2, classes=3)
    >>> inputs.shape, expected.shape
    ((2, 2, 1), (2, 2, 3))
    >>> expected[0, 1].tolist(), sample_weight.tolist()
    ([0.0, 0.0, 1.0], [[1.0, 1.0], [1.0, 0.0]])
    """
    lanes = _whole_number("batch_size", batch_size)
    vectors = as_tensor("inputs", inputs, dtype=np.dtype(np.float32), shape=(("vectors", None), ("width", None)))
    targets = _vectors(expected) if classes is None else _one_hot(expected, _whole_number("classes", classes))
    _check_agree("expected", targets.shape, "inputs", vectors.shape, ("vectors",))
    ones = np.ones(len(vectors), np.float32)
    return _padded(vectors, lanes), _padded(targets, lanes), _padded(ones, lanes)


def _padded(rows: NDArray[np.float32], lanes: int) -> NDArray[np.float32]:
    """A copy of (N, …) as (⌈N / lanes⌉, lanes, …), zeros after the last row."""
    steps = -(-len(rows) // lanes)
    padded = np.zeros((steps * lanes, *rows.shape[1:]), rows.dtype)
    padded[: len(rows)] = rows
    return padded.reshape(steps, lanes, *rows.shape[1:])


def _vectors(expected: object) -> NDArray[np.float32]:
    """What is expected of each vector, (N, W_out)."""
    array = _numbers("expected", expected, np.dtype(np.float32))
    hint = ""
    if array.ndim == 1:
        hint = "; for labels pass classes=, the number of classes, and for single numbers give shape (N, 1)"
    _fitting("expected", array, ((("vectors", None), ("width", None)),), hint)
    _check_finite("expected", array, expected)
    return array


def _one_hot(labels: object, classes: int) -> NDArray[np.float32]:
    """A row with a single 1 for each label: (N,) becomes (N, classes)."""
    array = _numbers("expected", labels, np.dtype(np.float64))
    hint = "; classes= is for labels" if array.ndim == 2 else ""
    _fitting("expected", array, ((("vectors", None),),), hint)
    right = (array >= 0) & (array < classes) & (array == np.floor(array))
    if not right.all():
        place, item = _found("expected", (int(right.argmin()),), labels)
        raise DataError(f"{place} is {_shown(item)}, but a label must be a whole number from 0 to {classes - 1}")
    rows = np.zeros((len(array), classes), np.float32)
    rows[np.arange(len(array)), array.astype(np.intp)] = 1
    return rows


def _whole_number(name: str, value: Any) -> int:
    """A count, from 1; a boolean is none."""
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if is_whole and 1 <= int(value) <= _MOST:
        return int(value)
    raise DataError(f"{name} is {_shown(value)}, but must be a whole number from 1 to {_MOST}")


def _choices(batch: int | None, width: int) -> tuple[Shape, Shape]:
    """The shapes of one sequence and of many."""
    one: Shape = (("samples", None), ("batch", batch), ("width", width))
    return one, (("sequences", None), *one)


def _batches_hint(array: Array) -> str:
    return "; batches() makes that of vectors (N, width)" if array.ndim == 2 else ""


def _expected(
    name: str, value: object, dtype: np.dtype[Any], leading: tuple[int, ...], shapes: tuple[Shape, Shape]
) -> Array:
    """What is expected of inputs with these leading axes; not yet checked for finiteness."""
    shape = shapes[len(leading) - 2]
    array = _numbers(name, value, dtype)
    hint = f", as inputs has {len(leading) + 1} axes" if array.ndim in {3, 4} else ""
    _fitting(name, array, (shape,), hint)
    _check_agree(name, array.shape, "inputs", leading, _meanings(shape[:-1]))
    return array


def _weights(name: str, value: object, dtype: np.dtype[Any], leading: tuple[int, ...]) -> Array:
    """A weight for each vector: finite, 0 or more."""
    meanings = ("sequences", "samples", "batch")[-len(leading) :]
    shape: Shape = tuple((meaning, None) for meaning in meanings)
    array = as_tensor(name, value, dtype=dtype, shape=shape)
    _check_agree(name, array.shape, "inputs", leading, meanings)
    if np.minimum.reduce(array, axis=None) < 0:
        place, item = _found(name, _position(int((array < 0).argmax()), array.shape), value)
        raise DataError(f"{place} is {_shown(item)}, but a weight must be 0 or more")
    return array


def _check_agree(
    name: str, shape: tuple[int, ...], other: str, wanted: tuple[int, ...], meanings: tuple[str, ...]
) -> None:
    """The leading axes of two arguments must have the same sizes, one axis for each meaning."""
    for axis, meaning in enumerate(meanings):
        if shape[axis] != wanted[axis]:
            raise DataError(
                f"{name} has {shape[axis]} on axis {axis} ({meaning}), but {other} has {wanted[axis]}: "
                "both must be the same"
            )


# Shapes


def _fitting(name: str, array: Array, shapes: tuple[Shape, ...], hint: str = "") -> Array:
    """The array, if one of the shapes is its own; the hint goes to the end of a message about its rank."""
    for shape in shapes:
        if array.ndim == len(shape):
            _check_axes(name, array.shape, shape)
            return array
    needed = " or ".join(map(_shape_text, shapes))
    raise DataError(f"{name} {_given_shape(array)}, but needs shape {needed}{hint}")


def _check_axes(name: str, given: tuple[int, ...], shape: Shape) -> None:
    for axis, (meaning, needed) in enumerate(shape):
        size = given[axis]
        if size == 0 or (needed is not None and size != needed):
            wanted = "at least 1" if needed is None else str(needed)
            raise DataError(
                f"{name} has {size} on axis {axis} ({meaning}), but needs {wanted}: "
                f"its shape is {given}, and must be {_shape_text(shape)}"
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


def _check_finite(name: str, array: Array, value: object, weights: Array | None = None) -> None:
    """Every number must be finite, but for vectors whose weight is 0."""
    if not math.isfinite(_total(array)):
        index = _first_not_finite(array, weights)
        if index is not None:
            raise DataError(_not_finite(name, array, index, value))


def _total(array: Array) -> float:
    """A number that is finite only if every number is; it may overflow although all are.

    It needs no memory. Few numbers are squared on the way: that product is the quickest call, and too short for a BLAS
    to start threads. Of many, the least and the largest of as many as a second-level cache holds are added.
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
    """Where the first NaN or infinity of a vector that counts is; None where there is none."""
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


def _not_finite(name: str, array: Array, index: tuple[int, ...], value: object) -> str:
    place, item = _found(name, index, value)
    if isinstance(item, (float, np.floating)) and not np.isfinite(item):
        return f"{place} is {_shown(item)}, but must be finite"
    return f"{place} is {_shown(item)}, too large for {array.dtype.name}"


def _position(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(axis) for axis in np.unravel_index(flat, shape))


def _found(name: str, index: tuple[int, ...], value: object) -> tuple[str, object]:
    """The place of a number, such as ``inputs[0, 2, 1]``, and the number there as the user gave it."""
    place = f"{name}[{', '.join(map(str, index))}]" if index else name
    return place, _array_of(name, value)[index]


# Conversion


def _numbers(name: str, value: object, dtype: np.dtype[Any]) -> Array:
    """The value as a C-contiguous array of the type, itself if it is one; of any shape."""
    if type(value) is np.ndarray and _is_ready(value, dtype):
        return value
    array = _array_of(name, value)
    if array.dtype.kind not in "biuf":
        array = _from_objects(name, array, value)
    if _is_ready(array, dtype):
        return array
    with np.errstate(all="ignore"):  # what overflows is named by the check for finiteness
        return array.astype(dtype, order="C")


def _is_ready(array: Array, dtype: np.dtype[Any]) -> bool:
    flags = array.flags
    return array.dtype == dtype and flags.c_contiguous and flags.aligned


def _array_of(name: str, value: object) -> Array:
    """What NumPy makes of the value; a message in the user's terms where it makes nothing of it."""
    if isinstance(value, np.ndarray) and value.dtype == object:
        value = value.tolist()  # numbers, or lists of numbers, in an array of objects
    _refuse_unreadable(name, value)
    try:
        return np.asarray(value)
    except MemoryError:
        raise
    except Exception as error:  # whatever the user's own class raises
        raise DataError(_reason(name, value, error)) from error


def _refuse_unreadable(name: str, value: object) -> None:
    """Things that NumPy would take in another sense than the user's, or follow for ever."""
    if isinstance(value, Iterator):
        raise DataError(_no_number(name, (), value))
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise DataError(f"{name} has masked values: fill them, or leave vectors out with sample_weight")
    if _is_too_deep(value):
        raise DataError(f"{name} is nested more than {_DEEPEST} lists deep")


def _is_too_deep(value: object) -> bool:
    """Whether lists within lists go on and on, such as in one that holds itself: NumPy might never return."""
    for _ in range(_DEEPEST + 1):
        if not isinstance(value, (list, tuple)) or not value:
            return False
        value = value[0]
    return True


def _from_objects(name: str, array: Array, value: object) -> Array:
    """The numbers of an array that is not of a numeric type, in float64."""
    mixed = isinstance(value, (list, tuple)) and array.dtype.kind in _MIXED
    items = np.asarray(value, dtype=object) if mixed else array
    for index, item in np.ndenumerate(items):
        if not _is_real(item):
            raise DataError(_no_number(name, index, item))
    return np.array([_float(item) for item in items.flat], np.float64).reshape(items.shape)


def _is_real(item: object) -> bool:
    if isinstance(item, np.timedelta64):  # NumPy counts it among its integers
        return False
    return isinstance(item, (numbers.Real, np.bool_))


def _float(item: Any) -> float:
    """A real number in float64, infinite where it is beyond its range."""
    try:
        return float(item)
    except OverflowError:
        return math.inf if item > 0 else -math.inf


# Messages about nested lists


def _reason(name: str, value: object, error: Exception) -> str:
    """Why NumPy made no array of the value: the first list that is not as long as the first of its level."""
    firsts = _first_items(value)
    odd = _first_odd(value, (), [_length(first) for first in firsts])
    if odd is None:
        return f"{name} can't be read as numbers: {type(error).__name__}: {error}"
    path, item = odd
    noun = "number" if len(path) == len(firsts) - 2 else "item"
    given, wanted = _extent(item, noun), _extent(firsts[len(path)], noun)
    if _length(item) is not None and _length(firsts[len(path)]) is not None:
        wanted = f"has {_length(firsts[len(path)])}"
    return f"{_path(name, path)} {given}, but {_path(name, (0,) * len(path))} {wanted}"


def _first_items(value: object) -> list[object]:
    """The value, its first item, the first item of that, and so on down to a number."""
    firsts = [value]
    while len(firsts) <= _DEEPEST and _length(firsts[-1]):
        firsts.append(_items(firsts[-1])[0])
    return firsts


def _first_odd(item: object, path: tuple[int, ...], lengths: list[int | None]) -> tuple[tuple[int, ...], object] | None:
    """The first item, in reading order, whose length is not that of the first item of its level."""
    length = _length(item)
    if len(path) == len(lengths) or length != lengths[len(path)]:
        return path, item
    for index, inner in enumerate(_items(item)):
        odd = _first_odd(inner, (*path, index), lengths)
        if odd is not None:
            return odd
    return None


def _length(item: object) -> int | None:
    """How many items a list has, or what NumPy takes as one; None for numbers, text and other objects."""
    if isinstance(item, (list, tuple)):
        return len(item)
    if isinstance(item, (float, int, str)):
        return None
    shape = _quietly(item).shape
    return shape[0] if shape else None


def _items(item: object) -> Any:
    """The items of what has a length; of an array only the first row, which stands for all."""
    if isinstance(item, (list, tuple)):
        return item
    return _quietly(item)[:1] if _length(item) else ()


def _quietly(item: object) -> Array:
    """What NumPy makes of an item; an array without axes where it makes nothing of it."""
    try:
        return np.asarray(item)
    except Exception:  # whatever the user's own class raises
        return np.array(None)


def _extent(item: object, noun: str) -> str:
    length = _length(item)
    if length is None:
        return f"is {_shown(item)}"
    return f"has {length} {noun}{'' if length == 1 else 's'}"


def _no_number(name: str, index: tuple[int, ...], item: object) -> str:
    place = f"{_path(name, index)} is {_shown(item)}"
    if isinstance(item, Iterator):
        return place
    return f"{place}, but must be {'a real number' if index else 'lists of real numbers'}"


def _path(name: str, index: tuple[int, ...]) -> str:
    return name + "".join(f"[{position}]" for position in index)


def _shown(value: object) -> str:
    """A value as a message shows it: numbers bare, all else with its type, and never much of it."""
    if isinstance(value, Iterator):
        return f"a {type(value).__name__}, which can be read only once: make it a list"
    try:
        text = _text(value)
    except Exception:  # an integer of too many digits, or the user's own class
        return f"a value of type {type(value).__name__}"
    if len(text) > _SHOWN:
        text = f"{text[:_SHOWN]}…"
    return text if _is_real(value) else f"{text} ({type(value).__name__})"


def _text(value: object) -> str:
    if isinstance(value, np.character):
        value = value.item()
    return str(value) if isinstance(value, np.generic) else repr(value)
