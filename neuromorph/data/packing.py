"""Packs sequences, or single vectors, into the lanes of a model, and unpacks results: arrays in, arrays out.

Shapes: N sequences or vectors, S steps, B lanes, G = ⌈N / B⌉ groups of B lanes. Sequence n lies in group n // B, lane
n % B. What lies behind the last sequence, or behind the end of a shorter one, is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..host.frozen import frozen

Array = NDArray[Any]
Lengths = NDArray[np.intp]


@frozen
class Reading:
    """How a call read its data: the layout, and whether each sequence had one answer, that of its last step."""

    layout: str
    once: bool = False


def even_lanes(count: int, most: int) -> int:
    """The lanes, at most ``most``, that hold some rows in as few groups as possible: 17 lanes hold 33 rows in two.

    At most one lane of each group is empty. An empty one is computed too.
    """
    groups = -(-count // most)
    return -(-count // groups)


@dataclass(frozen=True, eq=False)
class Packing:
    """How sequences or single vectors lie in lanes.

    count: their number. steps: those of the longest sequence, or None for single vectors. lengths: the steps of each
    sequence, if they were given as a list; results are then a list too.
    """

    count: int
    lanes: int
    steps: int | None = None
    lengths: Lengths | None = None

    @property
    def leading(self) -> tuple[int, ...]:
        """The leading axes of packed arrays: (G, S, B), or (G, B) for single vectors."""
        groups = -(-self.count // self.lanes)
        return (groups, self.lanes) if self.steps is None else (groups, self.steps, self.lanes)

    def pack(self, rows: Array) -> Array:
        """Rows (N, S, …) as (G, S, B, …), or (N, …) of single vectors as (G, B, …)."""
        packed, by_lane = self._zeros(rows.shape[len(self.leading) - 1 :], rows.dtype)
        whole = self.count // self.lanes
        cut = whole * self.lanes
        by_lane[:whole] = rows[:cut].reshape(whole, self.lanes, *rows.shape[1:])
        if cut < self.count:
            by_lane[whole, : self.count - cut] = rows[cut:]
        return packed

    def pack_list(self, rows: Sequence[Array]) -> Array:
        """Sequences (S_n, …) as (G, S, B, …)."""
        packed, by_lane = self._zeros(rows[0].shape[1:], np.result_type(*{row.dtype for row in rows}))
        for number, row in enumerate(rows):
            by_lane[number // self.lanes, number % self.lanes, : len(row)] = row
        return packed

    def pack_once(self, rows: Array, steps: Lengths) -> Array:
        """One row (N, …) for each sequence as (G, S, B, …), at its step ``steps[n]``. A negative step leaves it out."""
        packed, by_lane = self._zeros(rows.shape[1:], rows.dtype)
        numbers = np.flatnonzero(steps >= 0)
        by_lane[numbers // self.lanes, numbers % self.lanes, steps[numbers]] = rows[numbers]
        return packed

    def unpack(self, packed: Array) -> Array | list[Array]:
        """Packed results as (N, S, …), or (N, …) of single vectors; as a list of (S_n, …) if a list was given."""
        by_lane = packed if self.steps is None else packed.swapaxes(1, 2)
        rows = by_lane.reshape(-1, *by_lane.shape[2:])[: self.count]
        if self.lengths is None:
            return rows
        return [row[:length] for row, length in zip(rows, self.lengths, strict=True)]

    def number(self, index: tuple[int, ...]) -> tuple[int, ...]:
        """The index among the rows, (n, s, …) or (n, …), of a packed number."""
        if self.steps is None:
            group, lane, *rest = index
            return (group * self.lanes + lane, *rest)
        group, step, lane, *rest = index
        return (group * self.lanes + lane, step, *rest)

    def _zeros(self, trailing: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Array, Array]:
        """A packed array of zeros, and a view of it with lanes before steps."""
        packed = np.zeros((*self.leading, *trailing), dtype)
        return packed, packed if self.steps is None else packed.swapaxes(1, 2)
