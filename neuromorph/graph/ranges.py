"""Checks that the type of a model can hold the numbers of its text."""

from __future__ import annotations

import numpy as np

from ..errors import MDLSemanticError
from ..language import told
from .nodes import Graph, Node


def check_numbers(graph: Graph, dtype: str, text: str, filename: str | None = None) -> None:
    """Raise MDLSemanticError if a number of the text goes into a kernel and the model's type can't hold it."""
    largest, output = float(np.finfo(dtype).max), graph.nodes[graph.output]
    numbers = [(node, node.function or node.elementwise, node.parameter) for node in graph.nodes if node.live]
    small = float(np.finfo(dtype).tiny)
    for node, function, number in [*numbers, (output, graph.loss, graph.loss_parameter)]:
        record = None if function is None else function.parameter
        positive = record is not None and record.exclusive and record.minimum == 0.0
        if function is not None and number is not None and positive and 0.0 < number < small:
            reason = f"the number of {function.name} in '{node.name}' is 0 in {dtype}: at least {small:.7g}"
            raise _error(reason, node, text, filename)
        if function is not None and number is not None and abs(number) > largest:
            bounds = f"must be from {-largest:.7g} to {largest:.7g}, the range of {dtype}"
            reason = f"the number of {function.name} in '{node.name}' {bounds}, not {number!r}"
            raise _error(reason, node, text, filename)


def _error(reason: str, node: Node, text: str, filename: str | None) -> MDLSemanticError:
    said = told(reason, node.name, node.origin)
    return MDLSemanticError(said, source=text, location=node.location, filename=filename)
