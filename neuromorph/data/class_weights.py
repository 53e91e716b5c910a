"""Turns weights of classes into weights of vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, brief
from .arrays import TrainingData

Array = NDArray[Any]
BALANCED = "balanced"
_SINGLE = {"binary_cross_entropy": (0, 1), "hinge": (-1, 1)}  # the labels of an output of one component, by the loss


def checked_class_weight(given: Any, loss: str, width: int, *, balances: bool = False) -> dict[int, float] | str:
    """The weights by label; BALANCED if ``balances``. TypeError, ValueError or DataError that names what is wrong."""
    labels = labels_of(loss, width)
    if isinstance(given, str) and given == BALANCED and balances:
        return BALANCED
    if not isinstance(given, Mapping):
        known = f" or {BALANCED!r}" if balances else ""
        raise TypeError(f"class_weight must be a dict of labels and weights{known}, not {brief(given)}")
    found = {}
    for label, weight in given.items():
        if isinstance(label, bool) or label not in labels:
            known = f"{labels[0]} to {labels[-1]}" if len(labels) > 2 else " and ".join(map(str, labels))
            raise ValueError(f"class_weight has the label {brief(label)}, and the model's labels are {known}")
        if isinstance(weight, bool) or not isinstance(weight, Real):
            raise TypeError(f"class_weight[{brief(label)}] must be a number, not {brief(weight)}")
        if not 0.0 <= float(weight) < math.inf:
            raise ValueError(f"class_weight[{brief(label)}] must be a finite number of at least 0, not {brief(weight)}")
        found[int(label)] = float(weight)
    return found


def labels_of(loss: str, width: int) -> tuple[int, ...]:
    """The labels of a model. DataError for a model without labels."""
    if loss == "cross_entropy" and width > 1:
        return tuple(range(width))
    if loss in _SINGLE and width == 1:
        return _SINGLE[loss]
    raise DataError(
        "class_weight needs a model with labels: the loss cross_entropy, or binary_cross_entropy or hinge with an "
        f"output of width 1, not {loss} with width {width}"
    )


def with_class_weight(data: TrainingData, class_weight: Mapping[int, float] | str, loss: str) -> TrainingData:
    """The data, with the weight of each vector multiplied by that of its class. A class that is not named has 1.

    class_weight: by label; BALANCED gives each class that is there the same sum of weights, and leaves the sum of all
    as it is. Raises DataError for a vector that counts and is no label.
    """
    labels = _labels(data, loss)
    if isinstance(class_weight, str):
        class_weight = _balanced(labels, data.weights)
    factors = np.ones(labels.shape)
    for label, weight in class_weight.items():
        factors[labels == label] = weight
    weights = factors if data.weights is None else factors * data.weights
    dtype = data.inputs.dtype if data.inputs.dtype.kind == "f" else np.float64
    return replace(data, weights=np.ascontiguousarray(weights, dtype=dtype))


def _balanced(labels: Array, weights: Array | None) -> dict[int, float]:
    """The weights that make all classes count the same."""
    there, numbers = np.unique(labels.reshape(-1), return_inverse=True)
    sums = np.bincount(numbers, None if weights is None else weights.reshape(-1), minlength=len(there))
    counts = sums > 0.0
    return {
        int(label): float(sums.sum() / (counts.sum() * own))
        for label, own in zip(there[counts], sums[counts], strict=True)
    }


def _labels(data: TrainingData, loss: str) -> Array:
    """The label of every vector. Expected vectors of a cross-entropy must have a single 1."""
    expected = data.expected
    counts = np.ones(expected.shape[:-1], bool) if data.weights is None else data.weights > 0.0
    if loss == "cross_entropy":
        labels: Array = expected.argmax(axis=-1)
        right = (expected.max(axis=-1) == 1.0) & (np.count_nonzero(expected, axis=-1) == 1)
        needs = "a single 1 among zeros"
    else:
        labels = expected[..., 0]
        right = np.isin(labels, _SINGLE[loss])
        needs = " or ".join(map(str, _SINGLE[loss]))
    wrong = counts & ~right
    if wrong.any():
        place = ", ".join(str(axis) for axis in np.argwhere(wrong)[0])
        raise DataError(f"expected[{place}] is no label: with class_weight it must be {needs}")
    return labels
