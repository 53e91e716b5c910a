"""Emits the functions that run one window: forward, loss, backward, weight gradients and time shift."""

from __future__ import annotations

from collections.abc import Set
from contextlib import nullcontext
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

from ..schedule import WINDOW, Loss, Operation, Product, Segment, Share, Sum, notes_of
from .frame import Frame
from .loss import emit_loss, emit_means
from .operations import emit_operation, goes_by_member
from .writer import Writer

ZEROS = "zeros"  # names, in the source map, the lines that clear gradients before the backward pass


class Emitted(NamedTuple):
    """An operation in the generated source. domain: the number of its time loop, or WINDOW."""

    operation: Operation
    domain: int


def emit_offsets(frame: Frame, variables: Set[str]) -> None:
    """Emits the lines that define ``variables``: the number of ``rows``, and the offsets of buffers."""
    literal = frame.batch.isdigit()
    if frame.by_batch and not literal:
        frame.writer.lines(frame.range_of(str(frame.all_lanes)), "batch = last - first")
    if "rows" in variables:
        frame.writer.line(f"rows = steps * {frame.batch}" if frame.batch != "1" else "rows = steps")
    for name, (a, b) in frame.space.terms.items():
        if name not in variables:
            continue
        scaled = f"{a * int(frame.batch)} * capacity" if literal else f"{a} * batch * capacity"
        fixed = str(b * int(frame.batch)) if literal else f"{b} * batch"
        frame.writer.line(f"{name} = " + (f"{scaled} + {fixed}" if a and b else scaled if a else fixed if b else "0"))


def emit_segment(frame: Frame, segment: Segment, *, backward: bool) -> None:
    """Emits the operations of a segment, in a loop over steps if the segment needs one."""
    if segment.domain != WINDOW:
        _emit_loop(frame, segment, "span(steps - 1, -1, -1)" if backward else "span(0, steps)")
    elif frame.by_columns:
        _emit_columns(frame, segment)
    else:
        frame.emit_bounds()
        for operation in segment.operations:
            _emit_any(frame, operation)


def _emit_loop(frame: Frame, segment: Segment, steps: str) -> None:
    """Emits the operations of a segment inside a loop over steps."""
    inside = frame.in_loop(segment.domain)
    if frame.by_columns:
        _emit_columns(inside, segment)
    else:
        for operation in segment.operations:
            _emit_any(inside, operation)
    with frame.writer.block(f"for t in {steps}:"):
        for name in sorted(inside.uses.of_step):
            frame.writer.line(f"{name}t = {frame.start(name)} + t * {frame.step(name)}")
        frame.writer.append(inside.writer)


def _emit_columns(frame: Frame, segment: Segment) -> None:
    """Emits a segment's operations, each divided by columns or by rows, with barriers between runs of them."""
    runs: list[list[tuple[Operation, Share]]] = [[]]
    for operation, share in zip(segment.operations, segment.shares, strict=True):
        if share.meet:
            runs.append([])
        runs[-1].append((operation, share))
    for number, run in enumerate(runs):
        if number:
            frame.emit_barrier()
        _emit_run(frame, run)


def _emit_run(frame: Frame, run: list[tuple[Operation, Share]]) -> None:
    """Emits the operations between two barriers, each over the columns or rows of the calling thread's members; some
    are for the first thread alone."""
    if any(share.cuts is None for _, share in run):
        frame.emit_bounds()
    for alone, some in groupby(run, key=lambda pair: pair[1].alone):
        with frame.writer.block("if begin == 0:") if alone else nullcontext():
            for operation, share in some:
                _emit_any(replace(frame, cuts=share.cuts), operation)


def _emit_any(frame: Frame, operation: Operation) -> None:
    """Emits an operation, with comments above it that say what it does. The writer records its lines."""
    with frame.writer.span(Emitted(operation, frame.domain)):
        _emit_notes(frame.writer, operation)
        if isinstance(operation, Loss):
            emit_loss(frame, operation)
        else:
            emit_operation(frame, operation)


def _emit_notes(writer: Writer, operation: Operation) -> None:
    """Emits comments: what an operation does, and what a product's epilogue does."""
    for note in notes_of(operation):
        writer.comment(note)
    product = operation.product if isinstance(operation, Sum) else operation
    if isinstance(product, Product) and product.epilogue is not None:
        writer.comment(", ".join(note.text for note in product.epilogue.notes))


def emit_segments(frame: Frame, segments: tuple[Segment, ...], *, backward: bool) -> None:
    """Emits the offsets that segments use, and the segments."""
    if frame.by_columns:
        frame.emit_parties()
    inside = frame.body()
    if backward and (frame.plan.carries or frame.plan.cleared):
        with inside.writer.span(ZEROS), inside.writer.block("if begin == 0:") if frame.by_columns else nullcontext():
            _emit_zeros(inside)
        if frame.by_columns and not segments[0].shares[0].meet:
            inside.emit_barrier()
    for segment in segments:
        emit_segment(inside, segment, backward=backward)
    emit_offsets(frame, inside.uses.variables)
    frame.writer.append(inside.writer)


def _emit_zeros(frame: Frame) -> None:
    """Emits the lines that clear gradients before the backward pass.

    They clear the gradients that the next window would carry back, and those that later steps add to.
    """
    for name in frame.plan.carries:
        frame.writer.line(f"clear(work, {frame.start(name)}, {frame.step(name)})")
    for name in frame.plan.cleared:
        depth, step = frame.buffers[name].depth, frame.step(name)
        frame.writer.line(f"clear(work, {frame.start(name)} - {frame.steps(name, depth)}, (steps + {depth}) * {step})")


def emit_take(frame: Frame) -> None:
    """Emits ``take``, which copies the inputs of a thread's lanes out of the inputs of all lanes."""
    writer, width, lanes = frame.writer, frame.stride("x"), frame.lanes
    with frame.function("take", frame.by_member("steps, work, inputs, x, x0"), "Our lanes' inputs of a window."):
        writer.line(frame.range_of(str(frame.all_lanes)))
        writer.line(f"count = (last - first) * {width}")
        with writer.block("for t in span(0, steps):"):
            writer.line(f"here, there = inputs + t * count, x0 + (t * {frame.all_lanes} + first) * {width}")
            with writer.block(f"for i in span(0, count - {lanes - 1}, {lanes}):"):
                writer.line("store(work, here + i, load(x, there + i))")
            writer.line(f"i = count - count % {lanes}")
            writer.line("store_head(work, here + i, load_head(x, there + i, count - i), count - i)")


def emit_forward(frame: Frame) -> None:
    """Emits ``forward`` or ``forward_only``: all forward segments but the loss."""
    segments = tuple(s for s in frame.plan.forward if not isinstance(s.operations[0], Loss))
    if frame.predicts:
        arguments, name = "batch, steps, capacity, work, weights, x, x0, y, y0", "forward_only"
    else:
        arguments, name = frame.meeting(f"steps, capacity, work, weights, x, x0{frame.noise}"), "forward"
    with frame.function(name, arguments, "Every node's value, for a window."):
        emit_segments(frame, segments, backward=False)


def emit_measure(frame: Frame) -> None:
    """Emits ``measure``, which runs the segment of the loss."""
    segments = tuple(s for s in frame.plan.forward if isinstance(s.operations[0], Loss))
    given = f"{frame.read_measure}expected, expected0, row_weights, weight0, {frame.scales}, row_losses, row0"
    arguments = f"steps, capacity, work, {given}"
    with frame.function("measure", frame.meeting(arguments), "The loss of every row, and the start of the gradients."):
        emit_segments(frame, segments, backward=False)


def emit_sample_losses(frame: Frame) -> None:
    """Emits ``sample_losses``, which computes the mean loss of each sample."""
    arguments = frame.by_member(frame.measured("row_weights, weight0, row_losses, losses, sample"))
    with frame.function("sample_losses", arguments, "Losses of the samples; whether all are finite.", "flag"):
        emit_means(frame)


def emit_backward(frame: Frame) -> None:
    """Emits ``backward``: all backward segments but the weight gradients."""
    arguments = frame.meeting(f"steps, capacity, work, {frame.read_backward}, x, x0")
    with frame.function("backward", arguments, "Gradients of all values."):
        emit_segments(frame, frame.plan.backward[:-1], backward=True)
        frame.writer.line("return")


def emit_weight_gradients(frame: Frame) -> None:
    """Emits ``weight_gradients``, which computes them as products over all rows of a window."""
    segments = frame.plan.backward[-1:]
    arguments = frame.divided("steps, capacity, work, gradients, x, x0, keep")
    with frame.function("weight_gradients", arguments, "Gradients of weights and biases, added to them if ``keep``."):
        inside = frame.body()
        by_member = [operation for operation in segments[0].operations if goes_by_member(frame, operation)]
        others = [operation for operation in segments[0].operations if not goes_by_member(frame, operation)]
        for operation in others:
            _emit_any(inside, operation)
        with inside.each_member() if by_member else nullcontext():
            for operation in by_member:
                _emit_any(inside, operation)
        emit_offsets(frame, inside.uses.variables)
        if frame.private:
            frame.writer.line(f"own = member * {frame.layout.size}")
        frame.writer.append(inside.writer)


def emit_shift(frame: Frame) -> None:
    """Emits ``time_shift`` or ``time_shift_only``: the last step's values become the state of the next window."""
    writer = frame.writer
    if frame.predicts:
        arguments, name = "batch, steps, capacity, work", "time_shift_only"
    else:
        arguments, name = frame.by_member("steps, capacity, work"), "time_shift"
    with frame.function(name, arguments, "Time shift: the last step becomes the one before the first."):
        inside = frame.body()
        for _, buffer in frame.plan.state:
            start, step, depth = inside.start(buffer), frame.step(buffer), frame.buffers[buffer].depth
            kept = frame.steps(buffer, depth)
            inside.writer.line(f"copy(work, {start} + (steps - {depth}) * {step}, {start} - {kept}, {kept})")
        if frame.plan.state:
            emit_offsets(frame, inside.uses.variables)
        writer.append(inside.writer)
        writer.line("return")
