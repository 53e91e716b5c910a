"""What the client asks a member to do, what the member answers, and what members exchange meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..host.frozen import frozen

Floats = NDArray[Any]
# The numbers beside what is averaged: see ``Exchange``.
WEIGHT, LOSS, STOP, DIVERGED, COUNTS = range(5)


@frozen
class Task:
    """What a worker is to do: windows of an epoch, from ``first`` on.

    epoch: its number. every: updates between two averages. rate: the learning rate; rate_of: that of an update by its
    number, or None. updates: those before ``first``. state: of these lanes to begin with; None keeps the worker's, or
    zeros where an epoch begins. seed: for shuffling, or None. dropout: the key of the masks and the updates so far.
    alike: whether the flat arrays of all workers have the same layout.
    """

    epoch: int
    first: int
    every: int
    rate: float
    rate_of: Callable[[int], float] | None = None
    updates: int = 0
    state: dict[str, Floats] | None = None
    carries: bool = False
    seed: int | None = None
    dropout: tuple[int, int] | None = None
    alike: bool = False


@dataclass
class Outcome:
    """How a task went: "done", "stopped", "broken" (a worker was lost) or "diverged".

    position: windows whose average was made. numbers: the average, from rank 0, or if the task was broken. states: of
    these lanes by position. loss, weight: sums over all workers since the task began. windows: of this worker.
    computing, waiting: seconds in kernels and for other workers.
    """

    kind: str
    position: int
    updates: int
    numbers: tuple[Floats, NDArray[np.float64]] | None = None
    states: dict[int, dict[str, Floats]] = field(default_factory=dict)
    loss: float = 0.0
    weight: float = 0.0
    windows: int = 0
    rounds: int = 0
    computing: float = 0.0
    waiting: float = 0.0
    where: str = ""
    rank: int = 0


class Exchange:
    """The buffer that workers add up: some numbers in float64, then what is averaged.

    The numbers are the weight of the rows of these lanes, the sum of their losses, how many workers are to stop, how
    many have diverged, and the optimizer's counts.
    """

    def __init__(self, size: int, counts: int, dtype: np.dtype[Any]) -> None:
        head = 8 * (COUNTS + counts)
        self.buffer = np.zeros(head + size * dtype.itemsize, np.uint8)
        self.head: NDArray[np.float64] = self.buffer[:head].view(np.float64)
        self.body: Floats = self.buffer[head:].view(dtype)

    def fill(self, weight: float, loss: float, *, stop: bool, diverged: bool) -> None:
        self.head[:COUNTS] = weight, loss, stop, diverged
