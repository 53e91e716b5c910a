"""The arguments of a training kernel, as Python, the generated ``train`` and the threads that wait for calls
use them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]


class TrainCall(NamedTuple):
    """The arguments of the generated function ``train``, in order, under the names that they have there.

    sample, stop: the first sample of the call, and the one after its last. samples: of the whole sequence. capacity:
    samples of a window. mode: MEASURE, GRADIENTS or LEARN. work: the workspace. transposed: transposed weights. memory:
    what the optimizer remembers; constants: its numbers and counts. x, expected: the whole sequence, flat. A row is the
    vector of one lane in one sample. row_weights: the weight of each row, or of the rows of one window where row_step
    is 0. row_step: rows from sample to sample in row_weights. row_losses: room for the losses of a window's rows.
    losses: one a sample, written. rate: the learning rate. clip: the largest norm of all gradients together, 0 for no
    bound.
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


CALL_ARRAYS = ("x", "expected", "row_weights", "losses")  # new in each call; the model keeps the others
