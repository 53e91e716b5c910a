"""Callbacks that watch ``fit`` and act between epochs: early stopping, learning rates, checkpoints, logs. ``Callback``
is the base class."""

from __future__ import annotations

import csv
import errno
import math
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, dataclass, field
from numbers import Real
from string import Formatter
from typing import IO, Any

from ..errors import StorageError, brief, nearest
from ..host.atomic_write import check_place, folder_of, names_a_folder
from ..host.callers import warn_user
from ..options import finite_number, flag, whole_number
from ..runtime.network import Network
from ..storage import save
from .history import History


@dataclass
class Run:
    """One call of ``fit`` as callbacks see it: ``epoch`` counts from 0, ``names`` are the histories that it records."""

    model: Network
    history: History
    epochs: int
    names: tuple[str, ...]
    epoch: int = 0
    stopped: str = ""

    def stop(self, why: str) -> None:
        """Stop training after this epoch. ``why`` goes to ``history.ended``."""
        self.stopped = why

    def last(self, name: str) -> float:
        """What the last epoch recorded under a name."""
        values: list[float] = getattr(self.history, name)
        return values[-1]


class Callback:
    """Something that ``fit`` calls. Override what is needed; all do nothing here.

    Callbacks are called in the order in which ``fit`` was given them, at the end too.
    """

    def check(self, run: Run) -> None:
        """Before any callback begins: raise here what makes this call of ``fit`` impossible, and change nothing."""

    def begin(self, run: Run) -> None:
        """Before the first epoch, when all callbacks have checked."""

    def before_epoch(self, run: Run) -> None:
        """Before an epoch; its learning rate may be set now."""

    def after_epoch(self, run: Run) -> None:
        """After an epoch, when the history has its numbers."""

    def end(self, run: Run) -> None:
        """However training ended: after the last epoch, an exception or Ctrl-C; ``run.history.ended`` says which.

        Only where ``begin`` went well; also where the ``end`` of another callback raises.
        """


# What can be monitored, and the arguments of fit that record it.
_MONITORED = {
    "loss": "",
    "validation_loss": "validation=",
    "accuracy": 'metrics="accuracy"',
    "validation_accuracy": 'validation= and metrics="accuracy"',
}


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

    def check(self, run: Run) -> None:
        name, recorded = self.watched(run), [name for name in _MONITORED if name in run.names]
        if name not in recorded:
            raise ValueError(
                f"monitor must be one of {', '.join(recorded)} in this call of fit, not {name!r}{_hint(name, recorded)}"
            )

    def begin(self, run: Run) -> None:
        self.best, self.waited = None, 0

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


def _hint(name: Any, recorded: list[str]) -> str:
    """Suggests a known name for a number that is not recorded, and says how it would be recorded."""
    near = nearest(re.sub("^val(id)?_", "validation_", str(name)), _MONITORED)
    if near is None:
        return ""
    asks = "" if near in recorded else f", which needs {_MONITORED[near]}"
    return f"; {near!r} needs {_MONITORED[near]}" if near == name else f"; did you mean {near!r}{asks}?"


@dataclass
class EarlyStopping(Watching):
    """Stop after ``patience`` epochs without improvement, and go back to the best parameters.

    The best are restored however training ends: when all epochs are done, when it stops early, diverges or is
    interrupted. ``best`` is then the best number and ``best_epoch`` its epoch, from 0; both None where no epoch was
    completed. Parameters go back at the end, before the callbacks behind this one end; what the optimizer remembers and
    recurrent state do not.
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


# Numbers of the history by the fields of a checkpoint's path; "epoch" is the one that is no number of the history.
_FIELDS = {name: name for name in ("loss", "validation_loss", "accuracy", "validation_accuracy", "learning_rate")}
_FIELDS |= {"validation": "validation_loss"}


@dataclass
class Checkpoint(Callback):
    """Save the model with ``neuromorph.save`` at the end of epochs; a kill leaves the file of the last one, whole.

    path: where. It may have fields in the form of ``str.format``, ``{epoch}`` (from 0 in each call of fit), ``{loss}``,
    ``{validation}`` or ``{validation_loss}``, ``{accuracy}``, ``{validation_accuracy}``, ``{learning_rate}``:
    "run/{epoch:03d}-{validation:.3f}.safetensors" keeps a file of every epoch, "run.safetensors" is replaced by each.
    Missing folders are made. every: save after so many epochs, >= 1. best_only: of these epochs, save those only after
    which ``monitor`` is better than in the file saved last by this call of fit; monitor: "loss", "validation_loss",
    "accuracy" or "validation_accuracy"; None is the validation loss, or the loss where nothing is held out. initial:
    what the first of these epochs has to be better than; None saves it however bad it is. A fit that goes on with a
    loaded model needs it, or its first epoch replaces the good file: ``initial=model.evaluate(*held_out)``.

    ``nm.load(path)`` and ``fit`` for the remaining epochs give the very bits of a training that was never interrupted.
    A shuffling fit draws its orders anew, though, and callbacks start afresh; put this one behind those that set the
    learning rate.

    Training is never lost to a file: a path that can't work is an error before the first epoch, but a save that fails
    later (a full disk, a folder that is gone) is one RuntimeWarning; training goes on, and the next epochs try again.
    ``failures`` counts them; ``last`` is the path of the last file, None where there is none.

    Raises ValueError for unknown or malformed fields, and in fit for those that are not recorded there; OSError in fit,
    before anything is trained, where the path is a folder, a device, a pipe or a socket, or its folder can't be made or
    written to.
    """

    path: str | os.PathLike[str]
    _: KW_ONLY
    every: int = 1
    best_only: bool = False
    monitor: str | None = None
    initial: float | None = None
    last: str | None = field(default=None, init=False)
    failures: int = field(default=0, init=False)
    _watch: Watching = field(default_factory=Watching, init=False, repr=False)

    def __post_init__(self) -> None:
        self.path = _checked_fields(_checked_path(self.path))
        self.every = whole_number("every", self.every)
        self.best_only = flag("best_only", self.best_only)
        if self.monitor is not None and not self.best_only:
            raise ValueError(f"monitor={self.monitor!r} says what is best, so it needs best_only=True")
        if self.initial is not None:
            self.initial = _number("initial", self.initial)
            if not self.best_only:
                raise ValueError(f"initial={self.initial!r} is what the best has to beat, so it needs best_only=True")
        self._watch = Watching(monitor=self.monitor)

    def check(self, run: Run) -> None:
        for name in _fields_of(os.fspath(self.path)):
            if name != "epoch" and _FIELDS[name] not in run.names:
                raise ValueError(f"path has {{{name}}}, but this call of fit records {', '.join(run.names)} only")
        if self.best_only:
            self._watch.check(run)
        if "{" not in os.path.dirname(self.path):
            check_place(_example(os.fspath(self.path)), "a checkpoint")

    def begin(self, run: Run) -> None:
        self.last, self.failures = None, 0
        self._watch.begin(run)
        self._watch.best = self.initial
        if "{" not in os.path.dirname(self.path):
            os.makedirs(folder_of(_example(os.fspath(self.path))), exist_ok=True)

    def after_epoch(self, run: Run) -> None:
        if (run.epoch + 1) % self.every:
            return
        before = self._watch.best
        if self.best_only and not self._watch.look(run):
            return
        if not self._save(run):
            self._watch.best = before  # that of the file that is there

    def _save(self, run: Run) -> bool:
        """Save the model; whether that worked."""
        values = {name: run.last(number) for name, number in _FIELDS.items() if number in run.names}
        target = os.fspath(self.path).format(epoch=run.epoch, **values)
        try:
            os.makedirs(folder_of(target), exist_ok=True)
            save(run.model, target)
        except (OSError, StorageError, MemoryError) as error:
            self._tell(run, error)
            return False
        self.last = target
        return True

    def _tell(self, run: Run, error: Exception) -> None:
        """Warn of the first failure, and count all."""
        self.failures += 1
        if self.failures == 1:
            why = str(error) or type(error).__name__
            _warn(f"no checkpoint after epoch {run.epoch}: {why}; training goes on, and later epochs try again")


def _warn(text: str) -> None:
    """A RuntimeWarning at the line that called ``fit``, in a second call of it too."""
    warn_user(text, RuntimeWarning, again=True)


def _number(name: str, value: Any) -> float:
    """``value`` as a finite float; TypeError or ValueError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, not {brief(value)}")
    with suppress(OverflowError):
        if math.isfinite(number := float(value)):
            return number
    raise ValueError(f"{name} must be a finite number, not {brief(value)}")


def _checked_path(path: Any) -> str:
    """A path as a text."""
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        raise TypeError(f"path must be a text (str) or a path object, not {path!r}")
    if "\0" in text or names_a_folder(text):
        raise ValueError(f"path {text!r} can't be the name of a file")
    return text


def _checked_fields(text: str) -> str:
    """A checkpoint's path, whose fields are known and can be written as they ask."""
    known = ["epoch", *_FIELDS]
    for name in _fields_of(text):
        if name not in known:
            near, listed = nearest(name, known), ", ".join(f"{{{one}}}" for one in known)
            hint = f"; did you mean {{{near}}}?" if near else ""
            raise ValueError(f"path has the field {{{name}}}, but may have {listed} only{hint}")
    _example(text)
    return text


def _fields_of(path: str) -> list[str]:
    """The names of the fields in a path; ValueError where the path is malformed."""
    try:
        return [name for _, name, _, _ in Formatter().parse(path) if name is not None]
    except ValueError as error:
        raise ValueError(f"path {path!r} has a malformed field: {error}; a brace itself is written twice") from None


def _example(path: str) -> str:
    """The path with numbers in its fields; ValueError where they can't be written as it asks."""
    try:
        return path.format(epoch=0, **dict.fromkeys(_FIELDS, 0.5))
    except (ValueError, LookupError, AttributeError) as error:
        raise ValueError(f"path {path!r} has a malformed field: {error}") from None


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

    path: where; missing folders are made. An older file is replaced unless ``append``, which also leaves out the line
    of names in a file that holds something already. A pipe or a device may take the log too.

    A place that can't be written to is an OSError in fit before anything is trained. What fails later (a full disk) is
    one RuntimeWarning; training goes on, and later epochs try again. ``failures`` counts them.
    """

    path: str | os.PathLike[str]
    append: bool = False
    failures: int = field(default=0, init=False)
    _file: IO[str] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.path = _checked_path(self.path)
        self.append = flag("append", self.append)

    def check(self, run: Run) -> None:
        target = os.fspath(self.path)
        if os.path.isdir(target) or not os.path.exists(target):
            check_place(target, "a log")
        elif stat.S_ISSOCK(os.stat(target).st_mode):
            raise OSError(errno.ENXIO, "a log can't be written to a socket", target)
        elif not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "a log can't be written to this file", target)

    def begin(self, run: Run) -> None:
        self.failures = 0
        os.makedirs(folder_of(os.fspath(self.path)), exist_ok=True)
        self._file = open(self.path, "a" if self.append else "w", newline="", encoding="utf-8")  # noqa: SIM115
        if not self._file.seekable() or self._file.tell() == 0:
            self._write(run, "epoch", *run.names)

    def after_epoch(self, run: Run) -> None:
        self._write(run, run.epoch, *(run.last(name) for name in run.names))

    def end(self, run: Run) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            with self._going_on(run):
                file.close()

    def _write(self, run: Run, *row: Any) -> None:
        if self._file is not None:
            with self._going_on(run):
                csv.writer(self._file, lineterminator="\n").writerow(row)
                self._file.flush()

    @contextmanager
    def _going_on(self, run: Run) -> Iterator[None]:
        """Warn of the first failure, and count all."""
        try:
            yield
        except OSError as error:
            self.failures += 1
            if self.failures == 1:
                _warn(
                    f"epoch {run.epoch} is not in the log {self.path}: {error}; training goes on, and later epochs try "
                    "again"
                )
