"""Tables about a model, as text."""

from __future__ import annotations

from .nodes import Graph, Node
from .wording import ago, function_of, with_number


def summary(graph: Graph) -> str:
    """A table of nodes, widths, parameters and links in time."""
    rows = [("node", "kind", "width", "parameters", "what")]
    rows += [(n.name, n.kind, f"{n.width:,}", _parameters(graph, n), _what(graph, n)) for n in graph.nodes]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {width:>{widths[2]}}  {count:>{widths[3]}}  {what}".rstrip()
        for name, kind, width, count, what in rows
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    links = [f"{graph.nodes[m].name} reads {graph.nodes[o].name}" for m, o in graph.delayed_links]
    lines += ["", f"parameters: {graph.parameter_count:,}", f"links backward in time: {', '.join(links) or 'none'}"]
    return "\n".join(lines)


def _parameters(graph: Graph, node: Node) -> str:
    count = graph.parameters_of(node.index)
    return f"{count:,}" if count else ""


def _what(graph: Graph, node: Node) -> str:
    """What a node does, in a few words."""
    words = [function_of(node)] if function_of(node) else []
    if node.merge is not None and node.other is not None:
        words.append(f"{node.merge.name} with {graph.nodes[node.other].name}{ago(node.steps)}")
    if node.index == graph.output:
        words.append(f"loss {with_number(graph.loss.name, graph.loss_parameter)}")
    if not node.live:
        words.append("dead: the output does not depend on it")
    return ", ".join(words)
