"""Emits ``step`` and ``predict``, which run the forward pass from the state in a workspace."""

from __future__ import annotations

from .frame import Frame


def emit_step(frame: Frame) -> None:
    """Emits ``step``, which runs one step from the state in the workspace.

    The input is copied behind the buffers of the workspace, so that input and result may share memory.
    """
    writer, lanes = frame.writer, frame.lanes
    width, wide = frame.plan.strides["x"], frame.plan.strides["y"]
    doc = "One step: 0 for done; nothing changes where it is 1 (sizes do not fit) or 2 (a number is not finite)."
    with frame.function("step", "batch, work, weights, x, y", doc, "count"):
        writer.line(f"count, x0 = batch * {width}, batch * {frame.space.size(1, 1)}")
        with writer.block(f"if len(x) != count or len(y) != batch * {wide}:"):
            writer.line("return 1")
        writer.line("check = splat(0.0)")
        with writer.block(f"for i in span(0, count - {lanes - 1}, {lanes}):"):
            writer.lines("x_ = load(x, i)", "check = check + 0.0 * x_", "store(work, x0 + i, x_)")
        writer.line(f"whole = count - count % {lanes}")
        with writer.block("if whole < count:"):
            writer.lines(
                "x_ = load_head(x, whole, count - whole)", "check = check + 0.0 * x_", "store(work, x0 + whole, x_)"
            )
        with writer.block("if not total(check) == 0.0:"):
            writer.line("return 2")
        writer.lines(
            "forward_only(batch, 1, 1, work, weights, work, x0, y, 0)",
            "time_shift_only(batch, 1, 1, work)",
            "return 0",
        )


def emit_predict(frame: Frame) -> None:
    """Emits ``predict``, which runs all samples in pieces of ``capacity`` steps, one piece after the other."""
    writer = frame.writer
    width, wide = frame.plan.strides["x"], frame.plan.strides["y"]
    arguments = "batch, samples, capacity, work, weights, x, y"
    with frame.function("predict", arguments, "The output of every sample, state flowing on from chunk to chunk."):
        writer.line("sample = 0")
        with writer.block("while sample < samples:"):
            writer.lines(
                "left = samples - sample",
                "steps = capacity if capacity < left else left",
                f"x0, y0 = sample * batch * {width}, sample * batch * {wide}",
                "forward_only(batch, steps, capacity, work, weights, x, x0, y, y0)",
                "time_shift_only(batch, steps, capacity, work)",
                "sample += steps",
            )
