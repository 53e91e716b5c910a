"""Activation functions, one record each.

A derivative is a text over ``y`` alone wherever that is exact, so that ``x`` need not be kept for the backward pass.
Where pieces of a function meet at x = 0, that point belongs to the lower piece.
"""

import math

import numpy as np

from .records import Activation, Array, Parameter, number

# Klambauer et al., Self-Normalizing Neural Networks, 2017.
_SELU_SCALE = 1.0507009873554805
_SELU_ALPHA = 1.6732632423543772
# sqrt(2 / pi) and the cubic term of the tanh form of Hendrycks and Gimpel, Gaussian Error Linear Units, 2016.
_GELU_SLOPE = 0.7978845608028654
_GELU_CUBIC = 0.044715
_SQRT_HALF = math.sqrt(0.5)
_NORMAL_PEAK = 1.0 / math.sqrt(2.0 * math.pi)
_ERFC = np.frompyfunc(math.erfc, 1, 1)
_LEAST = 1e-7  # the smallest number that ``log`` takes the logarithm of
_QUIET = np.errstate(all="ignore")  # overflow gives infinity, as in the kernel


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


def _no_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    return np.zeros_like(g)


@_QUIET
def _softplus(x: Array, p: float | None) -> Array:
    return np.logaddexp(0.0, x)


def _softplus_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    return g * logistic(x)


@_QUIET
def _exp(x: Array, p: float | None) -> Array:
    return np.exp(x)


@_QUIET
def _exp_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    return g * np.exp(x)


def _abs(x: Array, p: float | None) -> Array:
    return np.abs(x)


def _abs_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    return g * np.sign(x)


@_QUIET
def _square(x: Array, p: float | None) -> Array:
    return np.square(x)


def _square_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    return g * (x + x)


@_QUIET
def _sin(x: Array, p: float | None) -> Array:
    return np.sin(x)


@_QUIET
def _sin_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    return g * np.cos(x)


@_QUIET
def _cos(x: Array, p: float | None) -> Array:
    return np.cos(x)


@_QUIET
def _cos_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    return -g * np.sin(x)


@_QUIET
def _reciprocal(x: Array, p: float | None) -> Array:
    return np.reciprocal(x)


@_QUIET
def _reciprocal_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    return -g / x / x


@_QUIET
def _softsign(x: Array, p: float | None) -> Array:
    return x / (1.0 + np.abs(x))


@_QUIET
def _softsign_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    return g / np.square(1.0 + np.abs(x))


def _log(x: Array, p: float | None) -> Array:
    return np.log(np.maximum(x, _LEAST))


def _log_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    return np.where(x <= _LEAST, 0.0, g / np.maximum(x, _LEAST))


def _clipped_gradient(x: Array, g: Array, low: float, high: float) -> Array:
    """The gradient of a function whose slope is 1 for low < x <= high, and 0 elsewhere."""
    return np.where((x <= low) | (x > high), 0.0, g)


def _hard_sigmoid(x: Array, p: float | None) -> Array:
    return np.clip((x + 3.0) / 6.0, 0.0, 1.0)


def _hard_sigmoid_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    return _clipped_gradient(x, g / 6.0, -3.0, 3.0)


def _hard_tanh(x: Array, p: float | None) -> Array:
    return np.clip(x, -1.0, 1.0)


def _hard_tanh_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    return _clipped_gradient(x, g, -1.0, 1.0)


def _clip(x: Array, p: float | None) -> Array:
    return np.clip(x, -number(p), number(p))


def _clip_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    return _clipped_gradient(x, g, -number(p), number(p))


@_QUIET
def _mish(x: Array, p: float | None) -> Array:
    return x * np.tanh(np.logaddexp(0.0, x))


@_QUIET
def _mish_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    t = np.tanh(np.logaddexp(0.0, x))
    return g * (t + x * (1.0 - t) * (1.0 + t) * logistic(x))


def normal_cdf(x: Array) -> Array:
    """The distribution function of the standard normal distribution, with a small relative error even where it is
    tiny."""
    found: Array = 0.5 * np.asarray(_ERFC(-x * _SQRT_HALF), np.float64)
    return found


def _gelu_exact(x: Array, p: float | None) -> Array:
    return x * normal_cdf(x)


@_QUIET
def _gelu_exact_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    density: Array = np.exp(-np.square(x) / 2.0) * _NORMAL_PEAK
    return g * (normal_cdf(x) + x * density)


def _times(x: Array, p: float | None) -> Array:
    return number(p) * x


def _times_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    return number(p) * g


def _plus(x: Array, p: float | None) -> Array:
    return x + number(p)


def _spike(x: Array, p: float | None) -> Array:
    return np.where(np.isnan(x), x, np.heaviside(x, 0.0))


@_QUIET
def _spike_gradient(x: Array, y: Array, g: Array, p: float | None) -> Array:
    return g / np.square(1.0 + number(p) * np.abs(x))


# 0.5 (1 + tanh(u)) is sigmoid(2u), which keeps its digits where tanh comes near to -1.
_GELU_SIGMOID = f"sigmoid({2 * _GELU_SLOPE!r} * x * (1.0 + {_GELU_CUBIC!r} * x * x))"

_MISH_EXP = "exp(where(x > 22.0, 22.0, x))"

RECORDS = (
    Activation("linear", None, "x", "1.0", _linear, _linear_gradient),
    Activation("sigmoid", None, "sigmoid(x)", "y * (1.0 - y)", _sigmoid, _sigmoid_gradient),
    Activation("tanh", None, "tanh(x)", "1.0 - y * y", _tanh, _tanh_gradient),
    Activation("relu", None, "where(x <= 0.0, 0.0, x)", "where(y <= 0.0, 0.0, 1.0)", _relu, _relu_gradient),
    # The slope may be negative, so the sign of y does not say which piece x is in.
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
        _no_gradient,
        blocks_gradient=True,
    ),
    Activation("detach", None, "x", "0.0", _linear, _no_gradient, blocks_gradient=True, surrogate=True),
    # 1 - exp(-y) would lose the digits of a small derivative.
    Activation("softplus", None, "softplus(x)", "sigmoid(x)", _softplus, _softplus_gradient),
    Activation("exp", None, "exp(x)", "y", _exp, _exp_gradient),
    Activation("abs", None, "absolute(x)", "where(x > 0.0, 1.0, where(x < 0.0, -1.0, x))", _abs, _abs_gradient),
    Activation("square", None, "x * x", "2.0 * x", _square, _square_gradient),
    Activation("sin", None, "sin(x)", "cos(x)", _sin, _sin_gradient),
    Activation("cos", None, "cos(x)", "-sin(x)", _cos, _cos_gradient),
    # Over y, because 1 / (x * x) is infinite in the padding of a row, where x is 0. There the schedule keeps y at 0.
    Activation("reciprocal", None, "1.0 / x", "-y * y", _reciprocal, _reciprocal_gradient),
    # (1 - |y|)^2 would lose the digits of a small derivative.
    Activation(
        "softsign",
        None,
        "x / (1.0 + absolute(x))",
        "s * s",
        _softsign,
        _softsign_gradient,
        let=(("s", "1.0 / (1.0 + absolute(x))"),),
    ),
    Activation(
        "log",
        None,
        f"log(maximum({_LEAST!r}, x))",
        f"where(x <= {_LEAST!r}, 0.0, 1.0 / maximum({_LEAST!r}, x))",
        _log,
        _log_gradient,
    ),
    Activation(
        "hard_sigmoid",
        None,
        f"where(x <= -3.0, 0.0, where(x > 3.0, 1.0, (x + 3.0) * {1 / 6!r}))",
        f"where(x <= -3.0, 0.0, where(x > 3.0, 0.0, {1 / 6!r}))",
        _hard_sigmoid,
        _hard_sigmoid_gradient,
    ),
    Activation(
        "hard_tanh",
        None,
        "where(x <= -1.0, -1.0, where(x > 1.0, 1.0, x))",
        "where(x <= -1.0, 0.0, where(x > 1.0, 0.0, 1.0))",
        _hard_tanh,
        _hard_tanh_gradient,
    ),
    Activation(
        "clip",
        Parameter("bound", 1.0, minimum=0.0, exclusive=True),
        "where(x <= -p, -p, where(x > p, p, x))",
        "where(x <= -p, 0.0, where(x > p, 0.0, 1.0))",
        _clip,
        _clip_gradient,
    ),
    # With e = exp(x) and n = e (e + 2), tanh(log(1 + e)) is n / (n + 2). Beyond 22 it is 1, and n would overflow.
    Activation(
        "mish",
        None,
        f"x * ({_MISH_EXP} * ({_MISH_EXP} + 2.0)) / ({_MISH_EXP} * ({_MISH_EXP} + 2.0) + 2.0)",
        "n * r + 4.0 * c * (e * r) * ((1.0 + e) * r)",
        _mish,
        _mish_gradient,
        let=(
            ("c", "where(x > 22.0, 22.0, x)"),
            ("e", "exp(c)"),
            ("n", "e * (e + 2.0)"),
            ("r", "1.0 / (n + 2.0)"),
        ),
    ),
    Activation(
        "gelu_exact",
        None,
        "x * normal_cdf(x)",
        f"normal_cdf(x) + {_NORMAL_PEAK!r} * x * exp(-0.5 * x * x)",
        _gelu_exact,
        _gelu_exact_gradient,
    ),
    Activation("times", Parameter("factor", 1.0), "p * x", "p", _times, _times_gradient),
    Activation("plus", Parameter("summand", 0.0), "x + p", "1.0", _plus, _linear_gradient),
    # The surrogate of Zenke and Ganguli, SuperSpike, 2018, with a height of 1.
    Activation(
        "spike",
        Parameter("beta", 25.0, minimum=0.0, exclusive=True),
        "where(x > 0.0, 1.0, where(x <= 0.0, 0.0, x))",
        "s * s",
        _spike,
        _spike_gradient,
        let=(("s", "1.0 / (1.0 + p * absolute(x))"),),
        surrogate=True,
    ),
)
