"""Finds the pieces of a kernel: the lines of generated source that belong to each operation of the plan.

Each operation stands in the source as one statement under comments that are its notes: a call of a matrix product, or
a loop over rows. Inside a loop over steps with one lane, the statements of that loop's body stand there instead. Work
beside the plan's operations makes pieces too, one for each function: the mean loss, the time shift, the transposes, the
check of the gradients, the update.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..codegen import Kernel
from ..graph import Graph
from ..host.cached import cached_property
from ..schedule import WINDOW, Bias, Block, Loss, Operation, Product, Rows, Segment, Sum
from ..schedule.accesses import reads_of
from .work import Counter, Work

STAGES = {
    "take": "forward", "forward": "forward", "measure": "loss", "mean": "loss", "backward": "backward",
    "weigh": "weight gradient", "norm": "update", "update": "update", "turn": "update", "time_shift": "time shift",
}  # fmt: skip
BY_OPERATION = ("forward", "measure", "backward", "weigh")  # functions that are made of the plan's operations
WHOLE = {  # functions that are pieces by themselves
    "take": "inputs of a thread's lanes",
    "mean": "mean loss of the samples",
    "norm": "gradients checked, and their norm",
    "update": "one step of the optimizer",
    "turn": "transposed weights for the next backward pass",
    "time_shift": "last step becomes the one before the first",
}
_NAMED = re.compile(r"(?:back through )?([A-Za-z_][\w.-]*)(?:: (?:layer|merge|activation) [0-9]| from the next step$)")


@dataclass(frozen=True)
class Piece:
    """A part of the kernel that is timed on its own.

    function: the generated function it stands in, stage: of training ("forward", "loss", "backward", "weight gradient",
    "update", "time shift"). kind: "product", "sum", "block", "rows", "loss", "bias", or "function". lines: first and
    last in the source, comments included; statement: the line where its last statement begins. domain: the number of
    the time loop it runs in, or -1. shares: the nodes whose work it is, and what part of it is whose; they add up to 1.
    work: per window.
    """

    function: str
    stage: str
    kind: str
    note: str
    lines: tuple[int, int]
    statement: int
    domain: int
    shares: tuple[tuple[int, float], ...]
    work: Work


def pieces_of(kernel: Kernel, steps: int) -> tuple[Piece, ...]:
    """All pieces of a training kernel, function by function in the order of the source; ``steps`` of a window."""
    return tuple(_Finder(kernel, Counter(kernel, steps)).all())


@dataclass(frozen=True)
class _Finder:
    kernel: Kernel
    counter: Counter

    @property
    def graph(self) -> Graph:
        return self.kernel.plan.training.graph

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The nodes' numbers by name."""
        return {node.name: node.index for node in self.graph.nodes}

    def all(self) -> Iterator[Piece]:
        tree, lines = ast.parse(self.kernel.source), self.kernel.source.splitlines()
        defined = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        for name in self.kernel.bundles["train"]:
            if name in BY_OPERATION:
                yield from self.operations(defined[name], lines)
            elif name in WHOLE:
                yield self.whole(defined[name])

    def segments(self, name: str) -> tuple[Segment, ...]:
        """The plan's segments that a function runs."""
        plan = self.kernel.plan.training
        if name == "backward":
            return plan.backward[:-1]
        if name == "weigh":
            return plan.backward[-1:]
        return tuple(s for s in plan.forward if isinstance(s.operations[0], Loss) == (name == "measure"))

    def operations(self, function: ast.FunctionDef, lines: list[str]) -> Iterator[Piece]:
        """The pieces of a function, one for each of the plan's operations."""
        blocks = list(comment_blocks(lines, function))
        wanted = [(op, segment.domain) for segment in self.segments(function.name) for op in segment.operations]
        assert len(blocks) == len(wanted), f"{function.name} has {len(blocks)} pieces for {len(wanted)} operations"
        neighbours = {each[0].lineno: each for each in _runs(function)}
        behind = [*blocks[1:], ((function.end_lineno or function.lineno) + 1, 0)]
        for (operation, domain), (first, last), (after, _) in zip(wanted, blocks, behind[: len(blocks)], strict=True):
            run = neighbours[last + 1]
            statement = run[0] if domain == WINDOW else [each for each in run if each.lineno < after][-1]
            end = statement.end_lineno or statement.lineno
            yield Piece(
                function.name, STAGES[function.name], type(operation).__name__.lower(), self.note(operation),
                (first, end), statement.lineno, domain, self.shares(operation), self.counter.of(operation, domain),
            )  # fmt: skip

    def whole(self, function: ast.FunctionDef) -> Piece:
        """A function that is a piece by itself."""
        name, end = function.name, function.end_lineno or function.lineno
        return Piece(
            name, STAGES[name], "function", WHOLE[name], (function.lineno, end), function.lineno, WINDOW,
            self.shares_of_function(name), self.counter.of_function(name),
        )  # fmt: skip

    def note(self, operation: Operation) -> str:
        """What a piece does, in a line."""
        if isinstance(operation, Product) and operation.epilogue is not None:
            return f"{operation.note}; {_short(operation.epilogue.note)}"
        if not isinstance(operation, Block):
            return operation.note
        notes = dict.fromkeys(_short(statement.note) for statement in operation.maps)
        return "; ".join(notes)

    # Whose work it is

    def shares(self, operation: Operation) -> tuple[tuple[int, float], ...]:
        """Products and biases by width of the members; statements of a block by FLOPs and numbers read and written."""
        graph = self.graph
        if isinstance(operation, Sum):
            return self.shares(operation.product)
        if isinstance(operation, Loss):
            return ((graph.output, 1.0),)
        if isinstance(operation, Product | Bias):
            members = self.kernel.plan.training.groups[operation.group].members
            ended = self.ended_by(operation) if isinstance(operation, Product) else []
            whole = sum(member.width for member in members) / (1.0 - sum(share for _, share in ended))
            return _normal([*((m.node, m.width / whole) for m in members), *ended])
        if isinstance(operation, Rows):
            return ((self.node_of(operation.note), 1.0),)
        assert isinstance(operation, Block)
        works = self.counter.shares_of_block(operation)
        return _normal(
            (self.node_of(m.note), work.flops + work.bytes / self.kernel.options.size)
            for m, work in zip(operation.maps, works, strict=True)
        )

    def ended_by(self, product: Product) -> list[tuple[int, float]]:
        """The node of another group whose derivative a product multiplies with, and its share of the FLOPs."""
        if product.kind == "forward" or product.epilogue is None:
            return []
        epilogue, whole = self.counter.of_epilogue(product).flops, self.counter.of(product, WINDOW).flops
        return [(self.node_of(product.epilogue.note), epilogue / whole)]

    def node_of(self, note: str) -> int:
        """The node that a statement's note names; the result that prediction copies is the output's."""
        found = _NAMED.match(note)
        assert found is not None, f"a note that names no node: {note!r}"
        return self.numbers[found.group(1)]

    def shares_of_function(self, name: str) -> tuple[tuple[int, float], ...]:
        """By who reads the input, by transposed weights, by width of the state, by parameters."""
        plan, graph = self.kernel.plan.training, self.graph
        if name == "take":
            found = (operation for segment in plan.forward for operation in segment.operations)
            readers = [each for each in found if any(access.place.buffer == "x" for access in reads_of(each))]
            return _normal([share for each in readers for share in self.shares(each)])
        if name == "mean":
            return ((graph.output, 1.0),)
        if name == "time_shift":
            return _normal((index, float(graph.nodes[index].width)) for index, _ in plan.state)
        if name == "turn":
            turned = [(plan.groups[group], plan.groups[group].parts[part].width) for group, part in plan.turned]
            return _normal((m.node, float(rows * m.width)) for group, rows in turned for m in group.members)
        members = [(group, member) for group in plan.groups for member in group.members]
        return _normal((member.node, float((group.fan_in + 1) * member.width)) for group, member in members)


def _short(note: str) -> str:
    """A note without kind and width, which other tables have."""
    return re.sub(r": (?:layer|merge|activation) [0-9]+ ?", " ", note).strip()


def _normal(parts: Iterator[tuple[int, float]] | list[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """Parts of one whole by node, in order of first mention."""
    sums: dict[int, float] = {}
    for node, part in parts:
        sums[node] = sums.get(node, 0.0) + part
    whole = sum(sums.values())
    return tuple((node, part / whole if whole else 1.0 / len(sums)) for node, part in sums.items())


def _runs(function: ast.FunctionDef) -> Iterator[list[ast.stmt]]:
    """Every statement of a function with those that stand behind it in its block."""
    for node in ast.walk(function):
        if isinstance(node, ast.stmt):
            for block in (getattr(node, name, []) for name in ("body", "orelse")):
                yield from (block[place:] for place in range(len(block)))


def comment_blocks(lines: list[str], function: ast.FunctionDef) -> Iterator[tuple[int, int]]:
    """First and last line of each run of comment lines inside a function, counted from 1."""
    first = None
    for number in range(function.lineno, (function.end_lineno or function.lineno) + 1):
        if lines[number - 1].lstrip().startswith("#"):
            first = first or number
        elif first is not None:
            yield first, number - 1
            first = None
