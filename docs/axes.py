"""Draws the picture of the axes of data, ``docs/axes.svg``. ``python docs/renew.py`` writes it.

Each array is a pile of sheets: the first axis counts the sheets from front to back, the second one the rows of a sheet,
the last one the columns. What belongs to one sequence, or to one vector, is coloured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

STYLE = """
text{font:13px system-ui,-apple-system,"Segoe UI",sans-serif;fill:#1f2328;text-anchor:middle}
.name{font:600 14px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.axis{font-style:italic}
rect{fill:#fff;stroke:#7b838d}
.one{fill:#9ec5f4;stroke:#3c78bf}
path{fill:none;stroke:#7b838d;stroke-width:1.5}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}rect{fill:#161b22;stroke:#8b949e}.one{fill:#1f5fa8;stroke:#79b8ff}path{stroke:#8b949e}}
"""
CELL = 20.0  # the width and height of a number
SHIFT = 13.0, -13.0  # from a sheet to the one behind it
PANEL, HEIGHT, TOP = 250.0, 250.0, 110.0


@dataclass(frozen=True)
class Panel:
    """The picture of one array.

    sheets, rows, columns: how many are drawn. axes: what they count, None for a single sheet. is_one: whether a number,
    by sheet and row, belongs to the sequence or vector that is coloured. colour: what that is, in words.
    """

    name: str
    sheets: int
    rows: int
    columns: int
    axes: tuple[str | None, str, str]
    is_one: Callable[[int, int], bool]
    colour: str


PANELS = (
    Panel("(S, B, W)", 4, 3, 2, ("S steps", "B lanes", "W numbers"), lambda s, b: b == 1,
          "one sequence: a lane of every sheet"),
    Panel('layout="NSW"', 3, 4, 2, ("N sequences", "S steps", "W numbers"), lambda n, s: n == 0,
          "one sequence: a sheet"),
    Panel('layout="NW"', 1, 4, 2, (None, "N vectors", "W numbers"), lambda _, n: n == 1, "one vector: a row"),
)  # fmt: skip


def picture() -> str:
    """The picture as SVG."""
    width = PANEL * len(PANELS)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width:g} {HEIGHT:g}" '
        f'width="{width:g}" height="{HEIGHT:g}">',
        "<title>The axes of data: (S, B, W), NSW and NW</title>",
        f"<style>{STYLE}</style>",
    ]
    for number, panel in enumerate(PANELS):
        parts += [f'<g transform="translate({number * PANEL:g} 0)">', *_panel(panel), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel) -> Iterator[str]:
    """The SVG of one array: its name, its sheets from back to front, its axes, and what is coloured."""
    (dx, dy), right, down = SHIFT, panel.columns * CELL, panel.rows * CELL
    left = (PANEL - right - (panel.sheets - 1) * dx) / 2
    yield f'<text class="name" x="{PANEL / 2:g}" y="24">{panel.name.replace(chr(34), "&quot;")}</text>'
    for sheet in reversed(range(panel.sheets)):
        for row in range(panel.rows):
            colour = ' class="one"' if panel.is_one(sheet, row) else ""
            for column in range(panel.columns):
                x, y = left + sheet * dx + column * CELL, TOP + sheet * dy + row * CELL
                yield f'<rect{colour} x="{x:g}" y="{y:g}" width="{CELL:g}" height="{CELL:g}"/>'
    behind, along, across = panel.axes
    if behind is not None:
        back_x, back_y = (panel.sheets - 1) * dx, (panel.sheets - 1) * dy
        yield _arrow(left - 8, TOP - 4, back_x, back_y)
        yield _text(left - 14 + back_x / 2, TOP - 14 + back_y / 2, behind, "end")
    yield _arrow(left - 8, TOP + 4, 0, down - 4)
    yield _text(left - 14, TOP + down / 2 + 4, along, "end")
    yield _arrow(left, TOP + down + 9, right, 0)
    yield _text(left + right / 2, TOP + down + 27, across, "middle")
    yield f'<text x="{PANEL / 2:g}" y="{HEIGHT - 12:g}">{panel.colour}</text>'


def _arrow(x: float, y: float, dx: float, dy: float) -> str:
    """A line with a tip."""
    length = (dx * dx + dy * dy) ** 0.5
    ux, uy = dx / length, dy / length
    tips = [(-6 * ux + 4 * side * uy, -6 * uy - 4 * side * ux) for side in (1, -1)]
    tip = "".join(f"M{x + dx:.1f},{y + dy:.1f}l{a:.1f},{b:.1f}" for a, b in tips)
    return f'<path d="M{x:.1f},{y:.1f}l{dx:.1f},{dy:.1f}{tip}"/>'


def _text(x: float, y: float, words: str, anchor: str) -> str:
    """The name of an axis."""
    return f'<text class="axis" x="{x:.1f}" y="{y:.1f}" style="text-anchor:{anchor}">{words}</text>'
