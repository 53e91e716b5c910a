"""From a syntax tree to a checked graph: names, functions, links in time, widths, and what the output needs.

Every pass is iterative and its work is bounded, since a text is untrusted input.
"""

import heapq
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neuromorph.errors import Location, MDLSemanticError, nearest
from neuromorph.functions import (
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
from neuromorph.language import syntax, to_text

from .host.cached import cached_property

MAX_WIDTH = 1_048_576
_NAMED = 20  # dead nodes that one warning names

Kind: TypeAlias = Literal["input", "layer", "activation", "split", "merge"]
Drawn: TypeAlias = tuple[Initializer, tuple[float, ...]]
_Bits: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True)
class Node:
    """One named node of a model.

    ``source`` is the node whose value comes in; after a split and at the head of its branches, that is the
    split. ``other`` is the second node that a merge reads, from the previous step where ``delayed``.
    ``function`` and ``parameter`` (its default filled in) belong to layers and activation nodes. A node
    that is not ``live`` has no part in the output.
    """

    index: int
    name: str
    kind: Kind
    width: int
    source: int | None
    other: int | None
    delayed: bool
    function: Activation | None
    parameter: float | None
    merge: Merge | None
    live: bool
    location: Location


@dataclass(frozen=True)
class Graph:
    """A checked model: its nodes in text order, dead ones included; an index is a position in ``nodes``.

    ``warnings`` are sentences for the caller to emit as MDLWarning; ``text`` is the model's canonical text.
    """

    nodes: tuple[Node, ...]
    input: int
    output: int
    loss: Loss
    loss_parameter: float | None
    weight_initializer: Drawn
    bias_initializer: Drawn
    warnings: tuple[str, ...]
    text: str

    def resolve(self, index: int) -> int:
        """The node that computes this node's value: a split, or a chain of them, hands on what came in."""
        return self._computing[index]

    def fan_in(self, index: int) -> int:
        """The width of what comes into a node."""
        source = self.nodes[index].source
        if source is None:
            raise ValueError(f"nothing comes into node {index}, the input")
        return self.nodes[source].width

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The live nodes, splits too, in an order that can evaluate a step, the smallest index first."""
        return tuple(_topological({node.index: _same_step(node) for node in self.nodes if node.live}))

    @cached_property
    def delayed_links(self) -> tuple[tuple[int, int], ...]:
        """The live links backward in time, (merge, other), in text order; ``other`` is the node as named."""
        return tuple(
            (node.index, node.other) for node in self.nodes if node.live and node.delayed and node.other is not None
        )

    @property
    def has_time_links(self) -> bool:
        """Whether a live node reads the previous step."""
        return bool(self.delayed_links)

    @cached_property
    def parameters(self) -> tuple[int, ...]:
        """The live layers, which own weights and biases, in text order."""
        return tuple(node.index for node in self.nodes if node.live and node.kind == "layer")

    @cached_property
    def _computing(self) -> tuple[int, ...]:
        found: list[int] = []
        for node in self.nodes:
            computes = node.kind != "split" or node.source is None
            found.append(node.index if computes or node.source is None else found[node.source])
        return tuple(found)


def build_graph(model: syntax.Model) -> Graph:
    """Check what a text says and turn it into a graph.

    Raises MDLSemanticError, with the place, where the text is of the language but describes no model.
    """
    text = _Text(model)
    header = _Header.read(text)
    placed = _flatten(model)
    names = _index_names(text, placed)
    chosen = [_choose(text, place.item) for place in placed]
    output = _check_ends(text, placed)
    links = _Links.decide(text, placed, names)
    widths = _widths(text, placed, chosen, links.others)
    live = _live(placed, links.others, output)
    nodes = tuple(
        _node(index, place, chosen[index], links, widths[index], index in live) for index, place in enumerate(placed)
    )
    loss = chosen[output].loss
    assert loss is not None  # it is what makes a layer the output
    warnings = [*header.warnings, *(line for choice in chosen for line in choice.warnings)]
    warnings += _width_warnings(text, nodes) + _dead_warnings(nodes)
    drawn = (header.weight, header.bias)
    return Graph(nodes, 0, output, *loss, *drawn, tuple(warnings), to_text(model))


@dataclass(frozen=True)
class _Text:
    """The model whose text an error or a warning points into."""

    model: syntax.Model

    def error(self, reason: str, location: Location) -> MDLSemanticError:
        source, filename = self.model.source, self.model.filename
        return MDLSemanticError(reason, source=source, location=location, filename=filename)

    def warning(self, reason: str, location: Location) -> str:
        if self.model.filename is not None:
            return f"{self.model.filename}:{location.line}:{location.column}: {reason}"
        return f"line {location.line}, column {location.column}: {reason}"


# The header


@dataclass(frozen=True)
class _Header:
    weight: Drawn
    bias: Drawn
    warnings: tuple[str, ...]

    @classmethod
    def read(cls, text: _Text) -> "_Header":
        weight, bias = text.model.weight_initializer, text.model.bias_initializer
        weight_record = _initializer(text, weight, "weight", WEIGHT_INITIALIZERS, BIAS_INITIALIZERS)
        bias_record = _initializer(text, bias, "bias", BIAS_INITIALIZERS, WEIGHT_INITIALIZERS)
        weight_numbers = _numbers(text, weight, weight_record)
        bias_numbers = _numbers(text, bias, bias_record)
        warnings = [*_surplus(text, weight, weight_record), *_surplus(text, bias, bias_record)]
        return cls((weight_record, weight_numbers), (bias_record, bias_numbers), tuple(warnings))


def _initializer(
    text: _Text,
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


def _numbers(text: _Text, said: syntax.Initializer, record: Initializer) -> tuple[float, ...]:
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
    names = " and ".join(parameter.name for parameter in record.parameters)
    count = "a number" if len(record.parameters) == 1 else f"{len(record.parameters)} numbers"
    optional = " or none" if record.all_or_none else ""
    example = " ".join(f"{0.5 * (place + 1):g}" for place in range(len(record.parameters)))
    return f"'{record.name}' needs {count}{optional}, its {names}, such as {record.name} {example}"


def _surplus(text: _Text, said: syntax.Initializer, record: Initializer) -> list[str]:
    """Warnings of the numbers that the initialiser has no use for."""
    first = len(record.parameters)
    surplus = zip(said.parameters[first:], said.parameter_locations[first:], strict=False)
    return [_ignored(text, record.name, value, place, first) for value, place in surplus]


def _ignored(text: _Text, name: str, value: float, location: Location, takes: int = 0) -> str:
    count = {0: "no number", 1: "one number only"}[takes]
    return text.warning(f"'{name}' takes {count}: {value:g} is ignored", location)


# The nodes


@dataclass(frozen=True)
class _Place:
    """A node of the text with the index of the node before it, and whether it ends its branch."""

    item: syntax.Node
    source: int | None
    last: bool


def _flatten(model: syntax.Model) -> list[_Place]:
    """All nodes in text order: a split stands before the nodes of its branches."""
    placed: list[_Place] = []
    open_branches: list[Iterator[tuple[syntax.Node, bool]]] = [_with_end(model.nodes)]
    sources: list[int | None] = [None]
    while open_branches:
        item, last = next(open_branches[-1], (None, False))
        if item is None:
            open_branches.pop()
            sources.pop()
            continue
        placed.append(_Place(item, sources[-1], last))
        sources[-1] = len(placed) - 1
        if isinstance(item, syntax.Split):
            branches = [branch for branch in item.branches if branch]
            open_branches.extend(_with_end(branch) for branch in reversed(branches))
            sources.extend([sources[-1]] * len(branches))
    return placed


def _with_end(branch: Sequence[syntax.Node]) -> Iterator[tuple[syntax.Node, bool]]:
    return ((item, position == len(branch)) for position, item in enumerate(branch, start=1))


def _index_names(text: _Text, placed: Sequence[_Place]) -> dict[str, int]:
    names: dict[str, int] = {}
    for index, place in enumerate(placed):
        item = place.item
        if item.name in names:
            first = placed[names[item.name]].item.location
            reason = f"the name '{item.name}' is taken: it first stands in {_at(first)}"
            raise text.error(f"{reason}; names are unique in the whole model", item.location)
        names[item.name] = index
    return names


@dataclass(frozen=True)
class _Choice:
    """The functions that a node names, each with its number."""

    activation: Activation | None = None
    parameter: float | None = None
    loss: tuple[Loss, float | None] | None = None
    merge: Merge | None = None
    warnings: tuple[str, ...] = ()


def _choose(text: _Text, item: syntax.Node) -> _Choice:
    """Look up and check all that a node says of itself."""
    if isinstance(item, syntax.Split):
        return _Choice()
    if isinstance(item, syntax.Merge):
        return _Choice(merge=_merge(text, item))
    _check_width(text, item)
    activation, loss = _activation(text, item.activation), _loss(text, item.loss)
    said = [(item.activation, activation), (item.loss, loss)]
    return _Choice(
        activation,
        _parameter(text, item.activation, activation),
        None if loss is None else (loss, _parameter(text, item.loss, loss)),
        warnings=tuple(line for function, record in said for line in _unused(text, function, record)),
    )


def _merge(text: _Text, item: syntax.Merge) -> Merge:
    if item.operation in MERGES:
        return MERGES[item.operation]
    reason = f"unknown merge operation '{item.operation}'{_hint(item.operation, MERGES)}"
    raise text.error(reason, item.operation_location)


def _check_width(text: _Text, item: syntax.Layer) -> None:
    if item.width is None or 1 <= item.width <= MAX_WIDTH:
        return
    reason = f"the width of '{item.name}' must be from 1 to {MAX_WIDTH:,}"
    raise text.error(reason, item.width_location or item.location)


def _activation(text: _Text, said: syntax.Function | None) -> Activation | None:
    if said is None or said.name in ACTIVATIONS:
        return None if said is None else ACTIVATIONS[said.name]
    if said.name in LOSSES:
        reason = f"'{said.name}' is a loss, but an activation belongs here"
        raise text.error(f"{reason}: the output names its activation first, then its loss", said.location)
    raise text.error(f"unknown activation '{said.name}'{_hint(said.name, ACTIVATIONS)}", said.location)


def _loss(text: _Text, said: syntax.Function | None) -> Loss | None:
    if said is None or said.name in LOSSES:
        return None if said is None else LOSSES[said.name]
    if said.name in ACTIVATIONS:
        reason = f"'{said.name}' is an activation, but a loss belongs here"
        raise text.error(f"{reason}: a layer has one activation, and only the output a loss", said.location)
    raise text.error(f"unknown loss '{said.name}'{_hint(said.name, LOSSES)}", said.location)


def _parameter(text: _Text, said: syntax.Function | None, record: Activation | Loss | None) -> float | None:
    if said is None or record is None or record.parameter is None:
        return None
    value = record.parameter.default if said.parameter is None else said.parameter
    if value is None:
        reason = f"'{record.name}' needs a number, its {record.parameter.name}"
        raise text.error(f"{reason}, such as <{record.name}, 0.5>", said.location)
    _check_number(text, record.name, record.parameter, value, said.parameter_location or said.location)
    return value + 0.0


def _check_number(text: _Text, name: str, parameter: Parameter, value: float, location: Location) -> None:
    reason = parameter.check(value)
    if reason is not None:
        raise text.error(f"'{name}': {reason}", location)


def _unused(text: _Text, said: syntax.Function | None, record: Activation | Loss | None) -> list[str]:
    if said is None or record is None or record.parameter is not None or said.parameter is None:
        return []
    return [_ignored(text, said.name, said.parameter, said.parameter_location or said.location)]


def _hint(word: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: the name that was meant, or all names."""
    names = sorted(known)
    near = nearest(word, names)
    return f"; known are {', '.join(names)}" if near is None else f": did you mean '{near}'?"


def _at(location: Location) -> str:
    return f"line {location.line}, column {location.column}"


# Input and output


def _check_ends(text: _Text, placed: Sequence[_Place]) -> int:
    """Check that there is one input and one output, each in its place; the output's index."""
    _check_input(text, placed)
    outputs = [index for index, place in enumerate(placed) if _has_loss(place.item)]
    if not outputs:
        reason = "the model has no output: one layer needs an activation and a loss"
        raise text.error(f"{reason}, such as (output, 4, <linear>, <mse>)", text.model.nodes[-1].location)
    first = placed[outputs[0]].item
    if len(outputs) > 1:
        second = placed[outputs[1]].item
        reason = f"'{second.name}' is a second output; the first, '{first.name}', stands in"
        raise text.error(f"{reason} {_at(first.location)}: only one layer has a loss", second.location)
    if not placed[outputs[0]].last:
        raise text.error(f"the output '{first.name}' must end its branch: nothing follows it", first.location)
    return outputs[0]


def _has_loss(item: syntax.Node) -> bool:
    return isinstance(item, syntax.Layer) and item.loss is not None


def _check_input(text: _Text, placed: Sequence[_Place]) -> None:
    first = placed[0].item
    if not isinstance(first, syntax.Layer) or first.width is None or first.activation is not None:
        reason = f"the model has no input: '{first.name}' stands first, where a layer with just a name"
        raise text.error(f"{reason} and a width belongs, such as (input, 4)", first.location)
    for place in placed[1:]:
        item = place.item
        if isinstance(item, syntax.Layer) and item.activation is None:
            reason = f"'{item.name}' has no activation and would be a second input; the input is '{first.name}'"
            fix = f"every other layer needs an activation, such as ({item.name}, {item.width}, <tanh>)"
            raise text.error(f"{reason}: {fix}", item.location)


# Links


@dataclass(frozen=True)
class _Links:
    """For each node the second node that it reads, or None, and whether it reads the previous step."""

    others: tuple[int | None, ...]
    delayed: tuple[bool, ...]

    @classmethod
    def decide(cls, text: _Text, placed: Sequence[_Place], names: Mapping[str, int]) -> "_Links":
        others = tuple(_other(text, place.item, names) for place in placed)
        delayed = [other == index for index, other in enumerate(others)]
        for merge in _decide_later([place.source for place in placed], others):
            delayed[merge] = True
        return cls(others, tuple(delayed))


def _other(text: _Text, item: syntax.Node, names: Mapping[str, int]) -> int | None:
    if not isinstance(item, syntax.Merge):
        return None
    if item.other in names:
        return names[item.other]
    near = nearest(item.other, names)
    fix = f": did you mean '{near}'?" if near is not None else ""
    reason = f"'{item.name}' merges with '{item.other}', which is no node of this model{fix}"
    raise text.error(reason, item.other_location)


def _decide_later(sources: Sequence[int | None], others: Sequence[int | None]) -> list[int]:
    """The merges whose `other` stands later and depends on them, so that they read the previous step.

    A row of bits per node named by a later link says on which of the merges it depends. All links within
    the step that text order allows stand first; then each merge, in text order, asks its own column, and a
    link that makes no cycle hands the row of its `other` to every row that depends on the merge. Rows stand
    in the order of their last use, so that rows and columns of no further use are passed over.
    """
    links = [(merge, other) for merge, other in enumerate(others) if other is not None and other > merge]
    last_use = {other: column for column, (_, other) in enumerate(links)}
    row_of = {other: row for row, other in enumerate(sorted(last_use, key=last_use.__getitem__))}
    rows = _dependences(sources, others, [merge for merge, _ in links])[list(row_of)]
    last_uses = sorted(last_use.values())
    delayed: list[int] = []
    for column, (merge, other) in enumerate(links):
        byte, row = column // 8, row_of[other]
        if rows[row, byte] >> column % 8 & 1:
            delayed.append(merge)
        elif rows[row, byte:].any():
            first = bisect_left(last_uses, column)
            _hand_on(rows[first:, byte:], rows[row, byte:], column % 8)
    return delayed


def _hand_on(rows: _Bits, row: _Bits, bit: int) -> None:
    """Add the bits of ``row`` to every row that has ``bit`` set in its first byte."""
    dependent = rows[:, 0] >> np.uint8(bit) & 1 == 1
    rows[dependent] |= row


def _dependences(sources: Sequence[int | None], others: Sequence[int | None], merges: Sequence[int]) -> _Bits:
    """A row of bits per node: on which of ``merges`` it depends by way of sources and earlier nodes."""
    rows = np.zeros((len(sources), (len(merges) + 7) // 8), np.uint8)
    for column, merge in enumerate(merges):
        rows[merge, column // 8] = 1 << column % 8
    for index, (source, other) in enumerate(zip(sources, others, strict=True)):
        if source is not None:
            rows[index] |= rows[source]
        if other is not None and other < index:
            rows[index] |= rows[other]
    return rows


def _same_step(node: Node) -> tuple[int, ...]:
    """The nodes that a node reads within the step."""
    read = [node.source, None if node.delayed else node.other]
    return tuple(index for index in read if index is not None)


def _topological(needs: Mapping[int, Sequence[int]]) -> list[int]:
    """The keys, each after all that it needs, the smallest first; those that need themselves are left out."""
    waiting = {key: len(set(needed)) for key, needed in needs.items()}
    readers: dict[int, list[int]] = {key: [] for key in needs}
    for key, needed in needs.items():
        for one in set(needed):
            readers[one].append(key)
    ready = [key for key, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    done: list[int] = []
    while ready:
        done.append(heapq.heappop(ready))
        for reader in readers[done[-1]]:
            waiting[reader] -= 1
            if waiting[reader] == 0:
                heapq.heappush(ready, reader)
    return done


# Widths


def _widths(
    text: _Text, placed: Sequence[_Place], chosen: Sequence[_Choice], others: Sequence[int | None]
) -> list[int]:
    """The width of every node; links backward in time carry widths as others do."""
    needs = {index: _width_needs(place, chosen[index], others[index]) for index, place in enumerate(placed)}
    order = _topological(needs)
    if len(order) < len(placed):
        item = placed[_self_dependent(needs, order)].item
        raise text.error(f"the width of '{item.name}' depends on itself", _operation_place(item))
    widths = [0] * len(placed)
    for index in order:
        item = placed[index].item
        given = item.width if isinstance(item, syntax.Layer) else None
        widths[index] = sum(widths[one] for one in needs[index]) if given is None else given
        if widths[index] > MAX_WIDTH:
            reason = f"the width of '{item.name}' would be {widths[index]:,}: at most {MAX_WIDTH:,} is possible"
            raise text.error(reason, _operation_place(item))
    return widths


def _width_needs(place: _Place, choice: _Choice, other: int | None) -> tuple[int, ...]:
    """The nodes whose widths add up to that of a node that gives none itself."""
    if place.source is None or (isinstance(place.item, syntax.Layer) and place.item.width is not None):
        return ()
    if other is not None and choice.merge is not None and choice.merge.concatenates:
        return (place.source, other)
    return (place.source,)


def _self_dependent(needs: Mapping[int, Sequence[int]], done: Iterable[int]) -> int:
    """The first concatenating node on a cycle, found by going from need to need that has no width."""
    left = set(needs).difference(done)
    path: dict[int, None] = {}
    index = min(left)
    while index not in path:
        path[index] = None
        index = next(one for one in needs[index] if one in left)
    cycle = list(path)[list(path).index(index) :]
    return min(one for one in cycle if len(needs[one]) > 1)


def _operation_place(item: syntax.Node) -> Location:
    return item.operation_location if isinstance(item, syntax.Merge) else item.location


# Liveness and the finished nodes


def _live(placed: Sequence[_Place], others: Sequence[int | None], output: int) -> set[int]:
    """The nodes from which the output can be reached, in this step or through time."""
    live = {output}
    waiting = [output]
    while waiting:
        index = waiting.pop()
        for read in (placed[index].source, others[index]):
            if read is not None and read not in live:
                live.add(read)
                waiting.append(read)
    return live


def _node(index: int, place: _Place, choice: _Choice, links: _Links, width: int, live: bool) -> Node:
    item = place.item
    return Node(
        index,
        item.name,
        _kind(item, place.source),
        width,
        place.source,
        links.others[index],
        links.delayed[index],
        choice.activation,
        choice.parameter,
        choice.merge,
        live,
        item.location,
    )


def _kind(item: syntax.Node, source: int | None) -> Kind:
    if isinstance(item, syntax.Split):
        return "split"
    if isinstance(item, syntax.Merge):
        return "merge"
    if source is None:
        return "input"
    return "activation" if item.width is None else "layer"


# Warnings


def _width_warnings(text: _Text, nodes: Sequence[Node]) -> list[str]:
    warnings: list[str] = []
    for node in nodes:
        if node.other is None or node.merge is None or node.merge.concatenates:
            continue
        other = nodes[node.other]
        if other.width != node.width:
            warnings.append(text.warning(_mismatch(node, other), node.location))
    return warnings


def _mismatch(node: Node, other: Node) -> str:
    pair = f"'{node.name}' has {node.width}, and '{other.name}', which it reads, has {other.width}"
    widths = f"the widths differ: {pair}"
    if other.width > node.width:
        return f"{widths}; only the first {node.width} components of '{other.name}' are used"
    return f"{widths}; the components of '{node.name}' beyond that pass through unchanged"


def _dead_warnings(nodes: Sequence[Node]) -> list[str]:
    dead = [node.name for node in nodes if not node.live]
    if not dead:
        return []
    more = f" and {len(dead) - _NAMED:,} more" if len(dead) > _NAMED else ""
    names = ", ".join(f"'{name}'" for name in dead[:_NAMED])
    return [f"left out, since the output can't be reached from there: {names}{more}"]


# The invariants


def verify(graph: Graph) -> None:
    """Check that a graph is what the rest of the library relies on.

    Raises AssertionError that names the node and the rule. It shares no pass with :func:`build_graph`.
    """
    for position, node in enumerate(graph.nodes):
        _require(node.index == position, node, "its index is its position")
        _verify_shape(graph, node)
        _verify_width(graph, node)
        _verify_liveness(graph, node)
    _verify_ends(graph)
    _verify_time(graph)
    _verify_order(graph)


def _require(holds: bool, node: Node, rule: str) -> None:
    if not holds:
        raise AssertionError(f"node {node.index} '{node.name}': {rule}")


def _verify_shape(graph: Graph, node: Node) -> None:
    _require((node.kind == "input") == (node.index == graph.input), node, "only the input is of that kind")
    _require((node.source is None) == (node.kind == "input"), node, "only the input has no source")
    _require(node.source is None or 0 <= node.source < node.index, node, "its source stands before it")
    merges = node.kind == "merge"
    _require(merges == (node.other is not None) == (node.merge is not None), node, "merges alone merge")
    _require(node.other is None or 0 <= node.other < len(graph.nodes), node, "its other node exists")
    computes = node.kind in ("layer", "activation")
    _require(computes == (node.function is not None), node, "layers and activation nodes have an activation")
    takes = node.function is not None and node.function.parameter is not None
    _require(takes == (node.parameter is not None), node, "a number goes with a function that takes one")


def _verify_width(graph: Graph, node: Node) -> None:
    _require(1 <= node.width <= MAX_WIDTH, node, "its width is in range")
    if node.source is None or node.kind == "layer":
        return
    expected = graph.nodes[node.source].width
    if node.merge is not None and node.merge.concatenates and node.other is not None:
        expected += graph.nodes[node.other].width
    _require(node.width == expected, node, "its width follows from what it reads")


def _verify_liveness(graph: Graph, node: Node) -> None:
    if node.live:
        for read in (node.source, node.other):
            _require(read is None or graph.nodes[read].live, node, "what a live node reads is live")


def _verify_ends(graph: Graph) -> None:
    output = graph.nodes[graph.output]
    _require(output.kind == "layer" and output.live, output, "the output is a live layer")
    _require(all(node.source != output.index for node in graph.nodes), output, "nothing follows the output")
    names = {node.name for node in graph.nodes}
    _require(len(names) == len(graph.nodes), output, "names are unique")
    takes = graph.loss.parameter is not None
    _require(takes == (graph.loss_parameter is not None), output, "the loss has its number")
    reached = _reached_backward(graph)
    for node in graph.nodes:
        _require(node.live == (node.index in reached), node, "live is what the output needs")


def _reached_backward(graph: Graph) -> set[int]:
    reached: set[int] = set()
    layer = {graph.output}
    while layer:
        reached |= layer
        read = {one for index in layer for one in (graph.nodes[index].source, graph.nodes[index].other)}
        layer = {one for one in read if one is not None} - reached
    return reached


def _verify_time(graph: Graph) -> None:
    """No cycle within a step, and a link backward in time only where there would be one."""
    try:
        order = list(TopologicalSorter({node.index: _same_step(node) for node in graph.nodes}).static_order())
    except CycleError as error:
        raise AssertionError(f"the nodes {error.args[1]} depend on one another within a step") from error
    depends: dict[int, int] = {}
    for index in order:
        bits = 1 << index if graph.nodes[index].delayed else 0
        for read in _same_step(graph.nodes[index]):
            bits |= depends[read]
        depends[index] = bits
    for node in graph.nodes:
        if node.delayed:
            needed = node.other is not None and depends[node.other] >> node.index & 1 == 1
            _require(needed, node, "what it reads from the previous step depends on it")


def _verify_order(graph: Graph) -> None:
    done: set[int] = set()
    for index in graph.order:
        node = graph.nodes[index]
        _require(node.live and index not in done, node, "the order has each live node once")
        _require(done.issuperset(_same_step(node)), node, "the order puts it after what it reads")
        done.add(index)
    output = graph.nodes[graph.output]
    _require(len(done) == sum(node.live for node in graph.nodes), output, "the order has all live nodes")
    for node in graph.nodes:
        computing = graph.nodes[graph.resolve(node.index)]
        _require(computing.kind != "split" and computing.width == node.width, node, "it resolves to a value")
