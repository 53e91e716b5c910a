"""Makes the operations of the forward pass in order, run by run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np

from ..functions.elementwise import Statistic
from ..functions.expressions import Expression
from ..graph import Graph, Node
from ..graph.recurrence import WINDOW
from .list_schedule import Task, in_order
from .plan import (
    Access,
    Group,
    Loss,
    Map,
    Mask,
    Note,
    Operation,
    Part,
    Place,
    Product,
    Reduce,
    Rows,
    Segment,
    Vector,
    padded,
    vector_name,
)

_NAMED = 20  # layers at most that one comment names


def names_in(*texts: str) -> set[str]:
    """The identifiers that occur in expressions."""
    return set(Expression(" ".join(texts)).names)


@dataclass
class Builder:
    """The facts about a model that the forward and the backward pass share."""

    graph: Graph
    lanes: int
    runs: list[tuple[int, list[int]]]
    virtual: set[int]
    groups: tuple[Group, ...]
    training: bool

    def __post_init__(self) -> None:
        self.domain = {index: domain for domain, nodes in self.runs for index in nodes}
        self.run_of = {index: number for number, (_, nodes) in enumerate(self.runs) for index in nodes}
        self.group_of = {m.node: (g, m) for g in self.groups for m in g.members}
        self.groups_of_runs: dict[int, list[Group]] = {}
        for group in self.groups:
            self.groups_of_runs.setdefault(self.run_of[group.members[0].node], []).append(group)
        self.depth = self._depths()
        self._places: dict[int, Place] = {}
        self._gradients: dict[int, Place] = {}
        nodes = self.graph.nodes
        self.vectors = [
            Vector(vector_name(array.node, array.role), array.node, array.role, array.shape[0], array.learns)
            for array in self.graph.arrays if nodes[array.node].kind == "elementwise" or array.role in ("mean", "scale")
        ]  # fmt: skip

    def parameter_operands(self, node: Node) -> dict[str, Access]:
        """The reads of an elementwise layer's parameters, by their names in expressions."""
        assert node.elementwise is not None
        return {
            role.variable: Access(Place(vector_name(node.index, role.name), 0, node.width))
            for role in node.elementwise.roles
        }

    def statistic_operands(self, node: Node, *, backward: bool = False) -> dict[str, Access]:
        """The reads of an elementwise layer's statistics, one number a row each, by their names in expressions."""
        assert node.elementwise is not None
        found = {}
        for letter, statistics in (("m", node.elementwise.statistics), ("h", node.elementwise.backward_statistics)):
            for number, statistic in enumerate(statistics if letter == "m" or backward else ()):
                place = Place(f"{letter}{node.index}", number * self.lanes, self.lanes)
                found[statistic.variable] = Access(place, broadcast=True)
        return found

    def _depths(self) -> dict[int, int]:
        """The nodes that links in time read, with the most steps back."""
        found: dict[int, int] = {}
        for index in self.graph.computing:
            for read, steps in self.graph.inputs[index]:
                if steps:
                    found[read] = max(steps, found.get(read, 0))
        return found

    def couples(self, node: Node) -> bool:
        return node.function is not None and node.function.couples

    def wide(self, node: Node) -> bool:
        """Whether a node is a softmax that is wider than one SIMD vector."""
        return self.couples(node) and node.width > self.lanes

    def logits(self) -> bool:
        """Whether the loss is computed from the output's pre-activation (the logits)."""
        function = self.graph.nodes[self.graph.output].function
        return function is not None and any(form.activation == function.name for form in self.graph.loss.logits)

    def keeps_input(self, node: Node) -> bool:
        """Whether the derivative of a node's activation needs the pre-activation."""
        function = node.function
        assert function is not None
        if node.index == self.graph.output and self.training and self.logits():
            return True
        texts = [function.derivative, *(text for _, text in function.let)]
        return self.training and "x" in names_in(*texts)

    def place(self, index: int) -> Place:
        """The place of a node's value."""
        if index not in self._places:
            self._places[index] = self._place_of(self.graph.nodes[index])
        return self._places[index]

    def _place_of(self, node: Node) -> Place:
        index = node.index
        if node.kind == "input":
            return Place("x", 0, node.width)
        in_place = index in self.group_of and index not in self.depth and not self.keeps_input(node)
        in_place = in_place and node.elementwise is None
        return self.pre_activation(index) if in_place else Place(f"v{index}", 0, node.width)

    def pre_activation(self, index: int) -> Place:
        group, member = self.group_of[index]
        return Place(f"s{group.index}", member.column, member.width)

    def source(self, node: Node) -> int:
        assert node.source is not None
        return self.graph.resolve(node.source)

    def other(self, node: Node) -> int:
        assert node.other is not None
        return self.graph.resolve(node.other)

    def past(self, index: int) -> Place:
        """The place of a node's values of earlier steps. For the input it is a copy: the caller's array has none."""
        node = self.graph.nodes[index]
        return Place(f"v{index}", 0, node.width) if node.kind == "input" else self.place(index)

    def access(self, index: int, *, steps: int = 0, limit: int | None = None) -> Access:
        """A read of a node's value ``steps`` steps before. limit: components from this one on are read as zero."""
        return Access(self.past(index), -steps, limit) if steps else Access(self.place(index), 0, limit)


class Forward(Builder):
    """Makes the forward operations of a graph, run by run."""

    def segments(self) -> list[Segment]:
        masks = tuple(self.masks()) if self.training else ()
        out = [Segment(WINDOW, masks)] if masks else []
        for number, (domain, nodes) in enumerate(self.runs):
            groups = self.groups_of(number)
            hoisted = [op for g in groups for op in self.products(g, loop=False)] if domain != WINDOW else []
            if hoisted:
                out.append(Segment(WINDOW, tuple(hoisted)))
            operations = [self.kept_input()] if self.graph.input in self.depth and self.graph.input in nodes else []
            operations += self.schedule(nodes, groups, domain)
            if not self.training and self.graph.output in nodes:
                operations.append(self.result())
            out.append(Segment(domain, tuple(operations)))
        if self.training:
            out.append(Segment(WINDOW, (self.loss(),)))
        return out

    def masks(self) -> Iterator[Mask]:
        """The operations that make the masks of all dropouts."""
        for index in self.graph.computing:
            node = self.graph.nodes[index]
            if node.elementwise is not None and node.elementwise.drops:
                assert node.parameter is not None
                yield Mask(self.mask(node), index, node.parameter, note_of(node, "mask of "))

    def mask(self, node: Node) -> Place:
        """The place of a dropout's mask."""
        return Place(f"k{node.index}", 0, node.width)

    def kept_input(self) -> Operation:
        """The operation that copies the input's values, to keep them for later steps."""
        node = self.graph.nodes[self.graph.input]
        text = f"{node.name}: kept for later steps"
        note = Note(node.index, text, text)
        return Map(self.past(node.index), "x", (("x", self.access(node.index)),), node.width, note)

    def result(self) -> Map:
        """The operation that, in prediction, copies the output's values to the caller's array."""
        node = self.graph.nodes[self.graph.output]
        target, text = Place("y", 0, node.width), f"result: {node.name}"
        note = Note(node.index, text, text)
        return Map(target, "x", (("x", self.access(node.index)),), node.width, note, exact=True)

    def loss(self) -> Loss:
        output = self.graph.output
        logits = self.pre_activation(output) if self.logits() else None
        target, note = self.loss_target(), f"loss: {self.graph.loss.name}"
        if target != self.gradient(output):
            note += f", {note_of(self.graph.nodes[output], 'back through ').text}"
        if self.graph.nodes[output].elementwise is not None:
            units = vector_name(output, "mean"), vector_name(output, "scale")
            return Loss(self.pre_activation(output), logits, target, note, units)
        return Loss(self.place(output), logits, target, note)

    def loss_target(self) -> Place:
        """The place to which the loss writes its gradient.

        It is the gradient of the output's pre-activation if the loss is computed from the logits or if the activation
        changes no gradient, else the gradient of the output's value.
        """
        output = self.graph.output
        node = self.graph.nodes[output]
        is_identity = node.kind == "layer" and node.function is not None and node.function.derivative == "1.0"
        return self.pre_gradient(output) if self.logits() or is_identity else self.gradient(output)

    def gradient(self, index: int) -> Place:
        if index not in self._gradients:
            self._gradients[index] = Place(f"d{index}", 0, self.graph.nodes[index].width)
        return self._gradients[index]

    def pre_gradient(self, index: int) -> Place:
        group, member = self.group_of[index]
        return Place(f"g{group.index}", member.column, member.width)

    def names_of(self, group: Group) -> str:
        """The names of a group's layers as a text; of very many layers only the first."""
        names = [self.graph.nodes[member.node].name for member in group.members]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return ", ".join(names[:_NAMED]) + more

    def groups_of(self, run: int) -> list[Group]:
        return self.groups_of_runs.get(run, [])

    def in_loop(self, group: Group, part: Part) -> bool:
        """Whether the values of a part are computed inside the group's own loop."""
        return group.domain != WINDOW and self.domain[part.node] == group.domain

    def products(self, group: Group, *, loop: bool) -> list[Product]:
        """The products of a group's parts that are computed in the loop, or else before it; the first adds the bias."""
        chosen = [n for n, p in enumerate(group.parts) if self.in_loop(group, p) == loop]
        begun = loop and len(chosen) < len(group.parts)
        names = self.names_of(group)
        out = []
        for count, number in enumerate(chosen):
            part = group.parts[number]
            start = "add" if begun or count else "bias"
            target = Place(f"s{group.index}", 0, group.columns)
            note = f"{names} from {self.graph.nodes[part.node].name}" + _when(part)
            out.append(
                Product(
                    "forward",
                    group.index,
                    number,
                    self.access(part.node, steps=-part.shift),
                    target,
                    start,
                    note,
                    taps=part.taps,
                    dilation=part.dilation,
                )
            )
        return out

    def schedule(self, nodes: list[int], groups: list[Group], domain: int) -> list[Operation]:
        """The operations of a run in order: each after those whose results it reads in the same step."""
        inside, looped = {index for index in nodes if self.graph.nodes[index].kind != "input"}, domain != WINDOW
        waits: dict[Task, set[int]] = {("group", group.index): self.waits(group, inside) for group in groups}
        for index in inside - self.group_of.keys():
            reads = self.graph.inputs[index]
            waits["node", index] = {o for o, steps in reads if not (steps and looped) and o in inside}
        members = {group.index: [member.node for member in group.members] for group in groups}
        out: list[Operation] = []
        for kind, number in in_order(waits, members, self.block_width):
            products = kind == "group"
            out.extend(self.products(self.groups[number], loop=looped) if products else self.statements(number))
        return out

    def waits(self, group: Group, inside: set[int]) -> set[int]:
        """The nodes that a group's product must wait for. In a loop, these are nodes read in the same step."""
        looped = group.domain != WINDOW
        return {part.node for part in group.parts if part.node in inside and not (part.last and looped)}

    def block_width(self, index: int) -> int:
        return padded(self.graph.nodes[index].width, self.lanes)

    def statements(self, index: int) -> list[Operation]:
        """The operations for the element-by-element work of one node."""
        node = self.graph.nodes[index]
        if node.kind == "merge":
            return self.merge(node)
        if node.kind == "elementwise":
            return self.elementwise(node)
        source = self.pre_activation(index) if node.kind == "layer" else self.place(self.source(node))
        return self.activation(node, source)

    def activation(self, node: Node, source: Place) -> list[Operation]:
        function, target = node.function, self.place(node.index)
        assert function is not None
        if node.elementwise is not None:
            known = {"x": Access(source), **self.parameter_operands(node)}
            text = node.elementwise.forward
            return [Map(target, text, used(known, text), node.width, note_of(node), zero=node.width)]
        note = note_of(node)
        if self.wide(node):
            return [Rows("softmax", target, (source,), False, note)]
        if function.couples:
            return [Map(target, f"softmax(x, {node.width})", (("x", Access(source)),), node.width, note)]
        text = with_parameter(function.forward, node.parameter)
        keep = node.width if node.width % self.lanes and _lifts_zero(node) else None
        return [Map(target, text, (("x", Access(source)),), node.width, note, keep=keep, rest="x")]

    def elementwise(self, node: Node) -> list[Operation]:
        """The operations of an elementwise layer: its statistics of each row, if it needs any, and its values."""
        layer = node.elementwise
        assert layer is not None
        known = {**self.parameter_operands(node), **self.statistic_operands(node)}
        if node.source is not None:
            known["x"] = self.access(self.source(node))
        if layer.drops:
            known["k"] = Access(self.mask(node))
        out = [self.statistic(node, one, known) for one in layer.statistics]
        text = with_parameter(layer.forward if self.training or not layer.drops else "x", node.parameter)
        return [*out, Map(self.place(node.index), text, used(known, text), node.width, note_of(node), zero=node.width)]

    def statistic(self, node: Node, statistic: Statistic, known: dict[str, Access]) -> Operation:
        """The operation for a statistic: one number a row."""
        text, finish = statistic.expression, with_parameter(statistic.finish, node.parameter)
        place = known[statistic.variable].place
        note = note_of(node, f"{statistic.variable} of ")
        return Reduce(place, text, used(known, text), node.width, note, finish=finish, spread=True)

    def merge(self, node: Node) -> list[Operation]:
        assert node.merge is not None
        if not node.merge.reads_x:
            return [] if node.index in self.virtual else [self.taken(node)]
        if node.merge.result == "one":
            return [self.summed(node)]
        left, right = self.source(node), self.other(node)
        if node.merge.concatenates:
            return [] if node.index in self.virtual else self.concatenate(node, left, right)
        wide = self.graph.nodes[right].width
        if node.merge.other_width == "one":
            one = self.access(right, steps=node.steps)._replace(broadcast=True)
            operands = (("x", self.access(left)), ("o", one))
            return [Map(self.place(node.index), node.merge.forward, operands, node.width, note_of(node))]
        limit = None if wide == node.width else min(wide, node.width)
        operands = (("x", self.access(left)), ("o", self.access(right, steps=node.steps, limit=limit)))
        keep = min(wide, node.width)
        lifts = padded(node.width, self.lanes) > keep and gives_from_zeros(node.merge.value, 2)
        return [
            Map(
                self.place(node.index),
                node.merge.forward,
                operands,
                node.width,
                note_of(node),
                keep=keep if wide < node.width or lifts else None,
                rest="x",
            )
        ]

    def taken(self, node: Node) -> Map:
        """The operation for a merge that takes the value of another node."""
        assert node.merge is not None
        operands = (("o", self.access(self.other(node), steps=node.steps)),)
        return Map(self.place(node.index), node.merge.forward, operands, node.width, note_of(node))

    def summed(self, node: Node) -> Reduce:
        """The operation for a merge whose result is a single number."""
        assert node.merge is not None
        left, right = self.source(node), self.other(node)
        operands = (("x", self.access(left)), ("o", self.access(right, steps=node.steps)))
        width = self.graph.nodes[left].width
        return Reduce(self.place(node.index), node.merge.forward, operands, width, note_of(node))

    def concatenate(self, node: Node, left: int, right: int) -> list[Operation]:
        place, first = self.place(node.index), self.graph.nodes[left].width
        second = self.graph.nodes[right].width
        note = note_of(node)
        return [
            Map(Place(place.buffer, 0, first), "x", (("x", self.access(left)),), first, note, exact=True),
            Map(
                Place(place.buffer, first, second), "x", (("x", self.access(right, steps=node.steps)),), second, note,
                exact=True,
            ),
        ]  # fmt: skip


def used(known: Mapping[str, Access], *texts: str) -> tuple[tuple[str, Access], ...]:
    """Those of the operands ``known`` that occur in the expressions."""
    used = names_in(*texts)
    return tuple((name, access) for name, access in known.items() if name in used)


def _when(part: Part) -> str:
    """The step that a part's values are from, as text for a comment."""
    if part.taps > 1:
        return f" at {part.taps} steps" + (f", {part.dilation} apart" if part.dilation > 1 else "")
    return {0: "", -1: " a step before"}.get(part.shift, f" {-part.shift} steps before")


def with_parameter(text: str, parameter: float | None) -> str:
    """An expression with its parameter p as a literal number."""
    if parameter is None:
        return text
    return Expression(text).renamed({"p": _literal(parameter)})


def _literal(number: float) -> str:
    """A finite number as source text."""
    assert math.isfinite(number), "numbers in generated source are finite"
    text = repr(float(number))
    return f"({text})" if number < 0 else text


def _lifts_zero(node: Node) -> bool:
    """Whether an activation turns zeros into other numbers, so that a row's padding could grow in a loop."""
    assert node.function is not None
    return _of_zero(node.function.value, node.parameter) != 0.0


@lru_cache(maxsize=1024)
def _of_zero(twin: Callable[..., Any], parameter: float | None) -> float:
    """What an activation gives for zero."""
    return float(twin(np.zeros(1), parameter)[0])


@cache
def gives_from_zeros(twin: Callable[..., Any], count: int) -> bool:
    """Whether a merge, or its gradient, turns zeros of padding into other numbers, such as NaN."""
    results = twin(*[np.zeros(1)] * count)
    return any(bool(result.any()) for result in (results if isinstance(results, tuple) else (results,)))


def note_of(node: Node, before: str = "", behind: str = "") -> Note:
    """The note of an operation: the node's name, kind, width and function, between two texts."""
    record = node.function or node.elementwise or node.merge
    what = record.name if record is not None else ""
    text = f"{node.name}: {node.kind} {node.width} {what}".rstrip()
    return Note(node.index, f"{before}{text}{behind}", f"{before}{node.name} {what}".rstrip() + behind)
