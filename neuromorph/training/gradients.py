"""Computes exact gradients of a whole sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..abi.mailbox import GRADIENTS
from ..data.arrays import TrainingData
from ..errors import DataError, TrainingDivergedError
from ..runtime.memory import Memory
from ..runtime.network import Network
from .checks import check_data
from .loop import Pass, scratch, sequences

Floats = NDArray[Any]
TINY = float(np.finfo(np.float64).tiny)


def gradients(
    model: Network,
    inputs: Any,
    expected: Any,
    *,
    sample_weight: Any = None,
    lengths: Any = None,
    layout: str | None = None,
    missing: str = "error",
) -> tuple[float, dict[str, Floats]]:
    """The loss of the whole input, each sequence as one window from zero state, and its gradient with respect to every
    parameter."""
    data = check_data(model, inputs, expected, sample_weight, lengths, layout=layout, missing=missing)
    if data.sequences and data.reading is None:
        raise DataError("gradients takes one sequence: inputs of 3 axes (samples, batch, width), or layout='NSW'")
    with model.lock:
        model.look_for_kernels(skips=data.unknown)
        samples = data.inputs.shape[1 if data.sequences else 0]
        memory = scratch(model, samples)
        loss, total = _gradients_of_groups(model, memory, data, samples)
        return loss, model.unpack_gradients(total[: model.kernels.plan.layout.size])


def _gradients_of_groups(model: Network, memory: Memory, data: TrainingData, samples: int) -> tuple[float, Floats]:
    """The mean loss of all groups of sequences and its gradient: the means of those of the groups, by their weights."""
    groups = list(sequences(model, memory, data, GRADIENTS, samples))
    shares = _shares(data, len(groups))
    losses, total = np.zeros(len(groups)), np.zeros(len(memory.gradients))
    for number, (group, share) in enumerate(zip(groups, shares, strict=True)):
        memory.space[:] = 0.0
        _run_whole(group)
        losses[number] = group.mean(0, samples)
        total += share * memory.gradients
    if len(groups) == 1:
        return float(losses[0]), memory.gradients
    return float(shares @ losses), total.astype(model.dtype)


def _shares(data: TrainingData, groups: int) -> NDArray[np.float64]:
    """The weight of each group of sequences in the mean of all; they add up to 1, or to 0 if all weights are 0."""
    if data.weights is None:
        return np.full(groups, 1.0 / groups)
    weights = data.weights.reshape(groups, -1)
    found: NDArray[np.float64] = (weights / max(float(weights.max()), TINY)).sum(axis=1, dtype=np.float64)
    return found / max(float(found.sum()), TINY)


def _run_whole(whole: Pass) -> None:
    if whole.run(0, whole.samples) < whole.samples:
        raise TrainingDivergedError("the loss or a gradient of these samples is not a finite number")
