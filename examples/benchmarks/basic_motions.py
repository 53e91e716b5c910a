"""Which motion? A watch measures acceleration and rotation: standing, walking, running, badminton.

    python examples/benchmarks/basic_motions.py            five seeds, all networks, a table and a picture
    python examples/benchmarks/basic_motions.py --quick    a tiny setting, to see that everything runs

Sequences of 100 steps with 6 numbers each, of the UEA archive (Bagnall et al. 2018, arXiv 1811.00075); from the package
aeon. 40 to learn from, of which every fifth of a class is held out, and 40 to test.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bench.running import benchmark, needs, options
from bench.task import Task, accuracy, classes


def data(split: str) -> tuple[Any, Any]:
    """Sequences (N, 100, 6) and the numbers of their classes."""
    from aeon.datasets import load_basic_motions

    sequences, names = load_basic_motions(split=split)
    return np.swapaxes(sequences, 1, 2), np.unique(names, return_inverse=True)[1]


def task() -> Task:
    needs("aeon")
    return Task(
        name="basic_motions",
        title="BasicMotions",
        source="readings of a watch from the package aeon, 40 sequences of 100 steps to learn from, 40 to test",
        **classes(data("train"), data("test"), share=5),
        loss="cross_entropy",
        outputs=4,
        score=accuracy,
        measure="accuracy",
        more_is_better=True,
        parameters=5000,
        texts=("gru", "lstm", "uniform_gru", "min_gru", "conv_gru", "pooled"),
        epochs=100,
        batch=8,
        rates=(0.003, 0.01, 0.03),
        patience=30,
        published=(
            "nearest neighbour with dynamic time warping 97.5 %, or 100 % if it warps each series alone "
            "(arXiv 1811.00075)",
        ),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    benchmark("basic_motions", [task], options(__doc__, arguments))


if __name__ == "__main__":
    main()
