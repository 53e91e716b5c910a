"""Where the values of a step and of steps before stand in the struct of an exported model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from ..graph import Graph, Node
from .c_names import Names

# A layer of fewer than NARROW components that reads LONG or more has its sums in several parts, side by side. Shorter
# sums are added up one after the other, as kernels add them, so that the bits are the same.
NARROW, LONG = 8, 64
INT = 4  # bytes of an int


@dataclass(frozen=True)
class Field:
    """The values of one node in the struct.

    steps: the steps before that are kept in a ring, 0 for none. before: whether the value of the step before is kept
    apart, because it is read after the node's new value is written.
    """

    name: str
    width: int
    steps: int = 0
    before: bool = False

    @property
    def values(self) -> int:
        """The number of values of the field."""
        return self.width * (1 + self.steps + self.before)


@dataclass(frozen=True)
class Group:
    """Layers that read the same vectors. Their products are computed together, as those of one wide layer.

    name: of the field for the sums, and of the parameters. members: the layers, in the order of their columns.
    """

    name: str
    members: tuple[Node, ...]

    @property
    def width(self) -> int:
        """The number of columns."""
        return sum(node.width for node in self.members)


class Layout:
    """The fields of a struct, by node, and the groups of layers and their first columns, by member."""

    def __init__(self, graph: Graph, prefix: str) -> None:
        self.graph = graph
        names, rings, late = Names(prefix), _rings(graph), _late(graph)
        self.fields: dict[int, Field] = {}
        for index in graph.computing:
            node, steps, before = graph.nodes[index], rings.get(index, 0), index in late and index not in rings
            endings = ("_past", "_at") if steps else ("_before",) if before else ()
            self.fields[index] = Field(names.new(node.name, *endings), node.width, steps, before)
        self.groups: dict[int, Group] = {}
        self.columns: dict[int, int] = {}
        for members in _siblings(graph):
            source = graph.resolve(members[0].source or 0)
            group = Group(names.new(f"{graph.nodes[source].name}_layers"), members)
            self.groups |= {node.index: group for node in members}
            ends = accumulate((node.width for node in members), initial=0)
            self.columns |= {node.index: first for node, first in zip(members, ends, strict=False)}

    def field(self, index: int) -> Field:
        """The field of the node that computes a node's value."""
        return self.fields[self.graph.resolve(index)]

    @property
    def remembered(self) -> set[int]:
        """The nodes whose values are read in a later step."""
        return {self.graph.resolve(index) for index in self.graph.history}

    def size(self, item: int) -> int:
        """The bytes of the struct, for values of ``item`` bytes, on machines that align them to their size."""
        rings = sum(field.steps > 0 for field in self.fields.values())
        sums = sum(group.width for index, group in self.groups.items() if group.members[0].index == index)
        size = item * (sums + sum(field.values for field in self.fields.values())) + INT * rings
        return -(-size // item) * item


def _rings(graph: Graph) -> dict[int, int]:
    """The nodes that are read several steps back, or by a convolution, and how far back."""
    found: dict[int, int] = {}
    for index, steps in graph.history.items():
        found[graph.resolve(index)] = max(steps, found.get(graph.resolve(index), 0))
    reached = {
        graph.resolve(node.source) for node in graph.nodes if node.live and node.reach and node.source is not None
    }
    return {index: steps for index, steps in found.items() if steps > 1 or index in reached}


def _late(graph: Graph) -> set[int]:
    """The nodes whose value of the step before is read by a merge that is computed after them."""
    place = {index: number for number, index in enumerate(graph.computing)}
    reads = ((node.index, graph.resolve(node.other)) for node in _delayed(graph) if node.other is not None)
    return {other for index, other in reads if place[other] < place[index]}


def _delayed(graph: Graph) -> Iterator[Node]:
    return (node for node in graph.nodes if node.live and node.delayed)


def _siblings(graph: Graph) -> list[tuple[Node, ...]]:
    """The layers that read the same vectors, in the order in which they are computed, where there are several."""
    found: dict[tuple[int, int, int], list[Node]] = {}
    for node in (graph.nodes[index] for index in graph.computing):
        if node.kind == "layer" and node.source is not None:
            found.setdefault((graph.resolve(node.source), node.taps, node.dilation), []).append(node)
    return [tuple(members) for members in found.values() if len(members) > 1]


def is_narrow(width: int, incoming: int) -> bool:
    """Whether a layer is so narrow that each of its components is a sum of its own."""
    return width < NARROW and incoming >= LONG
