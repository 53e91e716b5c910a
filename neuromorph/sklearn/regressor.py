"""What the regressors have in common: targets of one or several numbers."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_array

from ..interface import Model
from .estimator import MDLEstimator, each_of
from .samples import Samples, axes_of, steps_of
from .task import Expected
from .texts import NUMBERS

Array = NDArray[Any]


class Regressing(RegressorMixin, MDLEstimator):  # type: ignore[misc]
    """The base class of regressors."""

    _output = NUMBERS
    _several = True
    n_outputs_: int
    _wide: bool  # whether y has an axis of numbers

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one pass over the data; returns the estimator.

        The first call makes the network, and its scales come from these data. sample_weight: as in ``fit``.
        """
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        return self._learn(X, y, sample_weight, 1, goes_on=hasattr(self, "model_"), partial=True)

    def predict(self, X: Any) -> Any:
        """The results of samples (n,), or (n, k) if y had 2 axes; of every step (n, S, k), or a list, if so was y."""
        results = self._results(X)
        return each_of(results, lambda one: one if self._wide else one[..., 0])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The coefficient of determination R²; of several numbers, the mean of theirs."""
        found, wanted = self.predict(X), self._targets(y)
        if self._each:
            found, wanted, sample_weight = steps_of(found, wanted, sample_weight)
        return float(r2_score(wanted, found, sample_weight=sample_weight))

    # Fitting ---------------------------------------------------------------------------------------------------------

    def _targets(self, y: Any) -> Any:
        """Targets, checked: (n,) or (n, k), or of steps a list with (S_i, k) for each sequence."""
        if self._sequences and _has_rows(y):
            return [check_array(row, dtype=np.float64, input_name=f"y[{place}]") for place, row in enumerate(y)]
        if self._sequences and _is_ragged(y):
            raise ValueError(
                "y has rows of different lengths: numbers of every step are a list of arrays (S_i, k), so for one "
                "number a step give y[i] the shape (S_i, 1)"
            )
        return check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")

    def _expected(self, y: Any, samples: Samples, *, goes_on: bool, classes: Any) -> Expected:
        targets = self._targets(y)
        each, wide = isinstance(targets, list), isinstance(targets, list) or targets.ndim == 2
        width = targets[0].shape[1] if each else targets.shape[1] if wide else 1
        if goes_on:
            if (each, wide, width) != (self._each, self._wide, self.n_outputs_):
                raise ValueError("y does not have the shape that it had in the first fit")
        else:
            self._each, self._wide, self.n_outputs_ = each, wide, width
        if not each:
            return Expected(targets if wide else targets[:, np.newaxis])
        for place, (steps, row) in enumerate(zip(samples.lengths, targets, strict=True)):
            if row.shape != (steps, width):
                raise ValueError(f"y[{place}] has shape {row.shape}, but needs {(steps, width)}, as X[{place}] has")
        return Expected(targets, each=True)

    def _outputs(self) -> int:
        return self.n_outputs_

    def _check_output(self, model: Model) -> None:
        if model.output_width != self.n_outputs_:
            several = self._sequences and not self._each and self.n_outputs_ > 1
            hint = "; or if y has a number for every step, give it as (n, S, 1)" if several else ""
            raise ValueError(
                f"mdl has an output of width {model.output_width}, and y has {self.n_outputs_}: write $outputs for "
                f"its width{hint}"
            )

    def _vectors(self, values: Array) -> Array:
        return values


def _is_ragged(y: Any) -> bool:
    """Whether y is a list of rows (S_i,) of different lengths."""
    if not (isinstance(y, list | tuple) or (isinstance(y, np.ndarray) and y.dtype == object and y.ndim == 1)):
        return False
    lengths = {len(row) for row in y if isinstance(row, list | tuple | np.ndarray) and np.ndim(row) == 1}
    return len(lengths) > 1


def _has_rows(y: Any) -> bool:
    """Whether y has rows for the steps of each sequence: it has 3 axes, or its items have 2."""
    if isinstance(y, list | tuple) or (isinstance(y, np.ndarray) and y.dtype == object and y.ndim == 1):
        return len(y) > 0 and all(axes_of(row) == 2 for row in y)
    return axes_of(y) == 3
