"""Describes a table for the command check: what each column holds, and how many numbers it becomes."""

from __future__ import annotations

from typing import Any

import click

import neuromorph as nm

from ..data.schema import BOOLEAN, CATEGORY, CLASS, DATE, LEFT_OUT, NUMBER, Column
from ..tables import choosing
from ..tables.choosing import Learnt
from ..tables.dates import text_of
from ..tables.files import FORMATS, Table, ending_of, shown
from ..tables.learning import Seen, named_words
from ..tables.records import counted
from .arrays import Source
from .reporting import scale_hint
from .stdin import on_disk
from .tables import as_click, is_wide, opened, roles_of, wanted_of

_LISTED = 8  # categories at most that are listed


def described_table(source: Source, model: nm.Model | None) -> dict[str, Any]:
    """What a table holds, ready for JSON. model: one that the table is for. ClickException if it does not fit."""
    source = on_disk(source)
    if source.data is None or ending_of(source.data) is None:
        raise click.UsageError(f"--data is for tables here: {', '.join(FORMATS)}")
    with as_click():
        table = opened(source, source.data, None)
        roles = roles_of(table, source, window=source.window, wide=model is not None and is_wide(source, model))
        learnt = choosing.learn(table, roles, None if model is None else wanted_of(model))
        rows = table.count()
    hint = None if model is None else scale_hint(model, learnt.unlike)
    return {
        "file": table.title,
        "rows": rows,
        "inputs": learnt.schema.width,
        "columns": [_column(table, learnt, place, rows) for place in range(len(table.names))],
        "notes": [*learnt.notes, *([] if hint is None else [hint])],
    }


def lines_of_table(found: dict[str, Any]) -> list[str]:
    """The description of a table for people."""
    columns = found["columns"]
    wide, long = (max(len(column[key]) for column in columns) for key in ("name", "role"))
    head = f"{found['file']}: {counted(found['rows'], 'row')}, {counted(len(columns), 'column')}"
    head += f", {counted(found['inputs'], 'number')} in"
    rows = [
        f"  {column['name']:{wide}}  {column['role']:{max(8, long)}}  {column['numbers']:>5}  {column['has']}"
        for column in columns
    ]
    return [head, *rows]


def _column(table: Table, learnt: Learnt, place: int, rows: int) -> dict[str, Any]:
    """What one column holds."""
    schema, column, seen = learnt.schema, learnt.schema.columns[place], learnt.seen.get(place)
    roles = {"weights": schema.weights, "group": schema.group, "time": schema.time}
    role = next((name for name, other in roles.items() if other == place), None)
    uses = [name for name, places in (("input", schema.inputs), ("expected", schema.targets)) if place in places]
    role = role or ", ".join(uses) or "left out"  # the columns of a series may be both
    has = column.style if seen is None else _has(column, seen, learnt, rows)
    width = column.width if place in schema.inputs else 0
    return {"name": table.names[place], "role": role, "numbers": width, "has": has}


def _has(column: Column, seen: Seen, learnt: Learnt, rows: int) -> str:
    """What the cells of a column are, in words."""
    words = {} if seen.words is None else named_words(seen.words)
    missing = rows - seen.numbers - sum(words.values()) if seen.words is not None else 0
    gaps = f", {missing:,} missing" if missing > 0 and column.kind != CATEGORY else ""
    if column.kind == NUMBER and column.style:
        return f"numbers with a decimal comma{gaps}"
    if column.kind == NUMBER:
        return f"numbers from {seen.low:g} to {seen.high:g}{gaps}"
    if column.kind == BOOLEAN:
        return f"{column.values[0]} or {column.values[1]}{gaps}"
    if column.kind == CATEGORY:
        empty = f", {missing:,} missing" if missing > 0 else ""
        return f"{len(column.values):,} categories: {_some(column.values)}{empty}"
    if column.kind == DATE or (column.kind == LEFT_OUT and column.style == "dates"):
        first = min((days.first for days in seen.days.values()), default=0.0)
        return f"dates from {text_of(first, times=False)}{gaps}"
    if column.kind == CLASS:
        classes = list(map(str, learnt.classes or [] if seen.texts is None else named_words(seen.texts)))
        return f"{len(classes):,} classes: {_some(classes)}"
    return {"empty": "nothing"}.get(column.style, column.style)


def _some(values: Any) -> str:
    more = f" and {len(values) - _LISTED:,} more" if len(values) > _LISTED else ""
    return ", ".join(map(shown, list(values)[:_LISTED])) + more
