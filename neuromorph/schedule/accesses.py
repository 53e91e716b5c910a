"""Lists the places that an operation reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from .plan import Access, Bias, Block, Columns, Loss, Map, Mask, Operation, Place, Product, Reduce, Rows, Sum

WHOLE_ROW = 1 << 60  # columns: more than any row has


def reads_of(operation: Operation) -> list[Access]:
    """The accesses by which an operation reads, with the target of an accumulation."""
    return _READS[type(operation)](operation)


def _map_reads(statement: Map | Reduce) -> list[Access]:
    reads = [access for _, access in statement.operands]
    if statement.accumulate:
        reads.append(Access(statement.target, statement.shift))
    return reads


def _row_reads(operation: Rows) -> list[Access]:
    return [Access(place) for place in (*operation.operands, *([operation.target] if operation.accumulate else []))]


def _loss_reads(operation: Loss) -> list[Access]:
    return [Access(place) for place in (operation.result, operation.logits) if place is not None]


def _product_reads(operation: Product) -> list[Access]:
    adds = operation.start == "add"
    own = [Access(operation.target, operation.shift)] if operation.target is not None and adds else []
    weight = [Access(Place(f"g{operation.group}", 0, WHOLE_ROW))] if operation.kind == "weight" else []
    beside = operation.epilogue.beside if operation.epilogue is not None else None
    return [operation.source, *own, *weight, *([Access(beside)] if beside is not None else [])]


def _sum_reads(operation: Sum) -> list[Access]:
    of_threads = Access(Place(operation.partials.buffer, 0, operation.partials.width))
    return [of_threads, *_product_reads(operation.product)[1:]]


_READS: dict[type, Callable[[Any], list[Access]]] = {
    Map: _map_reads,
    Reduce: _map_reads,
    Block: lambda operation: [access for m in operation.maps for access in _map_reads(m)],
    Rows: _row_reads,
    Loss: _loss_reads,
    Product: _product_reads,
    Sum: _sum_reads,
    Mask: lambda operation: [],
    Columns: lambda operation: [Access(operation.source)],
    Bias: lambda operation: [Access(Place(f"g{operation.group}", 0, WHOLE_ROW))],
}


def buffers_touched(operation: Operation) -> Collection[str]:
    """The buffers that an operation reads or writes, some of them maybe twice."""
    if type(operation) is Map or type(operation) is Reduce:  # most operations
        return [operation.target.buffer, *[access.place.buffer for _, access in operation.operands]]
    if type(operation) is Block:
        return operation.buffers
    return [place.buffer for place in writes_of(operation)] + [a.place.buffer for a in reads_of(operation)]


def loads_of(operation: Operation) -> list[Access]:
    """The accesses by which an operation reads memory. Values that only pass in registers are left out."""
    passing = {m.target for m in operation.maps if not m.store} if isinstance(operation, Block) else set()
    return [access for access in reads_of(operation) if access.place not in passing]


def writes_of(operation: Operation) -> list[Place]:
    """The places that an operation writes to memory."""
    if type(operation) is Map:  # most operations are maps
        return [operation.target]
    return _WRITES[type(operation)](operation)


def _product_writes(product: Product) -> list[Place]:
    if product.partials is not None:
        return [Place(product.partials.buffer, 0, product.partials.width)]
    return [product.target] if product.target is not None else []


_WRITES: dict[type, Callable[[Any], list[Place]]] = {
    Map: lambda operation: [operation.target],
    Reduce: lambda operation: [operation.target],
    Block: lambda operation: [m.target for m in operation.maps if m.store],
    Rows: lambda operation: [operation.target],
    Loss: lambda operation: [operation.target] if operation.target is not None else [],
    Product: _product_writes,
    Sum: lambda operation: [operation.product.target] if operation.product.target is not None else [],
    Mask: lambda operation: [operation.target],
    Columns: lambda operation: [],
    Bias: lambda operation: [],
}
