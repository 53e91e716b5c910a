"""Draws a graph as SVG, with styles for light and dark pages. It has no scripts and no links to other files."""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Graph, Node
from ..graph.words import before
from .geometry import Box, Layout, Point, Route
from .labels import DETAIL_LINE, NAME_LINE, Label, label_of
from .layout import lay_out

_ARROW = 8.0  # the length and the width of an arrow, in pixels
_PAINT = {  # kind: fill and stroke on a light page, fill and stroke on a dark one
    "input": ("#e3f4e8", "#2f8a50", "#173222", "#4fb074"),
    "output": ("#fde9df", "#c2592b", "#3b2117", "#e08a5f"),
    "layer": ("#e5effc", "#3c78bf", "#16293f", "#5f9de0"),
    "activation": ("#e3f3f5", "#2c8592", "#14302f", "#4fb3bd"),
    "elementwise": ("#ebecfb", "#5a62bd", "#1d1f42", "#8d95ea"),
    "cell": ("#fbf3da", "#a07a14", "#352b10", "#d0a93c"),
    "merge": ("#f1eafb", "#7f57b5", "#2a1f3d", "#a583d9"),
    "split": ("#f2f3f5", "#6e7781", "#22262c", "#8b949e"),
    "dead": ("#f5f5f5", "#b4b4b4", "#242424", "#5c5c5c"),
}
_STYLE = """
.nm-drawing{max-width:100%;height:auto}
.nm-drawing text{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;text-anchor:middle}
.nm-drawing .name{font-size:13px;font-weight:600;fill:#1f2328}
.nm-drawing .detail{font-size:11px;fill:#4b535d}
.nm-drawing .node .box{stroke-width:1.5}
.nm-drawing .link .line{fill:none;stroke:#7b838d;stroke-width:1.5}
.nm-drawing .link .arrow{fill:#7b838d;stroke:#7b838d;stroke-width:1.2;stroke-linejoin:round}
.nm-drawing .time .line{stroke:#cc6a2c;stroke-dasharray:6 4}
.nm-drawing .time .arrow{stroke:#cc6a2c}
.nm-drawing .merge .arrow,.nm-drawing .time .arrow{fill:none}
"""
_DEAD = """
.nm-drawing .link.dead .line,.nm-drawing .link.dead .arrow{stroke:#b4b4b4}
.nm-drawing .link.dead.flow .arrow{fill:#b4b4b4}
.nm-drawing .dead .name,.nm-drawing .dead .detail{fill:#8a8a8a}
"""
_DARK = """
.nm-drawing .name{fill:#e6edf3}
.nm-drawing .detail{fill:#a9b3be}
.nm-drawing .link.dead .line,.nm-drawing .link.dead .arrow{stroke:#5c5c5c}
.nm-drawing .link.dead.flow .arrow{fill:#5c5c5c}
.nm-drawing .dead .name,.nm-drawing .dead .detail{fill:#858585}
"""


def to_svg(graph: Graph) -> str:
    """The picture as SVG text. The same graph always gives the same text.

    The picture scales: its size in pixels is that of its viewBox, and at most the width of the page. A node is a group
    of the classes ``node`` and its kind, with ``data-node``. A link is a group of the classes ``link`` and ``flow``,
    ``merge`` or ``time``, with ``data-from`` and ``data-to``. These three are indices of the graph. Dead nodes and
    links have the class ``dead`` too.
    """
    labels = [label_of(graph, node.index) for node in graph.nodes]
    layout = lay_out(graph, [label.size() for label in labels])
    parts = [_opening(graph, layout), f"<style>{_styles()}</style>"]
    parts += [_link(graph, route) for route in sorted(layout.routes, key=lambda route: _is_live(graph, route))]
    drawn = zip(graph.nodes, layout.boxes, labels, strict=True)
    parts += [_node(graph, node, box, label) for node, box, label in drawn]
    return "\n".join([*parts, "</svg>", ""])


def _opening(graph: Graph, layout: Layout) -> str:
    left, top, width, height = layout.frame()
    box = " ".join(map(_number, (left, top, width, height)))
    title = f"{len(graph.nodes):,} nodes from {graph.nodes[graph.input].name} to {graph.nodes[graph.output].name}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="nm-drawing" role="img" viewBox="{box}" '
        f'width="{_number(width)}" height="{_number(height)}">\n<title>{escape(title)}</title>'
    )


def _styles() -> str:
    light = "".join(_paint(kind, fill, stroke) for kind, (fill, stroke, _, _) in _PAINT.items())
    dark = "".join(_paint(kind, fill, stroke) for kind, (_, _, fill, stroke) in _PAINT.items())
    return f"{_STYLE}{light}{_DEAD}@media (prefers-color-scheme:dark){{{_DARK}{dark}}}\n"


def _paint(kind: str, fill: str, stroke: str) -> str:
    return f".nm-drawing .node.{kind} .box{{fill:{fill};stroke:{stroke}}}\n"


# Links


def _link(graph: Graph, route: Route) -> str:
    link = route.link
    source, target = graph.nodes[link.source], graph.nodes[link.target]
    dead = "" if _is_live(graph, route) else " dead"
    late = before(target.steps) if link.role == "time" else ""
    return (
        f'<g class="link {link.role}{dead}" data-from="{link.source}" data-to="{link.target}">'
        f"<title>{escape(f'{target.name} reads {source.name}{late}')}</title>"
        f'<path class="line" d="{_path(route)}"/><path class="arrow" d="{_arrow(route)}"/></g>'
    )


def _is_live(graph: Graph, route: Route) -> bool:
    return graph.nodes[route.link.source].live and graph.nodes[route.link.target].live


def _path(route: Route) -> str:
    """The path of the line, up to the base of the arrow."""
    words = [f"M{_point(route.start)}"]
    words += ["LQC"[len(step) - 1] + " ".join(map(_point, step)) for step in route.steps[:-1]]
    tip, (dx, dy) = _tip(route)
    return "".join([*words, f"L{_point((tip[0] - dx * _ARROW, tip[1] - dy * _ARROW))}"])


def _arrow(route: Route) -> str:
    (x, y), (dx, dy) = _tip(route)
    back, wing = (x - dx * _ARROW, y - dy * _ARROW), _ARROW / 2
    left, right = (back[0] - dy * wing, back[1] + dx * wing), (back[0] + dy * wing, back[1] - dx * wing)
    return f"M{_point((x, y))}L{_point(left)}L{_point(right)}Z"


def _tip(route: Route) -> tuple[Point, Point]:
    """The tip of the arrow, and its direction (dx, dy) along an axis."""
    before, (x, y) = route.points()[-2:]
    length = abs(x - before[0]) + abs(y - before[1])
    return (x, y), ((x - before[0]) / length, (y - before[1]) / length)


# Nodes


def _node(graph: Graph, node: Node, box: Box, label: Label) -> str:
    kind = "output" if node.index == graph.output else node.kind
    dead = "" if node.live else " dead"
    return (
        f'<g class="node {kind}{dead}" data-node="{node.index}"><title>{escape(label.description)}</title>'
        f'<rect class="box" x="{_number(box.left)}" y="{_number(box.top)}" width="{_number(box.width)}" '
        f'height="{_number(box.height)}" rx="{_number(_roundness(node, box))}"/>{_texts(box, label.lines)}</g>'
    )


def _roundness(node: Node, box: Box) -> float:
    return {"split": box.height / 2, "merge": 10.0}.get(node.kind, 5.0)


def _texts(box: Box, lines: Sequence[str]) -> str:
    """The lines of text in the middle of a box. ``y`` is the baseline of the first."""
    y = box.y - (NAME_LINE + DETAIL_LINE * (len(lines) - 1)) / 2 + 13.0
    found = []
    for number, line in enumerate(lines):
        kind = "detail" if number else "name"
        place = f'x="{_number(box.x)}" y="{_number(y + DETAIL_LINE * number + (1.0 if number else 0.0))}"'
        found.append(f'<text class="{kind}" {place}>{escape(line)}</text>')
    return "".join(found)


# Words


def escape(text: str) -> str:
    """The text, escaped for XML content and attributes. Characters that are not printable are replaced."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        shown = shown.replace(character, entity)
    return shown


def _point(point: Point) -> str:
    return f"{_number(point[0])},{_number(point[1])}"


def _number(value: float) -> str:
    """A number with at most two decimals, and without a negative zero."""
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")
