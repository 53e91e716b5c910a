"""Computes the x of every vertex. Lines become as straight as possible, and nodes are centred among their neighbours.

The method is that of Brandes and Köpf ("Fast and simple horizontal coordinate assignment", 2001), with the block graph
that the dagre library uses for compaction. It makes four placements, each pushed toward one corner. Each vertex gets
the mean of the middle two of its four places. The vertices of a row keep their order and their distance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from graphlib import TopologicalSorter
from itertools import pairwise

from .geometry import GAP, LANE
from .rows import Rows, places

Neighbours = Sequence[Sequence[int]]


def place_columns(rows: Rows, widths: Sequence[float]) -> list[float]:
    """The x of the centre of every vertex. widths: the width to keep free for each node."""
    spaces = [width / 2 + GAP / 2 for width in widths] + [LANE / 2 + 2.0] * (len(rows.rank) - len(widths))
    bent = {*_crossing(rows), *_branching(rows)}
    found = [_one_corner(rows, spaces, bent, down, right) for down in (True, False) for right in (False, True)]
    _line_up(found)
    return [sum(sorted(xs)[1:3]) / 2 for xs in zip(*found, strict=True)]


def _one_corner(
    rows: Rows, spaces: Sequence[float], bent: set[tuple[int, int]], down: bool, right: bool
) -> list[float]:
    """The x of every vertex in a placement toward one corner. Placements to the right are computed mirrored."""
    order = [row[::-1] if right else row for row in (rows.order if down else rows.order[::-1])]
    root = _blocks(order, rows.uppers if down else rows.lowers, bent)
    sign = -1.0 if right else 1.0
    xs = _compact(order, root, spaces)
    return [sign * xs[block] for block in root]


def _crossing(rows: Rows) -> Iterator[tuple[int, int]]:
    """The segments (upper, lower) that may bend, because they cross a segment between two bends."""
    place = places(rows.order)
    for above, below in pairwise(rows.order):
        done, left = 0, 0
        for position, vertex in enumerate(below):
            bend = _upper_bend(rows, vertex)
            if bend is None and position < len(below) - 1:
                continue
            right = len(above) if bend is None else place[bend]
            for lower in below[done : position + 1]:
                outside = (upper for upper in rows.uppers[lower] if not left <= place[upper] <= right)
                yield from ((upper, lower) for upper in outside if not (upper >= rows.nodes and lower >= rows.nodes))
            done, left = position + 1, right


def _branching(rows: Rows) -> Iterator[tuple[int, int]]:
    """The segments (upper, lower) that may bend, because they branch off a line that goes on."""
    for upper in range(rows.nodes, len(rows.rank)):
        if any(lower >= rows.nodes for lower in rows.lowers[upper]):
            yield from ((upper, lower) for lower in rows.lowers[upper] if lower < rows.nodes)


def _upper_bend(rows: Rows, vertex: int) -> int | None:
    """The bend right above a bend; None if there is none."""
    if vertex < rows.nodes or rows.uppers[vertex][0] < rows.nodes:
        return None
    return rows.uppers[vertex][0]


def _blocks(order: Sequence[Sequence[int]], neighbours: Neighbours, bent: set[tuple[int, int]]) -> list[int]:
    """For each vertex, the first vertex of its block. The vertices of a block have the same x."""
    place = places(order)
    root = list(range(len(place)))
    for row in order:
        reached = -1
        for vertex in row:
            wanted = [near for near in neighbours[vertex] if (near, vertex) not in bent and (vertex, near) not in bent]
            for near in _medians(sorted(wanted, key=place.__getitem__)):
                if root[vertex] == vertex and reached < place[near]:
                    root[vertex], reached = root[near], place[near]
    return root


def _medians(found: Sequence[int]) -> Sequence[int]:
    return found[(len(found) - 1) // 2 : len(found) // 2 + 1]


def _compact(order: Sequence[Sequence[int]], root: Sequence[int], spaces: Sequence[float]) -> dict[int, float]:
    """The x of each block: as far left as possible, then as near to the right neighbours as that allows."""
    before: dict[int, dict[int, float]] = {block: {} for block in root}
    after: dict[int, dict[int, float]] = {block: {} for block in root}
    for row in order:
        for left, right in pairwise(row):
            one, other = root[left], root[right]
            distance = max(before[other].get(one, 0.0), spaces[left] + spaces[right])
            before[other][one] = after[one][other] = distance
    sequence = list(TopologicalSorter(before).static_order())
    xs: dict[int, float] = {}
    for block in sequence:
        xs[block] = max((xs[one] + distance for one, distance in before[block].items()), default=0.0)
    for block in reversed(sequence):
        nearest = min((xs[one] - distance for one, distance in after[block].items()), default=-math.inf)
        xs[block] = max(xs[block], nearest)
    return xs


def _line_up(found: list[list[float]]) -> None:
    """Shift the four placements onto the narrowest one.

    Those that lean left are aligned at their left ends, the others at their right ends.
    """
    low, high = min(((min(xs), max(xs)) for xs in found), key=lambda ends: ends[1] - ends[0])
    for number, xs in enumerate(found):
        shift = high - max(xs) if number % 2 else low - min(xs)
        found[number] = [x + shift for x in xs]
