"""Writes a graph in the DOT language of Graphviz."""

from __future__ import annotations

from ..graph import Graph, Node
from .geometry import Link
from .labels import label_of
from .layout import links_of

_SHAPES = {"split": "oval", "merge": "hexagon", "cell": "box3d"}
_DEAD = 'color="#b4b4b4"'


def to_dot(graph: Graph) -> str:
    """The graph as DOT text, with full names. Links back in time are dashed, and dead nodes grey."""
    lines = [
        "digraph neuromorph {",
        "  rankdir=TB;",
        '  node [shape=box, fontname="monospace"];',
        *(_node(graph, node) for node in graph.nodes),
        *(_edge(graph, link) for link in links_of(graph)),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _node(graph: Graph, node: Node) -> str:
    label = "\\n".join(map(_escaped, (node.name, *label_of(graph, node.index).lines[1:])))
    said = [f'label="{label}"']
    if node.kind in _SHAPES:
        said.append(f"shape={_SHAPES[node.kind]}")
    if not node.live:
        said += [_DEAD, 'fontcolor="#8a8a8a"']
    return f"  n{node.index} [{', '.join(said)}];"


def _edge(graph: Graph, link: Link) -> str:
    said = [] if link.role == "flow" else ["arrowhead=empty"]
    if link.role == "time":
        said += ["style=dashed", "constraint=false"]
    if not (graph.nodes[link.source].live and graph.nodes[link.target].live):
        said.append(_DEAD)
    attributes = f" [{', '.join(said)}]" if said else ""
    return f"  n{link.source} -> n{link.target}{attributes};"


def _escaped(text: str) -> str:
    """The text, escaped for a quoted string. Characters that are not printable are replaced."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return shown.replace("\\", "\\\\").replace('"', '\\"')
