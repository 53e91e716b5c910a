"""Removes maps that only copy: whoever reads the copy reads the original. For plans whose operations are not joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .accesses import reads_of, writes_of
from .plan import Access, Map, Operation, Place, Reduce, Segment

Uses = dict[str, list[tuple[int, int, Access]]]  # by buffer the accesses: number of the segment, of the operation
Writes = dict[str, list[tuple[int, int]]]


def without_copies(segments: list[Segment], lanes: int, kept: set[str]) -> list[Segment]:
    """The segments without copies that nobody needs. kept: buffers that are read outside of the operations."""
    copies = {
        (number, place): (operation.target, source)
        for number, segment in enumerate(segments)
        for place, operation in enumerate(segment.operations)
        if isinstance(operation, Map) and operation.target.buffer not in kept and (source := copied(operation))
    }
    if not copies:
        return segments
    reads, writes = uses(segments, {target.buffer for target, _ in copies.values()})
    out = []
    for number, segment in enumerate(segments):
        instead: dict[Place, Place] = {}
        operations: list[Operation] = []
        for place, operation in enumerate(segment.operations):
            if (number, place) in copies:
                target, source = copies[number, place]
                source = instead.get(source, source)
                last = _last_read(target, number, place, reads, writes, segment.operations)
                if last is not None and not is_written(segment.operations[place + 1 : last + 1], source, lanes):
                    instead[target] = source
                    continue
            operations.append(_redirected(operation, instead) if instead else operation)
        out.append(Segment(segment.domain, tuple(operations), segment.shares))
    return out


def uses(segments: list[Segment], of: set[str]) -> tuple[Uses, Writes]:
    """The operations that read and write some buffers."""
    reads: Uses = {}
    writes: Writes = {}
    for number, segment in enumerate(segments):
        for place, operation in enumerate(segment.operations):
            for access in reads_of(operation):
                if access.place.buffer in of:
                    reads.setdefault(access.place.buffer, []).append((number, place, access))
            for target in writes_of(operation):
                if target.buffer in of:
                    writes.setdefault(target.buffer, []).append((number, place))
    return reads, writes


def copied(operation: Map) -> Place | None:
    """What a map copies as it is, or None if it does something else."""
    if len(operation.operands) != 1:
        return None
    (name, access), target = operation.operands[0], operation.target
    plain = operation.expression == name and not (operation.accumulate or operation.exact or operation.shift)
    whole = operation.keep is None and operation.zero is None and access == Access(access.place)
    return access.place if plain and whole and access.place.width == target.width else None


def _last_read(
    target: Place, segment: int, copy: int, reads: Uses, writes: Writes, operations: tuple[Operation, ...]
) -> int | None:
    """The last operation of a segment that reads a copy.

    None if the copy is needed: it is changed, read in part or in another segment, or by more than maps and numbers of
    rows.
    """
    if writes[target.buffer] != [(segment, copy)]:
        return None
    last = copy
    for number, place, access in reads.get(target.buffer, ()):
        if number != segment or place <= copy or access.place != target or access.shift:
            return None
        if not isinstance(operations[place], Map | Reduce):
            return None
        last = max(last, place)
    return last


def is_written(operations: Sequence[Operation], source: Place, lanes: int) -> bool:
    """Whether one of the operations writes to a place, but for the last one, which may write all of it: element by
    element, after it has read the same element."""
    written = [target for operation in operations for target in writes_of(operation) if target.overlaps(source, lanes)]
    return bool(written) and (written != [source] or source not in writes_of(operations[-1]))


def _redirected(operation: Operation, instead: dict[Place, Place]) -> Operation:
    """An operation that reads the originals. Only maps and numbers of rows can: others need the copy."""
    if not isinstance(operation, Map | Reduce):
        return operation
    operands = tuple(
        (name, access._replace(place=instead.get(access.place, access.place))) for name, access in operation.operands
    )
    return replace(operation, operands=operands) if operands != operation.operands else operation
