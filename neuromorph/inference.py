"""Prediction: forward kernels over samples, in pieces short enough for Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .data import PredictionData, prediction_data
from .state import set_state, state_views
from .training import Pace

if TYPE_CHECKING:
    from .model import Model

CHUNK_ROWS = 512  # rows (samples x lanes) that one call of the forward kernel works on, about


def predict(model: Model, inputs: Any) -> NDArray[Any]:
    """The output for every sample, from zero state."""
    return outputs(model, prediction_data(inputs, width=model.input_width, dtype=model.dtype))


def outputs(model: Model, data: PredictionData, state: Mapping[str, NDArray[Any]] | None = None) -> NDArray[Any]:
    """The output for checked samples, each sequence from zero state, or from a state as ``Model.state`` has it."""
    from .kernels import aligned_zeros

    with model._lock:
        model.memory()
        workspace, lanes = model.kernels.kernel.prediction_space, data.inputs.shape[-2]
        capacity = max(1, min(data.inputs.shape[-3], CHUNK_ROWS // lanes))
        space = aligned_zeros(workspace.size(capacity, lanes) + 16, model.options.dtype)
        results = np.empty((*data.inputs.shape[:-1], model.output_width), model.dtype)
        pace = Pace()
        for one, out in zip(_each(data.inputs), _each(results), strict=True):
            space[:] = 0.0
            if state:
                set_state(state_views(workspace, space, capacity, lanes), state)
            _run(model, space, capacity, pace, one, out)
    return data.restore(results)


def _run(
    model: Model, space: NDArray[Any], capacity: int, pace: Pace, inputs: NDArray[Any], results: NDArray[Any]
) -> None:
    """One sequence (S, B, W) from the state in ``space``, in pieces of whole chunks."""
    kernel, weights, start = model.kernels.predict, model.memory().weights, 0
    while start < len(inputs):
        stop = min(len(inputs), start + pace.windows * capacity)
        part, out = inputs[start:stop].reshape(-1), results[start:stop].reshape(-1)
        started = time.perf_counter()
        kernel(inputs.shape[1], stop - start, capacity, space, weights, part, out)
        pace.took((stop - start) // capacity, time.perf_counter() - started)
        start = stop


def _each(array: NDArray[Any]) -> NDArray[Any]:
    """Sequences one by one."""
    return array if array.ndim == 4 else array[None]
