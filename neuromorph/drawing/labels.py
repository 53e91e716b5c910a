"""The text in a node of a drawing, and the size of the box that it needs."""

from __future__ import annotations

from dataclasses import dataclass

from ..graph import Graph, Node
from ..graph.words import before, function_of, loss_of, read_by
from .geometry import Size

NAME_SIZE, DETAIL_SIZE = 13.0, 11.0  # pixels
NAME_LINE, DETAIL_LINE = 17.0, 15.0
_CHARACTER = 0.62  # the width of a character by its size: fixed-width fonts have 0.55 to 0.61
_SHOWN = 28  # characters of a name; the whole of it is in the description
_BESIDE, _ABOVE = 14.0, 7.0
_LEAST_WIDTH = 64.0


@dataclass(frozen=True)
class Label:
    """The lines of a node's box, its name first, and a sentence that describes it."""

    lines: tuple[str, ...]
    description: str

    def size(self) -> Size:
        """The size of a box that holds the lines in any fixed-width font."""
        sizes = (NAME_SIZE, *(DETAIL_SIZE for _ in self.lines[1:]))
        widest = max(text_width(line, size) for line, size in zip(self.lines, sizes, strict=True))
        height = NAME_LINE + DETAIL_LINE * (len(self.lines) - 1)
        return Size(max(_LEAST_WIDTH, widest + 2 * _BESIDE), height + 2 * _ABOVE)


def text_width(text: str, size: float) -> float:
    """An upper bound of how wide a text is in a fixed-width font of a size, in pixels."""
    return len(text) * _CHARACTER * size


def label_of(graph: Graph, index: int) -> Label:
    """What is written about one node."""
    node = graph.nodes[index]
    read = read_by(graph, node)
    reads = f", {read}" if read else ""
    dead = " (dead: the output does not depend on it)" if not node.live else ""
    description = f"{node.name}: {_kind(graph, node)} of width {node.width:,}{reads}{dead}"
    return Label((_shortened(node.name), *_details(graph, node)), description)


def _details(graph: Graph, node: Node) -> tuple[str, ...]:
    if node.kind == "split":
        return ()
    found = [_computed(node)]
    if node.merge is not None and node.steps > 1:
        found.append(before(node.steps).strip())
    if node.index == graph.output:
        found.append(loss_of(graph))
    return tuple(found)


def _computed(node: Node) -> str:
    what = function_of(node)
    return f"{node.width:,} · {what}" if what else f"{node.width:,}"


def _kind(graph: Graph, node: Node) -> str:
    if node.index == graph.output:
        return "output"
    words = {"activation": "activation node", "elementwise": "elementwise layer", "cell": f"cell {function_of(node)}"}
    return words.get(node.kind, node.kind)


def _shortened(name: str) -> str:
    """A name without its middle where it is too long to be shown."""
    if len(name) <= _SHOWN:
        return name
    return f"{name[: _SHOWN // 2]}…{name[-(_SHOWN // 2 - 1) :]}"
