"""Makes a graph whose output is the values of some of its nodes side by side, to look into a model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..errors import brief, nearest
from ..functions import ACTIVATIONS, LOSSES, MERGES
from ..language import MAX_WIDTH
from .nodes import Graph, Node


def checked_nodes(graph: Graph, nodes: Any) -> tuple[str, ...]:
    """The names of live nodes as a tuple. TypeError for anything but names, ValueError for one that can't be read."""
    given = [nodes] if isinstance(nodes, str) else nodes
    if not isinstance(given, Iterable):
        raise TypeError(f"nodes must be names of nodes, not {brief(nodes)}")
    names, known = tuple(given), {node.name: node for node in graph.nodes}
    for place, name in enumerate(names):
        if not isinstance(name, str):
            raise TypeError(f"nodes[{place}] must be the name of a node, not {brief(name)}")
        if name not in known:
            near = nearest(name, known)
            raise ValueError(f"no node is named {brief(name)}" + (f"; did you mean {near!r}?" if near else ""))
        if not known[name].live:
            raise ValueError(f"the node {brief(name)} is never computed: the output does not depend on it")
    if not names:
        raise ValueError("nodes must have at least one name")
    if sum(known[name].width for name in names) > MAX_WIDTH:
        raise ValueError(f"the nodes have more than {MAX_WIDTH:,} components together: ask for fewer at once")
    return names


def with_nodes_as_output(graph: Graph, names: tuple[str, ...]) -> Graph:
    """The graph with a new output: the values of the named nodes in this order. Its parameters and state are the same.

    It serves prediction alone: nothing in it learns.
    """
    places = {node.name: node.index for node in graph.nodes}
    nodes = list(graph.nodes)
    for number, name in enumerate(names):
        nodes.append(_reader(nodes, places[name], None if number == 0 else len(nodes) - 1))
    nodes.append(_copy(nodes[-1]))
    frozen = frozenset(node.index for node in nodes)
    return replace(
        graph, nodes=tuple(nodes), output=len(nodes) - 1, loss=LOSSES["mse"], loss_parameter=None, frozen=frozen
    )


def _reader(nodes: list[Node], read: int, before: int | None) -> Node:
    """A merge that appends the value of a node to that of ``before``, or takes it alone."""
    width = nodes[read].width + (0 if before is None else nodes[before].width)
    return Node(
        index=len(nodes),
        name=f"{nodes[read].name}, read",
        kind="merge",
        width=width,
        source=before,
        other=read,
        steps=0,
        function=None,
        parameter=None,
        merge=MERGES["take" if before is None else "concatenate"],
        live=True,
        location=nodes[read].location,
    )


def _copy(node: Node) -> Node:
    """A node with the same value. It gives a place of its own to a concatenation, which has none.

    Times 1 is no copy to the passes of a plan, which would leave it out.
    """
    return replace(
        node, index=node.index + 1, kind="activation", source=node.index, other=None, function=ACTIVATIONS["times"],
        parameter=1.0, merge=None,
    )  # fmt: skip
