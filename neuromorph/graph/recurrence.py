"""Finds the nodes that need a loop over time. Links back in time close cycles, and only cycles run step by step."""

from __future__ import annotations

from .components import WINDOW
from .nodes import Graph, Node, topological

__all__ = ["WINDOW", "computing", "domains_of", "inputs_of", "segments_of", "window_order"]


def inputs_of(graph: Graph, node: Node) -> tuple[tuple[int, int], ...]:
    """The computing nodes that a node reads, each with the number of steps back.

    A convolution gives two entries: the nearest step and the furthest one.
    """
    return graph.inputs[node.index]


def computing(graph: Graph) -> list[int]:
    """The live nodes that compute something, in an order for computing one step."""
    return list(graph.computing)


def window_order(graph: Graph, domains: dict[int, int]) -> list[int]:
    """The same nodes in an order for computing whole windows.

    A node that is read back in time comes before its reader too, unless both are in one loop.
    """
    needs: dict[int, tuple[int, ...]] = {}
    for index in graph.order:
        node = graph.nodes[index]
        if node.kind == "split":
            needs[index] = () if node.source is None else (node.source,)
            continue
        alone = domains[index] == WINDOW
        needs[index] = tuple(
            [o for o, steps in graph.inputs[index] if not steps or alone or domains[o] != domains[index]]
        )
    return [index for index in topological(needs) if graph.nodes[index].kind != "split"]


def domains_of(graph: Graph) -> dict[int, int]:
    """For each computing node, the number of its loop, or WINDOW."""
    return {index: domain for domain, nodes in graph.parts for index in nodes}


def segments_of(graph: Graph) -> list[tuple[int, list[int]]]:
    """Runs of nodes as (domain, nodes), each after all that it reads. The nodes of a loop are in one run.

    A window node goes into the earliest run in which all that it reads has been computed. Loops keep their order.
    """
    run_of: dict[int, tuple[int, int]] = {}  # (level, domain): levels of window nodes are even, of loops odd
    parts = graph.parts
    for domain, nodes in parts:
        needs = {other for index in nodes for other, _ in graph.inputs[index]}.difference(nodes)
        before = max([run_of[other][0] for other in needs], default=0)
        level = before + before % 2 if domain == WINDOW else before + 1 + before % 2
        run_of.update(dict.fromkeys(nodes, (level, domain)))
    runs: dict[tuple[int, int], list[int]] = {}
    for index in window_order(graph, {index: domain for domain, nodes in parts for index in nodes}):
        runs.setdefault(run_of[index], []).append(index)
    return [(domain, runs[level, domain]) for level, domain in sorted(runs)]
