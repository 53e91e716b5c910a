"""The functions of ``math.py`` in plain NumPy. They define the results, and run when JIT is off.

Each takes a number or an array of any shape and computes in its floating-point type (whole numbers become float64).
None gives warnings: overflow is infinity, log(0) is -inf, log of a negative number is NaN.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

_ERFC = np.frompyfunc(math.erfc, 1, 1)


def _floating(x: ArrayLike) -> Any:
    values = np.asarray(x)
    return values if np.issubdtype(values.dtype, np.floating) else values.astype(np.float64)


def exp(x: ArrayLike) -> Any:
    """e^x, element by element."""
    with np.errstate(all="ignore"):
        return np.exp(_floating(x))


def log(x: ArrayLike) -> Any:
    """The natural logarithm, element by element."""
    with np.errstate(all="ignore"):
        return np.log(_floating(x))


def tanh(x: ArrayLike) -> Any:
    """The hyperbolic tangent, element by element."""
    with np.errstate(all="ignore"):
        return np.tanh(_floating(x))


def sigmoid(x: ArrayLike) -> Any:
    """1/(1 + e^-x), element by element; its relative error is small also for tiny results."""
    values = _floating(x)
    with np.errstate(all="ignore"):
        small = np.exp(-np.abs(values))
        return (np.where(values < 0, small, np.ones_like(small)) / (1 + small))[()]


def softplus(x: ArrayLike) -> Any:
    """log(1 + e^x), element by element; its relative error is small also for tiny results."""
    values = _floating(x)
    with np.errstate(all="ignore"):
        return (np.where(values < 0, np.zeros_like(values), values) + np.log1p(np.exp(-np.abs(values))))[()]


def sin(x: ArrayLike) -> Any:
    """The sine, element by element; NaN for infinity."""
    with np.errstate(all="ignore"):
        return np.sin(_floating(x))


def cos(x: ArrayLike) -> Any:
    """The cosine, element by element; NaN for infinity."""
    with np.errstate(all="ignore"):
        return np.cos(_floating(x))


def normal_cdf(x: ArrayLike) -> Any:
    """The distribution function of the normal distribution, element by element: erfc(-x/√2)/2."""
    values = _floating(x)
    with np.errstate(all="ignore"):
        wide = np.asarray(values, np.float64)
        return (0.5 * np.asarray(_ERFC(wide * -math.sqrt(0.5)), np.float64)).astype(values.dtype)[()]
