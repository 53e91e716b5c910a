"""How much work a case is: the floating-point operations of its matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .case import Case

Mask = NDArray[np.bool_]


def flops(case: Case) -> int:
    """Floating-point operations of a sample's matrix products: forward, weight gradients of what learns, and gradients
    by a layer's input in those components that something learns through. Elementwise work is not counted."""
    graph: Any = case.model().graph
    learning = _learning(graph)
    total = 0
    for index in graph.parameters:
        node = graph.nodes[index]
        weights = graph.fan_in(index) * (2 if index in graph.learners else 1)
        total += node.width * (weights + node.taps * int(learning[node.source].sum()))
    return 2 * case.batch * total


def _learning(graph: Any) -> dict[int, Mask]:
    """Which components of each live node's value depend on parameters that learn, in this step or through time."""
    masks = {index: np.zeros(graph.nodes[index].width, bool) for index in graph.order}
    before = -1
    while before < (before := sum(int(mask.sum()) for mask in masks.values())):
        for index in graph.order:
            masks[index] = _mask(graph, graph.nodes[index], masks)
    return masks


def _mask(graph: Any, node: Any, masks: dict[int, Mask]) -> Mask:
    if node.merge is not None:
        return _merged(node, masks)
    own = masks[node.index] if node.source is None else masks[node.source]
    if node.index in graph.learners:
        return np.ones(node.width, bool)
    record = node.function or node.elementwise
    if node.kind == "layer" or (record is not None and record.couples):
        return np.full(node.width, own.any())
    stopped = node.function is not None and node.function.name == "detach"
    return np.zeros_like(own) if stopped else own


def _merged(node: Any, masks: dict[int, Mask]) -> Mask:
    other = masks[node.other]
    if node.source is None:
        return other
    own = masks[node.source]
    if node.merge.concatenates:
        return np.concatenate([own, other])
    if node.merge.result == "one" or node.merge.other_width == "one":
        return np.full(node.width, own.any() or other.any())
    shared = min(len(own), len(other))
    return np.concatenate([own[:shared] | other[:shared], own[shared:]])
