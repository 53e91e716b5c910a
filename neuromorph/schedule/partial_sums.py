"""Divides layers that are too narrow to be cut by columns: threads divide the dimension that they sum over.

If a narrow layer reads a vector that is cut, each thread multiplies its own columns of the vector with its own rows of
the weights, so neither moves between threads. Each thread writes its partial sums, which are as narrow as the layer.
Then every thread adds up the partial sums of all threads for some of the rows.
"""

from __future__ import annotations

from dataclasses import replace

from ..graph.recurrence import WINDOW
from ..host.cpu import CACHE_LINE
from .column_split import inner_cuts, width_of
from .plan import Buffer, Operation, Partials, Plan, Product, Segment, Sum, padded, vectors_in


def divide_inner(plan: Plan, registers: int, threads: int, size: int) -> Plan:
    """A plan whose narrow products are replaced by partial sums of ``threads`` threads; one with loops stays as it is.

    size: the bytes of a number.
    """
    if any(segment.domain != WINDOW for segment in plan.forward):
        return plan
    divided = _Divided(plan, registers, threads, size)
    forward, backward = (tuple(map(divided.segment, segments)) for segments in (plan.forward, plan.backward))
    buffers = [Buffer(p.buffer, p.width * threads, "window", p.buffer) for p in divided.partials]
    strides = plan.strides | {buffer.name: buffer.stride for buffer in buffers}
    return replace(plan, forward=forward, backward=backward, buffers=(*plan.buffers, *buffers), strides=strides)


class _Divided:
    def __init__(self, plan: Plan, registers: int, threads: int, size: int) -> None:
        self.plan, self.registers, self.threads, self.size = plan, registers, threads, size
        self.partials: list[Partials] = []

    def segment(self, segment: Segment) -> Segment:
        """The segment, with each narrow product replaced by a product that makes partial sums, and their sum."""
        return replace(segment, operations=tuple(part for op in segment.operations for part in self.parts(op)))

    def parts(self, operation: Operation) -> tuple[Operation, ...]:
        """The operation itself, or the two that replace it."""
        if not isinstance(operation, Product) or operation.kind == "weight" or not self.is_narrow(operation):
            return (operation,)
        assert operation.target is not None
        width = padded(width_of(self.plan, operation), max(self.plan.lanes, CACHE_LINE // self.size))
        partials = Partials(f"p{len(self.partials)}", width, self.threads)
        self.partials.append(partials)
        alone = replace(operation, start="zero", epilogue=None, partials=partials)
        return alone, Sum(operation, partials, f"{operation.note}, the sums of all threads")

    def is_narrow(self, product: Product) -> bool:
        """Whether a product has one panel, which can't be cut, and sums over a vector that can be cut."""
        widths = width_of(self.plan, product), product.source.place.width
        wide, deep = (vectors_in(width, self.plan.lanes) for width in widths)
        return inner_cuts(wide, deep, self.registers, self.threads) is not None
