"""A model's graph as straight-line code for another library: one text, bound to JAX's or PyTorch's functions.

Two ways to write it. ``fused=False`` is the graph node by node, everything inside the loop over time. ``fused=True`` is
what an expert would write by hand: layers that read one vector are one product, the part of a concatenation that does
not depend on the loop is multiplied before it, and what needs no loop runs over all steps of a window at once.

The text defines ``window(p, s, x, e) -> (loss, s)`` over packed parameters, recurrent state (B, width) each, inputs
and expectations of shape (U, B, W), or (U * B, W) where the model has no links in time:

    def window(p, s, x, e):
        (w0, w1, w2, w3) = p
        z1 = linear(x, w0, w1)
        def step(s, t):
            (s3,) = s
            (z1,) = t
            ...
            return (v3,), (v3,)
        s, (v3,) = scan(step, s, (z1,))
        return mse(v4, e), s
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

BEFORE, LOOP, AFTER = 0, 1, 2
LOGITS = {("cross_entropy", "softmax"), ("binary_cross_entropy", "sigmoid")}
ELEMENTWISE = {
    "additive": "{} + {}",
    "subtractive": "{} - {}",
    "multiplicative": "{} * {}",
    "average": "0.5 * ({} + {})",
}


@dataclass(frozen=True)
class Packed:
    """One array of parameters: several layers' columns side by side, rows ``start`` to ``stop`` of each."""

    names: tuple[str, ...]
    start: int | None = None
    stop: int | None = None

    def of(self, parameters: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """The array, from parameters by name."""
        return np.concatenate([parameters[name][self.start : self.stop] for name in self.names], axis=-1)


@dataclass(frozen=True)
class Program:
    """The text, how its parameters are packed, and the widths of its recurrent state."""

    source: str
    packed: tuple[Packed, ...]
    state: tuple[int, ...]

    @property
    def recurrent(self) -> bool:
        """Whether there is a loop over time."""
        return bool(self.state)

    def pack(self, parameters: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Named parameters as the text's ``p``."""
        return [packed.of(parameters) for packed in self.packed]

    def bind(self, functions: Mapping[str, Any]) -> Callable[..., Any]:
        """``window`` over a library's functions: activations and losses by their MDL names, ``linear(x, w, b)``,
        ``add_product(u, x, w)``, ``concatenate(a, b)`` and ``scan(step, state, over)``."""
        namespace = dict(functions)
        exec(compile(self.source, "<program>", "exec"), namespace)
        window: Callable[..., Any] = namespace["window"]
        return window


@dataclass(frozen=True)
class Statement:
    """``target = text``, where it stands, and what it reads."""

    target: str
    text: str
    reads: tuple[str, ...]
    section: int


def program(graph: Any, *, fused: bool) -> Program:
    """The code of a checked graph (``model.graph``)."""
    writer = _Writer(graph, fused)
    writer.write()
    return Program(_text(writer), tuple(writer.packed), tuple(graph.nodes[index].width for index in writer.state))


def _sections(graph: Any, fused: bool) -> dict[int, int]:
    """Where each live node is computed."""
    if not graph.has_time_links:
        return dict.fromkeys(graph.order, BEFORE)
    if not fused:
        return {index: BEFORE if index == graph.input else LOOP for index in graph.order}
    late = _reached(graph, graph.order, {merge for merge, _ in graph.delayed_links})
    feeding = _feeding(graph)
    return {index: BEFORE if index not in late else LOOP if index in feeding else AFTER for index in graph.order}


def _same_step(node: Any) -> list[int]:
    return [read for read in (node.source, None if node.delayed else node.other) if read is not None]


def _reached(graph: Any, order: Iterable[int], start: set[int]) -> set[int]:
    """The nodes that depend on ``start`` within a step."""
    found = set(start)
    for index in order:
        if any(read in found for read in _same_step(graph.nodes[index])):
            found.add(index)
    return found


def _feeding(graph: Any) -> set[int]:
    """The nodes that the next step's links backward in time depend on."""
    found = {other for _, other in graph.delayed_links}
    for index in reversed(graph.order):
        if index in found:
            found.update(_same_step(graph.nodes[index]))
    return found


@dataclass
class _Writer:
    """Statements of one graph, in an order that can run."""

    graph: Any
    fused: bool
    statements: list[Statement] = field(default_factory=list)
    packed: list[Packed] = field(default_factory=list)
    values: dict[int, str] = field(default_factory=dict)
    result: str = ""
    from_logits: bool = False

    @cached_property
    def sections(self) -> dict[int, int]:
        return _sections(self.graph, self.fused)

    @cached_property
    def state(self) -> list[int]:
        return sorted({self.graph.resolve(other) for _, other in self.graph.delayed_links})

    @cached_property
    def groups(self) -> dict[int, list[int]]:
        """The layers that one product computes, by the first of them."""
        found: dict[tuple[int, ...], list[int]] = {}
        for index in self.graph.order:
            if self.graph.nodes[index].kind == "layer":
                source = self.graph.resolve(self.graph.nodes[index].source)
                found.setdefault((source, self.sections[index]) if self.fused else (index,), []).append(index)
        return {members[0]: sorted(members, key=self._function_order) for members in found.values()}

    def _function_order(self, index: int) -> tuple[str, float]:
        node = self.graph.nodes[index]
        return node.function.name, node.parameter or 0.0

    def write(self) -> None:
        for index in self.graph.order:
            node = self.graph.nodes[index]
            if node.kind == "input":
                self.values[index] = "x"
            elif index in self.groups:
                self._group(index, self.groups[index])
            elif node.kind == "activation":
                self.values[index] = self._activate(f"v{index}", node, self.value(node.source), self.sections[index])
            elif node.kind == "merge":
                self._merge(node)

    def value(self, index: int) -> str:
        """The variable of a node's value in this step."""
        return self.values[self.graph.resolve(index)]

    def read(self, node: Any) -> str:
        """The variable that a merge reads beside its own branch."""
        return f"s{self.graph.resolve(node.other)}" if node.delayed else self.value(node.other)

    def add(self, target: str, text: str, reads: Iterable[str], section: int) -> None:
        self.statements.append(Statement(target, text, tuple(reads), section))

    def parameter(self, names: Iterable[str], start: int | None = None, stop: int | None = None) -> str:
        self.packed.append(Packed(tuple(names), start, stop))
        return f"w{len(self.packed) - 1}"

    # Layers

    def _group(self, first: int, members: list[int]) -> None:
        """One product for all members, then their activations, each kind in one call."""
        nodes = [self.graph.nodes[index] for index in members]
        section, product = self.sections[first], f"z{first}"
        self._product(product, nodes, section)
        whole, at = sum(node.width for node in nodes), 0
        for run in _runs(nodes):
            width = sum(node.width for node in run)
            self._run(product, run, at, whole, section)
            at += width

    def _product(self, target: str, nodes: list[Any], section: int) -> None:
        weights, biases = [f"{node.name}.weight" for node in nodes], [f"{node.name}.bias" for node in nodes]
        source = self.graph.nodes[self.graph.resolve(nodes[0].source)]
        if self.fused and section == LOOP and self._is_divided(source):
            self._divided_product(target, weights, biases, source)
            return
        reads = [self.value(source.index), self.parameter(weights), self.parameter(biases)]
        self.add(target, f"linear({', '.join(reads)})", reads, section)

    def _is_divided(self, source: Any) -> bool:
        """Whether one part of a concatenation, and one only, is known before the loop."""
        if source.merge is None or not source.merge.concatenates:
            return False
        return self._free(source.source, False) != self._free(source.other, source.delayed)

    def _free(self, index: int, delayed: bool) -> bool:
        return not delayed and self.sections[index] == BEFORE

    def _divided_product(self, target: str, weights: list[str], biases: list[str], source: Any) -> None:
        width = self.graph.nodes[source.source].width
        parts = [(self.value(source.source), None, width), (self.read(source), width, None)]
        if not self._free(source.source, False):
            parts.reverse()
        (free, *free_rows), (looped, *looped_rows) = parts
        early = [free, self.parameter(weights, *free_rows), self.parameter(biases)]
        late = [f"u{target[1:]}", looped, self.parameter(weights, *looped_rows)]
        self.add(late[0], f"linear({', '.join(early)})", early, BEFORE)
        self.add(target, f"add_product({', '.join(late)})", late, LOOP)

    def _run(self, product: str, run: list[Any], at: int, whole: int, section: int) -> None:
        """The values of neighbours with one activation."""
        width = sum(node.width for node in run)
        before = self._columns(f"{product}_{at}", product, at, width, whole, section)
        after = self._activate(f"y{product[1:]}_{at}", run[0], before, section)
        inside = 0
        for node in run:
            if node.index == self.graph.output:
                self._result(node, before, after, inside, width, section)
            self.values[node.index] = self._columns(f"v{node.index}", after, inside, node.width, width, section)
            inside += node.width

    def _columns(self, target: str, name: str, start: int, width: int, whole: int, section: int) -> str:
        """Some columns of a variable; where they are all, the variable itself."""
        if width == whole:
            return name
        self.add(target, f"{name}[..., {start}:{start + width}]", [name], section)
        return target

    def _activate(self, target: str, node: Any, argument: str, section: int) -> str:
        if node.function.name == "linear":
            return argument
        number = "" if node.parameter is None else f", {node.parameter!r}"
        self.add(target, f"{node.function.name}({argument}{number})", [argument], section)
        return target

    def _result(self, output: Any, before: str, after: str, start: int, width: int, section: int) -> None:
        """What the loss reads: the output's value, or what its activation is applied to."""
        self.from_logits = (self.graph.loss.name, output.function.name) in LOGITS
        source = before if self.from_logits else after
        self.result = self._columns("r", source, start, output.width, width, section)

    # Merges

    def _merge(self, node: Any) -> None:
        own, other = self.value(node.source), self.read(node)
        widths = self.graph.nodes[node.source].width, self.graph.nodes[node.other].width
        self.values[node.index] = f"v{node.index}"
        self.add(f"v{node.index}", _merged(node, own, other, *widths), [own, other], self.sections[node.index])

    def loss(self) -> str:
        """The loss as a call."""
        output, loss = self.graph.nodes[self.graph.output], self.graph.loss
        name = f"{output.function.name}_{loss.name.removeprefix('binary_')}" if self.from_logits else loss.name
        number = "" if self.graph.loss_parameter is None else f", {self.graph.loss_parameter!r}"
        return f"{name}({self.result}, e{number})"


def _runs(nodes: list[Any]) -> list[list[Any]]:
    """Neighbours with one elementwise activation, together; a softmax stands alone."""
    runs: list[list[Any]] = []
    for node in nodes:
        last = runs[-1][-1] if runs else None
        alike = last is not None and (last.function.name, last.parameter) == (node.function.name, node.parameter)
        if alike and not node.function.couples:
            runs[-1].append(node)
        else:
            runs.append([node])
    return runs


def _merged(node: Any, own: str, other: str, width: int, other_width: int) -> str:
    if node.merge.concatenates:
        return f"concatenate({own}, {other})"
    operation = ELEMENTWISE[node.merge.name]
    if other_width > width:
        return operation.format(own, f"{other}[..., :{width}]")
    if other_width < width:
        shared = operation.format(f"{own}[..., :{other_width}]", other)
        return f"concatenate({shared}, {own}[..., {other_width}:])"
    return operation.format(own, other)


# Text ----------------------------------------------------------------------------------------------------------------


def _text(writer: _Writer) -> str:
    """The statements that the result needs, around the loop over time."""
    following = [writer.values[index] for index in writer.state]
    statements = _needed(writer.statements, [writer.result, *following])
    parts = [[s for s in statements if s.section == section] for section in (BEFORE, LOOP, AFTER)]
    lines = ["def window(p, s, x, e):", f"    {_tuple(f'w{n}' for n in range(len(writer.packed)))} = p"]
    lines += [f"    {s.target} = {s.text}" for s in parts[BEFORE]]
    if writer.state:
        lines += _loop(parts, writer, following)
    lines += [f"    {s.target} = {s.text}" for s in parts[AFTER]]
    return "\n".join([*lines, f"    return {writer.loss()}, s", ""])


def _needed(statements: list[Statement], roots: list[str]) -> list[Statement]:
    wanted, kept = set(roots), []
    for statement in reversed(statements):
        if statement.target in wanted:
            wanted.update(statement.reads)
            kept.append(statement)
    return kept[::-1]


def _loop(parts: list[list[Statement]], writer: _Writer, following: list[str]) -> list[str]:
    """The loop with what goes in step by step and what comes out."""
    early = {"x", *(s.target for s in parts[BEFORE])}
    inside = {s.target for s in parts[LOOP]}
    over = _tuple(sorted(early & {read for s in parts[LOOP] for read in s.reads}))
    out = _tuple(sorted(inside & {writer.result, *(read for s in parts[AFTER] for read in s.reads)}))
    body = [f"{s.target} = {s.text}" for s in parts[LOOP]]
    head = [f"{_tuple(f's{index}' for index in writer.state)} = s", f"{over} = t"]
    lines = ["    def step(s, t):", *(f"        {line}" for line in [*head, *body])]
    return [*lines, f"        return {_tuple(following)}, {out}", f"    s, {out} = scan(step, s, {over})"]


def _tuple(names: Iterable[str]) -> str:
    listed = list(names)
    return f"({listed[0]},)" if len(listed) == 1 else f"({', '.join(listed)})"
