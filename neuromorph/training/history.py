"""``History``: the record of each epoch of ``fit``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class History:
    """What ``fit`` recorded: one number an epoch in every list that was asked for, nothing in the others.

    loss: the mean over the epoch, while parameters moved. validation_loss, and accuracy and validation_accuracy (with
    ``metrics="accuracy"``): with the parameters at the end of the epoch. learning_rate: the epoch's. seconds: what the
    epoch took, validation included. ended: "all epochs", "early stopping", "interrupted", "diverged", "error", or what
    a callback said; "" while training goes on.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    ended: str = ""

    def __len__(self) -> int:
        """Epochs."""
        return len(self.loss)

    def plot(self, axes: Any = None) -> Any:
        """Losses by epoch, drawn with matplotlib, into ``axes`` or a new figure of pyplot; the axes.

        Accuracies, where recorded, are dashed, with a scale of their own on the right. Notebooks show a new figure, as
        ``matplotlib.pyplot.show()`` does; ``history.plot().figure.savefig("curves.png")`` makes a file.

        Raises ValueError where no epoch was completed, ImportError where matplotlib is missing.
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
        """Draw a line for training and one for validation. colours: those of the lines, None for the next colours of
        the axes. Returns the colours used."""
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
