"""Which kind of arrowhead? Its outline is a sequence of 251 steps with one number each.

    python examples/benchmarks/arrow_head.py            five seeds, all networks, a table and a picture
    python examples/benchmarks/arrow_head.py --quick    a tiny setting, to see that everything runs

Three kinds of projectile points, of the UCR archive (Dau et al. 2018, arXiv 1810.07758); from the package aeon. 36
outlines to learn from, of which every fourth of a kind is held out, and 175 to test.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bench.running import benchmark, needs, options
from bench.task import Task, accuracy, classes


def data(split: str) -> tuple[Any, Any]:
    """Sequences (N, 251, 1) and the numbers of their classes."""
    from aeon.datasets import load_arrow_head

    sequences, names = load_arrow_head(split=split)
    return np.swapaxes(sequences, 1, 2), np.unique(names, return_inverse=True)[1]


def task() -> Task:
    needs("aeon")
    return Task(
        name="arrow_head",
        title="ArrowHead",
        source="outlines from the package aeon, 36 sequences of 251 steps to learn from, 175 to test",
        **classes(data("train"), data("test"), share=4),
        loss="cross_entropy",
        outputs=3,
        score=accuracy,
        measure="accuracy",
        more_is_better=True,
        parameters=5000,
        texts=("gru", "lstm", "conv_gru", "far_gru", "dilated", "pooled_dilated"),
        epochs=150,
        batch=9,
        rates=(0.003, 0.01, 0.03),
        patience=40,
        published=("nearest neighbour 80.0 %, with dynamic time warping 70.3 % (arXiv 1810.07758)",),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    benchmark("arrow_head", [task], options(__doc__, arguments))


if __name__ == "__main__":
    main()
