"""How soon a new text trains, and what the machine costs, beside what they are to be.

    python tools/start_times.py                    # everything of ours, a few minutes
    python tools/start_times.py --texts 50 --memory-texts 1000
    python tools/start_times.py --texts 6 --memory-texts 20 --widths 4 --runs 1  # the quickest, with all figures
    python tools/start_times.py --peers 8          # and JAX and PyTorch with 8 of the texts; see benchmark.py

The texts are random graphs of 4 to 40 nodes that were never built before. Windows have 8 steps of one lane. Each figure
is measured in new processes. Their cache is a folder of its own, with the machine and nothing else in it, and they
compile nothing in the background, unless the figure is that of a whole process. A figure is the median of all its texts
or runs.

- front end: from a text to a checked program of the machine: parsed, checked, planned and encoded.
- import: that of neuromorph and all its public names, with NumPy. It is timed inside a new process.
- a whole process: it imports neuromorph, compiles a text that is new to the cache, and trains a window. In turns with
  it runs a process that imports NumPy; the difference counts.
- memory: how much a process grows while it trains many texts, one after the other.

A peer is one process that may use all processors. Its clock starts when its library is loaded and the model is there as
code of the library.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from peers.arguments import whole_number
from peers.case import Case
from peers.cases import data, example_model
from peers.environments import PEERS, Present, present
from peers.figures import Figure, announced, process, resident, table, timed
from peers.first_runs import WAYS, first_runs
from peers.processes import Pool, WorkerError
from peers.random_cases import sized_cases

import neuromorph as nm

STEPS, WINDOWS = 8, 1_000
WIDEST = 3_000  # parameters of a text at most
LIMIT = 300.0  # seconds for a peer's text
PROCESSES = 2  # that train texts beside one another
BEST_OF = 7  # runs of a window's time in a process
FIRST_WINDOW, FRONT_END = 30.0, {30: 8.0, 10: 4.0}  # targets in milliseconds; of the front end by nodes
RATE, IMPORT, WHOLE, GROWTH = 20.0, 0.25, 0.35, 10.0  # targets: texts a second, seconds, seconds, megabytes
RATIOS = {4: 2.0, 16: 1.3, 64: 1.1, 256: 1.1}  # targets by width: the machine's time, divided by that of kernels

IMPORTING = """
import time
started = time.perf_counter()
import neuromorph
neuromorph.compile  # the first use of a public name imports all of them
print(time.perf_counter() - started)
"""

NUMPY = "import numpy"

FIRST = """
import sys, warnings
import numpy as np
import neuromorph as nm
warnings.simplefilter("ignore")
model = nm.build(nm.compile(sys.stdin.read(), 1, 1e-4, bptt_steps=8))
inputs = np.zeros((8, 1, model.input_width), np.float32)
nm.train(model, inputs, np.full((8, 1, model.output_width), 1 / model.output_width, np.float32), 0)
"""


def cases(seed: int) -> Iterator[Case]:
    """Random models of 4 to 40 nodes."""
    for case in sized_cases(seed, range(4, 41), WIDEST):
        yield replace(case, batch=1, window=STEPS, samples=STEPS * WINDOWS, rate=1e-4)


def texts(seed: int) -> Iterator[str]:
    """The texts of these models."""
    return (case.text for case in cases(seed))


def compiled(text: str) -> nm.Model:
    """A text's model, which the machine runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nm.compile(text, 1, 1e-4, bptt_steps=STEPS, clip_norm=1.0, tier="instant")


def trained(text: str, windows: int) -> float:
    """Seconds from a text to a model that has trained so many windows."""
    started = time.perf_counter()
    model = nm.build(compiled(text), seed=0)
    made = time.perf_counter() - started
    rng = np.random.default_rng(0)
    inputs = rng.random((windows * STEPS, 1, model.input_width), np.float32)
    expected = np.full((windows * STEPS, 1, model.output_width), 1.0 / model.output_width, np.float32)
    started = time.perf_counter()
    with contextlib.suppress(nm.TrainingDivergedError):
        nm.train(model, inputs, expected, 0)
    return made + time.perf_counter() - started


# What a new process measures ------------------------------------------------------------------------------------------


def warm_up(seed: int) -> None:
    """Train other texts, and one for each vector width, so that every machine is compiled and loaded."""
    widths = (f"/xavier,zero/ (input, 1) (output, {width}, <tanh>, <mse>)" for width in (4, 8, 16))
    for text in (*widths, *islice(texts(seed + 1_000), 20)):
        trained(text, 1)


def first_windows(count: int, seed: int) -> list[float]:
    """Milliseconds from each of some texts to its first trained window."""
    return [1e3 * trained(text, 1) for text in list(islice(texts(seed), count))]


def front_ends(nodes: int, count: int, seed: int) -> list[float]:
    """Milliseconds of the front end for each of some texts of so many nodes."""
    found = []
    for case in list(islice(sized_cases(seed, range(nodes, nodes + 1)), count)):
        started = time.perf_counter()
        compiled(case.text).kernels.entry("train", STEPS, 1)
        found.append(1e3 * (time.perf_counter() - started))
    return found


def rate(count: int, seed: int) -> list[float]:
    """Texts a second that this process trains for all windows."""
    some = list(islice(texts(seed), count))
    started = time.perf_counter()
    for text in some:
        trained(text, WINDOWS)
    return [count / (time.perf_counter() - started)]


def growth(count: int, seed: int) -> list[float]:
    """Megabytes by which this process grows while it trains so many texts, after the first 200."""
    some = texts(seed)
    for text in islice(some, 200):
        trained(text, 1)
    before = resident()
    for text in islice(some, count):
        trained(text, 1)
    return [resident() - before]


def ratio(width: int) -> list[float]:
    """The machine's time of a window divided by that of compiled kernels, one thread each; best of several runs."""
    case = Case(f"lstm{width}", example_model("lstm-model", width), 5, 16, 16 * max(4, 40_000 // width**2), 0.1)
    inputs, expected = data(case)
    models = []
    for tier in ("instant", "compiled"):
        models.append(nm.build(nm.compile(case.text, 5, 0.0, bptt_steps=16, threads=1, tier=tier), seed=0))
        nm.train(models[-1], inputs, expected, 0)
    best = [min(_seconds(model, inputs, expected) for _ in range(BEST_OF)) for model in models]
    return [best[0] / best[1]]


def _seconds(model: nm.Model, inputs: np.ndarray, expected: np.ndarray) -> float:
    started = time.perf_counter()
    nm.train(model, inputs, expected, 0)
    return time.perf_counter() - started


TASKS: dict[str, Callable[..., list[float]]] = {
    function.__name__: function for function in (first_windows, front_ends, rate, growth, ratio)
}


# Figures --------------------------------------------------------------------------------------------------------------


def measured(folder: str, chosen: argparse.Namespace) -> Iterator[Figure]:
    """All figures of ours. folder: of the caches of their processes."""

    def of(task: str, *numbers: int) -> list[float]:
        command = [__file__, "--task", json.dumps([task, *numbers]), "--seed", str(chosen.seed)]
        found: list[float] = json.loads(process(command, folder, variables={"NEUROMORPH_TIER": "instant"}))
        return found

    count, seed = chosen.texts, chosen.seed
    yield Figure("text to first trained window", "ms", of("first_windows", count, seed), FIRST_WINDOW)
    for nodes, target in FRONT_END.items():
        found = of("front_ends", nodes, min(count, 20), seed)
        yield Figure(f"front end, {nodes} nodes", "ms", found, target)
    with ThreadPoolExecutor(PROCESSES) as pool:
        shares = pool.map(lambda number: of("rate", count // PROCESSES, seed + 1 + number), range(PROCESSES))
        both = sum(one for share in shares for one in share)
    yield Figure(f"texts of {WINDOWS:,} windows, two processes", "a second", [both], RATE, least=True)
    grown = of("growth", chosen.memory_texts, seed + 3)
    yield Figure(f"growth of memory over {chosen.memory_texts:,} texts", "MB", grown, GROWTH)
    yield importing(folder, chosen.runs)
    yield whole_processes(folder, chosen.runs, seed)
    for width in map(int, filter(None, chosen.widths.split(","))):
        found = [one for _ in range(chosen.runs) for one in of("ratio", width)]
        yield Figure(f"machine beside kernels, LSTM of width {width}", "times", found, RATIOS.get(width))


def importing(folder: str, runs: int) -> Figure:
    """The seconds of an import. The first two fill what is cached and do not count."""
    found = [float(process(["-c", IMPORTING], folder)) for _ in range(runs + 2)]
    return Figure("import of neuromorph", "s", found[2:], IMPORT)


def whole_processes(folder: str, runs: int, seed: int) -> Figure:
    """By how many seconds a process that trains a new text takes longer than one that imports NumPy."""
    found = []
    for text in islice(texts(seed + 2_000), runs + 2):
        ours = timed(["-c", FIRST], folder, text, {"NEUROMORPH_TIER": "auto"})
        found.append(ours - timed(["-c", NUMPY], folder))
    return Figure("process with a new text, beyond NumPy's import", "s", found[2:], WHOLE)


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
                speed = count / sum(first_runs(way, some, WINDOWS, pool, LIMIT))
        except WorkerError as error:
            yield f"{way.name}: {error}"
            continue
        found = f"median {statistics.median(first):,.0f} ms, slowest {max(first):,.0f} ms"
        yield f"{way.name}: text to first trained window: {found}; {speed:.2f} texts a second"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the figures; 1 if one of them misses its target, else 0."""
    chosen = _parser().parse_args(arguments)
    if chosen.task is not None:
        task, *numbers = json.loads(chosen.task)
        warm_up(chosen.seed)
        print(json.dumps(TASKS[task](*numbers)))
        return 0
    announced()
    with tempfile.TemporaryDirectory(prefix="neuromorph-start-") as folder:
        figures = list(measured(folder, chosen))
    print(table(figures), flush=True)
    if chosen.peers:
        for line in peers_lines(chosen.peers, chosen.seed, {peer: present(peer, chosen.jax0431) for peer in PEERS}):
            print(line, flush=True)
    return int(any(figure.missed for figure in figures))


def _parser() -> argparse.ArgumentParser:
    about, _, rest = (__doc__ or "").partition("\n\n")
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=about, epilog=rest, formatter_class=raw)
    number = whole_number(1)
    parser.add_argument(
        "--texts", type=whole_number(2), default=200, metavar="N", help="of each measurement (default: 200)"
    )
    parser.add_argument("--memory-texts", type=number, default=10_000, metavar="N", help="of that of memory")
    parser.add_argument("--widths", default=",".join(map(str, RATIOS)), help="of the comparison with compiled kernels")
    parser.add_argument("--runs", type=number, default=5, help="of a process that is timed (default: 5)")
    parser.add_argument("--seed", type=whole_number(0), default=0, help="of the random texts")
    parser.add_argument("--peers", type=int, default=0, metavar="N", help="texts for JAX and PyTorch (default: none)")
    parser.add_argument("--jax0431", type=Path, metavar="PYTHON", help="the interpreter that has JAX 0.4.31")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
