"""Finds the nodes that the gradient of the loss reaches within a window."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence

from ..functions import Merge
from .nodes import Graph, Node
from .recurrence import inputs_of
from .zeros import (
    Effort,
    algebra_of,
    blocks,
    flat_at_zero,
    full,
    layer_blocks,
    learns_from_zero,
    reads_one_value,
)


def behind_surrogates(graph: Graph) -> tuple[str, ...]:
    """The names of learning nodes whose values reach the output through an activation with a surrogate derivative.

    The names are in text order. The way to the output may lead through time.
    """
    waiting = [
        index for index in graph.order if (function := graph.nodes[index].function) is not None and function.surrogate
    ]
    found = set(waiting)
    while waiting:
        fresh = {read for read, _ in inputs_of(graph, graph.nodes[waiting.pop()])} - found
        found |= fresh
        waiting.extend(fresh)
    return tuple(graph.nodes[index].name for index in sorted(found & graph.learners))


class Backward:
    """Follows gradients from a node back to the nodes that it depends on.

    blocking: the live nodes that let no gradient pass.
    """

    def __init__(self, graph: Graph, zeros: Mapping[int, int], effort: Effort) -> None:
        self.graph, self._zeros, self._effort = graph, zeros, effort
        self._position = {index: place for place, index in enumerate(graph.order)}
        self.blocking = {index for index in graph.order if _blocks(graph.nodes[index])}

    def learning(self, start: Mapping[int, int], steps: float) -> dict[int, int]:
        """The nodes whose parameters get a gradient, each with the least number of steps back in time to it.

        start: {node: components} where the gradient starts. It is followed through fewer than ``steps`` steps.
        """
        reached: dict[int, int] = {}
        found: dict[int, int] = {}
        arriving, times = {0: dict(start)}, [0]
        while times and times[0] < steps:
            time = heapq.heappop(times)
            masks = arriving.pop(time)
            fresh = [index for index, mask in masks.items() if mask & ~reached.get(index, 0)]
            for index in fresh:
                reached[index] = reached.get(index, 0) | masks[index]
            touched, earlier = self._within_step(fresh, reached)
            for index in touched:
                if self._learns(index, reached[index]):
                    found.setdefault(index, time)
            for read, mask, back in earlier:
                if time + back not in arriving:
                    heapq.heappush(times, time + back)
                here = arriving.setdefault(time + back, {})
                here[read] = here.get(read, 0) | mask
        return found

    def _within_step(
        self, fresh: Sequence[int], reached: dict[int, int]
    ) -> tuple[set[int], list[tuple[int, int, int]]]:
        """Follow the gradient of the nodes ``fresh`` within a step, each node after all that read it.

        Returns the nodes that it reaches, and (node, components, steps back) for what it reaches in earlier steps.
        """
        waiting = [(-self._position[index], index) for index in fresh]
        heapq.heapify(waiting)
        queued, earlier = set(fresh), list[tuple[int, int, int]]()
        while waiting:
            _, index = heapq.heappop(waiting)
            self._effort.spend(self.graph.nodes[index].width)
            for read, mask, back in self._handed_on(self.graph.nodes[index], reached[index]):
                if back:
                    earlier.append((read, mask, back))
                elif mask & ~reached.get(read, 0):
                    reached[read] = reached.get(read, 0) | mask
                    if read not in queued:
                        queued.add(read)
                        heapq.heappush(waiting, (-self._position[read], read))
        return queued, earlier

    def _learns(self, index: int, mask: int) -> bool:
        node = self.graph.nodes[index]
        if index not in self.graph.learners:
            return False
        if node.kind == "elementwise" and node.elementwise is not None:
            alone = node.source is None or learns_from_zero(node.elementwise, node.parameter)
            return mask & ~(0 if alone or node.source is None else self._zeros[node.source]) != 0
        return mask != 0 and index not in self.blocking

    def _handed_on(self, node: Node, mask: int) -> Iterator[tuple[int, int, int]]:
        """(node, components, steps back) for each node that gets a gradient from this one."""
        if mask == 0 or node.index in self.blocking:
            return
        if node.merge is not None:
            yield from self._of_merge(node, node.merge, mask)
        elif node.source is not None:
            yield node.source, self._into_source(node, node.source, mask), 0

    def _into_source(self, node: Node, source: int, mask: int) -> int:
        """The components of the source that get a gradient, for a node that is no merge."""
        record = node.function or node.elementwise
        if node.kind == "layer" or (record is not None and record.couples):
            return full(self.graph.nodes[source].width)
        if node.function is not None and flat_at_zero(node.function, node.parameter):
            return mask & ~self._zeros[source]
        return mask

    def _of_merge(self, node: Node, merge: Merge, mask: int) -> Iterator[tuple[int, int, int]]:
        assert node.other is not None
        if node.source is None:
            yield node.other, mask, node.steps
            return
        width = self.graph.nodes[node.source].width
        if merge.concatenates:
            yield node.source, mask & full(width), 0
            yield node.other, mask >> width, node.steps
            return
        single = merge.result == "one" or merge.other_width == "one"
        into_x, into_o = (self._of_single if single else self._of_pairs)(node, merge, mask)
        yield node.source, into_x, 0
        yield node.other, into_o, node.steps

    def _of_pairs(self, node: Node, merge: Merge, mask: int) -> tuple[int, int]:
        """The components of both operands that get a gradient, for a merge that pairs components."""
        assert node.source is not None
        assert node.other is not None
        algebra, nodes = algebra_of(merge), self.graph.nodes
        shared = full(min(nodes[node.source].width, nodes[node.other].width))
        both = 0 if algebra.cancels and reads_one_value(self.graph, node) else mask & shared
        into_x = both & ~self._zeros[node.other] if algebra.x_stops else both
        into_o = both & ~self._zeros[node.source] if algebra.o_stops else both
        return into_x | mask & ~shared, into_o

    def _of_single(self, node: Node, merge: Merge, mask: int) -> tuple[int, int]:
        """The components of both operands that get a gradient, for a merge where one of them or the result is 1
        wide."""
        assert node.source is not None
        assert node.other is not None
        algebra, width = algebra_of(merge), self.graph.nodes[node.source].width
        x = self._zeros[node.source] if algebra.o_stops else 0
        o = self._zeros[node.other] if algebra.x_stops else 0
        if merge.result == "one":
            return full(width) & ~o, full(width) & ~x
        return 0 if o else mask, int(mask & ~x != 0)


def _blocks(node: Node) -> bool:
    """Whether no gradient passes a node."""
    if node.function is not None:
        return blocks(node.function, node.parameter, min(node.width, 2))
    return node.elementwise is not None and layer_blocks(node.elementwise, node.parameter, min(node.width, 2))
