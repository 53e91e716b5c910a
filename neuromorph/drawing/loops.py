"""Routes links back in time: out of a node, up a lane beside the whole drawing, and into the merges that read it.

All links of one node share their lane. At a node that is the first or last of its row, the line starts or ends at the
side. At any other node it starts at the bottom and ends at the top, and runs along a track of its own between rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..host.frozen import frozen
from .geometry import Link, Size, lanes
from .rows import Rows

_INSIDE = 150.0  # pixels; a way may be so much longer if it then starts or ends at a side


@frozen
class Loop:
    """The links back in time that read one node.

    side: -1 (left) or 1 (right). lane: counted from the drawing outward. exit: the track below the node's row. entries:
    the tracks above the rows of the targets. A track is None for a node at the end of its row. local: whether the only
    target is the node itself; such a loop has no lane.
    """

    node: int
    targets: tuple[int, ...]
    side: int
    lane: int
    exit: int | None
    entries: tuple[int | None, ...]
    local: bool


@dataclass
class _Tracks:
    """The number of tracks used so far, by row."""

    below: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    above: dict[int, int] = field(default_factory=lambda: defaultdict(int))


def plan_loops(rows: Rows, links: Sequence[Link], xs: Sequence[float], sizes: Sequence[Size]) -> list[Loop]:
    """A loop for every node that is read from an earlier step."""
    readers: dict[int, list[int]] = defaultdict(list)
    for link in links:
        if link.role == "time":
            readers[link.source].append(link.target)
    ends = _row_ends(rows)
    border = {side: max(side * xs[node] + size.width / 2 for node, size in enumerate(sizes)) for side in (1, -1)}
    sides = {node: _nearer_side(node, targets, ends, xs, border) for node, targets in readers.items()}
    lane = _lanes(rows, readers, sides)
    tracks = _Tracks()
    return [_loop(rows, node, targets, sides[node], lane.get(node), ends, tracks) for node, targets in readers.items()]


def _row_ends(rows: Rows) -> dict[int, set[int]]:
    """The nodes at the left end (-1) and at the right end (1) of their rows."""
    found: dict[int, set[int]] = {-1: set(), 1: set()}
    for row in rows.order:
        nodes = [vertex for vertex in row if vertex < rows.nodes]
        found[-1].update(nodes[:1])
        found[1].update(nodes[-1:])
    return found


def _nearer_side(
    node: int, targets: Sequence[int], ends: dict[int, set[int]], xs: Sequence[float], border: dict[int, float]
) -> int:
    """The side with the shorter way for a node and its targets. A loop from a node to itself is at the right."""
    if list(targets) == [node]:
        return 1
    ways = {
        side: sum(border[side] - side * xs[one] + (0.0 if one in ends[side] else _INSIDE) for one in (node, *targets))
        for side in (1, -1)
    }
    return min(ways, key=ways.__getitem__)


def _lanes(rows: Rows, readers: dict[int, list[int]], sides: dict[int, int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for side in (-1, 1):
        nodes = [node for node, targets in readers.items() if sides[node] == side and targets != [node]]
        ranks = [[rows.rank[one] for one in (node, *readers[node])] for node in nodes]
        spans = [(min(touched), max(touched)) for touched in ranks]
        found.update(zip(nodes, lanes(spans), strict=True))
    return found


def _loop(
    rows: Rows, node: int, targets: list[int], side: int, lane: int | None, ends: dict[int, set[int]], tracks: _Tracks
) -> Loop:
    local = lane is None
    out = None if local else _track(node, ends[side], rows.rank, tracks.below)
    into = tuple(None if local else _track(target, ends[side], rows.rank, tracks.above) for target in targets)
    return Loop(node, tuple(targets), side, lane or 0, out, into, local)


def _track(node: int, ends: set[int], rank: Sequence[int], given: dict[int, int]) -> int | None:
    """The next free track beside a node's row; None if the node is at the end of its row."""
    if node in ends:
        return None
    given[rank[node]] += 1
    return given[rank[node]] - 1
