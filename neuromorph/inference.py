"""Prediction: forward kernels over samples, from zero state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .data import prediction_data

if TYPE_CHECKING:
    from .model import Model

CHUNK_ROWS = 512  # rows (samples x lanes) that one call of the forward kernel works on, about
PIECE = 1 << 16  # rows between two looks at Ctrl-C


def predict(model: Model, inputs: Any) -> NDArray[Any]:
    """The output for every sample."""
    from .kernels import aligned_zeros

    data = prediction_data(inputs, width=model.input_width, dtype=model.dtype)
    with model._lock:
        memory = model.memory()
        kernels = model.kernels
        lanes = data.inputs.shape[-2]
        capacity = max(1, min(data.inputs.shape[-3], CHUNK_ROWS // lanes))
        space = aligned_zeros(kernels.kernel.prediction_space.size(capacity, lanes) + 16, model.options.dtype)
        results = np.empty((*data.inputs.shape[:-1], model.output_width), model.dtype)
        piece = max(1, PIECE // (capacity * lanes)) * capacity
        for one, out in zip(_each(data.inputs), _each(results), strict=True):
            space[:] = 0.0
            for start in range(0, len(one), piece):
                part = one[start : start + piece]
                kernels.predict(
                    lanes, len(part), capacity, space, memory.weights, part.reshape(-1),
                    out[start : start + piece].reshape(-1),
                )  # fmt: skip
    return data.restore(results)


def _each(array: NDArray[Any]) -> NDArray[Any]:
    """Sequences one by one."""
    return array if array.ndim == 4 else array[None]
