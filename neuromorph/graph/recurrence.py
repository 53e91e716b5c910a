"""Finds the nodes that need a loop over time. Links back in time close cycles, and only cycles run step by step."""

from __future__ import annotations

from .nodes import Graph, Node, topological

WINDOW = -1  # the domain of operations that run over a whole window at once; the loops are numbered from 0


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
        reads = list(inputs_of(graph, node))
        alone = domains[index] == WINDOW
        needs[index] = tuple(o for o, steps in reads if not steps or alone or domains[o] != domains[index])
    return [index for index in topological(needs) if graph.nodes[index].kind != "split"]


def components(nodes: list[int], edges: dict[int, list[int]]) -> list[list[int]]:
    """The strongly connected components, each after those that it reads (Tarjan's algorithm, iterative)."""
    number: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    found: list[list[int]] = []
    for root in nodes:
        if root in number:
            continue
        work = [(root, iter(edges[root]))]
        number[root] = low[root] = len(number)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, following = work[-1]
            for reached in following:
                if reached not in number:
                    number[reached] = low[reached] = len(number)
                    stack.append(reached)
                    on_stack.add(reached)
                    work.append((reached, iter(edges[reached])))
                    break
                if reached in on_stack:
                    low[node] = min(low[node], number[reached])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == number[node]:
                    component = []
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        component.append(member)
                        if member == node:
                            break
                    found.append(component)
    return found


def _parts_of(graph: Graph) -> list[tuple[int, list[int]]]:
    """The loops and single nodes of a graph as (domain, nodes), each after all that it reads."""
    nodes = computing(graph)
    reads = {index: list(inputs_of(graph, graph.nodes[index])) for index in nodes}
    parts = []
    loops = 0
    for component in components(nodes, {index: [other for other, _ in reads[index]] for index in nodes}):
        inside = set(component)
        looped = any(other in inside and late for index in component for other, late in reads[index])
        assert looped or len(component) == 1, "the graph of one step has a cycle"
        parts.append((loops if looped else WINDOW, component))
        loops += looped
    return parts


def domains_of(graph: Graph) -> dict[int, int]:
    """For each computing node, the number of its loop, or WINDOW."""
    return {index: domain for domain, nodes in _parts_of(graph) for index in nodes}


def segments_of(graph: Graph) -> list[tuple[int, list[int]]]:
    """Runs of nodes as (domain, nodes), each after all that it reads. The nodes of a loop are in one run.

    A window node goes into the earliest run in which all that it reads has been computed. Loops keep their order.
    """
    run_of: dict[int, tuple[int, int]] = {}  # (level, domain): levels of window nodes are even, of loops odd
    parts = _parts_of(graph)
    for domain, nodes in parts:
        needs = {other for index in nodes for other, _ in inputs_of(graph, graph.nodes[index])}.difference(nodes)
        before = max((run_of[other][0] for other in needs), default=0)
        level = before + before % 2 if domain == WINDOW else before + 1 + before % 2
        run_of.update(dict.fromkeys(nodes, (level, domain)))
    runs: dict[tuple[int, int], list[int]] = {}
    for index in window_order(graph, {index: domain for domain, nodes in parts for index in nodes}):
        runs.setdefault(run_of[index], []).append(index)
    return [(domain, runs[level, domain]) for level, domain in sorted(runs)]
