"""Loss functions, one record each; sums and means run over the components of one vector.

Where a result is clipped (1e-7, the epsilon of Keras), the derivative beyond the clip is 0.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..host.frozen import frozen
from .activations import logistic
from .records import Array, LogitForm, Loss, Parameter, Targets, number

_TINY = 1e-7
_NEARLY_ONE = 1.0 - _TINY
_LOG_2 = math.log(2.0)

_Value = Callable[[Array, Array, float | None], Array]


@frozen
class _Mean:
    """The mean of ``terms`` over the components."""

    terms: _Value

    def __call__(self, r: Array, e: Array, p: float | None) -> Array:
        mean: Array = np.mean(self.terms(r, e, p), axis=-1)
        return mean


@frozen
class _Share:
    """The gradient of the mean of terms. slopes: the derivatives of the terms."""

    slopes: _Value

    def __call__(self, r: Array, e: Array, p: float | None) -> Array:
        width: int = r.shape[-1]
        return self.slopes(r, e, p) / width


def _mse(r: Array, e: Array, p: float | None) -> Array:
    return np.square(r - e)


def _mse_slope(r: Array, e: Array, p: float | None) -> Array:
    return 2.0 * (r - e)


def _mae(r: Array, e: Array, p: float | None) -> Array:
    return np.abs(r - e)


def _mae_slope(r: Array, e: Array, p: float | None) -> Array:
    return np.sign(r - e)


def _mape(r: Array, e: Array, p: float | None) -> Array:
    return np.abs(r - e) / np.maximum(np.abs(e), _TINY)


def _mape_slope(r: Array, e: Array, p: float | None) -> Array:
    return np.sign(r - e) / np.maximum(np.abs(e), _TINY)


def _huber(r: Array, e: Array, p: float | None) -> Array:
    delta, d = number(p), np.abs(r - e)
    return np.where(d <= delta, d**2 / 2.0, delta * (d - delta / 2.0))


def _huber_slope(r: Array, e: Array, p: float | None) -> Array:
    return np.clip(r - e, -number(p), number(p))


def _huber_modified(r: Array, e: Array, p: float | None) -> Array:
    delta, m = number(p), r * e
    beyond = (1.0 + delta) ** 2 - 2.0 * (1.0 + delta) * (m + delta)
    return np.where(m >= -delta, np.maximum(0.0, 1.0 - m) ** 2, beyond)


def _huber_modified_slope(r: Array, e: Array, p: float | None) -> Array:
    return -2.0 * e * np.clip(1.0 - r * e, 0.0, 1.0 + number(p))


def _hinge(r: Array, e: Array, p: float | None) -> Array:
    return np.maximum(0.0, 1.0 - r * e)


def _hinge_slope(r: Array, e: Array, p: float | None) -> Array:
    m = r * e
    return np.where(m > 1.0, 0.0, np.where(np.isnan(m), m, -e))


def _cross_entropy(r: Array, e: Array, p: float | None) -> Array:
    total: Array = np.sum(e * np.log(np.maximum(r, _TINY)), axis=-1)
    return -total


def _cross_entropy_slope(r: Array, e: Array, p: float | None) -> Array:
    return np.where(r < _TINY, 0.0, -e / np.maximum(r, _TINY))


def _log_sum_exp(x: Array) -> Array:
    peak: Array = x.max(axis=-1, keepdims=True)
    total: Array = np.exp(x - peak).sum(axis=-1, keepdims=True)
    return peak + np.log(total)


def _softmax_cross_entropy(x: Array, e: Array, p: float | None) -> Array:
    total: Array = np.sum(e * (_log_sum_exp(x) - x), axis=-1)
    return total


def _softmax_cross_entropy_gradient(x: Array, e: Array, p: float | None) -> Array:
    total: Array = e.sum(axis=-1, keepdims=True)
    return np.exp(x - _log_sum_exp(x)) * total - e


def _binary_cross_entropy(r: Array, e: Array, p: float | None) -> Array:
    clipped, rest = np.clip(r, _TINY, _NEARLY_ONE), np.clip(1.0 - r, _TINY, _NEARLY_ONE)
    return -(e * np.log(clipped) + (1.0 - e) * np.log(rest))


def _binary_cross_entropy_slope(r: Array, e: Array, p: float | None) -> Array:
    clipped = np.clip(r, _TINY, _NEARLY_ONE)
    return np.where(r == clipped, (1.0 - e) / (1.0 - clipped) - e / clipped, 0.0 * r)


def _sigmoid_cross_entropy(x: Array, e: Array, p: float | None) -> Array:
    return e * np.logaddexp(0.0, -x) + (1.0 - e) * np.logaddexp(0.0, x)


def _sigmoid_cross_entropy_slope(x: Array, e: Array, p: float | None) -> Array:
    return logistic(x) - e


def _quantile(r: Array, e: Array, p: float | None) -> Array:
    q = number(p)
    return np.maximum(q * (e - r), (q - 1.0) * (e - r))


def _quantile_slope(r: Array, e: Array, p: float | None) -> Array:
    sign = np.sign(r - e)
    return np.where(sign < 0.0, -number(p), (1.0 - number(p)) * sign)


def _poisson(r: Array, e: Array, p: float | None) -> Array:
    return r - e * np.log(np.maximum(r, _TINY))


def _poisson_slope(r: Array, e: Array, p: float | None) -> Array:
    return np.where(r < _TINY, 1.0, 1.0 - e / np.maximum(r, _TINY))


def _log_cosh(r: Array, e: Array, p: float | None) -> Array:
    d = np.abs(r - e)
    with np.errstate(over="ignore"):
        near = 0.5 * np.log1p(np.square(np.sinh(np.minimum(d, 1.0))))
    return np.where(d < 1.0, near, d + np.log1p(np.exp(-2.0 * d)) - _LOG_2)


def _log_cosh_slope(r: Array, e: Array, p: float | None) -> Array:
    return np.tanh(r - e)


def _are_signs(e: NDArray[Any]) -> NDArray[np.bool_]:
    fit: NDArray[np.bool_] = np.abs(e) == 1.0
    return fit


def _hint_of_labels(e: NDArray[Any]) -> str:
    """The fix for 0/1 labels, to be appended to a message; an empty text if these are not such labels."""
    labels = bool(((e == 0.0) | (e == 1.0)).all())
    return "; 2 * expected - 1 turns 0/1 labels into -1 and 1" if labels else ""


def _as_signs(u: Array) -> Array:
    return np.where(u < 0.5, -1.0, 1.0)


def _are_counts(e: NDArray[Any]) -> NDArray[np.bool_]:
    fit: NDArray[np.bool_] = e >= 0.0
    return fit


def _no_hint(e: NDArray[Any]) -> str:
    return ""


def _themselves(u: Array) -> Array:
    return u


_SIGN = "where(r > e, 1.0, where(r < e, -1.0, r - e))"
_FLOORED = f"where(r < {_TINY!r}, {_TINY!r}, r)"
# Each end is clipped separately, because float32 can't hold 1 - 1e-7.
_CLIPPED_REST = f"where(r > {_NEARLY_ONE!r}, {_TINY!r}, where(r < {_TINY!r}, {_NEARLY_ONE!r}, 1.0 - r))"
_CLIPPED = f"where(r < {_TINY!r}, {_TINY!r}, where(r > {_NEARLY_ONE!r}, {_NEARLY_ONE!r}, r))"
# log cosh d is 2 artanh(t²) with t = tanh(d / 2). Near 0 it is a series, as the difference of logarithms loses digits.
_SQUARE = "(tanh(0.5 * (r - e)) * tanh(0.5 * (r - e)))"
_FOURTH = f"({_SQUARE} * {_SQUARE})"
_SERIES = repr(1 / 11)
for _k in (9, 7, 5, 3, 1):
    _SERIES = f"({1 / _k!r} + {_FOURTH} * {_SERIES})"

RECORDS = (
    Loss(
        "mse",
        None,
        "(r - e) * (r - e)",
        "2.0 * (r - e)",
        True,
        _Mean(_mse),
        _Share(_mse_slope),
        compares_units=True,
    ),
    Loss("mae", None, "absolute(r - e)", _SIGN, True, _Mean(_mae), _Share(_mae_slope), compares_units=True),
    Loss(
        "mape",
        None,
        f"absolute(r - e) / maximum(absolute(e), {_TINY!r})",
        f"{_SIGN} / maximum(absolute(e), {_TINY!r})",
        True,
        _Mean(_mape),
        _Share(_mape_slope),
    ),
    Loss(
        "huber",
        Parameter("delta", 1.0, minimum=0.0, exclusive=True),
        "where(absolute(r - e) <= p, 0.5 * (r - e) * (r - e), p * (absolute(r - e) - 0.5 * p))",
        "where(r - e > p, p, where(r - e < -p, -p, r - e))",
        True,
        _Mean(_huber),
        _Share(_huber_slope),
        compares_units=True,
    ),
    # Zhang, Solving large scale linear prediction problems using stochastic gradient descent, 2004.
    Loss(
        "huber_modified",
        Parameter("delta", 1.0, minimum=0.0),
        "where(r * e >= 1.0, 0.0, where(r * e >= -p, (1.0 - r * e) * (1.0 - r * e), "
        "(1.0 + p) * (1.0 + p) - 2.0 * (1.0 + p) * (r * e + p)))",
        "where(r * e >= 1.0, 0.0, where(r * e < -p, -2.0 * (1.0 + p) * e, -2.0 * e * (1.0 - r * e)))",
        True,
        _Mean(_huber_modified),
        _Share(_huber_modified_slope),
    ),
    Loss(
        "hinge",
        None,
        "where(r * e > 1.0, 0.0, 1.0 - r * e)",
        "where(r * e > 1.0, 0.0, where(r * e <= 1.0, -e, r * e))",
        True,
        _Mean(_hinge),
        _Share(_hinge_slope),
        targets=Targets("-1 or 1", _are_signs, _hint_of_labels, _as_signs),
    ),
    Loss(
        "cross_entropy",
        None,
        f"-e * log({_FLOORED})",
        f"where(r < {_TINY!r}, 0.0, -e / {_FLOORED})",
        False,
        _cross_entropy,
        _cross_entropy_slope,
        (
            LogitForm(
                "softmax",
                True,
                "e * (lse - x)",
                "y * esum - e",
                _softmax_cross_entropy,
                _softmax_cross_entropy_gradient,
            ),
        ),
    ),
    Loss(
        "binary_cross_entropy",
        None,
        f"-(e * log({_CLIPPED}) + (1.0 - e) * log({_CLIPPED_REST}))",
        f"where(r < {_TINY!r}, 0.0, where(r > {_NEARLY_ONE!r}, 0.0, "
        f"({_CLIPPED} - e) / ({_CLIPPED} * {_CLIPPED_REST})))",
        True,
        _Mean(_binary_cross_entropy),
        _Share(_binary_cross_entropy_slope),
        (
            LogitForm(
                "sigmoid",
                False,
                "where(x <= 0.0, 0.0, x) - x * e + log(1.0 + exp(-absolute(x)))",
                "y - e",
                _Mean(_sigmoid_cross_entropy),
                _Share(_sigmoid_cross_entropy_slope),
            ),
        ),
    ),
    Loss(
        "quantile",
        Parameter("q", 0.5, minimum=0.0, exclusive=True, below=1.0),
        "where(r < e, p * (e - r), (1.0 - p) * (r - e))",
        "where(r < e, -p, where(r > e, 1.0 - p, r - e))",
        True,
        _Mean(_quantile),
        _Share(_quantile_slope),
        compares_units=True,
    ),
    Loss(
        "poisson",
        None,
        f"r - e * log({_FLOORED})",
        f"where(r < {_TINY!r}, 1.0, 1.0 - e / {_FLOORED})",
        True,
        _Mean(_poisson),
        _Share(_poisson_slope),
        targets=Targets("numbers of at least 0", _are_counts, _no_hint, _themselves),
    ),
    Loss(
        "log_cosh",
        None,
        f"where(absolute(r - e) < 0.45, 2.0 * {_SQUARE} * {_SERIES}, "
        f"absolute(r - e) + log(1.0 + exp(-2.0 * absolute(r - e))) - {_LOG_2!r})",
        "tanh(r - e)",
        True,
        _Mean(_log_cosh),
        _Share(_log_cosh_slope),
        compares_units=True,
    ),
)
