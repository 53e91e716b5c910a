"""The random generator that parameters are drawn from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NeuromorphError, brief
from ..graph import Graph
from ..host.forks import after_in_child, after_in_parent, new_lock

lock = new_lock()
_generator: np.random.Generator | None = None
_seed: int | None = None  # of the last call of ``seed``
_forks: tuple[int, ...] = ()  # of this process since the last call of ``seed``, after those of its parents


class NotFiniteError(NeuromorphError, ValueError):
    """The initialisers drew a parameter that the model's dtype can't hold."""


def seed(value: int | None = None) -> None:
    """Restart the generator from which ``build`` draws parameters.

    value: a whole number >= 0, or None for fresh entropy. On one NumPy version and platform, one seed always gives the
    same parameters. Each further build continues the same sequence of random numbers. There is one generator for all
    threads, which take their numbers in whatever order they come: there, give each ``build`` a seed of its own. After a
    fork, the child draws other numbers than its parent: fresh ones without a seed, else ones that follow from the seed
    and the number of the fork.
    """
    global _generator, _seed, _forks
    number = None if value is None else checked_seed(value)
    with lock:
        _generator, _seed, _forks = new_generator(number), number, (0,)


def checked_seed(value: Any) -> int:
    """A seed as a whole number of at least 0; TypeError or ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"seed must be a whole number, not {brief(value)}")
    if value < 0:
        raise ValueError(f"seed must be at least 0, not {brief(value)}")
    return int(value)


def new_generator(seed: int | None) -> np.random.Generator:
    """A generator of its own, with a seed or with fresh entropy."""
    return np.random.Generator(np.random.PCG64(seed))


def generator() -> np.random.Generator:
    """The generator that builds draw from. A caller that draws must hold ``lock``, which also keeps forks waiting."""
    global _generator
    with lock:
        if _generator is None:
            _generator = new_generator(None)
        return _generator


def restore_generator(state: dict[str, Any]) -> None:
    """Set the generator's state, in the form that NumPy gives it for PCG64."""
    global _generator
    bits = np.random.PCG64(0)
    bits.state = state  # type: ignore[assignment]
    with lock:
        _generator = np.random.Generator(bits)


def _count_fork() -> None:
    """In the parent of a fork, count it."""
    global _forks
    if _forks:
        _forks = (*_forks[:-1], _forks[-1] + 1)


def _draw_anew() -> None:
    """In a forked child, begin with other numbers than the parent and its other children draw.

    Without a seed they are fresh. With a seed they follow from the seed and from the number of the fork, so that a
    program that forks in the same order draws the same numbers again. A generator that ``load`` has restored is
    replaced too: a child can load the file itself.
    """
    global _generator, _forks
    _generator = None
    if _seed is not None:
        _generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(_seed, spawn_key=_forks)))
        _forks = (*_forks, 0)


after_in_child(_draw_anew)
after_in_parent(_count_fork)


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
