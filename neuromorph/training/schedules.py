"""Schedules of the learning rate: callbacks that set it before each epoch, or before each update."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..options import finite_number, one_of, whole_number
from .callbacks import Callback, Run


class UpdateSchedule(Callback, ABC):
    """The base class of callbacks that set the learning rate before each update. ``schedule(update)`` is the rate.

    update: the number of the update, from 0; a fit that is resumed with ``initial_epoch`` goes on counting. Each window
    is then a call of its own, which takes some microseconds more.
    """

    @abstractmethod
    def __call__(self, update: int) -> float:
        """The learning rate of an update."""

    def check(self, run: Run) -> None:
        if run.rate_of is not None:
            raise ValueError("two callbacks set the learning rate of each update; give one of them")
        run.follow_updates(self)


@dataclass
class WarmupCosine(UpdateSchedule):
    """Raise the learning rate from 0 to ``peak`` in ``warmup`` updates, in equal steps, then lower it along half a
    cosine to ``final`` at update ``total``; it stays there.

    Update n < warmup has the rate peak * (n + 1) / warmup.
    """

    peak: float
    warmup: int
    total: int
    final: float = 0.0

    def __post_init__(self) -> None:
        self.peak, self.final = finite_number("peak", self.peak), finite_number("final", self.final)
        self.warmup = whole_number("warmup", self.warmup) if self.warmup else 0
        self.total = whole_number("total", self.total)
        if self.warmup >= self.total:
            raise ValueError(f"warmup must be less than total, {self.total}, not {self.warmup}")

    def __call__(self, update: int) -> float:
        if update < self.warmup:
            return self.peak * (update + 1) / self.warmup
        share = min(1.0, (update - self.warmup) / (self.total - self.warmup))
        return self.final + 0.5 * (self.peak - self.final) * (1.0 + math.cos(math.pi * share))


@dataclass
class StepDecay(UpdateSchedule):
    """Begin with the learning rate ``rate``, and multiply it by ``factor``, in [0, 1], after each ``every`` updates."""

    rate: float
    every: int
    factor: float = 0.5

    def __post_init__(self) -> None:
        self.rate, self.factor = finite_number("rate", self.rate), finite_number("factor", self.factor)
        self.every = whole_number("every", self.every)
        if self.factor > 1.0:
            raise ValueError(f"factor must be at most 1, not {self.factor!r}")

    def __call__(self, update: int) -> float:
        return float(self.rate * self.factor ** (update // self.every))


@dataclass
class LearningRateSchedule(UpdateSchedule):
    """Set the learning rate to ``schedule(number)``.

    number: with per="epoch", the epoch's number, from 0; with per="update", the update's. A fit that is resumed with
    ``initial_epoch`` goes on counting. None means updates for ``WarmupCosine`` and its like, epochs for all else.
    """

    schedule: Callable[[int], float]
    per: str | None = None

    def __post_init__(self) -> None:
        if not callable(self.schedule):
            raise TypeError(f"schedule must be a function of a number, not {self.schedule!r}")
        usual = "update" if isinstance(self.schedule, UpdateSchedule) else "epoch"
        self.per = usual if self.per is None else one_of("per", self.per, ("epoch", "update"))

    def __call__(self, update: int) -> Any:
        return self.schedule(update)

    def check(self, run: Run) -> None:
        if self.per == "update":
            super().check(run)

    def before_epoch(self, run: Run) -> None:
        if self.per == "epoch":
            run.model.learning_rate = self.schedule(run.epoch)
