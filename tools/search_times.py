"""How many new networks a search over topologies tries in a minute.

    python tools/search_times.py                      # width at most 8, each trained for 300 windows of 16 steps
    python tools/search_times.py --individuals 2000 --workers 1

Each individual is trained for one epoch of a series, and measured on another part of it; the tool says how many of the
texts differ. The machine is compiled and loaded before the clock starts. Prints the best of several searches.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Sequence

import numpy as np

from neuromorph import search

STEPS, LANES = 16, 1  # of a window


def series(windows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (S, 1, 2) and what is expected (S, 1, 1): a product of the past, which takes a memory of two steps."""
    inputs = np.random.default_rng(seed).uniform(-1, 1, (windows * STEPS, LANES, 2)).astype(np.float32)
    expected = np.zeros((*inputs.shape[:2], 1), np.float32)
    expected[2:, :, 0] = inputs[:-2, :, 0] * inputs[1:-1, :, 1]
    return inputs, expected


def run(individuals: int, windows: int, width: int, workers: int | None, seed: int) -> tuple[float, int]:
    """Networks a minute of one search, and how many of its texts differ."""
    inputs, expected = series(windows, seed)
    data = {"inputs": inputs, "expected": expected, "validation": series(20, seed + 1)}
    started = time.perf_counter()
    found = search.evolve(
        data, individuals=individuals, limits=search.Limits(width=width), budget=1, workers=workers, seed=seed,
        arguments={"batch_size": LANES, "bptt_steps": STEPS}, verbosity=0,
    )  # fmt: skip
    return 60.0 * len(found) / (time.perf_counter() - started), len({one.text for one in found})


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the rate."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--individuals", type=int, default=600, help="of a search (default: 600)")
    parser.add_argument("--windows", type=int, default=300, help="that each is trained for (default: 300)")
    parser.add_argument("--width", type=int, default=8, help="of a layer, at most (default: 8)")
    parser.add_argument("--workers", type=int, help="processes (default: one a processor)")
    parser.add_argument("--runs", type=int, default=3, help="searches (default: 3)")
    chosen = parser.parse_args(arguments)
    given = chosen.windows, chosen.width, chosen.workers
    run(20, *given, seed=0)
    rates = [run(chosen.individuals, *given, seed=1 + number) for number in range(chosen.runs)]
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10  # bytes there, KiB elsewhere
    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / unit
    rate, different = max(rates)
    print(
        f"{rate:,.0f} networks a minute, {chosen.windows} windows of {STEPS} steps each; {different:,} of "
        f"{chosen.individuals:,} texts differ; at most {most:,.0f} MiB in a process"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
