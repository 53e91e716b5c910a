"""Runs a forward kernel over samples, in calls short enough for Ctrl-C."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data.arrays import PredictionData, prediction_data
from .data.layouts import arranged_inputs, checked_layout
from .errors import DataWarning
from .host.callers import warn_user
from .runtime.memory import aligned_zeros
from .runtime.network import Network
from .runtime.pacing import Pace
from .runtime.state import set_state, state_views
from .runtime.threadpool import run_together

CHUNK_ROWS = 512  # rows (samples x lanes) of one call of the forward kernel, about
LANES = 32  # lanes of packed sequences, if the model has no more


def predict(model: Network, inputs: Any, *, layout: str | None = None) -> Any:
    """The output for every sample, from zero state; see ``Model.predict``."""
    layout = checked_layout(layout, model.needs.recurrent)
    if layout is None:
        _warn_of_lanes(model, inputs)
        return outputs(model, prediction_data(inputs, width=model.input_width, dtype=model.dtype))
    lanes = max(model.batch_size, LANES)
    return outputs(model, arranged_inputs(layout, inputs, width=model.input_width, dtype=model.dtype, lanes=lanes))


def _warn_of_lanes(model: Network, inputs: Any) -> None:
    """Warn of inputs of three axes that a model which was trained on sequences probably reads the wrong way."""
    shape = np.shape(inputs) if model.layout == "NSW" and isinstance(inputs, np.ndarray) else ()
    if len(shape) == 3 and shape[1] != model.batch_size:
        warn_user(
            f"inputs of shape {shape} are read as {shape[0]} steps of {shape[1]} lanes, and the model was trained with "
            f"layout='NSW': give it here too for {shape[0]} sequences of {shape[1]} steps",
            DataWarning,
        )


def outputs(model: Network, data: PredictionData, state: Mapping[str, NDArray[Any]] | None = None) -> Any:
    """The output for checked samples. Each sequence starts from zero state, or from ``state`` (see ``Model.state``)."""
    model.look_for_kernels()
    with model.lock:
        model.memory()
        results = np.empty((*data.inputs.shape[:-1], model.output_width), model.dtype)
        inputs, outs = _each(data.inputs), _each(results)
        threads = model.kernels.threads_of_prediction(inputs.size // inputs.shape[-1])
        if threads > 1:  # without links in time, rows are independent: all become samples of one sequence
            inputs, outs = (array.reshape(1, -1, 1, array.shape[-1]) for array in (inputs, outs))
        workspace, (samples, lanes) = model.kernels.plan.prediction_space, inputs.shape[1:3]
        capacity = max(1, min(samples, CHUNK_ROWS // lanes))
        size = model.kernels.prediction_elements(capacity, lanes)
        spaces = [aligned_zeros(size, model.options.dtype) for _ in range(threads)]
        pace = Pace()
        for one, out in zip(inputs, outs, strict=True):
            spaces[0][:] = 0.0
            if state:
                set_state(state_views(workspace, spaces[0], capacity, lanes), state)
            _run(model, spaces, capacity, pace, one, out)
    return data.restore(results)


def _run(
    model: Network, spaces: list[NDArray[Any]], capacity: int, pace: Pace, inputs: NDArray[Any], results: NDArray[Any]
) -> None:
    """Predict one sequence (S, B, W) from the state in the first of ``spaces``, in pieces of whole chunks.

    Several spaces are for models without state: then threads divide the samples of a piece, if it is large.
    """
    lanes = inputs.shape[1]
    for start, stop in pace.pieces(len(inputs), capacity):
        enough = model.kernels.threads_of_prediction((stop - start) * lanes) >= len(spaces)
        _call(model, spaces if enough else spaces[:1], capacity, inputs[start:stop], results[start:stop])


def _call(
    model: Network, spaces: list[NDArray[Any]], capacity: int, inputs: NDArray[Any], results: NDArray[Any]
) -> None:
    """Call the kernel in one thread for each space, over equal ranges of the samples."""
    kernel, weights, (samples, lanes, _) = model.kernels.predict, model.memory().weights, inputs.shape
    cuts = [samples * n // len(spaces) for n in range(len(spaces) + 1)]
    arguments = [
        (lanes, end - begin, capacity, space, weights, inputs[begin:end].reshape(-1), results[begin:end].reshape(-1))
        for space, (begin, end) in zip(spaces, pairwise(cuts), strict=True)
    ]
    if len(arguments) == 1:
        kernel(*arguments[0])
    else:
        try:
            run_together(kernel, arguments)
        except RuntimeError:  # the system starts no more threads: this thread then does everything
            for each in arguments:
                kernel(*each)


def _each(array: NDArray[Any]) -> NDArray[Any]:
    """The array with an axis of sequences: one sequence (S, B, W) becomes (1, S, B, W)."""
    return array if array.ndim == 4 else array[None]
