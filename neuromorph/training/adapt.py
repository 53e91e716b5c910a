"""Sets means and scales of a model from data: those of ``standardize`` nodes, and of an output with ``restore``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.arrays import TrainingData, training_data
from ..data.labels import as_vectors_and_weights
from ..data.layouts import arranged, checked_layout
from ..data.reading import read_inputs
from ..errors import DataError
from ..functions import RESTORE
from ..graph import Graph, interpreter
from ..runtime.network import Network

Floats = NDArray[np.float64]
STANDARDIZE = "standardize"
_NUMBERS = 1 << 20  # numbers of the inputs that are computed with at once


def adapt(
    model: Network,
    inputs: Any,
    expected: Any = None,
    *,
    lengths: Any = None,
    sample_weight: Any = None,
    layout: str | None = None,
) -> None:
    """Set means and scales from data; see ``neuromorph.adapt``."""
    with model.lock:
        model.memory()
        graph = model.graph
        places = [node.index for node in graph.nodes if node.live and _is(graph, node.index, STANDARDIZE)]
        restores = _is(graph, graph.output, RESTORE.name)
        if not places and not restores:
            reason = f"the model has no node with <{STANDARDIZE}> and no output with <{RESTORE.name}>"
            raise ValueError(f"{reason}: there is nothing to adapt")
        data = _data(model, inputs, expected, lengths, sample_weight, layout)
        parameters = model.get_parameters()
        for index in places:
            parameters |= _units(model, index, partial(_incoming, model, parameters, data, index), data)
        if restores and expected is not None:
            parameters |= _units(model, graph.output, lambda part: data.expected[part], data)
        model.set_parameters(parameters)


def _is(graph: Graph, index: int, name: str) -> bool:
    layer = graph.nodes[index].elementwise
    return layer is not None and layer.name == name


def _data(model: Network, inputs: Any, expected: Any, lengths: Any, sample_weight: Any, layout: Any) -> TrainingData:
    """The arrays of a call, checked as in training. Zeros stand for the expected values if they are not given."""
    layout = checked_layout(layout, model.needs.recurrent)
    if layout is not None:
        found = arranged(layout, model.needs, inputs, expected, sample_weight, lengths)
        inputs, expected, sample_weight, lengths = found.inputs, found.expected, found.weights, None
    if expected is None:
        inputs = read_inputs(inputs)
        leading = inputs.numbers.shape[:-1]
        expected = np.broadcast_to(np.zeros(1, model.dtype), (*leading, model.output_width))
    given = as_vectors_and_weights(model.needs, inputs, expected, sample_weight, lengths)
    data = training_data(
        *given, batch=model.batch_size, width_in=model.input_width, width_out=model.output_width, dtype=model.dtype,
        recurrent=model.needs.recurrent,
    )  # fmt: skip
    if data.weights is not None and not data.weights.any():
        raise DataError("adapt needs a vector that counts, and all weights are 0")
    return data


def _incoming(model: Network, parameters: Mapping[str, Any], data: TrainingData, index: int, part: slice) -> Floats:
    """The vectors that reach a node, with the axes of the inputs; each sequence starts from zero state.

    part: of the first axis of the inputs.
    """
    inputs = data.inputs[part]
    found = [
        interpreter.incoming(model.graph, parameters, one, index) for one in (inputs if data.sequences else [inputs])
    ]
    return np.stack(found) if data.sequences else found[0]


def _parts(model: Network, data: TrainingData) -> list[slice]:
    """The parts of the first axis that are computed one after the other, so that they need little memory.

    Of one sequence whose state goes on, there is one part.
    """
    count = len(data.inputs)
    if model.graph.has_time_links and not data.sequences:
        return [slice(count)]
    step = max(1, _NUMBERS * count // data.inputs.size)
    return [slice(start, start + step) for start in range(0, count, step)]


def _units(model: Network, index: int, values: Callable[[slice], Any], data: TrainingData) -> dict[str, NDArray[Any]]:
    """The mean and scale of each component, as parameters of a node. The scale is the standard deviation; 1 for 0.

    values: the vectors of a part of the data.
    """
    name, parts = model.graph.nodes[index].name, _parts(model, data)
    mean = scale = np.zeros(1)
    with np.errstate(all="ignore"):
        total = sum(_weights(data, part).sum() for part in parts)
        for part in parts:
            rows, weights = _rows(values(part), _weights(data, part))
            mean = mean + (weights / total * rows).sum(axis=0)
        first, equal = None, np.ones(1, np.bool_)
        for part in parts:
            rows, weights = _rows(values(part), _weights(data, part))
            if len(rows):
                first = rows[0] if first is None else first
                equal = equal & (rows == first).all(axis=0)
                scale = scale + (weights / total * np.square(rows - mean)).sum(axis=0)
        scale = np.sqrt(scale).astype(model.dtype)
    if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
        raise DataError(f"what reaches '{name}' is too large: its mean or deviation is not a finite number")
    scale[(scale == 0.0) | equal] = 1.0
    return {f"{name}.mean": mean, f"{name}.scale": scale}


def _weights(data: TrainingData, part: slice) -> Floats:
    """The weights of the vectors of a part, in proportion to the largest of all."""
    if data.weights is None:
        return np.ones(data.inputs[part].shape[:-1]).reshape(-1)
    found: Floats = np.asarray(data.weights[part], np.float64).reshape(-1) / float(data.weights.max())
    return found


def _rows(values: NDArray[Any], weights: Floats) -> tuple[Floats, Floats]:
    """The vectors that count (n, W), and their weights (n, 1)."""
    rows, counts = np.asarray(values, np.float64).reshape(-1, values.shape[-1]), weights > 0.0
    if not counts.all():
        rows, weights = rows[counts], weights[counts]
    return rows, weights[:, None]
