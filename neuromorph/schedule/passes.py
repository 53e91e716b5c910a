"""Passes over operations: fusion of element-by-element work, dead stores, and the buffers that are left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .plan import (
    EXTERNAL,
    WINDOW,
    Access,
    Bias,
    Block,
    Buffer,
    Loss,
    Map,
    Operation,
    Place,
    Product,
    Rows,
    Segment,
    padded,
)


def _clashes(block: list[Map], new: Map, lanes: int) -> bool:
    """Whether a map touches, under other columns, what the block writes, or writes what the block touches."""
    mine = [new.target, *(access.place for _, access in new.operands)]
    for old in block:
        theirs = [old.target, *(access.place for _, access in old.operands)]
        if any(p != old.target and p.overlaps(old.target, lanes) for p in mine):
            return True
        if any(p != new.target and p.overlaps(new.target, lanes) for p in theirs):
            return True
    return False


def fuse(operations: Iterable[Operation], lanes: int) -> tuple[Operation, ...]:
    """Consecutive maps of one padded width as blocks."""
    out: list[Operation] = []
    block: list[Map] = []

    def close() -> None:
        if block:
            out.append(Block(tuple(block)))
            block.clear()

    for operation in operations:
        if not isinstance(operation, Map):
            close()
            out.append(operation)
            continue
        if block and (
            padded(block[-1].width, lanes) != padded(operation.width, lanes) or _clashes(block, operation, lanes)
        ):
            close()
        block.append(operation)
    close()
    return tuple(out)


def _reads(operation: Operation) -> list[Access]:
    """What an operation reads, the target of an accumulation included."""
    if isinstance(operation, Block):
        return [access for m in operation.maps for access in _map_reads(m)]
    if isinstance(operation, Rows):
        return [Access(place) for place in (*operation.operands, *([operation.target] if operation.accumulate else []))]
    if isinstance(operation, Loss):
        return [Access(place) for place in (operation.result, operation.logits) if place is not None]
    if isinstance(operation, Product):
        own = [Access(operation.target)] if operation.target is not None and operation.start == "add" else []
        weight = [Access(Place(f"g{operation.group}", 0, 1 << 60))] if operation.kind == "weight" else []
        return [operation.source, *own, *weight]
    if isinstance(operation, Bias):
        return [Access(Place(f"g{operation.group}", 0, 1 << 60))]
    return _map_reads(operation)


def _map_reads(statement: Map) -> list[Access]:
    return [access for _, access in statement.operands] + ([Access(statement.target)] if statement.accumulate else [])


def drop_dead_stores(segments: list[Segment], lanes: int, kept: set[str]) -> list[Segment]:
    """Marks the maps whose result only later maps of their own block read: it never leaves the registers."""
    everywhere = [(id(op), access) for s in segments for op in s.operations for access in _reads(op)]
    by_buffer: dict[str, list[tuple[int, Access]]] = {}
    for owner, access in everywhere:
        by_buffer.setdefault(access.place.buffer, []).append((owner, access))

    def needed(block: Block, number: int) -> bool:
        target = block.maps[number].target
        if target.buffer in kept:
            return True
        for owner, access in by_buffer.get(target.buffer, []):
            if access.place.overlaps(target, lanes) and (owner != id(block) or access.shift or access.place != target):
                return True
        return False

    out = []
    for segment in segments:
        operations: list[Operation] = []
        for operation in segment.operations:
            if isinstance(operation, Block):
                stores = [needed(operation, n) for n in range(len(operation.maps))]
                last = {m.target: n for n, m in enumerate(operation.maps)}
                operation = Block(
                    tuple(replace(m, store=stores[n] and last[m.target] == n) for n, m in enumerate(operation.maps))
                )
            operations.append(operation)
        out.append(Segment(segment.domain, tuple(operations)))
    return out


def _writes(operation: Operation) -> list[Place]:
    if isinstance(operation, Block):
        return [m.target for m in operation.maps if m.store]
    target = getattr(operation, "target", None)
    return [target] if target is not None else []


def buffers_of(
    segments: list[Segment], strides: dict[str, int], slots: set[str], carries: set[str]
) -> tuple[Buffer, ...]:
    """The buffers that something is stored in, with as many rows as their use needs."""
    used: dict[str, set[int]] = {}
    for number, segment in enumerate(segments):
        for operation in segment.operations:
            for place in [*_writes(operation), *(access.place for access in _reads(operation))]:
                used.setdefault(place.buffer, set()).add(number)
    stored = {place.buffer for s in segments for op in s.operations for place in _writes(op)} | slots | carries
    out = []
    for name in sorted(stored - EXTERNAL, key=lambda n: (n[0], int(n[1:]))):
        where = used.get(name, set())
        if name in slots:
            rows = "slots"
        elif name in carries or (len(where) == 1 and segments[min(where)].domain != WINDOW):
            rows = "step"
        else:
            rows = "window"
        out.append(Buffer(name, strides[name], rows))
    return tuple(out)
