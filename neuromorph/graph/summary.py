"""Makes tables about a model, as text."""

from __future__ import annotations

from collections.abc import Iterator

from .folding import Folded, fold
from .nodes import Graph, Node
from .words import function_of, loss_of, read_by, reads_back


def summary(graph: Graph, *, folded: bool = False) -> str:
    """A table of nodes, widths, parameters and links in time. folded: show every cell as one row."""
    shown = fold(graph) if folded else Folded(graph, tuple((node.index,) for node in graph.nodes))
    rows = [("node", "kind", "width", "parameters", "what")]
    rows += [(n.name, n.kind, f"{n.width:,}", _parameters(shown, n), _what(shown.graph, n)) for n in shown.graph.nodes]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {width:>{widths[2]}}  {count:>{widths[3]}}  {what}".rstrip()
        for name, kind, width, count, what in rows
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    links = ", ".join(_links(shown.graph)) or "none"
    lines += ["", f"parameters: {graph.parameter_count:,}", f"links backward in time: {links}"]
    return "\n".join(lines)


def _links(graph: Graph) -> Iterator[str]:
    """The live links back in time, those of convolutions too, each in words."""
    for node in graph.nodes:
        if node.live:
            yield from (f"{node.name} reads {read}" for read in reads_back(graph, node))


def _parameters(shown: Folded, node: Node) -> str:
    count = shown.parameters_of(node.index)
    return f"{count:,}" if count else ""


def _what(graph: Graph, node: Node) -> str:
    """What a node does, in a few words."""
    words = [read_by(graph, node) or function_of(node)]
    if node.index == graph.output:
        words.append(loss_of(graph))
    if node.index in graph.frozen:
        words.append("frozen")
    if not node.live:
        words.append("dead: the output does not depend on it")
    return ", ".join(filter(None, words))
