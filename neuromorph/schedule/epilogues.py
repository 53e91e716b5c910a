"""Moves element-by-element work into the matrix product before it, while the sums are still in registers.

Two kinds of statement move: the activation of all members of a group, written over their pre-activations; and the
derivative of an activation, if one product makes the whole gradient that it is multiplied with. Only simple expressions
move. An expression of many instructions gains nothing from registers and would be unrolled over every tile. Statements
that only copy are dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from ..functions.expressions import Expression
from .accesses import reads_of
from .plan import EXTERNAL, Access, Epilogue, Group, Map, Operation, Place, Product, Segment


def fuse_epilogues(segments: Iterable[Segment], groups: tuple[Group, ...]) -> list[Segment]:
    """The segments, with element-by-element statements moved into the products before them. Statements are not yet
    fused into blocks."""
    given = list(segments)
    readers, writers = _uses(given)
    out = []
    for segment in given:
        forward = _with_activations(segment.operations, groups)
        out.append(Segment(segment.domain, _with_derivatives(forward, readers, writers)))
    return out


def _uses(segments: list[Segment]) -> tuple[Counter[str], Counter[str]]:
    """The numbers of operations that read each buffer and that write it."""
    readers, writers = Counter[str](), Counter[str]()
    for operation in (operation for segment in segments for operation in segment.operations):
        for name in {access.place.buffer for access in reads_of(operation)}:
            readers[name] += 1
        target = getattr(operation, "target", None)
        if target is not None:
            writers[target.buffer] += 1
    return readers, writers


def _is_plain(statement: Map) -> bool:
    """Whether a statement is a simple expression over whole vectors and is stored to whole vectors."""
    cut = statement.accumulate or statement.exact or statement.keep is not None or statement.let
    whole = all(_is_whole(access, statement.width) for _, access in statement.operands)
    return not cut and whole and statement.expression != "zero" and Expression(statement.expression).is_simple


def _is_whole(access: Access, width: int) -> bool:
    """Whether an access reads rows of this step in the workspace, as wide as the statement."""
    place = access.place
    return not access.shift and access.limit is None and place.width == width and place.buffer not in EXTERNAL


def _with_activations(operations: tuple[Operation, ...], groups: tuple[Group, ...]) -> tuple[Operation, ...]:
    """The operations, with the activation of a group whose members share one as the epilogue of its product."""
    in_place = {
        op.target: op
        for op in operations
        if isinstance(op, Map) and op.operands == (("x", Access(op.target)),) and _is_plain(op)
    }
    products = [(number, op) for number, op in enumerate(operations) if isinstance(op, Product)]
    last = {product.group: number for number, product in products if product.kind == "forward"}
    taken: set[Place] = set()
    out = list(operations)
    for index, number in last.items():
        product, group = operations[number], groups[index]
        assert isinstance(product, Product)
        places = [Place(f"s{index}", member.column, member.width) for member in group.members]
        found = [in_place[place] for place in places if place in in_place]
        if len(found) == len(places) and len({statement.expression for statement in found}) == 1:
            notes = tuple(statement.note for statement in found)
            out[number] = replace(product, epilogue=Epilogue(found[0].expression, None, notes))
            taken |= set(places)
    return tuple(op for op in out if not (isinstance(op, Map) and op.target in taken and in_place.get(op.target) is op))


def _with_derivatives(
    operations: tuple[Operation, ...], readers: Counter[str], writers: Counter[str]
) -> tuple[Operation, ...]:
    """The operations, with derivatives of activations as epilogues of the backward products before them."""
    whole = {
        op.target: number
        for number, op in enumerate(operations)
        if isinstance(op, Product) and op.kind == "backward" and op.start == "zero" and op.target is not None
        and readers[op.target.buffer] == writers[op.target.buffer] == 1
    }  # fmt: skip
    out: list[Operation | None] = list(operations)
    for number, operation in enumerate(operations):
        if not isinstance(operation, Map) or not _is_plain(operation) or not operation.operands:
            continue
        (_, gradient), *others = operation.operands
        place = whole.get(gradient.place, number)
        if place < number and len(others) <= 1:  # else it is a carried gradient, which is made after it is read
            product = out[place]
            assert isinstance(product, Product)
            out[place] = replace(product, target=operation.target, epilogue=_derivative(operation))
            out[number] = None
    return tuple(operation for operation in out if operation is not None)


def _derivative(statement: Map) -> Epilogue:
    """The epilogue of a derivative, an expression over the sums x and the elements y beside them."""
    (gradient, _), *others = statement.operands
    names = {gradient: "x"} | {name: "y" for name, _ in others}
    return Epilogue(
        Expression(statement.expression).renamed(names), others[0][1].place if others else None, (statement.note,)
    )
