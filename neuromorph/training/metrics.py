"""Metrics that ``fit`` records beside the loss: accuracy, means of other losses, and functions of the user's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.arrays import PredictionData, TrainingData
from ..data.mixing import in_order, of_type, parts_of
from ..errors import DataError, brief
from ..functions import LOSSES
from ..history import History
from ..host.frozen import frozen
from ..options import one_of
from ..prediction import State, outputs
from ..runtime.network import Network
from .means import weighted_mean

Floats = NDArray[Any]
ACCURACY, ROOT = "accuracy", "rmse"
CLASSIFYING = ("cross_entropy", "binary_cross_entropy")  # the losses of models that have an accuracy
NAMES = (ACCURACY, ROOT, *LOSSES)


@frozen
class Metric:
    """A metric by its name in the history. own: the user's function, or None."""

    name: str
    own: Callable[[Floats, Floats], Any] | None = None

    def terms(self, model: Network, data: TrainingData, results: Floats) -> Floats:
        """What is kept of a part of the data and of the model's results for it: a number of each vector; for the user's
        functions the results themselves."""
        if self.own is not None:
            return results
        if self.name == ACCURACY:
            return _mean_of_known(data, _right(model, results, data.expected))
        name = "mse" if self.name == ROOT else self.name
        return _mean_of_known(data, _terms(name, results, data.expected))

    def of(self, model: Network, data: TrainingData, terms: Floats) -> float:
        """The metric of data, from the terms of all parts."""
        if self.own is not None:
            return self._of_own(self.own, of_type(data, model.dtype), terms)
        found = weighted_mean(terms, data.weights)
        return math.sqrt(found) if self.name == ROOT else found

    def _of_own(self, function: Callable[[Floats, Floats], Any], data: TrainingData, results: Floats) -> float:
        """The value of a user's function of all vectors that count, (n, W_out) each."""
        counts = np.ones(results.shape[:-1], bool) if data.weights is None else data.weights > 0.0
        value = function(data.expected[counts], results[counts])
        try:
            return float(value)
        except Exception:  # whatever the user's own class raises
            raise TypeError(f"the metric {self.name} must return a number, not {brief(value)}") from None


def checked_metrics(model: Network, given: Any) -> tuple[Metric, ...]:
    """The metrics that an argument names, checked to be known, each once, and to suit the model."""
    listed = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    found: dict[str, Metric] = {}
    for place, one in enumerate(listed):
        metric = _own(place, one) if callable(one) else Metric(one_of("metrics", one, NAMES))
        if metric.name in found:
            raise ValueError(f"metrics[{place}] is {metric.name!r} a second time")
        if metric.name == ACCURACY and metric.own is None:
            check_accuracy(model)
        found[metric.name] = metric
    return tuple(found.values())


def _own(place: int, function: Callable[[Floats, Floats], Any]) -> Metric:
    """The metric of a function, by the function's name. A lambda has none: it is ``metric0``, by its place."""
    name = getattr(function, "__name__", type(function).__name__)
    if not isinstance(name, str) or not name.isidentifier():
        name = f"metric{place}"
    if name.startswith("validation_") or name in NAMES or hasattr(History(), name):
        raise ValueError(f"metrics[{place}] is a function called {name!r}, which means another number: rename it")
    return Metric(name, function)


def measured(
    model: Network, metrics: tuple[Metric, ...], data: TrainingData, state: State | None = None
) -> dict[str, float]:
    """All metrics of some data by name, with the results from ``state``."""
    if not metrics:
        return {}
    parts = [slice(None)] if model.graph.has_time_links else parts_of(data)
    terms: dict[str, Floats] = {}
    for part in parts:
        some = of_type(in_order(data, part), model.dtype)
        results = outputs(model, PredictionData(some.inputs, squeeze=False, sequences=data.sequences), state)
        for metric in metrics:
            found = metric.terms(model, some, results)
            if metric.name not in terms:
                terms[metric.name] = np.empty((len(data.inputs), *found.shape[1:]), found.dtype)
            terms[metric.name][part] = found
    return {metric.name: metric.of(model, data, terms[metric.name]) for metric in metrics}


def check_accuracy(model: Network) -> None:
    """Raise DataError if the accuracy of the model is not defined."""
    loss = model.graph.loss.name
    if loss not in CLASSIFYING:
        raise DataError(f"accuracy needs a model whose loss is cross_entropy or binary_cross_entropy, not {loss}")


def _mean_of_known(data: TrainingData, terms: Floats) -> Floats:
    """The mean over the known components of each vector, from terms (…, W) or (…, 1)."""
    if terms.shape[-1] == 1:
        return terms[..., 0]
    if not data.unknown:
        mean: NDArray[np.float64] = terms.mean(axis=-1)
        return mean
    known = ~np.isnan(data.expected)
    mean = np.where(known, terms, 0.0).sum(axis=-1) / np.maximum(1, known.sum(axis=-1))
    return mean


def _right(model: Network, results: Floats, expected: Floats) -> Floats:
    """Whether each vector has the right class (…, 1), or each component is on the right side of 0.5 (…, W)."""
    if model.graph.loss.name == "cross_entropy":
        same: Floats = results.argmax(axis=-1, keepdims=True) == expected.argmax(axis=-1, keepdims=True)
        return same
    sides: Floats = (results > 0.5) == (expected > 0.5)
    return sides


def _terms(name: str, results: Floats, expected: Floats) -> Floats:
    """The terms of a loss: one for each component (…, W) where the loss is their mean, else one for the vector
    (…, 1). Its number is the default."""
    record = LOSSES[name]
    number = None if record.parameter is None else record.parameter.default
    r, e = (np.asarray(array, np.float64) for array in (results, expected))
    if not record.mean:
        return np.asarray(record.value(r, e, number))[..., None]
    with np.errstate(invalid="ignore"):  # NaN for what is not known
        return np.asarray(record.value(r[..., None], e[..., None], number))
