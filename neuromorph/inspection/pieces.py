"""Lists the pieces of a kernel: the parts whose time and work are reported separately.

The source map says which lines of generated source belong to each operation of the plan. Each operation is a piece.
Each function whose work is no operation is one piece too: the mean loss, the time shift, the transposes, the check of
the gradients, the update.
"""

from __future__ import annotations

import math
from collections import Counter as Count
from collections.abc import Iterator
from dataclasses import replace

from ..codegen import ZEROS, Emitted, Kernel, Span
from ..graph import Graph
from ..graph.words import values_of
from ..host.cached import cached_property
from ..host.frozen import frozen
from ..schedule import WINDOW, Bias, Block, Columns, Loss, Mask, Operation, Product, Reduce, Rows, Sum, notes_of
from ..schedule.accesses import reads_of
from .work import Counter, Work

STAGES = {
    "take": "forward", "forward": "forward", "measure": "loss", "sample_losses": "loss", "backward": "backward",
    "weight_gradients": "weight gradient", "gradient_norm": "update", "update": "update", "transpose": "update",
    "time_shift": "time shift",
}  # fmt: skip
BY_OPERATION = (
    "forward",
    "measure",
    "backward",
    "weight_gradients",
)  # functions that are made of the plan's operations
WHOLE = {  # functions that are one piece each
    "take": "inputs of a thread's lanes",
    "sample_losses": "mean loss of the samples",
    "gradient_norm": "gradients checked, and their norm",
    "update": "one step of the optimizer",
    "transpose": "transposed weights for the next backward pass",
    "time_shift": "last step becomes the one before the first",
}


@frozen
class Piece:
    """A part of the kernel that is timed on its own.

    function: the generated function it stands in. stage: of training ("forward", "loss", "backward", "weight gradient",
    "update", "time shift"). kind: "product", "sum", "block", "reduce", "mask", "rows", "loss", "bias", "columns",
    "zeros", or "function". lines: first and last in the source, comments included. domain: the number of the time loop
    it runs in, or -1. shares: the nodes that the work is for, each with its share; shares add up to 1. work: in a
    window.
    """

    function: str
    stage: str
    kind: str
    note: str
    lines: tuple[int, int]
    domain: int
    shares: tuple[tuple[int, float], ...]
    work: Work


def pieces_of(kernel: Kernel, steps: int) -> tuple[Piece, ...]:
    """All pieces of a training kernel, in the order of the source. steps: the samples of a window."""
    return tuple(_told_apart(list(_Finder(kernel, Counter(kernel, steps)).all())))


def _told_apart(pieces: list[Piece]) -> Iterator[Piece]:
    """The pieces; those that still have the note of another one get a number."""
    alike, seen = Count(piece.note for piece in pieces), Count[str]()
    for piece in pieces:
        seen[piece.note] += 1
        many = alike[piece.note]
        yield piece if many == 1 else replace(piece, note=f"{piece.note} ({seen[piece.note]} of {many})")


@frozen
class _Finder:
    kernel: Kernel
    counter: Counter

    @property
    def graph(self) -> Graph:
        return self.kernel.plan.training.graph

    def all(self) -> Iterator[Piece]:
        inside: list[tuple[Emitted, Span]] = []
        for span in self.kernel.spans:
            if isinstance(span.what, Emitted):
                inside.append((span.what, span))
                continue
            name = str(span.what)
            if name == ZEROS:
                yield self.zeros(span)
            elif name in self.kernel.bundles["train"] and name in BY_OPERATION:
                yield from (self.operation(name, *each) for each in inside)
            elif name in self.kernel.bundles["train"] and name in WHOLE:
                yield self.whole(name, span)
            inside.clear()

    def operation(self, function: str, emitted: Emitted, span: Span) -> Piece:
        """The piece of an operation."""
        operation, domain = emitted
        return Piece(
            function, STAGES[function], type(operation).__name__.lower(), self.note(operation), (span.first, span.last),
            domain, self.shares(operation), self.counter.of(operation, domain),
        )  # fmt: skip

    def zeros(self, span: Span) -> Piece:
        """The piece that sets gradients to zero before the backward pass, which adds to them from several steps."""
        works = self.counter.of_zeros()
        return Piece(
            "backward", "backward", "zeros", "gradients that other steps add to begin at zero", (span.first, span.last),
            WINDOW, _normal([(node, work.bytes) for node, work in works]), sum((work for _, work in works), Work()),
        )  # fmt: skip

    def whole(self, name: str, span: Span) -> Piece:
        """The piece of a function that is one piece."""
        return Piece(
            name, STAGES[name], "function", WHOLE[name], (span.first, span.last), WINDOW,
            self.shares_of_function(name), self.counter.of_function(name),
        )  # fmt: skip

    def note(self, operation: Operation) -> str:
        """A line of text that says what a piece does."""
        if isinstance(operation, Product):
            ends = () if operation.epilogue is None else operation.epilogue.notes
            where = self.where(operation) if self.alike[operation.note] > 1 else ""
            return "; ".join((operation.note + where, *[", ".join(note.brief for note in ends)] * bool(ends)))
        if not isinstance(operation, Block):
            return notes_of(operation)[0]
        return "; ".join(dict.fromkeys(statement.note.brief for statement in operation.maps))

    @cached_property
    def alike(self) -> Count[str]:
        """How many products of training have each note."""
        plan = self.kernel.plan.training
        operations = (operation for segment in (*plan.forward, *plan.backward) for operation in segment.operations)
        return Count(operation.note for operation in operations if isinstance(operation, Product))

    def where(self, product: Product) -> str:
        """What tells a product from others with the same note: the other side of its weights."""
        group, names = self.kernel.plan.training.groups[product.group], [node.name for node in self.graph.nodes]
        part = group.parts[product.part]
        if product.kind == "backward":
            return f" from {', '.join(names[member.node] for member in group.members)}"
        return f" from {names[part.node]}{values_of(part.shift, part.taps, part.dilation)}"

    # The nodes that the work is for

    def shares(self, operation: Operation) -> tuple[tuple[int, float], ...]:
        """The share of each node in an operation.

        Products and biases are divided by the widths of the group's members, a block by the FLOPs of its statements
        and the numbers that they read and write.
        """
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
        if isinstance(operation, Rows | Reduce):
            return ((operation.note.node, 1.0),)
        if isinstance(operation, Mask):
            return ((operation.node, 1.0),)
        if isinstance(operation, Columns):
            return ((self.owner_of(operation), 1.0),)
        assert isinstance(operation, Block)
        works = self.counter.shares_of_block(operation)
        return _normal(
            (m.note.node, work.flops + work.bytes / self.kernel.options.size)
            for m, work in zip(operation.maps, works, strict=True)
        )

    def owner_of(self, columns: Columns) -> int:
        """The node whose parameters have this sum of columns as their gradient."""
        return next(vector.node for vector in self.kernel.plan.training.vectors if vector.name == columns.vector)

    def ended_by(self, product: Product) -> list[tuple[int, float]]:
        """The node whose derivative the epilogue of a product computes, and that node's share of the product's
        FLOPs."""
        if product.kind == "forward" or product.epilogue is None:
            return []
        epilogue, whole = self.counter.of_epilogue(product).flops, self.counter.of(product, WINDOW).flops
        return [(product.epilogue.notes[0].node, epilogue / whole)]

    def shares_of_function(self, name: str) -> tuple[tuple[int, float], ...]:
        """The share of each node in a function that is one piece.

        ``take`` is divided among the layers that read the input, ``transpose`` by the transposed weights,
        ``time_shift`` by the numbers of the state, updates by the parameters that learn.
        """
        plan, graph = self.kernel.plan.training, self.graph
        if name == "take":
            found = (operation for segment in plan.forward for operation in segment.operations)
            readers = [each for each in found if any(access.place.buffer == "x" for access in reads_of(each))]
            return _normal([share for each in readers for share in self.shares(each)])
        if name == "sample_losses":
            return ((graph.output, 1.0),)
        if name == "time_shift":
            kept = ((index, plan.buffers_by_name[buffer].depth) for index, buffer in plan.state)
            return _normal((index, float(depth * graph.nodes[index].width)) for index, depth in kept)
        if name == "transpose":
            changing = ((plan.groups[index], part) for index, part in plan.changing_transposes)
            made = ((group, group.parts[part].rows) for group, part in changing)
            return _normal((m.node, float(rows * m.width)) for group, rows in made for m in group.members)
        return _normal((array.node, float(math.prod(array.shape))) for array in graph.arrays if array.learns)


def _normal(parts: Iterator[tuple[int, float]] | list[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """The sum of the parts of each node, scaled so that all add up to 1, in order of first mention."""
    sums: dict[int, float] = {}
    for node, part in parts:
        sums[node] = sums.get(node, 0.0) + part
    whole = sum(sums.values())
    return tuple((node, part / whole if whole else 1.0 / len(sums)) for node, part in sums.items())
