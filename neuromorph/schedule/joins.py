"""Joins a map with the operation whose result it alone reads, for a back end that does both at once.

Two maps become one, which names the first one's value in its ``let``. Each expression is still rounded where it was, so
that the results are the same bits. A product whose result is only copied writes to where the copy would go. A sum that
one map or two read is computed by each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeGuard

from ..functions.expressions import Expression
from .accesses import reads_of, writes_of
from .copies import Uses, Writes, copied, is_written, uses
from .plan import Access, Map, Operation, Place, Product, Segment

_MOST_READERS = 2  # of a sum that each of them computes

Let = tuple[tuple[str, str], ...]
CanDo = Callable[[str, Let], bool]  # whether a back end can do a map with this expression and what it names


def no_map(expression: str, let: Let) -> bool:
    """A back end that can do no joint map."""
    return False


def with_joins(segments: list[Segment], lanes: int, kept: set[str], can_do: CanDo) -> list[Segment]:
    """The segments with operations joined. kept: buffers that are read outside of the operations."""
    operations = [operation for segment in segments for operation in segment.operations]
    firsts = (one.target for one in operations if _can_be_first(one))
    reads, writes = uses(segments, {target.buffer for target in firsts if target is not None} - kept)
    joined = [_Joining(s, number, reads, writes, lanes, can_do).joined() for number, s in enumerate(segments)]
    return _with_spread_sums(joined, lanes, kept, can_do)


def _with_spread_sums(segments: list[Segment], lanes: int, kept: set[str], can_do: CanDo) -> list[Segment]:
    """The segments, where maps that add to what few others read are gone: each reader computes the sum."""
    sums = {operation.target.buffer for s in segments for operation in s.operations if _is_sum(operation)} - kept
    if not sums:
        return segments
    reads, _ = uses(segments, sums)
    out = []
    for number, segment in enumerate(segments):
        operations: list[Operation | None] = list(segment.operations)
        for at, operation in enumerate(segment.operations):
            if _is_sum(operation) and operation.target.buffer in sums:
                readers = [
                    (n, place, access)
                    for n, place, access in reads[operation.target.buffer]
                    if (n, place) != (number, at)
                ]
                if readers and all(n == number and place > at for n, place, _ in readers):
                    _spread_sum(operations, at, [(place, access) for _, place, access in readers], lanes, can_do)
        out.append(Segment(segment.domain, tuple(o for o in operations if o is not None), segment.shares))
    return out


def _is_sum(operation: Operation) -> TypeGuard[Map]:
    """Whether an operation is a map that adds whole rows to its target as they are."""
    if not isinstance(operation, Map) or not operation.accumulate or operation.exact or operation.shift:
        return False
    if len(operation.operands) != 1 or operation.let or operation.keep is not None or operation.zero is not None:
        return False
    name, access = operation.operands[0]
    return operation.expression == name and access.limit is None and not access.broadcast


def _spread_sum(
    operations: list[Operation | None], at: int, readers: list[tuple[int, Access]], lanes: int, can_do: CanDo
) -> None:
    """Let the readers of a sum compute it, if they are few and can, in place of the map that makes it."""
    first = operations[at]
    if not isinstance(first, Map) or len(readers) > _MOST_READERS or len(dict(readers)) < len(readers):
        return
    last = max(place for place, _ in readers)
    behind = [operation for operation in operations[at + 1 : last + 1] if operation is not None]
    ((_, added),) = first.operands
    if any(is_written(behind, place, lanes) for place in (first.target, added.place)):
        return
    value = replace(first, expression="t + g", operands=(("t", Access(first.target)), ("g", added)), accumulate=False)
    joints: dict[int, Operation | None] = {at: None}
    for place, access in readers:
        second = operations[place]
        if not isinstance(second, Map) or second.accumulate or second.shift:
            return
        (name,) = (name for name, other in second.operands if other == access)
        joints[place] = joint = _joint(value, second, name)
        if not _is_whole(access, value, second, name) or not can_do(joint.expression, joint.let):
            return
    for place, joint_or_none in joints.items():
        operations[place] = joint_or_none


@dataclass
class _Joining:
    """The joining of one segment's operations. number: of the segment."""

    segment: Segment
    number: int
    reads: Uses
    writes: Writes
    lanes: int
    can_do: CanDo
    operations: list[Operation | None] = field(init=False)

    def joined(self) -> Segment:
        """The segment afterwards."""
        self.operations = list(self.segment.operations)
        for place, operation in enumerate(self.segment.operations):
            if isinstance(operation, Map) and not operation.shift:
                for name, access in operation.operands:
                    self.join(place, name, access)
        left = tuple(operation for operation in self.operations if operation is not None)
        return Segment(self.segment.domain, left, self.segment.shares)

    def join(self, place: int, name: str, access: Access) -> None:
        """Join the map at a place with the operation that computes one of its operands, if that can be."""
        at, second = self.only_writer(place, access), self.operations[place]
        first = None if at is None else self.operations[at]
        if at is None or first is None or not isinstance(second, Map):
            return
        if not _can_be_first(first) or not _is_whole(access, first, second, name):
            return
        between = [one for one in self.operations[at + 1 : place] if one is not None]
        if isinstance(first, Product):
            before = [first, *between]
            if copied(second) == first.target and not any(_touches(one, second.target, self.lanes) for one in before):
                self.operations[at], self.operations[place] = _redirected(first, second.target), None
            return
        if second.accumulate and second.expression == name:
            return  # a product would be added in one rounding
        joint = _joint(first, second, name)
        if self.can_do(joint.expression, joint.let) and _operands_unchanged(first, [*between, second], self.lanes):
            self.operations[at], self.operations[place] = None, joint

    def only_writer(self, place: int, access: Access) -> int | None:
        """The place of the operation that alone writes what the map at a place alone reads, in this segment."""
        written = self.writes.get(access.place.buffer, [])
        alone = self.reads.get(access.place.buffer) == [(self.number, place, access)]
        if not alone or [number for number, _ in written] != [self.number]:
            return None
        return written[0][1] if written[0][1] < place else None


def _can_be_first(operation: Operation) -> TypeGuard[Map | Product]:
    """Whether an operation may be one that others are joined with.

    So is a map whose value is an operand of others as it is, and which reads whole rows; and a product that neither
    adds to its target nor writes to other steps.
    """
    if isinstance(operation, Product):
        return (
            operation.kind == "backward" and operation.start == "zero" and operation.taps == 1 and not operation.shift
        )
    if not isinstance(operation, Map) or operation.accumulate or operation.exact or operation.shift:
        return False
    plain = operation.expression != "zero" and operation.keep is None and operation.zero is None
    return plain and all(access.limit is None and not access.broadcast for _, access in operation.operands)


def _is_whole(access: Access, first: Map | Product, second: Map, name: str) -> bool:
    """Whether a map reads, as an operand of a name, all that another operation writes."""
    target = first.target
    whole = target is not None and access == Access(target) and second.width == target.width
    if isinstance(first, Map) and first.width != second.width:
        return False
    return whole and (second.keep is None or name != second.rest)


def _redirected(product: Product, target: Place) -> Product:
    """The product, with another target."""
    assert product.target is not None
    return replace(product, target=target, inner=(int(product.target.buffer[1:]),))


def _touches(operation: Operation, place: Place, lanes: int) -> bool:
    """Whether an operation reads or writes a place."""
    touched = [*writes_of(operation), *(access.place for access in reads_of(operation))]
    return any(one.overlaps(place, lanes) for one in touched)


def _operands_unchanged(first: Map, behind: Sequence[Operation], lanes: int) -> bool:
    """Whether a map's operands still hold the same where the last one of the operations behind it reads them."""
    return not any(is_written(behind, access.place, lanes) for _, access in first.operands)


def _joint(first: Map, second: Map, name: str) -> Map:
    """The second map, with the first one's value for one of its operands."""
    taken = {*dict(second.operands), *dict(second.let)}
    new: dict[str, str] = {}
    for old in (*dict(first.operands), *dict(first.let)):
        number = 1
        while f"{old}{number}" in taken:
            number += 1
        new[old] = f"{old}{number}"
        taken.add(new[old])
    let = [(new[key], Expression(text).renamed(new)) for key, text in first.let]
    operands = [each for each in second.operands if each[0] != name]
    return replace(
        second,
        operands=(*operands, *((new[key], access) for key, access in first.operands)),
        inner=tuple(dict.fromkeys((first.note.node, *first.inner, *second.inner))),
        let=(*let, (name, Expression(first.expression).renamed(new)), *second.let),
    )
