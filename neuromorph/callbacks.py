"""What can watch ``fit`` and act between epochs: early stopping, learning rates, logs. ``Callback`` is the base."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from .options import finite_number, whole_number

if TYPE_CHECKING:
    from .fitting import History
    from .model import Model


@dataclass
class Run:
    """One call of ``fit`` as callbacks see it: ``epoch`` counts from 0, ``names`` are the histories that it records."""

    model: Model
    history: History
    epochs: int
    names: tuple[str, ...]
    epoch: int = 0
    stopped: str = ""

    def stop(self, why: str) -> None:
        """Let this epoch be the last; ``why`` goes to ``history.ended``."""
        self.stopped = why

    def last(self, name: str) -> float:
        """What the last epoch recorded under a name."""
        values: list[float] = getattr(self.history, name)
        return values[-1]


class Callback:
    """Something that ``fit`` calls. Override what is needed; all do nothing here."""

    def begin(self, run: Run) -> None:
        """Before the first epoch."""

    def before_epoch(self, run: Run) -> None:
        """Before an epoch; its learning rate may be set now."""

    def after_epoch(self, run: Run) -> None:
        """After an epoch, when the history has its numbers."""

    def end(self, run: Run) -> None:
        """However training ended: after the last epoch, an exception or Ctrl-C; only where ``begin`` went well."""


@dataclass
class Watching(Callback):
    """The base of callbacks that follow one number of the history and wait for it to improve.

    monitor: "loss", "validation_loss", "accuracy" or "validation_accuracy"; None is the validation loss, or the loss
    where nothing is held out. patience: epochs, >= 1. min_delta: >= 0, what less is no improvement.
    """

    patience: int = 10
    monitor: str | None = None
    min_delta: float = 0.0
    best: float | None = field(default=None, init=False)
    waited: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.patience = whole_number("patience", self.patience)
        self.min_delta = finite_number("min_delta", self.min_delta)

    def begin(self, run: Run) -> None:
        self.best, self.waited = None, 0
        name = self.watched(run)
        if name not in run.names:
            raise ValueError(f"monitor must be one of {', '.join(run.names)} in this call of fit, not {name!r}")

    def watched(self, run: Run) -> str:
        """The name of the number that is followed."""
        return self.monitor or ("validation_loss" if "validation_loss" in run.names else "loss")

    def look(self, run: Run) -> bool:
        """Whether the last epoch improved on the best; counts those in a row that did not."""
        name = self.watched(run)
        value = run.last(name)
        gain = math.inf if self.best is None else self.best - value
        if name.endswith("accuracy") and self.best is not None:
            gain = -gain
        improved = math.isfinite(value) and gain > self.min_delta
        self.waited = 0 if improved else self.waited + 1
        self.best = value if improved else self.best
        return improved


@dataclass
class EarlyStopping(Watching):
    """Stop after ``patience`` epochs without improvement, and go back to the best parameters.

    The best are restored however training ends: when all epochs are done, when it stops early, diverges or is
    interrupted. ``best`` is then the best number and ``best_epoch`` its epoch, from 0; both None where no epoch was
    completed. Parameters go back, what the optimizer remembers does not.
    """

    best_epoch: int | None = field(default=None, init=False)
    _kept: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def begin(self, run: Run) -> None:
        super().begin(run)
        self.best_epoch, self._kept = None, {}

    def after_epoch(self, run: Run) -> None:
        if self.look(run):
            self.best_epoch, self._kept = run.epoch, run.model.get_parameters()
        elif self.waited >= self.patience:
            run.stop("early stopping")

    def end(self, run: Run) -> None:
        if self.best_epoch is not None:
            run.model.set_parameters(self._kept)
        self._kept = {}


@dataclass
class ReduceOnPlateau(Watching):
    """Multiply the learning rate by ``factor``, in [0, 1), after ``patience`` epochs without improvement, and wait
    again; never below ``minimum``."""

    factor: float = 0.1
    minimum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.factor = finite_number("factor", self.factor)
        self.minimum = finite_number("minimum", self.minimum)
        if self.factor >= 1.0:
            raise ValueError(f"factor must be less than 1, not {self.factor!r}")

    def after_epoch(self, run: Run) -> None:
        if not self.look(run) and self.waited >= self.patience:
            rate = run.model.learning_rate
            run.model.learning_rate = min(rate, max(self.minimum, rate * self.factor))
            self.waited = 0


@dataclass
class LearningRateSchedule(Callback):
    """Set the learning rate before each epoch: ``schedule(epoch)`` is asked with the epoch's number, from 0."""

    schedule: Callable[[int], float]

    def __post_init__(self) -> None:
        if not callable(self.schedule):
            raise TypeError(f"schedule must be a function of the epoch's number, not {self.schedule!r}")

    def before_epoch(self, run: Run) -> None:
        run.model.learning_rate = self.schedule(run.epoch)


@dataclass
class CSVLog(Callback):
    """A line of comma-separated numbers for every epoch, in a file that is always up to date.

    path: where; an older file is replaced unless ``append``, which also leaves out the line of names in a file that
    holds something already.
    """

    path: str | os.PathLike[str]
    append: bool = False
    _file: IO[str] | None = field(default=None, init=False, repr=False)

    def begin(self, run: Run) -> None:
        self._file = open(self.path, "a" if self.append else "w", newline="", encoding="utf-8")  # noqa: SIM115
        if self._file.tell() == 0:
            self._write("epoch", *run.names)

    def after_epoch(self, run: Run) -> None:
        self._write(run.epoch, *(run.last(name) for name in run.names))

    def end(self, run: Run) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, *row: Any) -> None:
        if self._file is not None:
            csv.writer(self._file, lineterminator="\n").writerow(row)
            self._file.flush()
