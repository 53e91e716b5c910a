"""Runs that are trained in milliseconds, their data, and scores that note what was trained where."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

import neuromorph as nm

TEXT = "/xavier,zero/ (input, 2) (h, 3, <tanh>) (output, 1, <sigmoid>, <binary_cross_entropy>)"
LOG = "NEUROMORPH_TEST_LOG"  # the variable with the name of the file in which scores note their runs


def data() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(32, 2)).astype(np.float32)
    expected = (inputs[:, :1] * inputs[:, 1:] > 0).astype(np.float32)
    return {"inputs": inputs, "expected": expected, "validation": 0.25, "layout": "NW"}


def runs(count: int = 4, budget: int | None = 2, **more: Any) -> list[nm.Run]:
    arguments = {"batch_size": 8, "learning_rate": 0.1, "tier": "instant", **more}
    rates = [0.1 * (seed + 1) for seed in range(count)]
    return [nm.Run(TEXT, arguments | {"learning_rate": rates[seed]}, seed=seed, budget=budget) for seed in range(count)]


def note(model: Any) -> str:
    """Note in the log that a model was trained, and by which process; the model's mark, its learning rate."""
    mark = f"{model.learning_rate:.1f}"
    with open(os.environ[LOG], "a", encoding="utf-8") as log:
        log.write(f"{mark} {os.getpid()}\n")
    return mark


def noted(log: Path) -> list[tuple[str, int]]:
    """The marks of the models that were trained so far, and the processes."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return [(line.split()[0], int(line.split()[1])) for line in lines]


def plain(model: Any, given: Any) -> float:
    note(model)
    return float(model.learning_rate)


def slow(model: Any, given: Any) -> float:
    """The second half of the runs takes long."""
    mark = float(note(model))
    time.sleep(0.05 if mark < 0.25 else 60.0)
    return mark


def steady(model: Any, given: Any) -> float:
    note(model)
    time.sleep(0.1)
    return float(model.learning_rate)


def deadly(model: Any, given: Any) -> float:
    """The first run kills its process each time, the second one the first time only."""
    mark = note(model)
    times = sum(one == mark for one, _ in noted(Path(os.environ[LOG])))
    if mark == "0.1" or (mark == "0.2" and times == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return float(mark)


def deadly_later(model: Any, given: Any) -> float:
    """The second run kills its process when it is scored for the second time."""
    mark = note(model)
    if mark == "0.2" and sum(one == mark for one, _ in noted(Path(os.environ[LOG]))) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return float(mark)


def hungry(model: Any, given: Any) -> float:
    raise MemoryError("no room for 3 TB")
