"""Emits ``train``: windows one after the other, with a step of the optimizer after each, and the reasons to stop."""

from __future__ import annotations

from contextlib import nullcontext

from ..optimizers import UPDATES
from ..schedule import ByBatch, InChunks
from .frame import Frame
from .loss import emit_sum_of_weights
from .update import counts_updates, dropout_places, emit_verdict
from .waiting import TRAINED


def emit_train(frame: Frame) -> None:
    """Emits ``train``, which runs windows one after the other."""
    arguments = f"begin, until, mailbox, numbers, {TRAINED}" if frame.threads > 1 else TRAINED
    doc = "Windows from ``sample`` to ``stop``: mode 0 measures, 1 makes gradients, 2 learns. Where it stopped."
    writer = frame.writer
    with frame.function("train", arguments, doc, "count"):
        frame.emit_parties()
        if frame.private:
            writer.line(f"space = len(work) // {frame.threads}")
        if frame.plan.transposed_once:
            writer.line(f"transpose_once({frame.joint('weights, transposed')})")
        writer.line(f"transpose({frame.joint('weights, transposed')})")
        frame.emit_barrier()
        if frame.plan.drops:
            key, updates = dropout_places(frame)
            writer.line(f"key, updates = float(constants[{key}]), float(constants[{updates}])")
        with writer.block("while sample < stop:"):
            _emit_window(frame)
        writer.line("return sample")


def _emit_window(frame: Frame) -> None:
    """Emits one window: the calls of its functions, and the early returns."""
    writer, division = frame.writer, frame.division
    _emit_numbers(frame)
    with nullcontext() if frame.shares_rows else frame.each_member():
        if isinstance(division, InChunks):
            _emit_rows(frame, division.rows)
        elif frame.by_batch:
            _emit_apart(frame)
        else:
            _emit_whole(frame)
    _emit_losses(frame)
    with writer.block("if mode > 0:"):
        if not isinstance(division, InChunks | ByBatch):
            writer.line(f"weight_gradients({frame.divided('steps, capacity, work, gradients, x, x0, False')})")
        _emit_step(frame)
    if frame.by_columns and frame.plan.state:
        with writer.block("if begin == 0:"):
            writer.line("time_shift(0, steps, capacity, work)")
    else:
        with frame.each_member():
            work = _emit_own(frame)
            writer.line(f"time_shift({frame.by_member(f'steps, capacity, {work}')})")
    frame.emit_barrier()
    if frame.threads > 1 and counts_updates(frame):
        with writer.block("if begin == 0 and mode == 2 and weight > 0.0:"):
            writer.line("count(constants)")
    if frame.plan.drops:  # each thread has its own count, because another thread may still be in the window before
        with writer.block("if mode == 2 and weight > 0.0:"):
            writer.line("updates += 1.0")
    writer.line("sample += steps")


def _emit_numbers(frame: Frame) -> None:
    """Emits the numbers of a window: its steps and rows, where its data begin, and the sum of its weights."""
    writer, batch = frame.writer, frame.options.batch
    width, wide = frame.plan.strides["x"], frame.plan.strides["y"]
    writer.lines(
        "left = samples - sample",
        "steps = capacity if capacity < left else left",
        f"rows = steps * {batch}",
        f"x0, expected0, weight0 = sample * {batch * width}, sample * {batch * wide}, sample * row_step",
        "weight = float(rows)",
    )
    if frame.options.dtype == "float64":
        writer.line("unit = 1.0")
    with writer.block("if row_step > 0:"):
        emit_sum_of_weights(frame)
    writer.line("scale_all = 1.0 / weight if weight > 0.0 else 0.0")
    if frame.plan.drops:
        writer.line("noise = window_noise(key, updates) if mode == 2 else -1")


def _emit_losses(frame: Frame) -> None:
    """Emits the losses that are reported, and the early return for a loss that is not finite."""
    writer = frame.writer
    frame.emit_barrier()
    who = "begin, " if frame.threads > 1 else ""
    given = frame.measured("row_weights, weight0, row_losses, losses, sample")
    writer.line(f"finite = sample_losses({who}{given})")
    with writer.block("if not finite:"):
        _emit_return(frame)


def _emit_whole(frame: Frame) -> None:
    """Emits the passes of a window that runs layer by layer.

    The weight gradients come later, once all members are done.
    """
    measured = f"expected0, row_weights, weight0, {frame.scales}, row_losses, 0"
    _emit_pass(frame, "steps, capacity, work", "x, x0", measured)


def _emit_rows(frame: Frame, chunk: int) -> None:
    """Emits the passes over a member's rows of a window, ``chunk`` rows at a time."""
    writer, size = frame.writer, frame.layout.size
    width, wide = frame.plan.strides["x"], frame.plan.strides["y"]
    writer.line(frame.range_of("rows"))
    work = _emit_own(frame)
    if frame.private:
        with writer.block("if first == last:"):
            writer.line(f"clear(gradients, member * {size}, {size})")
    with writer.block(f"for row in span(first, last, {chunk}):"):
        writer.line(f"some = {chunk} if {chunk} < last - row else last - row")
        measured = f"expected0 + row * {wide}, row_weights, weight0 + row, {frame.scales}, row_losses, row"
        given = f"some, {chunk}, {work}", f"x, x0 + row * {width}", measured
        _emit_pass(frame, *given, keep="row > first", first_row="row")


def _emit_apart(frame: Frame) -> None:
    """Emits the passes over a member's lanes, which it takes through the window by itself."""
    writer = frame.writer
    work, (a, b) = _emit_own(frame), frame.space.terms["end"]
    writer.line(frame.range_of(str(frame.options.batch)))
    writer.line(f"inputs = (last - first) * ({a} * capacity + {b})")
    writer.line(f"take({frame.by_member(f'steps, {work}, inputs, x, x0')})")
    measured = f"expected0, row_weights, weight0, {frame.scales}, row_losses, first * capacity"
    _emit_pass(frame, f"steps, capacity, {work}", f"{work}, inputs", measured, keep="False")


def _emit_pass(
    frame: Frame, space: str, inputs: str, measured: str, keep: str | None = None, first_row: str = "0"
) -> None:
    """Emits the calls for forward, loss and backward and, if ``keep`` is given, for the weight gradients.

    keep: the expression that says whether the weight gradients are added to earlier ones. space, inputs, measured:
    arguments as source.
    """
    writer = frame.writer
    noise = f", noise, {first_row}" if frame.plan.drops else ""
    writer.line(f"forward({frame.meeting(f'{space}, weights, {inputs}{noise}')})")
    writer.line(f"measure({frame.meeting(f'{space}, {frame.read_measure}expected, {measured}')})")
    with writer.block("if mode > 0:"):
        writer.line(f"backward({frame.meeting(f'{space}, {frame.read_backward}, {inputs}')})")
        if keep is not None:
            writer.line(f"weight_gradients({frame.divided(f'{space}, gradients, {inputs}, {keep}')})")


def _emit_step(frame: Frame) -> None:
    """Emits the check of the gradients and the step of the optimizer.

    Some steps need the squares of the gradients: for clipping, or because the optimizer remembers them. Then the sum of
    squares must be finite too. An infinite square in a slot would stay infinite, and the parameter would never move
    again.
    """
    writer = frame.writer
    emit_verdict(frame)
    with writer.block("if not finite:"):
        _emit_return(frame)
    squared = "" if UPDATES[frame.options.optimizer].slots else "clip > 0.0 and "
    with writer.block("if mode == 2 and weight > 0.0:"):
        with writer.block(f"if {squared}not square - square == 0.0:"):
            _emit_return(frame)
        writer.line("shrink = clip / square**0.5 if clip > 0.0 and square > clip * clip else 1.0")
        writer.line(f"update({frame.joint('weights, gradients, memory, constants, rate, shrink')})")
        with writer.block("if sample + steps < stop:"):  # else the next call makes them
            writer.line(f"transpose({frame.joint('weights, transposed')})")


def _emit_own(frame: Frame) -> str:
    """The name of the workspace that a member works in. For a workspace of its own, it emits the line that names it."""
    if not frame.private:
        return "work"
    frame.writer.line("own = part(work, member * space)")
    return "own"


def _emit_return(frame: Frame) -> None:
    """Emits an early return of ``train``, after a barrier.

    The barrier is needed because other threads may still read what the next call overwrites.
    """
    frame.emit_barrier()
    frame.writer.line("return sample")
