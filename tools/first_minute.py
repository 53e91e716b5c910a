"""The first minute of a new model: how much it has trained when, with tier "auto" beside tier "compiled".

    python tools/first_minute.py                          # the nine cases of the benchmark, one minute each way
    python tools/first_minute.py --cases lstm4,digits --seconds 20

Each run is a process of its own, whose cache holds the machine and nothing else. Its clock starts before the text is
read. For each amount of work that "compiled" finishes, the tool compares the time by which "auto" has finished as much:
"worst" is the largest ratio of the two times. "afterwards" compares the times of a sample in the last third.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from peers.case import Case
from peers.cases import data, listed

import neuromorph as nm

FIRST_NINE = 9  # cases of layers, splits and merges alone
COMPILES_THE_MACHINE = """import neuromorph as nm
nm.build(nm.compile("/xavier,zero/ (input, 1) (output, 1, <tanh>, <mse>)", 1, 0.1, tier="instant"))"""
TURN = 0.1  # seconds of training between two readings of the clock, about


@dataclass(frozen=True)
class Curve:
    """Seconds since the start, and samples trained by then; ``compiled_after``: when kernels of its own took over."""

    seconds: list[float]
    samples: list[int]
    compiled_after: float | None

    def when(self, samples: int) -> float:
        """The time by which so many samples were trained."""
        return float(np.interp(samples, [0, *self.samples], [self.seconds[0], *self.seconds]))

    def seconds_a_sample(self) -> float:
        """In the last third of the time."""
        begin = next(n for n, t in enumerate(self.seconds) if t >= 2 / 3 * self.seconds[-1])
        begin = min(begin, len(self.seconds) - 2)
        return (self.seconds[-1] - self.seconds[begin]) / (self.samples[-1] - self.samples[begin])


def trained(case: Case, seconds: float, tier: str) -> Curve:
    """Build a case's model and train it for so many seconds, in this process."""
    inputs, expected = data(case)
    some = case.window  # samples of a call
    started, times, samples = time.perf_counter(), list[float](), list[int]()
    after = None
    model = nm.build(nm.compile(case.text, case.batch, 0.0, bptt_steps=case.window, tier=tier), seed=1)
    done = 0
    while not times or times[-1] < seconds:
        begin = time.perf_counter()
        nm.train(model, inputs[:some], expected[:some], 0)
        now = time.perf_counter()
        done += some
        times.append(now - started)
        samples.append(done)
        if after is None and model.tier == "compiled":
            after = times[-1]
        wanted = int(some * TURN / (now - begin)) // case.window * case.window
        some = min(max(case.window, wanted), len(inputs))
    return Curve(times, samples, after)


def curve(case: Case, seconds: float, tier: str, cache: Path) -> Curve:
    """The curve of a process that begins with a copy of a cache."""
    with tempfile.TemporaryDirectory() as folder:
        own = shutil.copytree(cache, Path(folder) / "cache")
        environment = {**os.environ, "NEUROMORPH_CACHE_DIR": str(own)}
        command = [sys.executable, __file__, "--curve", tier, "--cases", case.name, "--seconds", str(seconds)]
        out = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout
    return Curve(**json.loads(out))


def worst(auto: Curve, compiled: Curve) -> float:
    """The largest ratio of times at which both had trained the same number of samples."""
    both = [(auto.when(n), t) for t, n in zip(compiled.seconds, compiled.samples, strict=True) if n <= auto.samples[-1]]
    return max((mine / theirs for mine, theirs in both), default=float("nan"))


def line(case: Case, auto: Curve, compiled: Curve) -> str:
    """A row of the table."""
    after = "never" if auto.compiled_after is None else f"{auto.compiled_after:.1f} s"
    slower = auto.seconds_a_sample() / compiled.seconds_a_sample()
    return f"{case.name:<12}  {after:>8}  {compiled.seconds[0]:>8.1f} s  {worst(auto, compiled):>6.2f}  {slower:>10.3f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a row for each case."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    names = list(listed())[:FIRST_NINE]
    parser.add_argument("--cases", default=",".join(names), help="names (default: the nine)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each run (default: 60)")
    parser.add_argument("--curve", choices=("auto", "compiled"), help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    cases = [listed()[name] for name in chosen.cases.split(",")]
    if chosen.curve:
        print(json.dumps(vars(trained(cases[0], chosen.seconds, chosen.curve))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        environment = {**os.environ, "NEUROMORPH_CACHE_DIR": str(cache)}
        subprocess.run([sys.executable, "-c", COMPILES_THE_MACHINE], env=environment, check=True)
        print("case          compiled    first   worst  afterwards")
        for case in cases:
            print(line(case, *(curve(case, chosen.seconds, tier, cache) for tier in ("auto", "compiled"))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
