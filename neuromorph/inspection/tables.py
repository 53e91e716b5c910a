"""Writes an inspection as tables for a terminal, and a function's assembly between its source lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from textwrap import wrap

from .assembly import Line, Routine
from .records import Findings, NodeReport, PieceReport

NOTES = (
    "Times are those of a window. Pieces are timed in a second kernel, compiled from the same source with a clock "
    "between them that waits for each to end; the clock's own time is taken off. "
    "share: of the sum of all pieces, of the code between them and of waiting.",
    "A piece that several nodes share is measured as one and divided among them: products by width, other work by "
    "FLOPs and numbers read and written. divided: the part of a node's time that comes from such pieces.",
    "FLOPs are counted from the plan: a multiply-add counts two, exp and the like what they are made of, padding "
    "nothing. of peak: FLOPs a second by those of fused multiply-adds in registers, measured in the same call.",
    "bytes: what operations read and write, each operand once an execution, in whole vectors, from cache or memory.",
    "packed: packed instructions among those of floating-point arithmetic, counted in the assembly, however often they "
    "run. vector: the most frequent width of packed instructions, in bits.",
    "The assembly is LLVM's text of the kernel, made after its machine code, where a few moves and address "
    "computations may stand otherwise.",
    "library calls: functions of other libraries, one number at a time. There should be none; those "
    "that fill or copy memory are not counted.",
)


_SECONDS = (("s", 1.0), ("ms", 1e3), ("µs", 1e6), ("ns", 1e9))
_THOUSANDS = (("G", 1e9), ("M", 1e6), ("k", 1e3))


def tables(inspection: Findings) -> str:
    """The tables of an inspection as one text: head, plan, pieces, nodes and notes."""
    parts = [
        "\n".join(head(inspection)),
        _titled("plan: time loops", _loops(inspection)),
        _titled("plan: sibling layers, each group one matrix product", _groups(inspection)),
        _titled("plan: buffers", _buffers(inspection)),
        _titled("pieces of the kernel, in its order", _pieces(inspection)),
        _titled("nodes", _nodes(inspection)),
        "\n".join(line for note in NOTES for line in wrap(note, 116, subsequent_indent="  ")),
    ]
    return "\n\n".join(part for part in parts if part)


# Numbers as text


def time_text(seconds: float) -> str:
    """A time in three digits, in the largest unit in which it is at least 1."""
    unit, scale = next((pair for pair in _SECONDS if seconds * pair[1] >= 0.9995), _SECONDS[-1])
    return f"{_three_digits(seconds * scale)} {unit}"


def count_text(value: float) -> str:
    """A number of operations or bytes in three digits with an SI prefix."""
    prefix, scale = next((pair for pair in _THOUSANDS if value >= pair[1] * 0.9995), ("", 1.0))
    return f"{_three_digits(value / scale)} {prefix}".strip() if prefix else f"{value:.0f}"


def _three_digits(value: float) -> str:
    return f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"


def percent(value: float | None) -> str:
    """A share in percent, or a dash for None."""
    if value is None:
        return "–"
    return f"{value:.0%}" if value >= 0.0995 or value == 0 else f"{value:.1%}"


def calls_text(calls: Sequence[str]) -> str:
    """Names of functions, or "none"."""
    return ", ".join(calls) or "none"


def threads_text(inspection: Findings) -> str:
    """A text that says how many threads train and were timed."""
    many = inspection.threads
    return f"{many} thread{'s' * (many != 1)}" + " (training takes one where that is quicker)" * inspection.contested


def head(inspection: Findings) -> list[str]:
    """Lines with the name of what was inspected and its main figures."""
    i = inspection
    window = f"window of {i.bptt_steps} sample{'s' * (i.bptt_steps != 1)}"
    name = f" of {i.file}" if i.file else ""
    where = threads_text(i) + (f" in chunks of {i.chunk} rows" if i.chunk else "")
    return [
        f"kernel{name}: batch {i.batch_size}, {window}, {i.dtype}, optimizer {i.optimizer}, {where}, "
        f"{i.parameters:,} parameters",
        f"machine: {i.cpu}, vectors of {i.machine_bits} bits; the kernel uses {i.vector_bits} ({i.lanes} elements)",
        f"a window: {time_text(i.seconds)} ({time_text(i.seconds / i.bptt_steps)} a sample), "
        f"{count_text(i.flops)}FLOP, {count_text(i.bytes)}B moved, {i.gflops:.3g} GFLOP/s, "
        f"{percent(i.peak_share)} of the peak of {i.peak_gflops:.3g} GFLOP/s",
        f"timed in {len(i.pieces)} pieces: together {time_text(i.pieces_seconds)}, {i.sum_by_kernel:.2f} of the "
        f"kernel's own time{_waiting(i)} ({i.laps:.0f} looks at the clock, {time_text(i.lap_seconds)} each, taken off)",
    ]


def _waiting(inspection: Findings) -> str:
    if inspection.threads == 1:
        return ""
    return f", of which {time_text(inspection.waiting_seconds)} waiting for other threads"


# Tables


def _titled(title: str, lines: Iterable[str]) -> str:
    body = list(lines)
    return "\n".join([title, *body]) if body else ""


def _aligned(rows: Sequence[Sequence[str]], right: str) -> Iterator[str]:
    """Rows of a table in aligned columns; the first row is the head. right: for each column "r" or "l"."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        cells = [f"{x:>{w}}" if side == "r" else f"{x:<{w}}" for x, w, side in zip(row, widths, right, strict=True)]
        yield ("  " + "  ".join(cells)).rstrip()
        if not number:
            yield "  " + "-" * (sum(widths) + 2 * len(widths) - 2)


def _loops(inspection: Findings) -> Iterator[str]:
    if not inspection.loops:
        yield "  none: every operation runs over the whole window at once"
        return
    rows = [("loop", "operations forward", "backward", "nodes")]
    rows += [(str(x.number), str(x.forward), str(x.backward), ", ".join(x.nodes)) for x in inspection.loops]
    yield from _aligned(rows, "rrrl")


def _groups(inspection: Findings) -> Iterator[str]:
    rows = [("group", "fan-in", "columns", "bytes", "loop", "layers", "reads")]
    rows += [
        (
            str(x.number), f"{x.fan_in:,}", f"{x.columns:,}", count_text(x.bytes) + "B", loop_text(x.loop),
            ", ".join(x.nodes), ", ".join(x.reads),
        )
        for x in inspection.groups
    ]  # fmt: skip
    return _aligned(rows, "rrrrlll")


def loop_text(loop: int | None) -> str:
    """The text that names a time loop."""
    return "window" if loop is None else f"loop {loop}"


def _buffers(inspection: Findings) -> Iterator[str]:
    rows = [("buffer", "rows", "bytes a row", "bytes", "holds")]
    buffers = inspection.buffers
    rows += [(x.name, number_text(x.rows), number_text(x.row_bytes), f"{x.bytes:,}", x.holds) for x in buffers]
    rows.append(("all", "", "", f"{sum(x.bytes for x in inspection.buffers):,}", ""))
    return _aligned(rows, "lrrrl")


def number_text(number: int) -> str:
    """A number with commas; nothing for 0."""
    return f"{number:,}" if number else ""


COLUMNS: tuple[tuple[str, Callable[[PieceReport | NodeReport], str]], ...] = (
    ("time", lambda x: time_text(x.seconds)),
    ("share", lambda x: percent(x.share)),
    ("FLOPs", lambda x: count_text(x.flops)),
    ("bytes", lambda x: count_text(x.bytes)),
    ("of peak", lambda x: percent(x.peak_share)),
    ("vector", lambda x: str(x.vector_bits or "–")),
    ("packed", lambda x: percent(x.packed_share)),
    ("library calls", lambda x: calls_text(x.library_calls)),
)


def _pieces(inspection: Findings) -> Iterator[str]:
    rows = [("stage", "loop", "lines", *(name for name, _ in COLUMNS), "what")]
    for x in inspection.pieces:
        lines = f"{x.lines[0]}-{x.lines[1]}"
        rows.append((x.stage, loop_text(x.loop), lines, *(text(x) for _, text in COLUMNS), _shortened(x.note)))
    for what, seconds, share in between_pieces(inspection):
        rows.append(("", "", "", time_text(seconds), percent(share), *[""] * (len(COLUMNS) - 2), what))
    return _aligned(rows, "lll" + "r" * (len(COLUMNS) - 1) + "ll")


def between_pieces(inspection: Findings) -> Iterator[tuple[str, float, float]]:
    """The time outside the pieces: for each part a description, its seconds and its share of the sum."""
    whole = inspection.pieces_seconds
    beside = [("code between the pieces", inspection.rest_seconds)]
    if inspection.threads > 1:
        beside.append(("waiting for other threads", inspection.waiting_seconds))
    for what, seconds in beside:
        yield what, seconds, seconds / whole if whole else 0.0


def _shortened(text: str, most: int = 72) -> str:
    """A text without its middle if it is long: parts that do the like differ at their ends."""
    half = most // 2
    return text if len(text) <= most else f"{text[: half - 1]}…{text[-half:]}"


def _nodes(inspection: Findings) -> Iterator[str]:
    rows = [("node", "kind", "width", *(name for name, _ in COLUMNS), "divided")]
    for x in inspection.nodes:
        figures = (text(x) for _, text in COLUMNS)
        rows.append((x.name, f"{x.kind} {x.what}".strip(), f"{x.width:,}", *figures, percent(x.divided)))
    return _aligned(rows, "llr" + "r" * (len(COLUMNS) - 1) + "lr")


# Assembly


def listing(inspection: Findings, function: str) -> str:
    """The assembly of a function, with source lines between the instructions."""
    if function not in inspection.routines:
        raise ValueError(f"function must be one of {', '.join(inspection.routines)}, not {function!r}")
    source = inspection.source.splitlines()
    out: list[str] = []
    for routine in inspection.routines[function]:
        out += [f"{routine.symbol}:", *_interleaved(routine, source), ""]
    return "\n".join(out)


def _interleaved(routine: Routine, source: Sequence[str]) -> Iterator[str]:
    last: int | None = None
    for line in routine.lines:
        if _begins(line, last) and line.source is not None:
            yield f"; {line.source}: {source[line.source - 1].strip()}"
            last = line.source
        yield line.text.expandtabs(8)


def _begins(line: Line, last: int | None) -> bool:
    """Whether an instruction comes from another source line than the instruction before it."""
    return not line.is_label and line.source is not None and line.source != last
