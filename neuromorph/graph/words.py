"""Describes nodes in a few words, for tables, pictures and comments."""

from __future__ import annotations

from .nodes import Graph, Node


def function_of(node: Node) -> str:
    """The function of a node, with its numbers; the name of a cell; an empty text for the input and for splits."""
    if node.kind == "cell" and node.use is not None:
        return f"<{node.use.cell}>"
    if node.merge is not None:
        return node.merge.name
    if node.taps > 1:
        return f"conv {node.taps}" + (f", dilation {node.dilation}" if node.dilation > 1 else "")
    if node.elementwise is not None:
        return with_number(node.elementwise.name, node.parameter)
    if node.function is not None:
        return with_number(node.function.name, node.parameter)
    return ""


def loss_of(graph: Graph) -> str:
    """The loss of a graph, with its number."""
    return f"loss {with_number(graph.loss.name, graph.loss_parameter)}"


def with_number(name: str, number: float | None) -> str:
    """A name, followed by its number if there is one."""
    return name if number is None else f"{name} {number:g}"


def before(steps: int) -> str:
    """The words after a name that say how many steps back its value is read; an empty text for this step."""
    if steps == 0:
        return ""
    return " of the step before" if steps == 1 else f" {steps:,} steps before"


def reads_back(graph: Graph, node: Node) -> list[str]:
    """What a node reads of earlier steps, and how many steps back if more than one. Of a convolution and of a cell it
    is the furthest step."""
    found = []
    if node.reach and node.source is not None:
        found.append(f"{graph.nodes[node.source].name}{_back(node.reach, furthest=True)}")
    if node.delayed and node.other is not None:
        found.append(f"{graph.nodes[node.other].name}{_back(node.steps, furthest=node.kind == 'cell')}")
    return found


def _back(steps: int, *, furthest: bool) -> str:
    return "" if steps == 1 else f"{' up to' * furthest}{before(steps)}"


def values_of(shift: int, taps: int, dilation: int) -> str:
    """The words for the steps that are read: ``taps`` steps, ``dilation`` apart, the first at ``shift`` (0, -1, …)."""
    if taps == 1:
        return before(-shift)
    return f" at {taps:,} steps" + (f", {dilation:,} apart" if dilation > 1 else "")


def read_by(graph: Graph, node: Node) -> str:
    """The operation of a merge and the node that it reads as its second operand; an empty text for other nodes."""
    if node.merge is None or node.other is None:
        return ""
    return f"{node.merge.name} with {graph.nodes[node.other].name}{before(node.steps)}"
