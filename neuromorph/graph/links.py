"""Decides which links of a text reach back in time and which stay within the step."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import nearest
from ..host.frozen import frozen
from ..language import syntax
from .functions import Choice, Text
from .nodes import topological
from .placement import Place

_Bits: TypeAlias = NDArray[np.uint8]
_NAMED = 20  # the most nodes of a cycle that a message names


@frozen
class Links:
    """For each node its source, the second node that it reads, and the number of steps back to that node's value.

    A source is None where nothing comes in, or where the value does not depend on it.
    """

    sources: tuple[int | None, ...]
    others: tuple[int | None, ...]
    steps: tuple[int, ...]

    @classmethod
    def decide(cls, text: Text, placed: Sequence[Place], names: Mapping[str, int], chosen: Sequence[Choice]) -> Links:
        sources = _sources(placed, chosen)
        others = tuple(_other(text, place.item, names) for place in placed)
        said = [_steps(place.item) for place in placed]
        _check_this_step(text, placed, sources, others, said)
        within = [None if steps else other for other, steps in zip(others, said, strict=True)]
        open_links = [merge for merge, other in enumerate(within) if other is not None and said[merge] is None]
        delayed = {merge for merge in open_links if others[merge] == merge}
        asked = [merge for merge in open_links if within[merge] > merge]  # type: ignore[operator]
        delayed.update(_decide_later(sources, within, asked))
        steps = tuple(int(merge in delayed) if given is None else given for merge, given in enumerate(said))
        return cls(sources, others, steps)


def check_this_step(text: Text, placed: Sequence[Place], chosen: Sequence[Choice]) -> None:
    """Raise an error for a link of a body that must read this step and closes a cycle.

    Where a parameter leaves open how many steps back a link reads, the link closes no cycle.
    """
    names = {place.item.name: index for index, place in enumerate(placed)}
    merges = [place.item if isinstance(place.item, syntax.Merge) else None for place in placed]
    others = [None if merge is None else names.get(merge.other) for merge in merges]
    is_open = [merge is not None and isinstance(merge.steps, syntax.Reference) for merge in merges]
    said = [1 if left else _steps(place.item) for left, place in zip(is_open, placed, strict=True)]
    _check_this_step(text, placed, _sources(placed, chosen), others, said)


def _sources(placed: Sequence[Place], chosen: Sequence[Choice]) -> tuple[int | None, ...]:
    """The nodes whose values come into the nodes and count there."""
    return tuple(place.source if choice.reads_source else None for place, choice in zip(placed, chosen, strict=True))


def _other(text: Text, item: syntax.Node, names: Mapping[str, int]) -> int | None:
    if not isinstance(item, syntax.Merge):
        return None
    if item.other in names:
        return names[item.other]
    reason = f"'{item.name}' merges with '{item.other}', which is no node of this model"
    raise text.about(item).error(f"{reason}{_meant(text, item.other, names)}", item.other_location)


def _meant(text: Text, other: str, names: Iterable[str]) -> str:
    """The end of the message about an unknown name, which suggests another one."""
    use = next((use for use in text.model.uses if other == f"{use.name}.{use.last}"), None)
    if use is not None:
        return f": the last node of a cell has the name of the use, '{use.name}'"
    near = nearest(other, names)
    return f": did you mean '{near}'?" if near is not None else ""


def _steps(item: syntax.Node) -> int | None:
    """The number of steps back that the text of a merge gives; None if it gives none."""
    steps = item.steps if isinstance(item, syntax.Merge) else None
    assert not isinstance(steps, syntax.Reference), "references are put in place by expansion"
    return steps


def _check_this_step(
    text: Text,
    placed: Sequence[Place],
    sources: Sequence[int | None],
    others: Sequence[int | None],
    said: Sequence[int | None],
) -> None:
    """Raise an error for a link that must read this step and closes a cycle.

    A cycle counts if it consists of such links and of links to nodes that are earlier in the text.
    """
    needs = {
        index: [read for read in (source, other) if read is not None]
        for index, (source, other) in enumerate(zip(sources, _standing(others, said), strict=True))
    }
    done = topological(needs)
    if len(done) == len(needs):
        return
    cycle = _cycle(needs, set(needs).difference(done))
    merge = min(index for index in cycle if said[index] == 0 and others[index] in cycle)
    item = placed[merge].item
    assert isinstance(item, syntax.Merge)
    loop = " reads ".join(named_in_circle([placed[index].item.name for index in cycle]))
    reason = f"'{item.name}' can't read '{item.other}' of this step, which depends on it: {loop}"
    fix = "write 1 or more to read an earlier step"
    raise text.about(item).error(f"{reason}; {fix}", item.steps_location or item.location)


def _standing(others: Sequence[int | None], said: Sequence[int | None]) -> list[int | None]:
    """The links that certainly stay within the step: those that say so, and those to nodes earlier in the text."""
    return [
        other if other is not None and (steps == 0 or (steps is None and other < index)) else None
        for index, (other, steps) in enumerate(zip(others, said, strict=True))
    ]


def _cycle(needs: Mapping[int, Sequence[int]], left: set[int]) -> list[int]:
    """A cycle among the nodes ``left``, each of which needs another one; in the order in which they read each other."""
    path: dict[int, None] = {}
    index = min(left)
    while index not in path:
        path[index] = None
        index = next(one for one in needs[index] if one in left)
    nodes = list(path)
    return nodes[nodes.index(index) :]


def named_in_circle(names: Sequence[str]) -> list[str]:
    """The names of a cycle in quotes, the first once more at the end; of a long cycle, the middle is left out."""
    quoted = [f"'{name}'" for name in (*names, names[0])]
    if len(quoted) <= _NAMED:
        return quoted
    half = _NAMED // 2
    return [*quoted[:half], f"… {len(quoted) - 2 * half:,} more …", *quoted[-half:]]


def _decide_later(sources: Sequence[int | None], others: Sequence[int | None], asked: Sequence[int]) -> list[int]:
    """The merges of ``asked`` that read the previous step, because their `other` depends on them.

    The `other` of each merge in ``asked`` comes later in the text. others: for each node, the node that it reads within
    the step, if it may. The method keeps a row of bits for each `other`: the bits are the merges that it depends on. At
    first only the links that are not in ``asked`` count. Then the merges are decided in text order. A merge whose own
    bit is set in the row of its `other` would close a cycle, so it reads the previous step. Otherwise its link counts
    from now on, and the row of its `other` is added to every row that depends on the merge. The rows are in the order
    of their last use, so that rows and columns that are no longer used can be skipped.
    """
    links = [(merge, other) for merge in asked if (other := others[merge]) is not None]
    last_use = {other: column for column, (_, other) in enumerate(links)}
    row_of = {other: row for row, other in enumerate(sorted(last_use, key=last_use.__getitem__))}
    open_links = set(asked)
    standing = [None if index in open_links else other for index, other in enumerate(others)]
    rows = _dependences(sources, standing, asked)[list(row_of)]
    last_uses = sorted(last_use.values())
    delayed: list[int] = []
    for column, (merge, other) in enumerate(links):
        byte, row = column // 8, row_of[other]
        if rows[row, byte] >> column % 8 & 1:
            delayed.append(merge)
        elif rows[row, byte:].any():
            first = bisect_left(last_uses, column)
            _hand_on(rows[first:, byte:], rows[row, byte:], column % 8)
    return delayed


def _hand_on(rows: _Bits, row: _Bits, bit: int) -> None:
    """Add the bits of ``row`` to every row that has ``bit`` set in its first byte."""
    dependent = rows[:, 0] >> np.uint8(bit) & 1 == 1
    rows[dependent] |= row


def _dependences(sources: Sequence[int | None], others: Sequence[int | None], merges: Sequence[int]) -> _Bits:
    """A row of bits for each node: the merges that it depends on through what it reads. There is no cycle."""
    rows = np.zeros((len(sources), (len(merges) + 7) // 8), np.uint8)
    for column, merge in enumerate(merges):
        rows[merge, column // 8] = 1 << column % 8
    needs = {
        index: [read for read in pair if read is not None and read != index]
        for index, pair in enumerate(zip(sources, others, strict=True))
    }
    for index in topological(needs):
        for read in needs[index]:
            rows[index] |= rows[read]
    return rows
