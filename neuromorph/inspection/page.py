"""Writes an inspection as one HTML page, which loads no other file and follows the browser's light or dark mode."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import resources
from typing import Any

from ..drawing.svg import escape
from ..machine import note
from .assembly import Routine, calls_of, owners
from .records import Findings, NodeReport, PieceReport
from .tables import COLUMNS, NOTES, between_pieces, count_text, loop_text, number_text, percent, threads_text, time_text

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_HINT = "Choose a node in the graph, a row of a table, or a line of source, program or assembly."
_HOTTEST = 0.7  # opacity of the colour of the hottest node


def _asset(name: str) -> str:
    """The text of a file beside this one."""
    return (resources.files("neuromorph") / "inspection" / name).read_text(encoding="utf-8")


def page_of(inspection: Findings) -> str:
    """The HTML page of an inspection, as a text to be written in UTF-8."""
    return "".join(_page(inspection))


def _page(inspection: Findings) -> Iterator[str]:
    title = _title(inspection)
    yield '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(title)}</title><style>{_asset('report.css')}{_heat(inspection)}</style></head>\n<body>"
    yield from _header(inspection)
    yield "<main>"
    yield f'<div class="bar"><span id="chosen" aria-live="polite" data-hint="{_HINT}">{_HINT}</span>'
    yield '<a href="#code">source, program and assembly</a><button id="none" type="button">clear</button></div>'
    yield from _graph_and_nodes(inspection)
    yield from _code(inspection)
    yield from _pieces(inspection)
    yield from _plan(inspection)
    yield from _notes()
    yield f'</main>\n<script type="application/json" id="data">{_data(inspection)}</script>'
    yield f"<script>{_asset('report.js')}</script></body></html>\n"


# Head


def _title(inspection: Findings) -> str:
    return f"Kernels of {inspection.file}" if inspection.file else "Kernel report"


def _header(inspection: Findings) -> Iterator[str]:
    i = inspection
    threads = threads_text(i) + (f", chunks of {i.chunk} rows" if i.chunk else "")
    yield f"<header><h1>{escape(_title(inspection))}</h1>"
    yield (
        f'<p class="muted">Batch {i.batch_size}, windows of {i.bptt_steps}, {i.dtype}, {escape(i.optimizer)}, '
        f"{threads}, {i.parameters:,} parameters. On {escape(i.cpu)}, which has vectors of {i.machine_bits} bits; "
        f"the kernel uses {i.vector_bits}.</p>"
    )
    tiles = (
        (time_text(i.seconds), "a window, forward to update"),
        (time_text(i.seconds / i.bptt_steps), f"a sample of {i.batch_size} lane{'s' * (i.batch_size != 1)}"),
        (count_text(i.flops) + "FLOP", "a window"),
        (count_text(i.bytes) + "B", "read and written a window"),
        (f"{i.gflops:.3g} GFLOP/s", f"of {i.peak_gflops:.3g} at the FMA peak"),
        (percent(i.peak_share), "of the FMA peak"),
    )
    yield '<div class="tiles">'
    yield from (f'<div class="tile"><b>{figure}</b><span>{what}</span></div>' for figure, what in tiles)
    yield "</div></header>"


def _heat(inspection: Findings) -> str:
    """CSS that colours the nodes of the graph by their share of the time."""
    most = max((node.share for node in inspection.nodes), default=0.0) or 1.0
    opacities = {node.index: _HOTTEST * node.share / most for node in inspection.nodes}
    return "".join(
        f'.graph .nm-drawing .node[data-node="{index}"] .box{{fill:rgb(var(--heat)/{opacity:.3f})}}\n'
        for index, opacity in opacities.items()
    )


# Graph and nodes


def _graph_and_nodes(inspection: Findings) -> Iterator[str]:
    most = max((node.share for node in inspection.nodes), default=0.0)
    whole = _largest(inspection.nodes)
    yield '<h2>Where the time goes</h2><div class="columns"><div>'
    yield f'<div class="graph">{inspection.svg}</div>'
    yield f'<div class="legend"><span>0%</span><i></i><span>{percent(most)} of a window</span></div></div>'
    yield "<div>"
    names = ("node", "kind", "width", *(name for name, _ in COLUMNS), "divided")
    yield from _table(names, "llr" + _SIDES + "r", (_node_row(node, whole) for node in inspection.nodes))
    yield "</div></div>"


_SIDES = "rrrrrrrl"  # for each column of figures, whether it is aligned right or left


def _largest(entries: Iterable[PieceReport | NodeReport], *others: float) -> float:
    """The largest share of some entries, which has a bar of the full length."""
    return max((*(entry.share for entry in entries), *others), default=0.0) or 1.0


def _node_row(node: NodeReport, most: float) -> tuple[str, list[str]]:
    button = f'<td class="name"><button type="button" data-node="{node.index}">{escape(node.name)}</button></td>'
    kind = _cell(f"{node.kind} {node.what}".strip(), "kind")
    cells = [button, kind, _cell(f"{node.width:,}", "r"), *_figures(node, most)]
    return f' data-node="{node.index}"', [*cells, _cell(percent(node.divided), "r")]


def _figures(entry: PieceReport | NodeReport, most: float) -> Iterator[str]:
    """The cells of the columns that the tables of nodes and of pieces share. most: the largest share."""
    for (name, text), side in zip(COLUMNS, _SIDES, strict=True):
        if name == "share":
            yield _share_cell(entry.share, most)
        else:
            bad = " bad" if name == "library calls" and entry.library_calls else ""
            yield _cell(text(entry), (side if side == "r" else "") + bad)


def _share_cell(share: float, most: float) -> str:
    """A cell with a share of the time, in percent and as a bar. The largest share has a full bar."""
    return f'<td class="r share"><span>{percent(share)}</span><i style="--part:{min(share / most, 1.0):.2%}"></i></td>'


def _cell(text: str, kind: str = "") -> str:
    kind = kind.strip()
    return f'<td class="{kind}">{escape(text)}</td>' if kind else f"<td>{escape(text)}</td>"


def _table(names: Sequence[str], sides: str, rows: Iterable[tuple[str, list[str]]]) -> Iterator[str]:
    """A table in a box that scrolls. rows: the attributes and the cells of each row."""
    yield '<div class="scroll"><table><thead><tr>'
    for name, side in zip(names, sides, strict=True):
        yield f'<th scope="col"{" class=r" if side == "r" else ""}>{escape(name)}</th>'
    yield "</tr></thead><tbody>"
    for attributes, cells in rows:
        yield f"<tr{attributes}>{''.join(cells)}</tr>\n"
    yield "</tbody></table></div>"


def _plain_table(names: Sequence[str], sides: str, rows: Iterable[Sequence[str]]) -> Iterator[str]:
    kinds = {"r": "r", "l": "", "w": "wrap"}
    made = (("", [_cell(text, kinds[side]) for text, side in zip(row, sides, strict=True)]) for row in rows)
    return _table(names, sides, made)


# Source and assembly


def _code(inspection: Findings) -> Iterator[str]:
    yield '<h2 id="code">Both tiers: source and assembly of the kernels, program of the machine</h2>'
    linked = (
        "Every instruction knows the source line it comes from: the kernel was compiled once more with line numbers, "
        "and the result is the same, instruction by instruction. The compiler mixes neighbouring lines, and gives an "
        "instruction that serves several to one of them, or to none."
        if inspection.linked
        else "The instructions of some functions could not be given source lines: compiled with line numbers, these "
        "are others. Their source and assembly are linked as a whole."
    )
    yield f'<p class="muted">{linked} The bar beside a line shows how hot its piece is.</p>'
    yield (
        '<p class="muted">The program is what the machine does in the place of the kernels until they are compiled, '
        f"with the same results. It is decoded from the words that the machine reads. {escape(note())}</p>"
    )
    yield '<div class="panes"><div class="pane code" id="source" tabindex="0" role="region" aria-label="source">'
    yield "<h3>generated source</h3>"
    yield from _source_lines(inspection)
    yield '</div><div class="pane code" id="program" tabindex="0" role="region" aria-label="program">'
    yield from _program(inspection)
    yield '</div><div class="pane code" id="assembly" tabindex="0" role="region" aria-label="assembly">'
    for function, routines in inspection.routines.items():
        yield from _function(inspection, function, routines)
    yield "</div></div>"


def _program(inspection: Findings) -> Iterator[str]:
    """The machine's programs, each instruction with its nodes."""
    for listing in inspection.listings:
        yield f'<h3>{escape(listing.title.partition(":")[0])}</h3><div class="c">{escape(listing.title)}</div>\n'
        for section in listing.sections:
            yield f'<div class="label">{escape(section.title)}</div>\n'
            for line in section.lines:
                number = "" if line.place is None else line.place
                nodes = " ".join(map(str, line.nodes))
                yield f'<div class="told" data-stage="{section.stage}" data-of="{nodes}">'
                yield f'<span class="n">{number}</span>'
                yield f"<b>{escape(line.operation)}</b>{escape(line.text)}<small>{escape(line.detail)}</small></div>\n"


def _by_line(inspection: Findings) -> dict[int, int]:
    """The number of the piece that each source line belongs to."""
    return {line: p.number for p in inspection.pieces for line in range(p.lines[0], p.lines[1] + 1)}


def _heats(inspection: Findings) -> list[str]:
    """For each piece, the style of its bar."""
    most = max((piece.share for piece in inspection.pieces), default=0.0) or 1.0
    return [f"--h:{piece.share / most:.2f}" for piece in inspection.pieces]


def _source_lines(inspection: Findings) -> Iterator[str]:
    pieces, heats = _by_line(inspection), _heats(inspection)
    for number, text in enumerate(inspection.source.splitlines(), 1):
        piece = pieces.get(number)
        link = f' data-p="{piece}" style="{heats[piece]}"' if piece is not None else ""
        kind = ' class="c"' if text.lstrip().startswith("#") else ""
        yield f'<div data-l="{number}"{link}{kind}><span class="n">{number}</span>{escape(text)}</div>\n'


def _function(inspection: Findings, function: str, routines: Sequence[Routine]) -> Iterator[str]:
    """The assembly of one function: its own routine, then the routines that it calls, such as matrix products."""
    names = {r.symbol: f for f, found in inspection.routines.items() for r in found[:1]}
    callers = _callers(inspection, routines)
    for routine in routines:
        title = function if routine is routines[0] else f"{routine.symbol}, called by {function}"
        yield f'<div class="routine"><h3>{escape(title)}</h3>'
        yield from _instructions(inspection, function, routine, names, callers.get(routine.symbol, ""))
        yield "</div>"


def _callers(inspection: Findings, routines: Sequence[Routine]) -> dict[str, str]:
    """For each routine other than a function's own, the numbers of the pieces that call it."""
    pieces, found = _by_line(inspection), dict[str, dict[int, None]]()
    for symbol, source in calls_of(routines[0]):
        piece = pieces.get(source or 0)
        if piece is not None:
            found.setdefault(symbol, {})[piece] = None
    return {symbol: " ".join(map(str, numbers)) for symbol, numbers in found.items()}


def _instructions(
    inspection: Findings, function: str, routine: Routine, names: dict[str, str], callers: str
) -> Iterator[str]:
    pieces, heats = _by_line(inspection), _heats(inspection)
    whole = next((p.number for p in inspection.pieces if p.function == function and p.is_function), None)
    for line, owner in zip(routine.lines, owners(routine.lines, pieces), strict=True):
        own = owner if owner is not None else whole
        piece = callers or ("" if own is None else str(own))
        link = f' data-p="{piece}" style="{heats[int(piece.split()[0])]}"' if piece and not line.is_label else ""
        link += f' data-l="{line.source}"' if line.source is not None else ""
        number = line.source if line.source is not None else ""
        text = escape(_readable(line.text, names))
        text = f'<span class="label">{escape(line.text)}</span>' if line.is_label else text
        yield f'<div{link}><span class="n">{number}</span>{text}</div>\n'


def _readable(text: str, names: dict[str, str]) -> str:
    """An instruction in columns, with the plain names of the kernel's functions in place of their symbols."""
    for symbol, function in names.items():
        if symbol in text:
            text = text.replace(symbol, function)
    name, _, operands = text.strip().partition("\t")
    return f"  {name:<13}{operands.expandtabs(4)}".rstrip()


# The other tables


def _pieces(inspection: Findings) -> Iterator[str]:
    yield (
        f"<h2>Pieces of the kernel</h2><p class=muted>In the order of the source. Together they take "
        f"{time_text(inspection.pieces_seconds)}, {inspection.sum_by_kernel:.2f} of the kernel's own "
        f"{time_text(inspection.seconds)}{_waiting(inspection)}.</p>"
    )
    names = ("what", "stage", "loop", "lines", *(name for name, _ in COLUMNS))
    between = list(between_pieces(inspection))
    most = _largest(inspection.pieces, *(share for _, _, share in between))
    rows = [_piece_row(piece, most) for piece in inspection.pieces]
    rows += [_row_between(*entry, most) for entry in between]
    yield from _table(names, "llll" + _SIDES, rows)


def _waiting(inspection: Findings) -> str:
    if inspection.threads == 1:
        return ""
    return f"; {time_text(inspection.waiting_seconds)} of it waiting for other threads"


def _piece_row(piece: PieceReport, most: float) -> tuple[str, list[str]]:
    button = f'<td class="wrap"><button type="button" data-piece="{piece.number}">{escape(piece.note)}</button></td>'
    lines = f"{piece.lines[0]}–{piece.lines[1]}"
    cells = [button, _cell(piece.stage), _cell(loop_text(piece.loop)), _cell(lines), *_figures(piece, most)]
    return f' data-piece="{piece.number}"', cells


def _row_between(what: str, seconds: float, share: float, most: float) -> tuple[str, list[str]]:
    """A row for time that belongs to no piece."""
    figures = [_cell(time_text(seconds), "r"), _share_cell(share, most), *[_cell("")] * (len(COLUMNS) - 2)]
    return "", [_cell(what, "muted"), *[_cell("")] * 3, *figures]


def _plan(inspection: Findings) -> Iterator[str]:
    i = inspection
    yield "<h2>Plan</h2>"
    if i.loops:
        yield "<p class=muted>Time loops: what has to run step by step.</p>"
        loops = ((str(x.number), str(x.forward), str(x.backward), ", ".join(x.nodes)) for x in i.loops)
        yield from _plain_table(("loop", "operations forward", "backward", "nodes"), "rrrw", loops)
    else:
        yield "<p class=muted>No time loop: every operation runs over the whole window at once.</p>"
    yield "<p class=muted>Sibling layers, each group one matrix product.</p>"
    groups = (
        (str(x.number), f"{x.fan_in:,}", f"{x.columns:,}", f"{x.bytes:,}", loop_text(x.loop), ", ".join(x.nodes),
         ", ".join(x.reads))
        for x in i.groups
    )  # fmt: skip
    yield from _plain_table(("group", "fan-in", "columns", "bytes", "loop", "layers", "reads"), "rrrrlww", groups)
    whole = sum(x.bytes for x in i.buffers)
    yield f"<p class=muted>Buffers: {whole:,} bytes.</p>"
    buffers = ((x.name, number_text(x.rows), number_text(x.row_bytes), f"{x.bytes:,}", x.holds) for x in i.buffers)
    yield from _plain_table(("buffer", "rows", "bytes a row", "bytes", "holds"), "lrrrw", buffers)
    yield f"<details><summary>The model's text</summary><pre>{escape_lines(i.text)}</pre></details>"


def escape_lines(text: str) -> str:
    """A text of several lines, escaped line by line."""
    return "\n".join(map(escape, text.splitlines()))


def _notes() -> Iterator[str]:
    yield "<footer><h2>How to read this</h2><ul>"
    yield from (f"<li>{escape(note)}</li>" for note in NOTES)
    yield "</ul></footer>"


# What the script needs


def _data(inspection: Findings) -> str:
    """Nodes and pieces as JSON that is safe inside an HTML page."""
    numbers = {node.name: node.index for node in inspection.nodes}
    pieces = [
        {
            "note": p.note, "stage": p.stage, "says": _says(p),
            "nodes": [numbers[name] for name, _ in p.nodes if name in numbers],
        }
        for p in inspection.pieces
    ]  # fmt: skip
    nodes = {n.index: {"name": n.name, "pieces": n.pieces, "says": _says(n)} for n in inspection.nodes}
    text = json.dumps({"pieces": pieces, "nodes": nodes}, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace("&", "\\u0026")


def _says(entry: Any) -> str:
    """The figures of a node or a piece as one line of text."""
    chosen: list[tuple[str, Callable[[Any], str]]] = [(n, t) for n, t in COLUMNS if n not in ("bytes", "library calls")]
    figures = ", ".join(f"{name} {text(entry)}" for name, text in chosen)
    lines = entry.lines if isinstance(entry, NodeReport) else (entry.lines,)
    return f"{figures}; lines {', '.join(f'{first}–{last}' for first, last in lines)}"
