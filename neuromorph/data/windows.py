"""Cuts one long series into windows, as views that take no memory.

Shapes: T steps of the series, W numbers in a vector, N windows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..errors import DataError
from .arrays import as_count, check_agree, check_shape
from .reading import Given, read, shown

Array = NDArray[Any]


def windows(series: Any, length: Any, *, horizon: Any = 1, step: Any = 1, targets: Any = None) -> tuple[Array, Array]:
    """Windows of a series and what follows each of them; see ``neuromorph.windows``."""
    given = _series("series", series)
    steps, ahead, stride = as_count("length", length), as_count("horizon", horizon), as_count("step", step)
    wanted = _targets(given, targets)
    there, least = len(given.numbers), steps + ahead
    if there < least:
        raise DataError(
            f"series has {there} steps, and a window of {steps} with a horizon of {ahead} needs at least {least}"
        )
    return _cut(given.numbers[: there - ahead], steps, stride), _cut(wanted[steps:], ahead, stride)


def _cut(series: Array, length: int, step: int) -> Array:
    """Windows (N, length, W) of a series (T, W), as a view."""
    view: Array = sliding_window_view(series, length, axis=0)[::step].swapaxes(1, 2)
    return view


def _series(name: str, value: Any) -> Given:
    """A series (T, W); one of single numbers (T,) gets the axis of the width."""
    given = read(name, value)
    if given.numbers.ndim == 1:
        given = Given(name, given.items[:, np.newaxis], given.numbers[:, np.newaxis])
    check_shape(given, ((("steps", None), ("width", None)),))
    return given


def _targets(series: Given, targets: Any) -> Array:
    """What is forecast: all columns, chosen ones, or another series of as many steps."""
    columns = series.numbers.shape[1]
    if targets is None:
        return series.numbers
    if isinstance(targets, slice):
        return series.numbers[:, targets]
    if _is_whole(targets):
        first = _column("targets", targets, columns) % columns
        return series.numbers[:, first : first + 1]
    if isinstance(targets, list | tuple) and all(map(_is_whole, targets)) and targets:
        chosen = [_column(f"targets[{number}]", column, columns) for number, column in enumerate(targets)]
        return series.numbers[:, chosen]
    other = _series("targets", targets)
    check_agree("targets", other.numbers.shape, "series", series.numbers.shape, ("steps",))
    return other.numbers


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _column(name: str, value: Any, columns: int) -> int:
    """A column's number, counted from the end if it is negative."""
    if -columns <= value < columns:
        return int(value)
    raise DataError(f"{name} is {shown(value)}, but the columns of series are 0 to {columns - 1}")
