"""Writes a complete plan as text for people to read."""

from __future__ import annotations

from collections.abc import Iterator

from ..graph.recurrence import WINDOW
from ..graph.words import values_of
from .accesses import loads_of, writes_of
from .kernel_options import InChunks
from .kernel_plan import KernelPlan
from .layout import Workspace
from .plan import Block, Buffer, Group, Map, Operation, Plan, Reduce, Segment, Share, notes_of


def describe(plan: KernelPlan) -> str:
    """A plan as text: its division, the places of weights and buffers, and every operation in order."""
    return "\n".join((*_head(plan), "", *_weights(plan), "", *_training(plan), "", *_prediction(plan))) + "\n"


def _head(plan: KernelPlan) -> Iterator[str]:
    options, layout = plan.options, plan.layout
    yield f"Batch of {options.batch}, {options.dtype}, vectors of {options.lanes}, {options.registers} vector registers"
    yield f"Optimizer: {options.optimizer}"
    yield f"A training window is done by {options.division}"
    yield f"One thread needs about {plan.seconds_of_step * 1e6:,.2f} µs to train a step"
    yield f"Weights and biases: {layout.size:,} numbers; transposes: {layout.transposed_size:,}"
    if plan.gradient_copies > 1:
        yield f"Workspaces and arrays of gradients: {plan.gradient_copies}"
    if plan.options.threads > 1:
        for thread, ranges in enumerate(plan.ownership.ranges):
            yield f"Thread {thread} updates " + ", ".join(f"{first:,} to {last:,}" for first, last in ranges)


def _weights(plan: KernelPlan) -> Iterator[str]:
    yield "Weights"
    for group in plan.training.groups:
        yield f"  group {group.index}: {_members(plan.training, group)}"
        panel = plan.layout.panel(group)
        for number, part in enumerate(group.parts):
            name = plan.graph.nodes[part.node].name + values_of(part.shift, part.taps, part.dilation)
            transposed = plan.layout.transposed.get((group.index, number))
            also = "" if transposed is None else f"; transposed at {transposed:,}"
            also += ", once a call" if (group.index, number) in plan.training.transposed_once else ""
            where = f"{plan.layout.part(group, number):,}"
            yield f"    {part.rows:,} x {group.columns:,} at {where} for {name}, panels of {panel} vectors{also}"
        yield f"    bias at {plan.layout.bias(group):,}"
    for vector in plan.training.vectors:
        fixed = "" if vector.learns else ", never learns"
        where = f"{vector.width:,} at {plan.layout.vector(vector.name):,}"
        yield f"  vector {vector.name}: {where}, the {vector.role} of {plan.graph.nodes[vector.node].name}{fixed}"


def _members(plan: Plan, group: Group) -> str:
    return ", ".join(f"{plan.graph.nodes[member.node].name} at column {member.column}" for member in group.members)


def _training(plan: KernelPlan) -> Iterator[str]:
    yield "Training (v1' is what v1 holds of the step before, v1'3 of 3 steps before)"
    chunks = isinstance(plan.options.division, InChunks)
    yield "  buffers, for S steps of L lanes" + (": in chunks, a step is a row, and L is 1" if chunks else "")
    yield from _buffers(plan.training, plan.training_space)
    yield from _segments("forward", plan.training.forward)
    yield from _segments("backward", plan.training.backward)


def _prediction(plan: KernelPlan) -> Iterator[str]:
    yield "Prediction, for any batch, by one thread"
    yield "  buffers, for S steps of L lanes"
    yield from _buffers(plan.prediction, plan.prediction_space)
    yield from _segments("forward", plan.prediction.forward)


def _buffers(plan: Plan, space: Workspace) -> Iterator[str]:
    for buffer in plan.buffers:
        yield f"    {buffer.name}: {_rows(buffer)} of {buffer.stride}, {_place(buffer, space)}"
    a, b = space.terms["end"]
    yield f"    {_sum(a, b)} numbers in all"


def _rows(buffer: Buffer) -> str:
    return {"window": "S x L rows", "slots": f"({buffer.depth:,} + S) x L rows", "step": "L rows"}[buffer.rows]


def _place(buffer: Buffer, space: Workspace) -> str:
    where = f"at {_sum(*space.terms[buffer.name])}"
    return where if buffer.block == buffer.name else f"{where}, in the place of {buffer.block}"


def _sum(a: int, b: int) -> str:
    """a × S × L + b × L as text."""
    terms = [f"{a:,} x S x L"] * (a != 0) + [f"{b:,} x L"] * (b != 0)
    return " + ".join(terms) or "0"


def _segments(name: str, segments: tuple[Segment, ...]) -> Iterator[str]:
    for segment in segments:
        where = "the whole window at once" if segment.domain == WINDOW else f"time loop {segment.domain}"
        yield f"  {name}, {where}"
        shares = segment.shares or (None,) * len(segment.operations)
        for operation, share in zip(segment.operations, shares, strict=True):
            yield from _operation(operation, share)


def _operation(operation: Operation, share: Share | None) -> Iterator[str]:
    """The lines for an operation: its kind, what it reads and writes, and how it is divided."""
    if share is not None and share.meet:
        yield "    the threads meet"
    reads = dict.fromkeys(access.place.buffer + _shifted(access.shift) for access in loads_of(operation))
    writes = dict.fromkeys(_writes(operation))
    kind = type(operation).__name__.lower()
    flow = f"{', '.join(reads)} -> {', '.join(writes)}" if writes else ", ".join(reads)
    cut = "" if share is None or share.cuts is None else f", cut at {', '.join(map(str, share.cuts))}"
    yield f"    {kind} ({flow}){cut}: {'; '.join(notes_of(operation))}"


def _writes(operation: Operation) -> Iterator[str]:
    """The buffers that an operation writes, each with the number of steps back if it writes rows of earlier steps."""
    for part in operation.maps if isinstance(operation, Block) else (operation,):
        shift = getattr(part, "shift", 0)
        yield from (
            place.buffer + _shifted(shift)
            for place in writes_of(part)
            if not isinstance(part, Map | Reduce) or part.store
        )


def _shifted(shift: int) -> str:
    """A mark for values of earlier steps, with the number of steps if they are two or more; else empty."""
    return "" if shift == 0 else "'" if shift == -1 else f"'{-shift}"
