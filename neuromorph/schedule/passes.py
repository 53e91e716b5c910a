"""Passes over operations: they fuse element-by-element work, remove dead stores, and list the buffers."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import accumulate

from ..graph.recurrence import WINDOW
from .accesses import reads_of, writes_of
from .plan import EXTERNAL, Block, Buffer, Map, Operation, Place, Reduce, Segment, padded


class Places:
    """A set of places in which those that share columns are found quickly.

    They are sorted by column, separately for each buffer and each power of two of the padded width.
    """

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        self._all: set[Place] = set()
        self._counts: dict[str, int] = {}  # places by buffer
        self._found: dict[str, dict[int, list[tuple[int, int]]]] = {}  # (column, width) by buffer and kind of width

    def add(self, place: Place) -> None:
        """Add a place."""
        if place not in self._all:
            self._all.add(place)
            self._counts[place.buffer] = self._counts.get(place.buffer, 0) + 1
            kinds = self._found.setdefault(place.buffer, {})
            kind = padded(place.width, self._lanes).bit_length()
            insort(kinds.setdefault(kind, []), (place.column, place.width))

    def any_over(self, place: Place) -> bool:
        """Whether one of the places, but not ``place`` itself, shares columns with ``place``, with padding."""
        found = self._found.get(place.buffer)
        if found is None or (self._counts[place.buffer] == 1 and place in self._all):
            return False
        end = place.column + padded(place.width, self._lanes)
        for kind, columns in found.items():
            first = bisect_left(columns, (place.column - (1 << kind) + 1, 0))
            for number in range(first, bisect_left(columns, (end, 0))):
                column, width = columns[number]
                itself = (column, width) == (place.column, place.width)
                if not itself and column + padded(width, self._lanes) > place.column:
                    return True
        return False


class _Touched:
    """The places that the maps of a block write and read."""

    def __init__(self, lanes: int) -> None:
        self._written, self._all = Places(lanes), Places(lanes)
        self._buffers: set[str] = set()
        self._shifted: set[str] = set()

    def clashes(self, new: Map | Reduce) -> bool:
        """Whether a statement touches, under other columns, what the block writes, or writes what the block touches; or
        whether one of both writes to earlier steps of a buffer that the other touches."""
        if new.shift and new.target.buffer in self._buffers:
            return True
        if self._shifted and not self._shifted.isdisjoint([place.buffer for place in _places_of(new)]):
            return True
        return self._all.any_over(new.target) or any(self._written.any_over(place) for place in _places_of(new))

    def add(self, new: Map | Reduce) -> None:
        self._written.add(new.target)
        if new.shift:
            self._shifted.add(new.target.buffer)
        for place in _places_of(new):
            self._all.add(place)
            self._buffers.add(place.buffer)


def _places_of(statement: Map | Reduce) -> list[Place]:
    return [statement.target, *(access.place for _, access in statement.operands)]


def fuse(operations: Iterable[Operation], lanes: int) -> tuple[Operation, ...]:
    """The operations, with consecutive maps of one padded width fused into blocks."""
    out: list[Operation] = []
    block: list[Map | Reduce] = []
    touched = _Touched(lanes)

    def close() -> None:
        nonlocal touched
        if block:
            out.append(Block(tuple(block)))
            block.clear()
            touched = _Touched(lanes)

    def fits(new: Map | Reduce) -> bool:
        if not block:
            return True
        if padded(block[-1].width, lanes) != padded(new.width, lanes):
            return False
        touched.add(block[-1])
        return not touched.clashes(new)

    for operation in operations:
        if not isinstance(operation, Map | Reduce) or (isinstance(operation, Reduce) and not operation.spread):
            close()
            out.append(operation)
            continue
        if not fits(operation):
            close()
        block.append(operation)
    close()
    return tuple(out)


def drop_dead_stores(segments: list[Segment], lanes: int, kept: set[str]) -> list[Segment]:
    """The segments, with statements marked whose result only later ones of their block read: it stays in registers."""
    read, readers = Places(lanes), dict[Place, Operation | None]()  # the one that reads a place, None for several
    shifted: set[Place] = set()
    for operation in (operation for segment in segments for operation in segment.operations):
        for place, shift, *_ in reads_of(operation):
            if place not in readers:
                read.add(place)
            if readers.setdefault(place, operation) is not operation:
                readers[place] = None
            if shift:
                shifted.add(place)

    def needed(block: Block, number: int) -> bool:
        target = block.maps[number].target
        if target.buffer in kept or target in shifted or read.any_over(target):
            return True
        return readers.get(target, block) is not block

    out = []
    for segment in segments:
        operations: list[Operation] = []
        for operation in segment.operations:
            if isinstance(operation, Block):
                last, again = {m.target: n for n, m in enumerate(operation.maps)}, _read_again(operation)
                ended = {n for n, m in enumerate(operation.maps) if last[m.target] != n or not needed(operation, n)}
                dead = ended - again
                maps = [replace(m, store=False) if n in dead else m for n, m in enumerate(operation.maps)]
                operation = Block(tuple(maps))
            operations.append(operation)
        out.append(Segment(segment.domain, tuple(operations)))
    return out


def _read_again(block: Block) -> set[int]:
    """The maps of a block whose result a later pass over the row reads from memory."""
    if len(block.passes) == 1:
        return set()
    found: set[int] = set()
    made: dict[Place, tuple[int, int]] = {}  # the pass and the number of the last map that wrote a place
    number = 0
    for count, statements in enumerate(block.passes):
        for statement in statements:
            before = (made[access.place] for access in reads_of(statement) if access.place in made)
            found |= {writer for inside, writer in before if inside < count}
            if isinstance(statement, Map):
                made[statement.target] = count, number
            number += 1
    return found


def _in_one_loop(life: tuple[int, int], segments: list[Segment], ends: list[int]) -> bool:
    """Whether all operations from the first to the last one are in one loop. ends: of the segments."""
    first, last = life
    number = bisect_right(ends, first)
    return last < ends[number] and segments[number].domain != WINDOW


def buffers_of(
    segments: list[Segment],
    lives: Mapping[str, tuple[int, int]],
    strides: dict[str, int],
    slots: Mapping[str, int],
    carries: set[str],
) -> tuple[Buffer, ...]:
    """The buffers that operations store to, with as many rows as their use needs.

    lives: the numbers of the first and the last operation that touch a buffer. slots: for each buffer the number of
    steps before the window that it has room for.
    """
    operations = [operation for segment in segments for operation in segment.operations]
    stored = {place.buffer for operation in operations for place in writes_of(operation)}.union(slots, carries)
    ends = list(accumulate(len(segment.operations) for segment in segments))
    loops = {name for name, life in lives.items() if _in_one_loop(life, segments, ends)}
    out = []
    for name in sorted(stored - EXTERNAL, key=lambda n: (n[0], int(n[1:]))):
        if name in slots:
            rows = "slots"
        elif name in carries or name in loops:
            rows = "step"
        else:
            rows = "window"
        out.append(Buffer(name, strides[name], rows, name, slots.get(name, 1)))
    return tuple(out)
