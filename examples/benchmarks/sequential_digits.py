"""Handwritten digits, one pixel a step: 64 steps with one number each, ten classes.

    python examples/benchmarks/sequential_digits.py            five seeds, all networks, a table and a picture
    python examples/benchmarks/sequential_digits.py --quick    a tiny setting, to see that everything runs

The images of 8 by 8 pixels of scikit-learn (Alpaydin & Kaynak 1998). The first half is to learn from, and every fifth
digit of a class is held out; the second half is to test.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.running import benchmark, needs, options
from bench.task import Task, accuracy, classes


def task() -> Task:
    needs("sklearn", "scikit-learn")
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    sequences, half = images[:, :, None] / 16, len(images) // 2
    return Task(
        name="sequential_digits",
        title="Sequential digits",
        source="images from scikit-learn, one pixel a step: 898 to learn from, 899 to test",
        **classes((sequences[:half], labels[:half]), (sequences[half:], labels[half:]), share=5),
        loss="cross_entropy",
        outputs=10,
        score=accuracy,
        measure="accuracy",
        more_is_better=True,
        parameters=10_000,
        texts=("gru", "lstm", "conv_gru", "grid_gru"),
        epochs=60,
        batch=32,
        rates=(0.003, 0.01, 0.03),
        patience=15,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    benchmark("sequential_digits", [task], options(__doc__, arguments))


if __name__ == "__main__":
    main()
