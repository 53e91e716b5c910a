"""The frozen record of each kind of function: its numbers, its expressions and its NumPy twin.

Expressions are texts that the code generator pastes into generated source. Their words are the variable
names that each record states, float literals, ``+ - * /``, comparisons and :data:`VOCABULARY`. They let a
NaN pass through and never divide by zero, also in the branch of a ``where`` that is not chosen. The twins
are float64 NumPy, written independently of the expressions; tests compare both.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

VOCABULARY = frozenset(
    ["exp", "log", "tanh", "sigmoid", "sqrt", "absolute", "maximum", "minimum", "where"],
)


@dataclass(frozen=True)
class Parameter:
    """A number that a function takes: its name, its default (None: must be given) and its range."""

    name: str
    default: float | None
    minimum: float | None = None
    exclusive: bool = False

    def check(self, value: float) -> str | None:
        """Say why ``value`` is out of range, or None where it is fine."""
        if not math.isfinite(value):
            return f"{self.name} must be a finite number, not {value!r}"
        if self.minimum is None or value > self.minimum or (value == self.minimum and not self.exclusive):
            return None
        bound = "greater than" if self.exclusive else "at least"
        return f"{self.name} must be {bound} {self.minimum:g}, not {value!r}"


@dataclass(frozen=True)
class Activation:
    """``y = activation(x)``, with one number ``p`` at most.

    ``forward`` is a text over ``x, p``; ``derivative`` is dy/dx over ``x, y, p`` and the names that ``let``
    defines in order, each over ``x, y, p`` and the names before it. Where ``couples`` is set the components
    of a vector depend on one another and the texts are empty; where ``blocks_gradient`` is set the
    derivative is 0 everywhere. The twins ``value(x, p)`` and ``gradient(x, y, g, p)``, the latter dL/dx
    from ``g`` = dL/dy, take arrays of shape (…, width).
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
class Loss:
    """The loss of a result ``r`` against an expected ``e``, with one number ``p`` at most.

    ``term`` is one component's share over ``r, e, p``, ``derivative`` is d term/dr; ``mean`` says whether a
    vector's loss is the mean of its components' terms or their sum. The twins ``value(r, e, p)`` of shape
    (…,) and ``gradient(r, e, p)`` of shape (…, width) are those of a whole vector, the mean included.
    """

    name: str
    parameter: Parameter | None
    term: str
    derivative: str
    mean: bool
    value: Callable[[Array, Array, float | None], Array]
    gradient: Callable[[Array, Array, float | None], Array]
    logits: tuple[LogitForm, ...] = ()

    def logit_form(self, activation: str) -> LogitForm | None:
        """The form to use behind an output's activation of this name, or None."""
        return next((form for form in self.logits if form.activation == activation), None)


@dataclass(frozen=True)
class Merge:
    """``op(x, o)`` of a branch's own vector ``x`` and another node's ``o``.

    ``forward`` is a text over ``x, o``; ``d_x`` and ``d_o`` are dL/dx and dL/do over ``g, x, o``, where
    ``g`` is dL/d(result). Where ``concatenates`` is set the texts are empty and ``x`` is followed by ``o``.
    The twins ``value(x, o)`` and ``gradient(x, o, g)`` -> (dL/dx, dL/do) take arrays of shape (…, width),
    of one width unless ``concatenates``.
    """

    name: str
    forward: str
    d_x: str
    d_o: str
    concatenates: bool
    value: Callable[[Array, Array], Array]
    gradient: Callable[[Array, Array, Array], tuple[Array, Array]]
    reads_x: bool = True
    other_width: str = "any"
    result: str = "x"


@dataclass(frozen=True)
class Initializer:
    """How the parameters of a layer are drawn.

    ``draw(rng, fan_in, width, *numbers)`` gives a float64 array of shape (fan_in, width) for weights,
    (width,) for biases. With ``all_or_none`` the numbers are either all given or all left to their
    defaults; ``ordered`` says that they are bounds, the first not above the last.
    """

    name: str
    parameters: tuple[Parameter, ...]
    all_or_none: bool
    draw: Callable[..., Array]
    ordered: bool = False

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
