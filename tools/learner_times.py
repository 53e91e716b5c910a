"""What a step of a learner costs beside its kernel, and beside calls of a trivial function that Numba has cached.

    python tools/learner_times.py            # about half a minute, once kernels are cached
    python tools/learner_times.py --rounds 50

All figures of a line are from one run, in turns, the best of several rounds each. "alone" is the compiled function of
the step, called without ``Learner``. "in train" is the time of the same prediction and windows inside long calls of
``predict`` and ``train``. The bound is one and a half times that, and three trivial calls.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numba
import numpy as np
from peers.cases import example_model

import neuromorph as nm

CASES = ((4, 1, 20, 1), (4, 5, 20, 1), (4, 1, 20, 5), (4, 1, 16, 16), (4, 5, 16, 16), (32, 1, 20, 1), (32, 1, 16, 16))
CALLS, LONG = 400, 4_000  # calls in a measurement, and samples of a long call


@numba.njit(cache=True)  # type: ignore[misc]
def trivial(number: int) -> int:
    """A function that does next to nothing."""
    return number + 1


@dataclass(frozen=True)
class Times:
    """Seconds of a call, of the compiled function alone, of the same work inside long calls, and of a trivial call."""

    call: float
    alone: float
    in_train: float
    trivial: float

    @property
    def share(self) -> float:
        """The call's part of what it may cost."""
        return self.call / (1.5 * self.in_train + 3 * self.trivial)

    @property
    def share_alone(self) -> float:
        """The same, where the kernel's time is that of the compiled function alone."""
        return self.call / (1.5 * self.alone + 3 * self.trivial)


def seconds(action: Callable[[], object], calls: int) -> float:
    """Seconds of one of so many calls."""
    started = time.perf_counter()
    for _ in range(calls):
        action()
    return (time.perf_counter() - started) / calls


def times(width: int, lanes: int, steps: int, every: int, rounds: int, calls: int = CALLS, long: int = LONG) -> Times:
    """The times for an LSTM of a width, the best of several rounds."""
    text = example_model("lstm-model", width)
    model = nm.build(nm.compile(text, lanes, 0.0, bptt_steps=steps, threads=1, tier="compiled"), seed=0)
    rng = np.random.default_rng(0)
    inputs = rng.random((long // steps * steps, lanes, model.input_width), np.float32)
    expected = rng.random((*inputs.shape[:2], model.output_width), np.float32)
    learner = nm.learner(model, steps, every)
    x, target = inputs[0], expected[0]
    out = learner(x, target)
    advance, control = learner._advance, learner._control
    actions = (
        (lambda: learner(x, target), calls),
        (lambda: advance(control, x, target, None, out), calls),
        (lambda: nm.predict(model, inputs), 1),
        (lambda: nm.train(model, inputs, expected, 0), 1),
        (lambda: trivial(1), calls),
        (lambda: None, calls),
    )
    for action, _ in actions:
        action()
    found = [[seconds(*action) for action in actions] for _ in range(rounds)]
    call, alone, predicting, training, small, empty = map(min, zip(*found, strict=True))
    share = predicting / len(inputs) + training / len(inputs) * steps / every
    return Times(call - empty, alone - empty, share, small - empty)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a line for each case."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60, help="of each measurement (default: 60)")
    chosen = parser.parse_args(arguments)
    print("LSTM, lanes, steps/every: µs a call, alone, in train; a trivial call; share of the bound (alone)")
    for width, lanes, steps, every in CASES:
        found = times(width, lanes, steps, every, chosen.rounds)
        figures = ", ".join(f"{1e6 * each:.2f}" for each in (found.call, found.alone, found.in_train))
        print(
            f"{width:3}, {lanes}, {steps:2}/{every:<2}: {figures}; {1e6 * found.trivial:.2f}; "
            f"{found.share:.2f} ({found.share_alone:.2f})",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
