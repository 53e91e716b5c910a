"""The checked graph: named nodes, the links between them, and what is computed in which order."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import Diagnostic, Location
from ..functions import Activation, ElementwiseLayer, Initializer, Loss, Merge
from ..host.cached import cached_property
from ..language import Origin, outermost

MAX_WIDTH = 1_048_576

Kind: TypeAlias = Literal["input", "layer", "activation", "elementwise", "split", "merge", "cell"]
Drawn: TypeAlias = tuple[Initializer, tuple[float, ...]]


@dataclass(frozen=True)
class Node:
    """One named node of a model.

    ``source`` is the node whose value comes in; after a split and at the head of its branches, that is the
    split. It is None where the value does not depend on what comes in: for the input, and for ``take``. ``other`` is
    the second node that a merge reads, ``steps`` steps back in time (0: this step). ``function`` and ``parameter`` (its
    default filled in) belong to layers and activation nodes. A convolution is a layer that reads ``taps`` vectors,
    ``dilation`` steps apart, the last of them of this step. ``elementwise`` is the function of an elementwise layer.
    ``initializers`` draw the parameters of a layer, by role. A node that is not ``live`` has no part in the output.
    ``origin`` is the use of a cell that put the node into the graph, if one did. The kind "cell" is for pictures and
    tables only: such a node stands for all nodes of a use.
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
        """Whether a merge reads a step before this one."""
        return self.steps > 0

    @property
    def use(self) -> Origin | None:
        """The use in the text itself that put the node into the graph, be it by way of others."""
        return None if self.origin is None else outermost(self.origin)

    @property
    def reach(self) -> int:
        """How many steps back a convolution reads, 0 for all other nodes."""
        return (self.taps - 1) * self.dilation


@dataclass(frozen=True)
class ParameterArray:
    """The weights, biases, means or scales of one node. ``learns``: whether training changes them."""

    node: int
    name: str
    role: str
    shape: tuple[int, ...]
    drawn: Drawn
    learns: bool

    def draw(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """First values. A vector has a fan-in of 1."""
        record, numbers = self.drawn
        fan_in = self.shape[0] if len(self.shape) == 2 else 1
        return record.draw(rng, fan_in, self.shape[-1], *numbers).reshape(self.shape)


@dataclass(frozen=True)
class Graph:
    """A checked model: its nodes in text order, dead ones included; an index is a position in ``nodes``.

    The parameters of the nodes ``frozen`` never learn. ``diagnostics`` are for the caller to emit as MDLWarning;
    ``text`` is the model's canonical text.
    """

    nodes: tuple[Node, ...]
    input: int
    output: int
    loss: Loss
    loss_parameter: float | None
    weight_initializer: Drawn
    bias_initializer: Drawn
    diagnostics: tuple[Diagnostic, ...]
    text: str
    frozen: frozenset[int] = frozenset()

    @property
    def warnings(self) -> tuple[str, ...]:
        """The diagnostics, a sentence each."""
        return tuple(diagnostic.sentence() for diagnostic in self.diagnostics)

    def resolve(self, index: int) -> int:
        """The node that computes this node's value: a split, or a chain of them, hands on what came in."""
        return self._resolved[index]

    def fan_in(self, index: int) -> int:
        """The numbers that come into a node: rows of a layer's weight."""
        node = self.nodes[index]
        if node.source is None:
            raise ValueError(f"nothing comes into node {index}, {'the input' if node.kind == 'input' else node.name}")
        return node.taps * self.nodes[node.source].width

    def parameters_of(self, index: int) -> int:
        """The number of a node's parameters: none but live layers, and elementwise layers, have any."""
        return self._counts.get(index, 0)

    @property
    def parameter_count(self) -> int:
        """The number of all parameters."""
        return sum(self._counts.values())

    @cached_property
    def _counts(self) -> dict[int, int]:
        """The number of parameters by node, of those that have any."""
        counts: dict[int, int] = {}
        for array in self.arrays:
            counts[array.node] = counts.get(array.node, 0) + math.prod(array.shape)
        return counts

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The live nodes, splits too, in an order that can evaluate a step, the smallest index first."""
        return tuple(topological({node.index: same_step(node) for node in self.nodes if node.live}))

    @cached_property
    def computing(self) -> tuple[int, ...]:
        """The live nodes that compute something, in the same order."""
        return tuple(index for index in self.order if self.nodes[index].kind != "split")

    @cached_property
    def inputs(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """By node the computing nodes that it reads, and how many steps back."""
        return tuple(tuple(self._inputs_of(node)) for node in self.nodes)

    def _inputs_of(self, node: Node) -> Iterator[tuple[int, int]]:
        if node.source is not None:
            yield self.resolve(node.source), 0
            if node.reach:
                yield self.resolve(node.source), node.reach
        if node.other is not None:
            yield self.resolve(node.other), node.steps

    @cached_property
    def delayed_links(self) -> tuple[tuple[int, int], ...]:
        """The live links backward in time, (merge, other), in text order; ``other`` is the node as named."""
        return tuple(
            (node.index, node.other) for node in self.nodes if node.live and node.delayed and node.other is not None
        )

    @cached_property
    def history(self) -> dict[int, int]:
        """The nodes that live nodes read back in time, as named, and by how many steps at most: the state."""
        found: dict[int, int] = {}
        for node in self.nodes:
            read, steps = (node.source, node.reach) if node.reach else (node.other, node.steps)
            if node.live and steps and read is not None:
                found[read] = max(steps, found.get(read, 0))
        return found

    def state_shape(self, index: int, lanes: int) -> tuple[int, ...]:
        """The shape of the state that a node keeps: (lanes, width), or where it is read further back than one step,
        (steps, lanes, width)."""
        steps, width = self.history[index], self.nodes[index].width
        return (lanes, width) if steps == 1 else (steps, lanes, width)

    @property
    def has_time_links(self) -> bool:
        """Whether a live node reads an earlier step."""
        return bool(self.history)

    @cached_property
    def arrays(self) -> tuple[ParameterArray, ...]:
        """All parameters of live nodes, in text order, of one node weight, bias, mean, scale."""
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
        """Whether a live node has parameter vectors, or gives or takes a single number of a row."""
        merges = [node.merge for node in self.nodes if node.live and node.merge is not None]
        single = any(merge.result == "one" or merge.other_width == "one" for merge in merges)
        return single or any(node.live and node.kind == "elementwise" for node in self.nodes)

    @cached_property
    def parameters(self) -> tuple[int, ...]:
        """The live layers, which own weights and biases, in text order."""
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


def topological(needs: Mapping[int, Sequence[int]]) -> list[int]:
    """The keys, each after all that it needs, the smallest first; those that need themselves are left out."""
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
