"""The arguments of a run: which there are, what they belong to, and how they look in JSON.

An object, such as an optimizer or a callback, is a table with its ``name`` and its numbers: ``{"name": "Adam", "betas":
[0.9, 0.99]}``. So they can be written in JSON and TOML.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from numbers import Integral, Real
from typing import Any

from ..errors import brief, nearest
from ..optimizers import CHOICES, Optimizer
from ..options import flag
from ..training.callbacks import Callback, EarlyStopping, ReduceOnPlateau
from ..training.schedules import LearningRateSchedule, StepDecay, WarmupCosine

OF_COMPILE = (
    "batch_size", "learning_rate", "optimizer", "bptt_steps", "clip_norm", "dtype", "threads", "frozen", "tier",
)  # fmt: skip
OF_FIT = (
    "validation", "shuffle", "callbacks", "metrics", "carry_state", "layout", "class_weight", "missing",
)  # fmt: skip
OF_RUN = ("adapt",)  # of neither
ALL = (*OF_COMPILE, *OF_FIT, *OF_RUN)
# Arguments of ``fit`` that a run can't have, and what to do instead.
_ELSEWHERE = {
    "epochs": "the number of epochs is the run's budget: Run(…, budget=20)",
    "seed": "the seed of parameters and orders is the run's own: Run(…, seed=1)",
    "inputs": "the data are those of the sweep: sweep(runs, (inputs, expected))",
    "expected": "the data are those of the sweep: sweep(runs, (inputs, expected))",
    "sample_weight": 'it belongs to the data: sweep(runs, {"inputs": …, "expected": …, "sample_weight": …})',
    "lengths": 'it belongs to the data: sweep(runs, {"inputs": …, "expected": …, "lengths": …})',
    "progress": "the sweep shows its progress",
    "initial_epoch": "the sweep counts the epochs",
}
_NUMBERS = ("learning_rate", "clip_norm", "validation")  # which are not whole
CALLBACKS: dict[str, type[Callback]] = {
    kind.__name__: kind for kind in (EarlyStopping, ReduceOnPlateau, WarmupCosine, StepDecay, LearningRateSchedule)
}
OPTIMIZERS = {kind.__name__: kind for kind in CHOICES.values()}


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a run by name, as JSON has them; ValueError or TypeError for what is none.

    Equal arguments have equal forms: an optimizer that is given by its name has all its numbers.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"arguments must be a dict of arguments of compile and fit, not {brief(given)}")
    for name in given:
        _check_name(name)
    return {name: _form(name, given[name]) for name in ALL if name in given}


def _check_name(name: Any) -> None:
    if name in ALL:
        return
    if name in _ELSEWHERE:
        raise ValueError(f"arguments can't have {name!r}: {_ELSEWHERE[name]}")
    near = nearest(name, ALL) if isinstance(name, str) else None
    hint = f"; did you mean {near!r}?" if near else ""
    raise ValueError(f"arguments has {brief(name)}, but may have {', '.join(ALL)} only{hint}")


def _form(name: str, value: Any) -> Any:
    """The form in JSON of an argument's value."""
    if name == "optimizer":
        return written(optimizer(value))
    if name == "callbacks":
        several = [value] if isinstance(value, Callback | Mapping) else _listed(name, value)
        return [written(callback(one)) for one in several]
    if name == "class_weight":
        return _weights(value)
    if name in ("metrics", "frozen"):
        return _names(name, value)
    if name == "validation" and not isinstance(value, Real):
        raise TypeError(
            "validation of a run must be a fraction such as 0.2; arrays belong to the data of the sweep: "
            'sweep(runs, {"inputs": …, "expected": …, "validation": (inputs, expected)})'
        )
    if name in OF_RUN:
        return flag(name, value)
    if name in _NUMBERS and isinstance(value, Real) and not isinstance(value, bool):
        value = float(value)
    return _plain(name, value)


def _listed(name: str, value: Any) -> list[Any]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a list, not {brief(value)}")
    return list(value)


def _names(name: str, value: Any) -> list[str]:
    """Names of metrics or of nodes, as a list."""
    found = [value] if isinstance(value, str) else _listed(name, value)
    for one in found:
        if not isinstance(one, str):
            raise TypeError(
                f"{name} of a run must be names, not {brief(one)}: a run is written to a file; a function of your own "
                "can be the score of the sweep"
            )
    return found


def _weights(value: Any) -> dict[str, float] | None:
    """Weights by label; the labels are texts, as JSON needs them."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TypeError(f"class_weight must be a dict of weights by label, not {brief(value)}")
    return {str(label): float(value[label]) for label in sorted(value, key=str)}


def _plain(name: str, value: Any) -> Any:
    """A number, a text, True, False, None, or a list of them, of Python's own types."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        if not math.isfinite(value):
            raise ValueError(f"{name} must be a finite number, not {brief(value)}")
        return float(value)
    if hasattr(value, "dtype") and not getattr(value, "shape", (1,)):
        return _plain(name, value.item())
    if isinstance(value, list | tuple):
        return [_plain(name, one) for one in value]
    raise TypeError(f"{name} must be a number or a text, not {brief(value)}")


# The values that an argument has if it is not given, in their form in JSON.
_USUAL: dict[str, Any] = {
    **dict.fromkeys((*OF_COMPILE, *OF_FIT)), "optimizer": {"name": "SGD", "momentum": 0.0, "nesterov": False,
    "weight_decay": 0.0}, "dtype": "float32", "threads": 1, "frozen": [], "tier": "auto", "shuffle": False,
    "callbacks": [], "metrics": [], "carry_state": False, "missing": "error", "adapt": False,
}  # fmt: skip


# Objects --------------------------------------------------------------------------------------------------------------


def optimizer(value: Any) -> Optimizer:
    """The optimizer for its name, its table or itself."""
    if isinstance(value, Optimizer):
        if type(value).__name__ not in OPTIMIZERS:
            raise TypeError(f"optimizer {type(value).__name__} is not one of this library, and can't be in a run")
        return value
    known = {**OPTIMIZERS, **CHOICES}
    if isinstance(value, str):
        value = {"name": value}
    return _made("optimizer", value, known)  # type: ignore[no-any-return]


def callback(value: Any) -> Callback:
    """A new callback for its table, or for one that is given, whose numbers it has."""
    if isinstance(value, Callback):
        if type(value) not in CALLBACKS.values():
            raise TypeError(
                f"callbacks of a run must be of {', '.join(CALLBACKS)}, which can be written to a file, not "
                f"{brief(value)}; the sweep saves models by save_models="
            )
        value = written(value)
    return _made("callbacks", value, CALLBACKS)  # type: ignore[no-any-return]


def _made(argument: str, given: Any, known: Mapping[str, type[Any]]) -> Any:
    """The object of a table."""
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise TypeError(f'{argument} must be an object or a table such as {{"name": "…", …}}, not {brief(given)}')
    name = given["name"]
    if name not in known:
        near = nearest(name, known)
        hint = f"; did you mean {near!r}?" if near else ""
        raise ValueError(f"{argument} must be one of {', '.join(known)}, not {name!r}{hint}")
    numbers = {key: value for key, value in given.items() if key != "name"}
    taken = [field.name for field in fields(known[name]) if field.init]
    for key in numbers:
        if key not in taken:
            raise ValueError(f"{argument} {name!r} has no number {key!r}, but {', '.join(taken)}")
    if isinstance(numbers.get("schedule"), Mapping):
        numbers["schedule"] = callback(numbers["schedule"])
    try:
        return known[name](**{key: tuple(one) if isinstance(one, list) else one for key, one in numbers.items()})
    except TypeError as error:
        raise TypeError(f"{argument} {name!r}: {error}") from None


def written(thing: Any) -> dict[str, Any]:
    """The table of an object; TypeError if it has what can't be written."""
    found: dict[str, Any] = {"name": type(thing).__name__}
    for field in fields(thing):
        value = getattr(thing, field.name)
        if field.init:
            is_object = isinstance(value, Callback)
            if callable(value) and not is_object:
                raise TypeError(
                    f"{type(thing).__name__} of a run needs a schedule that can be written to a file, such as "
                    f"WarmupCosine or StepDecay, not {brief(value)}"
                )
            found[field.name] = written(value) if is_object else _plain(field.name, value)
    return found


def for_compile(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of ``compile``. A model of a run has one thread unless it is told another number."""
    found = {name: arguments[name] for name in OF_COMPILE if name in arguments}
    if "optimizer" in found:
        found["optimizer"] = optimizer(found["optimizer"])
    return {"threads": 1, **found}


def for_fit(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of ``fit``."""
    found = {name: arguments[name] for name in OF_FIT if name in arguments}
    if "callbacks" in found:
        found["callbacks"] = [callback(one) for one in found["callbacks"]]
    if found.get("class_weight") is not None:
        found["class_weight"] = {int(label): weight for label, weight in found["class_weight"].items()}
    return found


def deciding(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that decide what a run results in, without those that have their usual values.

    The tier does not: with one thread, all tiers give the same bits.
    """
    found = {name: value for name, value in arguments.items() if value != _USUAL[name]}
    if "threads" not in found:
        found.pop("tier", None)
    return found


def as_json(value: Any) -> str:
    """JSON in one form for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def from_json(text: str) -> dict[str, Any]:
    """The table that ``as_json`` wrote."""
    found: dict[str, Any] = json.loads(text)
    return found
