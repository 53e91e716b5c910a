"""Turns labels, which may be any hashable values, into whole numbers and back."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Number, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from ..errors import brief

Array = NDArray[Any]
Numbers = NDArray[np.intp]
_PLAIN = (str, Number, np.generic)  # what NumPy compares; not bytes, which scikit-learn refuses


def as_labels(y: Any) -> Array:
    """Labels (n,) as an array. Of values other than numbers and texts, and of a mixture, it is an array of objects.

    Raises ValueError or TypeError for what can't be labels: fractions, missing values, several columns.
    """
    if y is None:
        raise ValueError("y should be a 1d array of labels, and not None: this estimator requires y to be passed")
    if _is_column_of_objects(y):
        found = _objects(list(y))
        if all(isinstance(label, Real) for label in found):  # numbers in a column of objects, as in tables
            return as_labels(found.tolist())
    else:
        found = np.asarray(column_or_1d(y, warn=True))
        if found.dtype.kind == "c":
            raise ValueError("Complex data not supported: y has complex numbers")
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            what = "NaN" if np.isnan(found).any() else "infinity or a value too large for dtype('float64')"
            raise ValueError(f"Input y contains {what}.")
        if not is_of_objects(found):
            check_classification_targets(found)
    if is_of_objects(found):
        for place, label in enumerate(found):
            _check_object(label, f"y[{place}]")
    return found


def is_of_objects(labels: Array) -> bool:
    """Whether labels are values that NumPy can't compare, and not numbers or texts."""
    return labels.dtype == object and not all(isinstance(label, str) for label in labels)


def _is_column_of_objects(y: Any) -> bool:
    """Whether y is a list or array of n values that NumPy would not read as n numbers or n texts."""
    if isinstance(y, np.ndarray):
        return y.ndim == 1 and (is_of_objects(y) or y.dtype.kind == "S")
    if not isinstance(y, list | tuple) or not y:
        return False
    if any(isinstance(label, list | np.ndarray) and np.ndim(label) > 0 for label in y):
        return False
    texts = sum(isinstance(label, str) for label in y)
    return not all(isinstance(label, _PLAIN) for label in y) or 0 < texts < len(y)


def _objects(labels: list[Any]) -> Array:
    """An array (n,) of any values."""
    found = np.empty(len(labels), object)
    found[:] = labels
    return found


def _check_object(label: Any, name: str) -> None:
    """Raise TypeError for a label that has no hash, ValueError for one that is not known."""
    try:
        hash(label)
    except TypeError:
        raise TypeError(f"{name} is {brief(label)}, but a label must be hashable") from None
    try:
        missing = not bool(label == label)
    except Exception:  # pandas.NA, or any error of the user's own class
        missing = True
    if missing:
        raise ValueError(f"Input y contains NaN: {name} is {brief(label)}")


def classes_of(labels: Array) -> Array:
    """The different labels in ascending order; those that can't be compared in the order of their types and texts."""
    if not is_of_objects(labels):
        return np.unique(labels)
    different = list(dict.fromkeys(labels))
    try:
        ordered = sorted(different)
    except TypeError:
        ordered = sorted(different, key=lambda label: (type(label).__name__, repr(label)))
    return _objects(ordered)


def numbered(labels: Array, classes: Array) -> Numbers:
    """The place of each label among the classes. ValueError, naming it, for a label that is not among them."""
    places = {label: place for place, label in enumerate(classes.tolist())}
    different, inverse = labels, np.arange(len(labels))
    if not is_of_objects(labels):
        different, inverse = np.unique(labels, return_inverse=True)
    try:
        return np.array([places[label] for label in different.tolist()], np.intp)[inverse]
    except KeyError as error:
        raise ValueError(
            f"y has the label {brief(error.args[0])}, which is not among the classes {brief(classes.tolist())}; all "
            "are named in the first call of partial_fit, as classes=, or are in the y of the first fit"
        ) from None


def share_of_equal(labels: Array, others: Array, weights: Array | None) -> float:
    """The weighted share of places at which two arrays have the same label."""
    equal = [one == other for one, other in zip(labels.tolist(), others.tolist(), strict=True)]
    return float(np.average(equal, weights=weights))


def names_of(classes: Sequence[Any] | Array) -> tuple[Any, ...]:
    """Classes as plain numbers and texts; the text of any other value."""
    plain = classes.tolist() if isinstance(classes, np.ndarray) else list(classes)
    return tuple(label if isinstance(label, str | int | float | bool) else str(label) for label in plain)
