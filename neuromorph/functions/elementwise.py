"""Elementwise layers, one record each. They are as wide as what comes in, and have one parameter for each component."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from ..host.frozen import frozen
from .records import Array, Parameter, number

RoleName = Literal["weight", "bias", "mean", "scale"]
Arrays = Mapping[str, Array]


@frozen
class Role:
    """A parameter vector of a layer.

    variable: its name in expressions. first: the first value; None means the layer's number. gradient: the text of one
    row's share of dL/d(parameter), over the names of ``ElementwiseLayer.derivative``. It is empty if the parameter
    never learns.
    """

    name: RoleName
    variable: str
    first: float | None
    gradient: str = ""

    @property
    def learns(self) -> bool:
        """Whether training changes the parameter."""
        return bool(self.gradient)


@frozen
class Statistic:
    """A number that is computed for each row.

    expression: its mean over the components of the row becomes ``mean``. finish: the text of the number, over ``mean``
    and ``p``. variable: the name of the number.
    """

    variable: str
    expression: str
    finish: str = "mean"


@frozen
class ElementwiseLayer:
    """The function ``y = layer(x)`` with parameter vectors, and one number ``p`` at most.

    forward: a text over ``x, p``, the variables of the parameters and those of ``statistics``. Each statistic may use
    the ones before it. derivative: the text of dL/dx over ``g`` = dL/dy, all these names and ``backward_statistics``.
    The twins ``value(x, arrays, p)`` and ``gradient(x, arrays, g, p)`` -> (dL/dx, {name: dL/d(parameter) of
    each row}) take arrays of shape (…, width) and the parameters by name, each of shape (width,). reads_x: whether the
    value depends on x. drops: whether training multiplies by a mask ``k`` whose rate is p; outside training x is
    unchanged.
    """

    name: str
    parameter: Parameter | None
    roles: tuple[Role, ...]
    forward: str
    derivative: str
    value: Callable[[Array, Arrays, float | None], Array]
    gradient: Callable[[Array, Arrays, Array, float | None], tuple[Array, dict[str, Array]]]
    statistics: tuple[Statistic, ...] = ()
    backward_statistics: tuple[Statistic, ...] = ()
    reads_x: bool = True
    drops: bool = False

    @property
    def couples(self) -> bool:
        """Whether the components of a vector depend on one another."""
        return bool(self.statistics)


def _gain(x: Array, arrays: Arrays, p: float | None) -> Array:
    return x * arrays["weight"]


def _gain_gradient(x: Array, arrays: Arrays, g: Array, p: float | None) -> tuple[Array, dict[str, Array]]:
    return g * arrays["weight"], {"weight": g * x}


def _shift(x: Array, arrays: Arrays, p: float | None) -> Array:
    return x + arrays["bias"]


def _shift_gradient(x: Array, arrays: Arrays, g: Array, p: float | None) -> tuple[Array, dict[str, Array]]:
    return g.copy(), {"bias": g.copy()}


def _prelu(x: Array, arrays: Arrays, p: float | None) -> Array:
    return np.where(x > 0.0, x, x * arrays["weight"])


def _prelu_gradient(x: Array, arrays: Arrays, g: Array, p: float | None) -> tuple[Array, dict[str, Array]]:
    return np.where(x > 0.0, g, g * arrays["weight"]), {"weight": np.where(x > 0.0, 0.0, g * x)}


def _normalized(x: Array, p: float | None, *, centers: bool) -> tuple[Array, Array]:
    """The vectors divided by their deviation (or root mean square, without ``centers``), and the divisors."""
    centered = x - x.mean(axis=-1, keepdims=True) if centers else x
    deviation: Array = np.sqrt((centered * centered).mean(axis=-1, keepdims=True) + number(p))
    return centered / deviation, deviation


def _norm(x: Array, arrays: Arrays, p: float | None) -> Array:
    return _normalized(x, p, centers=True)[0] * arrays["weight"] + arrays["bias"]


def _norm_gradient(x: Array, arrays: Arrays, g: Array, p: float | None) -> tuple[Array, dict[str, Array]]:
    z, deviation = _normalized(x, p, centers=True)
    into = g * arrays["weight"]
    means = into.mean(axis=-1, keepdims=True), (into * z).mean(axis=-1, keepdims=True)
    return (into - means[0] - z * means[1]) / deviation, {"weight": g * z, "bias": g.copy()}


def _rms_norm(x: Array, arrays: Arrays, p: float | None) -> Array:
    return _normalized(x, p, centers=False)[0] * arrays["weight"]


def _rms_norm_gradient(x: Array, arrays: Arrays, g: Array, p: float | None) -> tuple[Array, dict[str, Array]]:
    z, deviation = _normalized(x, p, centers=False)
    into = g * arrays["weight"]
    return (into - z * (into * z).mean(axis=-1, keepdims=True)) / deviation, {"weight": g * z}


def _standardize(x: Array, arrays: Arrays, p: float | None) -> Array:
    return (x - arrays["mean"]) / arrays["scale"]


def _standardize_gradient(x: Array, arrays: Arrays, g: Array, p: float | None) -> tuple[Array, dict[str, Array]]:
    return g / arrays["scale"], {}


def _same(x: Array, arrays: Arrays, p: float | None) -> Array:
    return x.copy()


def _same_gradient(x: Array, arrays: Arrays, g: Array, p: float | None) -> tuple[Array, dict[str, Array]]:
    return g.copy(), {}


def _learned(x: Array, arrays: Arrays, p: float | None) -> Array:
    return np.broadcast_to(arrays["bias"], (*x.shape[:-1], len(arrays["bias"]))).copy()


def _learned_gradient(x: Array, arrays: Arrays, g: Array, p: float | None) -> tuple[Array, dict[str, Array]]:
    return np.zeros_like(x), {"bias": g.copy()}


def _restore(x: Array, arrays: Arrays, p: float | None) -> Array:
    return arrays["mean"] + arrays["scale"] * x


def _restore_gradient(x: Array, arrays: Arrays, g: Array, p: float | None) -> tuple[Array, dict[str, Array]]:
    return g * arrays["scale"], {}


_EPSILON = "epsilon"
_UNITS = (Role("mean", "m", 0.0), Role("scale", "s", 1.0))

# How an output converts its product to the units of the expected values.
RESTORE = ElementwiseLayer("restore", None, _UNITS, "m + s * x", "g * s", _restore, _restore_gradient)

# Sources: Srivastava et al., Dropout, 2014, with the scale applied while training.
# Ba, Kiros and Hinton, Layer Normalization, 2016; Zhang and Sennrich, Root Mean Square Layer Normalization, 2019;
# He et al., Delving Deep into Rectifiers (prelu), 2015.
RECORDS = (
    ElementwiseLayer(
        "gain", Parameter("weight", 1.0), (Role("weight", "w", None, "g * x"),), "w * x", "g * w", _gain, _gain_gradient
    ),
    ElementwiseLayer(
        "shift", Parameter("bias", 0.0), (Role("bias", "b", None, "g"),), "x + b", "g", _shift, _shift_gradient
    ),
    ElementwiseLayer(
        "prelu",
        Parameter("slope", 0.25),
        (Role("weight", "w", None, "where(x > 0.0, 0.0, g * x)"),),
        "where(x > 0.0, x, w * x)",
        "where(x > 0.0, g, g * w)",
        _prelu,
        _prelu_gradient,
    ),
    ElementwiseLayer(
        "norm",
        Parameter(_EPSILON, 1e-5, minimum=0.0, exclusive=True),
        (Role("weight", "w", 1.0, "g * (x - center) * inverse"), Role("bias", "b", 0.0, "g")),
        "w * ((x - center) * inverse) + b",
        "inverse * (g * w - first - (x - center) * inverse * second)",
        _norm,
        _norm_gradient,
        (Statistic("center", "x"), Statistic("inverse", "(x - center) * (x - center)", "1.0 / sqrt(mean + p)")),
        (Statistic("first", "g * w"), Statistic("second", "g * w * (x - center) * inverse")),
    ),
    ElementwiseLayer(
        "rms_norm",
        Parameter(_EPSILON, 1e-6, minimum=0.0, exclusive=True),
        (Role("weight", "w", 1.0, "g * x * inverse"),),
        "w * (x * inverse)",
        "inverse * (g * w - x * inverse * second)",
        _rms_norm,
        _rms_norm_gradient,
        (Statistic("inverse", "x * x", "1.0 / sqrt(mean + p)"),),
        (Statistic("second", "g * w * x * inverse"),),
    ),
    ElementwiseLayer(
        "standardize",
        None,
        _UNITS,
        "(x - m) / s",
        "g / s",
        _standardize,
        _standardize_gradient,
    ),
    ElementwiseLayer(
        "dropout",
        Parameter("rate", 0.5, minimum=0.0, below=1.0),
        (),
        "x * k",
        "g * k",
        _same,
        _same_gradient,
        drops=True,
    ),
    ElementwiseLayer(
        "learned", Parameter("value", None), (Role("bias", "b", None, "g"),), "b", "", _learned, _learned_gradient,
        reads_x=False,
    ),
)  # fmt: skip
