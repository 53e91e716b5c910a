"""Initialisers of weights and biases, one record each. All draw float64 numbers by ``uniform`` and ``normal``."""

import numpy as np

from .records import Array, Initializer, Parameter

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


def _orthogonal(rng: np.random.Generator, fan_in: int, width: int, gain: float) -> Array:
    """Saxe et al., Exact solutions to the nonlinear dynamics of learning in deep linear networks, 2013."""
    tall = rng.normal(0.0, 1.0, (max(fan_in, width), min(fan_in, width)))
    q, r = np.linalg.qr(tall)
    q = q * np.where(np.diagonal(r) < 0.0, -gain, gain)
    return np.ascontiguousarray(q if fan_in >= width else q.T)


def _uniform(rng: np.random.Generator, fan_in: int, width: int, low: float, high: float) -> Array:
    return rng.uniform(low, high, (fan_in, width))


def _normal(rng: np.random.Generator, fan_in: int, width: int, mean: float, deviation: float) -> Array:
    return rng.normal(mean, abs(deviation), (fan_in, width))


def _identity(rng: np.random.Generator, fan_in: int, width: int, factor: float) -> Array:
    return factor * np.eye(width)


def _spectral(rng: np.random.Generator, fan_in: int, width: int, radius: float, density: float) -> Array:
    """Jaeger, The "echo state" approach to analysing and training recurrent neural networks, 2001."""
    weight = rng.normal(0.0, 1.0, (width, width))
    if density < 1.0:
        weight = np.where(rng.uniform(0.0, 1.0, (width, width)) < density, weight, 0.0)
    largest = np.abs(np.linalg.eigvals(weight)).max()
    return weight * (radius / largest) if largest > 0.0 else np.zeros_like(weight)


def _zero(rng: np.random.Generator, fan_in: int, width: int) -> Array:
    return np.zeros(width)


def _const_flat(rng: np.random.Generator, fan_in: int, width: int, value: float) -> Array:
    return np.full(width, value)


def _const_uneven(rng: np.random.Generator, fan_in: int, width: int, mean: float, deviation: float) -> Array:
    return rng.normal(mean, abs(deviation), width)


def _spaced(rng: np.random.Generator, fan_in: int, width: int, first: float, last: float) -> Array:
    return 2.0 * np.linspace(0.5 * first, 0.5 * last, width)  # halves, so that last - first does not overflow


def _chrono(rng: np.random.Generator, fan_in: int, width: int, longest: float) -> Array:
    """Tallec and Ollivier, Can recurrent neural networks warp time?, 2018: biases of forget gates."""
    return np.log(rng.uniform(1.0, longest - 1.0, width))


WEIGHT_RECORDS = (
    Initializer("xavier", (), False, _xavier),
    Initializer("he", (), False, _he),
    Initializer("lecun", (), False, _lecun),
    Initializer("orthogonal", (Parameter("gain", 1.0),), False, _orthogonal),
    Initializer("uniform", (_LOW, _HIGH), True, _uniform, ordered=True),
    Initializer("normal", (_MEAN, _DEVIATION), True, _normal),
    Initializer("identity", (Parameter("factor", 1.0),), False, _identity, square=True),
    Initializer(
        "spectral",
        (
            Parameter("spectral radius", None, minimum=0.0),
            Parameter("density", 1.0, minimum=0.0, exclusive=True, maximum=1.0),
        ),
        False,
        _spectral,
        square=True,
    ),
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
    Initializer("spaced", (Parameter("first", None), Parameter("last", None)), False, _spaced),
    Initializer("chrono", (Parameter("longest time", None, minimum=2.0, exclusive=True),), False, _chrono),
)
