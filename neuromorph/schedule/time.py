"""Where time needs a loop: links back in time close cycles, and only those run step by step."""

from __future__ import annotations

from collections.abc import Iterator

from ..graph import Graph, Node
from .plan import WINDOW


def inputs_of(graph: Graph, node: Node) -> Iterator[tuple[int, bool]]:
    """The computing nodes a node reads, and whether from the step before."""
    if node.source is not None:
        yield graph.resolve(node.source), False
    if node.other is not None:
        yield graph.resolve(node.other), node.delayed


def computing(graph: Graph) -> list[int]:
    """The live nodes that compute something, in an order in which one step can be evaluated."""
    return [index for index in graph.order if graph.nodes[index].kind != "split"]


def _components(nodes: list[int], edges: dict[int, list[int]]) -> list[list[int]]:
    """Strongly connected components (Tarjan, iterative), each after those it reads."""
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


def domains_of(graph: Graph) -> dict[int, int]:
    """For each computing node the loop it belongs to, or WINDOW."""
    nodes = computing(graph)
    reads = {index: list(inputs_of(graph, graph.nodes[index])) for index in nodes}
    components = _components(nodes, {index: [other for other, _ in reads[index]] for index in nodes})
    domains: dict[int, int] = {}
    loops = 0
    for component in components:
        inside = set(component)
        looped = any(other in inside and late for index in component for other, late in reads[index])
        domains.update(dict.fromkeys(component, loops if looped else WINDOW))
        loops += looped
    return domains


def segments_of(graph: Graph) -> list[tuple[int, list[int]]]:
    """Runs of nodes of one domain, each after all it reads; nodes of a loop stand together.

    A window node goes into the earliest run in which all it reads is done; runs of loops keep their own order.
    """
    domains = domains_of(graph)
    position = {index: place for place, index in enumerate(computing(graph))}
    level: dict[int, int] = {}  # window nodes: even; loop number k of its chain: odd
    loop_level: dict[int, int] = {}
    loop_nodes: dict[int, list[int]] = {}
    for index in position:
        if domains[index] != WINDOW:
            loop_nodes.setdefault(domains[index], []).append(index)
    reads = {index: [other for other, _ in inputs_of(graph, graph.nodes[index])] for index in position}
    pending = sorted(position, key=position.__getitem__)
    while pending:
        waiting = []
        for index in pending:
            if index in level:
                continue
            domain = domains[index]
            mates = [index] if domain == WINDOW else loop_nodes[domain]
            inside = set(mates)
            needs = {other for mate in mates for other in reads[mate]} - inside
            if not needs <= level.keys():
                waiting.append(index)
                continue
            before = max((level[other] for other in needs), default=0)
            if domain == WINDOW:
                level[index] = before + before % 2
            else:
                loop_level[domain] = before + 1 - before % 2 if before % 2 == 0 else before + 2
                level.update(dict.fromkeys(mates, loop_level[domain]))
        assert len(waiting) < len(pending), "the graph of one step has a cycle"
        pending = waiting
    return _runs(domains, level, position)


def _runs(domains: dict[int, int], level: dict[int, int], position: dict[int, int]) -> list[tuple[int, list[int]]]:
    """Nodes by level; loops of one level one after the other."""
    runs: dict[tuple[int, int], list[int]] = {}
    for index in sorted(position, key=position.__getitem__):
        runs.setdefault((level[index], domains[index]), []).append(index)
    return [(domain, runs[level_, domain]) for level_, domain in sorted(runs)]
