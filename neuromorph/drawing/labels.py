"""Makes the text in the box of a node, and computes the size of the box."""

from __future__ import annotations

from ..graph import Graph, Node
from ..graph.words import before, function_of, loss_of, read_by, reads_back
from ..host.frozen import frozen
from .geometry import Size

NAME_SIZE, DETAIL_SIZE = 13.0, 11.0  # pixels
NAME_LINE, DETAIL_LINE = 17.0, 15.0
_CHARACTER = 0.62  # width divided by font size of a character; fixed-width fonts have 0.55 to 0.61
_SHOWN = 28  # the most characters of a name; the description has the whole name
_BESIDE, _ABOVE = 14.0, 7.0
_LEAST_WIDTH = 64.0


@frozen
class Label:
    """The lines in a node's box, the name first, and a sentence that describes the node."""

    lines: tuple[str, ...]
    description: str

    def size(self) -> Size:
        """The size of a box that holds the lines in any fixed-width font."""
        sizes = (NAME_SIZE, *(DETAIL_SIZE for _ in self.lines[1:]))
        widest = max(text_width(line, size) for line, size in zip(self.lines, sizes, strict=True))
        height = NAME_LINE + DETAIL_LINE * (len(self.lines) - 1)
        return Size(max(_LEAST_WIDTH, widest + 2 * _BESIDE), height + 2 * _ABOVE)


def text_width(text: str, size: float) -> float:
    """The largest width of a text in pixels in any fixed-width font. size: the font size in pixels."""
    return len(text) * _CHARACTER * size


def label_of(graph: Graph, index: int) -> Label:
    """The label of one node."""
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
    if node.kind == "cell" and max(node.steps, node.reach) > 1:
        found += reads_back(graph, node)
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
    """The name, with its middle cut out if it is too long."""
    if len(name) <= _SHOWN:
        return name
    return f"{name[: _SHOWN // 2]}…{name[-(_SHOWN // 2 - 1) :]}"
