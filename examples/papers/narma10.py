"""NARMA10: a small LSTM learns a system of order ten that is driven by noise.

    python examples/papers/narma10.py                 seeds 0 to 4
    python examples/papers/narma10.py --seeds 10-19   other seeds, such as those that the setting was chosen with

From Atiya & Parlos 2000, "New results on recurrent network training", IEEE Transactions on Neural Networks 11(3):

    y(t+1) = 0.3 y(t) + 0.05 y(t) (y(t) + ... + y(t-9)) + 1.5 u(t-9) u(t) + 0.1,    u uniform from 0 to 0.5

The network gets u(t) and predicts y(t+1). Its figure is the normalised mean squared error (NMSE) on a new series: the
mean squared error divided by the variance of y. A run with an NMSE above 0.06 has failed. The system can diverge; such
series are drawn anew, and their number is printed. Over seeds 0 to 49 the median NMSE is 0.0040, half lie between
0.0030 and 0.0051, and three failed; over seeds 0 to 4 it is 0.0060. Appeltant et al. 2011, "Information processing
using a single dynamical node as complex system", Nature Communications 2, 468, reach a normalised root mean squared
error of 0.15 by a linear readout of 400 fixed nonlinear nodes, and 0.4 by a linear readout of a plain shift register.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from common import NEVER, PaperFigure, Result, parser, run
from numpy.typing import NDArray

import neuromorph as nm

Floats = NDArray[np.float64]
MDL = Path(__file__).resolve().with_suffix(".mdl")
PAPER = PaperFigure(
    0.15**2, "linear readout of 400 fixed nodes", "Appeltant et al. 2011: NRMSE 0.15", unit="NMSE", digits=4
)
ENOUGH = 0.06  # the NMSE above which a run has failed
ORDER = 10
DIVERGED = 2.0  # of thousands of series, those that did not diverge stayed below 1.2, and all that reached 2 diverged
MEAN, DEVIATION = 0.25, 0.5 / 12**0.5  # of the uniform distribution of u


# Chosen with seeds 10 to 15 by the median error after 200 epochs, from rates of 0.01 and 0.02, 8 and 16 series, windows
# of 25 and 50 steps, 12 and 16 cells. The number of epochs was then raised to improve the worst seed.
@dataclass(frozen=True)
class Setting:
    """The setting of training: ``lanes`` series of ``steps`` steps each, in windows of ``window`` steps. The first
    ``washout`` steps of a series do not count. The learning rate falls linearly to 0."""

    rate: float = 0.02
    lanes: int = 8
    steps: int = 1_000
    window: int = 25
    epochs: int = 300
    washout: int = 100
    test_steps: int = 2_000
    clip_norm: float = 1.0
    forget_bias: float = 1.0

    def __str__(self) -> str:
        data = f"{self.lanes} series of {self.steps:,} steps, {self.epochs} times"
        return f"LSTM of 16, Adam, rate {self.rate:g} falling to 0, {data}"


@dataclass(frozen=True)
class Series:
    """B series of S steps: u(t) and y(t+1), both (S, B, 1). rejected: the number of diverged series, drawn anew."""

    drive: Floats
    response: Floats
    rejected: int


def narma10(drive: Floats) -> Floats:
    """y(1) to y(S) for u(0) to u(S-1), (S,), with zeros before; infinite after it has diverged."""
    lag = ORDER - 1
    before = np.concatenate([np.zeros(lag), drive])
    y = np.zeros(lag + len(drive) + 1)  # y[lag] is y(0)
    for t, now in enumerate(drive):
        recent = y[t : t + ORDER]
        y[t + ORDER] = 0.3 * recent[-1] + 0.05 * recent[-1] * recent.sum() + 1.5 * before[t] * now + 0.1
        if y[t + ORDER] > DIVERGED:
            y[t + ORDER :] = np.inf
            break
    return y[ORDER:]


def drawn(rng: np.random.Generator, lanes: int, steps: int) -> Series:
    """New series, none of which diverges."""
    drives: list[Floats] = []
    responses: list[Floats] = []
    rejected = 0
    while len(drives) < lanes:
        drive = rng.uniform(0.0, 0.5, steps)
        response = narma10(drive)
        if np.isfinite(response).all():
            drives.append(drive)
            responses.append(response)
        else:
            rejected += 1
    return Series(np.stack(drives, axis=1)[..., np.newaxis], np.stack(responses, axis=1)[..., np.newaxis], rejected)


def nmse(predicted: Floats, response: Floats) -> float:
    """The mean squared error divided by the variance: 0 for a perfect prediction, 1 for predicting the mean."""
    return float(np.mean((predicted - response) ** 2) / np.var(response))


@dataclass(frozen=True)
class Student:
    """A network, and the scaling of its inputs and outputs."""

    model: nm.Model
    setting: Setting
    mean: float
    deviation: float

    def learn(self, series: Series) -> None:
        """Train once on all series. The washout is run through, but has no loss."""
        weight = np.ones(series.drive.shape[:2])
        weight[: self.setting.washout] = 0.0
        wanted = (series.response - self.mean) / self.deviation
        nm.train(self.model, (series.drive - MEAN) / DEVIATION, wanted, 0, sample_weight=weight)

    def error(self, series: Series) -> float:
        """The NMSE on series, after the washout."""
        predicted = nm.predict(self.model, (series.drive - MEAN) / DEVIATION) * self.deviation + self.mean
        return nmse(predicted[self.setting.washout :], series.response[self.setting.washout :])


def made(setting: Setting, seed: int, series: Series) -> Student:
    """A new network for series such as these."""
    nm.seed(seed)
    model = nm.compile(
        MDL, setting.lanes, setting.rate, optimizer=nm.Adam(), bptt_steps=setting.window, clip_norm=setting.clip_norm
    )
    nm.build(model)
    nm.set_parameters(model, {"cells.forget_gate.bias": setting.forget_bias})
    settled = series.response[setting.washout :]
    return Student(model, setting, float(settled.mean()), float(settled.std()))


def learn(setting: Setting, seed: int) -> Result:
    """Train a new network and test it. A second held-out series only shows when the network became good enough."""
    rng = np.random.default_rng((seed, 1))  # independent of the generator for the weights
    train = drawn(rng, setting.lanes, setting.washout + setting.steps)
    watched, test = (drawn(rng, 1, setting.washout + setting.test_steps) for _ in range(2))
    student, epoch_of_success = made(setting, seed, train), None
    with student.model:
        for epoch in range(setting.epochs):
            student.model.learning_rate = setting.rate * (1 - epoch / setting.epochs)
            try:
                student.learn(train)
            except nm.TrainingDivergedError:
                return Result(NEVER, f"training diverged in epoch {epoch + 1}")
            if epoch_of_success is None and student.error(watched) <= ENOUGH:
                epoch_of_success = epoch + 1
        error = student.error(test)
    samples = None if epoch_of_success is None else epoch_of_success * setting.lanes * setting.steps
    return result(error, samples, train.rejected + watched.rejected + test.rejected)


def result(error: float, samples: int | None, rejected: int) -> Result:
    """The result of a run: its NMSE on the test series, or NEVER if it failed."""
    reached = "never below" if samples is None else f"{samples:,} samples to"
    note = f"{reached} {ENOUGH} on a watched series; {rejected} diverging series drawn anew"
    return Result(error, note) if error <= ENOUGH else Result(NEVER, f"NMSE {error:.4f}; {note}")


def compile_kernels(setting: Setting) -> None:
    """Compile the kernels of a run, or load them from disk."""
    learn(replace(setting, epochs=1), 0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    options = parser("NARMA10, learnt by a small LSTM.").parse_args(arguments)
    setting = Setting(steps=50, washout=10, test_steps=50, epochs=2) if options.quick else Setting()
    run(
        f"NARMA10: NMSE on a new series, at most {ENOUGH}", PAPER, str(setting),
        lambda seed: learn(setting, seed), options.seeds, prepare=lambda: compile_kernels(setting),
        quick=options.quick,
    )  # fmt: skip


if __name__ == "__main__":
    main()
