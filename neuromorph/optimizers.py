"""The optimizers that users pass as ``optimizer=``: frozen objects with checked numbers, and the formulas of their
updates.

A new optimizer is one class here. The formulas are those of torch.optim 2.13. Adam's bias correction after t updates,
1 - beta^t, is computed as a moving average of ones, which starts at 0 like the moving averages of gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from .errors import brief
from .host.frozen import frozen
from .options import check_range, finite_number, flag, one_of

SMALLEST_EPS = 1e-30  # the least eps: a number divided by it is still far from float32's limits
Assignments = tuple[tuple[str, str], ...]


@frozen
class Update:
    """The statements that change every parameter ``p`` by its gradient ``g``; they are generated into the kernel.

    slots: names of arrays of the parameters' size that the optimizer remembers; zeros at first. constants: names of
    numbers that the kernel gets as arguments. The other fields are assignments in order, each a target and an
    expression. counts: numbers that the optimizer remembers, zero at first; done once an update, each over itself and
    the constants. scalars: new names, done once an update, over counts, constants and ``rate`` (the learning rate).
    statements: done for each parameter over all of these; their targets are ``p``, ``g`` or a slot. If ``p``, ``g`` and
    the slots are 0, all of them must stay exactly 0, because the padding of the weights is updated too.
    """

    name: str
    slots: tuple[str, ...]
    constants: tuple[str, ...]
    statements: Assignments
    counts: Assignments = ()
    scalars: Assignments = ()


CHOICES: dict[str, type[Optimizer]] = {}  # by the name that users give
UPDATES: dict[str, Update] = {}  # by kind


class Optimizer:
    """The base class of optimizers, which change parameters by their gradients.

    name: by which ``compile``, saved files and the command line know the optimizer; a user's own class needs none.
    updates: the updates that may be generated into the kernel; ``kind`` is the name of the one that the numbers need.
    The kernel gets all numbers as arguments, so that changing them compiles nothing. usual_rate: the default learning
    rate of the command line.
    """

    usual_rate: ClassVar[float] = 0.001
    updates: ClassVar[tuple[Update, ...]] = ()

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """A new object; TypeError for a class that has no update."""
        if not cls.updates and cls.kind is Optimizer.kind:
            raise TypeError(f"{cls.__name__} has no update; use {_choices()}")
        return super().__new__(cls)

    def __init_subclass__(cls, *, name: str = "", **more: Any) -> None:
        """Register an optimizer of this library, which has a name, and its updates."""
        super().__init_subclass__(**more)
        if name:
            CHOICES[name] = cls
            UPDATES.update({update.name: update for update in cls.updates})

    @property
    def kind(self) -> str:
        """The name of the generated update."""
        return self.updates[0].name

    @property
    def constants(self) -> tuple[float, ...]:
        """The numbers of the update, in the order of the kernel's arguments."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        named |= dict(zip(("beta1", "beta2"), named.get("betas", ()), strict=False))
        return tuple(float(named[name]) for name in UPDATES[self.kind].constants)

    def check_range(self, learning_rate: float, dtype: str) -> None:
        """Raise ValueError, naming the arguments, if the update has a number that the model's type can't hold."""
        for name, value in self._factors(learning_rate).items():
            check_range(name, value, dtype)

    def _factors(self, rate: float) -> dict[str, float]:
        """The numbers of the update that may be too large for the model's type, by the arguments they come from."""
        chosen = {name: getattr(self, name) for name in ("weight_decay", "eps") if hasattr(self, name)}
        return {"learning_rate": rate} | chosen

    def _check(self, name: str, check: Callable[[str, Any], Any]) -> None:
        """Replace the value of a field by its checked form."""
        object.__setattr__(self, name, check(name, getattr(self, name)))


# The records ----------------------------------------------------------------------------------------------------------

_DECAY = ("g", "g + weight_decay * p")
_STEP = ("p", "p - rate * g")
_VELOCITY = ("velocity", "momentum * velocity + g")
_SQUARE = ("square", "alpha * square + (1.0 - alpha) * (g * g)")
_MOMENTS = (("mean", "beta1 * mean + (1.0 - beta1) * g"), ("square", "beta2 * square + (1.0 - beta2) * (g * g)"))
_ADAM_STEP = ("p", "p - stride * mean / (scale * sqrt(square) + eps)")
_WITH_VELOCITY = ("velocity",), ("momentum", "weight_decay")  # slots, constants
_ADAM = ("mean", "square"), ("beta1", "beta2", "eps", "weight_decay")
_CORRECTIONS = (
    ("correction1", "beta1 * correction1 + (1.0 - beta1)"),
    ("correction2", "beta2 * correction2 + (1.0 - beta2)"),
)
_ADAM_SCALARS = (("stride", "rate / correction1"), ("scale", "1.0 / correction2**0.5"))


@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer, name="sgd"):
    """Gradient descent, ``p -= rate * g``, as torch.optim.SGD.

    momentum: in [0, 1), the share of the last step that is kept (v = momentum * v + g, and v is used in place of g).
    nesterov: look ahead along the momentum (Sutskever et al. 2013). weight_decay: >= 0, L2, added to the gradient
    after clipping. Raises ValueError or TypeError that names the argument.
    """

    usual_rate: ClassVar[float] = 0.1
    updates: ClassVar[tuple[Update, ...]] = (
        Update("sgd", (), (), (_STEP,)),
        Update("sgd_decay", (), ("weight_decay",), (_DECAY, _STEP)),
        Update("sgd_momentum", *_WITH_VELOCITY, (_DECAY, _VELOCITY, ("p", "p - rate * velocity"))),
        Update("sgd_nesterov", *_WITH_VELOCITY, (_DECAY, _VELOCITY, ("p", "p - rate * (g + momentum * velocity)"))),
    )

    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        self._check("momentum", _fraction)
        self._check("nesterov", flag)
        self._check("weight_decay", finite_number)
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum greater than 0")

    @property
    def kind(self) -> str:
        """The name of the generated update."""
        if self.momentum:
            return "sgd_nesterov" if self.nesterov else "sgd_momentum"
        return "sgd_decay" if self.weight_decay else "sgd"


@dataclass(frozen=True, kw_only=True)
class RMSProp(Optimizer, name="rmsprop"):
    """Steps divided by the root of a moving average of squared gradients (Tieleman & Hinton 2012), as
    torch.optim.RMSprop.

    alpha: in [0, 1), the share of the average that is kept. eps: added to the root. momentum, weight_decay: as in
    ``SGD``. Raises ValueError or TypeError that names the argument.
    """

    updates: ClassVar[tuple[Update, ...]] = (
        Update(
            "rmsprop", ("square",), ("alpha", "eps", "weight_decay"),
            (_DECAY, _SQUARE, ("p", "p - rate * g / (sqrt(square) + eps)")),
        ),
        Update(
            "rmsprop_momentum", ("square", "velocity"), ("alpha", "eps", "weight_decay", "momentum"),
            (
                _DECAY, _SQUARE, ("velocity", "momentum * velocity + g / (sqrt(square) + eps)"),
                ("p", "p - rate * velocity"),
            ),
        ),
    )  # fmt: skip

    alpha: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.0
    momentum: float = 0.0

    def __post_init__(self) -> None:
        self._check("alpha", _fraction)
        self._check("eps", _small_number)
        self._check("weight_decay", finite_number)
        self._check("momentum", _fraction)

    @property
    def kind(self) -> str:
        """The name of the generated update."""
        return "rmsprop_momentum" if self.momentum else "rmsprop"


@dataclass(frozen=True, kw_only=True)
class Adam(Optimizer, name="adam"):
    """Adaptive moments (Kingma & Ba 2015), as torch.optim.Adam.

    betas: both in [0, 1), the shares that the moving averages of gradients and of their squares keep. eps: added to
    the root. weight_decay: >= 0, L2, added to the gradient. Raises ValueError or TypeError that names the argument.
    """

    updates: ClassVar[tuple[Update, ...]] = (
        Update("adam", *_ADAM, (_DECAY, *_MOMENTS, _ADAM_STEP), _CORRECTIONS, _ADAM_SCALARS),
    )

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        self._check("betas", _fractions)
        self._check("eps", _small_number)
        self._check("weight_decay", finite_number)

    def _factors(self, rate: float) -> dict[str, float]:
        return super()._factors(rate) | {"learning_rate / (1 - betas[0])": rate / (1.0 - self.betas[0])}


@dataclass(frozen=True, kw_only=True)
class AdamW(Adam, name="adamw"):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019), as torch.optim.AdamW.

    Before the step, each parameter is multiplied by 1 - rate * weight_decay.
    """

    updates: ClassVar[tuple[Update, ...]] = (
        Update(
            "adamw", *_ADAM, (("p", "keep * p"), *_MOMENTS, _ADAM_STEP), _CORRECTIONS,
            (*_ADAM_SCALARS, ("keep", "1.0 - rate * weight_decay")),
        ),
    )  # fmt: skip

    weight_decay: float = 1e-2

    def _factors(self, rate: float) -> dict[str, float]:
        return super()._factors(rate) | {"learning_rate * weight_decay": rate * self.weight_decay}


# Arguments ------------------------------------------------------------------------------------------------------------


def optimizer_of(value: Any) -> Optimizer:
    """The optimizer for an optimizer or its name; TypeError or ValueError that names the argument."""
    if isinstance(value, Optimizer):
        one_of("optimizer", value.kind, UPDATES)
        return value
    if isinstance(value, type) and issubclass(value, Optimizer):
        raise TypeError(f"optimizer must be an object: write {value.__name__}(), not {value.__name__}")
    if not isinstance(value, str):
        raise TypeError(f"optimizer must be one of {', '.join(sorted(CHOICES))} or {_choices()}, not {brief(value)}")
    return CHOICES[one_of("optimizer", value, CHOICES)]()


def _choices() -> str:
    """The calls that make an optimizer, as text for messages."""
    return ", ".join(f"nm.{kind.__name__}(...)" for kind in CHOICES.values())


def _fraction(name: str, value: Any) -> float:
    """``value`` as a float in [0, 1); TypeError or ValueError that names the argument."""
    number = finite_number(name, value)
    if number >= 1.0:
        raise ValueError(f"{name} must be less than 1, not {brief(value)}")
    return number


def _fractions(name: str, value: Any) -> tuple[float, float]:
    """``value`` as two floats in [0, 1); TypeError or ValueError that names the argument."""
    try:
        first, second = value
    except Exception:  # TypeError, ValueError, or any error of the user's own class
        raise TypeError(f"{name} must be two numbers, not {brief(value)}") from None
    return _fraction(f"{name}[0]", first), _fraction(f"{name}[1]", second)


def _small_number(name: str, value: Any) -> float:
    """``value`` as a float of at least ``SMALLEST_EPS``, by which it is safe to divide."""
    number = finite_number(name, value)
    if number < SMALLEST_EPS:
        raise ValueError(f"{name} must be at least {SMALLEST_EPS:g}, not {brief(value)}")
    return number
