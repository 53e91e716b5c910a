"""Finds the components of values that are zero at every step, for all parameters and data.

A set of components is an int with one bit for each; the first component is the lowest bit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..functions import Activation, ElementwiseLayer, Merge
from ..host.frozen import frozen
from .nodes import Graph, Node

_EFFORT = 1 << 30  # the most components to look at; beyond that a text gets no more advice
_LEAST = 1 << 11  # the least work that a node counts as, in components


class TooLargeError(Exception):
    """The work on one text exceeds its bound."""


@dataclass
class Effort:
    """The work that is left for a text, in components."""

    left: int = _EFFORT

    def spend(self, width: int) -> None:
        self.left -= max(width, _LEAST)
        if self.left < 0:
            raise TooLargeError


@lru_cache(maxsize=64)
def full(width: int) -> int:
    """All components of a vector, as bits."""
    return (1 << width) - 1


@frozen
class Algebra:
    """When a merge gives zero, and where its gradient is zero. Both are found by trying the merge's functions.

    zero_if_x_is, zero_if_o_is, zero_if_both_are: the result is zero if these operands are. cancels: if both operands
    are the same value, the result is zero and the gradients add up to zero. x_stops, o_stops: the gradient of this
    operand is zero where the other operand is zero.
    """

    zero_if_x_is: bool
    zero_if_o_is: bool
    zero_if_both_are: bool
    cancels: bool
    x_stops: bool
    o_stops: bool


@lru_cache(maxsize=64)
def algebra_of(merge: Merge) -> Algebra:
    some, others, zero, g = (np.array([values]) for values in ([0.7, -1.3], [-0.4, 2.1], [0.0, 0.0], [1.0, 0.6]))
    alike = merge.gradient(some, some, g)
    return Algebra(
        not (merge.value(zero, others).any() or merge.value(zero, zero).any()),
        not (merge.value(some, zero).any() or merge.value(zero, zero).any()),
        not merge.value(zero, zero).any(),
        not merge.value(some, some).any() and not (alike[0] + alike[1]).any(),
        not merge.gradient(some, zero, g)[0].any(),
        not merge.gradient(zero, others, g)[1].any(),
    )


def zeros_of(graph: Graph, effort: Effort) -> dict[int, int]:
    """The components of each live node, as bits, that are zero at every step when the state starts at zero.

    All components are taken to be zero at first. Then every component is removed that is not zero, given the zeros in
    what its node reads, until no such component is left.
    """
    readers: dict[int, list[int]] = {index: [] for index in graph.order}
    for index in graph.order:
        for read in _read(graph.nodes[index]):
            readers[read].append(index)
    zeros: dict[int, int] = {}
    for index in graph.order:
        effort.spend(graph.nodes[index].width)
        zeros[index] = full(graph.nodes[index].width)
    waiting, queued = deque(graph.order), set(graph.order)
    while waiting:
        index = waiting.popleft()
        queued.remove(index)
        effort.spend(graph.nodes[index].width)
        left = zeros[index] & _zeros_of_node(graph, graph.nodes[index], zeros)
        if left != zeros[index]:
            zeros[index] = left
            waiting.extend(reader for reader in readers[index] if reader not in queued)
            queued.update(readers[index])
    return zeros


def _read(node: Node) -> set[int]:
    return {index for index in (node.source, node.other) if index is not None}


def _zeros_of_node(graph: Graph, node: Node, zeros: Mapping[int, int]) -> int:
    """The components of a node that are zero, given the components that are zero in what it reads."""
    if node.function is not None and always_zero(node.function, node.parameter):
        return full(node.width)
    if node.merge is not None:
        return _zeros_of_merge(graph, node, node.merge, zeros)
    if node.source is None or node.kind == "layer":
        return 0
    x = zeros[node.source]
    if node.elementwise is not None:
        return x if _layer_keeps_zero(node.elementwise, node.parameter) else 0
    return x if node.function is None or _keeps_zero(node.function, node.parameter) else 0


def _zeros_of_merge(graph: Graph, node: Node, merge: Merge, zeros: Mapping[int, int]) -> int:
    assert node.other is not None
    o = zeros[node.other]
    if node.source is None:
        return o
    x, width, algebra = zeros[node.source], graph.nodes[node.source].width, algebra_of(merge)
    if merge.concatenates:
        return x | o << width
    if merge.other_width == "one" and algebra.zero_if_o_is:
        return full(width) if o else x
    if merge.result == "one":
        return int((x if algebra.zero_if_x_is else 0) | (o if algebra.zero_if_o_is else 0) == full(width))
    shared, merged = full(min(width, graph.nodes[node.other].width)), 0
    for zero, holds in (
        (x & o, algebra.zero_if_both_are),
        (x, algebra.zero_if_x_is),
        (o, algebra.zero_if_o_is),
        (shared, algebra.cancels and reads_one_value(graph, node)),
    ):
        merged |= zero if holds else 0
    return merged & shared | x & ~shared


def reads_one_value(graph: Graph, node: Node) -> bool:
    """Whether both operands of a merge are the same value of the same step."""
    assert node.source is not None
    assert node.other is not None
    return not node.delayed and graph.resolve(node.source) == graph.resolve(node.other)


@lru_cache(maxsize=256)
def _keeps_zero(function: Activation, parameter: float | None) -> bool:
    """Whether an activation maps zero to zero."""
    return not function.couples and not function.value(np.zeros((1, 1)), parameter).any()


@lru_cache(maxsize=256)
def always_zero(function: Activation, parameter: float | None) -> bool:
    """Whether an activation is zero everywhere, as ``times 0`` is."""
    sizes = np.geomspace(1e-6, 1e6, 49)[:, None]
    with np.errstate(all="ignore"):
        values = function.value(np.concatenate([-sizes, sizes]), parameter)
    return not values.any()


# Elementwise layers are tried on these: one zero component beside others, and parameters with no special values.
_SOME = np.array([[0.0, 0.7, -1.3]])
_ARRAYS = {name: np.array([0.3, 0.4, 0.6]) for name in ("weight", "bias", "mean", "scale")}


@lru_cache(maxsize=64)
def _layer_keeps_zero(layer: ElementwiseLayer, parameter: float | None) -> bool:
    """Whether an elementwise layer maps a component that is zero to zero."""
    return not layer.value(_SOME, _ARRAYS, parameter)[0, 0].any()


@lru_cache(maxsize=64)
def learns_from_zero(layer: ElementwiseLayer, parameter: float | None) -> bool:
    """Whether the parameters of a component get a gradient when the incoming component is zero."""
    _, rows = layer.gradient(_SOME, _ARRAYS, np.ones_like(_SOME), parameter)
    return any(row[0, 0] != 0.0 for row in rows.values())


@lru_cache(maxsize=64)
def layer_blocks(layer: ElementwiseLayer, parameter: float | None, width: int) -> bool:
    """Whether no gradient passes an elementwise layer. A norm of a single component, for one, is constant."""
    arrays = {name: values[:1] for name, values in _ARRAYS.items()}
    into = layer.gradient(np.full((1, 1), 0.3), arrays, np.ones((1, 1)), parameter)[0]
    return layer.couples and width == 1 and not into.any()


@lru_cache(maxsize=256)
def flat_at_zero(function: Activation, parameter: float | None) -> bool:
    """Whether the derivative of an activation is zero at zero."""
    zero, one = np.zeros((1, 1)), np.ones((1, 1))
    return not function.couples and not function.gradient(zero, function.value(zero, parameter), one, parameter).any()


@lru_cache(maxsize=256)
def blocks(function: Activation, parameter: float | None, width: int) -> bool:
    """Whether no gradient passes an activation."""
    x, one = np.full((1, 1), 0.3), np.ones((1, 1))
    if function.couples and width == 1:
        return not function.gradient(x, function.value(x, parameter), one, parameter).any()
    return function.blocks_gradient or always_zero(function, parameter)
