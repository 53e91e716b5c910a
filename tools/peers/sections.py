"""Where a node of a graph is computed: over a whole window at once, or in a loop over time."""

from __future__ import annotations

from typing import Any

from neuromorph.graph.recurrence import WINDOW, domains_of, inputs_of, segments_of, window_order

Sections = dict[int, int]  # by node: even where a whole window is computed at once, odd in a loop; one after the other


def sections_of(graph: Any, *, fused: bool, layered: bool) -> Sections:
    """The section of each live node that computes something.

    Neither ``fused`` nor ``layered``: one loop has all nodes. fused: one loop has what has to be there, and what lies
    between two such parts. layered: a loop for each such part, one after the other.
    """
    domains = domains_of(graph)
    if layered:
        return _layered(graph)
    if fused:
        return _one_loop(graph, domains)
    loop = 1 if graph.has_time_links else 0
    return {index: 0 if index == graph.input else loop for index in domains}


def ordered(graph: Any, sections: Sections) -> list[int]:
    """The nodes, section by section, each after all that it reads but what it reads of an earlier step of its loop."""
    order = window_order(graph, {index: number if number % 2 else WINDOW for index, number in sections.items()})
    return sorted(order, key=lambda index: sections[index])


def _layered(graph: Any) -> Sections:
    found: Sections = {}
    number = 0
    for domain, nodes in segments_of(graph):
        looped = domain != WINDOW
        number += 1 if looped != bool(number % 2) else 2 * looped
        found.update(dict.fromkeys(nodes, number))
    return found


def _one_loop(graph: Any, domains: dict[int, int]) -> Sections:
    reads = {index: {other for other, _ in inputs_of(graph, graph.nodes[index])} for index in domains}
    readers: dict[int, set[int]] = {index: set() for index in domains}
    for index, others in reads.items():
        for other in others:
            readers[other].add(index)
    looped = {index for index, domain in domains.items() if domain != WINDOW}
    late, needed = _reached(looped, readers), _reached(looped, reads)
    return {index: 0 if index not in late else 1 if index in needed else 2 for index in domains}


def _reached(start: set[int], edges: dict[int, set[int]]) -> set[int]:
    """What can be reached from some nodes, themselves among it."""
    found, waiting = set(start), list(start)
    while waiting:
        fresh = edges[waiting.pop()] - found
        found |= fresh
        waiting.extend(fresh)
    return found
