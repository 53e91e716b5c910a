"""Lays out a graph that is too large for rows: one node below the other, lines in lanes beside them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from .geometry import LANE, Box, Layout, Link, Point, Route, Size, lanes, rounded
from .rows import topological

_STEP = 24.0  # from one box to the next
_INSIDE = 2.0  # how far inside the edge of a box a line starts, because splits have round ends
_FIRST_LANE = 28.0  # from the boxes to the first lane


def single(links: Sequence[Link], sizes: Sequence[Size]) -> Layout:
    """The layout with all nodes in one column, in the order of computation. Links back in time run at the left."""
    sequence = topological(len(sizes), links)
    row = {node: number for number, node in enumerate(sequence)}
    boxes, width = _boxes(sequence, sizes), max(size.width for size in sizes)
    lane = _lanes(links, row)
    routes = []
    for link in links:
        if row[link.target] == row[link.source] + 1 and link.role == "flow":
            routes.append(_straight(link, boxes))
        else:
            side = -1 if link.role == "time" else 1
            x = side * (width / 2 + _FIRST_LANE + LANE * lane[link.source, side])
            routes.append(_around(link, boxes, side, x))
    return Layout(boxes, tuple(routes))


def _boxes(sequence: Sequence[int], sizes: Sequence[Size]) -> tuple[Box, ...]:
    found, y = {}, 0.0
    for node in sequence:
        size = sizes[node]
        found[node] = Box(0.0, y + size.height / 2, size.width, size.height)
        y += size.height + _STEP
    return tuple(found[node] for node in range(len(sizes)))


def _lanes(links: Sequence[Link], row: dict[int, int]) -> dict[tuple[int, int], int]:
    """The lane of each node's lines on each side."""
    reached: dict[tuple[int, int], list[int]] = defaultdict(list)
    for link in links:
        if link.role == "time":
            reached[link.source, -1] += [row[link.source], row[link.target]]
        elif link.role == "merge" or row[link.target] > row[link.source] + 1:
            reached[link.source, 1] += [row[link.source], row[link.target]]
    found: dict[tuple[int, int], int] = {}
    for side in (-1, 1):
        keys = [key for key in reached if key[1] == side]
        found.update(zip(keys, lanes([(min(reached[key]), max(reached[key])) for key in keys]), strict=True))
    return found


def _straight(link: Link, boxes: Sequence[Box]) -> Route:
    return Route(link, (0.0, boxes[link.source].bottom), (((0.0, boxes[link.target].top),),))


def _around(link: Link, boxes: Sequence[Box], side: int, x: float) -> Route:
    source, target = boxes[link.source], boxes[link.target]
    first, last = source.y + source.height / 4, target.y - (target.height / 4 if link.role != "merge" else 0.0)
    points: list[Point] = [
        (source.edge(side) - side * _INSIDE, first),
        (x, first),
        (x, last),
        (target.edge(side), last),
    ]
    return Route(link, points[0], rounded(points))
