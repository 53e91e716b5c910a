"""Folds the cells of a graph, for pictures and tables: one node takes the place of each use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ..host.cached import cached_property
from ..host.frozen import frozen
from .components import components
from .nodes import Graph, Node, same_step


@frozen
class Folded:
    """A graph in which uses of cells are nodes of the kind "cell". members: the nodes that each node stands for.

    A cell reads what its nodes read from outside. If its nodes read earlier steps of one another, the cell reads
    itself, ``steps`` steps back at most. ``reach``: the steps back that convolutions of what comes in read.
    """

    original: Graph
    members: tuple[tuple[int, ...], ...]

    @cached_property
    def graph(self) -> Graph:
        """The folded graph, for display only: it has no parameters."""
        shown = {index: place for place, members in enumerate(self.members) for index in members}
        nodes = tuple(self._node(place, members, shown) for place, members in enumerate(self.members))
        original, frozen = self.original, frozenset(filter(self._is_frozen, range(len(nodes))))
        output = shown[original.output]
        return replace(original, nodes=nodes, input=shown[original.input], output=output, frozen=frozen)

    def parameters_of(self, place: int) -> int:
        """The number of parameters of all nodes that a node stands for."""
        return sum(map(self.original.parameters_of, self.members[place]))

    def _is_frozen(self, place: int) -> bool:
        """Whether a node stands for some parameters, and all of them are frozen."""
        owners = {index for index in self.members[place] if self.original.parameters_of(index)}
        return bool(owners) and owners <= self.original.frozen

    def _node(self, place: int, members: tuple[int, ...], shown: Mapping[int, int]) -> Node:
        nodes = [self.original.nodes[index] for index in members]
        if len(nodes) == 1:
            source, other = nodes[0].source, nodes[0].other
            links = (None if source is None else shown[source], None if other is None else shown[other])
            return replace(nodes[0], index=place, source=links[0], other=links[1], initializers=())
        use, inside = nodes[0].use, set(members)
        assert use is not None
        outside = [node.source for node in nodes if node.source is not None and node.source not in inside]
        steps = max((max(n.steps * (n.other in inside), n.reach * (n.source in inside)) for n in nodes), default=0)
        reach = max((node.reach for node in nodes if node.source not in inside), default=0)
        last = next(node for node in nodes if node.name == use.name)
        source = shown[outside[0]] if outside else None
        live = any(node.live for node in nodes)
        return Node(
            place, use.name, "cell", last.width, source, place if steps else None, steps, None, None, None, live,
            last.location, taps=reach + 1, origin=use,
        )  # fmt: skip


def fold(graph: Graph) -> Folded:
    """The graph with the outermost use of every cell as one node.

    A cell is not folded if it would then read itself within the step, through a node outside that merges with one
    inside.
    """
    uses: dict[str, list[int]] = {}
    for node in graph.nodes:
        if node.use is not None:
            uses.setdefault(node.use.name, []).append(node.index)
    folded = _folded(graph, uses.values())
    needs = {place: [o for o in same_step(node) if o != place] for place, node in enumerate(folded.graph.nodes)}
    cycles = [cycle for cycle in components(list(needs), needs) if len(cycle) > 1]
    open_ = {place for cycle in cycles for place in cycle}
    return _folded(graph, [members for place, members in enumerate(folded.members) if place not in open_])


def _folded(graph: Graph, together: Iterable[Iterable[int]]) -> Folded:
    """A graph with each of these groups of nodes as one node, in the place of the group's first node."""
    group_of = {index: tuple(group) for group in together for index in group}
    each = (group_of.get(node.index, (node.index,)) for node in graph.nodes)
    return Folded(graph, tuple({group[0]: group for group in each}.values()))
