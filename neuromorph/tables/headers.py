"""Decides by a schema without names whether the first line of a table has names or values."""

from __future__ import annotations

from collections.abc import Sequence

from ..data.schema import BOOLEAN, CATEGORY, DATE, Column, Schema
from .dates import days_of
from .dialect import is_missing, is_number


def places_in(schema: Schema, count: int, needed: Sequence[int]) -> list[int] | None:
    """Which column of the schema is at each place of a table without names; None if so many columns do not fit.

    A table may have all columns, those that are not ignored, or the needed ones alone.
    """
    kept = [place for place, column in enumerate(schema.columns) if column.style != "ignored"]
    choices = (list(range(len(schema.columns))), kept, sorted(needed))
    return next((places for places in choices if len(places) == count), None)


def has_names(cells: Sequence[str], schema: Schema, guess: bool | None) -> bool | None:
    """Whether a first line has names and not values, for a model that was trained on a table without names.

    A cell that is a value of its column tells values; else a word in a column of numbers or dates tells names. None if
    all are words that their columns do not know: these may be names or values. guess: what the rest of the file says,
    for lines whose columns are not known.
    """
    needed = schema.needed, (*schema.needed, *schema.answers)
    places = places_in(schema, len(cells), needed[0]) or places_in(schema, len(cells), needed[1])
    if places is None:
        return guess
    found = [(cell, schema.columns[place]) for cell, place in zip(cells, places, strict=True) if place in schema.inputs]
    there = [(cell, column) for cell, column in found if not is_missing(cell)]
    if not there or any(_is_value(cell, column) for cell, column in there):
        return False
    return True if any(column.kind not in (BOOLEAN, CATEGORY) for _, column in there) else None


def _is_value(cell: str, column: Column) -> bool:
    """Whether a cell is a value that a column knows."""
    if column.kind in (BOOLEAN, CATEGORY):
        return (cell.lower() if column.kind == BOOLEAN else cell) in column.values
    if column.kind == DATE:
        return days_of(cell, column.style) is not None
    return is_number(cell.replace(",", ".") if column.style else cell)
