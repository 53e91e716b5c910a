"""The shapes that a drawing consists of. Lengths are in pixels at scale 1. x grows to the right, y downward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from ..host.frozen import frozen

Point: TypeAlias = tuple[float, float]
Step: TypeAlias = tuple[Point, ...]
Role: TypeAlias = Literal["flow", "merge", "time"]

GAP = 28.0  # the gap between neighbours in a row
LANE = 12.0  # the distance of lines that run side by side
RADIUS = 8.0  # the radius of the rounded corners of lines
LANDING = 14.0  # the straight end of a line, which carries the arrow
MARGIN = 16.0  # the margin around the whole drawing


@frozen
class Size:
    """The width and height of a node."""

    width: float
    height: float


@frozen
class Link:
    """A vector that ``target`` reads from ``source``.

    role: "flow" for the vector that flows in, "merge" for the other vector of a merge, "time" for the other vector of a
    merge if it comes from an earlier step.
    """

    source: int
    target: int
    role: Role


@frozen
class Box:
    """The place of a node. ``x`` and ``y`` are its centre."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> float:
        """The smallest x."""
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        """The largest x."""
        return self.x + self.width / 2

    @property
    def top(self) -> float:
        """The smallest y."""
        return self.y - self.height / 2

    @property
    def bottom(self) -> float:
        """The largest y."""
        return self.y + self.height / 2

    def edge(self, side: int) -> float:
        """The x of the left (-1) or right (1) side."""
        return self.x + side * self.width / 2

    def corner(self, side: int) -> float:
        """The x near the left (-1) or right (1) side where the top and bottom edges are still straight."""
        return self.x + side * max(0.0, self.width / 2 - 14.0)


@frozen
class Route:
    """The line of a link, from ``start`` through its steps to the tip of the arrow.

    A step of one point is a straight line, of two points a quadratic and of three points a cubic Bézier curve. The last
    step is straight.
    """

    link: Link
    start: Point
    steps: tuple[Step, ...]

    def points(self) -> list[Point]:
        """All points, the control points of curves included. The line lies within their bounding box."""
        return [self.start, *(point for step in self.steps for point in step)]


@frozen
class Layout:
    """The places of a drawing: a box for each node, a route for each link."""

    boxes: tuple[Box, ...]
    routes: tuple[Route, ...]

    def frame(self) -> tuple[float, float, float, float]:
        """Left, top, width and height of the whole drawing, with a margin around it."""
        points = [point for route in self.routes for point in route.points()]
        left = min([x for x, _ in points] + [box.left for box in self.boxes]) - MARGIN
        right = max([x for x, _ in points] + [box.right for box in self.boxes]) + MARGIN
        top = min([y for _, y in points] + [box.top for box in self.boxes]) - MARGIN
        bottom = max([y for _, y in points] + [box.bottom for box in self.boxes]) + MARGIN
        return left, top, right - left, bottom - top


def rounded(points: Sequence[Point]) -> tuple[Step, ...]:
    """The steps along a line through ``points``: straight, with rounded corners."""
    steps: list[Step] = []
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(RADIUS, _distance(before, corner) / 2, _distance(corner, after) / 2)
        steps += [(_toward(corner, before, radius),), (corner, _toward(corner, after, radius))]
    return (*steps, (points[-1],))


def _distance(one: Point, other: Point) -> float:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])  # exact where the two points lie on a line along an axis


def _toward(start: Point, end: Point, length: float) -> Point:
    share = length / (_distance(start, end) or 1.0)
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def lanes(spans: Sequence[tuple[int, int]]) -> list[int]:
    """A lane for each span (first, last). Spans that overlap get different lanes, and short spans get inner lanes.

    The spans are placed one after the other, the shortest first. Each gets the first lane above all spans that it
    overlaps.
    """
    heights = [0] * (max((last for _, last in spans), default=0) + 1)
    found = [0] * len(spans)
    for number in sorted(range(len(spans)), key=lambda n: (spans[n][1] - spans[n][0], spans[n])):
        first, last = spans[number]
        found[number] = max(heights[first : last + 1])
        heights[first : last + 1] = [found[number] + 1] * (last - first + 1)
    return found
