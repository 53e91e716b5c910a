"""``TrainCall``: the arguments of a training kernel, in the order in which compiled code and its callers pass them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]


class TrainCall(NamedTuple):
    """The arguments of the generated function ``train``, in order, under the names that they have there.

    A row is the vector of one lane in one sample.

    sample, stop: the first sample of the call, and the one after its last.
    samples: the number of samples in the whole sequence.
    capacity: the number of samples in a window.
    mode: MEASURE, GRADIENTS or LEARN.
    work: the workspace.
    weights: all parameters. transposed: the transposed weights. gradients: those of the parameters, written.
    memory: the slots of the optimizer. constants: its numbers and counts.
    x, expected: the inputs and targets of the whole sequence, flat.
    row_weights: the weight of each row; where row_step is 0, the weights of one window, used for every window.
    row_step: the number of rows from one sample to the next in row_weights.
    row_losses: space for the losses of a window's rows.
    losses: the function writes one loss for each sample here.
    rate: the learning rate.
    clip: the largest norm of all gradients together; 0 means no limit.
    """

    sample: int
    stop: int
    samples: int
    capacity: int
    mode: int
    work: Floats
    weights: Floats
    transposed: Floats
    gradients: Floats
    memory: Floats
    constants: NDArray[np.float64]
    x: Floats
    expected: Floats
    row_weights: Floats
    row_step: int
    row_losses: Floats
    losses: NDArray[np.float64]
    rate: float
    clip: float


CALL_ARRAYS = ("x", "expected", "row_weights", "losses")  # new in each call; the model owns the other arrays
CALL_NUMBERS = ("sample", "stop", "samples", "capacity", "mode", "row_step", "rate", "clip")  # all others are arrays
