"""What a task is: its data in three parts, its score, the texts of ours, and the budget that every network gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from string import Template
from typing import Any

import numpy as np

from bench.texts import TEXTS

NO_ANSWER = -100  # the label of a step that needs no answer; numbers that are unknown are NaN
OUTPUTS = {
    "cross_entropy": "(output, $outputs, <softmax>, <cross_entropy>)",
    "binary_cross_entropy": "(output, $outputs, <sigmoid>, <binary_cross_entropy>)",
    "mse": "(output, $outputs, <linear>, <mse>)",
}


@dataclass(frozen=True)
class Part:
    """Sequences and what is expected of them.

    inputs: (N, S, W), or a list of (S_n, W). expected: labels (N,) or numbers (N, W_out) for one answer at the end of
    each sequence; labels (N, S) or numbers (N, S, W_out) for one at every step, NO_ANSWER or NaN where none counts.
    """

    inputs: Any
    expected: Any

    @property
    def every_step(self) -> bool:
        """Whether an answer is expected at every step, and not only at the end."""
        return bool(self.expected.ndim == (2 if self.expected.dtype.kind in "iu" else 3))

    def head(self, count: int) -> Part:
        """The first sequences."""
        return Part(self.inputs[:count], self.expected[:count])


@dataclass(frozen=True)
class Task:
    """One task. All networks get the same data, batches, epochs, optimizer (Adam) and rates to choose from.

    source: of the data, in words. score(part, answers): of the answers (N, S, W_out), or of a list of (S_n, W_out).
    measure: its name and unit. parameters: how many a network should have. texts: names of the texts of ours that are
    tried. rates: learning rates; the best one on the data to choose by is taken, for every network. patience: epochs
    without a lower loss of those data, after which training stops. series: what echo state networks learn from in place
    of windows, one long sequence. peers: more networks of PyTorch, by name. published: results of others, or of a
    simple rule, in words.
    """

    name: str
    title: str
    source: str
    train: Part
    choose: Part
    test: Part
    loss: str
    outputs: int
    score: Callable[[Part, Any], float]
    measure: str
    parameters: int
    texts: tuple[str, ...]
    more_is_better: bool = False
    epochs: int = 100
    batch: int = 16
    rates: tuple[float, ...] = (0.003, 0.01, 0.03)
    patience: int = 20
    series: Part | None = None
    peers: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    published: tuple[str, ...] = ()

    @property
    def inputs(self) -> int:
        """The width of the input."""
        return int(np.shape(self.train.inputs[0])[-1])

    @property
    def steps(self) -> int:
        """The most steps of a sequence to train on."""
        return max(len(sequence) for sequence in self.train.inputs)

    def text(self, name: str, width: int) -> str:
        """A text of ours with a width; of the name "output", the output layer alone."""
        output = Template(OUTPUTS[self.loss]).substitute(outputs=self.outputs)
        if name == "output":
            return output
        names = {"inputs": self.inputs, "outputs": self.outputs, "steps": self.steps, "width": width, "output": output,
                 "bound": f"{width**-0.5:.6f}"}  # fmt: skip
        return Template(TEXTS[name]).substitute(names)

    def better(self, one: float, other: float) -> bool:
        """Whether a score is at least as good as another."""
        return one >= other if self.more_is_better else one <= other

    def quick(self) -> Task:
        """A tiny setting, to see that everything runs."""
        parts = {name: getattr(self, name).head(2 * min(self.batch, 4)) for name in ("train", "choose", "test")}
        smaller = {"epochs": 2, "rates": self.rates[:1], "batch": min(self.batch, 4)}
        return replace(self, **parts, **smaller, parameters=min(self.parameters, 300), texts=self.texts[:1],
                       series=None)  # fmt: skip


# Scores ---------------------------------------------------------------------------------------------------------------


def last(answers: Any) -> Any:
    """The answers at the end of the sequences, (N, W_out)."""
    return np.stack([answer[-1] for answer in answers])


def accuracy(part: Part, answers: Any) -> float:
    """The share of right answers at the end of the sequences."""
    return float((last(answers).argmax(axis=1) == part.expected).mean())


def normalised_error(part: Part, answers: Any) -> float:
    """The root of the mean squared error of all known numbers, over their standard deviation."""
    known = ~np.isnan(part.expected)
    wanted = part.expected[known]
    return float(np.sqrt(np.mean((np.asarray(answers)[known] - wanted) ** 2)) / wanted.std())


# Data -----------------------------------------------------------------------------------------------------------------


def held_out(labels: Any, share: int) -> Any:
    """Every share-th sequence of each class, as a mask: those by which epochs, rates and texts are chosen."""
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        mask[np.flatnonzero(labels == label)[share - 1 :: share]] = True
    return mask


def classes(train: tuple[Any, Any], test: tuple[Any, Any], share: int) -> dict[str, Part]:
    """The parts of a task with one label a sequence, scaled to mean 0 and deviation 1 of the sequences to train on."""
    sequences, labels = train
    out = held_out(labels, share)
    every = np.concatenate([sequence for sequence, held in zip(sequences, out, strict=True) if not held])
    mean, deviation = every.mean(axis=0), every.std(axis=0)

    def scaled(chosen: Any) -> Any:
        return [((sequence - mean) / deviation).astype(np.float32) for sequence in chosen]

    first = [sequence for sequence, held in zip(sequences, out, strict=True) if not held]
    kept = [sequence for sequence, held in zip(sequences, out, strict=True) if held]
    return {
        "train": Part(scaled(first), labels[~out].astype(np.int64)),
        "choose": Part(scaled(kept), labels[out].astype(np.int64)),
        "test": Part(scaled(test[0]), test[1].astype(np.int64)),
    }


def forecasts(series: Any, ends: tuple[int, int, int], *, ahead: int, window: int, step: int) -> dict[str, Part]:
    """The parts of a task that says the value ``ahead`` steps later, at every step of a series (T,).

    ends: where the parts to train, to choose and to test end. The first is cut into windows; before each of the other
    two a network reads as many steps as a window has, which don't count. All is scaled by the first part.
    """
    train_end, choose_end, test_end = ends
    scaled = ((series - series[:train_end].mean()) / series[:train_end].std()).astype(np.float32)
    starts = range(0, train_end - window - ahead + 1, step)
    inputs = np.stack([scaled[start : start + window, None] for start in starts])
    wanted = np.stack([scaled[start + ahead : start + ahead + window, None] for start in starts])

    def whole(begin: int, end: int) -> Part:
        first = max(0, begin - ahead - window)
        seen, expected = scaled[None, first : end - ahead, None], scaled[None, first + ahead : end, None].copy()
        expected[:, : begin - ahead - first] = np.nan
        return Part(seen, expected)

    return {
        "train": Part(inputs, wanted),
        "series": whole(window + ahead, train_end),
        "choose": whole(train_end, choose_end),
        "test": whole(choose_end, test_end),
    }
