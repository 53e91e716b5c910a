"""Measures the time of building models: cold, with an empty cache, and warm, from the cache, in new processes.

    python tools/build_times.py                       # lstm-model of the examples and four random graphs
    python tools/build_times.py --random 12 --runs 3  # more graphs, fewer rounds
    python tools/build_times.py --json out.json

A cold build is timed inside a process that is limited to one core, from before ``import neuromorph`` to a model that is
ready to train; the cache's folder is empty. A warm start is a whole process, from its start to its end: it imports
neuromorph, builds from the cache and trains once. In turns with it runs a process that imports Numba and calls one
function from Numba's own cache; the difference is the cost of a warm start beyond Numba. The best of several rounds
counts. Some rounds of warm starts come first and are not counted, so that everything is byte-compiled and in the
system's memory. On a busy machine, only the processor seconds of a cold build are meaningful.

Random graphs are those of ``tools/benchmark.py --random``, the first with enough nodes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from peers import report
from peers.arguments import new_file, whole_number
from peers.cases import MODELS, Case
from peers.random_cases import random_cases

COLD, COLD_RANDOM, WARM = 3.0, 8.0, 0.15  # target times in seconds
LOOKED_AT = 1_000  # random graphs that are searched for some with enough nodes
LIMIT = 600  # seconds for a process

BUILD = """
import json, os, sys, time
started = time.perf_counter()
text, batch, window, train = json.load(sys.stdin)
if not train and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
import warnings
import neuromorph as nm
warnings.simplefilter("ignore", nm.MDLWarning)
model = nm.build(nm.compile(text, batch, 0.1, bptt_steps=window))
print(time.perf_counter() - started, time.process_time())
if train:
    import numpy as np
    rows = window, batch
    nm.train(model, np.zeros((*rows, model.input_width)), np.full((*rows, model.output_width), 0.5), 0)
"""

NUMBA = """
import numpy as np
from numba import njit

@njit(cache=True)
def total(x):
    result = 0.0
    for value in x:
        result += value
    return result

total(np.zeros(100))
"""


@dataclass(frozen=True)
class Cold:
    """The cold builds of one model: wall seconds and processor seconds of every round, and the target in seconds."""

    name: str
    nodes: int
    layers: int
    target: float
    seconds: list[float]
    cpu: list[float]

    @property
    def best(self) -> float:
        """The seconds of the quickest round."""
        return min(self.seconds)


@dataclass(frozen=True)
class Warm:
    """The seconds of warm starts, of whole processes: with neuromorph, and with Numba and a function of its cache."""

    target: float
    ours: list[float]
    numba: list[float]

    @property
    def longer(self) -> float:
        """The seconds by which the best start with neuromorph is longer than the best one with Numba."""
        return min(self.ours) - min(self.numba)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write the figures; 1 if one of them misses its target, else 0."""
    options = _parser().parse_args(arguments)
    machine = report.machine()
    print(f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}", flush=True)
    if (machine["load"] or 0.0) > 0.5:
        print(f"the machine is busy (load {machine['load']:.1f}): the figures below mean little", flush=True)
    lstm = Case("lstm-model", (MODELS / "lstm-model.mdl").read_text(encoding="utf-8"), 5, 16, 16, 0.1)
    warm = warm_starts(lstm, options.runs)
    cold = [cold_builds(lstm, COLD, options.runs)]
    graphs = large_graphs(options.seed, options.random, options.nodes)
    cold += [cold_builds(case, COLD_RANDOM, options.runs) for case in graphs]
    print(table(cold, warm))
    if options.json is not None:
        found = {"machine": machine, "cold": [asdict(one) for one in cold], "warm": asdict(warm)}
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(warm.longer > warm.target or any(one.best > one.target for one in cold))


# Options -------------------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    about, _, rest = (__doc__ or "").partition("\n\n")
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=about, epilog=rest, formatter_class=raw)
    parser.add_argument("--runs", type=whole_number(1), default=5, help="rounds; the best counts (default: 5)")
    parser.add_argument(
        "--random", type=whole_number(0), default=4, metavar="N", help="so many random graphs (default: 4)"
    )
    parser.add_argument(
        "--nodes", type=whole_number(1), default=25, help="fewest nodes of a random graph (default: 25)"
    )
    parser.add_argument("--seed", type=whole_number(0), default=0, help="of the random graphs (default: 0)")
    parser.add_argument("--json", type=new_file, metavar="FILE", help="write all figures")
    return parser


def large_graphs(seed: int, count: int, nodes: int) -> list[Case]:
    """The first ``count`` random graphs that have at least ``nodes`` nodes."""
    large = (case for case in islice(random_cases(seed), LOOKED_AT) if _nodes(case) >= nodes)
    found = list(islice(large, count))
    if len(found) < count:
        print(f"only {len(found)} of {LOOKED_AT} random graphs have {nodes} nodes", flush=True)
    return found


def _nodes(case: Case) -> int:
    return len(case.model().graph.nodes)


# Measuring -----------------------------------------------------------------------------------------------------------


def cold_builds(case: Case, target: float, runs: int) -> Cold:
    """Measure cold builds of one model, each in a process and a cache of its own."""
    seconds, cpu = [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="neuromorph-build-") as folder:
            figures = _process(["-c", BUILD], folder, _order(case, train=False)).split()
        seconds.append(float(figures[0]))
        cpu.append(float(figures[1]))
    graph = case.model().graph
    print(f"{case.name}: {min(seconds):.2f} s, {min(cpu):.2f} s of the processor", file=sys.stderr, flush=True)
    return Cold(case.name, len(graph.nodes), len(graph.parameters), target, seconds, cpu)


def warm_starts(case: Case, runs: int) -> Warm:
    """Measure warm starts with neuromorph and with Numba in turns. The first two of each fill the cache and do not
    count."""
    ours, numba = [], []
    with tempfile.TemporaryDirectory(prefix="neuromorph-build-") as folder:
        script = Path(folder) / "numba_function.py"
        script.write_text(NUMBA, encoding="utf-8")
        for _ in range(runs + 2):
            ours.append(_timed(["-c", BUILD], folder, _order(case, train=True)))
            numba.append(_timed([str(script)], folder, ""))
    return Warm(WARM, ours[2:], numba[2:])


def _order(case: Case, *, train: bool) -> str:
    return json.dumps([case.text, case.batch, case.window, train])


def _timed(command: list[str], folder: str, order: str) -> float:
    """The seconds of a whole process."""
    started = time.perf_counter()
    _process(command, folder, order)
    return time.perf_counter() - started


def _process(command: list[str], folder: str, order: str) -> str:
    """The output of a new Python process whose caches are in ``folder``. SystemExit if it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"NEUROMORPH_CACHE_DIR": str(Path(folder) / "cache"), "NUMBA_CACHE_DIR": str(Path(folder) / "numba")}
    done = subprocess.run(
        [sys.executable, *command], input=order, env=environment, capture_output=True, text=True, timeout=LIMIT
    )
    if done.returncode:
        raise SystemExit(f"a process failed:\n{done.stderr}")
    return done.stdout


# What comes out ------------------------------------------------------------------------------------------------------


def table(cold: Sequence[Cold], warm: Warm) -> str:
    """The figures as lines of text."""
    width = max(len(one.name) for one in cold)
    lines = [f"{'cold build, one core':{max(width, 20)}}  nodes  layers  seconds  processor's  aimed at"]
    for one in cold:
        figures = f"{one.nodes:5}  {one.layers:6}  {one.best:7.2f}  {min(one.cpu):11.2f}  <= {one.target:5.2f}"
        lines.append(f"{one.name:{max(width, 20)}}  {figures}{_mark(one.best > one.target)}")
    lines += [
        f"warm start: ours {min(warm.ours):.3f} s, Numba with a cached function {min(warm.numba):.3f} s: "
        f"{warm.longer:+.3f} s, aimed at <= {warm.target:.2f}{_mark(warm.longer > warm.target)}"
    ]
    return "\n".join(lines)


def _mark(missed: bool) -> str:
    return "  missed" if missed else ""


if __name__ == "__main__":
    sys.exit(main())
