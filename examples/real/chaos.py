"""A chaotic series in closed loop: a model that has seen some steps goes on by itself.

    python examples/real/chaos.py                   Mackey-Glass, three seeds, and PyTorch beside it
    python examples/real/chaos.py --series laser    the laser of the Santa Fe competition, from the package reservoirpy
    python examples/real/chaos.py --quick           a tiny setting, to see that everything runs

The model learns to say the next step from those before. Then its answers are its inputs. Chaos enlarges any error, so
the score is the number of steps until the forecast is off by 0.4 standard deviations, the median of 100 places of the
test series.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from comparing import Result, needs, options, picture, runs, table, timed

import neuromorph as nm

LENGTH, WARMUP, FREE, STARTS = 300, 100, 500, 100  # steps of a window, those that are seen, those in closed loop
WIDTH, EPOCHS, BATCH, RATE, PATIENCE = 64, 80, 8, 0.003, 80
TEXT = f"""
/xavier,zero/
(now, 1)
(scaled, <standardize>)
(memory, {WIDTH}, <gru>)
(next, 1, <restore>, <mse>)
"""


def mackey_glass(steps: int) -> Any:
    """The series x' = 0.2 x(t - 17) / (1 + x(t - 17)^10) - 0.1 x, one value for each unit of time, (steps, 1).

    Mackey and Glass 1977, Oscillation and chaos in physiological control systems, Science 197. By Runge-Kutta of order
    4 in steps of 0.1, the delayed value kept within a step; the first 1,000 units of time are left out.
    """
    per, delay, x = 10, 170, 1.2
    past = [x] * (delay + 1)
    for _ in range((steps + 1000) * per):
        gain = 0.2 * past[-delay - 1] / (1.0 + past[-delay - 1] ** 10)
        slopes = [gain - 0.1 * x]
        for part in (0.05, 0.05, 0.1):
            slopes.append(gain - 0.1 * (x + part * slopes[-1]))
        x += 0.1 * (slopes[0] + 2 * slopes[1] + 2 * slopes[2] + slopes[3]) / 6
        past.append(x)
    return np.array(past[-steps * per :: per])[:, None]


def laser(steps: int) -> Any:
    """The intensity of a far-infrared laser in a chaotic state, (steps, 1)."""
    needs("reservoirpy")
    from reservoirpy.datasets import santafe_laser

    return santafe_laser()[:steps].astype(float)


def falling(epochs: int) -> Any:
    """The learning rate of each epoch: half a cosine, down to 0."""
    return lambda epoch: RATE * 0.5 * (1 + math.cos(math.pi * epoch / epochs))


def parts(series: Any, step: int) -> dict[str, Any]:
    """Windows to train and to choose the best epoch, each with what follows every step; and places of the test."""
    size = len(series) // 2  # the second half is the test
    whole, _ = nm.windows(series[:size], LENGTH + 1, step=step)
    count = len(whole) * 5 // 6
    free = series[size:]
    history, future = nm.windows(free, WARMUP, horizon=FREE, step=(len(free) - WARMUP - FREE) // STARTS)
    pairs = {"train": whole[:count], "choose": whole[count:]}
    made: dict[str, Any] = {name: (part[:, :-1], part[:, 1:]) for name, part in pairs.items()}
    return made | {"test": (history, future), "scale": series[:size].std(), "mean": series[:size].mean()}


def steps_until_off(found: Any, wanted: Any, scale: float) -> float:
    """The median number of steps until forecasts (N, S, 1) are off by 0.4 standard deviations."""
    off = np.abs(found - wanted)[:, :, 0] > 0.4 * scale
    return float(np.median(np.where(off.any(axis=1), off.argmax(axis=1), off.shape[1])))


def ours(seed: int, epochs: int, data: dict[str, Any]) -> Result:
    """A network of ours, trained with one seed."""
    model = nm.compile(TEXT, BATCH, RATE, optimizer="adam", clip_norm=1.0)

    def learn() -> None:
        model.build(seed=seed)
        model.adapt(*data["train"], layout="NSW")
        watching = nm.EarlyStopping(patience=PATIENCE), nm.LearningRateSchedule(falling(epochs))
        model.fit(*data["train"], epochs=epochs, validation=data["choose"], layout="NSW", shuffle=True, seed=seed,
                  callbacks=watching)  # fmt: skip

    _, seconds = timed(learn)
    history, future = data["test"]
    found = model.forecast(history, FREE, layout="NSW")
    return Result(steps_until_off(found, future, data["scale"]), seconds, model.parameter_count, model)


def torchs(seed: int, epochs: int, data: dict[str, Any]) -> Result:
    """A GRU of PyTorch of the same size."""
    import torch
    import torch_peer

    torch.manual_seed(seed)
    mean, scale = data["mean"], data["scale"]
    train, choose = ([(part - mean) / scale for part in data[name]] for name in ("train", "choose"))
    net = torch_peer.Recurrent("gru", 1, WIDTH, 1, answers="every")
    how = {"epochs": epochs, "batch": BATCH, "rate": falling(epochs), "patience": PATIENCE, "clip_norm": 1.0}
    _, seconds = timed(lambda: torch_peer.learn(net, *train, choose, **how))
    history, future = data["test"]
    found = torch_peer.forecast(net, (history - mean) / scale, FREE) * scale + mean
    return Result(steps_until_off(found, future, scale), seconds, net.parameter_count, net)


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = options(__doc__, arguments, lambda parser: parser.add_argument(
        "--series", choices=("mackey-glass", "laser"), default="mackey-glass", help="which one (default mackey-glass)"
    ))  # fmt: skip
    made = mackey_glass(6000) if chosen.series == "mackey-glass" else laser(10_000)
    epochs, data = (1, parts(made, 500)) if chosen.quick else (EPOCHS, parts(made, 20))
    rows = {
        "neuromorph": runs("neuromorph", lambda seed: ours(seed, epochs, data), chosen.seeds),
        "PyTorch": runs("PyTorch", lambda seed: torchs(seed, epochs, data), chosen.seeds, "torch"),
    }
    history, future = data["test"]
    table("steps in closed loop", rows, the_last_value_again=steps_until_off(history[:, -1:], future, data["scale"]))

    path = chosen.to / f"{chosen.series}.safetensors"
    rows["neuromorph"][0].model.save(path, training=False)
    model = nm.load(path)
    print(f"\nsaved {path} and loaded it again")
    found = model.forecast(history[0], FREE)
    error = np.abs(found - future[0])[:, 0] / data["scale"]
    print("error of a forecast, in standard deviations: "
          + ", ".join(f"{error[at - 1]:.3f} after {at} steps" for at in (1, 10, 50, 100, 200)))  # fmt: skip
    picture(chosen.to / f"{chosen.series}.png", lambda axes: draw(axes, future[0], found, chosen.series))


def draw(axes: Any, wanted: Any, found: Any, name: str) -> None:
    """What was to come and what the model made of it."""
    axes.plot(wanted, label="the series")
    axes.plot(found, label="in closed loop")
    axes.set(xlabel="steps after the last that was seen", title=name)
    axes.legend(loc="lower left")


if __name__ == "__main__":
    main()
