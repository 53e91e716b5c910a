"""The pictures of a report as SVG: the front of score against size, and the family tree of an individual."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ..drawing.svg import escape
from .individuals import DONE, Evolution, Individual

_MOST_DOTS = 3_000  # individuals that a chart shows, beside its front
_WIDTH, _HEIGHT = 760.0, 420.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 76.0, 16.0, 14.0, 48.0
_ROW, _COLUMN = 22.0, 18.0  # of a family tree, in pixels
_TEXT = 560.0  # the room beside a tree, in pixels
_LARGEST = 1e100  # of scores that have places of their own
_WIDE_RANGE = 100.0  # of scores; a larger one has a logarithmic axis


def front_chart(found: Evolution) -> str:
    """Every individual with a score as a dot, by its parameters and its score, and the front as a line."""
    done = [one for one in found if one.score is not None and one.state == DONE]
    if not done:
        return ""
    step = max(1, math.ceil(len(done) / _MOST_DOTS))
    across = _Axis([one.size.parameters + 0.0 for one in done], _LEFT, _WIDTH - _RIGHT, logarithmic=True)
    scores = [one.score for one in done if one.score is not None]
    up = _Axis(_without_outliers(scores, larger=found.larger), _HEIGHT - _BOTTOM, _TOP, logarithmic=_is_wide(scores))
    return "".join(_chart(found, done[::step], across, up))


def _without_outliers(scores: Sequence[float], *, larger: bool) -> list[float]:
    """The scores that an axis has room for: all but the worst tenth."""
    better = sorted(scores, reverse=larger)
    return better[: max(1, math.ceil(0.9 * len(better)))]


def _is_wide(scores: Sequence[float]) -> bool:
    return min(scores) > 0.0 and max(scores) / _WIDE_RANGE > min(scores)


class _Axis:
    """An axis with ticks. Values beyond its ends are drawn at the ends."""

    def __init__(self, values: Sequence[float], start: float, end: float, *, logarithmic: bool) -> None:
        self._log = logarithmic
        low, high = (self._position(one) for one in (min(values), max(values)))
        room = 0.04 * (high - low) or max(0.5, 1e-3 * abs(high))
        self._low, self._high = low - room, high + room
        self._start, self._end = start, end

    def _position(self, value: float) -> float:
        if self._log and value > 0.0:
            return math.log10(min(_LARGEST, max(1.0 / _LARGEST, value)))
        return min(_LARGEST, max(-_LARGEST, value))

    def place(self, value: float) -> float:
        """Where a value is, in pixels."""
        share = (self._position(value) - self._low) / (self._high - self._low)
        return self._start + min(1.0, max(0.0, share)) * (self._end - self._start)

    def ticks(self) -> Iterator[float]:
        """Round numbers, about five."""
        if self._log:
            exponents = range(math.floor(self._low), math.ceil(self._high) + 1)
            factors = (1.0, 2.0, 5.0) if self._high - self._low < 2.5 else (1.0,)
            known = [factor * 10.0**exponent for exponent in exponents for factor in factors]
            yield from (one for one in known if self._low <= math.log10(one) <= self._high)
            return
        rough = (self._high - self._low) / 5
        size = 10.0 ** math.floor(math.log10(rough))
        size *= next(factor for factor in (1.0, 2.0, 5.0, 10.0) if factor * size >= rough)
        first = math.ceil(self._low / size)
        yield from (number * size for number in range(first, math.floor(self._high / size) + 1))


def _chart(found: Evolution, shown: Sequence[Individual], across: _Axis, up: _Axis) -> Iterator[str]:
    yield f'<svg class="chart" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" width="{_WIDTH:g}" role="img" aria-label='
    yield f'"{escape(found.score)} by the number of parameters">'
    yield from _grid(across, up)
    yield f'<text x="{(_LEFT + _WIDTH) / 2:g}" y="{_HEIGHT - 8:g}" text-anchor="middle">parameters</text>'
    yield f'<text x="14" y="{_HEIGHT / 2:g}" text-anchor="middle" transform="rotate(-90 14 {_HEIGHT / 2:g})">'
    yield f"{escape(found.score)}</text>"
    for one in shown:
        yield _dot(one, across, up, "dot", 2.5)
    front = found.front
    points = [(across.place(one.size.parameters), up.place(one.score or 0.0)) for one in front]
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in points[1:])
    yield f'<path class="step" d="{path}"/>'
    for one in front:
        yield _dot(one, across, up, "best" if one is found.best else "front", 4.5)
    yield "</svg>"


def _grid(across: _Axis, up: _Axis) -> Iterator[str]:
    for value in across.ticks():
        x = across.place(value)
        yield f'<path class="grid" d="M{x:.1f} {_TOP:g}V{_HEIGHT - _BOTTOM:g}"/>'
        yield f'<text class="tick" x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 16:g}" text-anchor="middle">{value:,.6g}</text>'
    for value in up.ticks():
        y = up.place(value)
        yield f'<path class="grid" d="M{_LEFT:g} {y:.1f}H{_WIDTH - _RIGHT:g}"/>'
        yield f'<text class="tick" x="{_LEFT - 8:g}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>'


def _dot(one: Individual, across: _Axis, up: _Axis, kind: str, radius: float) -> str:
    x, y = across.place(one.size.parameters), up.place(one.score or 0.0)
    said = f"{one.number}: {one.score:.6g}, {one.size.parameters:,} parameters"
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"><title>{said}</title></circle>'


# The family tree ------------------------------------------------------------------------------------------------------


def family_tree(found: Evolution, individual: Individual) -> str:
    """An individual and its ancestors, one row each, the oldest first. A dashed line comes from a second parent."""
    members = found.ancestors(individual)
    rows = {one.number: row for row, one in enumerate(members)}
    columns = _columns(members, rows)
    wide = 20.0 + _COLUMN * (1 + max(columns.values()))
    height = _ROW * len(members) + 8
    return "".join(_family(members, individual, rows, columns, (wide, height)))


def _columns(members: Sequence[Individual], rows: dict[int, int]) -> dict[int, int]:
    """The column of each member. A line of first parents is one column; lines share one if their rows allow it."""
    columns: dict[int, int] = {}
    by_number = {one.number: one for one in members}
    free_above: list[int] = []  # by column the first row that is taken
    for one in reversed(members):
        if one.number in columns:
            continue
        line, parent = [one], one.parents[:1]
        while parent and parent[0] not in columns:
            line.append(by_number[parent[0]])
            parent = line[-1].parents[:1]
        last = rows[one.number]
        column = next((place for place, row in enumerate(free_above) if row > last), len(free_above))
        if column == len(free_above):
            free_above.append(0)
        free_above[column] = rows[line[-1].number]
        columns |= {member.number: column for member in line}
    return columns


def _family(
    members: Sequence[Individual],
    best: Individual,
    rows: dict[int, int],
    columns: dict[int, int],
    size: tuple[float, float],
) -> Iterator[str]:
    wide, height = size
    yield f'<svg class="family" viewBox="0 0 {wide + _TEXT:g} {height:g}" width="{wide + _TEXT:g}" role="img" '
    yield f'aria-label="the ancestors of individual {best.number}">'
    place = {one.number: (14 + _COLUMN * columns[one.number], 14 + _ROW * rows[one.number]) for one in members}
    for one in members:
        x, y = place[one.number]
        for order, parent in enumerate(one.parents):
            from_x, from_y = place[parent]
            kind = "link second" if order else "link"
            curve = f"C{from_x:g} {y - 8:g} {x:g} {from_y + 8:g} {x:g} {y:g}"
            yield f'<path class="{kind}" d="M{from_x:g} {from_y:g}{curve}"/>'
    for one in members:
        x, y = place[one.number]
        kind = "best" if one.number == best.number else "member"
        yield f'<circle class="{kind}" cx="{x:g}" cy="{y:g}" r="5"/><text x="{wide:g}" y="{y + 4:g}">{one.number} '
        yield f'<tspan>{escape(one.operation)}</tspan> <tspan class="small">{_said(one)}</tspan></text>'
    yield "</svg>"


def _said(one: Individual) -> str:
    score = one.state if one.score is None else f"{one.score:.6g}"
    return f"{score}, {one.size.nodes} nodes, {one.size.parameters:,} parameters"
