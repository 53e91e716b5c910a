"""Puts nodes in rows, so that every node stands below all that it reads, and orders rows so that few lines cross.

These are the first two phases of the layered method of Sugiyama, Tagawa and Toda ("Methods for visual understanding of
hierarchical system structures", 1981). A line that passes through a row gets a bend there: a vertex without a node. All
lines that leave one node share their bends.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from graphlib import TopologicalSorter
from heapq import heappop, heappush
from typing import TypeAlias

from ..host.frozen import frozen
from .geometry import Link

SWEEPS = 40
WORK = 30_000  # the most vertices of all sweeps together, so that a large graph takes seconds at most
PATIENCE = 10  # sweeps without improvement before the search ends
FAITHFUL = 4  # the first sweeps, which keep the order of the text where crossings are equal
EXCHANGES = 4  # the most rounds of exchanging neighbours after a sweep

Order: TypeAlias = list[list[int]]


@frozen
class Rows:
    """Vertices in rows: first the nodes, numbered as in the graph, then the bends.

    order: the vertices of each row from left to right. uppers, lowers: for each vertex, the vertices in the row above
    or below that a line connects it to. bends: the bend of a node's lines in a row, by (node, row).
    """

    nodes: int
    rank: tuple[int, ...]
    order: tuple[tuple[int, ...], ...]
    uppers: tuple[tuple[int, ...], ...]
    lowers: tuple[tuple[int, ...], ...]
    bends: dict[tuple[int, int], int]

    def chain(self, link: Link) -> list[int]:
        """The vertices that a link within the step goes through."""
        between = range(self.rank[link.source] + 1, self.rank[link.target])
        return [link.source, *(self.bends[link.source, row] for row in between), link.target]


def topological(count: int, links: Sequence[Link]) -> list[int]:
    """All nodes, each after those that it reads within the step. Of several possible orders, small indices come
    first."""
    sorter = TopologicalSorter[int](dict.fromkeys(range(count), ()))
    for link in links:
        if link.role != "time":
            sorter.add(link.target, link.source)
    sorter.prepare()
    ready: list[int] = []
    found: list[int] = []
    while sorter.is_active():
        for node in sorter.get_ready():
            heappush(ready, node)
        found.append(heappop(ready))
        sorter.done(found[-1])
    return found


def ranks(count: int, links: Sequence[Link]) -> list[int]:
    """The row of each node: the length of the longest path to it from the first node.

    A node that no such path leads to, such as a learned vector, stands right above the first node that reads it.
    """
    reads: list[list[int]] = [[] for _ in range(count)]
    for link in links:
        if link.role != "time":
            reads[link.target].append(link.source)
    found, sequence, below = [0] * count, topological(count, links), {0}
    for node in sequence:
        found[node] = max((found[read] + 1 for read in reads[node]), default=0)
        if not below.isdisjoint(reads[node]):
            below.add(node)
    _move_down(found, [node for node in sequence if node not in below], reads)
    return found


def _move_down(rank: list[int], free: Sequence[int], reads: Sequence[Sequence[int]]) -> None:
    """Move the nodes ``free`` as far down as their readers allow.

    In ``free``, each node comes after those that it reads.
    """
    nearest: dict[int, int] = {}
    waiting = set(free)
    for node in (*(node for node in range(len(rank)) if node not in waiting), *reversed(free)):
        if node in waiting:
            rank[node] = nearest.get(node, rank[node] + 1) - 1
        for read in reads[node]:
            nearest[read] = min(rank[node], nearest.get(read, rank[node]))


def vertex_count(rank: Sequence[int], links: Sequence[Link]) -> int:
    """The number of vertices, nodes and bends, that the rows would have."""
    last = list(rank)
    for link in links:
        if link.role != "time":
            last[link.source] = max(last[link.source], rank[link.target] - 1)
    return len(rank) + sum(end - first for first, end in zip(rank, last, strict=True))


def make_rows(rank: Sequence[int], links: Sequence[Link]) -> Rows:
    """Rows with few crossings for nodes in given rows. rank: the row of each node."""
    vertices, bends = list(rank), dict[tuple[int, int], int]()
    for link in links:
        for row in range(rank[link.source] + 1, rank[link.target]) if link.role != "time" else ():
            if (link.source, row) not in bends:
                bends[link.source, row] = len(vertices)
                vertices.append(row)
    uppers: list[list[int]] = [[] for _ in vertices]
    lowers: list[list[int]] = [[] for _ in vertices]
    for above, below in _segments(rank, links, bends):
        uppers[below].append(above)
        lowers[above].append(below)
    order = _fewest_crossings(_first_order(vertices, lowers), uppers, lowers)
    return Rows(len(rank), tuple(vertices), _frozen(order), _frozen(uppers), _frozen(lowers), bends)


def _frozen(many: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(map(tuple, many))


def _segments(
    rank: Sequence[int], links: Sequence[Link], bends: dict[tuple[int, int], int]
) -> dict[tuple[int, int], None]:
    """The pairs of vertices in neighbouring rows that a line connects, each pair once."""
    found: dict[tuple[int, int], None] = {}
    for link in links:
        if link.role == "time":
            continue
        above = link.source
        for row in range(rank[link.source] + 1, rank[link.target]):
            found[above, bends[link.source, row]] = None
            above = bends[link.source, row]
        found[above, link.target] = None
    return found


def _first_order(rank: Sequence[int], lowers: Sequence[Sequence[int]]) -> Order:
    """The first order of the rows, found by a depth-first search from the nodes that read nothing.

    A node that comes first in the text stands further left.
    """
    order: Order = [[] for _ in range(max(rank) + 1)]
    read = {below for found in lowers for below in found}
    roots = [vertex for vertex in range(len(rank)) if vertex not in read]
    seen, waiting = set(roots), roots[::-1]
    while waiting:
        vertex = waiting.pop()
        order[rank[vertex]].append(vertex)
        fresh = [below for below in lowers[vertex] if below not in seen]
        seen.update(fresh)
        waiting.extend(reversed(fresh))
    return order


def _fewest_crossings(order: Order, uppers: Sequence[Sequence[int]], lowers: Sequence[Sequence[int]]) -> Order:
    """The best order that sweeps down and up find.

    The first sweeps keep the order of the text among vertices that are equally good in either order. Some later sweeps
    reverse it, so that the search does not get stuck.
    """
    best, fewest, stale = order, crossings(order, lowers), 0
    for sweep in range(min(SWEEPS, 1 + WORK // len(uppers))):
        if fewest == 0 or stale == PATIENCE:
            break
        free = sweep >= FAITHFUL
        order = _swept(order, uppers if sweep % 2 == 0 else lowers, sweep % 2 == 0, free and sweep % 4 >= 2)
        order = _exchanged(order, uppers, lowers, free and sweep % 2 == 1)
        found = crossings(order, lowers)
        stale = 0 if found < fewest else stale + 1
        if found < fewest:
            best, fewest = order, found
    return best


def places(order: Sequence[Sequence[int]]) -> dict[int, int]:
    """The place of each vertex in its row, counted from 0 at the left."""
    return {vertex: place for row in order for place, vertex in enumerate(row)}


def _swept(order: Order, neighbours: Sequence[Sequence[int]], downward: bool, turned: bool) -> Order:
    """The order after one sweep: every row is sorted by the mean place of each vertex's neighbours.

    The neighbours are those in the row that was sorted before. turned: reverse the order of vertices with the same
    mean.
    """
    place, found = places(order), [list(row) for row in order]
    for row in found if downward else reversed(found):
        middle = {v: _mean([place[n] for n in neighbours[v]], place[v]) for v in row}
        if turned:
            row.reverse()
        row.sort(key=middle.__getitem__)
        place.update((vertex, position) for position, vertex in enumerate(row))
    return found


def _mean(numbers: Sequence[int], otherwise: float) -> float:
    return sum(numbers) / len(numbers) if numbers else otherwise


def _exchanged(
    order: Order, uppers: Sequence[Sequence[int]], lowers: Sequence[Sequence[int]], equal: bool
) -> Order:  # fmt: skip
    """The order after exchanging neighbours whose lines then cross less.

    equal: in the first round, exchange also those whose lines then cross as often as before.
    """
    place, found = places(order), [list(row) for row in order]
    for turn in range(EXCHANGES):
        least, changed = 0 if equal and turn == 0 else 1, False
        for row in found:
            for left in range(len(row) - 1):
                if _gain(row[left], row[left + 1], (uppers, lowers), place) >= least:
                    row[left], row[left + 1] = row[left + 1], row[left]
                    place[row[left]], place[row[left + 1]] = left, left + 1
                    changed = True
        if not changed:
            break
    return found


def _gain(left: int, right: int, both: Sequence[Sequence[Sequence[int]]], place: dict[int, int]) -> int:
    """How many crossings disappear when two neighbours are exchanged."""
    gain = 0
    for neighbours in both:
        one, other = (sorted(place[n] for n in neighbours[vertex]) for vertex in (left, right))
        gain += _inversions(one, other) - _inversions(other, one)
    return gain


def _inversions(left: Sequence[int], right: Sequence[int]) -> int:
    return sum(bisect_left(right, place) for place in left)


def crossings(order: Sequence[Sequence[int]], lowers: Sequence[Sequence[int]]) -> int:
    """The number of pairs of lines between neighbouring rows that cross."""
    place, count = places(order), 0
    for row in order:
        ends: list[int] = []
        for vertex in row:
            below = sorted(place[lower] for lower in lowers[vertex])
            count += sum(len(ends) - bisect_left(ends, end + 1) for end in below)
            for end in below:
                insort(ends, end)
    return count
