"""The frozen record of each kind of function: its numbers, its expressions and its NumPy twin.

Expressions are texts that the code generator pastes into generated source. Their words are the variable
names that each record states, float literals, ``+ - * /``, comparisons and :data:`VOCABULARY`. They let a
NaN pass through. They never divide by zero, also in the branch of a ``where`` that is not chosen, except where the
value itself is such a quotient. The twins are float64 NumPy, written independently of the expressions; tests compare
both.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neuromorph.functions.expressions import Expression

Array = NDArray[np.float64]

VOCABULARY = frozenset(
    [
        "exp", "log", "tanh", "sigmoid", "softplus", "sin", "cos", "normal_cdf", "sqrt", "absolute", "maximum",
        "minimum", "where",
    ],
)  # fmt: skip


@dataclass(frozen=True)
class Parameter:
    """A number that a function takes: its name, its default (None: must be given) and its range.

    It is at least ``minimum``, with ``exclusive`` greater than it, at most ``maximum``, less than ``below``, and with
    ``whole`` a whole number.
    """

    name: str
    default: float | None
    minimum: float | None = None
    exclusive: bool = False
    maximum: float | None = None
    below: float | None = None
    whole: bool = False

    def check(self, value: float) -> str | None:
        """Say why ``value`` is out of range, or None where it is fine."""
        if not math.isfinite(value):
            return f"{self.name} must be a finite number, not {value!r}"
        bound = self._missed(value)
        return None if bound is None else f"{self.name} must be {bound}, not {value!r}"

    def _missed(self, value: float) -> str | None:
        """The bound that a finite number does not keep to."""
        if self.whole and value != int(value):
            return "a whole number"
        if self.minimum is not None and self.exclusive and value <= self.minimum:
            return f"greater than {self.minimum:g}"
        if self.minimum is not None and value < self.minimum:
            return f"at least {self.minimum:g}"
        if self.maximum is not None and value > self.maximum:
            return f"at most {self.maximum:g}"
        if self.below is not None and value >= self.below:
            return f"less than {self.below:g}"
        return None


@dataclass(frozen=True)
class Activation:
    """``y = activation(x)``, with one number ``p`` at most.

    ``forward`` is a text over ``x, p``; ``derivative`` is dy/dx over ``x, y, p`` and the names that ``let``
    defines in order, each over ``x, y, p`` and the names before it. Where ``couples`` is set the components
    of a vector depend on one another and the texts are empty; where ``blocks_gradient`` is set the
    derivative is 0 everywhere; where ``surrogate`` is set the derivative is by definition another one than that of
    the value, so that no difference of values can confirm it. The twins ``value(x, p)`` and
    ``gradient(x, y, g, p)``, the latter dL/dx from ``g`` = dL/dy, take arrays of shape (…, width).
    """

    name: str
    parameter: Parameter | None
    forward: str
    derivative: str
    value: Callable[[Array, float | None], Array]
    gradient: Callable[[Array, Array, Array, float | None], Array]
    let: tuple[tuple[str, str], ...] = ()
    couples: bool = False
    blocks_gradient: bool = False
    surrogate: bool = False

    @property
    def words(self) -> frozenset[str]:
        """The names in its texts, those of functions too."""
        return Expression(" ".join((self.forward, self.derivative, *(text for _, text in self.let)))).names


@dataclass(frozen=True)
class LogitForm:
    """A loss computed from the pre-activation of a layer whose activation is named ``activation``.

    ``term`` is one component's share over ``x`` (pre-activation), ``y`` (the activation's result) and ``e``
    (expected), and ``derivative`` is d term/dx. Where ``couples`` is set they also know ``lse``, the log of
    the vector's sum of exponentials, and ``esum``, its sum of ``e``; ``derivative`` then is that of the whole
    vector's sum. The twins ``value(x, e, p)`` of shape (…,) and ``gradient(x, e, p)`` of shape (…, width)
    include the mean over the components, where the loss has one.
    """

    activation: str
    couples: bool
    term: str
    derivative: str
    value: Callable[[Array, Array, float | None], Array]
    gradient: Callable[[Array, Array, float | None], Array]


@dataclass(frozen=True)
class Targets:
    """What a loss expects of every number that it is compared with.

    ``fit(e)`` tells where numbers do; ``needs`` says what they have to be. ``hint(e)`` is the fix of a mistake that is
    likely where not all do, or nothing. ``like(u)`` makes numbers that do of any between 0 and 1.
    """

    needs: str
    fit: Callable[[NDArray[Any]], NDArray[np.bool_]]
    hint: Callable[[NDArray[Any]], str]
    like: Callable[[Array], Array]


@dataclass(frozen=True)
class Loss:
    """The loss of a result ``r`` against an expected ``e``, with one number ``p`` at most.

    ``term`` is one component's share over ``r, e, p``, ``derivative`` is d term/dr; ``mean`` says whether a
    vector's loss is the mean of its components' terms or their sum; ``targets`` says what may be expected, None for
    anything. The twins ``value(r, e, p)`` of shape
    (…,) and ``gradient(r, e, p)`` of shape (…, width) are those of a whole vector, the mean included.
    ``compares_units``: whether r and e may be numbers of any unit, so that an output may restore theirs.
    """

    name: str
    parameter: Parameter | None
    term: str
    derivative: str
    mean: bool
    value: Callable[[Array, Array, float | None], Array]
    gradient: Callable[[Array, Array, float | None], Array]
    logits: tuple[LogitForm, ...] = ()
    compares_units: bool = False
    targets: Targets | None = None

    def logit_form(self, activation: str) -> LogitForm | None:
        """The form to use behind an output's activation of this name, or None."""
        return next((form for form in self.logits if form.activation == activation), None)


@dataclass(frozen=True)
class Merge:
    """``op(x, o)`` of a branch's own vector ``x`` and another node's ``o``.

    ``forward`` is a text over ``x, o``; ``d_x`` and ``d_o`` are dL/dx and dL/do over ``g, x, o``, where
    ``g`` is dL/d(result). Where ``concatenates`` is set the texts are empty and ``x`` is followed by ``o``.
    The twins ``value(x, o)`` and ``gradient(x, o, g)`` -> (dL/dx, dL/do) take arrays of shape (…, width),
    of one width unless ``concatenates`` or ``other_width`` says otherwise.

    ``reads_x``: whether the result depends on x. ``other_width``: what the width of o may be: "any" (components that
    only one of both has are left as for ``additive``), "same" as that of x, or "one": o is one number for all
    components of x, and ``d_o`` a component's share of its gradient. ``result``: the width of the result is that of
    "x", that of the "other", "one" (``forward`` is a component's share of a sum), or that of "both" together.
    """

    name: str
    forward: str
    d_x: str
    d_o: str
    concatenates: bool
    value: Callable[[Array, Array], Array]
    gradient: Callable[[Array, Array, Array], tuple[Array, Array]]
    reads_x: bool = True
    other_width: Literal["any", "same", "one"] = "any"
    result: Literal["x", "other", "one", "both"] = "x"


@dataclass(frozen=True)
class Initializer:
    """How the parameters of a layer are drawn.

    ``draw(rng, fan_in, width, *numbers)`` gives a float64 array of shape (fan_in, width) for weights,
    (width,) for biases. With ``all_or_none`` the numbers are either all given or all left to their
    defaults; ``ordered`` says that they are bounds, the first not above the last. Where ``square`` is
    set only a weight that is as wide as its fan-in can be drawn.
    """

    name: str
    parameters: tuple[Parameter, ...]
    all_or_none: bool
    draw: Callable[..., Array]
    ordered: bool = False
    square: bool = False

    def check_order(self, numbers: tuple[float, ...]) -> str | None:
        """Say why numbers that are each in range don't go together, or None where they do."""
        if not self.ordered:
            return None
        low, high = self.parameters[0].name, self.parameters[-1].name
        if numbers[0] > numbers[-1]:
            return f"{low} must be at most {high}: {numbers[0]!r} is greater than {numbers[-1]!r}"
        if not math.isfinite(numbers[-1] - numbers[0]):
            return f"{low} and {high} are too far apart: {numbers[0]!r} to {numbers[-1]!r}"
        return None


def number(p: float | None) -> float:
    """The number of a function that takes one."""
    if p is None:
        raise TypeError("this function needs its number")
    return p
