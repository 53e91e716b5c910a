"""Plans whose operations are not fused join a map with the operation whose result it alone reads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from neuromorph.machine import can_map
from neuromorph.schedule import Access, Map, Note, Operation, Place, Product, Segment
from neuromorph.schedule.joins import with_joins

NOTE = Note(0, "a statement", "a statement")
D1, D2, D3, V1, V2 = (Place(name, 0, 4) for name in ("d1", "d2", "d3", "v1", "v2"))


def statement(target: Place, expression: str, **operands: Place) -> Map:
    return Map(target, expression, tuple((name, Access(place)) for name, place in operands.items()), 4, NOTE)


FIRST = statement(D2, "g * o", g=D1, o=V1)
SECOND = statement(D3, "g * (y * (1.0 - y))", g=D2, y=V2)
JOINT = Map(
    D3,
    "g * (y * (1.0 - y))",
    (("y", Access(V2)), ("g1", Access(D1)), ("o1", Access(V1))),
    4,
    NOTE,
    let=(("g", "g1 * o1"),),
    inner=(0,),
)
PRODUCT = Product("backward", 0, 0, Access(Place("g0", 0, 4)), D2, "zero", "a product")
COPY = statement(D3, "g", g=D2)


def left(*operations: Operation, kept: set[str] | None = None) -> tuple[Operation, ...]:
    return with_joins([Segment(0, operations)], 4, kept or set(), can_map)[0].operations


def test_a_value_that_is_read_once_is_computed_where_it_is_read() -> None:
    assert left(FIRST, SECOND) == (JOINT,)
    other = statement(Place("v4", 0, 4), "x", x=V2)
    assert left(FIRST, other, SECOND) == (other, JOINT)


def test_both_operands_of_a_sum() -> None:
    one, two = statement(D1, "x * o", x=V1, o=V2), statement(D2, "x * o", x=V2, o=V2)
    (joint,) = left(one, two, statement(D3, "x + o", x=D1, o=D2))
    assert isinstance(joint, Map)
    assert dict(joint.let) == {"x": "x1 * o1", "o": "x2 * o2"}
    assert [access.place for _, access in joint.operands] == [V1, V2, V2, V2]


def test_no_map_is_joined_that_a_back_end_has_not() -> None:
    strange = statement(D3, "g * sin(x)", g=D2, x=V2)
    assert left(FIRST, strange) == (FIRST, strange)


@pytest.mark.parametrize(
    "operations",
    [
        (FIRST, SECOND, statement(V1, "g", g=D2)),  # it is read twice
        (FIRST, statement(V1, "x", x=V2), SECOND),  # what it is computed from is changed before
        (FIRST, replace(FIRST, accumulate=True), SECOND),  # it is changed
        (FIRST, replace(SECOND, operands=(("g", Access(D2, -1)), ("y", Access(V2))))),  # it is read a step later
        (FIRST, replace(SECOND, operands=(("g", Access(D2, 0, 2)), ("y", Access(V2))))),  # it is read in part
        (replace(FIRST, zero=2), SECOND),
        (replace(FIRST, operands=(("g", Access(D1, broadcast=True)), ("o", Access(V1)))), SECOND),
        (replace(PRODUCT, start="add"), COPY),
        (PRODUCT, statement(V1, "g", g=D3), COPY),  # what stands there is still read
        (PRODUCT, replace(COPY, accumulate=True)),
        (PRODUCT, SECOND),
        (FIRST, replace(COPY, accumulate=True)),  # it would be added in one rounding
        (statement(D2, "zero"), SECOND),
    ],
)
def test_values_that_are_needed_where_they_are(operations: tuple[Operation, ...]) -> None:
    assert left(*operations) == operations


def test_values_that_are_read_elsewhere_stay() -> None:
    assert left(FIRST, SECOND, kept={"d2"}) == (FIRST, SECOND)
    segments = [Segment(0, (FIRST,)), Segment(-1, (SECOND,))]
    assert with_joins(segments, 4, set(), can_map) == segments


def test_the_last_one_may_write_in_place_only() -> None:
    in_place = replace(SECOND, target=D1)
    assert left(FIRST, in_place) == (replace(JOINT, target=D1),)
    aside = replace(SECOND, target=Place("d1", 2, 4))
    assert left(FIRST, aside) == (FIRST, aside)


def test_a_product_writes_to_where_its_copy_would_go() -> None:
    assert left(PRODUCT, COPY) == (replace(PRODUCT, target=D3, inner=(2,)),)


SUM = replace(statement(D1, "g", g=Place("c1", 0, 4)), accumulate=True)


def test_one_or_two_readers_of_a_sum_compute_it() -> None:
    one, two = statement(D2, "g * (y * (1.0 - y))", g=D1, y=V1), statement(D3, "g * fma(-y, y, 1.0)", g=D1, y=V2)
    for readers in ([one], [one, two], [statement(Place("v4", 0, 4), "x", x=V2), one]):
        found = left(SUM, *readers)
        assert len(found) == len(readers)
        last = found[-1]
        assert isinstance(last, Map)
        assert dict(last.let) == {"g": "t1 + g1"}
        assert dict(last.operands)["t1"].place == D1
        assert dict(last.operands)["g1"].place.buffer == "c1"


def test_a_reader_of_a_sum_that_is_joint_itself() -> None:
    product = statement(D2, "g * o", g=D1, o=V1)
    (joint,) = left(SUM, product, statement(D3, "g * fma(-y, y, 1.0)", g=D2, y=V2))
    assert isinstance(joint, Map)
    assert [text for _, text in joint.let] == ["t1 + g2", "g1 * o1"]
    assert [access.place.buffer for _, access in joint.operands] == ["v2", "v1", "d1", "c1"]


READER = statement(D2, "g * (y * (1.0 - y))", g=D1, y=V1)


@pytest.mark.parametrize(
    "operations",
    [
        (SUM, READER, replace(READER, target=D3), replace(READER, target=V2)),  # three readers
        (SUM, statement(D2, "g * sin(x)", g=D1, x=V1)),  # that a back end has not
        (SUM, statement(Place("c1", 0, 4), "x", x=V1), READER),  # what is added is changed before
        (SUM, replace(READER, operands=(("g", Access(D1, -1)), ("y", Access(V1))))),  # it is read at another step
        (SUM, replace(READER, accumulate=True)),
        (SUM, READER, replace(SUM, operands=(("g", Access(V2)),))),  # more is added behind a reader
        (READER, SUM),
        (replace(SUM, shift=-1), READER),
        (replace(SUM, exact=True), READER),
    ],
)
def test_sums_that_are_needed_where_they_are(operations: tuple[Operation, ...]) -> None:
    assert left(*operations) == operations


def test_sums_that_are_read_elsewhere_stay() -> None:
    assert left(SUM, READER, kept={"d1"}) == (SUM, READER)
    segments = [Segment(0, (SUM, READER)), Segment(-1, (replace(READER, target=D3),))]
    assert with_joins(segments, 4, set(), can_map) == segments
