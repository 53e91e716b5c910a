"""A program of the machine, and the losses that one can name."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..functions import LOSSES
from ..host.frozen import frozen


def loss_forms() -> tuple[tuple[str, str | None], ...]:
    """The names of all losses and, of those that are computed from pre-activations, of the activation. A program has
    the number of one."""
    forms = [(name, form.activation) for name, record in LOSSES.items() for form in record.logits]
    return (*((name, None) for name in LOSSES), *forms)


@frozen
class Program:
    """Words, and the numbers that they point to. space: elements of the workspace that it needs."""

    words: NDArray[np.int64]
    numbers: NDArray[np.float64]
    space: int
