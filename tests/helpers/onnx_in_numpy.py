"""Runs the operations of an exported time step in NumPy, where no runtime of ONNX is installed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import neuromorph as nm
from neuromorph.export.onnx_nodes import Nodes, Operation
from neuromorph.export.onnx_step import Step

_ERF = np.frompyfunc(math.erf, 1, 1)
_TYPES = {1: np.float32, 11: np.float64}


def _softmax(x: np.ndarray, axis: int) -> Any:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _slice(x: np.ndarray, start: np.ndarray, stop: np.ndarray, axis: np.ndarray) -> Any:
    return np.moveaxis(np.moveaxis(x, axis[0], 0)[start[0] : stop[0]], 0, axis[0])


OPERATORS: dict[str, Callable[..., Any]] = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Neg": np.negative, "Less": np.less,
    "LessOrEqual": np.less_equal, "Greater": np.greater, "GreaterOrEqual": np.greater_equal, "Exp": np.exp,
    "Log": np.log, "Tanh": np.tanh, "Sin": np.sin, "Cos": np.cos, "Sqrt": np.sqrt, "Abs": np.abs, "Max": np.maximum,
    "Min": np.minimum, "Where": np.where, "MatMul": np.matmul, "Softmax": _softmax, "Slice": _slice,
    "Sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "Erf": lambda x: _ERF(x).astype(x.dtype),
    "Cast": lambda x, to: x.astype(_TYPES[to]),
    "Concat": lambda *parts, axis: np.concatenate(parts, axis=axis),
    "Unsqueeze": lambda x, axes: np.expand_dims(x, tuple(axes)),
    "Gather": lambda x, place, axis: np.take(x, place, axis=axis),
    "ReduceMean": lambda x, axes, keepdims: x.mean(axis=tuple(axes), keepdims=bool(keepdims)),
    "ReduceSum": lambda x, axes, keepdims: x.sum(axis=tuple(axes), keepdims=bool(keepdims)),
    "Shape": lambda x: np.array(x.shape),
    "Expand": lambda x, shape: np.broadcast_to(x, tuple(shape)),
}  # fmt: skip


def run(made: list[Operation], tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All tensors after some operations."""
    known = dict(tensors)
    for one in made:
        (result,) = one.results
        assert result not in known, "a tensor is given once"
        with np.errstate(all="ignore"):
            known[result] = OPERATORS[one.operator](*(known[name] for name in one.inputs), **one.attributes)
    return known


def outputs(model: nm.Model, inputs: np.ndarray) -> np.ndarray:
    """The outputs (S, B, W_out), one time step after the other from a state of zeros."""
    graph, nodes = model.graph, Nodes(model.dtype, model.get_parameters())
    step = Step(graph, nodes, "x", {index: f"state/{index}" for index in graph.history})
    following = {index: step.following(index) for index in graph.history}
    state = {index: np.zeros(graph.state_shape(index, inputs.shape[1]), model.dtype) for index in graph.history}
    found = []
    for x in inputs:
        given = {"x": x} | {f"state/{index}": value for index, value in state.items()}
        known = run(nodes.made, nodes.constants | given)
        state = {index: known[name] for index, name in following.items()}
        found.append(known[step.result])
    return np.stack(found)
