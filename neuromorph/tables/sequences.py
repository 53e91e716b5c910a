"""Sorts the rows of a long table into sequences, and cuts series into windows.

Shapes: N rows or sequences, S steps of the longest sequence, W numbers in a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.windows import windows
from .arrays import Rows
from .files import Table

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Sequences:
    """Sequences (N, S, W) with their lengths (N,); None where all have S steps.

    expected: (N, S, …), or (N, …) for one answer each, or None. weights: (N, S) or None. rows: for each step the number
    of its row among the rows that were read, -1 for padding.
    """

    inputs: Array
    lengths: NDArray[np.intp] | None
    expected: Array | None
    weights: Array | None
    rows: NDArray[np.intp]
    names: Sequence[str] = ()

    @property
    def once(self) -> bool:
        """Whether each sequence has one answer."""
        return self.expected is not None and self.expected.ndim < 3


def sequences_of(table: Table, rows: Rows, *, once: bool | None = None) -> Sequences:
    """The rows in sequences, one for each group, sorted by time where the table has times.

    once: whether each sequence has one answer; None if it has the same one in all rows, for every sequence.
    """
    order, bounds = _sorted(table, rows)
    lengths = np.diff(bounds)
    steps = int(lengths.max())
    places = np.full((len(lengths), steps), -1, np.intp)
    for number, (start, stop) in enumerate(pairwise(bounds.tolist())):
        places[number, : stop - start] = order[start:stop]
    inputs = _taken(rows.inputs, places)
    expected = None if rows.targets is None else rows.targets
    if expected is not None:
        same = _same(expected, order, bounds) and len(lengths) > 1 and steps > 1
        if once and not _same(expected, order, bounds):
            raise table.wrong("a sequence has several answers, and the model was trained with one for each sequence")
        expected = expected[order[bounds[1:] - 1]] if (same if once is None else once) else _taken(expected, places)
    weights = None if rows.weights is None else _taken(rows.weights[:, None], places)[..., 0]
    ragged = bool((lengths != steps).any())
    return Sequences(inputs, lengths if ragged else None, expected, weights, places, rows.names)


def _sorted(table: Table, rows: Rows) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The order of the rows by group and time, and where each group begins and ends in it."""
    groups = np.zeros(len(rows), np.intp) if rows.groups is None else rows.groups
    if rows.times is None:
        order = np.argsort(groups, kind="stable")
    else:
        order = np.lexsort((rows.times, groups))
        again = (np.diff(rows.times[order]) == 0.0) & (np.diff(groups[order]) == 0)
        if again.any():
            first = int(again.argmax())
            both = order[first : first + 2]
            one, other = sorted((both if rows.numbers is None else rows.numbers[both]).tolist())
            which = f" of {rows.names[groups[order[first]]]!r}" if rows.groups is not None else ""
            raise table.wrong(f"{table.place_of(one)} and {table.place_of(other)}{which} have the same time")
    present = np.unique(groups)
    return order, np.searchsorted(groups[order], np.append(present, present[-1] + 1))


def _taken(values: Array, places: NDArray[np.intp]) -> Array:
    """Rows (n, W) at places (N, S), with zeros at -1."""
    if places.size == len(values) and (places.reshape(-1) == np.arange(len(values))).all():
        return values.reshape(*places.shape, -1)
    found = values[places]
    found[places < 0] = 0
    return found


def _same(values: Array, order: NDArray[np.intp], bounds: NDArray[np.intp]) -> bool:
    """Whether all rows of each sequence have the same values."""
    ordered = values[order]
    firsts = np.repeat(ordered[bounds[:-1]], np.diff(bounds), axis=0)
    return bool(((ordered == firsts) | (np.isnan(ordered) & np.isnan(firsts))).all())


def windows_of(table: Table, rows: Rows, window: int, horizon: int | None) -> Sequences:
    """The windows of each series, and the rows that follow each as its answer. horizon: None for inputs alone.

    The windows of a single series are a view of its rows.
    """
    order, bounds = _sorted(table, rows)
    spans = [order[start:stop] for start, stop in pairwise(bounds.tolist())]
    least = window + (horizon or 0)
    long = [span for span in spans if len(span) >= least]
    if not long:
        raise table.wrong(
            f"a window of {window} rows and {horizon or 0} after it need {least}, and the longest series has "
            f"{max(map(len, spans))}"
        )
    inputs, expected, places = [], [], []
    for span in long:
        series = rows.inputs if _is_all(span, rows) else rows.inputs[span]
        targets = None if rows.targets is None else rows.targets if _is_all(span, rows) else rows.targets[span]
        numbers = np.lib.stride_tricks.sliding_window_view(span, window)
        if horizon is None or targets is None:
            inputs.append(np.lib.stride_tricks.sliding_window_view(series, window, axis=0).swapaxes(1, 2))
            places.append(numbers)
        else:
            given, wanted = windows(series, window, horizon=horizon, targets=targets)
            inputs.append(given)
            expected.append(wanted.reshape(len(wanted), -1))
            places.append(numbers[: len(given)])
    joined = None if not expected else expected[0] if len(expected) == 1 else np.concatenate(expected)
    whole = inputs[0] if len(inputs) == 1 else np.concatenate(inputs)
    return Sequences(whole, None, joined, None, places[0] if len(places) == 1 else np.concatenate(places), rows.names)


def _is_all(span: NDArray[np.intp], rows: Rows) -> bool:
    """Whether a series is all rows in their order."""
    return len(span) == len(rows) and bool((span == np.arange(len(rows))).all())
