"""Divides layers by columns: if weights are many and rows few, each thread computes some columns of a layer.

A thread's columns and their weights stay in the caches of its processor; only the vectors between layers move from one
thread to another. Layers too narrow to be cut are divided by the dimension that they sum over (``partial_sums.py``), or
else by rows, as softmax and the loss are. Threads wait at a barrier only if one of them needs values that another has
written, or would overwrite values that another may still be reading. In a loop over time that is at least once a step,
and what can't be cut there is done by the first thread alone.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise

from ..graph.recurrence import WINDOW
from ..host.frozen import frozen
from .layout import panel_of
from .passes import Places
from .plan import (
    EXTERNAL,
    Access,
    Block,
    Loss,
    Map,
    Operation,
    Plan,
    Product,
    Reduce,
    Rows,
    Segment,
    Share,
    Sum,
    vectors_in,
)

BALANCE = 0.75  # the least share of their time that threads must be busy, for a layer to be cut by columns
Row = tuple[str, int | None]  # a block of the workspace, and the steps from the present one to a row; None for all rows
Run = tuple[Row, int, int]  # rows, and the bounds of some vectors of them
Accesses = list[tuple[Run, int]]  # runs, each with its owner: the number of a thread, or one of these:
EACH, ALL, PARTS = -1, -2, -3  # each thread its own rows, all threads all rows, several threads each some elements


@lru_cache(maxsize=1 << 12)
def panel_cuts(vectors: int, registers: int, threads: int) -> tuple[int, ...] | None:
    """The bounds by thread of the panels of a matrix ``vectors`` wide; None if no division is even enough."""
    panel = panel_of(vectors, registers)
    panels = -(-vectors // panel)
    cuts = tuple(panels * n // threads for n in range(threads + 1))
    widest = max(min(b * panel, vectors) - a * panel for a, b in pairwise(cuts))
    return cuts if vectors >= BALANCE * threads * widest else None


@lru_cache(maxsize=1 << 12)
def vector_cuts(vectors: int, registers: int, threads: int) -> tuple[int, ...] | None:
    """The bounds of ``panel_cuts``, in vectors."""
    cuts, panel = panel_cuts(vectors, registers, threads), panel_of(vectors, registers)
    return None if cuts is None else tuple(min(cut * panel, vectors) for cut in cuts)


def inner_cuts(wide: int, deep: int, registers: int, threads: int) -> tuple[int, ...] | None:
    """The bounds by thread, in vectors, of the inner dimension of a product, which is ``deep`` vectors; None if it is
    not divided. It is divided if the result has one panel, ``wide`` vectors, and the inner dimension can be cut."""
    if panel_cuts(wide, registers, threads) is not None or wide > panel_of(wide, registers):
        return None
    return vector_cuts(deep, registers, threads)


class _Owners:
    """The owner of each vector of a block: the bounds of runs with one owner, and the owner of each run, or None."""

    def __init__(self) -> None:
        self._begins: list[int] = [0]
        self._who: list[int | None] = [None]

    def _cut(self, vector: int) -> int:
        """The number of the run that begins at a vector; the run that contains it is cut there if needed."""
        number = bisect_left(self._begins, vector)
        if number == len(self._begins) or self._begins[number] != vector:
            self._begins.insert(number, vector)
            self._who.insert(number, self._who[number - 1])
        return number

    def others(self, begin: int, end: int, who: int) -> bool:
        """Whether another owner than ``who`` has some of these vectors."""
        first, last = bisect_right(self._begins, begin) - 1, bisect_left(self._begins, end)
        return any(has is not None and has != who for has in self._who[first:last])

    def runs(self) -> Iterator[tuple[int, int, int]]:
        """The runs that have an owner: their bounds, and who it is."""
        for begin, end, who in zip(self._begins, self._begins[1:], self._who, strict=False):
            if who is not None:
                yield begin, end, who

    def add(self, begin: int, end: int, who: int, several: int) -> None:
        """Make ``who`` the owner of these vectors, ``several`` the owner of those that have another owner already."""
        first, last = self._cut(begin), self._cut(end)
        mine = [who if has in (None, who) else several for has in self._who[first:last]]
        if mine == [who] * len(mine):  # runs of one owner are joined, so that there are never many
            mine, self._begins[first:last] = [who], [begin]
        self._who[first:last] = mine


@dataclass
class _Hands:
    """The threads that have written and read each vector of the blocks of the workspace since the last barrier.

    In a loop, the rows of a block are told apart by their steps.
    """

    written: defaultdict[Row, _Owners] = field(default_factory=lambda: defaultdict(_Owners))
    read: defaultdict[Row, _Owners] = field(default_factory=lambda: defaultdict(_Owners))

    def forget(self) -> None:
        """Forget all accesses: the threads have met at a barrier."""
        self.written.clear()
        self.read.clear()

    def clash(self, reads: Accesses, writes: Accesses) -> bool:
        """Whether accesses read what other threads wrote, or overwrite what other threads read, since the last
        barrier."""
        both = [(self.written, run, who) for run, who in (*reads, *writes)]
        both += [(self.read, run, who) for run, who in writes]
        return any(
            owners.others(begin, end, who)
            for table, (row, begin, end), who in both
            for owners in [owners for other, owners in table.items() if _may_be_one(row, other)]
        )

    def step(self, steps: int) -> None:
        """Go on by so many steps in a loop."""
        for table in (self.written, self.read):
            moved = [((block, at if at is None else at - steps), owners) for (block, at), owners in table.items()]
            table.clear()
            table.update(moved)

    def leave(self) -> None:
        """Leave a loop: rows are not told apart any more."""
        for table, several in ((self.written, PARTS), (self.read, ALL)):
            for (block, at), owners in list(table.items()):
                if at is not None:
                    del table[block, at]
                    for begin, end, who in owners.runs():
                        table[block, None].add(begin, end, who, several)

    def note(self, reads: Accesses, writes: Accesses) -> None:
        """Remember accesses. Vectors that several threads have written need a barrier before any further access."""
        for (row, begin, end), who in reads:
            self.read[row].add(begin, end, who, ALL)
        for (row, begin, end), who in writes:
            self.written[row].add(begin, end, who, PARTS)


def _may_be_one(row: Row, other: Row) -> bool:
    """Whether two rows may be the same one."""
    return row[0] == other[0] and (row[1] == other[1] or row[1] is None or other[1] is None)


def split_columns(plan: Plan, registers: int, threads: int) -> Plan:
    """A plan to which the shares of ``threads`` threads by columns are added for each operation.

    The last segment makes weight gradients, which are divided as the weights are (see ``ownership``).
    """
    splitter, hands = _Splitter(plan, registers, threads), _Hands()

    def divided(segments: tuple[Segment, ...], steps: int) -> list[Segment]:
        return [replace(segment, shares=splitter.shares(segment, hands, steps)) for segment in segments]

    forward, backward, last = divided(plan.forward, 1), divided(plan.backward[:-1], -1), plan.backward[-1]
    by_weights = replace(last, shares=(Share(None, False),) * len(last.operations))
    return replace(plan, forward=tuple(forward), backward=(*backward, by_weights))


@frozen
class _Splitter:
    """Divides the operations of a plan."""

    plan: Plan
    registers: int
    threads: int

    def shares(self, segment: Segment, hands: _Hands, steps: int) -> tuple[Share, ...]:
        """The shares of a segment's operations. hands: the accesses of the operations before them. steps: 1 or -1, from
        one step of a loop to the next.

        A loop is gone through until no operation needs a barrier that it did not need before, as often as a value may
        be read later.
        """
        operations = segment.operations
        if segment.domain == WINDOW:
            return tuple(self.share(operation, hands) for operation in operations)
        found, same = (Share(None, False),) * len(operations), 0
        reach = max(abs(access.shift) for operation in operations for access in _all_accesses(operation))
        while same <= reach + 1:
            before, pairs = found, zip(operations, found, strict=True)
            found = tuple(self.share(operation, hands, in_loop=True, meets=known.meet) for operation, known in pairs)
            hands.step(steps)
            same = same + 1 if found == before else 0
        hands.leave()
        return found

    def share(self, operation: Operation, hands: _Hands, *, in_loop: bool = False, meets: bool = False) -> Share:
        """The share of an operation. meets: whether there is a barrier before it in any case."""
        cuts = self.cuts(operation)
        alone = in_loop and cuts is None
        reads, writes = self.accesses(operation, cuts, in_loop)
        if alone:
            reads, writes = ([(run, 0) for run, _ in accesses] for accesses in (reads, writes))
        elif cuts is None and self.plan.state:  # the row before may be another thread's
            reads = [(run, ALL if who == EACH else who) for run, who in reads]
        meet = meets or hands.clash(reads, writes)
        if meet:
            hands.forget()
        hands.note(reads, writes)
        return Share(cuts, meet, alone)

    def cuts(self, operation: Operation) -> tuple[int, ...] | None:
        """The bounds at which an operation is divided by columns; None if it is divided by rows."""
        if isinstance(operation, Product) and operation.partials is not None:
            return vector_cuts(vectors_in(operation.source.place.width, self.plan.lanes), self.registers, self.threads)
        if isinstance(operation, Product):
            return panel_cuts(vectors_in(width_of(self.plan, operation), self.plan.lanes), self.registers, self.threads)
        if isinstance(operation, Block) and not self._shifted(operation):
            return vector_cuts(vectors_in(operation.maps[0].width, self.plan.lanes), self.registers, self.threads)
        return None

    def _shifted(self, block: Block) -> bool:
        """Whether a block writes elements that it also reads or writes as part of another place."""
        reads, writes = _accesses(block)
        touched = Places(self.plan.lanes)
        for access in (*reads, *writes):
            touched.add(access.place)
        return any(touched.any_over(access.place) for access in writes)

    def owned(self, access: Access, cuts: tuple[int, ...] | None, in_loop: bool) -> Accesses:
        """Which thread owns which vectors of a place: by the place's own bounds, or all threads where it is divided by
        rows."""
        place = access.place
        shares = [(EACH, 0, vectors_in(place.width, self.plan.lanes))]
        if cuts is not None:
            shares = [(thread, begin, end) for thread, (begin, end) in enumerate(pairwise(cuts))]
        lanes, column, block = self.plan.lanes, place.column, self.plan.block(place.buffer)
        buffer = self.plan.buffers_by_name.get(place.buffer)  # None: a value that stays in registers
        has_rows = in_loop and (buffer is None or buffer.rows != "step")
        row = block, access.shift if has_rows else None
        return [
            ((row, column // lanes + begin, -(-column // lanes) + end), who)
            for who, begin, end in shares
            if begin < end
        ]

    def accesses(self, operation: Operation, cuts: tuple[int, ...] | None, in_loop: bool) -> tuple[Accesses, Accesses]:
        """(reads, writes) of an operation in blocks of the workspace, whose buffers have rows of one length."""
        if isinstance(operation, Product) and operation.partials is not None:
            source, sums = operation.source, operation.partials
            mine = [] if source.place.buffer in EXTERNAL else self.owned(source, cuts, in_loop)
            return mine, [(((sums.buffer, None), thread, thread + 1), thread) for thread in range(sums.threads)]
        if isinstance(operation, Product):
            return self._product_accesses(operation, cuts, in_loop)
        if isinstance(operation, Sum):
            _, target = self._product_accesses(operation.product, None, in_loop)
            return self._sum_reads(operation), target
        reads, writes = _accesses(operation)
        return (
            [own for read in reads if read.place.buffer not in EXTERNAL for own in self.owned(read, cuts, in_loop)],
            [own for write in writes for own in self.owned(write, cuts, in_loop)],
        )

    def _product_accesses(
        self, product: Product, cuts: tuple[int, ...] | None, in_loop: bool
    ) -> tuple[Accesses, Accesses]:
        assert product.target is not None
        vectors = vectors_in(width_of(self.plan, product), self.plan.lanes)
        panel = panel_of(vectors, self.registers)
        inside = None if cuts is None else tuple(min(cut * panel, vectors) for cut in cuts)
        reads = [] if product.source.place.buffer in EXTERNAL else self.owned(product.source, None, in_loop)
        if cuts is not None:
            reads = [(run, ALL) for run, _ in reads]
        target = self.owned(Access(product.target, product.shift), inside, in_loop)
        if product.epilogue is not None and product.epilogue.beside is not None:
            reads += self.owned(Access(product.epilogue.beside), inside, in_loop)
        return reads + (target if product.start == "add" else []), target

    def _sum_reads(self, operation: Sum) -> Accesses:
        """The accesses by which a ``Sum`` reads: all threads' partial sums of a thread's rows, and other operands."""
        product, sums = operation.product, operation.partials
        assert product.target is not None
        beside = product.epilogue.beside if product.epilogue is not None else None
        own = (beside, product.target if product.start == "add" else None)
        reads: Accesses = [(((sums.buffer, None), 0, sums.threads), EACH)]
        return reads + [one for place in own if place is not None for one in self.owned(Access(place), None, False)]


def width_of(plan: Plan, product: Product) -> int:
    """The number of columns of a forward or backward product's result."""
    group = plan.groups[product.group]
    return group.columns if product.kind == "forward" else group.parts[product.part].width


def _accesses(operation: Operation) -> tuple[list[Access], list[Access]]:
    """(reads, writes) of an operation that works element by element or row by row."""
    if isinstance(operation, Block):
        pairs = [_map_accesses(statement) for statement in operation.maps]
        return [access for reads, _ in pairs for access in reads], [access for _, writes in pairs for access in writes]
    if isinstance(operation, Map):
        return _map_accesses(operation)
    if isinstance(operation, Rows):
        return [Access(place) for place in (*operation.operands, operation.target)], [Access(operation.target)]
    assert isinstance(operation, Loss), operation
    reads = [Access(place) for place in (operation.result, operation.logits) if place is not None]
    return reads, [Access(operation.target)] if operation.target is not None else []


def _map_accesses(statement: Map | Reduce) -> tuple[list[Access], list[Access]]:
    target = Access(statement.target, statement.shift)
    return [access for _, access in statement.operands] + [target] * statement.accumulate, [target]


def _all_accesses(operation: Operation) -> list[Access]:
    """All places that an operation of a loop reads and writes."""
    if isinstance(operation, Product):
        return [operation.source, *([Access(operation.target, operation.shift)] if operation.target else [])]
    reads, writes = _accesses(operation)
    return [*reads, *writes]
