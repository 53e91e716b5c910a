"""How soon a new text trains: first windows, topologies a second, memory, and the machine beside compiled kernels.

    python tools/start_times.py                    # everything of ours, about two minutes
    python tools/start_times.py --texts 50 --memory-texts 1000
    python tools/start_times.py --peers 8          # and JAX and PyTorch with 8 of the texts; see benchmark.py

The texts are random graphs of 4 to 40 nodes that were never built before. Each process has the machine, and nothing
else, in its cache, and compiles nothing in the background. Windows have 8 steps of one lane. A peer is one process that
may use all processors. Its clock starts when its library is loaded and the model is there as code of the library.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from peers.case import Case
from peers.cases import data, example_model
from peers.environments import PEERS, Present, present
from peers.first_runs import WAYS, first_runs
from peers.processes import Pool, WorkerError
from peers.random_cases import random_cases

import neuromorph as nm

STEPS, WINDOWS = 8, 1_000
WIDEST = 3_000  # parameters of a text at most
RUNS = 7
LIMIT = 300.0  # seconds for a peer's text


def cases(seed: int) -> Iterator[Case]:
    """Random models of 4 to 40 nodes."""
    for case in random_cases(seed):
        graph = case.model().graph
        if 4 <= len(graph.nodes) <= 40 and graph.parameter_count <= WIDEST:
            yield replace(case, batch=1, window=STEPS, samples=STEPS * WINDOWS, rate=1e-4)


def texts(seed: int) -> Iterator[str]:
    """The texts of these models."""
    return (case.text for case in cases(seed))


def trained(text: str, windows: int) -> float:
    """Seconds from a text to a model that has trained so many windows."""
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = nm.build(nm.compile(text, 1, 1e-4, bptt_steps=STEPS, clip_norm=1.0, tier="instant"), seed=0)
    made = time.perf_counter() - started
    rng = np.random.default_rng(0)
    inputs = rng.random((windows * STEPS, 1, model.input_width), np.float32)
    expected = np.full((windows * STEPS, 1, model.output_width), 1.0 / model.output_width, np.float32)
    started = time.perf_counter()
    with contextlib.suppress(nm.TrainingDivergedError):
        nm.train(model, inputs, expected, 0)
    return made + time.perf_counter() - started


def warm_up(seed: int) -> None:
    """Train other texts, so that the machine of every vector width is compiled and loaded."""
    for text in islice(texts(seed + 1_000), 20):
        trained(text, 1)


def first_windows(count: int, seed: int) -> list[float]:
    """Milliseconds from each of some texts to its first trained window."""
    warm_up(seed)
    return [1e3 * trained(text, 1) for text in islice(texts(seed), count)]


def texts_a_second(count: int, seed: int, processes: int) -> float:
    """Texts a second that several processes together train for 1,000 windows each, their start left out."""
    command = [sys.executable, __file__, "--share", str(count // processes)]
    workers = [
        subprocess.Popen([*command, "--seed", str(seed + n)], stdout=subprocess.PIPE, text=True)
        for n in range(processes)
    ]
    return sum(float(worker.communicate()[0]) for worker in workers)


def share(count: int, seed: int) -> float:
    """Texts a second of this process alone."""
    some = list(islice(texts(seed), count))
    warm_up(seed)
    started = time.perf_counter()
    for text in some:
        trained(text, WINDOWS)
    return count / (time.perf_counter() - started)


def memory_growth(count: int, seed: int) -> float:
    """MiB by which the process grows while it trains so many further texts."""
    some = texts(seed)
    for text in islice(some, 200):
        trained(text, 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for text in islice(some, count):
        trained(text, 1)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def ratio(width: int) -> float:
    """The machine's time of a window divided by that of compiled kernels, one thread each; best of several runs."""
    case = Case(f"lstm{width}", example_model("lstm-model", width), 5, 16, 16 * max(4, 40_000 // width**2), 0.1)
    inputs, expected = data(case)
    models = []
    for tier in ("instant", "compiled"):
        models.append(nm.build(nm.compile(case.text, 5, 0.0, bptt_steps=16, threads=1, tier=tier), seed=0))
        nm.train(models[-1], inputs, expected, 0)
    best = [min(_seconds(model, inputs, expected) for _ in range(RUNS)) for model in models]
    return best[0] / best[1]


def _seconds(model: nm.Model, inputs: np.ndarray, expected: np.ndarray) -> float:
    started = time.perf_counter()
    nm.train(model, inputs, expected, 0)
    return time.perf_counter() - started


def peers_lines(count: int, seed: int, places: Mapping[str, Present]) -> Iterator[str]:
    """A line for each way of a peer: its first windows, and the texts a second that it trains for all windows."""
    some = list(islice(cases(seed), count + 1))
    pythons = {peer: place.python for peer, place in places.items() if place.python}
    for way in WAYS:
        if missing := places[way.engine].missing:
            yield f"{way.name}: left out, {missing}"
            continue
        try:
            with Pool(pythons) as pool:
                first = [1e3 * seconds for seconds in first_runs(way, some, 1, pool, LIMIT)]
            with Pool(pythons) as pool:  # another, which has compiled none of the texts
                rate = count / sum(first_runs(way, some, WINDOWS, pool, LIMIT))
        except WorkerError as error:
            yield f"{way.name}: {error}"
            continue
        found = f"median {statistics.median(first):,.0f} ms, slowest {max(first):,.0f} ms"
        yield f"{way.name}: text to first trained window: {found}; {rate:.2f} texts a second"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a line for each figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--texts", type=int, default=200, metavar="N", help="texts of each measurement (default: 200)")
    parser.add_argument("--memory-texts", type=int, default=10_000, metavar="N", help="of that of memory")
    parser.add_argument("--widths", default="4,16,64,256", help="of the comparison with compiled kernels")
    parser.add_argument("--seed", type=int, default=0, help="of the random texts")
    parser.add_argument("--peers", type=int, default=0, metavar="N", help="texts for JAX and PyTorch (default: none)")
    parser.add_argument("--jax0431", type=Path, metavar="PYTHON", help="the interpreter that has JAX 0.4.31")
    parser.add_argument("--share", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    os.environ["NEUROMORPH_TIER"] = "instant"
    if chosen.share is not None:
        print(share(chosen.share, chosen.seed))
        return 0
    first = first_windows(chosen.texts, chosen.seed)
    print(f"text to first trained window: median {statistics.median(first):.1f} ms, slowest {max(first):.1f} ms")
    rate = texts_a_second(chosen.texts, chosen.seed + 1, 2)
    print(f"texts trained for {WINDOWS:,} windows, two processes: {rate:.1f} a second")
    growth = memory_growth(chosen.memory_texts, chosen.seed + 3)
    print(f"growth of memory over {chosen.memory_texts:,} texts: {growth:.1f} MiB")
    for width in map(int, filter(None, chosen.widths.split(","))):
        print(f"machine beside compiled kernels, LSTM of width {width}: {ratio(width):.2f} times the time")
    if chosen.peers:
        for line in peers_lines(chosen.peers, chosen.seed, {peer: present(peer, chosen.jax0431) for peer in PEERS}):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
