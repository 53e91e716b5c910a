"""Puts layers that read the same vector into groups, each computed as one product."""

from __future__ import annotations

from ..graph import Graph, Node
from .plan import Group, Member, Part, padded

_MOST_PARTS = 4_096  # nodes of all concatenations that layers read; if there are more,
_FEW_PARTS = 8  # a concatenation of more nodes than this is built in memory


def virtual_concatenations(graph: Graph, domains: dict[int, int]) -> set[int]:
    """The concatenations and takes that are not built in memory, because layers can read their operands directly.

    Only layers, and other such merges, read them, in the same step. Two kinds are built all the same. One has a link in
    time and is read by a layer outside its loop: its gradient for the step before is added up inside the loop. The
    other is long, in a model with very many parts: each of its nodes would be a product.
    """
    readers: dict[int, list[tuple[int, int]]] = {}
    for index in graph.computing:
        for other, steps in graph.inputs[index]:
            readers.setdefault(other, []).append((index, steps))
    virtual: set[int] = set()
    long = _long_concatenations(graph)
    inside: dict[int, set[int]] = {}  # the domains of the layers that read a virtual concatenation, directly or not
    for index in reversed(graph.computing):
        node = graph.nodes[index]
        if node.merge is None or not (node.merge.concatenates or node.source is None) or index in long:
            continue
        if any(
            steps or (graph.nodes[reader].kind != "layer" and reader not in virtual)
            for reader, steps in readers.get(index, [])
        ):
            continue
        found = {domain for reader, _ in readers.get(index, []) for domain in inside.get(reader, {domains[reader]})}
        if not node.delayed or found <= {domains[index]}:
            virtual.add(index)
            inside[index] = found
    return virtual


def _long_concatenations(graph: Graph) -> set[int]:
    """The concatenations of so many nodes, also through other concatenations, that a product for each is too much."""
    counts: dict[int, int] = {}
    read: set[int] = set()
    for index in graph.computing:
        node, inputs = graph.nodes[index], graph.inputs[index]
        through = node.merge is not None and (node.merge.concatenates or node.source is None)
        counts[index] = sum(1 if late else counts[other] for other, late in inputs) if through else 1
        if node.kind == "layer":
            read.update(other for other, _ in inputs)
    most = _MOST_PARTS if sum(counts[index] for index in read) <= _MOST_PARTS else _FEW_PARTS
    return {index for index, count in counts.items() if count > most}


def parts_of(graph: Graph, virtual: set[int], layer: Node) -> tuple[Part, ...]:
    """The parts of a layer's incoming vector."""
    assert layer.source is not None
    source = graph.resolve(layer.source)
    if layer.taps > 1:
        return (Part(source, -layer.reach, graph.nodes[source].width, 0, layer.taps, layer.dilation),)
    parts: list[Part] = []
    row = 0
    stack = [(source, 0)]
    while stack:
        index, shift = stack.pop()
        node = graph.nodes[index]
        if index in virtual:
            assert node.other is not None
            stack.append((graph.resolve(node.other), -node.steps))
            if node.source is not None:
                stack.append((graph.resolve(node.source), 0))
        else:
            parts.append(Part(index, shift, node.width, row))
            row += node.width
    return tuple(parts)


def sibling_groups(graph: Graph, lanes: int, runs: list[tuple[int, list[int]]], virtual: set[int]) -> tuple[Group, ...]:
    """The groups of each run: its layers that read the same vector."""
    groups: list[Group] = []
    for domain, nodes in runs:
        by_source: dict[tuple[int, int, int, bool], list[int]] = {}
        by_parts: dict[
            tuple[tuple[Part, ...], bool], list[int]
        ] = {}  # by parts, since two sources may be concatenations of the same nodes
        for index in nodes:
            node = graph.nodes[index]
            if node.kind == "layer":
                assert node.source is not None
                read = (graph.resolve(node.source), node.taps, node.dilation, index not in graph.frozen)
                if read not in by_source:
                    by_source[read] = by_parts.setdefault((parts_of(graph, virtual, node), read[-1]), [])
                by_source[read].append(index)
        for (parts, learns), layers in by_parts.items():
            groups.append(Group(len(groups), domain, parts, *_columns(graph, lanes, layers), learns))
    return tuple(groups)


def _columns(graph: Graph, lanes: int, layers: list[int]) -> tuple[tuple[Member, ...], int]:
    """Some layers with their columns side by side, and the number of all columns.

    Those of one activation stand together, so that it is computed over all their columns at once.
    """
    functions: dict[tuple[str, float | None], list[int]] = {}
    for index in layers:
        function = graph.nodes[index].function
        assert function is not None
        functions.setdefault((function.name, graph.nodes[index].parameter), []).append(index)
    members, column = [], 0
    for index in (index for alike in functions.values() for index in alike):
        members.append(Member(index, column, graph.nodes[index].width))
        column += padded(graph.nodes[index].width, lanes)
    return tuple(members), column
