"""How fast many models of one text train at once, beside two processes that train them one by one, and JAX's vmap.

    python tools/many_times.py                      # 256 LSTMs of width 4, each over the same data
    python tools/many_times.py --models 64 --peers none

Each model has parameters and a learning rate of its own. All kernels are in the cache before the clock starts. Figures
are models' windows a second, the best of several runs; the ways take turns.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from peers.case import Case
from peers.cases import data, listed
from peers.engine import Task, Variant
from peers.environments import PEERS, present
from peers.first_runs import hand_over
from peers.processes import Pool
from peers.variants import written

import neuromorph as nm

WINDOWS, RUNS, WORKERS = 400, 5, 2
LIMIT = 600.0  # seconds for a peer to compile and run once


def models_of(case: Case, count: int, first: int = 0) -> list[nm.Model]:
    """Built models with seeds and rates of their own."""
    made = []
    for number in range(first, first + count):
        model = nm.compile(case.text, case.batch, 0.1 + 1e-4 * number, bptt_steps=case.window, threads=1)
        made.append(nm.build(model, seed=number))
    return made


def at_once(case: Case, count: int) -> Callable[[], float]:
    """What trains all models by one call and says how many seconds that took."""
    models, (inputs, expected) = models_of(case, count), data(case)

    def run() -> float:
        started = time.perf_counter()
        nm.train_many(models, inputs, expected)
        return time.perf_counter() - started

    return run


class OneByOne:
    """Two processes, each of which trains its half of the models one after the other."""

    def __init__(self, name: str, count: int, windows: int = WINDOWS) -> None:
        command = [sys.executable, __file__, "--share", str(count // WORKERS), "--case", name]
        command += ["--windows", str(windows)]
        self.workers = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(WORKERS)
        ]
        for worker in self.workers:
            self._line(worker)

    @staticmethod
    def _line(worker: subprocess.Popen[str]) -> str:
        assert worker.stdout is not None
        return worker.stdout.readline()

    def run(self) -> float:
        """Seconds until both are done."""
        started = time.perf_counter()
        for worker in self.workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        for worker in self.workers:
            self._line(worker)
        return time.perf_counter() - started

    def close(self) -> None:
        """End the processes."""
        for worker in self.workers:
            worker.communicate()


def share(case: Case, count: int) -> None:
    """One process: trains its models once for each line that it reads."""
    models, (inputs, expected) = models_of(case, count), data(case)
    for model in models:
        nm.train(model, inputs[: case.window], expected[: case.window], 0)
    print("ready", flush=True)
    for _ in sys.stdin:
        for model in models:
            nm.train(model, inputs, expected, 0)
        print("done", flush=True)


def vmapped(engine: str, case: Case, count: int, pool: Pool) -> Callable[[], float]:
    """What trains all models by ``jax.vmap`` and says how many seconds that took."""
    hand_over(case, Path(pool.folder))
    variant = Variant("vmap", "scan", fused=True)
    task = Task(engine, case, variant, WORKERS, pool.folder, 1, program=written(case, variant), models=count)
    process = pool.process((engine, WORKERS))
    process.ask({"do": "prepare", "number": 0, "task": task.as_json()}, LIMIT)
    return lambda: float(process.ask({"do": "run", "number": 0}, LIMIT)["seconds"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a line for each way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", type=int, default=256, metavar="N", help="how many (default: 256)")
    parser.add_argument("--case", default="lstm4", help="of the benchmark's cases (default: lstm4)")
    parser.add_argument("--peers", default="jax,jax0431", help="of jax, jax0431; or none")
    parser.add_argument("--jax0431", type=Path, metavar="PYTHON", help="the interpreter that has JAX 0.4.31")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"rounds; the best counts (default: {RUNS})")
    parser.add_argument("--windows", type=int, default=WINDOWS, help=f"of each model (default: {WINDOWS})")
    parser.add_argument("--share", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    case = listed()[chosen.case]
    case = replace(case, samples=chosen.windows * case.window)
    if chosen.share:
        share(case, chosen.share)
        return 0
    peers = [] if chosen.peers == "none" else [peer for peer in chosen.peers.split(",") if peer in PEERS]
    found = {peer: present(peer, chosen.jax0431) for peer in peers}
    pythons = {peer: place.python for peer, place in found.items() if place.python}
    with Pool(pythons) as pool:
        one_by_one = OneByOne(chosen.case, chosen.models, chosen.windows)
        ways = {"train_many": at_once(case, chosen.models), "two processes": one_by_one.run}
        for peer, place in found.items():
            if place.missing:
                print(f"{peer} is left out: {place.missing}")
            else:
                ways[f"{peer}, vmap"] = vmapped(peer, case, chosen.models, pool)
        best = dict.fromkeys(ways, np.inf)
        for _ in range(chosen.runs):
            for name, run in ways.items():
                best[name] = min(best[name], run())
        one_by_one.close()
    for name, seconds in best.items():
        rate, ratio = chosen.models * chosen.windows / seconds, seconds / best["train_many"]
        print(f"{name:<16}  {rate:>12,.0f} windows a second; train_many is {ratio:.2f} times as fast")
    return 0


if __name__ == "__main__":
    sys.exit(main())
