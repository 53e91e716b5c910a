"""What a network has to learn: the vectors that stand for labels, and what its results say about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import brief
from ..interface import Model
from .task import check_values

Array = NDArray[Any]
SINGLE = ("binary_cross_entropy", "hinge")  # losses with which one output tells two classes apart
HINGE = "hinge"
_LABELS = "cross_entropy"  # a loss that takes labels as they are


def outputs_of(loss: str | None, classes: int) -> int:
    """The width of ``$outputs`` for so many classes."""
    return 1 if classes <= 2 and loss in SINGLE else max(2, classes)


def check_outputs(model: Model, classes: int) -> None:
    """Raise ValueError if a text's output can't tell so many classes apart."""
    width, loss = model.output_width, model.graph.loss.name
    if width == 1 and loss == _LABELS:
        raise ValueError("mdl has an output of width 1 with a cross_entropy: write $outputs, or a binary_cross_entropy")
    most = 2 if width == 1 else width
    if classes > most:
        raise ValueError(f"mdl has an output for {most} classes, and y has {classes}: write $outputs for its width")


def vectors_of(model: Model, numbers: Array) -> Array:
    """What is expected of a model's output for the numbers of classes, of any shape: (…, W_out), or (…) labels."""
    width, loss = model.output_width, model.graph.loss.name
    if loss == _LABELS:
        return numbers
    vectors = (numbers == 1)[..., np.newaxis] if width == 1 else numbers[..., np.newaxis] == np.arange(width)
    found: Array = vectors.astype(model.dtype)
    return 2.0 * found - 1.0 if loss == HINGE else found


def chosen(model: Model, results: Array, classes: int) -> Array:
    """The number of the class that each result (…, W_out) stands for."""
    if model.output_width > 1:
        found: Array = results[..., :classes].argmax(axis=-1)
        return found
    above: Array = (results[..., 0] > (0.0 if model.graph.loss.name == HINGE else 0.5)).astype(np.intp)
    return np.minimum(above, classes - 1)


def probabilities(model: Model, results: Array, classes: int) -> Array:
    """The probability of each class (…, K): the results of the classes' outputs, divided by their sum."""
    if classes == 1:
        return np.ones((*results.shape[:-1], 1), results.dtype)
    if model.output_width == 1:
        one = np.clip(results, 0.0, 1.0)
        return np.concatenate([1.0 - one, one], axis=-1)
    if classes == model.output_width and _is_softmax(model):
        return results
    found = np.maximum(results[..., :classes], 0.0)
    sums = found.sum(axis=-1, keepdims=True)
    largest = results[..., :classes].argmax(axis=-1)[..., np.newaxis] == np.arange(classes)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares: Array = np.where(sums > 0.0, found / sums, largest).astype(results.dtype)
    return shares


def _is_softmax(model: Model) -> bool:
    """Whether all outputs of a model have the sum 1."""
    function = model.graph.nodes[model.graph.output].function
    return function is not None and function.name == "softmax"


def decisions(model: Model, results: Array, classes: int) -> Array:
    """The distance from the border between two classes (…), or for more classes the result of each (…, K)."""
    if model.output_width == 1:
        found: Array = results[..., 0]
        return found
    return results[..., 1] - results[..., 0] if classes == 2 else results[..., :classes]


# Weights --------------------------------------------------------------------------------------------------------------


def class_factors(class_weight: Any, classes: Array, numbers: Array, weights: Array | None) -> Array | None:
    """The factor of each class, by its number; None if nothing is asked for.

    class_weight: a dict of labels and weights, where a class that is not named has 1; or "balanced", which makes the
    sum of weights the same for each class that is there.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(f"class_weight must be a dict, 'balanced' or None, not {brief(class_weight)}")
        sums = np.bincount(numbers, weights, minlength=len(classes)).astype(np.float64)
        there = sums > 0.0
        factors = np.ones(len(classes))
        factors[there] = sums.sum() / (there.sum() * sums[there])
        return factors
    if not isinstance(class_weight, Mapping):
        raise ValueError(f"class_weight must be a dict, 'balanced' or None, not {brief(class_weight)}")
    factors, places = np.ones(len(classes)), {label: place for place, label in enumerate(classes.tolist())}
    unknown = [label for label in class_weight if label not in places]
    if unknown and len(class_weight) - len(unknown) < len(classes):
        raise ValueError(f"class_weight has the label {brief(unknown[0])}, and the labels of y are {brief([*places])}")
    for label in class_weight.keys() & places.keys():
        factors[places[label]] = class_weight[label]
    check_values(factors, "class_weight")
    return factors
