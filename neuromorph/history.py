"""``History``: the record of each epoch of ``fit``."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .errors import StorageError, brief

_LISTS = ("loss", "validation_loss", "accuracy", "validation_accuracy", "learning_rate", "seconds")
_NOT_SHOWN = ("learning_rate", "seconds")
_ROWS = 5  # of a table in a notebook, at each end
_ODD = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}  # numbers that JSON lacks, by their texts


@dataclass(repr=False)
class History:
    """The record of ``fit``: lists with one number an epoch; those that are not recorded are empty.

    loss: the mean over the epoch, while parameters changed. validation_loss, accuracy and validation_accuracy: measured
    with the parameters at the end of the epoch. learning_rate: at the start of the epoch. seconds: the time of the
    epoch with validation. metrics: the lists of all other metrics by name, such as "mae" and "validation_mae"; they are
    attributes too, ``history.mae``. ended: "all epochs", "early stopping", "interrupted", "diverged", "error", or a
    callback's reason; "" during training. initial_epoch: the number of the first epoch here. best_epoch: the number of
    the epoch whose parameters ``EarlyStopping`` has restored, else None. updates: the updates of the parameters up to
    the last epoch here, those before ``initial_epoch`` too.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    ended: str = ""
    metrics: dict[str, list[float]] = field(default_factory=dict)
    initial_epoch: int = 0
    best_epoch: int | None = None
    updates: int = 0

    def __getattr__(self, name: str) -> list[float]:
        found: list[float] | None = self.__dict__.get("metrics", {}).get(name)
        if found is None:
            raise AttributeError(f"this History has no {name!r}")
        return found

    def __len__(self) -> int:
        """The number of completed epochs."""
        return len(self.loss)

    @property
    def next_epoch(self) -> int:
        """The number of the epoch that comes after these."""
        return self.initial_epoch + len(self)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of what is recorded, in order."""
        return (*(name for name in _LISTS if getattr(self, name)), *self.metrics)

    def add(self, numbers: dict[str, float]) -> None:
        """Append the numbers of an epoch, by name."""
        for name, value in numbers.items():
            values = getattr(self, name) if name in _LISTS else self.metrics.setdefault(name, [])
            values.append(value)

    def first(self, epochs: int) -> History:
        """The history of the first ``epochs`` epochs here, as if training had ended there."""
        found = History(initial_epoch=self.initial_epoch, updates=self.updates)
        for number in range(min(epochs, len(self))):
            found.add({name: getattr(self, name)[number] for name in self.names})
        return found

    def figures(self) -> dict[str, float]:
        """The numbers of the epoch whose parameters the model has: the best one that was restored, or the last."""
        if not len(self):
            return {}
        place = -1 if self.best_epoch is None else self.best_epoch - self.initial_epoch
        return {name: getattr(self, name)[place] for name in self.names}

    # As a text -------------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"<neuromorph.History: {', '.join(self._said())}>"

    def _said(self) -> list[str]:
        """What a short text says."""
        shown = {name: value for name, value in self.figures().items() if name not in _NOT_SHOWN}
        parts = [f"{len(self)} epoch{'s' * (len(self) != 1)}"]
        parts += [f"the best {self.best_epoch + 1}"] if self.best_epoch is not None else []
        parts += [f"{name.replace('_', ' ')} {value:.4g}" for name, value in shown.items()]
        return [*parts, *([self.ended] if self.ended else [])]

    def _repr_html_(self) -> str:
        """A table of the first and last epochs for a notebook."""
        from html import escape

        names, numbers = self.names, list(range(len(self)))
        if len(numbers) > 2 * _ROWS:
            numbers = [*numbers[:_ROWS], -1, *numbers[-_ROWS:]]
        head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in ("epoch", *names))
        rows = "".join(f"<tr>{self._row(number, names)}</tr>" for number in numbers)
        caption = escape(", ".join(self._said()))
        return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def _row(self, number: int, names: tuple[str, ...]) -> str:
        """The cells of an epoch; dots for -1."""
        if number < 0:
            return "<td>…</td>" * (1 + len(names))
        epoch = self.initial_epoch + number
        shown = f"<b>{epoch + 1}</b>" if epoch == self.best_epoch else f"{epoch + 1}"
        return f"<td>{shown}</td>" + "".join(f"<td>{getattr(self, name)[number]:.4g}</td>" for name in names)

    # As a picture ----------------------------------------------------------------------------------------------------

    def plot(self, axes: Any = None) -> Any:
        """Draw the losses by epoch with matplotlib, into ``axes`` or a new figure of pyplot; returns the axes.

        Recorded accuracies are dashed, with a scale of their own on the right. Notebooks show a new figure by
        themselves; elsewhere ``matplotlib.pyplot.show()`` shows it, or
        ``history.plot().figure.savefig("curves.png")`` makes a file.

        Raises ValueError if no epoch was completed, ImportError if matplotlib is missing.
        """
        if not len(self):
            raise ValueError("the history is empty: no epoch was completed, so there is nothing to draw")
        axes = new_axes("History.plot") if axes is None else axes
        colours = self._draw(axes, "loss", "-", (None, None))
        axes.set(xlabel="epoch", ylabel="loss")
        handles = axes.get_legend_handles_labels()[0]
        if self.accuracy or self.validation_accuracy:
            right = axes.twinx()
            self._draw(right, "accuracy", "--", colours)
            right.set(ylabel="accuracy", ylim=(0.0, 1.0))
            handles += right.get_legend_handles_labels()[0]
        # Above the lines: those of the right axes would be drawn over a legend of the left ones.
        axes.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
        return axes

    def _draw(self, axes: Any, kind: str, style: str, colours: Iterable[Any]) -> list[Any]:
        """Draw a line for training and one for validation; returns their colours. colours: of the lines; None means the
        next colours of the axes."""
        drawn: list[Any] = []
        for name, colour in zip((kind, f"validation_{kind}"), colours, strict=False):
            values = getattr(self, name)
            label, epochs = name.replace("_", " "), range(self.initial_epoch + 1, self.initial_epoch + len(values) + 1)
            drawn += axes.plot(epochs, values, style, color=colour, label=label) if values else []
        return [line.get_color() for line in drawn]

    # In a file -------------------------------------------------------------------------------------------------------

    def record(self) -> dict[str, Any]:
        """The history for JSON."""
        lists = {name: _written(getattr(self, name)) for name in _LISTS if getattr(self, name)}
        metrics = {name: _written(values) for name, values in self.metrics.items()}
        whole = {"ended": self.ended, "initial_epoch": self.initial_epoch, "best_epoch": self.best_epoch}
        return {**lists, "metrics": metrics, **whole, "updates": self.updates}

    @classmethod
    def from_record(cls, given: Any) -> History:
        """The history that ``record`` wrote. Raises StorageError for anything else."""
        wanted = {"metrics", "ended", "initial_epoch", "best_epoch", "updates"}
        if not isinstance(given, dict) or not wanted <= given.keys() <= wanted | set(_LISTS):
            raise StorageError(f"corrupt: its history is {brief(given)}")
        lists, metrics = {name: given[name] for name in _LISTS if name in given}, given["metrics"]
        best, ended = given["best_epoch"], given["ended"]
        first, updates = given["initial_epoch"], given["updates"]
        whole = all(type(number) is int and 0 <= number < 1 << 62 for number in (first, updates, best or 0))
        if not (whole and isinstance(ended, str) and isinstance(metrics, dict)):
            raise StorageError(f"corrupt: its history is {brief(given)}")
        found = cls()
        for name, values in lists.items():
            setattr(found, name, _read(values))
        found.metrics = {name: _read(values) for name, values in metrics.items()}
        found.ended, found.initial_epoch, found.best_epoch, found.updates = ended, first, best, updates
        found._check()
        return found

    def _check(self) -> None:
        """Raise StorageError if the lists have different lengths, or the best epoch is not one of these."""
        epochs = len(self)
        if any(len(getattr(self, name)) != epochs for name in self.names):
            raise StorageError("corrupt: the lists of its history have different lengths")
        if self.best_epoch is not None and not self.initial_epoch <= self.best_epoch < self.next_epoch:
            raise StorageError(f"corrupt: the best epoch of its history is {self.best_epoch}")


def _written(values: list[float]) -> list[float | str]:
    """Numbers for JSON."""
    return [float(value) if math.isfinite(value) else str(float(value)) for value in values]


def _read(values: Any) -> list[float]:
    """The numbers that ``_written`` wrote. Raises StorageError for anything else."""
    if not isinstance(values, list) or not all(map(_is_number, values)):
        raise StorageError(f"corrupt: a list of its history is {brief(values)}")
    return [_ODD[value] if isinstance(value, str) else float(value) for value in values]


def _is_number(value: Any) -> bool:
    """Whether a value of JSON is a number that ``_written`` writes."""
    if isinstance(value, str):
        return value in _ODD
    return type(value) is float or (type(value) is int and abs(value) < 1 << 53)


def new_axes(what: str) -> Any:
    """The axes of a new figure, which pyplot shows. what: the function that needs them."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError(f"{what} needs matplotlib: pip install matplotlib") from None
    return pyplot.subplots(layout="constrained")[1]
