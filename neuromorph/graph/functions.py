"""Looks up and checks the functions and numbers that the nodes of a text name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TypeAlias

from ..errors import Diagnostic, Location, MDLSemanticError, nearest
from ..functions import (
    ACTIVATIONS,
    BIAS_INITIALIZERS,
    ELEMENTWISE,
    LOSSES,
    MERGES,
    RESTORE,
    WEIGHT_INITIALIZERS,
    Activation,
    ElementwiseLayer,
    Initializer,
    Loss,
    Merge,
    Parameter,
)
from ..host.frozen import frozen
from ..language import MAX_STEPS, syntax, told
from .nodes import Drawn
from .synonyms import ACTIVATION_SYNONYMS, BIAS_SYNONYMS, LOSS_SYNONYMS, MERGE_SYNONYMS, WEIGHT_SYNONYMS

Named: TypeAlias = Activation | Loss | ElementwiseLayer

CONVOLUTION = "conv"
_FAR = 1_000_000  # steps: a message shows no larger number
# The names of functions in the language. No cell may have one of these names.
FUNCTIONS = frozenset({*ACTIVATIONS, *ELEMENTWISE, *LOSSES, CONVOLUTION, RESTORE.name})
_TAPS = (
    Parameter("the number of steps", None, minimum=1.0, maximum=float(MAX_STEPS), whole=True),
    Parameter("the dilation", 1.0, minimum=1.0, whole=True),
)


@frozen
class Text:
    """The text that an error or a warning points into, and the node or use that it is about, if there is one."""

    model: syntax.Model
    item: syntax.Node | syntax.Use | syntax.Given | None = None

    def about(self, item: syntax.Node | syntax.Use | syntax.Given) -> Text:
        """The same text for messages about ``item``. They name the use of a cell that the item comes from, if any."""
        return Text(self.model, item)

    def error(self, reason: str, location: Location) -> MDLSemanticError:
        source, filename = self.model.source, self.model.filename
        return MDLSemanticError(self._told(reason), source=source, location=location, filename=filename)

    def warning(self, reason: str, location: Location, *names: str) -> Diagnostic:
        return Diagnostic(location, self._told(reason), names, filename=self.model.filename)

    def _told(self, reason: str) -> str:
        return reason if self.item is None else told(reason, self.item.name, self.item.origin)


# The header


@frozen
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
        said = [(weight, weight_record), (bias, bias_record)]
        warnings = [line for one, record in said for line in _surplus(text, one, record.name, len(record.parameters))]
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
        raise text.error(f"{reason}: first weights, then biases, such as /xavier,zero/", said.location)
    hint = _hint(said.name, known, synonyms=WEIGHT_SYNONYMS if role == "weight" else BIAS_SYNONYMS)
    raise text.error(f"unknown {role} initialiser '{said.name}'{hint}", said.location)


def _numbers(text: Text, said: syntax.Initializer, record: Initializer) -> tuple[float, ...]:
    """The record's numbers: those given, checked, or the defaults; none where one of them is open."""
    given = said.parameters[: len(record.parameters)]
    defaults = tuple(parameter.default for parameter in record.parameters[len(given) :])
    missing = any(default is None for default in defaults) or (given and defaults and record.all_or_none)
    if missing:
        raise text.error(_missing_numbers(record), said.location)
    for value, parameter, location in zip(given, record.parameters, said.parameter_locations, strict=False):
        _check_number(text, record.name, parameter, value, location)
    if _is_open(said):
        return ()
    numbers = tuple(value + 0.0 for value in (*said.numbers[: len(given)], *defaults) if value is not None)
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


def _surplus(text: Text, said: syntax.Initializer | syntax.Function, name: str, first: int) -> list[Diagnostic]:
    """Warnings about the numbers, from index ``first`` on, that the function does not take."""
    if len(said.parameters) <= first:
        return []
    surplus = zip(said.numbers[first:], said.parameter_locations[first:], strict=True)
    return [_ignored(text, name, value, place, first) for value, place in surplus]


def _ignored(text: Text, name: str, value: float, location: Location, takes: int) -> Diagnostic:
    count = {0: "no number", 1: "one number only", 2: "two numbers only"}[takes]
    return text.warning(f"'{name}' takes {count}: {value:g} is ignored", location)


# The nodes


@frozen
class Choice:
    """The functions that a node names, each with its number.

    local: the layer's own initialisers for weights and for biases; None stands for the header's. taps, dilation: of a
    convolution, the number of steps that it reads and their distance in steps.
    """

    activation: Activation | None = None
    parameter: float | None = None
    loss: tuple[Loss, float | None] | None = None
    merge: Merge | None = None
    warnings: tuple[Diagnostic, ...] = ()
    elementwise: ElementwiseLayer | None = None
    local: tuple[Drawn | None, Drawn | None] = (None, None)
    taps: int = 1
    dilation: int = 1

    @property
    def reads_source(self) -> bool:
        """Whether the node's value depends on what comes in."""
        record = self.merge.reads_x if self.merge is not None else True
        return record and (self.elementwise is None or self.elementwise.reads_x)

    def initializers(self, layer: bool, header: Header) -> tuple[tuple[str, Drawn], ...]:
        """The initialiser of each parameter of the node, by role.

        It is the layer's own initialiser, or the number of its function, or the header's. layer: whether the node is a
        layer with weights.
        """
        weight, bias = self.local
        found: list[tuple[str, Drawn]] = []
        if layer:
            found = [("weight", weight or header.weight), ("bias", bias or header.bias)]
        for role in self.elementwise.roles if self.elementwise is not None else ():
            own = {"weight": weight, "bias": bias}.get(role.name)
            first = self.parameter if role.first is None else role.first
            constant = None if first is None else (BIAS_INITIALIZERS["const_flat"], (first,))
            found.append((role.name, own or constant or header.bias))
        return tuple(found)


_OF_SPLITS = Choice()
_OF_MERGES = {name: Choice(merge=merge) for name, merge in MERGES.items()}


def choose(text: Text, item: syntax.Node) -> Choice:
    """Look up and check the functions and numbers that a node names."""
    text = text.about(item)
    choice = _choice(text, item)
    local = item.local if isinstance(item, syntax.Layer) else None
    ignored = [] if local is None else _surplus_of_local(text, local)
    return replace(choice, warnings=(*choice.warnings, *ignored)) if ignored else choice


def _choice(text: Text, item: syntax.Node) -> Choice:
    if isinstance(item, syntax.Split):
        return _OF_SPLITS
    if isinstance(item, syntax.Merge):
        return _merging(text, item)
    if item.activation is not None and item.activation.name in ELEMENTWISE:
        return _elementwise(text, item, item.activation)
    if item.activation is not None and item.activation.name == CONVOLUTION:
        return _convolution(text, item, item.activation)
    if item.activation is not None and item.activation.name == RESTORE.name:
        return _restoring(text, item, item.activation)
    activation, loss = _activation(text, item.activation), _loss(text, item.loss)
    said = [(item.activation, activation), (item.loss, loss)]
    return Choice(
        activation,
        _parameter(text, item.activation, activation),
        None if loss is None else (loss, _parameter(text, item.loss, loss)),
        warnings=tuple(line for function, record in said for line in _unused(text, function, record)),
        local=_local(text, item),
    )


def _elementwise(text: Text, item: syntax.Layer, said: syntax.Function) -> Choice:
    """The choice for an elementwise layer."""
    record = ELEMENTWISE[said.name]
    if item.loss is not None:
        reason = f"'{item.name}' can't be the output: '{record.name}' is an elementwise layer"
        raise text.error(f"{reason}; let a layer with the loss follow it", said.location)
    if (item.width is None) == (not record.reads_x):
        name, width = _example_of(item, "8")
        how = f"({name}, <{record.name}>)" if record.reads_x else f"({name}, {width}, <{record.name}>)"
        reason = "is as wide as what comes in, and takes no width" if record.reads_x else "needs a width"
        raise text.error(f"'{record.name}' {reason}: write {how}", said.location)
    number = _parameter(text, said, record) if said.parameters or record.reads_x else None
    return Choice(
        parameter=number,
        elementwise=record,
        warnings=tuple(_unused(text, said, record)),
        local=_local_of_vectors(text, item, record),
    )


def _example_of(item: syntax.Layer, width: str) -> tuple[str, str]:
    """A name and a width that show how to write a layer: in a body, full names do not stand."""
    return (item.name, width) if item.origin is None else ("n", "width")


def _local_of_vectors(text: Text, item: syntax.Layer, record: ElementwiseLayer) -> tuple[Drawn | None, Drawn | None]:
    """The own initialisers of an elementwise layer, for its weight and its bias.

    A vector has no fan-in, so only ``normal`` and ``uniform`` of the weight initialisers fit.
    """
    if item.local is None:
        return None, None
    weight, bias = item.local.weight, item.local.bias
    roles = {role.name for role in record.roles}
    for said, role in ((weight, "weight"), (bias, "bias")):
        if said is not None and role not in roles:
            raise text.error(f"'{record.name}' has no {role} that an initialiser could draw", said.location)
    if not roles & {"weight", "bias"}:
        raise text.error(f"'{record.name}' has no parameters that initialisers could draw", item.local.location)
    vectors = {name: WEIGHT_INITIALIZERS[name] for name in ("normal", "uniform")}
    if weight is not None and weight.name in WEIGHT_INITIALIZERS and weight.name not in vectors:
        reason = f"'{weight.name}' needs a matrix, and the weight of '{record.name}' is a vector"
        raise text.error(f"{reason}: use uniform or normal", weight.location)
    return _drawn_by(text, item.local)


def _restoring(text: Text, item: syntax.Layer, said: syntax.Function) -> Choice:
    """The choice for an output that converts its values to the units of the expected values."""
    fitting = [name for name, loss in LOSSES.items() if loss.compares_units]
    if item.loss is None or item.width is None:
        reason = f"'{RESTORE.name}' is for the output only"
        raise text.error(f"{reason}, such as (output, 1, <{RESTORE.name}>, <mse>)", said.location)
    loss = _loss(text, item.loss)
    assert loss is not None
    if not loss.compares_units:
        reason = f"'{RESTORE.name}' goes with {_either(fitting)}, not with '{loss.name}'"
        raise text.error(reason, item.loss.location)
    number = _parameter(text, item.loss, loss)
    warnings = (*_unused(text, said, RESTORE), *_unused(text, item.loss, loss))
    return Choice(
        ACTIVATIONS["linear"], loss=(loss, number), elementwise=RESTORE, warnings=warnings, local=_local(text, item)
    )


def _either(names: Sequence[str]) -> str:
    """The names in a sentence, joined by commas and "or"."""
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _convolution(text: Text, item: syntax.Layer, said: syntax.Function) -> Choice:
    """The choice for a convolution: a linear layer with the number of its taps and their distance in steps."""
    if item.width is None:
        name, width = _example_of(item, "32")
        reason = f"'{item.name}' is a convolution and needs a width"
        raise text.error(f"{reason}, such as ({name}, {width}, <{CONVOLUTION}, 3>)", said.location)
    if not said.parameters:
        reason = f"'{CONVOLUTION}' needs a number, how many steps it reads"
        raise text.error(f"{reason}, such as <{CONVOLUTION}, 3>", said.location)
    taps, dilation = _taps(text, item, said)
    loss = _loss(text, item.loss)
    number = _parameter(text, item.loss, loss)
    return Choice(
        ACTIVATIONS["linear"],
        loss=None if loss is None else (loss, number),
        warnings=tuple(_unused(text, item.loss, loss)),
        local=_local(text, item),
        taps=taps,
        dilation=dilation,
    )


def _taps(text: Text, item: syntax.Layer, said: syntax.Function) -> tuple[int, int]:
    """How many vectors a convolution reads, and how many steps they are apart; 1 for an open number.

    One vector is at no distance from others, so its dilation can be any, and 1 is returned for it.
    """
    numbers: list[int] = []
    given, places = (*said.parameters, 1.0)[:2], (*said.parameter_locations, said.location)[:2]
    for parameter, value, place in zip(_TAPS, given, places, strict=True):
        _check_number(text, CONVOLUTION, parameter, value, place)
        numbers.append(1 if isinstance(value, syntax.Reference) else int(value))
    taps, dilation = numbers
    reach = (taps - 1) * dilation
    if reach > MAX_STEPS:
        shown = f"{reach:,}" if reach < _FAR else f"more than {_FAR:,}"
        reason = f"'{item.name}' would read {shown} steps back: at most {MAX_STEPS:,} is possible"
        raise text.error(reason, said.parameter_locations[-1])
    return taps, dilation if taps > 1 else 1


def _local(text: Text, item: syntax.Layer) -> tuple[Drawn | None, Drawn | None]:
    """The own initialisers of a layer, for weights and for biases; None stands for the header's."""
    if item.local is None:
        return None, None
    if item.width is None or item.activation is None:
        reason = f"'{item.name}' has no parameters that initialisers could draw"
        raise text.error(reason, item.local.location)
    return _drawn_by(text, item.local)


def check_given(text: Text, given: syntax.Given) -> list[Diagnostic]:
    """Check the initialisers that a use of a cell gives, even if no node of the cell needs them; the warnings."""
    about = text.about(given)
    _drawn_by(about, given.local)
    return _surplus_of_local(about, given.local)


def _drawn_by(text: Text, local: syntax.Local) -> tuple[Drawn | None, Drawn | None]:
    """The initialisers for weights and for biases; None for an empty place."""
    weight, bias = local.weight, local.bias
    return (
        None if weight is None else _drawn(text, weight, "weight", WEIGHT_INITIALIZERS, BIAS_INITIALIZERS),
        None if bias is None else _drawn(text, bias, "bias", BIAS_INITIALIZERS, WEIGHT_INITIALIZERS),
    )


def _drawn(
    text: Text,
    said: syntax.Initializer,
    role: str,
    known: Mapping[str, Initializer],
    swapped: Mapping[str, Initializer],
) -> Drawn:
    record = _initializer(text, said, role, known, swapped)
    return record, _numbers(text, said, record)


def _surplus_of_local(text: Text, local: syntax.Local) -> list[Diagnostic]:
    """Warnings about the numbers that a layer's or a use's own initialisers do not take."""
    pairs = ((local.weight, WEIGHT_INITIALIZERS), (local.bias, BIAS_INITIALIZERS))
    said = [(one, known[one.name]) for one, known in pairs if one is not None and not _is_open(one)]
    return [line for one, record in said for line in _surplus(text, one, record.name, len(record.parameters))]


def _merging(text: Text, item: syntax.Merge) -> Choice:
    if item.operation in _OF_MERGES:
        return _OF_MERGES[item.operation]
    reason = f"unknown merge operation '{item.operation}'{_hint(item.operation, MERGES, synonyms=MERGE_SYNONYMS)}"
    raise text.error(reason, item.operation_location)


def _activation(text: Text, said: syntax.Function | None) -> Activation | None:
    if said is None or said.name in ACTIVATIONS:
        return None if said is None else ACTIVATIONS[said.name]
    if said.name in LOSSES:
        reason = f"'{said.name}' is a loss, but an activation belongs here"
        raise text.error(f"{reason}: the output names its activation first, then its loss", said.location)
    others = (*ELEMENTWISE, CONVOLUTION, RESTORE.name, *text.model.cells)
    hint = _hint(said.name, ACTIVATIONS, others, ACTIVATION_SYNONYMS)
    raise text.error(f"unknown activation '{said.name}'{hint}", said.location)


def _loss(text: Text, said: syntax.Function | None) -> Loss | None:
    if said is None or said.name in LOSSES:
        return None if said is None else LOSSES[said.name]
    if said.name in ACTIVATIONS:
        reason = f"'{said.name}' is an activation, but a loss belongs here"
        raise text.error(f"{reason}: a layer has one activation, and only the output a loss", said.location)
    raise text.error(f"unknown loss '{said.name}'{_hint(said.name, LOSSES, synonyms=LOSS_SYNONYMS)}", said.location)


def _parameter(text: Text, said: syntax.Function | None, record: Named | None) -> float | None:
    if said is None or record is None or record.parameter is None:
        return None
    value = said.parameters[0] if said.parameters else record.parameter.default
    if value is None:
        reason = f"'{record.name}' needs a number, its {record.parameter.name}"
        raise text.error(f"{reason}, such as <{record.name}, 0.5>", said.location)
    _check_number(text, record.name, record.parameter, value, (*said.parameter_locations, said.location)[0])
    return None if isinstance(value, syntax.Reference) else value + 0.0


def _check_number(text: Text, name: str, parameter: Parameter, value: syntax.Number, location: Location) -> None:
    """Refuse a number that a parameter can't have; one that is open can still be any."""
    reason = None if isinstance(value, syntax.Reference) else parameter.check(value)
    if reason is not None:
        raise text.error(f"'{name}': {reason}", location)


def _unused(text: Text, said: syntax.Function | None, record: Named | None) -> list[Diagnostic]:
    if said is None or record is None or _is_open(said):
        return []
    return _surplus(text, said, record.name, 0 if record.parameter is None else 1)


def _is_open(said: syntax.Function | syntax.Initializer) -> bool:
    """Whether a number is unknown. In a definition that nobody uses, a parameter without a default has no number."""
    return any(isinstance(number, syntax.Reference) for number in said.parameters)


def _hint(
    word: str, known: Iterable[str], more: Iterable[str] = (), synonyms: Mapping[str, str] = MappingProxyType({})
) -> str:
    """The end of a message about an unknown word: the nearest name, or all known names.

    more: names that may be suggested but are not listed. synonyms: names that are meant by words of other libraries.
    """
    names = sorted(known)
    near = synonyms.get(word.lower()) or nearest(word, [*names, *more])
    return f"; known are {', '.join(names)}" if near is None else f": did you mean '{near}'?"
