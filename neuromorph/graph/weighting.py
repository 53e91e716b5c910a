"""Weighted means for the interpreter. The mean of finite numbers is finite, however large numbers and weights are."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..functions.records import Array


def weights_of(weight: ArrayLike | None, inputs: Array) -> Array:
    """The weights (S, B); ones if ``weight`` is None."""
    return np.ones(inputs.shape[:2]) if weight is None else np.array(weight, np.float64)


def scaled(weights: Array) -> Array:
    """The weights divided by the largest, so that no sum of them overflows."""
    return weights / weights.max() if weights.any() else weights


def weighted_means(losses: Array, weights: Array) -> tuple[Array, float]:
    """The weighted mean loss of each sample over its lanes, (S,), and that over all vectors."""
    samples = [mean_of(row, weight) for row, weight in zip(losses, weights, strict=True)]
    return np.array(samples), mean_of(losses.ravel(), weights.ravel())


def mean_of(losses: Array, weights: Array) -> float:
    """The weighted mean; 0 if all weights are 0. For finite numbers it is finite."""
    kept = weights > 0.0
    if not kept.any():
        return 0.0
    relative, some = scaled(weights[kept]), losses[kept]
    largest = np.abs(some).max()
    if not np.isfinite(largest) or largest == 0.0:
        return float(some.sum())
    return float(largest * np.clip(np.sum(some / largest * (relative / relative.sum())), -1.0, 1.0))
