"""What every contestant of a case is: one library, one way to write the model, one number of threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .cases import Case
from .program import Program, program

PARAMETERS = "parameters.npz"  # our initial parameters, in the case's folder
BIG_WINDOW = 10_000_000  # floating-point operations of a window beside which a call of its own costs little


@dataclass(frozen=True)
class Variant:
    """One way to write a model in one library.

    how: "train" (ours), "scan" (JAX: all windows in one call), "calls" (JAX: a call for each window), "eager",
    "compile" (torch.compile of forward, backward and update together) or "module" (PyTorch's own layers). unroll: steps
    that JAX's scan over time unrolls.
    """

    name: str
    how: str
    fused: bool = False
    unroll: int = 1


@dataclass(frozen=True)
class Task:
    """What a worker process is told: ``check`` windows are compared with ours, 0 where ours are not known yet;
    ``slow`` is the most seconds a run may take before it gets fewer windows (PyTorch only: its cost is per window)."""

    engine: str
    case: Case
    variant: Variant
    threads: int
    folder: str
    check: int = 0
    slow: float = 2.0

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, texts and dictionaries."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Task:
        """What ``as_json`` gave."""
        return cls(**{**fields, "case": Case(**fields["case"]), "variant": Variant(**fields["variant"])})

    def parameters(self) -> dict[str, NDArray[np.float32]]:
        """Our initial parameters by name, in text order."""
        with np.load(Path(self.folder) / PARAMETERS) as stored:
            return {name: stored[name] for name in stored.files}

    def program(self) -> Program:
        """The model as code."""
        return program(self.case.model().graph, fused=self.variant.fused)


@dataclass(frozen=True)
class Prepared:
    """A contestant that is ready: its version, seconds to compile, the losses of its first windows, and for ours
    (``moved``) by how much learning changed them, relatively, so that a peer that does not learn is noticed."""

    version: str
    compiling: float
    losses: list[float]
    moved: float | None = None


@dataclass(frozen=True)
class Timing:
    """One run: seconds on the clock, seconds of all cores together, and samples."""

    seconds: float
    cpu: float
    samples: int

    @property
    def microseconds(self) -> float:
        """Of one sample."""
        return self.seconds / self.samples * 1e6


class Engine(Protocol):
    """A library that trains the task's model, from our initial parameters in each run."""

    def __init__(self, task: Task) -> None: ...

    def prepare(self) -> Prepared:
        """Compile, warm up, and train the windows that are compared."""
        ...

    def run(self) -> Timing:
        """One whole training call."""
        ...


def timed(work: Callable[[], object], samples: int) -> Timing:
    """How long some work takes."""
    cpu, clock = time.process_time(), time.perf_counter()
    work()
    seconds = time.perf_counter() - clock
    return Timing(seconds, time.process_time() - cpu, samples)


def in_windows(case: Case, array: NDArray[np.float32], recurrent: bool) -> NDArray[np.float32]:
    """(S, B, W) as (windows, U, B, W), or where time does not matter as (windows, U * B, W)."""
    steps = (case.window, case.batch) if recurrent else (case.window * case.batch,)
    return array[: case.windows * case.window].reshape(case.windows, *steps, array.shape[-1])


# The ways to write a case --------------------------------------------------------------------------------------------


def variants(engine: str, case: Case, *, thorough: bool, flops: int) -> list[Variant]:
    """The ways worth trying, those that are another's equal left out and the likeliest to win (JAX), or the quickest to
    prepare (PyTorch), first. thorough: torch.compile too, and JAX's scan over time unrolled by 4."""
    graph = case.model().graph
    differ = program(graph, fused=True).source != program(graph, fused=False).source
    styles = [(False, "node by node"), (True, "fused")] if differ else [(True, "straight")]
    if engine == "jax":
        return _jax(case, styles, graph.has_time_links, big=flops * case.window > BIG_WINDOW, thorough=thorough)
    found = [Variant(f"eager, {name}", "eager", fused) for fused, name in styles]
    if case.cell is not None:
        found.append(Variant("nn.LSTM", "module", fused=True))
    if thorough:
        found.append(Variant("torch.compile", "compile", fused=True))
    return found


def _jax(case: Case, styles: list[tuple[bool, str]], recurrent: bool, *, big: bool, thorough: bool) -> list[Variant]:
    full = min(case.window, 16)
    ends = sorted({1, full}) if recurrent else [1]
    found = [Variant(f"jit, {styles[-1][1]}{_unrolled(unroll)}", "scan", True, unroll) for unroll in ends]
    if big:
        found.append(Variant(f"jit a window, fused{_unrolled(ends[-1])}", "calls", True, ends[-1]))
    if thorough and recurrent and full > 4:
        found.append(Variant("jit, fused, unroll 4", "scan", True, 4))
    for fused, name in styles[:-1]:
        found += [Variant(f"jit, {name}{_unrolled(unroll)}", "scan", fused, unroll) for unroll in ends]
    return found


def _unrolled(unroll: int) -> str:
    return f", unroll {unroll}" if unroll > 1 else ""
