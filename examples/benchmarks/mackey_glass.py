"""Mackey-Glass: the value of a chaotic series ten steps later.

    python examples/benchmarks/mackey_glass.py            five seeds, all networks, a table and a picture
    python examples/benchmarks/mackey_glass.py --quick    a tiny setting, to see that everything runs

The series of Mackey & Glass 1977 with a delay of 17, as the package reservoirpy solves it. Steps 0 to 1,999 to learn
from, up to 2,499 to choose by, up to 3,999 to test.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.running import benchmark, needs, options
from bench.task import Task, forecasts, normalised_error


def task() -> Task:
    needs("reservoirpy")
    from reservoirpy.datasets import mackey_glass

    series = mackey_glass(4500, tau=17, seed=0)[500:, 0]  # without the way to the attractor
    return Task(
        name="mackey_glass",
        title="Mackey-Glass, ten steps ahead",
        source="made by the package reservoirpy, 2,000 steps to learn from, 1,500 to test",
        **forecasts(series, (2000, 2500, 4000), ahead=10, window=100, step=10),
        loss="mse",
        outputs=1,
        score=normalised_error,
        measure="error over the deviation",
        parameters=5000,
        texts=("gru", "lstm", "uniform_gru", "uniform_gru_before", "conv_gru", "lem"),
        epochs=100,
        batch=16,
        rates=(0.003, 0.01, 0.03),
        patience=30,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    benchmark("mackey_glass", [task], options(__doc__, arguments))


if __name__ == "__main__":
    main()
