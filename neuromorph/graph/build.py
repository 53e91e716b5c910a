"""Turns a syntax tree into a checked graph: names, functions, links in time, widths, and what the output needs.

Every pass is iterative and its work is bounded, because a text is untrusted input.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from ..errors import Diagnostic, Location
from ..language import expand, syntax, to_text
from .functions import FUNCTIONS, Choice, Header, Text, check_given, choose
from .links import Links, check_this_step
from .nodes import Graph, Kind, Node
from .placement import Place, check_ends, flatten, index_names
from .squares import check_square
from .widths import widths_of

_NAMED = 20  # the most dead nodes that a warning names


def build_graph(model: syntax.Model) -> Graph:
    """The checked graph of a text, with cells in the place of their uses.

    Raises MDLSemanticError, with the place, for a text that is correct in grammar but describes no model.
    """
    text = Text(expand(model, FUNCTIONS))
    header = Header.read(text)
    placed = flatten(text.model.nodes)
    names = index_names(text, placed)
    given = [line for one in text.model.given for line in check_given(text, one)]
    chosen = [choose(text, place.item) for place in placed]
    for body in text.model.spare:
        _check_spare(text, body)
    output = check_ends(text, placed)
    links = Links.decide(text, placed, names, chosen)
    widths = widths_of(text, placed, chosen, links.others, names)
    live = _live(links, output)
    nodes = tuple(
        _node(index, place, chosen[index], links, widths[index], index in live, header)
        for index, place in enumerate(placed)
    )
    check_square(text, placed, nodes)
    loss = chosen[output].loss
    assert loss is not None  # a layer is the output because it has a loss
    warnings = _once(header.warnings, given, *(choice.warnings for choice in chosen))
    warnings += _width_warnings(text, placed, nodes) + _dead_warnings(nodes, model.filename)
    return Graph(nodes, 0, output, *loss, tuple(warnings), to_text(model))


def _check_spare(text: Text, body: Sequence[syntax.Node]) -> None:
    """Check the body of a definition that nobody uses."""
    placed = flatten(body)
    names = index_names(text, placed, "a cell")
    check_this_step(text, placed, names, [choose(text, place.item) for place in placed])


# Liveness and the finished nodes


def _live(links: Links, output: int) -> set[int]:
    """The nodes that the output depends on, in this step or through time."""
    live = {output}
    waiting = [output]
    while waiting:
        index = waiting.pop()
        for read in (links.sources[index], links.others[index]):
            if read is not None and read not in live:
                live.add(read)
                waiting.append(read)
    return live


def _node(index: int, place: Place, choice: Choice, links: Links, width: int, live: bool, header: Header) -> Node:
    item, kind = place.item, _kind(place.item, place.source, choice)
    return Node(
        index,
        item.name,
        kind,
        width,
        links.sources[index],
        links.others[index],
        links.steps[index],
        choice.activation,
        choice.parameter,
        choice.merge,
        live,
        item.location,
        choice.taps,
        choice.dilation,
        choice.elementwise,
        choice.initializers(kind == "layer", header),
        item.origin,
    )


def _kind(item: syntax.Node, source: int | None, choice: Choice) -> Kind:
    if isinstance(item, syntax.Split):
        return "split"
    if isinstance(item, syntax.Merge):
        return "merge"
    if source is None:
        return "input"
    if choice.elementwise is not None and choice.activation is None:
        return "elementwise"
    return "activation" if item.width is None else "layer"


# Warnings


def _once(*warnings: Iterable[Diagnostic]) -> list[Diagnostic]:
    """The warnings about ignored numbers, of those about one place the first: many nodes may come from one place."""
    found: dict[Location, Diagnostic] = {}
    for line in chain.from_iterable(warnings):
        found.setdefault(line.location, line)
    return list(found.values())


def _width_warnings(text: Text, placed: Sequence[Place], nodes: Sequence[Node]) -> list[Diagnostic]:
    warnings: list[Diagnostic] = []
    for node in nodes:
        if node.other is None or node.merge is None or node.source is None or node.merge.other_width != "any":
            continue
        other = nodes[node.other]
        if node.merge.result == "x" and other.width != node.width:
            item = placed[node.index].item
            warnings.append(text.about(item).warning(_mismatch(node, other), node.location, node.name))
    return warnings


def _mismatch(node: Node, other: Node) -> str:
    pair = f"'{node.name}' has {node.width}, and '{other.name}', which it reads, has {other.width}"
    widths = f"the widths differ: {pair}"
    if other.width > node.width:
        return f"{widths}; only the first {node.width} components of '{other.name}' are used"
    return f"{widths}; the components of '{node.name}' beyond that pass through unchanged"


def _dead_warnings(nodes: Sequence[Node], filename: str | None) -> list[Diagnostic]:
    dead = [node for node in nodes if not node.live]
    if not dead:
        return []
    more = f" and {len(dead) - _NAMED:,} more" if len(dead) > _NAMED else ""
    shown = ", ".join(f"'{node.name}'" for node in dead[:_NAMED])
    message = f"left out, since the output can't be reached from there: {shown}{more}"
    names = tuple(node.name for node in dead)
    return [Diagnostic(dead[0].location, message, names, filename=filename, general=True)]
