"""What nodes do, in the words of tables and pictures."""

from __future__ import annotations

from .nodes import Node


def function_of(node: Node) -> str:
    """The function of a layer or an activation node with its numbers; nothing of other nodes."""
    if node.taps > 1:
        return f"conv {node.taps:,}" if node.dilation == 1 else f"conv {node.taps:,}, {node.dilation:,}"
    function = node.function or node.elementwise
    return "" if function is None else with_number(function.name, node.parameter)


def with_number(name: str, number: float | None) -> str:
    """A function's name, and its number where it has one."""
    return name if number is None else f"{name} {number:g}"


def ago(steps: int) -> str:
    """How long ago a value is of that is read so many steps back; nothing of this step."""
    if steps < 2:
        return " of the step before" * steps
    return f" of {steps:,} steps before"
