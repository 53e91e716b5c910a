"""Whether a first line has names or values, where the table that a model was trained on had no names."""

from __future__ import annotations

import pytest

from neuromorph.data.schema import BOOLEAN, CATEGORY, CLASS, DATE, LEFT_OUT, NUMBER, Column, Schema
from neuromorph.tables.headers import has_names, places_in

KINDS = {
    "number": Column("1", NUMBER), "comma": Column("1", NUMBER, style="comma"),
    "category": Column("1", CATEGORY, ("blue", "red")), "boolean": Column("1", BOOLEAN, ("no", "yes")),
    "date": Column("1", DATE, style="year-month-day"),
}  # fmt: skip


def schema(*kinds: str) -> Schema:
    columns = [KINDS[kind] for kind in kinds]
    return Schema((*columns, Column("k", CLASS)), False, tuple(range(len(columns))), (len(columns),))


@pytest.mark.parametrize(
    ("kinds", "cells", "found"),
    [
        (("category", "boolean"), ["red", "Yes"], False),
        (("category", "boolean"), ["red", "x"], False),  # a wrong value, which is refused later with its place
        (("category", "boolean"), ["colour", "new"], None),
        (("category", "boolean"), ["", "NA"], False),
        (("category", "number"), ["green", "1"], False),
        (("category", "number"), ["colour", "size"], True),
        (("category", "number", "boolean"), ["colour", "size", "new", "k"], True),
        (("comma",), ["1,5"], False),
        (("comma",), ["size"], True),
        (("date",), ["2024-01-31"], False),
        (("date",), ["day"], True),
    ],
)
def test_values_and_names_are_told_by_what_columns_know(
    kinds: tuple[str, ...], cells: list[str], found: bool | None
) -> None:
    assert has_names(cells, schema(*kinds), not found) is found


@pytest.mark.parametrize("guess", [True, False, None])
def test_lines_of_other_lengths_are_guessed(guess: bool | None) -> None:
    assert has_names(["1", "2", "3", "4"], schema("number"), guess) is guess


def test_places_of_all_kept_and_needed_columns() -> None:
    ignored = Column("0", LEFT_OUT, style="ignored")
    given = Schema((ignored, KINDS["number"], Column("k", CLASS)), False, (1,), (2,))
    assert places_in(given, 3, [1]) == [0, 1, 2]
    assert places_in(given, 2, [1]) == [1, 2]
    assert places_in(given, 1, [1]) == [1]
    assert places_in(given, 4, [1]) is None
