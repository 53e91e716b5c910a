"""The shapes that a drawing is made of. Lengths are in pixels at scale 1; x grows to the right, y downward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Point: TypeAlias = tuple[float, float]
Step: TypeAlias = tuple[Point, ...]
Role: TypeAlias = Literal["flow", "merge", "time"]

GAP = 28.0  # between neighbours of a row
LANE = 12.0  # between lines that run side by side
RADIUS = 8.0  # of a line's rounded corners
LANDING = 14.0  # the straight end of a line, which carries the arrow
MARGIN = 16.0  # around everything


@dataclass(frozen=True)
class Size:
    """The width and height of a node."""

    width: float
    height: float


@dataclass(frozen=True)
class Link:
    """A vector that ``target`` reads from ``source``: what flows in, what a merge adds to it, or what a merge reads
    from the previous step."""

    source: int
    target: int
    role: Role


@dataclass(frozen=True)
class Box:
    """The place of a node; ``x`` and ``y`` are its middle."""

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
        """An x near that side where top and bottom are still straight."""
        return self.x + side * max(0.0, self.width / 2 - 14.0)


@dataclass(frozen=True)
class Route:
    """A link's line, from ``start`` step by step to the tip of its arrow.

    A step of one point is a straight line, of two a quadratic and of three a cubic Bézier curve. The last step is
    straight.
    """

    link: Link
    start: Point
    steps: tuple[Step, ...]

    def points(self) -> list[Point]:
        """All points, those that curves bend toward too; the line lies between them."""
        return [self.start, *(point for step in self.steps for point in step)]


@dataclass(frozen=True)
class Layout:
    """Where everything is: a box per node, a route per link."""

    boxes: tuple[Box, ...]
    routes: tuple[Route, ...]

    def frame(self) -> tuple[float, float, float, float]:
        """Left, top, width and height of what holds it all, a margin included."""
        points = [point for route in self.routes for point in route.points()]
        left = min([x for x, _ in points] + [box.left for box in self.boxes]) - MARGIN
        right = max([x for x, _ in points] + [box.right for box in self.boxes]) + MARGIN
        top = min([y for _, y in points] + [box.top for box in self.boxes]) - MARGIN
        bottom = max([y for _, y in points] + [box.bottom for box in self.boxes]) + MARGIN
        return left, top, right - left, bottom - top


def rounded(points: Sequence[Point]) -> tuple[Step, ...]:
    """The steps from the first point by way of the others to the last: straight, with rounded corners."""
    steps: list[Step] = []
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(RADIUS, _distance(before, corner) / 2, _distance(corner, after) / 2)
        steps += [(_toward(corner, before, radius),), (corner, _toward(corner, after, radius))]
    return (*steps, (points[-1],))


def _distance(one: Point, other: Point) -> float:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])  # exact for lines along an axis


def _toward(start: Point, end: Point, length: float) -> Point:
    share = length / (_distance(start, end) or 1.0)
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def lanes(spans: Sequence[tuple[int, int]]) -> list[int]:
    """A lane for each span (first, last), so that spans that meet get different ones, the short ones inside.

    Each falls onto those already there, the shortest first, and lies in the first lane above all that it meets.
    """
    heights = [0] * (max((last for _, last in spans), default=0) + 1)
    found = [0] * len(spans)
    for number in sorted(range(len(spans)), key=lambda n: (spans[n][1] - spans[n][0], spans[n])):
        first, last = spans[number]
        found[number] = max(heights[first : last + 1])
        heights[first : last + 1] = [found[number] + 1] * (last - first + 1)
    return found
