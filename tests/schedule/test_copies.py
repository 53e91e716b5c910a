"""Copies that nobody needs are left out of plans whose operations are not joined."""

from __future__ import annotations

from dataclasses import replace

from neuromorph.schedule import Access, Map, Note, Operation, Place, Segment
from neuromorph.schedule.copies import without_copies

NOTE = Note(0, "a statement", "a statement")
D1, D2, D3, V1 = (Place(name, 0, 4) for name in ("d1", "d2", "d3", "v1"))


def statement(target: Place, expression: str, **operands: Place) -> Map:
    return Map(target, expression, tuple((name, Access(place)) for name, place in operands.items()), 4, NOTE)


COPY = statement(D2, "g", g=D1)
READER = statement(D3, "g * x", g=D2, x=V1)


def left(*operations: Operation, kept: set[str] | None = None) -> tuple[Operation, ...]:
    return without_copies([Segment(0, operations)], 4, kept or set())[0].operations


def test_readers_of_a_copy_read_the_original() -> None:
    assert left(COPY, READER) == (statement(D3, "g * x", g=D1, x=V1),)


def test_a_copy_of_a_copy_is_the_original_too() -> None:
    again = statement(Place("d4", 0, 4), "g", g=D2)
    assert left(COPY, again, statement(D3, "g * x", g=Place("d4", 0, 4), x=V1)) == (statement(D3, "g * x", g=D1, x=V1),)


def test_copies_that_are_needed_stay() -> None:
    assert left(COPY, READER, kept={"d2"}) == (COPY, READER)  # it is read elsewhere
    added = replace(statement(D2, "g", g=V1), accumulate=True)
    assert left(COPY, added, READER) == (COPY, added, READER)  # the copy is changed
    changed = statement(D1, "x", x=V1)
    assert left(COPY, changed, READER) == (COPY, changed, READER)  # the original is changed
    part = statement(Place("d3", 0, 2), "2.0 * g", g=Place("d2", 2, 2))
    assert left(COPY, part) == (COPY, part)  # the copy is read in part
    earlier = Map(D3, "2.0 * g", (("g", Access(D2, -1)),), 4, NOTE)
    assert left(COPY, earlier) == (COPY, earlier)  # it is read in the next step
    double = statement(D2, "2.0 * g", g=D1)
    assert left(double, READER) == (double, READER)  # it is no copy


def test_the_last_reader_may_write_the_original_in_place_only() -> None:
    in_place = statement(D1, "g * x", g=D2, x=V1)
    assert left(COPY, in_place) == (statement(D1, "g * x", g=D1, x=V1),)
    aside = statement(Place("d1", 4, 4), "g * x", g=Place("d2", 0, 8), x=Place("v1", 0, 8))
    wide = statement(Place("d2", 0, 8), "g", g=Place("d1", 0, 8))
    assert left(wide, aside) == (wide, aside)  # elements would be overwritten before they are read


def test_a_copy_that_another_segment_reads_stays() -> None:
    segments = [Segment(0, (COPY,)), Segment(-1, (READER,))]
    assert without_copies(segments, 4, set()) == segments
