"""The objects that users pass as ``optimizer=``: frozen, with checked numbers that can be read back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from .errors import brief
from .functions import OPTIMIZERS
from .options import check_range, finite_number, one_of

SMALLEST_EPS = 1e-30  # what is divided by it is far from float32's limits


class Optimizer(ABC):
    """How parameters move along their gradients. ``kind`` says which update is generated into the kernel; all other
    numbers reach it as arguments, so that changing them compiles nothing. ``usual_rate`` is the learning rate that the
    command line takes where none is given."""

    usual_rate: ClassVar[float] = 0.001

    @property
    @abstractmethod
    def kind(self) -> str:
        """The name of the generated update."""

    @property
    def constants(self) -> tuple[float, ...]:
        """The numbers of the update, in the order in which the kernel takes them."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        named |= dict(zip(("beta1", "beta2"), named.get("betas", ()), strict=False))
        return tuple(float(named[name]) for name in OPTIMIZERS[self.kind].constants)

    def check_range(self, learning_rate: float, dtype: str) -> None:
        """Raise ValueError, naming the arguments, where the update has a number that a model's type can't hold."""
        for name, value in self._factors(learning_rate).items():
            check_range(name, value, dtype)

    def _factors(self, rate: float) -> dict[str, float]:
        """The numbers that the update has in the model's type, beside those below 1, by what they are made of."""
        chosen = {name: getattr(self, name) for name in ("weight_decay", "eps") if hasattr(self, name)}
        return {"learning_rate": rate} | chosen

    def _check(self, name: str, check: Callable[[str, Any], Any]) -> None:
        """Replace a field by its checked form."""
        object.__setattr__(self, name, check(name, getattr(self, name)))


@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """Gradient descent, ``p -= rate * g``, as torch.optim.SGD.

    momentum: in [0, 1), the share of the last step that is kept (v = momentum * v + g, and v takes g's place).
    nesterov: look ahead along the momentum (Sutskever et al. 2013). weight_decay: >= 0, L2, added to the gradient
    after clipping. Raises ValueError or TypeError that names the argument.
    """

    usual_rate: ClassVar[float] = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        self._check("momentum", fraction)
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
class RMSProp(Optimizer):
    """Steps divided by the root of a moving average of squared gradients (Tieleman & Hinton 2012), as
    torch.optim.RMSprop.

    alpha: in [0, 1), the share of the average that is kept. eps: added to the root. momentum, weight_decay: as in
    ``SGD``. Raises ValueError or TypeError that names the argument.
    """

    alpha: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.0
    momentum: float = 0.0

    def __post_init__(self) -> None:
        self._check("alpha", fraction)
        self._check("eps", small_number)
        self._check("weight_decay", finite_number)
        self._check("momentum", fraction)

    @property
    def kind(self) -> str:
        """The name of the generated update."""
        return "rmsprop_momentum" if self.momentum else "rmsprop"


@dataclass(frozen=True, kw_only=True)
class Adam(Optimizer):
    """Adaptive moments (Kingma & Ba 2015), as torch.optim.Adam.

    betas: both in [0, 1), the shares that the moving averages of gradients and of their squares keep. eps: added to
    the root. weight_decay: >= 0, L2, added to the gradient. Raises ValueError or TypeError that names the argument.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        self._check("betas", fractions)
        self._check("eps", small_number)
        self._check("weight_decay", finite_number)

    @property
    def kind(self) -> str:
        """The name of the generated update."""
        return "adam"

    def _factors(self, rate: float) -> dict[str, float]:
        return super()._factors(rate) | {"learning_rate / (1 - betas[0])": rate / (1.0 - self.betas[0])}


@dataclass(frozen=True, kw_only=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019), as torch.optim.AdamW: before the step each
    parameter is multiplied by 1 - rate * weight_decay."""

    weight_decay: float = 1e-2

    @property
    def kind(self) -> str:
        """The name of the generated update."""
        return "adamw"

    def _factors(self, rate: float) -> dict[str, float]:
        return super()._factors(rate) | {"learning_rate * weight_decay": rate * self.weight_decay}


CHOICES: dict[str, type[Optimizer]] = {"sgd": SGD, "rmsprop": RMSProp, "adam": Adam, "adamw": AdamW}


def optimizer_of(value: Any) -> Optimizer:
    """An optimizer, or its name, as an optimizer; TypeError or ValueError that names the argument."""
    if isinstance(value, Optimizer):
        return value
    if isinstance(value, type) and issubclass(value, Optimizer):
        raise TypeError(f"optimizer must be an object: write {value.__name__}(), not {value.__name__}")
    if not isinstance(value, str):
        known = ", ".join(f"nm.{kind.__name__}(...)" for kind in CHOICES.values())
        raise TypeError(f"optimizer must be one of {', '.join(sorted(CHOICES))} or {known}, not {brief(value)}")
    return CHOICES[one_of("optimizer", value, CHOICES)]()


def fraction(name: str, value: Any) -> float:
    """``value`` as a float in [0, 1); TypeError or ValueError that names the argument."""
    number = finite_number(name, value)
    if number >= 1.0:
        raise ValueError(f"{name} must be less than 1, not {brief(value)}")
    return number


def fractions(name: str, value: Any) -> tuple[float, float]:
    """``value`` as two floats in [0, 1)."""
    try:
        first, second = value
    except Exception:  # TypeError, ValueError, or whatever the user's own class raises
        raise TypeError(f"{name} must be two numbers, not {brief(value)}") from None
    return fraction(f"{name}[0]", first), fraction(f"{name}[1]", second)


def small_number(name: str, value: Any) -> float:
    """``value`` as a float that may be divided by."""
    number = finite_number(name, value)
    if number < SMALLEST_EPS:
        raise ValueError(f"{name} must be at least {SMALLEST_EPS:g}, not {brief(value)}")
    return number


def flag(name: str, value: Any) -> bool:
    """``value`` as a truth value."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {brief(value)}")
    return value
