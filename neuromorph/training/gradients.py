"""Computes exact gradients of a whole sequence."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from ..abi.mailbox import GRADIENTS
from ..errors import DataError, TrainingDivergedError
from ..runtime.network import Network
from .loop import Pass, check_data, scratch, sequences
from .means import weighted_mean

Floats = NDArray[Any]


def gradients(
    model: Network,
    inputs: Any,
    expected: Any,
    *,
    sample_weight: Any = None,
    lengths: Any = None,
    missing: str = "error",
) -> tuple[float, dict[str, Floats]]:
    """The loss of the whole input as one window from zero state, and its gradient with respect to every parameter."""
    data = check_data(model, inputs, expected, sample_weight, lengths, missing=missing)
    if data.sequences:
        raise DataError("gradients takes one sequence: inputs of 3 axes (samples, batch, width)")
    model.look_for_kernels()
    with model.lock:
        samples = data.inputs.shape[0]
        memory = scratch(model, samples)
        (whole,) = sequences(model, memory, data, GRADIENTS, samples)
        _run_whole(whole)
        first = memory.gradients[: model.kernels.plan.layout.size]
        return weighted_mean(whole.losses, data.weights), model.unpack_gradients(first)


def _run_whole(whole: Pass) -> None:
    if whole.run(0, whole.samples) < whole.samples:
        raise TrainingDivergedError("the loss or a gradient of these samples is not a finite number")
