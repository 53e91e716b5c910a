"""Computes the width of every node, and checks that a cell has the width that its use gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..errors import Location
from ..language import MAX_WIDTH, syntax
from .functions import Choice, Text
from .links import named_in_circle
from .nodes import topological
from .placement import Place


def widths_of(
    text: Text,
    placed: Sequence[Place],
    chosen: Sequence[Choice],
    others: Sequence[int | None],
    names: Mapping[str, int],
) -> list[int]:
    """The width of every node. Links back in time determine widths as other links do."""
    incoming = _Incoming(placed, names)
    needs = {index: _needs(place, chosen[index], others[index], incoming) for index, place in enumerate(placed)}
    order = topological(needs)
    if len(order) < len(placed):
        cycle = _self_dependent(needs, order)
        item = placed[cycle[0]].item
        reason = f"the width of '{item.name}' depends on itself: {_why(cycle, placed, needs)}"
        raise text.about(item).error(reason, _operation_place(item))
    widths = [0] * len(placed)
    for index in order:
        item = placed[index].item
        given = item.width if isinstance(item, syntax.Layer) else None
        widths[index] = given if isinstance(given, int) else (sum(widths[one] for one in needs[index]) or 1)
        if widths[index] > MAX_WIDTH:
            reason = f"the width of '{item.name}' would be {widths[index]:,}: at most {MAX_WIDTH:,} is possible"
            raise text.about(item).error(reason, _operation_place(item))
    _check_merges(text, placed, chosen, others, widths)
    _check_uses(text, names, incoming, widths)
    return widths


class _Incoming:
    """Finds the node that comes into the first node of a cell."""

    def __init__(self, placed: Sequence[Place], names: Mapping[str, int]) -> None:
        self._placed = placed
        self._names = names

    def __call__(self, width: syntax.WidthOf) -> int:
        source = self._placed[self._names[width.first]].source
        assert source is not None  # a cell can't be the input
        return source


def _needs(place: Place, choice: Choice, other: int | None, incoming: _Incoming) -> tuple[int, ...]:
    """The nodes whose widths add up to the width of a node that gives none itself."""
    item = place.item
    if place.source is None:
        return ()
    if isinstance(item, syntax.Layer) and item.width is not None:
        return (incoming(item.width),) if isinstance(item.width, syntax.WidthOf) else ()
    if other is None or choice.merge is None:
        return (place.source,)
    return {"x": (place.source,), "other": (other,), "both": (place.source, other), "one": ()}[choice.merge.result]


def _self_dependent(needs: Mapping[int, Sequence[int]], done: Iterable[int]) -> list[int]:
    """Nodes whose widths depend on each other's in a circle.

    They begin with the first concatenating node on the cycle or, if the cycle has none, with its first node.
    """
    left = set(needs).difference(done)
    path: dict[int, None] = {}
    index = min(left)
    while index not in path:
        path[index] = None
        index = next(one for one in needs[index] if one in left)
    cycle = list(path)[list(path).index(index) :]
    first = cycle.index(min((one for one in cycle if len(needs[one]) > 1), default=min(cycle)))
    return cycle[first:] + cycle[:first]


def _why(cycle: Sequence[int], placed: Sequence[Place], needs: Mapping[int, Sequence[int]]) -> str:
    """How the widths of a cycle depend on each other, and what would mend it."""
    joined = [placed[one].item.name for one in cycle if len(needs[one]) > 1]
    if joined:
        part = named_in_circle([placed[one].item.name for one in cycle])[1]
        return f"it would be that of {part} and more; let a layer, which has a width of its own, stand in this loop"
    first, *others = named_in_circle([placed[one].item.name for one in cycle])
    fix = "a merge other than take is as wide as what comes in: let that be a vector of known width"
    return f"{first} is as wide as {', that as '.join(others)}; {fix}"


def _check_merges(
    text: Text,
    placed: Sequence[Place],
    chosen: Sequence[Choice],
    others: Sequence[int | None],
    widths: Sequence[int],
) -> None:
    """Check the second vector of merges that need a particular width."""
    for index, (place, choice) in enumerate(zip(placed, chosen, strict=True)):
        other = others[index]
        if choice.merge is None or other is None or place.source is None or choice.merge.other_width == "any":
            continue
        wanted = 1 if choice.merge.other_width == "one" else widths[place.source]
        if widths[other] != wanted:
            need = f"'{choice.merge.name}' needs a second vector of width {wanted:,}"
            reason = f"{need}, and '{placed[other].item.name}' has {widths[other]:,}"
            raise text.about(place.item).error(reason, _operation_place(place.item))


def _operation_place(item: syntax.Node) -> Location:
    return item.operation_location if isinstance(item, syntax.Merge) else item.location


def _check_uses(text: Text, names: Mapping[str, int], incoming: _Incoming, widths: Sequence[int]) -> None:
    """Raise an error for a use whose cell has another width than the use gives, innermost uses first."""
    for use in reversed(text.model.uses):
        by_itself = isinstance(use.width, syntax.WidthOf)
        wanted = widths[incoming(use.width)] if isinstance(use.width, syntax.WidthOf) else use.width
        found = widths[names[use.name]]
        if found != wanted:
            says = "what comes in, which counts where the use says no width, has" if by_itself else "the use says"
            reason = f"the cell '{use.cell}' makes '{use.name}' {found:,} wide, but {says} {wanted:,}"
            raise text.about(use).error(f"{reason}; its last node must be as wide as the use", use.location)
