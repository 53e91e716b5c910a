"""The Santa Fe laser: the next value of a chaotic intensity, from those before.

    python examples/benchmarks/laser.py            five seeds, all networks, a table and a picture
    python examples/benchmarks/laser.py --quick    a tiny setting, to see that everything runs

Data set A of the Santa Fe competition (Weigend & Gershenfeld 1994, Time series prediction), from the package
reservoirpy. Steps 0 to 2,999 to learn from, up to 3,499 to choose by, up to 6,499 to test.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.running import benchmark, needs, options
from bench.task import Task, forecasts, normalised_error


def task() -> Task:
    needs("reservoirpy")
    import chaos  # of examples/real

    return Task(
        name="laser",
        title="Santa Fe laser, one step ahead",
        source="measured intensity from the package reservoirpy, 3,000 steps to learn from, 3,000 to test",
        **forecasts(chaos.laser(6500)[:, 0], (3000, 3500, 6500), ahead=1, window=100, step=20),
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
    benchmark("laser", [task], options(__doc__, arguments))


if __name__ == "__main__":
    main()
