"""From a syntax tree to a checked graph: names, functions, links in time, widths, and what the output needs.

Every pass is iterative and its work is bounded, since a text is untrusted input.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..errors import Diagnostic, Location
from ..language import syntax, to_text
from .functions import Choice, Header, Text, choose
from .links import Links
from .nodes import MAX_WIDTH, Graph, Kind, Node, topological
from .placement import Place, check_ends, flatten, index_names

_NAMED = 20  # dead nodes that one warning names


def build_graph(model: syntax.Model) -> Graph:
    """Check what a text says and turn it into a graph.

    Raises MDLSemanticError, with the place, where the text is of the language but describes no model.
    """
    text = Text(model)
    header = Header.read(text)
    placed = flatten(model)
    names = index_names(text, placed)
    chosen = [choose(text, place.item) for place in placed]
    output = check_ends(text, placed)
    links = Links.decide(text, placed, names)
    widths = _widths(text, placed, chosen, links.others)
    live = _live(placed, links.others, output)
    nodes = tuple(
        _node(index, place, chosen[index], links, widths[index], index in live) for index, place in enumerate(placed)
    )
    _check_square(text, placed, nodes, header)
    loss = chosen[output].loss
    assert loss is not None  # it is what makes a layer the output
    warnings = [*header.warnings, *(line for choice in chosen for line in choice.warnings)]
    warnings += _width_warnings(text, nodes) + _dead_warnings(nodes, model.filename)
    drawn = (header.weight, header.bias)
    return Graph(nodes, 0, output, *loss, *drawn, tuple(warnings), to_text(model))


# Widths


def _widths(text: Text, placed: Sequence[Place], chosen: Sequence[Choice], others: Sequence[int | None]) -> list[int]:
    """The width of every node; links backward in time carry widths as others do."""
    needs = {index: _width_needs(place, chosen[index], others[index]) for index, place in enumerate(placed)}
    order = topological(needs)
    if len(order) < len(placed):
        item = placed[_self_dependent(needs, order)].item
        raise text.error(f"the width of '{item.name}' depends on itself", _operation_place(item))
    widths = [0] * len(placed)
    for index in order:
        item = placed[index].item
        given = item.width if isinstance(item, syntax.Layer) else None
        widths[index] = sum(widths[one] for one in needs[index]) if given is None else given
        if widths[index] > MAX_WIDTH:
            reason = f"the width of '{item.name}' would be {widths[index]:,}: at most {MAX_WIDTH:,} is possible"
            raise text.error(reason, _operation_place(item))
    return widths


def _width_needs(place: Place, choice: Choice, other: int | None) -> tuple[int, ...]:
    """The nodes whose widths add up to that of a node that gives none itself."""
    if place.source is None or (isinstance(place.item, syntax.Layer) and place.item.width is not None):
        return ()
    if other is not None and choice.merge is not None and choice.merge.concatenates:
        return (place.source, other)
    return (place.source,)


def _self_dependent(needs: Mapping[int, Sequence[int]], done: Iterable[int]) -> int:
    """The first concatenating node on a cycle, found by going from need to need that has no width."""
    left = set(needs).difference(done)
    path: dict[int, None] = {}
    index = min(left)
    while index not in path:
        path[index] = None
        index = next(one for one in needs[index] if one in left)
    cycle = list(path)[list(path).index(index) :]
    return min(one for one in cycle if len(needs[one]) > 1)


def _operation_place(item: syntax.Node) -> Location:
    return item.operation_location if isinstance(item, syntax.Merge) else item.location


# Liveness and the finished nodes


def _live(placed: Sequence[Place], others: Sequence[int | None], output: int) -> set[int]:
    """The nodes from which the output can be reached, in this step or through time."""
    live = {output}
    waiting = [output]
    while waiting:
        index = waiting.pop()
        for read in (placed[index].source, others[index]):
            if read is not None and read not in live:
                live.add(read)
                waiting.append(read)
    return live


def _node(index: int, place: Place, choice: Choice, links: Links, width: int, live: bool) -> Node:
    item = place.item
    return Node(
        index,
        item.name,
        _kind(item, place.source),
        width,
        place.source,
        links.others[index],
        links.delayed[index],
        choice.activation,
        choice.parameter,
        choice.merge,
        live,
        item.location,
    )


def _check_square(text: Text, placed: Sequence[Place], nodes: Sequence[Node], header: Header) -> None:
    """An error where a weight is not square and its initialiser draws only those that are."""
    record, _ = header.weight
    for node in nodes if record.square else ():
        if node.kind != "layer" or not node.live or node.source is None or nodes[node.source].width == node.width:
            continue
        item = placed[node.index].item
        assert isinstance(item, syntax.Layer)
        shape = f"that of '{node.name}' has the shape ({nodes[node.source].width}, {node.width})"
        reason = f"'{record.name}' draws square weights, and {shape}: give '{node.name}' the width of what comes in"
        raise text.error(reason, item.width_location or item.location)


def _kind(item: syntax.Node, source: int | None) -> Kind:
    if isinstance(item, syntax.Split):
        return "split"
    if isinstance(item, syntax.Merge):
        return "merge"
    if source is None:
        return "input"
    return "activation" if item.width is None else "layer"


# Warnings


def _width_warnings(text: Text, nodes: Sequence[Node]) -> list[Diagnostic]:
    warnings: list[Diagnostic] = []
    for node in nodes:
        if node.other is None or node.merge is None or node.merge.concatenates:
            continue
        other = nodes[node.other]
        if other.width != node.width:
            warnings.append(text.warning(_mismatch(node, other), node.location, node.name))
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
