"""Sets means and scales of a model from data: those of ``standardize`` nodes, and of an output with ``restore``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.arrays import TrainingData, training_data
from ..data.labels import as_vectors_and_weights
from ..data.layouts import arranged, checked_layout
from ..data.reading import read
from ..errors import DataError
from ..functions import RESTORE
from ..graph import Graph, interpreter
from ..runtime.network import Network

Floats = NDArray[np.float64]
STANDARDIZE = "standardize"


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
            parameters |= _units(model, index, _incoming(model, parameters, data, index), data)
        if restores and expected is not None:
            parameters |= _units(model, graph.output, data.expected, data)
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
        leading = read("inputs", inputs).numbers.shape[:-1]
        expected = np.broadcast_to(np.zeros(1, model.dtype), (*leading, model.output_width))
    given = as_vectors_and_weights(model.needs, inputs, expected, sample_weight, lengths)
    data = training_data(
        *given, batch=model.batch_size, width_in=model.input_width, width_out=model.output_width, dtype=model.dtype,
        recurrent=model.needs.recurrent,
    )  # fmt: skip
    if data.weights is not None and not data.weights.any():
        raise DataError("adapt needs a vector that counts, and all weights are 0")
    return data


def _incoming(model: Network, parameters: Mapping[str, Any], data: TrainingData, index: int) -> Floats:
    """The vectors that reach a node, with the axes of the inputs; each sequence starts from zero state."""
    sequences = data.inputs if data.sequences else data.inputs[None]
    found = [interpreter.incoming(model.graph, parameters, one, index) for one in sequences]
    return np.stack(found) if data.sequences else found[0]


def _units(model: Network, index: int, values: NDArray[Any], data: TrainingData) -> dict[str, NDArray[Any]]:
    """The mean and scale of each component, as parameters of a node. The scale is the standard deviation; 1 for 0."""
    name = model.graph.nodes[index].name
    rows = np.asarray(values, np.float64).reshape(-1, values.shape[-1])
    weights = np.ones(len(rows)) if data.weights is None else np.asarray(data.weights, np.float64).reshape(-1)
    counts = weights > 0.0
    rows, shares = rows[counts], weights[counts] / weights.max()
    shares = (shares / shares.sum())[:, None]
    with np.errstate(all="ignore"):
        mean = (shares * rows).sum(axis=0)
        scale = np.sqrt((shares * np.square(rows - mean)).sum(axis=0)).astype(model.dtype)
    if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
        raise DataError(f"what reaches '{name}' is too large: its mean or deviation is not a finite number")
    scale[(scale == 0.0) | (rows == rows[0]).all(axis=0)] = 1.0
    return {f"{name}.mean": mean, f"{name}.scale": scale}
