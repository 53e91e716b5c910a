"""Activation functions, one record each.

A derivative is a text over ``y`` alone wherever that is exact, so that ``x`` need not be kept for the
backward pass. At a bend x = 0 belongs to the lower piece.
"""

import numpy as np

from neuromorph.functions.records import Activation, Array, Parameter, number

# Klambauer et al., Self-Normalizing Neural Networks, 2017.
_SELU_SCALE = 1.0507009873554805
_SELU_ALPHA = 1.6732632423543772
# sqrt(2 / pi) and the cubic term of the tanh form of Hendrycks and Gimpel, Gaussian Error Linear Units, 2016.
_GELU_SLOPE = 0.7978845608028654
_GELU_CUBIC = 0.044715


def _linear(x: Array, p: float | None) -> Array:
    return x.copy()


def _linear_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    return g.copy()


def logistic(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0.0, 1.0, small) / (1.0 + small)


def _sigmoid(x: Array, p: float | None) -> Array:
    return logistic(x)


def _sigmoid_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    return g * logistic(x) * logistic(-x)


def _tanh(x: Array, p: float | None) -> Array:
    return np.tanh(x)


def _tanh_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    return g * (1.0 - np.tanh(x)) * (1.0 + np.tanh(x))


def _relu(x: Array, p: float | None) -> Array:
    return np.where(x <= 0.0, 0.0, x)


def _relu_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    return np.where(x <= 0.0, 0.0, g)


def _leaky(x: Array, p: float | None) -> Array:
    return np.where(x <= 0.0, number(p) * x, x)


def _leaky_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    return np.where(x <= 0.0, number(p) * g, g)


def _elu(x: Array, p: float | None) -> Array:
    return np.where(x <= 0.0, number(p) * np.expm1(np.minimum(x, 0.0)), x)


def _elu_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    return np.where(x <= 0.0, number(p) * np.exp(np.minimum(x, 0.0)) * g, g)


def _selu(x: Array, p: float | None) -> Array:
    return _SELU_SCALE * _elu(x, _SELU_ALPHA)


def _selu_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    return _SELU_SCALE * _elu_gradient(x, y, g, _SELU_ALPHA)


def _gelu(x: Array, p: float | None) -> Array:
    return x * logistic(2.0 * _GELU_SLOPE * (x + _GELU_CUBIC * x**3))


def _gelu_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    u = 2.0 * _GELU_SLOPE * (x + _GELU_CUBIC * x**3)
    du = 2.0 * _GELU_SLOPE * (1.0 + 3.0 * _GELU_CUBIC * x**2)
    return g * (logistic(u) + x * du * logistic(u) * logistic(-u))


def _swish(x: Array, p: float | None) -> Array:
    return x * logistic(number(p) * x)


def _swish_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    z = number(p) * x
    return g * logistic(z) * (1.0 + z * logistic(-z))


def _softmax(x: Array, p: float | None) -> Array:
    powers: Array = np.exp(x - x.max(axis=-1, keepdims=True))
    total: Array = powers.sum(axis=-1, keepdims=True)
    return powers / total


def _softmax_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    mean: Array = (y * g).sum(axis=-1, keepdims=True)
    return y * (g - mean)


def _binary_step(x: Array, p: float | None) -> Array:
    return np.where(np.isnan(x), x, np.heaviside(x, 1.0))


def _binary_step_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    return np.zeros_like(g)


# 0.5 (1 + tanh(u)) is sigmoid(2u), which keeps its digits where tanh comes near to -1.
_GELU_SIGMOID = f"sigmoid({2 * _GELU_SLOPE!r} * x * (1.0 + {_GELU_CUBIC!r} * x * x))"

RECORDS = (
    Activation("linear", None, "x", "1.0", _linear, _linear_gradient),
    Activation("sigmoid", None, "sigmoid(x)", "y * (1.0 - y)", _sigmoid, _sigmoid_gradient),
    Activation("tanh", None, "tanh(x)", "1.0 - y * y", _tanh, _tanh_gradient),
    Activation("relu", None, "where(x <= 0.0, 0.0, x)", "where(y <= 0.0, 0.0, 1.0)", _relu, _relu_gradient),
    # The slope may be negative, so the sign of y does not tell the piece.
    Activation(
        "relu_leaky",
        Parameter("slope", 0.01),
        "where(x <= 0.0, p * x, x)",
        "where(x <= 0.0, p, 1.0)",
        _leaky,
        _leaky_gradient,
    ),
    Activation(
        "relu_parametric",
        Parameter("slope", 0.25),
        "where(x <= 0.0, p * x, x)",
        "where(x <= 0.0, p, 1.0)",
        _leaky,
        _leaky_gradient,
    ),
    Activation(
        "elu",
        Parameter("alpha", 1.0, minimum=0.0),
        "where(x <= 0.0, p * (exp(minimum(x, 0.0)) - 1.0), x)",
        "where(y <= 0.0, y + p, 1.0)",
        _elu,
        _elu_gradient,
    ),
    Activation(
        "selu",
        None,
        f"where(x <= 0.0, {_SELU_SCALE * _SELU_ALPHA!r} * (exp(minimum(x, 0.0)) - 1.0), {_SELU_SCALE!r} * x)",
        f"where(y <= 0.0, y + {_SELU_SCALE * _SELU_ALPHA!r}, {_SELU_SCALE!r})",
        _selu,
        _selu_gradient,
    ),
    Activation(
        "gelu",
        None,
        f"x * {_GELU_SIGMOID}",
        f"s + y * (1.0 - s) * {2 * _GELU_SLOPE!r} * (1.0 + {3 * _GELU_CUBIC!r} * x * x)",
        _gelu,
        _gelu_gradient,
        let=(("s", _GELU_SIGMOID),),
    ),
    Activation(
        "swish",
        Parameter("beta", 1.0),
        "x * sigmoid(p * x)",
        "s + p * y * (1.0 - s)",
        _swish,
        _swish_gradient,
        let=(("s", "sigmoid(p * x)"),),
    ),
    Activation("softmax", None, "", "", _softmax, _softmax_gradient, couples=True),
    Activation(
        "binary_step",
        None,
        "where(x < 0.0, 0.0, where(x >= 0.0, 1.0, x))",
        "0.0",
        _binary_step,
        _binary_step_gradient,
        blocks_gradient=True,
    ),
)
