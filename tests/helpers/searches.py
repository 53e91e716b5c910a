"""Fitness functions and data for searches, which worker processes import."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import neuromorph as nm


def products(samples: int = 96) -> tuple[Any, Any]:
    """Data that a linear network can't learn: the product of two numbers, and a number of two steps before."""
    x = np.random.default_rng(0).normal(size=(samples, 1, 3)).astype(np.float32)
    y = np.stack([x[:, 0, 0] * x[:, 0, 1], np.roll(x[:, 0, 2], 2)], -1)[:, None]
    return x, y


def echo(model: nm.Model, rng: np.random.Generator) -> float:
    """How well a network repeats its input of the step before: minus the mean squared error."""
    x = rng.normal(size=(12, 1, 1))
    y = model.predict(x)
    return -float(np.mean((y[1:] - x[:-1]) ** 2))


def small(model: nm.Model, rng: np.random.Generator) -> float:
    """Few parameters are good."""
    return -float(model.parameter_count)


def parameters(model: nm.Model, rng: np.random.Generator) -> float:
    """Many parameters are good."""
    return float(model.parameter_count)


def grows(model: nm.Model, rng: np.random.Generator) -> float:
    """Adds 1 to the output's bias, and returns it: the score counts the generations that inherit."""
    found = model.get_parameters()["output.bias"] + 1.0
    model.set_parameters({"output.bias": found})
    return float(found[0])


def fails(model: nm.Model, rng: np.random.Generator) -> float:
    raise KeyError("no such pole")


def sometimes_fails(model: nm.Model, rng: np.random.Generator) -> float:
    if model.parameter_count % 2:
        raise ValueError("odd")
    return -float(model.parameter_count)


def no_number(model: nm.Model, rng: np.random.Generator) -> Any:
    return "good"


def not_finite(model: nm.Model, rng: np.random.Generator) -> float:
    return float("nan")


class KillsOnce:
    """Kills its worker process at the first call of all; the file at ``path`` says that this has happened. Later calls
    are those of ``function``."""

    def __init__(self, path: Path, function: Callable[[Any, Any], float]) -> None:
        self.path, self.function = path, function

    def __call__(self, model: nm.Model, other: Any) -> float:
        try:
            self.path.touch(exist_ok=False)
        except FileExistsError:
            return self.function(model, other)
        os.kill(os.getpid(), signal.SIGKILL)
        return 0.0


def kills(model: nm.Model, rng: np.random.Generator) -> float:
    """Kills every worker process."""
    os.kill(os.getpid(), signal.SIGKILL)
    return 0.0


def sometimes_kills(model: nm.Model, rng: np.random.Generator) -> float:
    """Kills the worker process where ``sometimes_fails`` fails."""
    return kills(model, rng) if model.parameter_count % 2 else sometimes_fails(model, rng)


def first_weight(model: nm.Model, data: Any) -> float:
    """A score of a trained model."""
    return float(abs(model.get_parameters()["output.bias"][0]))
