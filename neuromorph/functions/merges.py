"""Merge operations, one record each."""

import numpy as np

from neuromorph.functions.records import Array, Merge


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


RECORDS = (
    Merge("additive", "x + o", "g", "g", False, _additive, _additive_gradient),
    Merge("multiplicative", "x * o", "g * o", "g * x", False, _multiplicative, _multiplicative_gradient),
    Merge("average", "0.5 * (x + o)", "0.5 * g", "0.5 * g", False, _average, _average_gradient),
    Merge("subtractive", "x - o", "g", "-g", False, _subtractive, _subtractive_gradient),
    Merge("concatenate", "", "", "", True, _concatenate, _concatenate_gradient, result="both"),
)
