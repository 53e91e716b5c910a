"""The adding problem: after 100 to 110 pairs, the network must give the sum of the two marked values.

    python examples/papers/adding.py                 seeds 0 to 4, and variants of the cell that fail or succeed
    python examples/papers/adding.py --most 74000    give up only after as many sequences as the paper needed
    python examples/papers/adding.py --choose        how the setting below was chosen, with seeds 10 to 19

Hochreiter & Schmidhuber 1997, "Long short-term memory", Neural Computation 9(8), experiment 4. Each element of a
sequence is a pair of a value in [-1, 1] and a marker. One of the first ten pairs is marked by 1, then one of the first
T/2 - 1 others; the first and the last pair have -1, the rest 0. The right answer, at the end only, is
0.5 + (X1 + X2) / 4; an answer counts as right if its error is below 0.04. The task is learnt when the 2,000 most recent
training sequences were all right, with a mean error below 0.01.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np
from common import CHOOSING_SEEDS, PaperFigure, run, run_seeds
from online import Criterion, Errors, Floats, Recipe, Sequences, Task, chosen, learn, options, prepare

PAPER = PaperFigure(74_000, "gradient descent, rate 0.5", "Hochreiter & Schmidhuber 1997, experiment 4, T = 100")
CRITERION = Criterion(mean=0.01, each=0.04)
# Chosen by --choose from GRID: the setting whose worst of ten seeds was the best.
SHUT = [-3, -3, -6, -6]
RECIPE = Recipe("adding.mdl", 0.02, 1_000, 0.1, start={"in_gate.bias": SHUT})
GRID = tuple(product((0.01, 0.02, 0.04), (1_000, 2_000), (0.1, 1.0)))  # rates, decay steps, clip norms
FORGETTING = replace(RECIPE, mdl="adding_forget.mdl", start={"cells.in_gate.bias": SHUT})
OPEN = replace(FORGETTING, start={**FORGETTING.start, "cells.forget_gate.bias": 5.0})
# The same, except for the text and the initial values of biases.
VARIANTS = {
    "with input gates that start half open (bias 0)": replace(RECIPE, start={}),
    "with a forget gate that starts half open (bias 0)": FORGETTING,
    "with a forget gate that starts open (bias 5)": OPEN,
}


@dataclass(frozen=True)
class Adding:
    """The task with sequences of ``shortest`` pairs to a tenth more."""

    shortest: int

    @property
    def longest(self) -> int:
        """The number of pairs in the longest sequence."""
        return self.shortest + self.shortest // 10

    def draw(self, rng: np.random.Generator, number: int) -> Sequences:
        """``number`` new sequences. As in the paper, a mark on the first pair is not visible, since that pair's marker
        is -1, and counts as the value 0."""
        lengths = rng.integers(self.shortest, self.longest, number, endpoint=True)
        pairs = np.zeros((number, self.longest, 2), np.float32)
        pairs[..., 0] = rng.uniform(-1, 1, pairs.shape[:2])
        rows, marks = np.arange(number)[:, np.newaxis], self.marks(rng, number)
        marked = np.where(marks == 0, 0, pairs[rows, marks, 0])
        pairs[rows, marks, 1] = 1
        pairs[:, 0, 1] = pairs[np.arange(number), lengths - 1, 1] = -1
        pairs[np.arange(self.longest) >= lengths[:, np.newaxis]] = 0
        return Sequences(pairs, lengths, (0.5 + marked.sum(axis=1, keepdims=True) / 4).astype(np.float32))

    def marks(self, rng: np.random.Generator, number: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        """The indices of the marked pairs, (number, 2): one of the first ten, then one of the first T/2 - 1 others."""
        first = rng.integers(0, 10, number)
        second = rng.integers(0, self.shortest // 2 - 1, number)
        return np.stack([first, second + (second >= first)], axis=1)


def task(adding: Adding) -> Task:
    """The task for ``learn``: its sequences, errors and criterion."""
    return Task(adding.longest, adding.draw, np.sqrt, distance, CRITERION)


def distance(answers: Floats, targets: Floats) -> Errors:
    """The error of each answer: |answer - target|."""
    off: Errors = np.abs(answers - targets)[:, 0].astype(np.float64)
    return off


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    chose = options("The adding problem.", arguments, most=30_000)
    adding = Adding(20 if chose.quick else 100)
    learnt, most = task(adding), chose.most
    if chose.choose:
        recipes = [replace(RECIPE, rate=rate, decay_steps=steps, clip_norm=clip) for rate, steps, clip in GRID]
        chosen(learnt, recipes, CHOOSING_SEEDS, most)
        return
    print(f"Sequences of {adding.shortest} to {adding.longest} pairs, given up after {most:,}")
    run(
        "The adding problem, with the cell of that year", PAPER, str(RECIPE), partial(learn, learnt, RECIPE, most=most),
        chose.seeds, prepare=lambda: prepare(learnt, RECIPE, *VARIANTS.values()),
        quick=chose.quick,
    )  # fmt: skip
    for title, recipe in VARIANTS.items():
        print(f"The same, {title}")
        variant = run_seeds(PAPER, partial(learn, learnt, recipe, most=most), chose.seeds)
        print(f"  {variant.reached} reached it")


if __name__ == "__main__":
    main()
