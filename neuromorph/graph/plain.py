"""Makes the plain text of a model: cells replace their uses, and the width of every layer of a cell is a number."""

from __future__ import annotations

from ..language import MAX_BYTES, expand, parse, to_text, with_widths
from .build import build_graph
from .functions import FUNCTIONS, Text


def plain_text(text: str, filename: str | None = None) -> str:
    """The plain text of a model; see ``neuromorph.expand``."""
    model = parse(text, filename)
    widths = {node.name: node.width for node in build_graph(model).nodes}
    plain = to_text(with_widths(expand(model, FUNCTIONS), widths))
    if len(plain) > MAX_BYTES:
        reason = f"the plain text would have {len(plain):,} bytes: a text has at most 1 MiB (1,048,576 bytes)"
        raise Text(model).error(f"{reason}; shorter names of uses make it shorter", model.nodes[0].location)
    return plain
