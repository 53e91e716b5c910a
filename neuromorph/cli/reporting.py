"""Says how data were read, and what in them a model may not suit."""

from __future__ import annotations

import neuromorph as nm

from .arrays import Arrays
from .console import say
from .layout import described

_SCALING = ("standardize", "restore")


def say_how_read(model: nm.Model, arrays: Arrays, *, sequences: bool) -> None:
    """Print how the axes of data were read, and what there is to say about a table."""
    say(f"{arrays.name}: {described(model, arrays, sequences=sequences)}")
    for note in arrays.notes:
        say(f"{arrays.name}: {note}")
    hint = scale_hint(model, arrays.unlike)
    if hint is not None:
        say(f"{arrays.name}: {hint}")


def scaled_nodes(model: nm.Model) -> list[str]:
    """The names of the nodes that ``adapt`` sets."""
    nodes = [node for node in model.graph.nodes if node.live and node.elementwise is not None]
    return [node.name for node in nodes if node.elementwise is not None and node.elementwise.name in _SCALING]


def scale_hint(model: nm.Model, unlike: str) -> str | None:
    """Advice for a text without <standardize> whose inputs are very different in size. unlike: what these are."""
    scales = any(node.elementwise is not None and node.elementwise.name == "standardize" for node in model.graph.nodes)
    if not unlike or scales:
        return None
    return f"{unlike}: a layer with <standardize> after the input brings them to one size"
