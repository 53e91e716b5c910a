"""Chooses the layout of a graph, which gives the places of nodes and the routes of links."""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Graph
from .geometry import Layout, Link, Role, Size
from .layered import layered
from .rows import ranks, vertex_count
from .single import single

LARGE = 6_000  # a graph with more vertices (nodes and bends) is drawn as one column


def links_of(graph: Graph) -> list[Link]:
    """All links, dead ones too, node by node in text order: first what flows in, then what a merge reads."""
    found: list[Link] = []
    for node in graph.nodes:
        if node.source is not None:
            found.append(Link(node.source, node.index, "flow"))
        if node.other is not None:
            role: Role = "time" if node.delayed else "merge"
            found.append(Link(node.other, node.index, role))
    return found


def lay_out(graph: Graph, sizes: Sequence[Size]) -> Layout:
    """A box for every node and a route for every link. sizes: the size of each node.

    The nodes stand in rows from top to bottom, and no line runs through a node. A graph that would need more than
    ``LARGE`` vertices is one column, with its lines beside it.
    """
    links = links_of(graph)
    rank = ranks(len(graph.nodes), links)
    if vertex_count(rank, links) > LARGE:
        return single(links, sizes)
    return layered(rank, links, sizes)
