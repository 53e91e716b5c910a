"""Initialisers of weights and biases, one record each; all draw float64, by ``uniform`` and ``normal``."""

import numpy as np

from neuromorph.functions.records import Array, Initializer, Parameter

_LOW, _HIGH = Parameter("low", 0.0), Parameter("high", 1.0)
_MEAN, _DEVIATION = Parameter("mean", 0.0), Parameter("standard deviation", 1.0, minimum=0.0)


def _xavier(rng: np.random.Generator, fan_in: int, width: int) -> Array:
    """Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010."""
    bound = np.sqrt(6.0 / (fan_in + width))
    return rng.uniform(-bound, bound, (fan_in, width))


def _he(rng: np.random.Generator, fan_in: int, width: int) -> Array:
    """He et al., Delving Deep into Rectifiers, 2015, in its uniform form."""
    bound = np.sqrt(6.0 / fan_in)
    return rng.uniform(-bound, bound, (fan_in, width))


def _lecun(rng: np.random.Generator, fan_in: int, width: int) -> Array:
    """LeCun et al., Efficient BackProp, 1998."""
    return rng.normal(0.0, np.sqrt(1.0 / fan_in), (fan_in, width))


def _orthogonal(rng: np.random.Generator, fan_in: int, width: int) -> Array:
    """Saxe et al., Exact solutions to the nonlinear dynamics of learning in deep linear networks, 2013."""
    tall = rng.normal(0.0, 1.0, (max(fan_in, width), min(fan_in, width)))
    q, r = np.linalg.qr(tall)
    q = q * np.where(np.diagonal(r) < 0.0, -1.0, 1.0)
    return np.ascontiguousarray(q if fan_in >= width else q.T)


def _uniform(rng: np.random.Generator, fan_in: int, width: int, low: float, high: float) -> Array:
    return rng.uniform(low, high, (fan_in, width))


def _normal(rng: np.random.Generator, fan_in: int, width: int, mean: float, deviation: float) -> Array:
    return rng.normal(mean, abs(deviation), (fan_in, width))


def _zero(rng: np.random.Generator, fan_in: int, width: int) -> Array:
    return np.zeros(width)


def _const_flat(rng: np.random.Generator, fan_in: int, width: int, value: float) -> Array:
    return np.full(width, value)


def _const_uneven(rng: np.random.Generator, fan_in: int, width: int, mean: float, deviation: float) -> Array:
    return rng.normal(mean, abs(deviation), width)


WEIGHT_RECORDS = (
    Initializer("xavier", (), False, _xavier),
    Initializer("he", (), False, _he),
    Initializer("lecun", (), False, _lecun),
    Initializer("orthogonal", (), False, _orthogonal),
    Initializer("uniform", (_LOW, _HIGH), True, _uniform, ordered=True),
    Initializer("normal", (_MEAN, _DEVIATION), True, _normal),
)

BIAS_RECORDS = (
    Initializer("zero", (), False, _zero),
    Initializer("const_flat", (Parameter("value", None),), False, _const_flat),
    Initializer(
        "const_uneven",
        (Parameter("mean", None), Parameter("standard deviation", None, minimum=0.0)),
        False,
        _const_uneven,
    ),
)
