"""``report``: what a search has found as one HTML page, which loads no other file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from importlib import resources

from ..drawing import draw
from ..drawing.svg import escape
from ..errors import brief
from ..graph import build_graph
from ..host.atomic_write import check_name, write_file
from ..language import parse
from .charts import family_tree, front_chart
from .individuals import Evolution, Individual
from .journal import load

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_MOST_TEXTS = 50  # of the front, of which the page has the texts


def report(found: Evolution | str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Write a page about a search: the front of score against size, the best individual with its picture, its text and
    its family tree, and the texts of the front.

    found: what `evolve` or `load` has returned, or the path of a store. The page follows the browser's light or dark
    mode, and has no scripts. Raises SearchError if no individual has a score, OSError if the file can't be written.
    """
    if isinstance(found, str | os.PathLike):
        found = load(found)
    if not isinstance(found, Evolution):
        raise TypeError(f"report needs what evolve has returned, or the path of a store, not {brief(found)}")
    check_name(os.fspath(path))
    write_file(path, "".join(_page(found)).encode("utf-8"))


def _page(found: Evolution) -> Iterator[str]:
    best = found.best
    style = (resources.files("neuromorph") / "search" / "report.css").read_text(encoding="utf-8")
    yield '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>A search over {len(found):,} networks</title><style>{style}</style></head>\n<body>"
    yield from _header(found, best)
    yield "<main><h2>Score against size</h2>"
    yield '<p class="muted">A dot is an individual. The line leads over those than which no smaller one is as good. '
    yield "The worst tenth stands at the edge.</p>"
    yield f'<div class="box">{front_chart(found)}</div>'
    yield f'<h2>The best: individual {best.number}</h2><div class="columns"><div class="box graph">'
    yield f"{draw(build_graph(parse(best.text)), folded=True).svg}</div><pre>{escape_lines(best.text)}</pre></div>"
    yield "<h2>Where it comes from</h2>"
    yield '<p class="muted">Its ancestors, the oldest first: the number, the operation that made it, the score and '
    yield "the size. A dashed line comes from the second parent of a cross.</p>"
    yield f'<div class="box tree">{family_tree(found, best)}</div>'
    yield from _front(found)
    yield from _operations(found)
    yield "</main></body></html>\n"


def _header(found: Evolution, best: Individual) -> Iterator[str]:
    direction = "larger" if found.larger else "smaller"
    states = Counter(one.state for one in found)
    others = ", ".join(f"{count:,} {state}" for state, count in sorted(states.items()) if state != "done")
    yield f"<header><h1>A search over {len(found):,} networks</h1>"
    yield f'<p class="muted">Score: {escape(found.score)}, {direction} is better. Ended: {escape(found.ended)}'
    yield f"{f'. {others}' if others else ''}.</p>"
    tiles = (
        (f"{best.score:.6g}", "the best score"),
        (f"{best.size.parameters:,}", "its parameters"),
        (f"{best.size.multiplications:,}", "its multiplications a step"),
        (f"{len(found):,}", "individuals"),
        (f"{60 * len(found) / found.seconds:,.0f}" if found.seconds else "–", "individuals a minute"),
    )
    yield '<div class="tiles">'
    yield from (f'<div class="tile"><b>{figure}</b><span>{what}</span></div>' for figure, what in tiles)
    yield "</div></header>"


def _front(found: Evolution) -> Iterator[str]:
    yield "<h2>The front</h2>"
    for one in found.front[:_MOST_TEXTS]:
        yield f"<details><summary>{one.number}: {one.score:.6g}, {one.size.nodes} nodes, {one.size.parameters:,} "
        yield f"parameters</summary><pre>{escape_lines(one.text)}</pre></details>"
    if len(found.front) > _MOST_TEXTS:
        yield f'<p class="muted">And {len(found.front) - _MOST_TEXTS:,} larger ones.</p>'


def _operations(found: Evolution) -> Iterator[str]:
    """How often each operation made a child, and how often a better one than its parent."""
    made, better = Counter[str](), Counter[str]()
    for one in found:
        for name in one.operation.split(", ") if one.parents else ():
            made[name] += 1
            before = found[one.parents[0]].score
            if one.score is not None and before is not None:
                better[name] += one.score > before if found.larger else one.score < before
    yield "<h2>Operations</h2>"
    yield '<div class="box"><table><thead><tr><th class="text">operation</th><th>children</th><th>better than the '
    yield "parent</th></tr></thead><tbody>"
    for name, count in made.most_common():
        yield f'<tr><td class="text">{escape(name)}</td><td>{count:,}</td><td>{better[name] / count:.0%}</td></tr>'
    yield "</tbody></table></div>"


def escape_lines(text: str) -> str:
    """A text of several lines, escaped line by line."""
    return "\n".join(map(escape, text.splitlines()))
