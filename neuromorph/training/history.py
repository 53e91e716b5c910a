"""``History``: the record of each epoch of ``fit``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class History:
    """The record of ``fit``: lists with one number an epoch; those that are not recorded are empty.

    loss: the mean over the epoch, while parameters changed. validation_loss, and with ``metrics="accuracy"`` accuracy
    and validation_accuracy: measured with the parameters at the end of the epoch. learning_rate: of the epoch. seconds:
    the time of the epoch with validation. ended: "all epochs", "early stopping", "interrupted", "diverged", "error", or
    a callback's reason; "" during training.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    ended: str = ""

    def __len__(self) -> int:
        """The number of completed epochs."""
        return len(self.loss)

    def plot(self, axes: Any = None) -> Any:
        """Draw the losses by epoch with matplotlib, into ``axes`` or a new figure of pyplot; returns the axes.

        Recorded accuracies are dashed, with a scale of their own on the right. Notebooks show a new figure by
        themselves; elsewhere ``matplotlib.pyplot.show()`` shows it, or
        ``history.plot().figure.savefig("curves.png")`` makes a file.

        Raises ValueError if no epoch was completed, ImportError if matplotlib is missing.
        """
        if not len(self):
            raise ValueError("the history is empty: no epoch was completed, so there is nothing to draw")
        axes = _new_axes() if axes is None else axes
        colours = self._draw(axes, "loss", "-", (None, None))
        axes.set(xlabel="epoch", ylabel="loss")
        handles = axes.get_legend_handles_labels()[0]
        if self.accuracy or self.validation_accuracy:
            right = axes.twinx()
            self._draw(right, "accuracy", "--", colours)
            right.set(ylabel="accuracy", ylim=(0.0, 1.0))
            handles += right.get_legend_handles_labels()[0]
        axes.legend(handles=handles)
        return axes

    def _draw(self, axes: Any, kind: str, style: str, colours: Iterable[Any]) -> list[Any]:
        """Draw a line for training and one for validation; returns their colours. colours: of the lines; None means the
        next colours of the axes."""
        drawn: list[Any] = []
        for name, colour in zip((kind, f"validation_{kind}"), colours, strict=False):
            values = getattr(self, name)
            label, epochs = name.replace("_", " "), range(1, len(values) + 1)
            drawn += axes.plot(epochs, values, style, color=colour, label=label) if values else []
        return [line.get_color() for line in drawn]


def _new_axes() -> Any:
    """The axes of a new figure, which pyplot shows."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError("History.plot needs matplotlib: pip install matplotlib") from None
    return pyplot.subplots(layout="constrained")[1]
