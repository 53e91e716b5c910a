"""Draws a graph as SVG or DOT, with a layout of its own."""

from __future__ import annotations

import os
from dataclasses import field
from pathlib import Path

from ..graph import Graph
from ..graph.folding import fold
from ..host.atomic_write import check_name, write_file
from ..host.cached import cached_property
from ..host.frozen import frozen
from .dot import to_dot
from .svg import to_svg

__all__ = ["Drawing", "draw"]

FORMATS = ("svg", "dot")


@frozen
class Drawing:
    """A picture of a model. Notebooks show it.

    Data flow from top to bottom. Plain boxes are layers and activation nodes, with their width and activation. Boxes
    with round corners are merges, with their operation. Boxes with round ends are splits. A folded cell is one box. A
    filled arrow is the vector that flows into a node. A hollow arrow is the other vector that a merge takes. A dashed
    arrow comes from an earlier step, which is the previous one unless the box says otherwise. Dead nodes are grey.
    """

    graph: Graph = field(repr=False)

    @cached_property
    def svg(self) -> str:
        """The picture as SVG text. It scales, and is readable on light and dark pages."""
        return to_svg(self.graph)

    @cached_property
    def dot(self) -> str:
        """The graph in the DOT language, for a layout by Graphviz."""
        return to_dot(self.graph)

    def save(self, path: str | os.PathLike[str], *, format: str | None = None) -> None:
        """Write the picture to a file. format: "svg" or "dot", by default the ending of the name.

        Raises ValueError, before anything is written, for other formats and endings, and OSError if the file can't be
        written.
        """
        chosen = _format(path, format)
        check_name(os.fspath(path))
        write_file(path, (self.svg if chosen == "svg" else self.dot).encode("utf-8"))

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        count = len(self.graph.nodes)
        return f"<neuromorph.Drawing of {count:,} node{'s' * (count != 1)}>"


def draw(
    graph: Graph, path: str | os.PathLike[str] | None = None, *, format: str | None = None, folded: bool = False
) -> Drawing:
    """The drawing of a graph. It is written to ``path`` if one is given; see ``Drawing.save`` for the format.

    folded: draw every cell as one box.
    """
    drawing = Drawing(fold(graph).graph if folded else graph)
    if path is not None:
        drawing.save(path, format=format)
    elif format is not None:
        _known(format)
    return drawing


def _format(path: str | os.PathLike[str], format: str | None) -> str:
    if format is not None:
        return _known(format)
    ending = Path(path).suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise ValueError(f"the name of a drawing ends in .svg or .dot, not {os.fspath(path)!r}; or give format=")
    return ending


def _known(format: str) -> str:
    if format not in FORMATS:
        raise ValueError(f'format must be "svg" or "dot", not {format!r}')
    return format
