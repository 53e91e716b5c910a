"""Measures builds with an empty cache and with a full one, in new processes, beside what they are to be.

    python tools/build_times.py                       # lstm-model of the examples, four random graphs of 30 nodes
    python tools/build_times.py --random 12 --runs 3  # more graphs, fewer runs
    python tools/build_times.py --runs 1 --random 0 --models 2 --json out.json  # the quickest, with all figures

A figure is the median of its runs, each a process of its own:

- cold builds: from the text to a model that is ready to train by kernels of its own, after the import of neuromorph.
  The cache's folder is empty, and the process is limited to one core.
- the machine: the same with ``tier="instant"``, which compiles the machine.
- memory: how much a process grows with each further model that finds its kernels in the cache, where another process
  has put them. The models are random ones of few parameters. They are trained for a window, and all are kept.
- warm starts: a whole process that imports neuromorph, builds from the cache and trains once. In turns with it runs a
  process that imports Numba and calls one function from Numba's own cache; the difference counts. Some rounds come
  first and are not counted, so that everything is byte-compiled and in the system's memory.

On a busy machine, only the processor seconds of a cold build are meaningful. Random graphs are those of
``tools/benchmark.py --random`` that have about as many nodes as ``--nodes`` says.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
from peers.arguments import new_file, whole_number
from peers.case import Case
from peers.cases import MODELS
from peers.figures import Figure, announced, process, resident, table, timed
from peers.random_cases import sized_cases

import neuromorph as nm

COLD, COLD_RANDOM, MACHINE, WARM = 1.5, 3.0, 3.0, 0.15  # targets in seconds
MEMORY = 2.0  # target in megabytes
NODES = 30  # of the random graphs that a target is for
LOOKED_AT = 1_000  # random graphs that are searched for some with enough nodes
SMALL = range(4, 41), 3_000  # nodes of the models whose memory is measured, and their parameters at most

BUILD = """
import json, os, sys, time
began = time.perf_counter()
text, batch, window, tier, trains = json.load(sys.stdin)
if not trains and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
import warnings
import neuromorph as nm
warnings.simplefilter("ignore", nm.MDLWarning)
started, cpu = time.perf_counter(), time.process_time()
model = nm.build(nm.compile(text, batch, 0.1, bptt_steps=window, tier=tier))
print(time.perf_counter() - started, time.process_time() - cpu, time.perf_counter() - began)
if trains:
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write the figures; 1 if one of them misses its target, else 0."""
    options = _parser().parse_args(arguments)
    if options.grow:
        print(growth(json.load(sys.stdin)))
        return 0
    machine = announced()
    figures = list(measured(options))
    print(table(figures))
    if options.json is not None:
        found = {"machine": machine, "figures": [asdict(figure) for figure in figures]}
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(any(figure.missed for figure in figures))


# Options --------------------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    about, _, rest = (__doc__ or "").partition("\n\n")
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=about, epilog=rest, formatter_class=raw)
    parser.add_argument("--runs", type=whole_number(1), default=5, help="of each figure (default: 5)")
    parser.add_argument(
        "--random", type=whole_number(0), default=4, metavar="N", help="so many random graphs (default: 4)"
    )
    parser.add_argument(
        "--nodes", type=whole_number(1), default=NODES, help=f"of a random graph, about (default: {NODES})"
    )
    parser.add_argument("--models", type=whole_number(2), default=6, help="whose memory is measured (default: 6)")
    parser.add_argument("--seed", type=whole_number(0), default=0, help="of the random graphs (default: 0)")
    parser.add_argument("--json", type=new_file, metavar="FILE", help="write all figures")
    parser.add_argument("--grow", action="store_true", help=argparse.SUPPRESS)
    return parser


def graphs(seed: int, count: int, nodes: int) -> list[Case]:
    """The first ``count`` random graphs that have as many nodes, or one more or less."""
    found = list(islice(sized_cases(seed, range(nodes - 1, nodes + 2), among=LOOKED_AT), count))
    if len(found) < count:
        print(f"only {len(found)} of {LOOKED_AT} random graphs have about {nodes} nodes", flush=True)
    return found


# Measuring ------------------------------------------------------------------------------------------------------------


def measured(options: argparse.Namespace) -> Iterator[Figure]:
    """All figures."""
    lstm = Case("lstm-model", (MODELS / "lstm-model.mdl").read_text(encoding="utf-8"), 5, 16, 16, 0.1)
    yield from cold_builds(lstm, options.runs, COLD)
    for case in graphs(options.seed, options.random, options.nodes):
        yield from cold_builds(case, options.runs, COLD_RANDOM if options.nodes == NODES else None)
    yield from cold_builds(lstm, options.runs, MACHINE, tier="instant")
    yield memory(options.seed, options.models, options.runs)
    yield warm_starts(lstm, options.runs)


def cold_builds(case: Case, runs: int, target: float | None, tier: str = "compiled") -> Iterator[Figure]:
    """The seconds of cold builds of one model, those of the processor, and those from before the import."""
    found = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="neuromorph-build-") as folder:
            figures = process(["-c", BUILD], folder, _order(case, tier, trains=False)).split()
        found.append(tuple(map(float, figures)))
    seconds, cpu, whole = zip(*found, strict=True)
    name = f"cold build, {case.name}, {len(case.model().graph.nodes)} nodes"
    if tier == "instant":
        name = "cold build, the machine"
    yield Figure(name, "s", seconds, target)
    yield Figure("  of the processor", "s", cpu)
    yield Figure("  with the import of neuromorph", "s", whole)


def memory(seed: int, models: int, runs: int) -> Figure:
    """The megabytes of a model whose kernels come from another process."""
    some = islice(sized_cases(seed, *SMALL), models)
    order = json.dumps([[case.text, 1, 8] for case in some])
    with tempfile.TemporaryDirectory(prefix="neuromorph-build-") as folder:
        process([__file__, "--grow"], folder, order)  # fills the cache
        only_found = {"NEUROMORPH_CACHE_MISS_IS_ERROR": "1"}
        found = [float(process([__file__, "--grow"], folder, order, only_found)) for _ in range(runs)]
    return Figure(f"memory of each of {models - 1} models from the cache", "MB", found, MEMORY)


def growth(orders: Sequence[tuple[str, int, int]]) -> float:
    """Megabytes by which this process grows with each model but the first, which loads what all need."""
    warnings.simplefilter("ignore")
    first, *others = orders
    models = [_trained(*first)]
    gc.collect()
    before = resident()
    models += [_trained(*order) for order in others]
    return (resident() - before) / len(others)


def _trained(text: str, batch: int, window: int) -> nm.Model:
    """A model that was trained for a window."""
    model = nm.build(nm.compile(text, batch, 1e-4, bptt_steps=window, tier="compiled"))
    inputs, expected = np.zeros((window, batch, model.input_width)), np.empty((window, batch, model.output_width))
    expected.fill(1 / model.output_width)
    nm.train(model, inputs, expected, 0)
    return model


def warm_starts(case: Case, runs: int) -> Figure:
    """By how many seconds warm starts take longer than those of Numba. The first two of each fill the cache."""
    found = []
    with tempfile.TemporaryDirectory(prefix="neuromorph-build-") as folder:
        script = Path(folder) / "numba_function.py"
        script.write_text(NUMBA, encoding="utf-8")
        for _ in range(runs + 2):
            ours = timed(["-c", BUILD], folder, _order(case, "compiled", trains=True))
            found.append(ours - timed([str(script)], folder))
    return Figure("warm start, beyond that of Numba", "s", found[2:], WARM)


def _order(case: Case, tier: str, *, trains: bool) -> str:
    return json.dumps([case.text, case.batch, case.window, tier, trains])


if __name__ == "__main__":
    sys.exit(main())
