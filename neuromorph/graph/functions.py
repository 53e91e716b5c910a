"""Looks up and checks the functions and numbers that the nodes of a text name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..errors import Diagnostic, Location, MDLSemanticError, nearest
from ..functions import (
    ACTIVATIONS,
    BIAS_INITIALIZERS,
    LOSSES,
    MERGES,
    WEIGHT_INITIALIZERS,
    Activation,
    Initializer,
    Loss,
    Merge,
    Parameter,
)
from ..language import syntax
from .nodes import MAX_WIDTH, Drawn


@dataclass(frozen=True)
class Text:
    """The model whose text an error or a warning points into."""

    model: syntax.Model

    def error(self, reason: str, location: Location) -> MDLSemanticError:
        source, filename = self.model.source, self.model.filename
        return MDLSemanticError(reason, source=source, location=location, filename=filename)

    def warning(self, reason: str, location: Location, *names: str) -> Diagnostic:
        return Diagnostic(location, reason, names, filename=self.model.filename)


# The header


@dataclass(frozen=True)
class Header:
    weight: Drawn
    bias: Drawn
    warnings: tuple[Diagnostic, ...]

    @classmethod
    def read(cls, text: Text) -> Header:
        weight, bias = text.model.weight_initializer, text.model.bias_initializer
        weight_record = _initializer(text, weight, "weight", WEIGHT_INITIALIZERS, BIAS_INITIALIZERS)
        bias_record = _initializer(text, bias, "bias", BIAS_INITIALIZERS, WEIGHT_INITIALIZERS)
        weight_numbers = _numbers(text, weight, weight_record)
        bias_numbers = _numbers(text, bias, bias_record)
        warnings = [*_surplus(text, weight, weight_record), *_surplus(text, bias, bias_record)]
        return cls((weight_record, weight_numbers), (bias_record, bias_numbers), tuple(warnings))


def _initializer(
    text: Text,
    said: syntax.Initializer,
    role: str,
    known: Mapping[str, Initializer],
    swapped: Mapping[str, Initializer],
) -> Initializer:
    if said.name in known:
        return known[said.name]
    if said.name in swapped:
        other = "bias" if role == "weight" else "weight"
        reason = f"'{said.name}' is a {other} initialiser, but a {role} initialiser belongs here"
        raise text.error(f"{reason}: the header is /weight initialiser, bias initialiser/", said.location)
    raise text.error(f"unknown {role} initialiser '{said.name}'{_hint(said.name, known)}", said.location)


def _numbers(text: Text, said: syntax.Initializer, record: Initializer) -> tuple[float, ...]:
    """The record's numbers: those given, checked, or the defaults."""
    given = said.parameters[: len(record.parameters)]
    defaults = tuple(parameter.default for parameter in record.parameters[len(given) :])
    missing = any(default is None for default in defaults) or (given and defaults and record.all_or_none)
    if missing:
        raise text.error(_missing_numbers(record), said.location)
    for value, parameter, location in zip(given, record.parameters, said.parameter_locations, strict=False):
        _check_number(text, record.name, parameter, value, location)
    numbers = tuple(value + 0.0 for value in (*given, *defaults) if value is not None)
    reason = record.check_order(numbers)
    if reason is not None:
        raise text.error(f"'{record.name}': {reason}", said.parameter_locations[0])
    return numbers


def _missing_numbers(record: Initializer) -> str:
    needed = [one for one in record.parameters if one.default is None or record.all_or_none]
    names = " and ".join(parameter.name for parameter in needed)
    count = "a number" if len(needed) == 1 else f"{len(needed)} numbers"
    optional = " or none" if record.all_or_none else ""
    lowest = max(parameter.minimum or 0.0 for parameter in needed)
    example = " ".join(f"{lowest + 0.5 * (place + 1):g}" for place in range(len(needed)))
    return f"'{record.name}' needs {count}{optional}, its {names}, such as {record.name} {example}"


def _surplus(text: Text, said: syntax.Initializer, record: Initializer) -> list[Diagnostic]:
    """Warnings of the numbers that the initialiser has no use for."""
    first = len(record.parameters)
    surplus = zip(said.parameters[first:], said.parameter_locations[first:], strict=False)
    return [_ignored(text, record.name, value, place, first) for value, place in surplus]


def _ignored(text: Text, name: str, value: float, location: Location, takes: int = 0) -> Diagnostic:
    count = {0: "no number", 1: "one number only", 2: "two numbers only"}[takes]
    return text.warning(f"'{name}' takes {count}: {value:g} is ignored", location)


# The nodes


@dataclass(frozen=True)
class Choice:
    """The functions that a node names, each with its number."""

    activation: Activation | None = None
    parameter: float | None = None
    loss: tuple[Loss, float | None] | None = None
    merge: Merge | None = None
    warnings: tuple[Diagnostic, ...] = ()


def choose(text: Text, item: syntax.Node) -> Choice:
    """Look up and check all that a node says of itself."""
    if isinstance(item, syntax.Split):
        return Choice()
    if isinstance(item, syntax.Merge):
        return Choice(merge=_merge(text, item))
    _check_width(text, item)
    activation, loss = _activation(text, item.activation), _loss(text, item.loss)
    said = [(item.activation, activation), (item.loss, loss)]
    return Choice(
        activation,
        _parameter(text, item.activation, activation),
        None if loss is None else (loss, _parameter(text, item.loss, loss)),
        warnings=tuple(line for function, record in said for line in _unused(text, function, record)),
    )


def _merge(text: Text, item: syntax.Merge) -> Merge:
    if item.operation in MERGES:
        return MERGES[item.operation]
    reason = f"unknown merge operation '{item.operation}'{_hint(item.operation, MERGES)}"
    raise text.error(reason, item.operation_location)


def _check_width(text: Text, item: syntax.Layer) -> None:
    if item.width is None or 1 <= item.width <= MAX_WIDTH:
        return
    reason = f"the width of '{item.name}' must be from 1 to {MAX_WIDTH:,}"
    raise text.error(reason, item.width_location or item.location)


def _activation(text: Text, said: syntax.Function | None) -> Activation | None:
    if said is None or said.name in ACTIVATIONS:
        return None if said is None else ACTIVATIONS[said.name]
    if said.name in LOSSES:
        reason = f"'{said.name}' is a loss, but an activation belongs here"
        raise text.error(f"{reason}: the output names its activation first, then its loss", said.location)
    raise text.error(f"unknown activation '{said.name}'{_hint(said.name, ACTIVATIONS)}", said.location)


def _loss(text: Text, said: syntax.Function | None) -> Loss | None:
    if said is None or said.name in LOSSES:
        return None if said is None else LOSSES[said.name]
    if said.name in ACTIVATIONS:
        reason = f"'{said.name}' is an activation, but a loss belongs here"
        raise text.error(f"{reason}: a layer has one activation, and only the output a loss", said.location)
    raise text.error(f"unknown loss '{said.name}'{_hint(said.name, LOSSES)}", said.location)


def _parameter(text: Text, said: syntax.Function | None, record: Activation | Loss | None) -> float | None:
    if said is None or record is None or record.parameter is None:
        return None
    value = record.parameter.default if said.parameter is None else said.parameter
    if value is None:
        reason = f"'{record.name}' needs a number, its {record.parameter.name}"
        raise text.error(f"{reason}, such as <{record.name}, 0.5>", said.location)
    _check_number(text, record.name, record.parameter, value, said.parameter_location or said.location)
    return value + 0.0


def _check_number(text: Text, name: str, parameter: Parameter, value: float, location: Location) -> None:
    reason = parameter.check(value)
    if reason is not None:
        raise text.error(f"'{name}': {reason}", location)


def _unused(text: Text, said: syntax.Function | None, record: Activation | Loss | None) -> list[Diagnostic]:
    if said is None or record is None or record.parameter is not None or said.parameter is None:
        return []
    return [_ignored(text, said.name, said.parameter, said.parameter_location or said.location)]


def _hint(word: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: the name that was meant, or all names."""
    names = sorted(known)
    near = nearest(word, names)
    return f"; known are {', '.join(names)}" if near is None else f": did you mean '{near}'?"


def at(location: Location) -> str:
    return f"line {location.line}, column {location.column}"
