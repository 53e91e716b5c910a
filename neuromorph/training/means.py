"""Computes weighted means that do not overflow if the values themselves are finite."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEW = 1 << 12  # numbers: for so few, a BLAS starts no threads
MANY = 1 << 22  # so many numbers are added part by part, which needs no copy of them all
SMALL, LARGE = 1e-250, 1e300  # sums between these have neither underflowed nor overflowed


def weighted_mean(values: NDArray[Any], weights: NDArray[Any] | None = None) -> float:
    """The weighted mean of numbers, 0.0 if all weights are 0. The mean of finite numbers is finite.

    weights: None for equal ones, else finite and >= 0, in the shape of the values. With one more axis, the weights of a
    value are summed over it.
    """
    if values.size > MANY:
        return _mean_in_parts(values, weights)
    values = np.asarray(values, np.float64)
    if weights is None and values.size <= FEW and math.isfinite(np.vdot(values, values)):  # so no sum overflows
        return float(np.add.reduce(values, axis=None)) / values.size
    with np.errstate(over="ignore", invalid="ignore"):
        if weights is None:
            total, whole = float(np.add.reduce(values, axis=None)), float(values.size)
        else:
            shares = _shares(values, weights)
            total, whole = float(np.add.reduce(values * shares, axis=None)), float(np.add.reduce(shares, axis=None))
        if whole == 0.0:
            return 0.0
        if SMALL < whole < LARGE and abs(total) < LARGE:
            return total / whole
        return _careful_mean(values, weights)


def _mean_in_parts(values: NDArray[Any], weights: NDArray[Any] | None) -> float:
    """The weighted mean of many numbers: that of the means of parts of the first axis."""
    step = max(1, MANY * len(values) // (4 * values.size))
    means, wholes = [], []
    for start in range(0, len(values), step):
        some = np.asarray(values[start : start + step], np.float64).reshape(-1)
        parts = None if weights is None else weights[start : start + step]
        if parts is not None and parts.size > some.size:
            parts = np.add.reduce(parts, axis=-1, dtype=np.float64)
        shares = None if parts is None else np.asarray(parts, np.float64).reshape(-1)
        means.append(weighted_mean(some, shares))
        wholes.append(total_weight(shares, len(some)))
    return weighted_mean(np.array(means), np.array(wholes))


def total_weight(weights: NDArray[Any] | None, vectors: int) -> float:
    """The sum of the weights of so many vectors; None stands for ones."""
    return float(vectors) if weights is None else float(np.add.reduce(weights, axis=None, dtype=np.float64))


def _shares(values: NDArray[np.float64], weights: NDArray[Any]) -> NDArray[np.float64]:
    """One weight for each value."""
    if weights.ndim == values.ndim:
        return weights.astype(np.float64)
    shares: NDArray[np.float64] = np.add.reduce(weights, axis=-1, dtype=np.float64)
    return shares


def _careful_mean(values: NDArray[np.float64], weights: NDArray[Any] | None) -> float:
    """The weighted mean, computed without overflow: values are divided by the largest value, weights likewise."""
    if weights is None:
        shares = np.ones_like(values)
    else:
        shares = _shares(values, weights.astype(np.float64) / float(weights.max()))
    largest = float(np.abs(values).max())
    if not 0.0 < largest < np.inf:  # all are 0, or one is not finite
        return float(np.add.reduce(values * shares, axis=None) / np.add.reduce(shares, axis=None))
    share = np.add.reduce(values / largest * (shares / np.add.reduce(shares, axis=None)), axis=None)
    return largest * min(1.0, max(-1.0, float(share)))
