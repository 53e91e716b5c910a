"""A cell for the adding problem: found by ``evolve``, and compared with ``<lstm>`` and ``<gru>`` on seeds it never saw.

The adding problem of S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9 (1997),
experiment 4, in a small setting: 20 pairs of a value in [−1, 1] and a marker. One of the first ten pairs and one of the
first nine others have the marker 1; the first and the last pair have −1, the rest 0. The answer, after the last pair,
is 0.5 + (X1 + X2) / 4, with 0 in place of the value of the first pair.

    python examples/search/adding_cell.py
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from itertools import count
from statistics import median
from typing import Any

import numpy as np

import neuromorph as nm
from neuromorph import search

STEPS, LANES = 20, 32
RATES = (0.003, 0.01, 0.03)
HELD_OUT = range(1_000, 1_010)  # seeds of data and first parameters for the comparison
CHOOSING = range(2_000, 2_003)  # seeds by which each network's rate is chosen
# What the search starts from: a simple recurrent network, and one that adds up what it sees.
STARTS = (
    "/xavier,zero/ (input, 2) {both, h, concatenate} (h, 4, <tanh>) (output, 1, <linear>, <mse>)",
    "/xavier,zero/ (input, 2) (seen, 2, <linear>) {sum, sum, additive} (output, 1, <linear>, <mse>)",
)
RECURRENT = "/xavier,zero/ (input, 2) (cell, {width}, <{cell}>) (output, 1, <linear>, <mse>)"


def drawn(rng: np.random.Generator, count: int) -> tuple[Any, Any]:
    """Sequences (N, S, 2) and their answers (N, 1)."""
    pairs, rows = np.zeros((count, STEPS, 2), np.float32), np.arange(count)
    pairs[..., 0] = rng.uniform(-1.0, 1.0, (count, STEPS))
    first = rng.integers(0, 10, count)
    second = rng.integers(0, STEPS // 2 - 2, count)
    second += second >= first  # another one of the first nine
    total = sum(np.where(place == 0, 0.0, pairs[rows, place, 0]) for place in (first, second))
    for place in (first, second):
        pairs[rows, place, 1] = 1.0
    pairs[:, [0, -1], 1] = -1.0
    return pairs, (0.5 + 0.25 * total)[:, None].astype(np.float32)


def found_by_search(
    seed: int, individuals: int, parameters: int, workers: int | None, start: Sequence[str] = STARTS
) -> search.Evolution:
    """Search among networks of at most so many parameters. start: the first texts; without any, random ones."""
    rng = np.random.default_rng(seed)
    (inputs, expected), held_out = drawn(rng, 640), drawn(rng, 320)
    return search.evolve(
        {"inputs": inputs, "expected": expected, "layout": "NSW", "validation": held_out}, seed=seed,
        individuals=individuals, workers=workers, outputs=1, loss="mse", activation="linear", budget=60,
        start=start or None,
        inherit=False, arguments={"batch_size": LANES, "shuffle": True, "learning_rate": 0.03, "clip_norm": 1.0},
        limits=search.Limits(nodes=20, parameters=parameters, multiplications=400, width=6, delay=1),
        choices=search.Choices(cells=()),
    )  # fmt: skip


def error(text: str, rate: float, seed: int, epochs: int) -> float:
    """The mean squared error on new sequences, after training on 640 others with a fixed number of epochs."""
    rng = np.random.default_rng(seed)
    (inputs, expected), test = drawn(rng, 640), drawn(rng, 2_000)
    model = nm.compile(text, LANES, rate, optimizer="adam", clip_norm=1.0)
    with nm.build(model, seed=seed):
        try:
            model.fit(inputs, expected, layout="NSW", epochs=epochs, shuffle=True, seed=seed, progress=False)
        except nm.TrainingDivergedError:
            return float("inf")
        return model.evaluate(*test, layout="NSW")


def compared(text: str, seeds: Sequence[int], choosing: Sequence[int], epochs: int) -> tuple[float, list[float]]:
    """The rate of a text that is the best on the seeds for choosing, and its errors on the others."""
    rate = min(RATES, key=lambda rate: median(error(text, rate, seed, epochs) for seed in choosing))
    return rate, [error(text, rate, seed, epochs) for seed in seeds]


def peer(cell: str, parameters: int) -> str:
    """The text of the smallest network with a cell of the library that has at least so many parameters."""
    texts = (RECURRENT.format(cell=cell, width=width) for width in count(1))
    return next(text for text in texts if nm.compile(text, 1, 0.1).parameter_count >= parameters)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--individuals", type=int, default=500)
    parser.add_argument("--parameters", type=int, default=80, help="the most that a network may have")
    parser.add_argument("--epochs", type=int, default=60, help="of the comparison")
    parser.add_argument("--seeds", type=int, default=len(HELD_OUT), help="of the comparison")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--random", action="store_true", help="start from random networks")
    given = parser.parse_args(arguments)
    started = time.perf_counter()
    starts = () if given.random else STARTS
    evolution = found_by_search(given.seed, given.individuals, given.parameters, given.workers, starts)
    best = evolution.best
    print(f"{len(evolution):,} networks in {time.perf_counter() - started:.0f} s; the best, number {best.number}:")
    print(best.text)
    seeds, choosing = HELD_OUT[: given.seeds], CHOOSING[: given.seeds]
    texts = {"found": best.text} | {f"<{cell}>": peer(cell, best.size.parameters) for cell in ("lstm", "gru")}
    errors = {}
    for name, text in texts.items():
        rate, errors[name] = compared(text, seeds, choosing, given.epochs)
        print(
            f"{name}: {nm.compile(text, 1, 0.1).parameter_count} parameters, rate {rate}, mean squared error: median "
            f"{median(errors[name]):.2g}, from {min(errors[name]):.2g} to {max(errors[name]):.2g}"
        )
    for name in ("<lstm>", "<gru>"):
        better = sum(one < other for one, other in zip(errors["found"], errors[name], strict=True))
        print(f"found is better than {name} with {better} of {len(seeds)} seeds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
