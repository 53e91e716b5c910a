"""How long peers take from a model that is new to them to the end of its first training call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import neuromorph as nm

from .case import Case
from .cases import data
from .engine import DATA, PARAMETERS, Task, Variant
from .processes import Pool
from .variants import written


@dataclass(frozen=True)
class Way:
    """A peer, and how it trains one window and many: each as its users would to wait least."""

    name: str
    engine: str
    one: Variant
    many: Variant

    def variant(self, windows: int) -> Variant:
        """The variant for so many windows."""
        return self.one if windows == 1 else self.many


_EAGER, _COMPILED = Variant("eager", "eager", fused=True), Variant("torch.compile", "compile", fused=True)
_JITTED = Variant("jit a window", "calls", fused=True), Variant("jit", "scan", fused=True)

WAYS = (
    Way("JAX, jit", "jax", *_JITTED),
    Way("JAX 0.4.31, jit", "jax0431", *_JITTED),
    Way("PyTorch, eager", "torch", _EAGER, _EAGER),
    Way("PyTorch, torch.compile", "torch", _COMPILED, _COMPILED),
)


def first_runs(way: Way, cases: Sequence[Case], windows: int, pool: Pool, limit: float) -> list[float]:
    """Seconds that each case but the first takes: the first loads the library. limit: seconds for a case.

    The peer may use all processors. Raises WorkerError where a case fails or takes too long.
    """
    threads, found = len(os.sched_getaffinity(0)), []
    for case in cases:
        short = replace(case, samples=windows * case.window)
        hand_over(short, Path(pool.folder))
        variant = way.variant(windows)
        task = Task(way.engine, short, variant, threads, pool.folder, 1, program=written(short, variant))
        order = {"do": "first run", "task": task.as_json()}
        found.append(float(pool.process((way.engine, threads)).ask(order, limit)))
    return found[1:]


def hand_over(case: Case, folder: Path) -> None:
    """Write initial parameters and data, which the peer reads."""
    model = nm.build(case.model(), seed=1)
    np.savez(folder / PARAMETERS, **nm.get_parameters(model))  # type: ignore[arg-type]
    for name, array in zip(DATA, data(case), strict=True):
        np.save(folder / name, array)
