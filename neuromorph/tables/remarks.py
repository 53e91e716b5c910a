"""What to say about a table: columns that are left out, that look like names, or that differ much in size."""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot

from ..data.schema import BOOLEAN, CATEGORY, LEFT_OUT, NUMBER, Column, Schema
from .files import Table, shown
from .learning import Seen

_LISTED = 12  # names at most that a message lists
_FEW = 10  # rows from which on a column that counts them is remarkable
_UNLIKE = 100.0  # times that the sizes of two columns differ before a hint


def said_widths(columns: Sequence[Column], *, header: bool) -> str:
    """How many numbers each column becomes, for a message: "1 of 'age', 3 of 'city'". header: whether they have
    names."""
    return some([f"{one.width} of {shown(one.name) if header else f'column {one.name}'}" for one in columns]) or "none"


def some(names: Sequence[str]) -> str:
    """Some names, as a list for a message."""
    more = [f"{len(names) - _LISTED:,} more"] if len(names) > _LISTED else []
    return ", ".join([*names[:_LISTED], *more])


def notes_of(
    table: Table, schema: Schema, seen: dict[int, Seen], categories: Sequence[int], rows: int
) -> tuple[str, ...]:
    """What a user should know of how a table is read."""
    said = {"dates": "has dates and is left out: --dates takes them as days", "empty": "is empty and is left out"}
    left = [column for column in schema.columns if column.kind == LEFT_OUT and column.style in said]
    found = [f"{shown(column.name)} {said[column.style]}" for column in left]
    for place in schema.inputs:
        one = seen[place]
        if place not in categories and one.numbers >= _FEW and one.counting and one.whole and schema.horizon is None:
            found.append(
                f"{table.called(place)} counts the rows, and says nothing of what is expected: --ignore leaves it out"
            )
        elif schema.columns[place].kind == CATEGORY and len(schema.columns[place].values) == rows >= _FEW:
            found.append(f"{table.called(place)} has another text in each row, as names have: --ignore leaves it out")
    return tuple(found)


def unlike(table: Table, schema: Schema, seen: dict[int, Seen]) -> str:
    """The columns with the largest and the smallest numbers, if these differ much in size; else an empty text."""
    sizes = {}
    for place in schema.inputs:
        if schema.columns[place].kind == NUMBER and seen[place].numbers:
            sizes[place] = hypot(seen[place].deviation, seen[place].mean)
        elif schema.columns[place].kind in (CATEGORY, BOOLEAN):
            sizes.setdefault(place, 1.0)
    full = {place: size for place, size in sizes.items() if 0.0 < size < float("inf")}
    if not full:
        return ""
    low, high = min(full, key=full.__getitem__), max(full, key=full.__getitem__)
    if full[high] < _UNLIKE * min(1.0, full[low]):
        return ""
    return (
        f"{table.called(high)} has numbers of about {full[high]:.2g}, and {table.called(low)} of about {full[low]:.2g}"
    )
