"""Trains on one long sequence after the other, with an answer at the end of each, until a paper's criterion is met.

The error of a sequence is measured before the network learns from it: ``train`` records the loss before the update. So
no sequence is seen twice.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from common import NEVER, Result, count, median_amount, parser
from numpy.typing import NDArray

import neuromorph as nm

Floats = NDArray[np.float32]
Errors = NDArray[np.float64]
FOLDER = Path(__file__).resolve().parent
CHUNK = 500  # sequences of a call of ``train``; between calls the rate changes and the criterion is checked
QUICK_MOST = 2500  # sequences of a run with --quick
TEST_SEQUENCES = 2560  # as in the paper


@dataclass(frozen=True)
class Sequences:
    """N sequences of at most S steps: inputs (N, S, W_in), zero after a sequence's end; lengths (N,); the right answers
    at their last steps, (N, W_out)."""

    inputs: Floats
    lengths: NDArray[np.int64]
    targets: Floats


@dataclass(frozen=True)
class Criterion:
    """The criterion of a learnt task: the mean error of the ``last`` most recent sequences is below ``mean``, and the
    error of each of them is below ``each``."""

    mean: float
    each: float
    last: int = 2000

    def met_after(self, errors: Errors) -> float:
        """The number of sequences of a series (N,) after which the criterion was first met; NEVER if it was not."""
        if len(errors) < self.last:
            return NEVER
        right = errors < self.each  # nan is not
        wrong = sliding_sums(~right, self.last)
        # A wrong answer fails the criterion whatever its error is, and a huge error would make later sums inexact.
        sums = sliding_sums(np.where(right, errors, self.each), self.last)
        met = (wrong == 0) & (sums < self.mean * self.last)
        return float(met.argmax() + self.last) if met.any() else NEVER


def sliding_sums(values: NDArray[Any], width: int) -> Errors:
    """The sums of each ``width`` successive values."""
    sums: Errors = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return sums[width:] - sums[:-width]


@dataclass(frozen=True)
class Task:
    """A task.

    longest: the steps of the longest sequence. draw: makes new sequences, from a generator and their number. error_of:
    the errors of answers, (N,), from their losses, (N,). answer_error: the same from answers and targets, (N, W_out).
    """

    longest: int
    draw: Callable[[np.random.Generator, int], Sequences]
    error_of: Callable[[Errors], Errors]
    answer_error: Callable[[Floats, Floats], Errors]
    criterion: Criterion


@dataclass(frozen=True)
class Recipe:
    """A network and its training: an update by Adam (Kingma & Ba 2015) after every sequence.

    mdl: a file of this folder. The learning rate after n sequences is ``rate / (1 + n / decay_steps)``. clip_norm: as
    in ``nm.compile``. start: initial values of parameters that the text does not set.
    """

    mdl: str
    rate: float
    decay_steps: float
    clip_norm: float
    start: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"Adam, rate {self.rate:g} / (1 + n / {self.decay_steps:,g}), gradient clipped at {self.clip_norm:g}"


def built(task: Task, recipe: Recipe, seed: int) -> nm.Model:
    """A new network, ready to learn from one sequence at a time, each a single window."""
    nm.seed(seed)
    model = nm.compile(
        FOLDER / recipe.mdl, 1, recipe.rate, optimizer=nm.Adam(), bptt_steps=task.longest, clip_norm=recipe.clip_norm
    )
    nm.build(model)
    nm.set_parameters(model, dict(recipe.start))
    return model


def prepare(task: Task, *recipes: Recipe) -> None:
    """Compile the kernels of the networks, or load them from disk."""
    for recipe in {recipe.mdl: recipe for recipe in recipes}.values():
        with built(task, recipe, 0) as model:
            wrong_answers(task, model, task.draw(np.random.default_rng(0), 1))


def learn(task: Task, recipe: Recipe, seed: int, most: int) -> Result:
    """Train a new network; the number of sequences until the criterion was met, NEVER after ``most`` or if it diverged.

    The test is at the end of the chunk in which the criterion was met.
    """
    rng = np.random.default_rng((seed, 1))  # independent of the generator for the weights
    with built(task, recipe, seed) as model:
        try:
            errors = training_errors(task, recipe, model, rng, most)
        except nm.TrainingDivergedError:
            return Result(NEVER, "diverged")
        amount = task.criterion.met_after(errors)
        if math.isfinite(amount):
            wrong = wrong_answers(task, model, task.draw(rng, TEST_SEQUENCES))
            return Result(amount, f"{wrong} of {TEST_SEQUENCES:,} test sequences wrong")
        recent = errors[-task.criterion.last :]
        return Result(
            NEVER, f"given up after {len(errors):,}; the last {len(recent):,} had a mean error of {recent.mean():.3f}"
        )


def training_errors(task: Task, recipe: Recipe, model: nm.Model, rng: np.random.Generator, most: int) -> Errors:
    """Train; the errors of the training sequences in order, until the criterion is met or ``most`` were used."""
    errors = np.zeros(0)
    while len(errors) < most and not math.isfinite(task.criterion.met_after(errors)):
        model.learning_rate = recipe.rate / (1 + len(errors) / recipe.decay_steps)
        fresh = task.draw(rng, min(CHUNK, most - len(errors)))
        errors = np.append(errors, learn_from(task, model, fresh))
    return errors


def learn_from(task: Task, model: nm.Model, sequences: Sequences) -> Errors:
    """Make one update after each sequence; the error of each sequence before its own update."""
    number, steps, _ = sequences.inputs.shape
    ends = np.arange(number), sequences.lengths - 1
    expected = np.zeros((number, steps, sequences.targets.shape[1]), np.float32)
    weight = np.zeros((number, steps), np.float32)
    expected[ends], weight[ends] = sequences.targets, 1
    nm.train(
        model, sequences.inputs[:, :, np.newaxis], expected[:, :, np.newaxis], 0, sample_weight=weight[..., np.newaxis]
    )
    return task.error_of(model.losses[ends])


def answers(model: nm.Model, sequences: Sequences) -> Floats:
    """The network's answers at the end of each sequence, (N, W_out). All sequences are lanes of one prediction."""
    said: Floats = nm.predict(model, sequences.inputs.swapaxes(0, 1))
    return said[sequences.lengths - 1, np.arange(len(sequences.lengths))]


def wrong_answers(task: Task, model: nm.Model, sequences: Sequences) -> int:
    """The number of sequences whose error is not below the criterion's bound for each."""
    errors = task.answer_error(answers(model, sequences), sequences.targets)
    return int((~(errors < task.criterion.each)).sum())


def chosen(task: Task, recipes: Sequence[Recipe], seeds: Sequence[int], most: int) -> Recipe:
    """The recipe whose worst seed learns after the fewest sequences; prints the result of each.

    seeds: those that the report does not use.
    """
    prepare(task, *recipes)
    worst = []
    for recipe in recipes:
        amounts = [learn(task, recipe, seed, most).amount for seed in seeds]
        worst.append(max(amounts))
        print(f"  {recipe}: median {in_words(median_amount(amounts))}, worst {in_words(worst[-1])}", flush=True)
    best = recipes[worst.index(min(worst))]
    print(f"  chosen: {best}" if math.isfinite(min(worst)) else "  none of them met the criterion with every seed")
    return best


def in_words(amount: float) -> str:
    """A number of sequences as text."""
    return f"{amount:,.0f}" if math.isfinite(amount) else "never"


def options(description: str, arguments: Sequence[str] | None, most: int) -> argparse.Namespace:
    """The arguments of a script's command line. most: the default of ``--most`` without ``--quick``."""
    made = parser(description)
    made.add_argument("--most", type=count, help=f"sequences after which a run is given up (default {most:,})")
    made.add_argument("--choose", action="store_true", help="repeat the search for the setting, and stop")
    chose = made.parse_args(arguments)
    chose.most = chose.most or (QUICK_MOST if chose.quick else most)
    return chose
