"""The texts of estimators: the default ones, and the widths that stand in place of ``$inputs`` and other names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from string import Template
from typing import Any

from ..errors import MDLError, brief, nearest
from ..graph import Graph, build_graph
from ..language import parse
from ..language.given import text_of
from ..options import whole_number

CLASSES = "(output, $outputs, <softmax>, <cross_entropy>)"
NUMBERS = "(output, $outputs, <restore>, <mse>)"
_VECTORS = "/he,zero/ (input, $inputs) (scaled, <standardize>) (hidden, $hidden, <relu>) %s"
_SEQUENCES = "/xavier,zero/ (input, $inputs) (scaled, <standardize>) (hidden, $hidden, <gru>) %s"
VECTOR_WIDTH, SEQUENCE_WIDTH = 100, 32  # of the hidden layer in default texts
OWN = ("inputs", "outputs")  # names that the data decide


def default_text(output: str, *, sequences: bool) -> str:
    """The text of an estimator that got none. output: its last node."""
    return (_SEQUENCES if sequences else _VECTORS) % output


def with_widths(mdl: Any, default: str, widths: Any, *, inputs: int, outputs: int) -> str:
    """The text of a model, with numbers in place of ``$inputs``, ``$outputs`` and the names in ``widths``.

    mdl: a text, the path of a file, or None for the default text, which has ``$hidden``. Raises TypeError or ValueError
    for widths that are no whole numbers or do not fit the text.
    """
    given = _checked(widths)
    if mdl is None:
        text = default
        given.setdefault("hidden", SEQUENCE_WIDTH if "<gru>" in default else VECTOR_WIDTH)
    else:
        text, _ = text_of(mdl)
    template = Template(text)
    names = set(template.get_identifiers())
    known = {**given, "inputs": inputs, "outputs": outputs}
    for name in sorted(names - known.keys()):
        near = nearest(name, known)
        hint = f"; did you mean ${near}?" if near else ""
        raise ValueError(
            f"mdl has ${name}, which has no width: widths={{{name!r}: 32}} gives it one, and the data give $inputs "
            f"and $outputs{hint}"
        )
    for name in sorted(given.keys() - names):
        raise ValueError(f"widths has {name!r}, and mdl has no ${name}")
    return template.safe_substitute({name: str(width) for name, width in known.items()})


def _checked(widths: Any) -> dict[str, int]:
    """The user's widths by name."""
    if widths is None:
        return {}
    if not isinstance(widths, Mapping):
        raise TypeError(f"widths must be a dict of names and whole numbers, not {brief(widths)}")
    for name in widths:
        if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII)):
            raise ValueError(f"widths has the name {brief(name)}, but $ is followed by letters, digits and _")
        if name in OWN:
            raise ValueError(f"widths has {name!r}, but the data give ${name}; a number in the text fixes the width")
    return {name: whole_number(f"widths[{name!r}]", width) for name, width in widths.items()}


@lru_cache(maxsize=64)
def graph_of(text: str) -> Graph:
    """The graph of a text. Raises MDLError."""
    return build_graph(parse(text))


def loss_of(mdl: Any, default: str, widths: Any) -> str | None:
    """The name of the loss that a text has for data of any widths; None for a text that is wrong."""
    try:
        return graph_of(with_widths(mdl, default, widths, inputs=2, outputs=2)).loss.name
    except (MDLError, ValueError, TypeError, OSError):
        return None
