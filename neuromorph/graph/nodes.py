"""The checked graph: named nodes, the links between them, and the order of computation."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import Diagnostic, Location
from ..functions import Activation, ElementwiseLayer, Initializer, Loss, Merge
from ..host.cached import cached_property
from ..host.frozen import frozen
from ..language import Origin, outermost
from .components import loops_and_nodes

Kind: TypeAlias = Literal["input", "layer", "activation", "elementwise", "split", "merge", "cell"]
Drawn: TypeAlias = tuple[Initializer, tuple[float, ...]]


@frozen
class Node:
    """One named node of a model.

    source: the node whose value comes in; right after a split and at the head of its branches, the split. It is None
    where the value does not depend on what comes in: for the input, ``take`` and ``learned``. other: the second node
    that a merge reads, ``steps`` steps back in time (0: this step). function, parameter: those of layers and activation
    nodes, with the default filled in. taps, dilation: a convolution is a layer that reads ``taps`` vectors,
    ``dilation`` steps apart, the last one in this step. elementwise: the function of an elementwise layer.
    initializers: draw the parameters, by role. live: whether the output depends on the node. origin: the use of a cell
    that the node comes from, if any. A node of the kind "cell" stands for all nodes of a use, in pictures and tables
    only.
    """

    index: int
    name: str
    kind: Kind
    width: int
    source: int | None
    other: int | None
    steps: int
    function: Activation | None
    parameter: float | None
    merge: Merge | None
    live: bool
    location: Location
    taps: int = 1
    dilation: int = 1
    elementwise: ElementwiseLayer | None = None
    initializers: tuple[tuple[str, Drawn], ...] = ()
    origin: Origin | None = field(default=None, compare=False, repr=False)

    @property
    def delayed(self) -> bool:
        """Whether a merge reads an earlier step."""
        return self.steps > 0

    @property
    def use(self) -> Origin | None:
        """The outermost use of a cell that the node comes from: the one that stands in the text itself."""
        return None if self.origin is None else outermost(self.origin)

    @property
    def reach(self) -> int:
        """The number of steps back that a convolution reads; 0 for all other nodes."""
        return (self.taps - 1) * self.dilation


@frozen
class ParameterArray:
    """One parameter array of a node: weights, biases, means or scales. learns: whether training changes it."""

    node: int
    name: str
    role: str
    shape: tuple[int, ...]
    drawn: Drawn
    learns: bool

    def draw(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """The first values. The fan-in of a vector is 1."""
        record, numbers = self.drawn
        fan_in = self.shape[0] if len(self.shape) == 2 else 1
        return record.draw(rng, fan_in, self.shape[-1], *numbers).reshape(self.shape)


@frozen
class Graph:
    """A checked model: its nodes in text order, dead ones included. An index is a position in ``nodes``.

    frozen: the nodes whose parameters never learn. diagnostics: the warnings, which the caller emits as MDLWarning.
    text: the canonical text of the model.
    """

    nodes: tuple[Node, ...]
    input: int
    output: int
    loss: Loss
    loss_parameter: float | None
    diagnostics: tuple[Diagnostic, ...]
    text: str
    frozen: frozenset[int] = frozenset()

    @property
    def warnings(self) -> tuple[str, ...]:
        """The diagnostics, one sentence each."""
        return tuple(diagnostic.sentence() for diagnostic in self.diagnostics)

    def resolve(self, index: int) -> int:
        """The node that computes this node's value. A split, or a chain of splits, passes on what comes in."""
        return self._resolved[index]

    def fan_in(self, index: int) -> int:
        """The number of components that come into a node: the rows of a layer's weight. ValueError if none come in."""
        node = self.nodes[index]
        if node.source is None:
            raise ValueError(f"nothing comes into node {index}, {'the input' if node.kind == 'input' else node.name}")
        return node.taps * self.nodes[node.source].width

    def parameters_of(self, index: int) -> int:
        """The number of a node's parameters. Only live layers and elementwise layers have any."""
        return self._counts.get(index, 0)

    @property
    def parameter_count(self) -> int:
        """The number of all parameters."""
        return sum(self._counts.values())

    @cached_property
    def _counts(self) -> dict[int, int]:
        """The number of parameters by node, for the nodes that have any."""
        counts: dict[int, int] = {}
        for array in self.arrays:
            counts[array.node] = counts.get(array.node, 0) + math.prod(array.shape)
        return counts

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The live nodes, splits too, in an order for computing a step. Of several possible orders, small indices come
        first."""
        return tuple(topological({node.index: same_step(node) for node in self.nodes if node.live}))

    @cached_property
    def computing(self) -> tuple[int, ...]:
        """The live nodes that compute something, in the same order."""
        return tuple(index for index in self.order if self.nodes[index].kind != "split")

    @cached_property
    def inputs(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """By node the computing nodes that it reads, and how many steps back."""
        return tuple(tuple(self._inputs_of(node)) for node in self.nodes)

    @cached_property
    def parts(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """The loops over time and the single nodes as (domain, nodes), each after all that it reads."""
        return loops_and_nodes(self.computing, self.inputs)

    def _inputs_of(self, node: Node) -> Iterator[tuple[int, int]]:
        resolved = self._resolved
        if node.source is not None:
            yield resolved[node.source], 0
            if node.reach:
                yield resolved[node.source], node.reach
        if node.other is not None:
            yield resolved[node.other], node.steps

    @cached_property
    def delayed_links(self) -> tuple[tuple[int, int], ...]:
        """The live links back in time, (merge, other), in text order. ``other`` is the node that the text names."""
        return tuple(
            (node.index, node.other) for node in self.nodes if node.live and node.delayed and node.other is not None
        )

    @cached_property
    def history(self) -> dict[int, int]:
        """The nodes that live nodes read back in time, as the text names them, and the most steps back: the state."""
        found: dict[int, int] = {}
        for node in self.nodes:
            read, steps = (node.source, node.reach) if node.reach else (node.other, node.steps)
            if node.live and steps and read is not None:
                found[read] = max(steps, found.get(read, 0))
        return found

    def state_shape(self, index: int, lanes: int) -> tuple[int, ...]:
        """The shape of a node's state: (lanes, width), or (steps, lanes, width) if it is read several steps back."""
        steps, width = self.history[index], self.nodes[index].width
        return (lanes, width) if steps == 1 else (steps, lanes, width)

    @property
    def has_time_links(self) -> bool:
        """Whether a live node reads an earlier step."""
        return bool(self.history)

    @cached_property
    def arrays(self) -> tuple[ParameterArray, ...]:
        """All parameter arrays of live nodes, in text order; within a node: weight, bias, mean, scale."""
        return tuple(array for node in self.nodes if node.live for array in self._arrays_of(node))

    def _arrays_of(self, node: Node) -> Iterator[ParameterArray]:
        for role, drawn in node.initializers:
            shape = (self.fan_in(node.index), node.width) if (node.kind, role) == ("layer", "weight") else (node.width,)
            roles = node.elementwise.roles if node.elementwise is not None else ()
            fixed = any(one.name == role and not one.learns for one in roles)
            learns = not fixed and node.index not in self.frozen
            yield ParameterArray(node.index, f"{node.name}.{role}", role, shape, drawn, learns)

    @cached_property
    def learners(self) -> frozenset[int]:
        """The nodes with parameters that training changes."""
        return frozenset(array.node for array in self.arrays if array.learns)

    @cached_property
    def has_vectors(self) -> bool:
        """Whether a live node has parameter vectors, or reads or gives a vector of width 1 by way of a merge."""
        merges = [node.merge for node in self.nodes if node.live and node.merge is not None]
        single = any(merge.result == "one" or merge.other_width == "one" for merge in merges)
        return single or any(node.live and node.kind == "elementwise" for node in self.nodes)

    @cached_property
    def parameters(self) -> tuple[int, ...]:
        """The live layers, which have weights and biases, in text order."""
        return tuple(node.index for node in self.nodes if node.live and node.kind == "layer")

    @cached_property
    def _resolved(self) -> tuple[int, ...]:
        found: list[int] = []
        for node in self.nodes:
            computes = node.kind != "split" or node.source is None
            found.append(node.index if computes or node.source is None else found[node.source])
        return tuple(found)


def same_step(node: Node) -> tuple[int, ...]:
    """The nodes that a node reads within the step."""
    read = [node.source, None if node.delayed else node.other]
    return tuple(index for index in read if index is not None)


def _is_in_order(needs: Mapping[int, Sequence[int]]) -> bool:
    """Whether every key needs smaller keys only, as in most texts."""
    for key, needed in needs.items():
        for one in needed:
            if one >= key:
                return False
    return True


def topological(needs: Mapping[int, Sequence[int]]) -> list[int]:
    """The keys, each after all that it needs. Of several possible orders, small keys come first.

    Keys that need themselves, directly or through others, are left out.
    """
    if _is_in_order(needs):
        return sorted(needs)
    waiting = {key: len(set(needed)) for key, needed in needs.items()}
    readers: dict[int, list[int]] = {key: [] for key in needs}
    for key, needed in needs.items():
        for one in set(needed):
            readers[one].append(key)
    ready = [key for key, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    done: list[int] = []
    while ready:
        done.append(heapq.heappop(ready))
        for reader in readers[done[-1]]:
            waiting[reader] -= 1
            if waiting[reader] == 0:
                heapq.heappush(ready, reader)
    return done
