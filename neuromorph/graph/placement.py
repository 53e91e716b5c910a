"""Lists the nodes of a text in text order, each with the node before it, and checks the input and the output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ..errors import MDLSemanticError
from ..host.frozen import frozen
from ..language import syntax
from .functions import Text


@frozen
class Place:
    """A node of the text. source: the index of the node before it. last: whether the node ends its branch."""

    item: syntax.Node
    source: int | None
    last: bool


def flatten(nodes: Sequence[syntax.Node]) -> list[Place]:
    """All nodes of a branch in text order; a split comes before the nodes of its branches."""
    placed: list[Place] = []
    open_branches: list[Iterator[tuple[syntax.Node, bool]]] = [_with_end(nodes)]
    sources: list[int | None] = [None]
    while open_branches:
        item, last = next(open_branches[-1], (None, False))
        if item is None:
            open_branches.pop()
            sources.pop()
            continue
        placed.append(Place(item, sources[-1], last))
        sources[-1] = len(placed) - 1
        if isinstance(item, syntax.Split):
            branches = [branch for branch in item.branches if branch]
            open_branches.extend(_with_end(branch) for branch in reversed(branches))
            sources.extend([sources[-1]] * len(branches))
    return placed


def _with_end(branch: Sequence[syntax.Node]) -> Iterator[tuple[syntax.Node, bool]]:
    return ((item, position == len(branch)) for position, item in enumerate(branch, start=1))


def index_names(text: Text, placed: Sequence[Place], where: str = "the whole model") -> dict[str, int]:
    """The indices of nodes by name, which must be unique. where: what the nodes make up, for the message."""
    names: dict[str, int] = {}
    for index, place in enumerate(placed):
        if place.item.name in names:
            raise _taken(text, placed, names, place.item, where)
        names[place.item.name] = index
    return names


def _taken(
    text: Text, placed: Sequence[Place], names: Mapping[str, int], item: syntax.Node, where: str
) -> MDLSemanticError:
    """The error for a node whose name an earlier one has, or for the use of a cell around it whose name is taken."""
    taken = [use for use in _uses_around(item) if use.name in names]
    location = item.location
    if taken:
        location = taken[-1].location
        item = replace(item, name=taken[-1].name, origin=taken[-1].outer)
    first = placed[names[item.name]].item
    named = [use.location for use in _uses_around(first) if use.name == first.name]
    reason = f"the name '{item.name}' is taken: it first stands in {[first.location, *named][-1]}"
    return text.about(item).error(f"{reason}; names are unique in {where}", location)


def _uses_around(item: syntax.Node) -> Iterator[syntax.Origin]:
    """The uses of cells that a node comes from, the innermost first."""
    origin = item.origin
    while origin is not None:
        yield origin
        origin = origin.outer


# Input and output


def check_ends(text: Text, placed: Sequence[Place]) -> int:
    """Check that there is one input and one output, each in its place, and return the index of the output."""
    _check_input(text, placed)
    outputs = [index for index, place in enumerate(placed) if _has_loss(place.item)]
    if not outputs:
        reason = "the model has no output: one layer needs an activation and a loss"
        last = text.model.nodes[-1]
        raise text.about(last).error(f"{reason}, such as (output, 4, <linear>, <mse>)", last.location)
    first = placed[outputs[0]].item
    if len(outputs) > 1:
        second = placed[outputs[1]].item
        reason = f"'{second.name}' is a second output; the first, '{first.name}', stands in"
        raise text.error(f"{reason} {first.location}: only one layer has a loss", second.location)
    if not placed[outputs[0]].last:
        raise text.error(f"the output '{first.name}' must end its branch: nothing follows it", first.location)
    return outputs[0]


def _has_loss(item: syntax.Node) -> bool:
    return isinstance(item, syntax.Layer) and item.loss is not None


def _check_input(text: Text, placed: Sequence[Place]) -> None:
    first = placed[0].item
    if not isinstance(first, syntax.Layer) or first.width is None or first.activation is not None:
        reason = f"the model has no input: '{first.name}' stands first, where a layer with just a name"
        raise text.about(first).error(f"{reason} and a width belongs, such as (input, 4)", first.location)
    for place in placed[1:]:
        item = place.item
        if isinstance(item, syntax.Layer) and item.activation is None:
            reason = f"'{item.name}' has no activation and would be a second input; the input is '{first.name}'"
            fix = f"every other layer needs an activation, such as ({item.name}, {item.width}, <tanh>)"
            raise text.error(f"{reason}: {fix}", item.location)
