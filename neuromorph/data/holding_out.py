"""Draws the part of independent data that is held out for validation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.intp]
_PIECE = 1 << 20  # entries that are looked up at once


def held_number(count: int, fraction: float) -> int:
    """How many of ``count`` a fraction holds out; at least 1, and perhaps all."""
    return max(1, round(fraction * count))


def drawn(count: int, held: int, classes: NDArray[Any] | None = None) -> tuple[Numbers, Numbers]:
    """Which of ``count`` are kept and which are held out, both in ascending order.

    The same numbers give the same part each time: training that goes on must not learn from what was held out before.
    classes: the class of each; then the part has about as large a share of each class as all have.
    """
    rng = np.random.Generator(np.random.PCG64(0))
    out = np.zeros(count, bool)
    if classes is None:
        out[_mixed(np.arange(count), rng)[:held]] = True
    else:
        kinds, sizes = _kinds(classes)
        for kind, quota in enumerate(_quotas(sizes, held)):
            out[_mixed(np.flatnonzero(kinds == kind), rng)[:quota]] = True
    return np.flatnonzero(~out), np.flatnonzero(out)


def _mixed(numbers: Numbers, rng: np.random.Generator) -> Numbers:
    """The array itself, mixed: a table may have so many rows that a copy counts."""
    rng.shuffle(numbers)
    return numbers


def _kinds(classes: NDArray[Any]) -> tuple[NDArray[Any], Numbers]:
    """The number of the class of each, and the size of each class. NaN is a class too.

    ``np.unique`` gives the same numbers, but needs several arrays of 8 bytes an entry for it.
    """
    values, sizes = np.unique(classes, return_counts=True)
    kinds = np.empty(len(classes), np.min_scalar_type(len(values)))
    for start in range(0, len(classes), _PIECE):
        kinds[start : start + _PIECE] = np.searchsorted(values, classes[start : start + _PIECE])
    return kinds, sizes


def _quotas(sizes: NDArray[np.intp], held: int) -> NDArray[np.intp]:
    """How many of each class are held out: its share rounded down, and one more where most is lost by that.

    The last one of a class is held out only if there is no other way.
    """
    exact = sizes * (held / sizes.sum())
    quotas: NDArray[np.intp] = np.floor(exact).astype(np.intp)
    missing = held - int(quotas.sum())
    order = np.lexsort((quotas - exact, sizes - quotas <= 1))
    quotas[order[:missing]] += 1
    return quotas
