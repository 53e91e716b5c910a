"""Buffers whose lifetimes do not overlap stand in one block of the workspace.

A buffer lives from the operation that first writes it to the last that reads it, in the order of the plan. In a time
loop that order holds step by step: a loop touches the rows of its own step only, but for the state of the step before,
which has a block of its own. Buffers share a block only where their rows are as many and as far apart. Row r of both is
then in the same place, so that threads, each with rows or columns of its own, never meet in a block where they would
not have met in a buffer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from .accesses import reads_of, writes_of
from .plan import Access, Block, Buffer, Loss, Map, Operation, Place, Product, Rows, Segment, padded


@dataclass(frozen=True)
class Lifetime:
    """The numbers of the first and the last operation that touch a buffer."""

    first: int
    last: int


def lifetimes(operations: Iterable[Operation]) -> dict[str, Lifetime]:
    """By name, for all buffers that operations touch."""
    found: dict[str, Lifetime] = {}
    for number, operation in enumerate(operations):
        for place in [*writes_of(operation), *(access.place for access in reads_of(operation))]:
            begun = found.get(place.buffer, Lifetime(number, number))
            found[place.buffer] = replace(begun, last=number)
    return found


def share_blocks(
    segments: Iterable[Segment], buffers: Iterable[Buffer], alone: set[str], lanes: int
) -> tuple[Buffer, ...]:
    """The buffers, each with the name of the first one that stands in its block.

    alone: buffers that are more than values of one window. Beside them, those with elements that nothing writes, the
    padding behind a concatenation, have blocks of their own: what they hold there is zero and must stay so.
    """
    operations = [operation for segment in segments for operation in segment.operations]
    lives = lifetimes(operations)
    given = tuple(buffers)
    kept = alone | _partly_written(operations)
    shared = [buffer for buffer in given if buffer.name not in kept and buffer.name in lives]
    last_in: dict[tuple[str, int], dict[str, str]] = {}  # by kind of block: the last buffer in each block
    block_of: dict[str, str] = {}
    for buffer in sorted(shared, key=lambda buffer: lives[buffer.name].first):
        blocks = last_in.setdefault((buffer.rows, buffer.stride), {})
        free = _free(blocks, lives, buffer.name, operations[lives[buffer.name].first], lanes)
        block_of[buffer.name] = free or buffer.name
        blocks[block_of[buffer.name]] = buffer.name
    return tuple(replace(buffer, block=block_of.get(buffer.name, buffer.name)) for buffer in given)


def _partly_written(operations: Iterable[Operation]) -> set[str]:
    """Buffers with statements that leave a row's padding as it is."""
    blocks = (operation for operation in operations if isinstance(operation, Block))
    return {statement.target.buffer for block in blocks for statement in block.maps if statement.exact}


def _free(blocks: dict[str, str], lives: dict[str, Lifetime], name: str, begins: Operation, lanes: int) -> str | None:
    """The block that was left last, best by the very operation with which a buffer begins."""
    best, left_last = None, -1
    for block, before in blocks.items():
        left = lives[before].last
        over = left < lives[name].first or (left == lives[name].first and in_place(begins, before, name, lanes))
        if over and left > left_last:
            best, left_last = block, left
    return best


def in_place(operation: Operation, old: str, new: str, lanes: int) -> bool:
    """Whether an operation may write one buffer over another that it reads: each vector is read before it is written,
    and not again."""
    if any(place.buffer == old for place in writes_of(operation)):
        return False
    if isinstance(operation, Block):
        return _block_in_place(operation.maps, old, new, lanes)
    if isinstance(operation, Rows | Loss):
        (target,) = writes_of(operation)
        return all(_same_vectors(access.place, target) for access in reads_of(operation) if access.place.buffer == old)
    assert isinstance(operation, Product), operation
    return False


def _same_vectors(one: Place, other: Place) -> bool:
    return (one.column, one.width) == (other.column, other.width)


def _block_in_place(maps: tuple[Map, ...], old: str, new: str, lanes: int) -> bool:
    """The same of a block, in which a vector that is read whole stays in a register."""
    written = {m.target: number for number, m in enumerate(maps) if m.store and m.target.buffer == new}
    held: set[Place] = set()
    for number, statement in enumerate(maps):
        added = [Access(statement.target)] if statement.accumulate else []
        for access in [*(access for _, access in statement.operands), *added]:
            place = access.place
            if place.buffer != old or place in held:
                continue
            for target, when in written.items():
                if _meet(place, target, lanes) and (when < number or not _same_vectors(place, target)):
                    return False
            if access.limit is None:
                held.add(place)
    return True


def _meet(one: Place, other: Place, lanes: int) -> bool:
    """Whether two places share columns, padding included, whatever their buffers."""
    return one.column < other.column + padded(other.width, lanes) and other.column < one.column + padded(
        one.width, lanes
    )
