"""Emits the work on weights after a window: the check of gradients, one step of the optimizer, and the transposes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from ..abi.mailbox import SUMS
from ..functions.dropout import FIRST, LAST_SHIFT, MIXING, SECOND, WORD
from ..functions.expressions import Expression
from ..optimizers import UPDATES, Update
from ..schedule import padded
from .frame import Frame


def emit_transpose(frame: Frame) -> None:
    """Emits the functions that make the transposes for the backward pass.

    The transposes of frozen weights have a function of their own, which is called once a call, since they never change.
    """
    once = frame.plan.transposed_once
    if once:
        _emit_transposes(frame, "transpose_once", "The transposes of frozen weights.", once)
    changing = frame.plan.changing_transposes
    _emit_transposes(frame, "transpose", "The transposed weights for the next backward pass.", changing)


def _emit_transposes(frame: Frame, name: str, doc: str, chosen: Collection[tuple[int, int]]) -> None:
    """Emits a function that makes some of the transposes."""
    plan = frame.plan
    with frame.function(name, frame.joint("weights, transposed"), doc):
        for number, (which, bounds) in enumerate(zip(plan.transposed, frame.ownership.transposed, strict=True)):
            if which in chosen:
                _emit_one_transpose(frame, number, which, frame.bounds(bounds))
        frame.writer.line("return")


def _emit_one_transpose(frame: Frame, number: int, which: tuple[int, int], bounds: str) -> None:
    """Emits the transpose of one part of a group, tap by tap if it has several taps."""
    writer, layout, (index, part) = frame.writer, frame.layout, which
    group, place = frame.plan.groups[index], layout.transposed[which]
    start = layout.part(group, part)
    taps, width = group.parts[part].taps, group.parts[part].width
    if taps == 1:
        writer.line(f"transpose{number}(weights, {start}, transposed, {place}, {bounds})")
        return
    with writer.block(f"for tap in span({bounds}):"):
        matrices = f"weights, {start} + tap * {width * group.columns}"
        matrices += f", transposed, {place} + tap * {padded(width, frame.lanes) * group.columns}"
        writer.line(f"transpose{number}({matrices}, 0, {group.columns // frame.lanes})")


@contextmanager
def _each_range(frame: Frame, *, joint: bool) -> Iterator[tuple[str, str]]:
    """A loop over the ranges of a member's parameters; no loop if there is one range. Yields a range's bounds.

    joint: the ranges are those of all members that the calling thread runs. If it runs all members, that is one range.
    """
    writer, ranges, size = frame.writer, frame.ownership.ranges, frame.layout.learning_size
    if frame.threads == 1:
        yield "0", str(size)
        return
    if joint:
        ranges = (*ranges, ((0, size),))
    whose = f"begin if until == begin + 1 else {frame.threads}" if joint else "member"
    most = max(map(len, ranges))
    if most == 1:
        writer.line(f"start, end = {tuple(mine[0] for mine in ranges)}[{whose}]")
        yield "start", "end"
        return
    padded = tuple(mine + ((0, 0),) * (most - len(mine)) for mine in ranges)
    with writer.block(f"for start, end in {padded}[{whose}]:"):
        yield "start", "end"


LARGE = {"float32": "1.0e38", "float64": "1.0e307"}  # finite numbers, with room for rounding


def emit_gradient_norm(frame: Frame) -> None:
    """Emits ``gradient_norm``: one pass over the gradients before anything is changed.

    It adds up the gradients of several threads in a fixed order. If the sum of squares is finite, so are all gradients.
    If rate times that sum is not too large, rate times each gradient is finite too. Only where these tests fail does
    the function look at the gradients one by one.
    """
    writer = frame.writer
    arguments = "gradients, rate" if frame.threads == 1 else "member, numbers, gradients, rate"
    doc = "(whether all gradients are finite, at this rate too; the sum of their squares)"
    if frame.threads > 1:
        doc = "Sums over our gradients: how many are not finite, at this rate too; their squares."
    with frame.function("gradient_norm", arguments, doc, "flag number" if frame.threads == 1 else ""):
        shape = {"copies": frame.threads if frame.private else 1, "size": frame.layout.size}
        squares = frame.source.routine("squares", "squares_of(simd.GradientShape({kind}, {fields}))", shape)
        non_finite = frame.source.routine("non_finite", "non_finite_of(simd.GradientShape({kind}, {fields}))", shape)
        _emit_sum(frame, "square", f"{squares}(gradients, {{}}, {{}})")
        writer.line("non_finite = 0.0")
        most = LARGE[frame.options.dtype]
        with writer.block(f"if not (square < {most} and rate < {most} and rate * square < {most}):"):
            _emit_sum(frame, "non_finite", f"float({non_finite}(gradients, {{}}, {{}}, rate))")
        if frame.threads == 1:
            writer.line("return non_finite == 0.0, square")
            return
        writer.lines(f"numbers[2 * member + {SUMS}] = non_finite", f"numbers[2 * member + {SUMS + 1}] = square")


def _emit_sum(frame: Frame, name: str, part: str) -> None:
    """Emits the sum of an expression over the ranges of a member's parameters.

    part: the expression, with two fields for the first and last index of a range.
    """
    if frame.threads == 1 or max(map(len, frame.ownership.ranges)) == 1:
        with _each_range(frame, joint=False) as (start, end):
            frame.writer.line(f"{name} = {part.format(start, end)}")
        return
    frame.writer.line(f"{name} = 0.0")
    with _each_range(frame, joint=False) as (start, end):
        frame.writer.line(f"{name} += {part.format(start, end)}")


def emit_verdict(frame: Frame) -> None:
    """Emits the lines that compute whether all gradients are finite, and the sum of their squares.

    With several threads there is a barrier before the sums are read, so that all threads see the same sums.
    """
    writer = frame.writer
    if frame.threads == 1:
        writer.line("finite, square = gradient_norm(gradients, rate)")
        return
    with frame.each_member():
        writer.line("gradient_norm(member, numbers, gradients, rate)")
    frame.emit_barrier()
    checks, squares = (" + ".join(f"numbers[{2 * n + SUMS + k}]" for n in range(frame.threads)) for k in (0, 1))
    writer.lines(f"finite = {checks} == 0.0", f"square = {squares}")


def emit_update(frame: Frame) -> None:
    """Emits ``update``, one step of the optimizer for all parameters, and ``count`` if there are several threads."""
    writer, optimizer, size = frame.writer, UPDATES[frame.options.optimizer], frame.layout.size
    arguments = frame.joint("weights, gradients, memory, constants, rate, shrink")
    with frame.function("update", arguments, "One step of the optimizer."):
        _emit_numbers(frame, optimizer)
        with (
            _each_range(frame, joint=True) as (start, end),
            writer.block(f"for i in span({start}, {end}, {frame.lanes}):"),
        ):
            writer.lines("p = load(weights, i)", "g = load(gradients, i) * shrink")
            for number, slot in enumerate(optimizer.slots):
                writer.line(f"{slot} = load(memory, i + {number * size})")
            for target, text in optimizer.statements:
                writer.line(f"{target} = {Expression(text).joined}")
            for number, slot in enumerate(optimizer.slots):
                writer.line(f"store(memory, i + {number * size}, {slot})")
            writer.line("store(weights, i, p)")
        if counts_updates(frame) and frame.threads == 1:
            _emit_counts(frame, optimizer)
    if counts_updates(frame) and frame.threads > 1:
        with frame.function("count", "constants", "What the optimizer counts, once all members have made their step."):
            _emit_constants(frame, optimizer)
            _emit_counts(frame, optimizer)


def _emit_numbers(frame: Frame, optimizer: Update) -> None:
    """Emits the lines that read the optimizer's constants and compute the numbers of this update."""
    _emit_constants(frame, optimizer)
    for name, text in optimizer.scalars:
        frame.writer.line(f"{name} = {text}")


def _emit_constants(frame: Frame, optimizer: Update) -> None:
    """Emits the lines that read the optimizer's constants, and its counts with this update added."""
    writer = frame.writer
    for number, name in enumerate((*optimizer.constants, *(name for name, _ in optimizer.counts))):
        writer.line(f"{name} = float(constants[{number}])")
    for name, text in optimizer.counts:
        writer.line(f"{name} = {text}")


def _emit_counts(frame: Frame, optimizer: Update) -> None:
    """Emits the lines that store the counts after the constants."""
    for number, (name, _) in enumerate(optimizer.counts, len(optimizer.constants)):
        frame.writer.line(f"constants[{number}] = {name}")
    if frame.plan.drops:
        _, updates = dropout_places(frame)
        frame.writer.line(f"constants[{updates}] = float(constants[{updates}]) + 1.0")


def dropout_places(frame: Frame) -> tuple[int, int]:
    """The indices, in ``constants``, of the key of the dropouts and of the number of updates.

    They come after the optimizer's constants and counts.
    """
    optimizer = UPDATES[frame.options.optimizer]
    first = len(optimizer.constants) + len(optimizer.counts)
    return first, first + 1


def counts_updates(frame: Frame) -> bool:
    """Whether each update changes a count."""
    return bool(UPDATES[frame.options.optimizer].counts) or frame.plan.drops


def emit_noise(frame: Frame) -> None:
    """Emits the functions that compute the masks of dropouts, as in ``neuromorph.functions.dropout``.

    No product in them overflows a signed 64-bit integer, because compilers assume that none does.
    """
    writer, word = frame.writer, f"{WORD:#x}"
    with frame.function("mixed", "word", "A number of 32 bits that depends on all bits of another.", "count"):
        for shift, factor in MIXING:
            writer.line(f"word = ((word ^ (word >> {shift})) * {factor:#x}) & {word}")
        writer.line(f"return word ^ (word >> {LAST_SHIFT})")
    with frame.function("window_noise", "key, updates", "What the masks of one update depend on.", "count"):
        for name, salt in (("low", FIRST), ("high", SECOND)):
            chain = f"mixed((int(key) & {word}) ^ {salt:#x}) ^ (int(key) >> 32)"
            writer.line(f"{name} = mixed(mixed({chain}) ^ (int(updates) & {word}))")
        writer.line("return low | (high >> 1) << 32")
    with frame.function(
        "row_noise", "noise, node, row", "What the mask of one row depends on: two numbers.", "count count"
    ):
        writer.lines(
            f"first = mixed(mixed((noise & {word}) ^ node) ^ (row & {word}))",
            f"return first, mixed(mixed((noise >> 32) ^ node ^ {SECOND:#x}) ^ (row & {word}))",
        )
