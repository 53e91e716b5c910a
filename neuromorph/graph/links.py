"""Decides which links of a text reach back in time and which stay within the step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..errors import nearest
from ..host.frozen import frozen
from ..language import syntax
from .functions import Choice, Text
from .nodes import topological
from .placement import Place

_NAMED = 20  # the most nodes of a cycle that a message names
_TOGETHER = 512  # links that are decided by one walk over the nodes


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


def check_this_step(text: Text, placed: Sequence[Place], names: Mapping[str, int], chosen: Sequence[Choice]) -> None:
    """Raise an error for a link of a body that must read this step and closes a cycle.

    Where a parameter leaves open how many steps back a link reads, the link closes no cycle.
    """
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
    the step, if it may. The merges are decided in text order. At first only the links that are not in ``asked`` count.
    A link that would close a cycle with those that count reads the previous step; otherwise it counts from now on. The
    work is bounded by deciding _TOGETHER links at a time: each of these groups walks over the nodes once.
    """
    open_links = set(asked)
    reads = [
        [read for read in (source, None if index in open_links else other) if read is not None and read != index]
        for index, (source, other) in enumerate(zip(sources, others, strict=True))
    ]
    links = [(merge, other) for merge in asked if (other := others[merge]) is not None]
    delayed: list[int] = []
    for start in range(0, len(links), _TOGETHER):
        group = links[start : start + _TOGETHER]
        late = _decide_group(reads, group)
        delayed += late
        for merge, other in group:
            if merge not in late:
                reads[merge].append(other)
    return delayed


def _decide_group(reads: Sequence[Sequence[int]], links: Sequence[tuple[int, int]]) -> set[int]:
    """The merges of some links, each (merge, other), that read the previous step.

    For each link there is a row of bits, one for each link: the merges that its `other` depends on. A link whose own
    bit is set in its row would close a cycle. Otherwise its row is added to those of later links that have its bit.
    """
    rows = _dependences(reads, links)
    late: set[int] = set()
    for column, (merge, _) in enumerate(links):
        row, bit = rows[column], 1 << column
        if row & bit:
            late.add(merge)
        elif row:
            rows[column + 1 :] = [one | row if one & bit else one for one in rows[column + 1 :]]
    return late


def _dependences(reads: Sequence[Sequence[int]], links: Sequence[tuple[int, int]]) -> list[int]:
    """For each link (merge, other) the merges that its `other` depends on, as bits. There is no cycle."""
    bits = {merge: 1 << column for column, (merge, _) in enumerate(links)}
    found: dict[int, int] = {}
    waiting = [other for _, other in links]
    while waiting:
        index = waiting[-1]
        first = [] if index in found else [read for read in reads[index] if read not in found]
        if first:
            waiting += first
            continue
        waiting.pop()
        if index not in found:
            row = bits.get(index, 0)
            for read in reads[index]:
                row |= found[read]
            found[index] = row
    return [found[other] for _, other in links]
