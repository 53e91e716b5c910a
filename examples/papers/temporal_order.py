"""Temporal order: after 100 to 110 symbols, the network must say which two of X and Y came, and in which order.

    python examples/papers/temporal_order.py             seeds 0 to 4
    python examples/papers/temporal_order.py --choose    how the setting below was chosen, with seeds 10 to 19

Hochreiter & Schmidhuber 1997, "Long short-term memory", Neural Computation 9(8), experiment 6a. A sequence starts with
E and ends with B; between them are random symbols of a, b, c, d, except symbol t1 (from 10 to 20) and symbol t2 (from
50 to 60), which are X or Y. There are four classes: XX, XY, YX, YY. The answer is given at the end only, and is right
if the error of each output is below 0.3. The task is learnt when the 2,000 most recent training sequences were all
right, with a mean error below 0.1. The error of a sequence is here the largest error of its outputs, which is at least
as large as a mean over the outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np
from common import CHOOSING_SEEDS, PaperFigure, run
from online import Criterion, Errors, Floats, Recipe, Sequences, Task, chosen, learn, options, prepare

SYMBOLS = "EBabcdXY"
START, END, X = SYMBOLS.index("E"), SYMBOLS.index("B"), SYMBOLS.index("X")
DISTRACTORS = SYMBOLS.index("a"), SYMBOLS.index("d")

PAPER = PaperFigure(31_390, "gradient descent, rate 0.5", "Hochreiter & Schmidhuber 1997, experiment 6a")
CRITERION = Criterion(mean=0.1, each=0.3)
# Chosen by --choose from GRID: the setting whose worst of ten seeds was the best.
RECIPE = Recipe("temporal_order.mdl", 0.05, 500, 1.0, start={"in_gate.bias": [-2, -2, -4, -4]})
GRID = tuple(product((0.03, 0.05, 0.1), (500, 1_000, 4_000), (0.1, 1.0)))  # rates, decay steps, clip norms


@dataclass(frozen=True)
class TemporalOrder:
    """The task with a length, t1 and t2 drawn from these ranges, which include both ends; symbols count from 1."""

    lengths: tuple[int, int] = (100, 110)
    first: tuple[int, int] = (10, 20)
    second: tuple[int, int] = (50, 60)

    def draw(self, rng: np.random.Generator, number: int) -> Sequences:
        """``number`` new sequences, with symbols as one-hot vectors."""
        longest, rows = self.lengths[1], np.arange(number)
        lengths, first, second = (
            rng.integers(*bounds, number, endpoint=True) for bounds in (self.lengths, self.first, self.second)
        )
        classes = rng.integers(0, 4, number)
        symbols = rng.integers(*DISTRACTORS, (number, longest), endpoint=True)
        symbols[:, 0], symbols[rows, lengths - 1] = START, END
        symbols[rows, first - 1], symbols[rows, second - 1] = X + classes // 2, X + classes % 2
        inputs = np.eye(len(SYMBOLS), dtype=np.float32)[symbols]
        inputs[np.arange(longest) >= lengths[:, np.newaxis]] = 0
        return Sequences(inputs, lengths, np.eye(4, dtype=np.float32)[classes])


def task(order: TemporalOrder) -> Task:
    """The task for ``learn``: its sequences, errors and criterion."""
    return Task(order.lengths[1], order.draw, error_of_loss, largest_error, CRITERION)


def error_of_loss(loss: Errors) -> Errors:
    """The largest error of a softmax's outputs, computed from the cross-entropy -log p: it is 1 - p.

    No error is larger than that of the right class, since the outputs of the other classes add up to 1 - p.
    """
    return -np.expm1(-loss)


def largest_error(answers: Floats, targets: Floats) -> Errors:
    """The largest error of the outputs of each answer."""
    off: Errors = np.abs(answers - targets).max(axis=1).astype(np.float64)
    return off


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    chose = options("Temporal order of two symbols.", arguments, most=31_390)
    order = TemporalOrder((20, 22), (2, 4), (10, 12)) if chose.quick else TemporalOrder()
    learnt, most = task(order), chose.most
    if chose.choose:
        recipes = [replace(RECIPE, rate=rate, decay_steps=steps, clip_norm=clip) for rate, steps, clip in GRID]
        chosen(learnt, recipes, CHOOSING_SEEDS, most)
        return
    print(f"Sequences of {order.lengths[0]} to {order.lengths[1]} symbols, given up after {most:,}")
    run(
        "Temporal order", PAPER, str(RECIPE), partial(learn, learnt, RECIPE, most=most), chose.seeds,
        prepare=lambda: prepare(learnt, RECIPE),
        quick=chose.quick,
    )  # fmt: skip


if __name__ == "__main__":
    main()
