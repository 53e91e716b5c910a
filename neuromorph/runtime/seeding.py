"""The random generator that parameters are drawn from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NeuromorphError, brief
from ..graph import Graph
from ..host.forks import after_in_child, new_lock

lock = new_lock()
_generator: np.random.Generator | None = None
_seeded = False  # whether ``seed`` was last called with a number


class NotFiniteError(NeuromorphError, ValueError):
    """The initialisers drew a parameter that the model's dtype can't hold."""


def seed(value: int | None = None) -> None:
    """Restart the generator from which ``build`` draws parameters.

    value: a whole number >= 0, or None for fresh entropy. On one NumPy version and platform, one seed always gives the
    same parameters. Each further build continues the same sequence of random numbers.
    """
    global _generator, _seeded
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer)):
        raise TypeError(f"seed must be a whole number, not {brief(value)}")
    if value is not None and value < 0:
        raise ValueError(f"seed must be at least 0, not {brief(value)}")
    with lock:
        _generator, _seeded = np.random.Generator(np.random.PCG64(value)), value is not None


def generator() -> np.random.Generator:
    """The generator that builds draw from. A caller that draws must hold ``lock``, which also keeps forks waiting."""
    global _generator
    with lock:
        if _generator is None:
            _generator = np.random.Generator(np.random.PCG64())
        return _generator


def restore_generator(state: dict[str, Any]) -> None:
    """Set the generator's state, in the form that NumPy gives it for PCG64."""
    global _generator
    bits = np.random.PCG64(0)
    bits.state = state  # type: ignore[assignment]
    with lock:
        _generator = np.random.Generator(bits)


def _draw_anew() -> None:
    """In a forked child, take new entropy if no seed was set, so that it draws other numbers than its parent.

    A generator that ``load`` has restored is replaced too: a child can load the file itself.
    """
    global _generator
    if not _seeded:
        _generator = None


after_in_child(_draw_anew)


def draw_parameters(graph: Graph, rng: np.random.Generator, dtype: str) -> dict[str, NDArray[Any]]:
    """New parameters by name, drawn in float64 and cast to ``dtype``.

    They are drawn for live nodes in text order, first the weight (in C order), then the bias. Raises NotFiniteError.
    """
    with np.errstate(over="ignore"):
        found = {array.name: array.draw(rng).astype(dtype) for array in graph.arrays}
    for name, array in found.items():
        if not np.isfinite(array).all():
            raise NotFiniteError(f"the initialiser draws numbers for {name} that {dtype} can't hold")
    return found
