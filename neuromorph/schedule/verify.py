"""Checks a complete plan before source is generated from it.

A plan that is not sound is a bug of the schedule. The checks do not look at how a pass works, only at what a back end
relies on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from ..errors import NeuromorphError
from .accesses import WHOLE_ROW, loads_of, reads_of, writes_of
from .division import can_divide_columns
from .kernel_options import Alone, ByBatch, ByColumns, InChunks
from .kernel_plan import KernelPlan
from .layout import Layout, Workspace
from .lifetimes import in_place, lifetimes
from .plan import EXTERNAL, Block, Buffer, Map, Operation, Place, Plan, Segment, is_vector, notes_of, padded


class PlanError(NeuromorphError, AssertionError):
    """A plan is not sound: no back end may run it."""


def verify(plan: KernelPlan) -> None:
    """Raise PlanError if a plan is not sound."""
    _check_division(plan)
    for one, space in ((plan.training, plan.training_space), (plan.prediction, plan.prediction_space)):
        _check_places(one)
        _check_order(one)
        _check_blocks(one)
        _check_workspace(one, space)
    _check_layout(plan.layout)
    _check_owners(plan)
    for segment in (*plan.training.forward, *plan.training.backward):
        _check_shares(segment, plan)


def _need(sound: bool, trouble: str) -> None:
    if not sound:
        raise PlanError(f"the plan is not sound: {trouble}; this is a bug in neuromorph, please report it")


def _check_division(plan: KernelPlan) -> None:
    """Check that the division suits the model."""
    division, threads = plan.options.division, plan.options.threads
    least = 1 if isinstance(division, Alone | InChunks) else 2
    _need(threads >= least, f"{division} needs at least {least}")
    if isinstance(division, InChunks):
        _need(division.rows >= 1, f"{division} needs at least 1 row")
    timed = plan.graph.has_time_links
    fits = isinstance(division, Alone | ByColumns) or isinstance(division, ByBatch) == timed
    _need(fits, f"{division} for a model with{'' if timed else 'out'} links in time")
    by_columns = isinstance(division, ByColumns)
    _need(
        not by_columns or can_divide_columns(plan.graph),
        f"{division} for a model that reads whole rows, or a convolution",
    )
    _need(by_columns or not plan.training.inner, f"{division}, and weights that are divided by rows")


def _operations(plan: Plan) -> list[Operation]:
    """All operations of a plan in order."""
    return [operation for segment in (*plan.forward, *plan.backward) for operation in segment.operations]


def _places(operation: Operation) -> list[Place]:
    """The places in memory that an operation reads or writes."""
    return [*writes_of(operation), *(access.place for access in loads_of(operation))]


def _name(operation: Operation) -> str:
    """A text that names an operation, for messages."""
    return notes_of(operation)[0]


def _check_places(plan: Plan) -> None:
    """Check that every place is inside a row of an existing buffer."""
    names, names_of_vectors = [buffer.name for buffer in plan.buffers], {vector.name for vector in plan.vectors}
    _need(len(set(names)) == len(names), "two buffers have one name")
    for operation in _operations(plan):
        for place in _places(operation):
            if is_vector(place.buffer):
                _need(place.buffer in names_of_vectors, f"there is no vector {place.buffer}")
                continue
            _need(place.buffer in EXTERNAL or place.buffer in plan.buffers_by_name, f"there is no {place.buffer}")
            stride, end = plan.strides[place.buffer], place.column + place.width
            inside = place.column >= 0 and (place.width == WHOLE_ROW or end <= stride)
            _need(inside, f"{_name(operation)} touches columns up to {end} of {place.buffer}, which has {stride}")
    for buffer in plan.buffers:
        _need(buffer.stride == plan.strides[buffer.name], f"{buffer.name} has two strides")
        _need(buffer.stride % plan.lanes == 0, f"rows of {buffer.name} are no whole vectors")


def _check_order(plan: Plan) -> None:
    """Check that everything is written before it is read, except the caller's arrays, parameters, and values that one
    step leaves for the next."""
    written = (
        EXTERNAL
        | {vector.name for vector in plan.vectors}
        | set(plan.carries)
        | set(plan.cleared)
        | {buffer for _, buffer in plan.state}
    )
    for operation in _operations(plan):
        statements = operation.maps if isinstance(operation, Block) else (operation,)
        for statement in statements:
            for access in reads_of(statement):
                name = access.place.buffer
                _need(name in written, f"{_name(operation)} reads {name}, which nothing has written")
            if isinstance(statement, Map) and statement.keep is not None:
                names = [name for name, _ in statement.operands]
                _need(statement.rest in names, f"{_name(operation)} keeps {statement.rest!r}, which is no operand")
            written |= {place.buffer for place in _stored(statement)}
    _need(plan.output.buffer in written, "nothing writes the output")


def _stored(statement: Operation) -> list[Place]:
    """The places of a statement's results, in memory or in registers."""
    target = getattr(statement, "target", None)
    return [*writes_of(statement), *([target] if isinstance(target, Place) else [])]


def _check_blocks(plan: Plan) -> None:
    """Check that the buffers of a block have rows of one kind, and that no two are needed at the same time."""
    operations = _operations(plan)
    lives = lifetimes(operations)
    kept = set(plan.carries) | set(plan.cleared) | {buffer for _, buffer in plan.state}
    by_block: dict[str, list[Buffer]] = {}
    for buffer in plan.buffers:
        by_block.setdefault(buffer.block, []).append(buffer)
    for block, inside in by_block.items():
        _need(any(buffer.name == block for buffer in inside), f"{inside[0].name} is in block {block}, which is none")
        kinds = {(buffer.rows, buffer.stride) for buffer in inside}
        _need(len(kinds) == 1, f"buffers of block {block} have rows of different kinds")
        if len(inside) == 1:
            continue
        alone = kept & {buffer.name for buffer in inside}
        _need(not alone, f"{', '.join(sorted(alone))} must stand alone, and shares block {block}")
        unused = sorted(buffer.name for buffer in inside if buffer.name not in lives)
        _need(not unused, f"nothing uses {', '.join(unused)}, in block {block}")
        for one, other in pairwise(sorted(inside, key=lambda buffer: lives[buffer.name].first)):
            last, first = lives[one.name].last, lives[other.name].first
            apart = last < first or (last == first and in_place(operations[last], one.name, other.name, plan.lanes))
            _need(apart, f"{one.name} and {other.name} are needed at one time, and share block {block}")


def _check_workspace(plan: Plan, space: Workspace) -> None:
    """Check that blocks do not overlap and are inside the workspace, for every window length."""
    blocks = [buffer for buffer in plan.buffers if buffer.block == buffer.name]
    for capacity, lanes in ((1, 1), (1, 3), (5, 1), (5, 3)):
        ranges = []
        for buffer in blocks:
            a, b = space.terms[buffer.name]
            start, stride = (a * capacity + b) * lanes, buffer.stride * lanes
            before = buffer.depth * stride if buffer.rows == "slots" else 0
            ranges.append((start - before, start + (stride if buffer.rows == "step" else stride * capacity)))
        _check_apart(ranges, space.size(capacity, lanes), "the workspace")


def _check_layout(layout: Layout) -> None:
    """Check that every weight, bias and transpose has a place of its own."""
    plan, ranges, transposed = layout.plan, [], []
    for group in plan.groups:
        rows = 0
        for number, part in enumerate(group.parts):
            _need(part.first_row == rows, f"part {number} of group {group.index} begins at the wrong row")
            rows += part.rows
            ranges.append((layout.part(group, number), layout.part(group, number) + part.rows * group.columns))
        ranges.append((layout.bias(group), layout.bias(group) + group.columns))
        columns = [(m.column, m.column + padded(m.width, plan.lanes)) for m in group.members]
        _check_apart(columns, group.columns, f"group {group.index}")
    starts = {vector: layout.vector(vector.name) for vector in plan.vectors}
    ranges += [(start, start + padded(vector.width, plan.lanes)) for vector, start in starts.items()]
    _check_apart(ranges, layout.size, "the weights")
    for (index, number), start in layout.transposed.items():
        transposed.append((start, start + layout.transposed_elements(index, number)))
    _check_apart(transposed, layout.transposed_size, "the transposes")
    for which in plan.transposed_once:
        _need(which in layout.transposed, f"no backward pass reads transpose {which}")
        _need(not plan.groups[which[0]].learns, f"group {which[0]} learns, and is transposed only once a call")


def _check_apart(ranges: Iterable[tuple[int, int]], size: int, where: str) -> None:
    """Check that ranges do not overlap and that all end within ``size``."""
    end = 0
    for first, last in sorted(ranges):
        _need(end <= first <= last <= size, f"{first} to {last} of {where} is taken already, or beyond its end {size}")
        end = last


def _check_owners(plan: KernelPlan) -> None:
    """Check that every parameter belongs to exactly one thread."""
    owners = plan.ownership
    _need(len(owners.ranges) == plan.options.threads, "the parameters are divided among too many or too few threads")
    end = 0
    for first, last in sorted(each for mine in owners.ranges for each in mine if each[0] < each[1]):
        _need(first == end, f"parameter {min(first, end)} belongs to no thread, or to two")
        end = last
    _need(end == plan.layout.learning_size, f"parameter {end} belongs to no thread")
    for bounds in owners.transposed:
        _check_bounds(bounds, plan.options.threads, "a transpose")


def _check_shares(segment: Segment, plan: KernelPlan) -> None:
    """Check that each operation has a share for every thread if layers are divided by columns, and else none."""
    by_columns = isinstance(plan.options.division, ByColumns)
    wanted = len(segment.operations) if by_columns else 0
    _need(len(segment.shares) == wanted, f"{len(segment.shares)} shares for {wanted} operations")
    for operation, share in zip(segment.operations, segment.shares, strict=False):
        if share.cuts is not None:
            _check_bounds(share.cuts, plan.options.threads, _name(operation))


def _check_bounds(cuts: Sequence[int], threads: int, what: str) -> None:
    """Check that the bounds by thread begin at 0 and never decrease."""
    up = all(begin <= end for begin, end in pairwise(cuts))
    _need(len(cuts) == threads + 1 and cuts[0] == 0 and up, f"{what} is cut at {tuple(cuts)} for {threads} threads")
