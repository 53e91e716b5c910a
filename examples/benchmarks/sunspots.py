"""Sunspots: the number of the next year, from those of the years before.

    python examples/benchmarks/sunspots.py            five seeds, all networks, a table and a picture
    python examples/benchmarks/sunspots.py --quick    a tiny setting, to see that everything runs

Yearly numbers from 1700, from the package statsmodels. The parts are those of Weigend, Huberman & Rumelhart 1990,
Predicting the future: a connectionist approach: 1700 to 1920 to learn from, 1921 to 1955 to choose by, 1956 to 1979 to
test. The score is theirs too: the mean squared error over the variance of all years from 1700 to 1979.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bench.running import benchmark, needs, options
from bench.task import Part, Task, forecasts

FIRST, TRAIN, CHOOSE, TEST = 1700, 1920, 1955, 1979  # the first year, and the last years of the parts


def task() -> Task:
    needs("statsmodels")
    import statsmodels.api

    years = statsmodels.api.datasets.sunspots.load_pandas().data["SUNACTIVITY"].to_numpy()
    ends = TRAIN - FIRST + 1, CHOOSE - FIRST + 1, TEST - FIRST + 1
    share = years[: ends[0]].var() / years[: ends[2]].var()  # the data are scaled by the part to train on

    def relative_variance(part: Part, answers: Any) -> float:
        return float(np.nanmean((np.asarray(answers) - part.expected) ** 2) * share)

    return Task(
        name="sunspots",
        title="Sunspots, the next year",
        source="yearly numbers from the package statsmodels, 1700 to 1920 to learn from, 1956 to 1979 to test",
        **forecasts(years, ends, ahead=1, window=44, step=2),
        loss="mse",
        outputs=1,
        score=relative_variance,
        measure="relative variance",
        parameters=500,
        texts=("gru", "lstm", "uniform_lstm", "uniform_gru", "min_gru", "lem"),
        epochs=100,
        batch=8,
        rates=(0.003, 0.01, 0.03),
        patience=30,
        published=("a perceptron 0.35", "a threshold autoregressive model 0.28 (Weigend, Huberman & Rumelhart 1990)"),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    benchmark("sunspots", [task], options(__doc__, arguments))


if __name__ == "__main__":
    main()
