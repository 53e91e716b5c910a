"""Decides which links of a text reach back in time and which stay within the step."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import nearest
from ..language import syntax
from .functions import Text
from .placement import Place

_Bits: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True)
class Links:
    """For each node the second node that it reads, or None, and whether it reads the previous step."""

    others: tuple[int | None, ...]
    delayed: tuple[bool, ...]

    @classmethod
    def decide(cls, text: Text, placed: Sequence[Place], names: Mapping[str, int]) -> Links:
        others = tuple(_other(text, place.item, names) for place in placed)
        delayed = [other == index for index, other in enumerate(others)]
        for merge in _decide_later([place.source for place in placed], others):
            delayed[merge] = True
        return cls(others, tuple(delayed))


def _other(text: Text, item: syntax.Node, names: Mapping[str, int]) -> int | None:
    if not isinstance(item, syntax.Merge):
        return None
    if item.other in names:
        return names[item.other]
    near = nearest(item.other, names)
    fix = f": did you mean '{near}'?" if near is not None else ""
    reason = f"'{item.name}' merges with '{item.other}', which is no node of this model{fix}"
    raise text.about(item).error(reason, item.other_location)


def _decide_later(sources: Sequence[int | None], others: Sequence[int | None]) -> list[int]:
    """The merges whose `other` stands later and depends on them, so that they read the previous step.

    A row of bits per node named by a later link says on which of the merges it depends. All links within
    the step that text order allows stand first; then each merge, in text order, asks its own column, and a
    link that makes no cycle hands the row of its `other` to every row that depends on the merge. Rows stand
    in the order of their last use, so that rows and columns of no further use are passed over.
    """
    links = [(merge, other) for merge, other in enumerate(others) if other is not None and other > merge]
    last_use = {other: column for column, (_, other) in enumerate(links)}
    row_of = {other: row for row, other in enumerate(sorted(last_use, key=last_use.__getitem__))}
    rows = _dependences(sources, others, [merge for merge, _ in links])[list(row_of)]
    last_uses = sorted(last_use.values())
    delayed: list[int] = []
    for column, (merge, other) in enumerate(links):
        byte, row = column // 8, row_of[other]
        if rows[row, byte] >> column % 8 & 1:
            delayed.append(merge)
        elif rows[row, byte:].any():
            first = bisect_left(last_uses, column)
            _hand_on(rows[first:, byte:], rows[row, byte:], column % 8)
    return delayed


def _hand_on(rows: _Bits, row: _Bits, bit: int) -> None:
    """Add the bits of ``row`` to every row that has ``bit`` set in its first byte."""
    dependent = rows[:, 0] >> np.uint8(bit) & 1 == 1
    rows[dependent] |= row


def _dependences(sources: Sequence[int | None], others: Sequence[int | None], merges: Sequence[int]) -> _Bits:
    """A row of bits per node: on which of ``merges`` it depends by way of sources and earlier nodes."""
    rows = np.zeros((len(sources), (len(merges) + 7) // 8), np.uint8)
    for column, merge in enumerate(merges):
        rows[merge, column // 8] = 1 << column % 8
    for index, (source, other) in enumerate(zip(sources, others, strict=True)):
        if source is not None:
            rows[index] |= rows[source]
        if other is not None and other < index:
            rows[index] |= rows[other]
    return rows
