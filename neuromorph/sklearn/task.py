"""What a call of ``fit`` learns from: samples, what is expected for them, and weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from ..options import finite_number
from .samples import Samples

Array = NDArray[Any]
Places = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Expected:
    """What is expected for the samples of a call.

    values: of each sample the number of its class, (n,), or a vector, (n, k). each: whether there is one for every step
    of a sequence; then it is a list with (S_i,) or (S_i, k) for each. strata: the class of each sample, or None.
    """

    values: Any
    each: bool = False
    strata: Array | None = None


@dataclass(frozen=True, eq=False)
class Task:
    """The data of a call. weights: None, (n,), or a list with (S_i,) for each sequence."""

    samples: Samples
    expected: Expected
    weights: Any = None

    @property
    def counting(self) -> Places:
        """The places of the samples with a weight above 0."""
        if self.weights is None:
            return np.arange(self.samples.count)
        if isinstance(self.weights, list):
            return np.flatnonzero([weight.any() for weight in self.weights])
        return np.flatnonzero(self.weights > 0.0)

    @property
    def weight(self) -> float:
        """The sum of the weights of samples; where steps have weights, of the mean weight of each."""
        if self.weights is None:
            return float(self.samples.count)
        return float(sum(map(np.mean, self.weights)) if isinstance(self.weights, list) else self.weights.sum())

    def taken(self, places: Places, vectors_of: Callable[[Array], Array]) -> tuple[Any, Any, Any]:
        """Inputs, what is expected and weights of some samples, as ``Model.fit`` takes them.

        vectors_of: makes what is expected of the network from the values.
        """
        inputs, values, weights = self.samples.taken(places), self.expected.values, self.weights
        if isinstance(weights, list):
            weights = _arranged([weights[place] for place in places], inputs)
        elif weights is not None:
            weights = weights[places]
        if self.expected.each:
            return inputs, _arranged([vectors_of(values[place]) for place in places], inputs), weights
        return inputs, vectors_of(values[places]), weights

    def divided(self, fraction: Any, seed: int) -> tuple[Places, Places]:
        """The places of samples to learn from, and of those for validation; with each class's share where possible."""
        places = self.counting
        strata = None if self.expected.strata is None else self.expected.strata[places]
        share = finite_number("validation_fraction", fraction)
        if not 0.0 < share < 1.0:
            raise ValueError(f"validation_fraction must be above 0 and below 1, not {share!r}")
        if strata is not None and not _can_be_stratified(strata, share):
            strata = None
        kept, held_out = train_test_split(places, test_size=share, random_state=seed, stratify=strata)
        return np.sort(kept), np.sort(held_out)


def _arranged(rows: list[Array], inputs: Any) -> Any:
    """Arrays of sequences, as a list if the sequences are one."""
    return rows if isinstance(inputs, list) else np.stack(rows)


def _can_be_stratified(strata: Array, fraction: float) -> bool:
    """Whether each class can be in both parts."""
    _, counts = np.unique(strata, return_counts=True)
    held_out = int(np.ceil(fraction * len(strata)))
    return bool(counts.min() >= 2 and min(held_out, len(strata) - held_out) >= len(counts))


# Weights --------------------------------------------------------------------------------------------------------------


def checked_weights(sample_weight: Any, samples: Samples, *, each: bool) -> Any:
    """The weights of samples (n,), or where there is something at every step, a list of those of the steps; None if
    none are given. ValueError for weights that do not fit, that are negative or not finite, or that all are 0."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, int | float):
        sample_weight = np.full(samples.count, sample_weight)
    if each:
        given = list(sample_weight)
        if len(given) != samples.count:
            raise ValueError(f"sample_weight has {len(given)} items, and X has {samples.count} sequences")
        found: Any = [
            _numbers(np.full(steps, one) if np.ndim(one) == 0 else one, steps, f"sample_weight[{place}]")
            for place, (one, steps) in enumerate(zip(given, samples.lengths, strict=True))
        ]
    else:
        found = _numbers(sample_weight, samples.count, "sample_weight")
    if not any(np.any(weight > 0.0) for weight in found):
        raise ValueError("sample_weight is zero for all samples: nothing is there to learn from")
    return found


def _numbers(weights: Any, count: int, name: str) -> Array:
    """Weights (count,) as an array."""
    found = np.asarray(weights, dtype=np.float64)
    if found.shape != (count,):
        raise ValueError(f"{name} has shape {found.shape}, but needs {(count,)}")
    check_values(found, name)
    return found


def check_values(weights: Array, name: str) -> None:
    """Raise ValueError for weights that are negative or not finite."""
    if not (np.isfinite(weights).all() and (weights >= 0.0).all()):
        raise ValueError(f"{name} has numbers that are negative or not finite")


def weighted(weights: Any, factors: Any) -> Any:
    """Weights multiplied by factors, both None, (n,), or lists of (S_i,)."""
    if weights is None or factors is None:
        return factors if weights is None else weights
    if isinstance(factors, list):
        return [weight * factor for weight, factor in zip(weights, factors, strict=True)]
    return weights * factors
