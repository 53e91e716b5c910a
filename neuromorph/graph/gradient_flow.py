"""Finds the nodes that the gradient of the loss reaches within a window."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence

from ..functions import Merge
from .nodes import Graph, Node
from .recurrence import inputs_of
from .zeros import Effort, algebra_of, blocks, flat_at_zero, full, reads_one_value


def behind_surrogates(graph: Graph) -> tuple[str, ...]:
    """The layers, in text order, whose values reach the output through an activation with a surrogate derivative, in
    this step or through time."""
    waiting = [
        index for index in graph.order if (function := graph.nodes[index].function) is not None and function.surrogate
    ]
    found = set(waiting)
    while waiting:
        fresh = {read for read, _ in inputs_of(graph, graph.nodes[waiting.pop()])} - found
        found |= fresh
        waiting.extend(fresh)
    return tuple(graph.nodes[index].name for index in sorted(found) if graph.nodes[index].kind == "layer")


class Backward:
    """Follows gradients against the direction of the graph. ``blocking``: live nodes that let none pass."""

    def __init__(self, graph: Graph, zeros: Mapping[int, int], effort: Effort) -> None:
        self.graph, self._zeros, self._effort = graph, zeros, effort
        self._position = {index: place for place, index in enumerate(graph.order)}
        self.blocking = {
            index
            for index in graph.order
            if (function := graph.nodes[index].function) is not None
            and blocks(function, graph.nodes[index].parameter, min(graph.nodes[index].width, 2))
        }

    def layers(self, start: Mapping[int, int], steps: float) -> dict[int, int]:
        """The layers that a gradient gets to, with the number of links backward in time on the shortest way there.

        start: {node: components} whose gradient there is. Fewer than ``steps`` links are taken.
        """
        reached: dict[int, int] = {}
        found: dict[int, int] = {}
        links, later = 0, dict(start)
        while later and links < steps:
            fresh = [index for index, mask in later.items() if mask & ~reached.get(index, 0)]
            for index in fresh:
                reached[index] = reached.get(index, 0) | later[index]
            touched, later = self._within_step(fresh, reached)
            for index in touched:
                if self._learns(index, reached[index]):
                    found.setdefault(index, links)
            links += 1
        return found

    def _within_step(self, fresh: Sequence[int], reached: dict[int, int]) -> tuple[set[int], dict[int, int]]:
        """Hand on what is fresh, each node after all that read it; the nodes it got to, and what is for the step
        before."""
        waiting = [(-self._position[index], index) for index in fresh]
        heapq.heapify(waiting)
        queued, later = set(fresh), dict[int, int]()
        while waiting:
            _, index = heapq.heappop(waiting)
            self._effort.spend(self.graph.nodes[index].width)
            for read, mask, delayed in self._handed_on(self.graph.nodes[index], reached[index]):
                if delayed:
                    later[read] = later.get(read, 0) | mask
                elif mask & ~reached.get(read, 0):
                    reached[read] = reached.get(read, 0) | mask
                    if read not in queued:
                        queued.add(read)
                        heapq.heappush(waiting, (-self._position[read], read))
        return queued, later

    def _learns(self, index: int, mask: int) -> bool:
        return self.graph.nodes[index].kind == "layer" and mask != 0 and index not in self.blocking

    def _handed_on(self, node: Node, mask: int) -> Iterator[tuple[int, int, bool]]:
        """(node, components, whether of the step before) for all that a node reads."""
        if mask == 0 or node.index in self.blocking:
            return
        if node.merge is not None:
            yield from self._of_merge(node, node.merge, mask)
        elif node.source is None:
            return
        elif node.kind == "layer" or _couples(node):
            yield node.source, full(self.graph.nodes[node.source].width), False
        elif node.function is None:
            yield node.source, mask, False
        else:
            flat = self._zeros[node.source] if flat_at_zero(node.function, node.parameter) else 0
            yield node.source, mask & ~flat, False

    def _of_merge(self, node: Node, merge: Merge, mask: int) -> Iterator[tuple[int, int, bool]]:
        assert node.other is not None
        if node.source is None:  # the value is the other's alone
            yield node.other, mask, node.delayed
            return
        width, algebra = self.graph.nodes[node.source].width, algebra_of(merge)
        if merge.concatenates:
            yield node.source, mask & full(width), False
            yield node.other, mask >> width, node.delayed
            return
        if merge.other_width != "any":
            yield from self._of_numbers(node, merge, mask)
            return
        shared = full(min(width, self.graph.nodes[node.other].width))
        both = 0 if algebra.cancels and reads_one_value(self.graph, node) else mask & shared
        into_x = both & ~self._zeros[node.other] if algebra.x_stops else both
        into_o = both & ~self._zeros[node.source] if algebra.o_stops else both
        yield node.source, into_x | mask & ~shared, False
        yield node.other, into_o, node.delayed

    def _of_numbers(self, node: Node, merge: Merge, mask: int) -> Iterator[tuple[int, int, bool]]:
        """The same of a product with one number, or of one whose result is one number."""
        assert node.source is not None
        assert node.other is not None
        whole = full(self.graph.nodes[node.source].width)
        into_x = whole if merge.result == "one" else mask
        into_o = into_x & ~self._zeros[node.source]
        if merge.other_width == "one":
            into_x, into_o = (0 if self._zeros[node.other] else into_x), int(into_o != 0)
        else:
            into_x &= ~self._zeros[node.other]
        yield node.source, into_x, False
        yield node.other, into_o, node.delayed


def _couples(node: Node) -> bool:
    """Whether the components of a node's value depend on one another."""
    function = node.function or node.elementwise
    return function is not None and function.couples
