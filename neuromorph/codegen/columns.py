"""Layers divided by columns: where weights are large and rows few, each thread computes some columns of a layer.

What a thread has computed of a layer, and its weights, stay in its own caches; only the vectors between layers change
hands. Layers too narrow to be cut, softmax and the loss are divided by rows. Threads meet only where one of them needs
what another has written, or would write over what another may still be reading.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from ..schedule import EXTERNAL, Block, Loss, Map, Operation, Place, Places, Plan, Product, Rows, padded
from .layout import panel_of

BALANCE = 0.75  # the least share of the threads' time that a cut by columns has to use
Owners = tuple[object, ...]  # who has which elements of a buffer: ("rows",), ("all",) or ("columns", bounds…)


def panel_cuts(vectors: int, registers: int, threads: int) -> tuple[int, ...] | None:
    """The panels' bounds by thread of a matrix so many vectors wide; None where they can't be divided evenly enough."""
    panel = panel_of(vectors, registers)
    panels = -(-vectors // panel)
    cuts = tuple(panels * n // threads for n in range(threads + 1))
    widest = max(min(b * panel, vectors) - a * panel for a, b in pairwise(cuts))
    return cuts if vectors >= BALANCE * threads * widest else None


def vector_cuts(vectors: int, registers: int, threads: int) -> tuple[int, ...] | None:
    """The same bounds in vectors."""
    cuts, panel = panel_cuts(vectors, registers, threads), panel_of(vectors, registers)
    return None if cuts is None else tuple(min(cut * panel, vectors) for cut in cuts)


@dataclass(frozen=True)
class Share:
    """How one operation is divided: by columns at these bounds (panels of a product, vectors of a block) or, None, by
    rows; and whether the threads have to meet before it."""

    cuts: tuple[int, ...] | None
    meet: bool


@dataclass
class _Hands:
    """Who has written and read which block since the threads last met."""

    written: dict[str, Owners] = field(default_factory=dict)
    read: dict[str, Owners] = field(default_factory=dict)

    def clash(self, reads: Iterable[tuple[str, Owners]], writes: Iterable[tuple[str, Owners]]) -> bool:
        """Whether accesses need what others wrote, or write over what others read."""
        return any(self.written.get(name, owners) != owners for name, owners in (*reads, *writes)) or any(
            self.read.get(name, owners) != owners for name, owners in writes
        )

    def note(self, reads: Iterable[tuple[str, Owners]], writes: Iterable[tuple[str, Owners]]) -> None:
        """Remember accesses. Reads of different owners count as reads by all."""
        for name, owners in reads:
            self.read[name] = owners if self.read.get(name, owners) == owners else ("all",)
        for name, owners in writes:
            self.written[name] = owners


@dataclass(frozen=True)
class Columns:
    """Divides the operations of a plan without loops."""

    plan: Plan
    registers: int
    threads: int

    def shares(self) -> dict[int, Share]:
        """By the identity of each operation its share. Weight gradients are divided elsewhere, with the weights."""
        out, hands = {}, _Hands()
        for segment in (*self.plan.forward, *self.plan.backward[:-1]):
            for operation in segment.operations:
                cuts = self.cuts(operation)
                reads, writes = self.accesses(operation, cuts)
                meet = hands.clash(reads, writes)
                if meet:
                    hands = _Hands()
                hands.note(reads, writes)
                out[id(operation)] = Share(cuts, meet)
        return out | {id(operation): Share(None, False) for operation in self.plan.backward[-1].operations}

    def cuts(self, operation: Operation) -> tuple[int, ...] | None:
        """Where an operation is cut."""
        if isinstance(operation, Product):
            return panel_cuts(self._vectors(self._width(operation)), self.registers, self.threads)
        if isinstance(operation, Block) and not self._shifted(operation):
            return vector_cuts(self._vectors(operation.maps[0].width), self.registers, self.threads)
        return None

    def _shifted(self, block: Block) -> bool:
        """Whether a block writes elements that it also reads or writes as part of another place."""
        reads, writes = _places(block)
        touched = Places(self.plan.lanes)
        for place in (*reads, *writes):
            touched.add(place)
        return any(touched.any_over(place) for place in writes)

    def _width(self, product: Product) -> int:
        """Columns of a product's result."""
        group = self.plan.groups[product.group]
        return group.columns if product.kind == "forward" else group.parts[product.part].width

    def _vectors(self, width: int) -> int:
        return padded(width, self.plan.lanes) // self.plan.lanes

    def owners(self, place: Place, cuts: tuple[int, ...] | None) -> Owners:
        """Who has which elements of a place, cut at vectors."""
        if cuts is None:
            return ("rows",)
        return ("columns", *(place.column + cut * self.plan.lanes for cut in cuts))

    def accesses(
        self, operation: Operation, cuts: tuple[int, ...] | None
    ) -> tuple[list[tuple[str, Owners]], list[tuple[str, Owners]]]:
        """(reads, writes) of an operation in blocks of the workspace."""
        if isinstance(operation, Product):
            return self._product_accesses(operation, cuts)
        reads, writes = _places(operation)
        reads = [place for place in reads if place.buffer not in EXTERNAL]
        return self._owned(reads, cuts), self._owned(writes, cuts)

    def _owned(self, places: list[Place], cuts: tuple[int, ...] | None) -> list[tuple[str, Owners]]:
        """The blocks of some places, and who has which of their elements."""
        return [(self.plan.block(place.buffer), self.owners(place, cuts)) for place in places]

    def _product_accesses(
        self, product: Product, cuts: tuple[int, ...] | None
    ) -> tuple[list[tuple[str, Owners]], list[tuple[str, Owners]]]:
        assert product.target is not None
        vectors = self._vectors(self._width(product))
        panel = panel_of(vectors, self.registers)
        inside = None if cuts is None else tuple(min(cut * panel, vectors) for cut in cuts)
        source = product.source.place.buffer
        everything: Owners = ("rows",) if cuts is None else ("all",)
        reads = [(self.plan.block(source), everything)] if source not in EXTERNAL else []
        target = self._owned([product.target], inside)
        if product.epilogue is not None and product.epilogue.beside is not None:
            reads += self._owned([product.epilogue.beside], inside)
        return reads + (target if product.start == "add" else []), target


def _places(operation: Operation) -> tuple[list[Place], list[Place]]:
    """(reads, writes) of an operation that works element by element or row by row."""
    if isinstance(operation, Block):
        pairs = [_map_places(statement) for statement in operation.maps]
        return [place for reads, _ in pairs for place in reads], [place for _, writes in pairs for place in writes]
    if isinstance(operation, Map):
        return _map_places(operation)
    if isinstance(operation, Rows):
        return [*operation.operands, operation.target], [operation.target]
    assert isinstance(operation, Loss), operation
    reads = [place for place in (operation.result, operation.logits) if place is not None]
    return reads, [operation.target] if operation.target is not None else []


def _map_places(statement: Map) -> tuple[list[Place], list[Place]]:
    reads = [access.place for _, access in statement.operands]
    return reads + ([statement.target] if statement.accumulate else []), [statement.target]
