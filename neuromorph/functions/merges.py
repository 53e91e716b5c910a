"""Merge operations, one record each."""

import numpy as np

from .records import Array, Merge

_QUIET = np.errstate(all="ignore")  # division by zero gives what IEEE arithmetic says


def _additive(x: Array, o: Array) -> Array:
    return x + o


def _additive_gradient(x: Array, o: Array, g: Array) -> tuple[Array, Array]:
    return g.copy(), g.copy()


def _multiplicative(x: Array, o: Array) -> Array:
    return x * o


def _multiplicative_gradient(x: Array, o: Array, g: Array) -> tuple[Array, Array]:
    return o * g, x * g


def _average(x: Array, o: Array) -> Array:
    return (x + o) / 2.0


def _average_gradient(x: Array, o: Array, g: Array) -> tuple[Array, Array]:
    return g / 2.0, g / 2.0


def _subtractive(x: Array, o: Array) -> Array:
    return x - o


def _subtractive_gradient(x: Array, o: Array, g: Array) -> tuple[Array, Array]:
    return g.copy(), -g


def _concatenate(x: Array, o: Array) -> Array:
    return np.concatenate([x, o], axis=-1)


def _concatenate_gradient(x: Array, o: Array, g: Array) -> tuple[Array, Array]:
    return g[..., : x.shape[-1]].copy(), g[..., x.shape[-1] :].copy()


def _maximum(x: Array, o: Array) -> Array:
    return np.maximum(x, o)


def _maximum_gradient(x: Array, o: Array, g: Array) -> tuple[Array, Array]:
    return np.where(x >= o, g, 0.0), np.where(x >= o, 0.0, g)


def _minimum(x: Array, o: Array) -> Array:
    return np.minimum(x, o)


def _minimum_gradient(x: Array, o: Array, g: Array) -> tuple[Array, Array]:
    return np.where(x <= o, g, 0.0), np.where(x <= o, 0.0, g)


@_QUIET
def _divisive(x: Array, o: Array) -> Array:
    return x / o


@_QUIET
def _divisive_gradient(x: Array, o: Array, g: Array) -> tuple[Array, Array]:
    return g / o, -g * (x / o) / o


def _scale(x: Array, o: Array) -> Array:
    return x * o


def _scale_gradient(x: Array, o: Array, g: Array) -> tuple[Array, Array]:
    return g * o, np.sum(g * x, axis=-1, keepdims=True)


def _dot(x: Array, o: Array) -> Array:
    total: Array = np.sum(x * o, axis=-1, keepdims=True)
    return total


def _dot_gradient(x: Array, o: Array, g: Array) -> tuple[Array, Array]:
    return g * o, g * x


def _take(x: Array, o: Array) -> Array:
    return o.copy()


def _take_gradient(x: Array, o: Array, g: Array) -> tuple[Array, Array]:
    return np.zeros_like(x), g.copy()


RECORDS = (
    Merge("additive", "x + o", "g", "g", _additive, _additive_gradient),
    Merge("multiplicative", "x * o", "g * o", "g * x", _multiplicative, _multiplicative_gradient),
    Merge("average", "0.5 * (x + o)", "0.5 * g", "0.5 * g", _average, _average_gradient),
    Merge("subtractive", "x - o", "g", "-g", _subtractive, _subtractive_gradient),
    Merge("concatenate", "", "", "", _concatenate, _concatenate_gradient, result="both"),
    # The sum x + o is for NaN, for which both comparisons are false.
    Merge(
        "maximum",
        "where(x >= o, x, where(x < o, o, x + o))",
        "where(x >= o, g, 0.0)",
        "where(x >= o, 0.0, g)",
        _maximum,
        _maximum_gradient,
    ),
    Merge(
        "minimum",
        "where(x <= o, x, where(x > o, o, x + o))",
        "where(x <= o, g, 0.0)",
        "where(x <= o, 0.0, g)",
        _minimum,
        _minimum_gradient,
    ),
    Merge("divisive", "x / o", "g / o", "-g * (x / o) / o", _divisive, _divisive_gradient),
    Merge("scale", "x * o", "g * o", "g * x", _scale, _scale_gradient, other_width="one"),
    Merge("dot", "x * o", "g * o", "g * x", _dot, _dot_gradient, other_width="same", result="one"),
    Merge("take", "o", "0.0", "g", _take, _take_gradient, reads_x=False, result="other"),
)
