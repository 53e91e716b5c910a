"""What every contestant of a case is: one library, one way to write the model, one number of threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .case import Case
from .program import Program

PARAMETERS = "parameters.npz"  # our initial parameters, in the case's folder
DATA = ("inputs.npy", "expected.npy")  # beside them
SPARSE = 0.5  # the density of a frozen matrix below which its zeros may be left out


@dataclass(frozen=True)
class Variant:
    """One way to write a model in one library.

    how: "train" (ours), "scan" (JAX: all windows in one call), "calls" (JAX: a call for each window), "eager",
    "compile" (torch.compile of forward, backward and update together) or "module" (PyTorch's own layers). fused,
    layered, linear: see ``writer.program``. unroll: steps that JAX's scan over time unrolls. convolution: "product" of
    what all taps read side by side, "sum" of a product for each tap, or the library's "convolution". parallel: whether
    a linear loop is a parallel scan, or else step by step. sparse: whether frozen weights are stored sparsely.
    """

    name: str
    how: str
    fused: bool = False
    unroll: int = 1
    layered: bool = False
    linear: bool = False
    parallel: bool = False
    convolution: str = "product"
    sparse: bool = False


@dataclass(frozen=True)
class Task:
    """What a worker process is told: ``check`` windows are compared with ours, 0 where ours are not known yet;
    ``slow`` is the most seconds a run may take before it gets fewer windows (PyTorch only: its cost is per window).
    ``program`` is the model as code, for peers. ``models``: of this text, which JAX trains at once."""

    engine: str
    case: Case
    variant: Variant
    threads: int
    folder: str
    check: int = 0
    slow: float = 2.0
    program: Program | None = None
    models: int = 1

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, texts and dictionaries."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Task:
        """What ``as_json`` gave."""
        case = Case(**{**fields["case"], "cells": tuple(fields["case"]["cells"])})
        program = None if fields["program"] is None else Program.from_json(fields["program"])
        return cls(**{**fields, "case": case, "variant": Variant(**fields["variant"]), "program": program})

    @property
    def written(self) -> Program:
        """The program of a peer's task."""
        assert self.program is not None
        return self.program

    def parameters(self) -> dict[str, NDArray[np.float32]]:
        """Our initial parameters by name, in text order."""
        with np.load(Path(self.folder) / PARAMETERS) as stored:
            return {name: stored[name] for name in stored.files}

    def windows(self) -> list[NDArray[np.float32]]:
        """Inputs and expectations, (windows, U, B, W), or where time does not matter (windows, U * B, W)."""
        return [in_windows(self.case, np.load(Path(self.folder) / name), self.written.timed) for name in DATA]


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

    def first_run(self) -> None:
        """Compile where that is needed, and train all windows once: what somebody waits for who has a new model."""
        ...


def timed(work: Callable[[], object], samples: int) -> Timing:
    """How long some work takes."""
    cpu, clock = time.process_time(), time.perf_counter()
    work()
    seconds = time.perf_counter() - clock
    return Timing(seconds, time.process_time() - cpu, samples)


def in_windows(case: Case, array: NDArray[np.float32], timed: bool) -> NDArray[np.float32]:
    """(S, B, W) as (windows, U, B, W), or where time does not matter as (windows, U * B, W)."""
    steps = (case.window, case.batch) if timed else (case.window * case.batch,)
    return array[: case.windows * case.window].reshape(case.windows, *steps, array.shape[-1])
