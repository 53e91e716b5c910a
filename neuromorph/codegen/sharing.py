"""Decides which parameters each thread owns, where several threads train a model.

The gradients of weights and biases are cut into pieces, panels of weights and vectors of biases, in memory order. Every
thread owns a run of pieces or, where layers are divided by columns, those of its columns. It checks, updates and
transposes what it owns. Where threads share one workspace, a thread also computes the gradients of what it owns, and
can begin without waiting. Where each thread has gradients of its own for all parameters, it sums up all threads'
gradients of what it owns.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..schedule import Bias, Product, padded
from .columns import panel_cuts, vector_cuts
from .frame import Frame, once


@dataclass(frozen=True)
class Task:
    """A gradient that can be cut: ``pieces`` of a cost each, ``size`` elements in all, the last piece maybe smaller."""

    group: int
    part: int | None
    place: int
    pieces: int
    cost: int
    piece_size: int
    size: int

    def reach(self, cut: int) -> int:
        """Elements in the first ``cut`` pieces."""
        return min(cut * self.piece_size, self.size)


@once
def tasks_of(frame: Frame) -> list[Task]:
    """The gradients of all parameters, in the order of their places."""
    operations = frame.plan.backward[-1].operations
    found = [_task(frame, operation) for operation in operations if isinstance(operation, Product | Bias)]
    return sorted(found, key=lambda task: task.place)


def _task(frame: Frame, operation: Product | Bias) -> Task:
    layout, lanes = frame.layout, frame.lanes
    group = frame.plan.groups[operation.group]
    vectors = group.columns // lanes
    if isinstance(operation, Bias):
        return Task(group.index, None, layout.bias(group), vectors, 1, lanes, group.columns)
    panel, depth = layout.panel(group), group.parts[operation.part].width
    place = layout.part(group, operation.part)
    if (group.index, operation.part) in frame.plan.inner:
        return Task(group.index, operation.part, place, depth, vectors, group.columns, depth * group.columns)
    pieces = -(-vectors // panel)
    return Task(group.index, operation.part, place, pieces, panel * depth, panel * lanes * depth, group.columns * depth)


@once
def cuts_of(frame: Frame) -> list[tuple[int, ...]]:
    """For each task the pieces' bounds by thread: those of its columns, or its part of a run of all that is not cut."""
    tasks = tasks_of(frame)
    by_columns = [_column_cuts(frame, task) if frame.columns else None for task in tasks]
    rest = [(task.pieces, task.cost) for task, cuts in zip(tasks, by_columns, strict=True) if cuts is None]
    runs = iter(frame.shares(rest))
    return [next(runs) if cuts is None else cuts for cuts in by_columns]


def _column_cuts(frame: Frame, task: Task) -> tuple[int, ...] | None:
    """The bounds of a task that belong to the columns of its layers, or of the vector that they read."""
    if (task.group, task.part) in frame.plan.inner:
        return summed_cuts(frame, task.pieces)
    vectors = frame.plan.groups[task.group].columns // frame.lanes
    cut = vector_cuts if task.part is None else panel_cuts
    return cut(vectors, frame.layout.registers, frame.threads)


def summed_cuts(frame: Frame, width: int) -> tuple[int, ...]:
    """The bounds by thread, in elements, of a vector that products sum over."""
    cuts = vector_cuts(padded(width, frame.lanes) // frame.lanes, frame.layout.registers, frame.threads)
    assert cuts is not None
    return tuple(min(cut * frame.lanes, width) for cut in cuts)


def cut_of(frame: Frame, operation: Product | Bias) -> tuple[int, ...]:
    """The bounds by thread of the pieces of one gradient; all are ours, where gradients are our own."""
    mine = _task(frame, operation)
    if not frame.shares_rows:
        return 0, mine.pieces
    return _owned(frame)[mine.place]


@once
def _owned(frame: Frame) -> dict[int, tuple[int, ...]]:
    """By the place of a gradient, the bounds by thread of its pieces."""
    return dict(zip((task.place for task in tasks_of(frame)), cuts_of(frame), strict=True))


@once
def parameter_ranges(frame: Frame) -> list[list[tuple[int, int]]]:
    """For each thread its ranges in the flat arrays of parameters, as few as can be."""
    threads = frame.threads
    if threads == 1:
        return [[(0, frame.layout.size)]]
    pairs = list(zip(tasks_of(frame), cuts_of(frame), strict=True))
    return [
        _joined([(t.place + t.reach(cuts[n]), t.place + t.reach(cuts[n + 1])) for t, cuts in pairs])
        for n in range(threads)
    ]


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges in order without the empty ones, neighbours as one; one empty range where there are none."""
    out: list[tuple[int, int]] = []
    for begin, end in ranges:
        if out and begin == out[-1][1]:
            out[-1] = (out[-1][0], end)
        elif begin < end:
            out.append((begin, end))
    return out or [(0, 0)]


def turn_bounds(frame: Frame) -> list[tuple[int, ...]]:
    """For each transpose the bounds by thread of the column vectors, or blocks of rows, that it is made from."""
    if frame.threads == 1:
        return [(0, frame.plan.groups[index].columns // frame.lanes) for index, _ in frame.plan.turned]
    owned = {(task.group, task.part): cuts for task, cuts in zip(tasks_of(frame), cuts_of(frame), strict=True)}
    out = []
    for index, part in frame.plan.turned:
        group = frame.plan.groups[index]
        panel, vectors = frame.layout.panel(group), group.columns // frame.lanes
        if (index, part) in frame.plan.inner:
            out.append(tuple(-(-cut // frame.lanes) for cut in owned[index, part]))
        else:
            out.append(tuple(min(cut * panel, vectors) for cut in owned[index, part]))
    return out
