"""What runs a task: an entry is a kind of network, of ours or of a peer, and a run is one of it that was trained."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Run:
    """One trained network: its score on the test data; its score and its loss on the data to choose by; the seconds of
    its training, from drawn parameters to the best epoch; and its number of parameters."""

    score: float
    chosen_score: float
    chosen_loss: float
    seconds: float
    parameters: int


@dataclass(frozen=True)
class Entry:
    """A kind of network. ours: whether it is a text of ours. settings: what is chosen from, such as learning rates.

    train: of a seed and one of the settings. peer: the package that it needs, None for ours.
    """

    name: str
    ours: bool
    settings: tuple[Any, ...]
    train: Callable[[int, Any], Run]
    peer: str | None = None


def timed(train: Callable[[], Any]) -> tuple[Any, float]:
    """What a function returns, and its seconds."""
    started = time.perf_counter()
    made = train()
    return made, time.perf_counter() - started


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def nearest_width(count: Callable[[int], int], parameters: int) -> int:
    """The width whose number of parameters, which grows with it, is nearest to the wanted one; at least 1."""
    high = 2
    while count(high) < parameters:
        high *= 2
    low = 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < parameters else (low, middle)
    return min((low, high), key=lambda width: abs(count(width) - parameters))


def falling(rate: float, epochs: int) -> Callable[[int], float]:
    """The learning rate of each epoch: half a cosine, from a rate down to 0."""
    return lambda epoch: rate * 0.5 * (1 + math.cos(math.pi * epoch / epochs))
