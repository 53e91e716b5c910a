"""The record of each kind of function: its numbers, its expressions, and its twins (the same in NumPy).

An expression is a text that the code generator pastes into generated source. Its words are the variable names that each
record states, float literals, ``+ - * /``, comparisons and :data:`VOCABULARY`. An expression lets a NaN pass through.
It never divides by zero, not even in the branch of a ``where`` that is not chosen, except where the value itself is
such a quotient. The twins compute in float64 and are written independently of the expressions; tests compare both.
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..host.frozen import frozen
from .expressions import Expression

Array = NDArray[np.float64]

VOCABULARY = frozenset(
    [
        "exp", "log", "tanh", "sigmoid", "softplus", "sin", "cos", "normal_cdf", "sqrt", "absolute", "maximum",
        "minimum", "where",
    ],
)  # fmt: skip


@frozen
class Parameter:
    """A number that a function takes: its name, its default and its range. Without a default it must be given.

    minimum: the least value; with ``exclusive``, the value must be greater. maximum: the largest value. below: the
    value must be less than this. whole: the value must be a whole number.
    """

    name: str
    default: float | None
    minimum: float | None = None
    exclusive: bool = False
    maximum: float | None = None
    below: float | None = None
    whole: bool = False

    def check(self, value: float) -> str | None:
        """Why ``value`` is out of range, as a message; None if it is in range."""
        if not math.isfinite(value):
            return f"{self.name} must be a finite number, not {value!r}"
        bound = self._missed(value)
        return None if bound is None else f"{self.name} must be {bound}, not {value!r}"

    def _missed(self, value: float) -> str | None:
        """The bound that a finite number violates, in words; None if it violates none."""
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


@frozen
class Activation:
    """The activation function ``y = f(x)``, with one number ``p`` at most.

    forward: the text of f over ``x, p``. derivative: the text of dy/dx over ``x, y, p`` and the names in ``let``. let:
    names with their texts, in order, each over ``x, y, p`` and the names before it. couples: whether the components of
    a vector depend on one another; then the texts are empty. blocks_gradient: whether the derivative is 0 everywhere.
    surrogate: whether the derivative is by definition not that of f, so that no difference of values can confirm it.
    The twins ``value(x, p)`` and ``gradient(x, y, g, p)`` take arrays of shape (…, width). The gradient is
    dL/dx for ``g`` = dL/dy.
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
        """The names in the texts, those of functions too."""
        return Expression(" ".join((self.forward, self.derivative, *(text for _, text in self.let)))).names


@frozen
class LogitForm:
    """A loss that is computed from the pre-activation of a layer with the activation ``activation``.

    term: the text of one component's share, over ``x`` (pre-activation), ``y`` (the activation's result) and ``e``
    (expected value). derivative: the text of d term/dx. couples: whether the texts also use ``lse``, the log of the
    vector's sum of exponentials, and ``esum``, its sum of ``e``; then ``derivative`` is that of the sum over the whole
    vector. The twins ``value(x, e, p)`` of shape (…,) and ``gradient(x, e, p)`` of shape (…, width) include the mean
    over the components, if the loss has one.
    """

    activation: str
    couples: bool
    term: str
    derivative: str
    value: Callable[[Array, Array, float | None], Array]
    gradient: Callable[[Array, Array, float | None], Array]


@frozen
class Targets:
    """The expected values that a loss allows.

    needs: says in words what they have to be. fit: takes an array and tells, number by number, which are allowed. hint:
    the end of a message that suggests a fix for likely mistakes, or an empty text. like: turns numbers between 0 and 1
    into allowed ones.
    """

    needs: str
    fit: Callable[[NDArray[Any]], NDArray[np.bool_]]
    hint: Callable[[NDArray[Any]], str]
    like: Callable[[Array], Array]


@frozen
class Loss:
    """The loss of a result ``r`` against an expected value ``e``, with one number ``p`` at most.

    term: the text of one component's share, over ``r, e, p``. derivative: the text of d term/dr. mean: whether the loss
    of a vector is the mean of its terms, and not their sum. The twins ``value(r, e, p)`` of shape (…,) and
    ``gradient(r, e, p)`` of shape (…, width) are those of a whole vector, the mean included. logits: the forms of the
    loss for some activations. compares_units: whether r and e may be in any unit, so that an output may restore the
    units. targets: the allowed expected values; None allows all.
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
        """The form of the loss for an output with this activation; None if there is none."""
        return next((form for form in self.logits if form.activation == activation), None)


@frozen
class Merge:
    """A merge ``op(x, o)`` of a branch's own vector ``x`` and another node's vector ``o``.

    forward: the text of op over ``x, o``. d_x, d_o: the texts of dL/dx and dL/do over ``g, x, o``, where ``g`` is
    dL/d(result). The twins ``value(x, o)`` and ``gradient(x, o, g)`` -> (dL/dx, dL/do) take arrays of shape (…, width).
    x and o have one width unless ``result`` or ``other_width`` says otherwise.

    reads_x: whether the result depends on x. other_width: the allowed width of o. "any": components that only one of
    the two has are treated as by ``additive``. "same": the width of x. "one": o is one number for all components of x,
    and ``d_o`` is one component's share of its gradient. result: the width of the result. "x", "other": that of x or o.
    "both": their sum, where the result is x followed by o and the texts are empty. "one": 1, where ``forward`` is one
    component's share of a sum.
    """

    name: str
    forward: str
    d_x: str
    d_o: str
    value: Callable[[Array, Array], Array]
    gradient: Callable[[Array, Array, Array], tuple[Array, Array]]
    reads_x: bool = True
    other_width: Literal["any", "same", "one"] = "any"
    result: Literal["x", "other", "one", "both"] = "x"

    @property
    def concatenates(self) -> bool:
        """Whether the result is x followed by o."""
        return self.result == "both"


@frozen
class Initializer:
    """How the parameters of a layer are drawn.

    draw: ``draw(rng, fan_in, width, *numbers)`` returns a float64 array of shape (fan_in, width) for weights, and
    (width,) for biases. all_or_none: either all numbers are given, or none. ordered: the numbers are bounds, and the
    first must not be above the last. square: only weights with fan-in equal to width can be drawn.
    """

    name: str
    parameters: tuple[Parameter, ...]
    all_or_none: bool
    draw: Callable[..., Array]
    ordered: bool = False
    square: bool = False

    def check_order(self, numbers: tuple[float, ...]) -> str | None:
        """Why the numbers do not go together, as a message; None if they do. Each number is in its range."""
        if not self.ordered:
            return None
        low, high = self.parameters[0].name, self.parameters[-1].name
        if numbers[0] > numbers[-1]:
            return f"{low} must be at most {high}: {numbers[0]!r} is greater than {numbers[-1]!r}"
        if not math.isfinite(numbers[-1] - numbers[0]):
            return f"{low} and {high} are too far apart: {numbers[0]!r} to {numbers[-1]!r}"
        return None


def number(p: float | None) -> float:
    """The number ``p`` of a function that takes one. TypeError for None."""
    if p is None:
        raise TypeError("this function needs its number")
    return p
