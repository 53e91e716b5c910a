"""Writes a graph as a program for peers.

``fused=False`` is the graph node by node, everything inside the loop over time. ``fused=True`` is what an expert would
write by hand: layers that read one vector are one product, the part of a product that does not depend on the loop is
computed before it, and what needs no loop, convolutions among it, runs over all steps of a window at once. ``layered``:
besides, parts that need a loop have one each. ``linear``: besides, a loop that is linear in its state is one call.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from . import linear_loops, products
from .program import Columns, Packed, Program, Rows
from .sections import ordered, sections_of
from .statements import Register, Statement, text_of

LOGITS = {("cross_entropy", "softmax"), ("binary_cross_entropy", "sigmoid")}
MERGES = {
    "additive": "{0} + {1}",
    "subtractive": "{0} - {1}",
    "multiplicative": "{0} * {1}",
    "average": "0.5 * ({0} + {1})",
    "maximum": "where({0} >= {1}, {0}, {1})",
    "minimum": "where({0} <= {1}, {0}, {1})",
    "divisive": "{0} / {1}",
    "scale": "{0} * {1}",
    "dot": "dot({0}, {1})",
    "concatenate": "concatenate({0}, {1})",
}
VECTORS = {
    "gain": "{x} * {weight}",
    "shift": "{x} + {bias}",
    "prelu": "where({x} > 0.0, {x}, {x} * {weight})",
    "norm": "norm({x}, {weight}, {bias}, {p!r})",
    "rms_norm": "rms_norm({x}, {weight}, {p!r})",
    "standardize": "({x} - {mean}) / {scale}",
    "learned": "spread({bias}, x)",
}


def program(graph: Any, *, fused: bool, layered: bool = False, linear: bool = False) -> Program:
    """The code of a checked graph (``model.graph``). Raises ValueError for a node that differs while training."""
    writer = Writer(graph, sections_of(graph, fused=fused, layered=layered), fused)
    writer.write(linear)
    widths = [(steps, graph.nodes[index].width) for index, steps in writer.state.items()]
    shapes = tuple((width,) if steps == 1 else (steps, width) for steps, width in widths)
    source = text_of(writer)
    return Program(source, tuple(writer.packed), shapes, graph.has_time_links, source.count("= scan("))


@dataclass
class Writer:
    """Statements of one graph, in an order that can run."""

    graph: Any
    sections: dict[int, int]
    fused: bool
    statements: list[Statement] = field(default_factory=list)
    packed: list[Packed] = field(default_factory=list)
    values: dict[int, str] = field(default_factory=dict)
    loops: dict[int, dict[int, int]] = field(default_factory=dict)
    result: str = ""
    from_logits: bool = False

    @cached_property
    def state(self) -> dict[int, int]:
        """The nodes that are read back in time, and by how many steps at most."""
        found: dict[int, int] = {}
        for named, steps in self.graph.history.items():
            index = self.graph.resolve(named)
            found[index] = max(steps, found.get(index, 0))
        return dict(sorted(found.items()))

    def write(self, linear: bool) -> None:
        order = ordered(self.graph, self.sections)
        by_state = linear_loops.take_out(self, order) if linear else {}
        groups, one_call = products.groups(self, order), {index for nodes in by_state.values() for index in nodes}
        for index in order:
            node = self.graph.nodes[index]
            if index in one_call:
                if index in by_state:
                    linear_loops.write(self, by_state[index], index)
            elif node.kind == "input":
                self.values[index] = "x"
            elif node.kind == "layer":
                if index in groups:
                    products.write(self, groups[index])
            elif node.kind == "activation":
                self.values[index] = self.activate(f"v{index}", node, self.value(node.source), self.sections[index])
            elif node.kind == "merge":
                self._merge(node)
            else:
                self._vectors(node)

    # Names -----------------------------------------------------------------------------------------------------------

    def value(self, index: int) -> str:
        """The variable of a node's value in this step."""
        return self.values[self.graph.resolve(index)]

    def at(self, named: int, steps: int, section: int) -> str:
        """The variable of the value that a node had so many steps ago, as a section reads it."""
        if steps == 0:
            return self.value(named)
        index = self.graph.resolve(named)
        if self.sections[index] == section and section % 2:
            carried = self.loops.setdefault(section, {})
            carried[index] = max(steps, carried.get(index, 0))
            return register(index, steps, self.state[index])
        target, whole = f"d{index}_{steps}", self.history(index)
        if all(statement.target != target for statement in self.statements):
            self.add(target, f"{whole}[{self.state[index] - steps}:-{steps}]", [whole], self.after(index))
        return target

    def history(self, index: int) -> str:
        """The variable of all that a node's value was: the state, and then the window."""
        target = f"h{index}"
        if all(statement.target != target for statement in self.statements):
            state = f"s{index}[None]" if self.state[index] == 1 else f"s{index}"
            self.add(target, f"history({state}, {self.values[index]})", [self.values[index]], self.after(index))
        return target

    def after(self, index: int) -> int:
        """The section where a node's values of a whole window are known."""
        return self.sections[index] + self.sections[index] % 2

    def add(self, target: str, text: str, reads: Iterable[str], section: int) -> None:
        self.statements.append(Statement(target, text, tuple(reads), section))

    def parameter(self, names: Iterable[str], *rows: Rows) -> str:
        """The variable of parameters side by side, of some of their rows."""
        return self.columns(Columns(name, rows or ((None, None),)) for name in names)

    def columns(self, columns: Iterable[Columns]) -> str:
        """The variable of some columns side by side."""
        listed = tuple(columns)
        learns = self._learns[listed[0].name]
        count = sum(packed.learns == learns for packed in self.packed)
        self.packed.append(Packed(f"{'w' if learns else 'f'}{count}", listed, learns))
        return self.packed[-1].variable

    @cached_property
    def _learns(self) -> dict[str, bool]:
        return {array.name: array.learns for array in self.graph.arrays}

    # Nodes -----------------------------------------------------------------------------------------------------------

    def activate(self, target: str, node: Any, argument: str, section: int) -> str:
        """The variable of a node's activation."""
        if node.function.name == "linear":
            return argument
        number = "" if node.parameter is None else f", {node.parameter!r}"
        self.add(target, f"{node.function.name}({argument}{number})", [argument], section)
        return target

    def _vectors(self, node: Any) -> None:
        """An elementwise layer."""
        if node.elementwise.name not in VECTORS:
            raise ValueError(f"no program for peers: {node.name!r} is <{node.elementwise.name}>")
        x = "x" if node.source is None else self.value(node.source)
        names = {role: self.parameter([f"{node.name}.{role}"]) for role, _ in node.initializers}
        text = VECTORS[node.elementwise.name].format(x=x, p=node.parameter, **names)
        self.values[node.index] = f"v{node.index}"
        self.add(f"v{node.index}", text, [x], self.sections[node.index])

    def _merge(self, node: Any) -> None:
        section = self.sections[node.index]
        other = self.at(node.other, node.steps, section)
        self.values[node.index] = f"v{node.index}"
        if node.source is None:
            self.add(f"v{node.index}", other, [other], section)
            return
        own = self.value(node.source)
        widths = self.graph.nodes[node.source].width, self.graph.nodes[node.other].width
        self.add(f"v{node.index}", _merged(node.merge, own, other, *widths), [own, other], section)

    def answer(self, output: Any, before: str, after: str, start: int, width: int, section: int) -> None:
        """What the loss reads: the output's value, or what its activation is applied to."""
        self.from_logits = (self.graph.loss.name, output.function.name) in LOGITS
        source = before if self.from_logits or output.elementwise is not None else after
        self.result = self.slice("r", source, start, output.width, width, section)

    def slice(self, target: str, name: str, start: int, width: int, whole: int, section: int) -> str:
        """Some columns of a variable; where they are all, the variable itself."""
        if width == whole:
            return name
        self.add(target, f"{name}[..., {start}:{start + width}]", [name], section)
        return target

    # Ends ------------------------------------------------------------------------------------------------------------

    @cached_property
    def loss(self) -> str:
        """The loss as a call."""
        output, loss = self.graph.nodes[self.graph.output], self.graph.loss
        name = f"{output.function.name}_{loss.name.removeprefix('binary_')}" if self.from_logits else loss.name
        number = "" if self.graph.loss_parameter is None else f", {self.graph.loss_parameter!r}"
        return f"{name}({self.result}, {self._expected(output)}{number})"

    def _expected(self, output: Any) -> str:
        """What is expected, in standard units where the output restores them."""
        if output.elementwise is None:
            return "e"
        mean, scale = (self.parameter([f"{output.name}.{role}"]) for role in ("mean", "scale"))
        return f"(e - {mean}) / {scale}"

    @cached_property
    def following(self) -> list[str]:
        """The state after the window."""
        found = []
        for index, steps in self.state.items():
            carried = self.loops.get(self.sections[index], {})
            if steps == 1:
                found.append(f"c{index}" if index in carried else f"{self.values[index]}[-1]")
            else:
                found.append(f"{self.history(index)}[-{steps}:]")
        return found

    @cached_property
    def ends(self) -> list[str]:
        """The variables that the loss and the state after the window are computed from."""
        return [self.result, *(following.partition("[")[0] for following in self.following)]

    def registers(self, section: int) -> list[Register]:
        """What a loop hands on from step to step."""
        return [
            self._register(index, back)
            for index, most in sorted(self.loops.get(section, {}).items())
            for back in range(1, most + 1)
        ]

    def _register(self, index: int, back: int) -> Register:
        whole = self.state[index]
        start = f"s{index}" if whole == 1 else f"s{index}[-{back}]"
        following = self.values[index] if back == 1 else register(index, back - 1, whole)
        return Register(register(index, back, whole), start, following, f"c{index}" if back == 1 else "_")


def register(index: int, steps: int, most: int) -> str:
    """The variable in a loop of the value that a node had so many steps ago."""
    return f"s{index}" if most == 1 else f"s{index}_{steps}"


def _merged(merge: Any, own: str, other: str, width: int, other_width: int) -> str:
    operation = MERGES[merge.name]
    if merge.result != "x" or merge.other_width != "any" or width == other_width:
        return operation.format(own, other)
    if other_width > width:
        return operation.format(own, f"{other}[..., :{width}]")
    shared = operation.format(f"{own}[..., :{other_width}]", other)
    return f"concatenate({shared}, {own}[..., {other_width}:])"
