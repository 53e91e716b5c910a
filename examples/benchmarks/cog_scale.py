"""CogScale: fourteen small tasks of memory, patterns and reasoning, in two sizes, for two numbers of parameters.

    python examples/benchmarks/cog_scale.py                          all 56, five seeds; this takes some hours
    python examples/benchmarks/cog_scale.py --difficulty small       a part of them
    python examples/benchmarks/cog_scale.py --tasks simple_copy adding_problem --parameters 1000
    python examples/benchmarks/cog_scale.py --keep                   go on where a run was stopped
    python examples/benchmarks/cog_scale.py --quick                  a tiny setting, to see that everything runs

Bendi-Ouis, de Coudenhove & Hinaut 2026, CogScale: scalable benchmark for sequence processing, arXiv 2605.19758. The
package cogscale makes the data (its seed 0), of the sizes that it names, and its score is ours: the share of wrong
answers, or the mean squared error.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from bench.running import benchmark, needs, options
from bench.task import NO_ANSWER, Part, Task

DIFFICULTIES, PARAMETERS = ("small", "medium"), (1000, 10_000)
NAMES = (
    "sinus_forecasting", "chaotic_forecasting", "discrete_postcasting", "continuous_postcasting",
    "discrete_pattern_completion", "continuous_pattern_completion", "bracket_matching", "simple_copy",
    "selective_copy", "adding_problem", "sorting_problem", "cross_situation", "associative_recall", "induction_heads",
)  # fmt: skip
LOSSES = {"classification": "cross_entropy", "multi_classification": "binary_cross_entropy", "regression": "mse"}
BUDGETS = {  # epochs, batch, epochs without a lower loss; one long sequence makes one update an epoch
    "small": {"epochs": 150, "batch": 10, "patience": 40},
    "medium": {"epochs": 30, "batch": 32, "patience": 10},
    "one sequence": {"epochs": 300, "batch": 1, "patience": 60},
}


def part_of(data: Any, which: str, category: str) -> Part:
    """A part of the package's data: labels for classes, NaN or NO_ANSWER where the package has -100."""
    inputs, targets = data[f"X_{which}"].astype(np.float32), data[f"Y_{which}"]
    counts = (targets != NO_ANSWER).any(axis=2)
    if category == "classification":
        return Part(inputs, np.where(counts, targets.argmax(axis=2), NO_ANSWER))
    return Part(inputs, np.where(counts[:, :, None], targets, np.nan).astype(np.float32))


def score(category: str, part: Part, answers: Any) -> float:
    """What cogscale.compute_score gives: the share of wrong answers, or the mean squared error; less is better."""
    answers = np.asarray(answers)
    if category == "classification":
        counts = part.expected != NO_ANSWER
        return float((answers.argmax(axis=2) != part.expected)[counts].mean())
    counts = ~np.isnan(part.expected).any(axis=2)
    if category == "multi_classification":
        return float(((answers >= 0.5) != part.expected)[counts].mean())
    return float(((answers - part.expected)[counts] ** 2).mean())


def task(name: str, difficulty: str, parameters: int) -> Task:
    needs("cogscale")
    import cogscale

    data = cogscale.build_task(name, difficulty=difficulty, seed=0)
    category = data["category"]
    parts = {ours: part_of(data, theirs, category) for ours, theirs in
             (("train", "train"), ("choose", "valid"), ("test", "test"))}  # fmt: skip
    return Task(
        name=f"{name}, {difficulty}, {parameters}",
        title=f"{name.replace('_', ' ')}, {difficulty}",
        source="made by the package cogscale with its own sizes",
        **parts,
        loss=LOSSES[category],
        outputs=data["Y_train"].shape[2],
        score=partial(score, category),
        measure="share of wrong answers, or mean squared error",
        parameters=parameters,
        texts=("gru", "lstm", "uniform_gru", "uniform_gru_before", "janet", "far_gru", "dilated", "lem"),
        rates=(0.003, 0.01),
        **BUDGETS[difficulty if len(data["X_train"]) > 1 else "one sequence"],
    )


def main(arguments: Sequence[str] | None = None) -> None:
    def more(parser: Any) -> None:
        parser.add_argument("--tasks", nargs="+", choices=NAMES, default=NAMES, help="some of the tasks")
        parser.add_argument("--difficulty", nargs="+", choices=DIFFICULTIES, default=DIFFICULTIES, help="the sizes")
        parser.add_argument("--parameters", nargs="+", type=int, choices=PARAMETERS, default=PARAMETERS,
                            help="the numbers of parameters")  # fmt: skip

    chosen = options(__doc__, arguments, more)
    needs("cogscale")
    every = product(chosen.difficulty, chosen.parameters, chosen.tasks)
    if chosen.quick:
        every = [
            ("small", 1000, "simple_copy"),
            ("small", 1000, "cross_situation"),
            ("small", 1000, "sinus_forecasting"),
        ]
    benchmark("cog_scale", [partial(task, name, size, number) for size, number, name in every], chosen)


if __name__ == "__main__":
    main()
