"""Lays a graph out in rows: turns rows of vertices into boxes and lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ..host.frozen import frozen
from .columns import place_columns
from .geometry import LANDING, LANE, Box, Layout, Link, Point, Route, Size, Step, rounded
from .loops import Loop, plan_loops
from .rows import Rows, make_rows

_LEAST_BEND, _MOST_BEND = 22.0, 110.0  # height, between two rows, of the band where lines move sideways
_SLOPE = 0.16  # that height divided by the widest move sideways
_PORT = 12.0  # from the middle of a merge to the end of each of its two lines
_LOCAL = 16.0  # from a node to the lane of its loop to itself
_FIRST_LANE = 24.0  # from the drawing to its first lane


@frozen
class _Bands:
    """The heights of the rows. Nodes stand between ``tops`` and ``bottoms``; lines bend between the two of
    ``bends``."""

    tops: tuple[float, ...]
    bottoms: tuple[float, ...]
    bends: tuple[tuple[float, float], ...]


@frozen
class _Plan:
    """Everything that routes are computed from."""

    rows: Rows
    xs: Sequence[float]
    bands: _Bands
    boxes: tuple[Box, ...]
    left: float
    right: float


def layered(rank: Sequence[int], links: Sequence[Link], sizes: Sequence[Size]) -> Layout:
    """The layout of a graph in rows. Lines run around nodes, and links back in time run at the sides."""
    rows = make_rows(rank, links)
    xs = place_columns(rows, _reserved(links, sizes))
    loops = plan_loops(rows, links, xs, sizes)
    bands = _bands(rows, xs, sizes, loops)
    boxes = tuple(_box(rows, xs, bands, node, size) for node, size in enumerate(sizes))
    plan = _Plan(rows, xs, bands, boxes, *_sides(xs, boxes))
    routes = {route.link: route for route in _forward(plan, links)}
    routes.update((route.link, route) for loop in loops for route in _backward(plan, loop))
    return Layout(boxes, tuple(routes[link] for link in links))


def _reserved(links: Sequence[Link], sizes: Sequence[Size]) -> list[float]:
    """The width to keep free for each node, with space for a loop from the node to itself."""
    loops = {link.source for link in links if link.source == link.target}
    return [size.width + 2 * _LOCAL * (node in loops) for node, size in enumerate(sizes)]


def _sides(xs: Sequence[float], boxes: Sequence[Box]) -> tuple[float, float]:
    """The x at the left and at the right side of the drawing where the first lane begins."""
    left = min(min(xs), min(box.left for box in boxes))
    right = max(max(xs), max(box.right for box in boxes))
    return left - _FIRST_LANE, right + _FIRST_LANE


def _bands(rows: Rows, xs: Sequence[float], sizes: Sequence[Size], loops: Sequence[Loop]) -> _Bands:
    below, above = _track_counts(rows, loops)
    tops, bottoms, bends = [], [], []
    y = LANE * above[0]
    for number, row in enumerate(rows.order):
        height = max((sizes[vertex].height for vertex in row if vertex < rows.nodes), default=0.0)
        tops.append(y)
        bottoms.append(y + height)
        first = bottoms[-1] + LANE * below[number] + 2.0
        bends.append((first, first + _bend_height(rows, xs, row)))
        y = bends[-1][1] + LANE * above[number + 1] + LANDING
    return _Bands(tuple(tops), tuple(bottoms), tuple(bends))


def _track_counts(rows: Rows, loops: Sequence[Loop]) -> tuple[dict[int, int], dict[int, int]]:
    """The number of tracks below each row, and above each row."""
    below: dict[int, int] = defaultdict(int)
    above: dict[int, int] = defaultdict(int)
    for loop in loops:
        below[rows.rank[loop.node]] += loop.exit is not None
        for target, entry in zip(loop.targets, loop.entries, strict=True):
            above[rows.rank[target]] += entry is not None
    return below, above


def _bend_height(rows: Rows, xs: Sequence[float], row: Sequence[int]) -> float:
    widest = max((abs(xs[lower] - xs[vertex]) for vertex in row for lower in rows.lowers[vertex]), default=0.0)
    return min(max(_LEAST_BEND, _SLOPE * widest), _MOST_BEND)


def _box(rows: Rows, xs: Sequence[float], bands: _Bands, node: int, size: Size) -> Box:
    row = rows.rank[node]
    return Box(xs[node], (bands.tops[row] + bands.bottoms[row]) / 2, size.width, size.height)


# Links within the step


def _forward(plan: _Plan, links: Sequence[Link]) -> list[Route]:
    now = [link for link in links if link.role != "time"]
    chains = [plan.rows.chain(link) for link in now]
    ports = _ports(plan, now, chains)
    return [_line(plan, link, chain, ports[link]) for link, chain in zip(now, chains, strict=True)]


def _ports(plan: _Plan, links: Sequence[Link], chains: Sequence[Sequence[int]]) -> dict[Link, float]:
    """The x at which each link reaches its target. The two links of a merge end side by side, in their order."""
    arriving: dict[int, list[tuple[float, int, Link]]] = defaultdict(list)
    for number, (link, chain) in enumerate(zip(links, chains, strict=True)):
        arriving[link.target].append((plan.xs[chain[-2]], number, link))
    found: dict[Link, float] = {}
    for target, several in arriving.items():
        for place, (_, _, link) in enumerate(sorted(several, key=lambda one: one[:2])):
            found[link] = plan.xs[target] + _PORT * (2 * place - len(several) + 1)
    return found


def _line(plan: _Plan, link: Link, chain: Sequence[int], port: float) -> Route:
    """The route of a link within the step: straight down through rows, sideways between them."""
    xs = [*(plan.xs[vertex] for vertex in chain[:-1]), port]
    first = plan.rows.rank[link.source]
    steps: list[Step] = []
    for number in range(len(chain) - 1):
        upper, lower = plan.bands.bends[first + number]
        steps += [((xs[number], upper),), _curve((xs[number], upper), (xs[number + 1], lower))]
    end = plan.boxes[link.target].top
    return Route(link, (xs[0], plan.boxes[link.source].bottom), (*steps, ((port, end),)))


def _curve(start: Point, end: Point) -> Step:
    if start[0] == end[0]:
        return (end,)
    middle = (start[1] + end[1]) / 2
    return (start[0], middle), (end[0], middle), end


# Links back in time


def _backward(plan: _Plan, loop: Loop) -> list[Route]:
    found = []
    for target, entry in zip(loop.targets, loop.entries, strict=True):
        out, into = _way_out(plan, loop), _way_in(plan, loop, target, entry)
        lane = _lane(plan, loop)
        points = [*out, (lane, out[-1][1]), (lane, into[0][1]), *into]
        found.append(Route(Link(loop.node, target, "time"), points[0], rounded(points)))
    return found


def _lane(plan: _Plan, loop: Loop) -> float:
    if loop.local:
        return plan.boxes[loop.node].edge(loop.side) + loop.side * _LOCAL
    return (plan.left if loop.side < 0 else plan.right) + loop.side * LANE * loop.lane


def _way_out(plan: _Plan, loop: Loop) -> list[Point]:
    """The points from the node to the height at which the line enters its lane."""
    box = plan.boxes[loop.node]
    if loop.exit is None:
        return [(box.edge(loop.side), box.y + (box.height / 4 if loop.node in loop.targets else 0.0))]
    y = plan.bands.bottoms[plan.rows.rank[loop.node]] + LANE * (loop.exit + 1)
    return [(box.corner(loop.side), box.bottom), (box.corner(loop.side), y)]


def _way_in(plan: _Plan, loop: Loop, target: int, entry: int | None) -> list[Point]:
    """The points from the height at which the line leaves its lane to the target."""
    box = plan.boxes[target]
    if entry is None:
        return [(box.edge(loop.side), box.y - box.height / 4)]
    y = plan.bands.tops[plan.rows.rank[target]] - LANDING - LANE * entry
    return [(box.corner(loop.side), y), (box.corner(loop.side), box.top)]
