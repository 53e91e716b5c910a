"""Reads X: vectors (n, W), or sequences as an array (n, S, W), a table (n, S) or a list of arrays (S_i, W)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array

from .versions import checked_table

Array = NDArray[Any]
_TYPES = [np.float64, np.float32]


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples that are checked.

    values: vectors (n, W), sequences (n, S, W), or a list of sequences (S_i, W). columns: of a table of sequences.
    """

    values: Any
    columns: int | None = None

    @property
    def count(self) -> int:
        """The number of samples."""
        return len(self.values)

    @property
    def width(self) -> int:
        """The components of a vector."""
        return int(self.values[0].shape[-1])

    @property
    def lengths(self) -> list[int]:
        """The steps of each sequence."""
        return [len(one) for one in self.values]

    @property
    def is_single(self) -> bool:
        """Whether all numbers are float32."""
        items = self.values if isinstance(self.values, list) else [self.values]
        return all(item.dtype == np.float32 for item in items)

    def taken(self, places: NDArray[np.intp]) -> Any:
        """The values at some places."""
        return [self.values[place] for place in places] if isinstance(self.values, list) else self.values[places]


def vectors(estimator: Any, given: Any, *, reset: bool) -> Samples:
    """Vectors (n, W)."""
    return Samples(checked_table(estimator, given, reset=reset, dtype=_TYPES, order="C"))


def sequences(estimator: Any, given: Any, *, reset: bool) -> Samples:
    """Sequences. reset: whether the estimator keeps their width, and else what it kept is compared.

    A table (n, S) is n sequences of S numbers; then its columns and their names are kept. A list of sequences of one
    length without an axis of width is a table too.
    """
    items = _items(given)
    if items is not None:
        found = Samples([_sequence(item, f"X[{place}]") for place, item in enumerate(items)])
        for place, item in enumerate(found.values):
            if item.shape[1] != found.width:
                raise ValueError(f"X[{place}] has {item.shape[1]} features, and X[0] has {found.width}")
    elif axes_of(given) == 3:
        found = Samples(check_array(given, dtype=_TYPES, order="C", allow_nd=True))
        shape = found.values.shape
        for size, what in zip(shape[1:], ("step", "feature"), strict=True):
            if size == 0:
                raise ValueError(f"Found array with 0 {what}(s) (shape={shape}) while a minimum of 1 is required.")
    elif reset or getattr(estimator, "_columns", None) is not None:
        table = checked_table(estimator, given, reset=reset, dtype=_TYPES, order="C")
        found = Samples(table[:, :, np.newaxis], table.shape[1])
    else:
        found = Samples(check_array(given, dtype=_TYPES, order="C")[:, :, np.newaxis])
    _keep(estimator, found, reset)
    return found


def _items(given: Any) -> list[Any] | None:
    """The sequences of a list, or of an array of objects; None for anything else, such as rows of numbers."""
    if isinstance(given, np.ndarray):
        if given.dtype != object or given.ndim != 1:
            return None
    elif not isinstance(given, list | tuple):
        return None
    items = list(given)
    shapes = [shape_of(item) for item in items if not isinstance(item, str | bytes | dict)]
    if len(shapes) < len(items) or not items or not all(shapes):
        return None
    return None if len(set(shapes)) == 1 and len(shapes[0]) == 1 else items


def _sequence(item: Any, name: str) -> Array:
    """A sequence (S, W) of a list; (S,) is S steps of one number."""
    if _is_plain(item):
        plain: Array = item if item.ndim == 2 else item[:, np.newaxis]
        return plain
    if axes_of(item) > 2:
        raise ValueError(f"{name} has {axes_of(item)} axes, but a sequence of a list has 2: (steps, features)")
    found: Array = check_array(item, dtype=_TYPES, order="C", ensure_2d=False, input_name=name)
    found = found[:, np.newaxis] if found.ndim == 1 else found
    if 0 in found.shape:
        raise ValueError(f"{name} has shape {found.shape}, but a sequence needs at least one step and one feature")
    return found


def _is_plain(item: Any) -> bool:
    """Whether an item needs no check and no conversion, which takes longer than short sequences are worth."""
    if type(item) is not np.ndarray or item.dtype not in _TYPES or item.ndim not in (1, 2) or not item.size:
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(item.sum()))


def _keep(estimator: Any, found: Samples, reset: bool) -> None:
    """Keep the width of sequences, or compare it with the one that was kept."""
    if reset:
        estimator._columns = found.columns
        estimator._width = found.width
        if found.columns is None:
            estimator.n_features_in_ = found.width
            vars(estimator).pop("feature_names_in_", None)
    elif found.width != estimator._width:
        raise ValueError(
            f"X has {found.width} features, but {type(estimator).__name__} is expecting {estimator._width} features as "
            "input"
        )


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape of an array, a table or what else NumPy reads."""
    found = getattr(value, "shape", None)
    return tuple(np.asarray(value).shape if found is None else found)


def axes_of(value: Any) -> int:
    """The number of axes of an array, a table or what else NumPy reads."""
    return len(shape_of(value))


def steps_of(found: Any, wanted: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    """The steps of all sequences one after the other: results, targets, and weights or None.

    found, wanted: a row for each step of each sequence. sample_weight: a number for each sequence or each of its steps.
    """
    if sample_weight is not None:
        weights = [np.broadcast_to(one, len(row)) for one, row in zip(sample_weight, wanted, strict=True)]
        sample_weight = np.concatenate(weights)
    return np.concatenate(list(found)), np.concatenate(wanted), sample_weight
