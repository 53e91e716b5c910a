"""Finds strongly connected components: the loops of a graph over time, and its single nodes."""

from __future__ import annotations

from collections.abc import Sequence

WINDOW = -1  # the domain of operations that run over a whole window at once; the loops are numbered from 0


def components(nodes: Sequence[int], edges: dict[int, list[int]]) -> list[list[int]]:
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


def loops_and_nodes(
    nodes: Sequence[int], reads: Sequence[Sequence[tuple[int, int]]]
) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """The loops and single nodes of a graph as (domain, nodes), each after all that it reads.

    reads: by node, what it reads and how many steps back.
    """
    parts: list[tuple[int, tuple[int, ...]]] = []
    loops = 0
    for component in components(nodes, {index: [other for other, _ in reads[index]] for index in nodes}):
        inside = set(component)
        looped = any(other in inside and late for index in component for other, late in reads[index])
        assert looped or len(component) == 1, "the graph of one step has a cycle"
        parts.append((loops if looped else WINDOW, tuple(component)))
        loops += looped
    return tuple(parts)
