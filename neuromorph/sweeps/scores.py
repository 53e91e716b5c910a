"""The score of a run: a number of its history, or what a function says about its model and the data."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import brief, nearest
from ..history import History
from ..host.frozen import frozen
from ..options import flag
from ..training.metrics import NAMES
from .program import full_name

Function = Callable[[Any, Any], Any]
_VALIDATION = "validation_"


@frozen
class Score:
    """How a run is scored. name: of the history's number, or of the function. larger: whether larger is better."""

    name: str
    function: Function | None
    larger: bool

    @property
    def metric(self) -> str | None:
        """The metric that a fit has to record for it, or None."""
        plain = self.name.removeprefix(_VALIDATION)
        return None if self.function is not None or plain == "loss" else plain

    @property
    def needs_validation(self) -> bool:
        """Whether a fit needs data for validation."""
        return self.function is None and self.name.startswith(_VALIDATION)

    def of(self, model: Any, history: History, data: Mapping[str, Any]) -> float:
        """The score of a trained model. Raises TypeError for a function that returns no number, ValueError for a score
        that is not finite."""
        value = history.figures()[self.name] if self.function is None else self.function(model, data)
        return finite(value, f"the score {self.name}", verb="is")

    def is_better(self, one: float | None, other: float | None) -> bool:
        """Whether a score is better than another one; any is better than none."""
        if one is None or other is None:
            return one is not None
        return one > other if self.larger else one < other

    def reaches(self, value: float | None, target: float | None) -> bool:
        """Whether a score is at least as good as a target; never if either is None."""
        if value is None or target is None:
            return False
        return value >= target if self.larger else value <= target

    def order(self, value: float | None) -> tuple[bool, float]:
        """What scores are sorted by, the best first and none last."""
        return value is None, 0.0 if value is None else -value if self.larger else value


def name_of(argument: str, function: Callable[..., Any]) -> str:
    """The module and the name of a function, by which a store knows it.

    TypeError, naming the argument, for what is not found under its name: a lambda, a function of another function, a
    ``functools.partial``, an object with ``__call__``. Two of them could have one name.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    found: Any = sys.modules.get(module) if isinstance(module, str) else None
    for part in name.split(".") if isinstance(name, str) else ("",):
        found = getattr(found, part, None)
    if found is None or found != function:
        raise TypeError(
            f"{argument} is {brief(function)}, and a store knows a function by its name: with store=, give a function "
            "that a module or a program defines with def, not a lambda, a partial, an object or a function of another "
            "function"
        )
    return full_name(function)


def checked_score(score: Any, maximize: Any) -> Score:
    """The score that ``sweep`` is given; TypeError or ValueError for anything else.

    maximize: None means yes for accuracies, and no for all else.
    """
    larger = None if maximize is None else flag("maximize", maximize)
    if callable(score):
        return Score(full_name(score), score, bool(larger))
    if not isinstance(score, str):
        raise TypeError(f"score must be a name in the history or a function f(model, data), not {brief(score)}")
    name = f"{_VALIDATION}{score.removeprefix('val_')}" if score.startswith("val_") else score
    known = [prefix + one for one in ("loss", *NAMES) for prefix in ("", _VALIDATION)]
    if name not in known:
        near = nearest(score, known)
        hint = f"; did you mean {near!r}?" if near else ""
        raise ValueError(f"score must be one of loss, {', '.join(NAMES)}, with or without val_, not {score!r}{hint}")
    return Score(name, None, name.endswith("accuracy") if larger is None else larger)


def finite(value: Any, what: str, *, verb: str) -> float:
    """The number that a function of the user returned. Raises TypeError for anything else, ValueError if it is not
    finite. what, verb: of the messages."""
    try:
        found = float(value)
    except Exception:  # of the user's own class
        raise TypeError(f"{what} must return a number, not {brief(value)}") from None
    if not math.isfinite(found):
        raise ValueError(f"{what} {verb} {found}")
    return found
