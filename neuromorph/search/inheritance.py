"""``inherit``: a model begins with the parameters of the nodes that other models have too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import brief
from ..graph import Graph, Node
from ..graph.nodes import ParameterArray, topological
from ..model import Model
from .starting import starts_at_zero

Parameters = Mapping[str, NDArray[Any]]
_SUMS = ("additive", "subtractive")


def inherit(parent: Model | Sequence[Model], child: Model) -> tuple[str, ...]:
    """Let a built model begin with the parameters of the nodes that its parent has too; the names of their arrays.

    parent: a built model, or several, of which the first one that has an array of the name gives it. A row of a weight
    goes to the row of the child that reads the same component of the same layer, wherever it stands; if there is none
    for any row, rows go to the same places. Columns, biases and other vectors go to the same places. What is left of
    arrays that are wider now keeps its drawn numbers, except that new rows are 0 in the columns that were there: so a
    layer that reads more, or a wider layer, changes nothing at first. A layer that no parent has, and that is only
    added to or subtracted from other values, begins with zeros, if its activation is 0 at 0 and learns from there.

    Optimizer slots, recurrent state and history are not taken over: the child begins training anew. Raises TypeError
    for what is no model, ModelStateError for a model that is not built.
    """
    parents = [parent] if isinstance(parent, Model) else list(parent)
    for model in (*parents, child):
        if not isinstance(model, Model):
            raise TypeError(f"inherit needs models, not {brief(model)}")
    known = [(model.graph, model.get_parameters()) for model in parents]
    found = inherited(known, child.graph, child.get_parameters())
    child.set_parameters(found)
    names = {name for _, parameters in known for name in parameters}
    return tuple(name for name in found if name in names)


def inherited(
    parents: Iterable[tuple[Graph, Parameters]], child: Graph, drawn: Parameters
) -> dict[str, NDArray[np.float64]]:
    """The arrays of a child that differ from those drawn. Each parent is its graph and its parameters."""
    sides = [(_Reading(graph), {array.name: array for array in graph.arrays}, known) for graph, known in parents]
    own = _Reading(child)
    found: dict[str, NDArray[np.float64]] = {}
    for array in child.arrays:
        side = next((one for one in sides if _corresponds(one[1].get(array.name), array)), None)
        if side is not None:
            reading, arrays, known = side
            old, new = np.asarray(known[array.name], np.float64), np.array(drawn[array.name], np.float64)
            rows = None
            if old.ndim == 2:
                rows = _rows(reading.of(arrays[array.name].node), own.of(array.node))
            found[array.name] = _filled(new, old, rows)
        elif _begins_without_effect(child, child.nodes[array.node]):
            found[array.name] = np.zeros(array.shape)
    return found


def _corresponds(old: ParameterArray | None, new: ParameterArray) -> bool:
    """Whether an array of a parent can give numbers to one of the child with its name."""
    return old is not None and len(old.shape) == len(new.shape)


class _Reading:
    """What the rows of weights of a graph read: components of layers, which keep their names through other nodes."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._components: dict[int, tuple[Hashable, ...]] = {}
        needs = {node.index: _gives(graph, node) for node in graph.nodes if node.live}
        for index in topological(needs):
            node, given = graph.nodes[index], needs[index]
            own = tuple((node.name, place) for place in range(node.width))
            self._components[index] = tuple(one for read in given for one in self._components[read]) if given else own

    def of(self, layer: int) -> list[Hashable]:
        """What each row of a layer's weight reads: the component, which one of those that are equal, how long ago."""
        node = self._graph.nodes[layer]
        assert node.source is not None  # it has a weight
        seen: Counter[Hashable] = Counter()
        found: list[Hashable] = []
        for tap in range(node.taps):
            for component in self._components[node.source]:
                key = (component, node.taps - 1 - tap)
                found.append((key, seen[key]))
                seen[key] += 1
        return found


def _gives(graph: Graph, node: Node) -> tuple[int, ...]:
    """The nodes whose components are those of this one; none for a node with components of its own."""
    if node.kind in ("input", "layer") or (node.source is None and node.other is None):
        return ()
    if node.merge is None:
        return () if node.source is None else (node.source,)
    read = {"x": (node.source,), "other": (node.other,), "both": (node.source, node.other), "one": ()}
    return tuple(index for index in read[node.merge.result] if index is not None)


def _rows(old: Sequence[Hashable], new: Sequence[Hashable]) -> list[tuple[int, int]]:
    """The rows that correspond, as (new, old)."""
    place = {key: row for row, key in enumerate(old)}
    found = [(row, place[key]) for row, key in enumerate(new) if key in place]
    return found or [(row, row) for row in range(min(len(old), len(new)))]


def _filled(
    drawn: NDArray[np.float64], old: NDArray[np.float64], rows: list[tuple[int, int]] | None
) -> NDArray[np.float64]:
    """The drawn numbers with the old ones in their places. rows: those that correspond; None for vectors."""
    width = min(drawn.shape[-1], old.shape[-1])
    if rows is None:
        drawn[:width] = old[:width]
        return drawn
    drawn[:, :width] = 0.0
    for new, before in rows:
        drawn[new, :width] = old[before, :width]
    return drawn


def _begins_without_effect(graph: Graph, node: Node) -> bool:
    """Whether a new layer shall begin with zeros: it is only added to other values, and can learn from there."""
    function = node.function
    if node.kind != "layer" or node.taps != 1 or function is None or not starts_at_zero(function.name, node.parameter):
        return False
    readers = [
        one
        for one in graph.nodes
        if one.live and one.kind != "split"
        and node.index in (_resolved(graph, one.source), _resolved(graph, one.other))
    ]  # fmt: skip
    return (
        node.index != graph.output
        and bool(readers)
        and all(
            one.merge is not None and one.merge.name in _SUMS and _resolved(graph, one.source) != node.index
            for one in readers
        )
    )


def _resolved(graph: Graph, index: int | None) -> int | None:
    return None if index is None else graph.resolve(index)
