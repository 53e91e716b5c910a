"""Puts buffers whose lifetimes do not overlap into the same block of the workspace.

A buffer lives from the operation that first writes it to the last one that reads it, in the order of the plan. This
holds in a loop over time too: a step touches only its own rows, except for the state of the step before, which has a
block of its own. Buffers share a block only if they have equally many rows with the same stride. Row r of both is then
at the same place, so threads that own different rows or columns never touch the same memory because of a shared block.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from .accesses import buffers_touched, reads_of, writes_of
from .passes import Places
from .plan import Access, Block, Buffer, Map, Operation, Place, Product, Reduce

_TRIED = 64  # buffers at most whose place a new one may try to take, so that an operation with thousands costs little


class Lifetime(NamedTuple):
    """The numbers of the first and the last operation that touch a buffer."""

    first: int
    last: int


def lifetimes(operations: Iterable[Operation]) -> dict[str, Lifetime]:
    """The lifetime of each buffer that operations touch, by its name."""
    first, last = dict[str, int](), dict[str, int]()
    for number, operation in enumerate(operations):
        for name in buffers_touched(operation):
            first.setdefault(name, number)
            last[name] = number
    return {name: Lifetime(begin, last[name]) for name, begin in first.items()}


def share_blocks(
    operations: Sequence[Operation],
    lives: Mapping[str, Lifetime],
    buffers: Iterable[Buffer],
    alone: set[str],
    lanes: int,
) -> tuple[Buffer, ...]:
    """The buffers, each with the name of the first buffer in its block.

    lives: the lifetimes of the buffers that the operations touch. alone: buffers that are needed beyond one window;
    each has a block of its own. So has each buffer with elements that nothing writes, such as the padding after a
    concatenation: they are zero and must stay so.
    """
    given = tuple(buffers)
    kept = alone | _partly_written(operations)
    begun: dict[int, list[Buffer]] = {}  # by the operation that touches them first
    for buffer in given:
        if buffer.name in lives and buffer.name not in kept:
            begun.setdefault(lives[buffer.name].first, []).append(buffer)
    kinds = defaultdict[tuple[str, int], _Blocks](_Blocks)  # by kind; a block fits every buffer of its kind
    block_of: dict[str, str] = {}
    for first in sorted(begun):
        writer = _Writer(operations[first], lanes)
        for buffer in begun[first]:
            blocks = kinds[buffer.rows, buffer.stride]
            block_of[buffer.name] = blocks.take(buffer.name, lives[buffer.name], writer)
    return tuple(_moved(buffer, block_of.get(buffer.name, buffer.name)) for buffer in given)


def _moved(buffer: Buffer, block: str) -> Buffer:
    """A buffer in a block."""
    return buffer if block == buffer.block else Buffer(buffer.name, buffer.stride, buffer.rows, block, buffer.depth)


def _partly_written(operations: Iterable[Operation]) -> set[str]:
    """The buffers with a statement that leaves the padding of a row as it is."""
    blocks = (operation for operation in operations if isinstance(operation, Block))
    maps = (statement for block in blocks for statement in block.maps if isinstance(statement, Map))
    return {statement.target.buffer for statement in maps if statement.exact}


class _Blocks:
    """The blocks of one kind, and the operation after which each is free. Buffers must come in the order in which they
    begin."""

    def __init__(self) -> None:
        self._names: list[str] = []  # of blocks, in the order in which they were made
        self._ending: dict[int, list[tuple[int, str]]] = {}  # by operation: each (block, buffer) that it touches last
        self._ends: list[int] = []  # a heap of these operations
        self._free: list[tuple[int, int]] = []  # a heap of free blocks: the one free since last, then the oldest

    def take(self, name: str, life: Lifetime, begins: _Writer) -> str:
        """The block for a buffer: the one that became free last, or a new one.

        Preferred is a block whose buffer is last read by the operation that first writes the new one.
        """
        while self._ends and self._ends[0] < life.first:
            number = heappop(self._ends)
            for block, _ in self._ending.pop(number):
                heappush(self._free, (-number, block))
        found = self._left_by(life.first, begins, name)
        if found is None and self._free:
            found = heappop(self._free)[1]
        if found is None:
            found = len(self._names)
            self._names.append(name)
        if life.last not in self._ending:
            self._ending[life.last] = []
            heappush(self._ends, life.last)
        insort(self._ending[life.last], (found, name))
        return self._names[found]

    def _left_by(self, number: int, begins: _Writer, name: str) -> int | None:
        """A block whose buffer this operation is the last one to read and may overwrite, or None."""
        ending = self._ending.get(number, [])
        for place, (block, before) in enumerate(ending[:_TRIED]):
            if begins.in_place(before, name):
                del ending[place]
                return block
        return None


class _Writer:
    """Finds the buffers that an operation both reads and may overwrite."""

    def __init__(self, operation: Operation, lanes: int) -> None:
        self.operation, self._lanes, self._is_known = operation, lanes, False

    def _look(self) -> None:
        """Find out what the operation reads and writes, when that is first asked for."""
        if self._is_known:
            return
        self._is_known, operation = True, self.operation
        self._stored = Places(self._lanes)
        self._written: dict[str, dict[Place, int]] = {}  # by buffer: the first statement that writes a place
        self._read: dict[str, list[tuple[int, int, Access]]] = {}  # by buffer: what is read, by which pass, statement
        passes = operation.passes if isinstance(operation, Block) else ((operation,),)
        numbered = enumerate((count, statement) for count, statements in enumerate(passes) for statement in statements)
        for number, (count, statement) in numbered:
            for place in writes_of(statement):
                if not isinstance(statement, Map | Reduce) or statement.store:
                    self._stored.add(place)
                    self._written.setdefault(place.buffer, {}).setdefault(place, number)
            for access in reads_of(statement):
                self._read.setdefault(access.place.buffer, []).append((count, number, access))

    def in_place(self, old: str, new: str) -> bool:
        """Whether the operation may write the buffer ``new`` over ``old``: it reads each vector before it writes it,
        and not again. In a block, a vector that is read whole stays in a register for a pass over the row; a broadcast
        component is read each time."""
        if isinstance(self.operation, Product):
            return False
        self._look()
        if old in self._written:
            return False
        held: set[tuple[int, Place]] = set()
        for count, number, access in self._read.get(old, ()):
            if access.broadcast:
                return False
            if (count, access.place) in held:
                continue
            target = access.place._replace(buffer=new)
            if self._stored.any_over(target) or self._written.get(new, {}).get(target, number) < number:
                return False
            if access.limit is None:
                held.add((count, access.place))
        return True


def in_place(operation: Operation, old: str, new: str, lanes: int) -> bool:
    """Whether an operation may write the buffer ``new`` over ``old``, which it reads."""
    return _Writer(operation, lanes).in_place(old, new)
