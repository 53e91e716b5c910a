"""What the classifiers have in common: labels, probabilities, class weights."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.metaestimators import available_if

from ..interface import Model, Optimizer
from .estimator import MDLEstimator, each_of
from .labels import as_labels, classes_of, is_of_objects, names_of, numbered, share_of_equal
from .samples import Samples, shape_of, steps_of
from .targets import HINGE, check_outputs, chosen, class_factors, decisions, outputs_of, probabilities, vectors_of
from .task import Expected, weighted
from .texts import CLASSES, loss_of

Array = NDArray[Any]


_NAMES = "classes"  # the attribute of a model that has the names of classes


def _has_hinge(estimator: Any) -> bool:
    """Whether the text's loss is a hinge, which gives distances and no probabilities."""
    return bool(loss_of(estimator.mdl, estimator._default, estimator.widths) == HINGE)


def _has_probabilities(estimator: Any) -> bool:
    return not _has_hinge(estimator)


class Classifying(ClassifierMixin, MDLEstimator):  # type: ignore[misc]
    """The base class of classifiers."""

    _output = CLASSES
    classes_: Array

    def __init__(
        self, mdl: Any = None, *, widths: Any = None, batch_size: int = 64, learning_rate: float | None = None,
        optimizer: str | Optimizer = "adam", alpha: float = 300.0, epochs: int = 50, clip_norm: float | None = None,
        dtype: str | None = None, adapt: bool = True, shuffle: bool = True, early_stopping: bool = False,
        validation_fraction: float = 0.1, n_iter_no_change: int = 10, tol: float = 1e-4, class_weight: Any = None,
        warm_start: bool = False, callbacks: Any = (), frozen: Any = (), threads: int | None = None,
        tier: str = "auto", verbose: bool = False, random_state: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            mdl, widths=widths, batch_size=batch_size, learning_rate=learning_rate, optimizer=optimizer, alpha=alpha,
            epochs=epochs, clip_norm=clip_norm, dtype=dtype, adapt=adapt, shuffle=shuffle,
            early_stopping=early_stopping, validation_fraction=validation_fraction, n_iter_no_change=n_iter_no_change,
            tol=tol, warm_start=warm_start, callbacks=callbacks, frozen=frozen, threads=threads, tier=tier,
            verbose=verbose, random_state=random_state,
        )  # fmt: skip
        self.class_weight = class_weight

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one pass over the data; returns the estimator.

        The first call makes the network, and its scales come from these data. classes: all labels of all calls, which
        the first call needs unless ``fit`` came before. sample_weight: as in ``fit``.
        """
        goes_on = hasattr(self, "model_")
        if not goes_on and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        return self._learn(X, y, sample_weight, 1, goes_on=goes_on, classes=classes, partial=True)

    def predict(self, X: Any) -> Any:
        """The labels of samples (n,). Where there was a label for every step in training: (n, S), or a list."""
        results = self._results(X)
        return each_of(results, lambda one: self.classes_[chosen(self.model_, one, len(self.classes_))])

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Any:
        """The probabilities of classes (n, K), in the order of ``classes_``; of steps (n, S, K), or a list."""
        results = self._results(X)
        return each_of(results, lambda one: probabilities(self.model_, one, len(self.classes_)))

    @available_if(_has_hinge)  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> Any:
        """How far a sample is on the side of the second of two classes (n,); for more classes the results (n, K)."""
        results = self._results(X)
        return each_of(results, lambda one: decisions(self.model_, one, len(self.classes_)))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of right labels."""
        found, wanted = self.predict(X), self._labels(y)
        if self._each:
            found, wanted, sample_weight = steps_of(found, wanted, sample_weight)
        if is_of_objects(self.classes_):
            return share_of_equal(wanted, found, sample_weight)
        return float(accuracy_score(wanted, found, sample_weight=sample_weight))

    # Fitting ---------------------------------------------------------------------------------------------------------

    def _labels(self, y: Any) -> Any:
        """Labels, checked: (n,), or of steps a list with those of each sequence."""
        return [as_labels(row) for row in y] if self._sequences and _has_rows(y) else as_labels(y)

    def _expected(self, y: Any, samples: Samples, *, goes_on: bool, classes: Any) -> Expected:
        each = self._sequences and _has_rows(y)
        labels = self._labels(y)
        flat = np.concatenate(labels) if each else labels
        if goes_on:
            if each != self._each:
                raise ValueError("y must have a label for every step, or one for each sequence, as in the first fit")
            if classes is not None and classes_of(as_labels(classes)).tolist() != self.classes_.tolist():
                raise ValueError("classes is not the same as in the first call")
        else:
            self.classes_ = classes_of(flat if classes is None else as_labels(classes))
            self._each = each
        numbers = numbered(flat, self.classes_)
        if not each:
            return Expected(numbers, strata=numbers)
        lengths = [len(row) for row in labels]
        for place, (steps, given) in enumerate(zip(samples.lengths, lengths, strict=True)):
            if steps != given:
                raise ValueError(f"y[{place}] has {given} labels, and X[{place}] has {steps} steps")
        return Expected(np.split(numbers, np.cumsum(lengths)[:-1]), each=True)

    def _outputs(self) -> int:
        return outputs_of(loss_of(self.mdl, self._default, self.widths), len(self.classes_))

    def _check_output(self, model: Model) -> None:
        check_outputs(model, len(self.classes_))

    def _vectors(self, values: Array) -> Array:
        return vectors_of(self.model_, values)

    def _build(self, task: Any) -> None:
        super()._build(task)
        if hasattr(self.model_, _NAMES):
            with suppress(ValueError):  # names that no file keeps, or fewer classes than outputs
                setattr(self.model_, _NAMES, names_of(self.classes_))

    def _weighted(self, weights: Any, expected: Expected) -> Any:
        if self.class_weight is None:
            return weights
        numbers, flat = expected.values, weights
        if expected.each:
            numbers, flat = np.concatenate(numbers), None if weights is None else np.concatenate(weights)
        factors = class_factors(self.class_weight, self.classes_, numbers, flat)
        assert factors is not None
        return weighted(weights, each_of(expected.values, lambda one: factors[one]))


def _has_rows(y: Any) -> bool:
    """Whether y has a row of labels for each sequence, and not a label. A tuple is a label, a list or array is not."""
    if isinstance(y, list | tuple) or (isinstance(y, np.ndarray) and y.dtype == object and y.ndim == 1):
        return len(y) > 0 and all(isinstance(row, list) or getattr(row, "ndim", 0) == 1 for row in y)
    shape = shape_of(y)
    return len(shape) == 2 and shape[1] > 1
