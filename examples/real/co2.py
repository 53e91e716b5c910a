"""A forecast for a year: the carbon dioxide over Mauna Loa, week by week, with gaps.

    python examples/real/co2.py            three seeds, the median, and PyTorch beside it
    python examples/real/co2.py --quick    a tiny setting, to see that everything runs

The data set comes with the package statsmodels: weekly means from 1958 to 2001 in parts per million (Keeling and Whorf,
Scripps Institution of Oceanography), 59 of 2,284 weeks unknown. A model sees two years and says the 52 weeks after
them. It is trained on the weeks before 1988, its best epoch is chosen by those before 1993, and the rest is the test.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from comparing import Result, needs, options, picture, runs, table, timed

import neuromorph as nm

PAST, AHEAD, WIDTH, EPOCHS, BATCH, RATE, PATIENCE = 104, 52, 32, 60, 16, 0.003, 10
TEXT = f"""
/xavier,zero/
(change, 1)                                 # a week's value, less that of the window's last week
(scaled, <standardize>)
(memory, {WIDTH}, <lstm>)
(ahead, {AHEAD}, <restore>, <mse>)          # what is to come in each of 52 weeks, from that week's value on
"""


def weekly() -> tuple[Any, Any]:
    """The values (T,), NaN where they are unknown, and the year of each week, such as 1958.24."""
    import statsmodels.api

    values = statsmodels.api.datasets.co2.load_pandas().data["co2"]
    return values.to_numpy(), (values.index.year + values.index.dayofyear / 365.25).to_numpy()


def parts(values: Any, years: Any, step: int) -> dict[str, tuple[Any, Any, Any]]:
    """Inputs (N, 104, 1), expected (N, 52) and last known values (N, 1) of windows to train, to choose and to test.

    Gaps are filled along a straight line in what a model sees. In what is expected of it they stay unknown (NaN).
    """
    weeks = np.arange(len(values))
    known = ~np.isnan(values)
    filled = np.interp(weeks, weeks[known], values[known])
    inputs, expected = nm.windows(filled, PAST, horizon=AHEAD, step=step, targets=values[:, None])
    last = inputs[:, -1]
    ends = years[PAST + AHEAD - 1 :: step]  # the year of the last week that each window forecasts
    begins = years[PAST::step][: len(ends)]
    which = {"train": ends < 1988, "choose": (begins >= 1988) & (ends < 1993), "test": begins >= 1993}
    changes, wanted = inputs - last[:, None], expected[:, :, 0] - last
    return {name: (changes[chosen], wanted[chosen], last[chosen]) for name, chosen in which.items()}


def error(found: Any, wanted: Any) -> float:
    """The root of the mean squared error, in parts per million, of all known weeks."""
    return float(np.sqrt(np.nanmean((found - wanted) ** 2)))


def ours(seed: int, epochs: int, data: dict[str, Any]) -> Result:
    """A network of ours, trained with one seed."""
    inputs, expected, _ = data["train"]
    model = nm.compile(TEXT, BATCH, RATE, optimizer="adam")

    def learn() -> None:
        model.build(seed=seed)
        known = ~np.isnan(expected).any(axis=1)
        model.adapt(inputs[known], expected[known], layout="NSW")
        model.fit(inputs, expected, epochs=epochs, validation=data["choose"][:2], layout="NSW", shuffle=True, seed=seed,
                  missing="skip", callbacks=nm.EarlyStopping(patience=PATIENCE))  # fmt: skip

    _, seconds = timed(learn)
    inputs, expected, _ = data["test"]
    found = model.predict(inputs, layout="NSW")[:, -1]
    return Result(error(found, expected), seconds, model.parameter_count, model)


def torchs(seed: int, epochs: int, data: dict[str, Any]) -> Result:
    """An LSTM of PyTorch of the same size."""
    import torch
    import torch_peer

    torch.manual_seed(seed)
    inputs, expected, _ = data["train"]
    shift, scale = np.nanmean(expected, axis=0), np.nanstd(expected, axis=0)
    mean, spread = inputs.mean(), inputs.std()
    scaled = {name: ((x - mean) / spread, (y - shift) / scale) for name, (x, y, _) in data.items()}
    net = torch_peer.Recurrent("lstm", 1, WIDTH, AHEAD)
    how = {"epochs": epochs, "batch": BATCH, "rate": lambda epoch: RATE, "patience": PATIENCE}
    _, seconds = timed(lambda: torch_peer.learn(net, *scaled["train"], scaled["choose"], **how))
    found = torch_peer.predict(net, scaled["test"][0]) * scale + shift
    return Result(error(found, data["test"][1]), seconds, net.parameter_count, net)


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = options(__doc__, arguments)
    needs("statsmodels")
    values, years = weekly()
    epochs, data = (1, parts(values, years, 20)) if chosen.quick else (EPOCHS, parts(values, years, 1))
    rows = {
        "neuromorph": runs("neuromorph", lambda seed: ours(seed, epochs, data), chosen.seeds),
        "PyTorch": runs("PyTorch", lambda seed: torchs(seed, epochs, data), chosen.seeds, "torch"),
    }
    seen, wanted, _ = data["test"]
    naive = seen[:, -AHEAD:, 0] - seen[:, -AHEAD - 1]  # the year before again, from the last value on
    table("error, parts per million", rows, the_same_as_last_year=error(naive, wanted))

    path = chosen.to / "co2.safetensors"
    rows["neuromorph"][0].model.save(path, training=False)
    model = nm.load(path)
    recent = values[-PAST:]
    year = recent[-1] + model.predict((recent - recent[-1])[None, :, None], layout="NSW")[0, -1]
    print(f"\nsaved {path} and loaded it again")
    print(f"the year after {years[-1]:.1f}: from {year.min():.1f} to {year.max():.1f} ppm, at its end {year[-1]:.1f}")
    picture(chosen.to / "co2.png", lambda axes: draw(axes, recent, year))


def draw(axes: Any, recent: Any, year: Any) -> None:
    """The last two years, and the forecast of the next one."""
    axes.plot(range(-len(recent) + 1, 1), recent, label="measured")
    axes.plot(range(1, AHEAD + 1), year, label="forecast")
    axes.set(xlabel="weeks", ylabel="carbon dioxide [ppm]", title="Mauna Loa, from the end of 2001")
    axes.legend()


if __name__ == "__main__":
    main()
