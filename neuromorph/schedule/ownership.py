"""Divides the parameters among the threads that train a model: each thread owns some of them.

The gradients of weights and biases are cut into pieces, panels of weights and vectors of biases, in their order in
memory. Each thread owns consecutive pieces, or, if layers are divided by columns, the pieces of its columns. A thread
checks, updates and transposes what it owns. If threads share a workspace, it also makes the gradients of its own
pieces, without a barrier before. If each thread has gradients of its own for all parameters, it sums the gradients of
its own pieces.
"""

from __future__ import annotations

from ..host.cached import cached_property
from ..host.frozen import frozen
from .column_split import panel_cuts, vector_cuts
from .kernel_options import ByColumns, Division
from .layout import Layout
from .plan import Bias, Columns, Plan, Product, padded, vectors_in


@frozen
class Task:
    """A gradient that can be cut into ``pieces`` pieces of equal cost; ``size`` is the number of its elements.

    The last piece may be smaller.
    """

    group: int
    part: int | None
    place: int
    pieces: int
    cost: int
    piece_size: int
    size: int

    def reach(self, cut: int) -> int:
        """The number of elements in the first ``cut`` pieces."""
        return min(cut * self.piece_size, self.size)


@frozen
class Ownership:
    """Divides the parameters of a plan among the threads of a division."""

    plan: Plan
    layout: Layout
    division: Division

    @property
    def threads(self) -> int:
        """The number of threads."""
        return self.division.threads

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """The gradients of all parameters that learn, in the order of their places."""
        operations = self.plan.backward[-1].operations
        found = [self.task_of(one) for one in operations if isinstance(one, Product | Bias | Columns)]
        return tuple(sorted(found, key=lambda task: task.place))

    def task_of(self, operation: Product | Bias | Columns) -> Task:
        """The gradient that an operation makes."""
        layout, lanes = self.layout, self.plan.lanes
        if isinstance(operation, Columns):
            width = padded(operation.source.width, lanes)
            return Task(-1, None, layout.vector(operation.vector), width // lanes, 1, lanes, width)
        group = self.plan.groups[operation.group]
        vectors = group.columns // lanes
        if isinstance(operation, Bias):
            return Task(group.index, None, layout.bias(group), vectors, 1, lanes, group.columns)
        part = group.parts[operation.part]
        panel, depth = layout.panel(group), part.width
        place, size = layout.part(group, operation.part), group.columns * depth
        if (group.index, operation.part) in self.plan.inner:
            return Task(group.index, operation.part, place, depth, vectors, group.columns, size)
        if part.taps > 1:
            return Task(group.index, operation.part, place, part.taps, vectors * depth, size, part.taps * size)
        pieces = -(-vectors // panel)
        return Task(group.index, operation.part, place, pieces, panel * depth, panel * lanes * depth, size)

    @cached_property
    def cuts(self) -> tuple[tuple[int, ...], ...]:
        """The bounds by thread of the pieces of each task.

        A task that is divided by columns is cut like its columns. All others together are divided into equal parts.
        """
        by_columns = [self._column_cuts(task) if isinstance(self.division, ByColumns) else None for task in self.tasks]
        rest = [(task.pieces, task.cost) for task, cuts in zip(self.tasks, by_columns, strict=True) if cuts is None]
        runs = iter(shares(rest, self.threads))
        return tuple(next(runs) if cuts is None else cuts for cuts in by_columns)

    def _column_cuts(self, task: Task) -> tuple[int, ...] | None:
        """The bounds of a task that follow from the division of its layers' columns, or of the vector that they read;
        None if neither is divided."""
        if (task.group, task.part) in self.plan.inner:
            return self.summed_cuts(task.pieces)
        vectors = self.plan.groups[task.group].columns // self.plan.lanes
        cut = vector_cuts if task.part is None else panel_cuts
        return cut(vectors, self.layout.registers, self.threads)

    def summed_cuts(self, width: int) -> tuple[int, ...]:
        """The bounds by thread, in elements, of a vector of ``width`` elements that products sum over."""
        lanes = self.plan.lanes
        cuts = vector_cuts(vectors_in(width, lanes), self.layout.registers, self.threads)
        assert cuts is not None
        return tuple(min(cut * lanes, width) for cut in cuts)

    @cached_property
    def cuts_by_place(self) -> dict[int, tuple[int, ...]]:
        """The bounds by thread of the pieces of each gradient, by the gradient's place."""
        return dict(zip((task.place for task in self.tasks), self.cuts, strict=True))

    @cached_property
    def ranges(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """The ranges of each thread in the flat arrays of parameters, joined to as few as possible."""
        if self.threads == 1:
            return (((0, self.layout.learning_size),),)
        pairs = list(zip(self.tasks, self.cuts, strict=True))
        return tuple(
            _joined([(t.place + t.reach(cuts[n]), t.place + t.reach(cuts[n + 1])) for t, cuts in pairs])
            for n in range(self.threads)
        )

    @cached_property
    def transposed(self) -> tuple[tuple[int, ...], ...]:
        """The bounds by thread, for each transpose, of the column vectors or blocks of rows that it is made from."""
        plan = self.plan
        if self.threads == 1:
            return tuple((0, self._transposed_pieces(*which)) for which in plan.transposed)
        owned = {(task.group, task.part): cuts for task, cuts in zip(self.tasks, self.cuts, strict=True)}
        return tuple(
            self._transposed_cuts(*which, owned[which]) if which in owned else self._by_one(*which)
            for which in plan.transposed
        )

    def _by_one(self, index: int, part: int) -> tuple[int, ...]:
        """The bounds of a transpose of frozen weights, which no thread owns: the first thread makes all of it."""
        depth = self.plan.groups[index].parts[part].width
        inner = (index, part) in self.plan.inner
        pieces = -(-depth // self.plan.lanes) if inner else self._transposed_pieces(index, part)
        return (0, *[pieces] * self.threads)

    def _transposed_pieces(self, index: int, part: int) -> int:
        """The number of pieces of a part's transpose: vectors of columns, or taps."""
        group = self.plan.groups[index]
        taps = group.parts[part].taps
        return taps if taps > 1 else group.columns // self.plan.lanes

    def _transposed_cuts(self, index: int, part: int, owned: tuple[int, ...]) -> tuple[int, ...]:
        """The bounds of the transpose of a part. owned: the bounds of the part's pieces."""
        group, lanes = self.plan.groups[index], self.plan.lanes
        if (index, part) in self.plan.inner:
            return tuple(-(-cut // lanes) for cut in owned)
        if group.parts[part].taps > 1:
            return owned
        panel, vectors = self.layout.panel(group), group.columns // lanes
        return tuple(min(cut * panel, vectors) for cut in owned)


def shares(tasks: list[tuple[int, int]], threads: int) -> list[tuple[int, ...]]:
    """Divide tasks (number of pieces, cost of a piece) among threads: for each task the bounds of pieces by thread."""
    whole = sum(pieces * cost for pieces, cost in tasks)
    out, start = [], 0
    for pieces, cost in tasks:
        cuts = [round((whole * n / threads - start) / cost) for n in range(threads + 1)]
        out.append(tuple(min(max(cut, 0), pieces) for cut in cuts))
        start += pieces * cost
    return out


def _joined(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The ranges in order, without empty ones and with neighbours joined; one empty range if there are none."""
    out: list[tuple[int, int]] = []
    for begin, end in ranges:
        if out and begin == out[-1][1]:
            out[-1] = (out[-1][0], end)
        elif begin < end:
            out.append((begin, end))
    return tuple(out) or ((0, 0),)
