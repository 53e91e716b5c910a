"""A network identifies a plant on line: it predicts the next output at every step, and learns from each one.

    python examples/plant.py             one seed, with the errors in out/plant.png
    python examples/plant.py --seeds 5   five seeds, and the median of their errors
    python examples/plant.py --choose    how the setting was chosen, with seeds 10 to 12

The plant is example 2 of Narendra & Parthasarathy, "Identification and control of dynamical systems using neural
networks", IEEE Transactions on Neural Networks 1 (1990), 4-27:

    y(t+1) = y(t) y(t-1) (y(t) + 2.5) / (1 + y(t)^2 + y(t-1)^2) + u(t)

The network sees u(t) and y(t). It has to remember y(t-1) itself, so it has a recurrent layer, and each update looks
back 40 steps. In the middle of the run the actuator loses half of its force: u(t) / 2 stands in place of u(t) from
there on. A copy of the network that stops to learn at that moment shows what learning is worth.
"""

from __future__ import annotations

import argparse
import copy
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

import neuromorph as nm

PLOT = Path(__file__).resolve().parent.parent / "out" / "plant.png"
Floats = NDArray[np.float32]

TEXT = """
/xavier,zero/
(seen, 2)                                # u(t), y(t)
{both, before, concatenate}
(hidden, 24, <tanh>)
[link, [before,]]
(next, 1, <linear>, <mse>)               # y(t+1)
"""
BACK = 40  # steps that an update looks back; --choose tries others
RATE = 0.003  # of Adam
STEPS = 40_000
SCALE = 5.0  # what the network sees and says is divided by this


@dataclass(frozen=True)
class Run:
    """The errors of the predictions, in the plant's unit, (S,): of the network that learns, and of the copy that stops
    in the middle. microseconds: of a step that learns."""

    learning: Floats
    stopped: Floats
    microseconds: float

    def error(self, begin: float, end: float, *, learns: bool = True) -> float:
        """The root mean square of the errors between two parts of the run, from 0 to 1."""
        errors = self.learning if learns else self.stopped
        some = errors[int(begin * len(errors)) : int(end * len(errors))].astype(float)
        return float(np.sqrt(np.mean(some**2)))


def plant(steps: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """The input u (S,), uniform between -2 and 2, and the output y (S + 1,)."""
    u = rng.uniform(-2.0, 2.0, steps)
    y = np.zeros(steps + 1)
    for t in range(steps):
        now, before = y[t], y[t - 1] if t else 0.0
        force = u[t] if t < steps // 2 else u[t] / 2
        y[t + 1] = now * before * (now + 2.5) / (1.0 + now**2 + before**2) + force
    return u.astype(np.float32), y.astype(np.float32)


def built(seed: int, rate: float, back: int) -> nm.Model:
    """A new network."""
    model = nm.compile(TEXT, 1, rate, optimizer=nm.Adam(), bptt_steps=back, clip_norm=1.0, threads=1)
    return nm.build(model, seed=seed)


def run(seed: int, steps: int = STEPS, rate: float = RATE, back: int = BACK) -> Run:
    """Identify the plant with a new network."""
    u, y = plant(steps, np.random.default_rng((seed, 1)))
    seen = np.stack([u, y[:-1]], axis=1) / SCALE  # (S, 2)
    wanted = y[1:, np.newaxis] / SCALE  # (S, 1)
    said, half = np.zeros_like(wanted), steps // 2
    with built(seed, rate, back) as model:
        learner = nm.learner(model, steps=back, every=1)
        started = time.perf_counter()
        for t in range(half):
            learner(seen[t], wanted[t], said[t])
        with copy.deepcopy(model) as stopped:
            stream = nm.stream(stopped)
            stream.state = learner.state
            for t in range(half, steps):
                learner(seen[t], wanted[t], said[t])
            seconds = time.perf_counter() - started
            rest = np.array([stream(x) for x in seen[half:]])
    errors = (said - wanted)[:, 0] * SCALE
    late = (rest - wanted[half:])[:, 0] * SCALE
    return Run(errors, np.concatenate([errors[:half], late]), 1e6 * seconds / steps)


def report(seed: int, found: Run) -> None:
    """Print the errors of a run."""
    print(
        f"seed {seed}: error {found.error(0.0, 0.02):.3f} at first, {found.error(0.4, 0.5):.3f} before the change, "
        f"{found.error(0.5, 0.51):.3f} right after it, {found.error(0.9, 1.0):.3f} at the end; "
        f"{found.error(0.9, 1.0, learns=False):.3f} without learning; {found.microseconds:.1f} µs a step"
    )


def draw(found: Run, path: Path) -> bool:
    """Draw the errors of a run to a PNG; False if matplotlib is not installed."""
    try:
        os.environ.setdefault("MPLCONFIGDIR", str(PLOT.parent / "matplotlib"))  # for its list of fonts
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    axes = figure.add_subplot()
    pieces = 200
    size = len(found.learning) // pieces
    ends = size * np.arange(1, pieces + 1)
    lines = (("stops to learn in the middle", found.stopped), ("learns at every step", found.learning))
    for label, errors in lines:
        squares = (errors[: size * pieces].reshape(pieces, size).astype(float) ** 2).mean(axis=1)
        axes.semilogy(ends, np.sqrt(squares), label=label)
    axes.axvline(len(found.learning) // 2, color="0.5", linestyle=":", label="the actuator loses half of its force")
    axes.set(xlabel="step", ylabel="error of the prediction (RMS)", title="A plant identified on line")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return True


def choose(steps: int) -> None:
    """Print the error at the end of settings around the one that is used, with seeds that the report does not use."""
    for back, rate in product((1, 5, 20, 40), (0.001, 0.003, 0.01)):
        errors = [run(seed, steps, rate, back).error(0.9, 1.0) for seed in range(10, 13)]
        print(f"  {back} steps back, rate {rate:g}: error {median(errors):.3f} at the end")


def whole_number(text: str) -> int:
    """The whole number of at least 1 that an argument's text gives."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run with each seed, print the errors and draw those of the first seed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=whole_number, default=1, help="number of seeds (default: 1)")
    parser.add_argument("--steps", type=whole_number, default=STEPS, help=f"of a run (default: {STEPS:,})")
    parser.add_argument("--plot", type=Path, default=PLOT, help="the picture to draw (default: out/plant.png)")
    parser.add_argument("--choose", action="store_true", help="try other settings, and stop")
    chosen = parser.parse_args(arguments)
    if chosen.choose:
        choose(chosen.steps)
        return
    runs = [run(seed, chosen.steps) for seed in range(chosen.seeds)]
    for seed, found in enumerate(runs):
        report(seed, found)
    if len(runs) > 1:
        ends = [median(found.error(0.9, 1.0, learns=learns) for found in runs) for learns in (True, False)]
        print(f"median at the end: {ends[0]:.3f}, and {ends[1]:.3f} without learning")
    drawn = draw(runs[0], chosen.plot)
    print(f"errors drawn to {chosen.plot}" if drawn else "no picture is drawn: matplotlib is not installed")


if __name__ == "__main__":
    main()
