"""Carbon dioxide over Mauna Loa: the next 52 weeks, from the 104 before.

    python examples/benchmarks/carbon_dioxide.py            five seeds, all networks, a table and a picture
    python examples/benchmarks/carbon_dioxide.py --quick    a tiny setting, to see that everything runs

Weekly means from 1958 to 2001 from the package statsmodels (Keeling and Whorf, Scripps Institution of Oceanography),
some unknown. The windows are those of examples/real/co2.py: before 1988 to learn from, 1988 to 1992 to choose by, from
1993 on to test.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bench.running import benchmark, needs, options
from bench.task import Part, Task, last


def task() -> Task:
    needs("statsmodels")
    import co2  # of examples/real

    windows = co2.parts(*co2.weekly(), 1)
    inputs, wanted, _ = windows["train"]
    mean, deviation = inputs.mean(), inputs.std()
    shift, scale = np.nanmean(wanted, axis=0), np.nanstd(wanted, axis=0)
    parts = {
        name: Part(((seen - mean) / deviation).astype(np.float32), ((ahead - shift) / scale).astype(np.float32))
        for name, (seen, ahead, _) in windows.items()
    }

    def error(part: Part, answers: Any) -> float:
        return co2.error(last(answers) * scale, part.expected * scale)

    seen, ahead, _ = windows["test"]
    again = co2.error(seen[:, -co2.AHEAD :, 0] - seen[:, -co2.AHEAD - 1], ahead)
    return Task(
        name="carbon_dioxide",
        title="Carbon dioxide, the next 52 weeks",
        source="weekly means from the package statsmodels, 1958 to 1987 to learn from, 1993 to 2001 to test",
        **parts,
        loss="mse",
        outputs=co2.AHEAD,
        score=error,
        measure="error, parts per million",
        parameters=6000,
        texts=("lstm", "gru", "uniform_lstm", "uniform_gru", "conv_gru", "lem"),
        epochs=40,
        batch=32,
        rates=(0.003, 0.01, 0.03),
        patience=10,
        published=(f"the year before once more, in this run: {again:.3f}",),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    benchmark("carbon_dioxide", [task], options(__doc__, arguments))


if __name__ == "__main__":
    main()
