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
from ..history import History
from ..host.atomic_write import check_place, folder_of, names_a_folder
from ..host.callers import warn_user
from ..options import finite_number, flag, whole_number
from ..runtime.network import Network
from ..storage import save
from .logs import cut_log
from .metrics import NAMES


@dataclass
class Run:
    """One call of ``fit``, as callbacks see it.

    epoch: the number of the epoch, counted from ``initial_epoch``. epochs: their number in this call. names: the
    histories that the call records; own: those of the user's functions. updates: the number of updates so far, those
    before ``initial_epoch`` too. rate_of: gives the learning rate of an update by its number, or None.
    """

    model: Network
    history: History
    epochs: int
    names: tuple[str, ...]
    epoch: int = 0
    stopped: str = ""
    initial_epoch: int = 0
    own: frozenset[str] = frozenset()
    updates: int | None = 0
    rate_of: Callable[[int], float] | None = None

    @property
    def last_epoch(self) -> int:
        """The number of the last epoch, if nothing stops the run before."""
        return self.initial_epoch + self.epochs - 1

    def stop(self, why: str) -> None:
        """Stop training after this epoch. why: the reason, which becomes ``history.ended``."""
        self.stopped = why

    def last(self, name: str) -> float:
        """The number that the last epoch recorded under a name, such as "loss"."""
        values: list[float] = getattr(self.history, name)
        return values[-1]

    def follow_updates(self, rate_of: Callable[[int], float]) -> None:
        """Have the learning rate set before each update. ValueError if nobody knows how many updates came before."""
        if self.updates is None:
            raise ValueError(
                f"initial_epoch={self.initial_epoch}, and the model's history does not end there: how many updates "
                "came before, from which a schedule goes on, is not known"
            )
        self.rate_of = rate_of


class Callback:
    """The base class of callbacks, whose methods ``fit`` calls. Override what you need; here they do nothing.

    Callbacks are called in the order in which they were given to ``fit``, also at the end.
    """

    def check(self, run: Run) -> None:
        """Called before any callback begins. Raise an error here if this ``fit`` is impossible; change nothing."""

    def begin(self, run: Run) -> None:
        """Called before the first epoch, after the ``check`` of all callbacks."""

    def before_epoch(self, run: Run) -> None:
        """Called before each epoch. The epoch's learning rate may be set here."""

    def after_epoch(self, run: Run) -> None:
        """Called after each epoch, when the history has its numbers."""

    def end(self, run: Run) -> None:
        """Called when training has ended: after the last epoch, an exception or Ctrl-C. ``run.history.ended`` says how.

        It is called only if ``begin`` raised no error, and also if the ``end`` of another callback raises one.
        """


# Arguments of fit that record what can be monitored.
_MONITORED = {
    "loss": "",
    "validation_loss": "validation=",
    "accuracy": 'metrics="accuracy"',
    "validation_accuracy": 'validation= and metrics="accuracy"',
}
_NOT_MONITORED = ("learning_rate", "seconds")


@dataclass
class Watching(Callback):
    """The base class of callbacks that watch one number of the history and wait for it to improve.

    monitor: the name of a recorded number: "loss", "validation_loss", "accuracy", "validation_accuracy", or that of
    another metric; None means the validation loss, or the loss without validation. patience: epochs to wait, >= 1.
    min_delta: the least change that counts as improvement, >= 0. larger: whether a larger number is better. None means
    yes for accuracies and no for all else; for a metric that is a function of your own, it must be given.
    """

    patience: int = 10
    monitor: str | None = None
    min_delta: float = 0.0
    larger: bool | None = field(default=None, kw_only=True)
    best: float | None = field(default=None, init=False)
    waited: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.patience = whole_number("patience", self.patience)
        self.min_delta = finite_number("min_delta", self.min_delta)
        self.larger = None if self.larger is None else flag("larger", self.larger)

    def check(self, run: Run) -> None:
        name, recorded = self.watched(run), [name for name in run.names if name not in _NOT_MONITORED]
        if name not in recorded:
            raise ValueError(
                f"monitor must be one of {', '.join(recorded)} in this call of fit, not {name!r}{_hint(name, recorded)}"
            )
        if self.larger is None and name.removeprefix("validation_") in run.own:
            raise ValueError(
                f"monitor={name!r} is a function of your own: say larger=True if a larger number is better, else "
                "larger=False"
            )

    def begin(self, run: Run) -> None:
        self.best, self.waited = None, 0

    def watched(self, run: Run) -> str:
        """The name of the monitored number."""
        return self.monitor or ("validation_loss" if "validation_loss" in run.names else "loss")

    def look(self, run: Run) -> bool:
        """Whether the last epoch improved on the best number. Counts successive epochs that did not."""
        name = self.watched(run)
        value = run.last(name)
        gain = math.inf if self.best is None else self.best - value
        larger = name.endswith("accuracy") if self.larger is None else self.larger
        if larger and self.best is not None:
            gain = -gain
        improved = math.isfinite(value) and gain > self.min_delta
        self.waited = 0 if improved else self.waited + 1
        self.best = value if improved else self.best
        return improved


def _hint(name: Any, recorded: list[str]) -> str:
    """A part of a message about a number that is not recorded: a known name near it, or how to record it."""
    near = nearest(re.sub("^val(id)?_", "validation_", str(name)), {**_MONITORED, **dict.fromkeys(recorded)})
    if near is None:
        return ""
    asks = "" if near in recorded else f", which needs {_MONITORED[near]}"
    return f"; {near!r} needs {_MONITORED[near]}" if near == name else f"; did you mean {near!r}{asks}?"


@dataclass
class EarlyStopping(Watching):
    """Stop after ``patience`` epochs without improvement, and restore the parameters of the best epoch.

    They are restored however training ends: after all epochs, early, by divergence or by an interrupt. ``best`` is then
    the best number and ``best_epoch`` the number of its epoch, which the history has too; both are None if no epoch was
    completed. Parameters are restored in ``end``, before the ``end`` of later callbacks. The optimizer's slots and the
    recurrent state are not restored.
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
            run.history.best_epoch = self.best_epoch
        self._kept = {}


@dataclass
class ReduceOnPlateau(Watching):
    """Multiply the learning rate by ``factor``, in [0, 1), after each ``patience`` epochs without improvement. It never
    gets below ``minimum``."""

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


# The fields of a checkpoint's path, and the numbers of the history that they stand for. The field "epoch" is not here.
_FIELDS = {name: name for name in ("loss", "validation_loss", "accuracy", "validation_accuracy", "learning_rate")}
_FIELDS |= {"validation": "validation_loss"}
_FIELDS |= {name: name for metric in NAMES for name in (metric, f"validation_{metric}")}
_LISTED = ("epoch", "loss", "validation_loss", "accuracy", "validation_accuracy", "learning_rate", "validation")


@dataclass
class Checkpoint(Callback):
    """Save the model with ``neuromorph.save`` at the end of epochs. If the process is killed, the last file is whole.

    path: of the file. It may have fields in the form of ``str.format``: ``{epoch}`` (counted from the ``initial_epoch``
    of fit), ``{loss}``, ``{validation}`` or ``{validation_loss}``, ``{accuracy}``, ``{validation_accuracy}``,
    ``{learning_rate}``, and other metrics by their names. "run/{epoch:03d}-{validation:.3f}.safetensors" keeps a file
    of every epoch, "run.safetensors" is replaced each time. Missing folders are made. every: the number of epochs from
    one save to the next, >= 1. best_only: save only if ``monitor`` is better than in the file that this call of fit
    saved last. monitor, larger: as for ``EarlyStopping``. initial: the number that the first save must be better than;
    None saves the first epoch in any case. A fit that continues with a loaded model needs it, or its first epoch
    replaces the good file: ``initial=model.evaluate(*held_out)``.

    ``nm.load(path)`` and ``fit`` for the remaining epochs give the same bits as a training without interruption, and
    ``initial_epoch=model.history.next_epoch`` goes on counting. A shuffling fit needs the same ``seed`` for that, or it
    draws new orders; and callbacks that wait for a best number start anew. Put this callback after those that set the
    learning rate.

    A path that can't work is an error before the first epoch. A save that fails later (a full disk, a removed folder)
    gives one RuntimeWarning; training goes on, and the next epochs try again. ``failures`` counts failed saves.
    ``last`` is the path of the last file, None if there is none.

    Raises ValueError for unknown or malformed fields, and in fit for numbers that are not recorded there. Raises
    OSError in fit, before anything is trained, if the path is a folder, a device, a pipe or a socket, or its folder
    can't be made or written to.
    """

    path: str | os.PathLike[str]
    _: KW_ONLY
    every: int = 1
    best_only: bool = False
    monitor: str | None = None
    initial: float | None = None
    larger: bool | None = None
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
        self._watch = Watching(monitor=self.monitor, larger=self.larger)

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
            self._watch.best = before  # the number of the file that was saved before

    def _save(self, run: Run) -> bool:
        """Save the model; whether that worked."""
        values: dict[str, float] = {name: run.last(number) for name, number in _FIELDS.items() if number in run.names}
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
        """Count a failed save; warn of the first one."""
        self.failures += 1
        if self.failures == 1:
            why = str(error) or type(error).__name__
            _warn(f"no checkpoint after epoch {run.epoch}: {why}; training goes on, and later epochs try again")


def _warn(text: str) -> None:
    """Give a RuntimeWarning at the line that called ``fit``, also in a second call from the same line."""
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
    """A path as a text; TypeError or ValueError if it is none."""
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        raise TypeError(f"path must be a text (str) or a path object, not {path!r}")
    if "\0" in text or names_a_folder(text):
        raise ValueError(f"path {text!r} can't be the name of a file")
    return text


def _checked_fields(text: str) -> str:
    """A checkpoint's path, after a check that its fields are known and have valid formats."""
    for name in _fields_of(text):
        if name != "epoch" and name not in _FIELDS:
            near, listed = nearest(name, ["epoch", *_FIELDS]), ", ".join(f"{{{one}}}" for one in _LISTED)
            hint = f"; did you mean {{{near}}}?" if near else ""
            raise ValueError(f"path has the field {{{name}}}, but may have {listed} only{hint}")
    _example(text)
    return text


def _fields_of(path: str) -> list[str]:
    """The names of the fields in a path; ValueError if the path is malformed."""
    try:
        return [name for _, name, _, _ in Formatter().parse(path) if name is not None]
    except ValueError as error:
        raise ValueError(f"path {path!r} has a malformed field: {error}; a brace itself is written twice") from None


def _example(path: str) -> str:
    """The path with example numbers in its fields; ValueError for an invalid format."""
    try:
        return path.format(epoch=0, **dict.fromkeys(_FIELDS, 0.5))
    except (ValueError, LookupError, AttributeError) as error:
        raise ValueError(f"path {path!r} has a malformed field: {error}") from None


@dataclass
class CSVLog(Callback):
    """Write a line of comma-separated numbers for every epoch to a file, at once after the epoch.

    path: of the file, which may be a pipe or a device; missing folders are made. An older file is replaced, unless
    ``append`` is set; then the line of names is left out in a file that is not empty. A run with ``initial_epoch``
    takes the place of the lines at the end of the file that are of the same epochs or later ones: a process that was
    killed wrote them after its last checkpoint.

    A path that can't be written to is an OSError in fit before anything is trained. A write that fails later (a full
    disk) gives one RuntimeWarning; training goes on, and later epochs try again. ``failures`` counts failed writes.
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
        if self.append and run.initial_epoch and os.path.isfile(self.path):
            cut_log(os.fspath(self.path), run.initial_epoch)
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
        """A block in which a failed write is only counted; the first one gives a warning."""
        try:
            yield
        except OSError as error:
            self.failures += 1
            if self.failures == 1:
                _warn(
                    f"epoch {run.epoch} is not in the log {self.path}: {error}; training goes on, and later epochs try "
                    "again"
                )
