"""Refuses initialisers that draw square weights where a weight is not square, and says what would mend it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..language import MAX_WIDTH, syntax
from .functions import Text
from .nodes import Node
from .placement import Place

_OTHER_WEIGHTS = "draw other weights there, such as /xavier,/"


def check_square(text: Text, placed: Sequence[Place], nodes: Sequence[Node]) -> None:
    """An error where a weight is not square and its initialiser draws only those that are."""
    for node in nodes:
        drawn = dict(node.initializers).get("weight")
        if node.kind != "layer" or not node.live or node.source is None or drawn is None or not drawn[0].square:
            continue
        fan_in = node.taps * nodes[node.source].width
        if fan_in != node.width:
            item = placed[node.index].item
            assert isinstance(item, syntax.Layer)
            shape = f"that of '{node.name}' has the shape ({fan_in}, {node.width})"
            reason = f"'{drawn[0].name}' draws square weights, and {shape}"
            fix = _fix(text, nodes, node, fan_in)
            raise text.about(item).error(f"{reason}: {fix}", item.width_location or item.location)


def _fix(text: Text, nodes: Sequence[Node], node: Node, fan_in: int) -> str:
    """What to do: another width only where what comes in does not grow with it."""
    incoming = list(_deciding(nodes, node))
    if not any(_has_same_width(node, one) for one in incoming):
        if fan_in > MAX_WIDTH:
            return _OTHER_WEIGHTS
        return f"give {_owner(text, node)} the width {fan_in}, or {_OTHER_WEIGHTS}"
    why = "what comes in grows with its width, so that no width makes it square"
    states = [nodes[one.other].name for one in incoming if one.delayed and one.other is not None]
    if not states:
        return f"{why}; {_OTHER_WEIGHTS}"
    apart = f"{{old, {states[0]}, take, 1}} (recalled, {node.width}, <linear>)"
    return f"{why}; let a layer of its own read the state alone, as in {apart}, or {_OTHER_WEIGHTS}"


def _deciding(nodes: Sequence[Node], node: Node) -> Iterator[Node]:
    """The nodes that decide how wide what comes into a node is, down to those that say their widths themselves."""
    waiting, seen = [node.source], set[int]()
    while waiting:
        index = waiting.pop(0)
        if index is None or index in seen:
            continue
        seen.add(index)
        one = nodes[index]
        yield one
        if one.merge is not None:
            result = one.merge.result
            waiting += {"x": [one.source], "other": [one.other], "both": [one.source, one.other], "one": []}[result]
        elif one.kind != "layer":
            waiting.append(one.source)


def _has_same_width(node: Node, other: Node) -> bool:
    """Whether a layer is the node itself, or grows with it, since both are as wide as one use of a cell."""
    if other.kind != "layer" or other.width != node.width:
        return False
    return other is node or (node.use is not None and other.use is not None and other.use.name == node.use.name)


def _owner(text: Text, node: Node) -> str:
    """What has the width of a node: the use of a cell that it comes from, where both are equally wide."""
    widths = {use.name: use.width for use in text.model.uses}
    if node.use is None or widths.get(node.use.name) != node.width:
        return f"'{node.name}'"
    return f"'{node.use.name}'"
