"""Reads tables for the commands: resolves the options that name columns, and makes arrays of the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
import numpy as np

import neuromorph as nm

from ..data.schema import CLASS, MISSING, Schema
from ..tables import arrays, choosing, sequences
from ..tables.choosing import Learnt, Roles, Wanted
from ..tables.files import Table, open_table
from ..tables.records import counted
from .arrays import Array, Arrays, Origin, Source, has_classes

_BINARY_NO = {"hinge": -1.0}  # what the first of two classes is for a loss; 0 for the others


class TableOrigin(Origin):
    """Where the rows of a table are, for messages.

    rows: that of each vector, (N,) or (N, S); None where vector n is row n. columns: of an array. steps: whether a row
    has them, one after the other, as the second axis.
    """

    def __init__(self, table: Table, rows: Array | None, columns: Sequence[int], *, steps: int = 1) -> None:
        super().__init__(table.title)
        self.table, self.rows, self.columns, self.steps = table, rows, columns, steps

    def place(self, name: str, index: tuple[int, ...]) -> str:
        """What a message calls the number at ``index`` of the array ``name``."""
        if self.steps > 1 and len(index) == 3:
            index = (index[0], index[1] * (len(self.columns) // self.steps) + index[2])
        axes = 1 if self.rows is None else min(self.rows.ndim, len(index))
        row = index[0] if self.rows is None else int(np.max(self.rows[index[:axes]]))
        column = self.columns[min(index[axes] if len(index) > axes else 0, len(self.columns) - 1)]
        return f"{self.table.place_of(row)}, {self.table.called(column)}"


@contextmanager
def as_click() -> Iterator[None]:
    """A block in which an error about a table becomes one of the command line."""
    try:
        yield
    except nm.DataError as error:
        raise click.ClickException(str(error)) from error


def opened(source: Source, path: str, schema: Schema | None) -> Table:
    """The table of a source."""
    return open_table(path, title=source.title(path), header=source.header, schema=schema)


def wanted_of(model: nm.Model) -> Wanted:
    """What a model takes."""
    return Wanted(model.input_width, model.output_width, model.graph.loss.name, model.graph.has_time_links)


def arrays_of_table(source: Source, path: str, model: nm.Model, *, answers: bool) -> Arrays:
    """The arrays of a table. The model's own schema is used, if it has one; else one is learnt from the cells."""
    with as_click():
        table = opened(source, path, model.table)
        inputs, targets = policies(source, model, answers=answers)
        learnt = learnt_of(table, source, model, answers=answers)
        schema = learnt.schema
        ignored = [] if source.ignore is None else columns_of(table, "--ignore", source.ignore)
        answers = answers and bool(schema.targets)
        at = arrays.match(table, schema, answers=answers, ignored=ignored)
        rows = arrays.rows_of(
            table, schema, learnt.classes or (), at, model.dtype, arrays.Policy(inputs, targets), answers=answers,
            count=learnt.rows, small=learnt.small if model.table is None else None,
        )  # fmt: skip
        notes = (*learnt.notes, *_gaps(rows))
        made = _shaped(source, table, schema, rows, model, at)
    return _with_answers(made, model, rows, learnt, notes, skips=targets == "skip")


def _gaps(rows: arrays.Rows) -> list[str]:
    """What to say of missing values."""
    found = []
    if rows.dropped:
        have = "has missing values and is" if rows.dropped == 1 else "have missing values and are"
        found.append(f"{rows.dropped:,} of {len(rows) + rows.dropped:,} rows {have} left out")
    if rows.filled:
        whose = "its" if rows.filled == 1 else "their"
        found.append(f"{counted(rows.filled, 'missing value')} got the mean of {whose} column")
    return found


def learnt_of(table: Table, source: Source, model: nm.Model, *, answers: bool) -> Learnt:
    """The schema that a model has, or one that is learnt from the cells of a table."""
    if model.table is not None:
        _check_same(table, source, model.table)
        return Learnt(model.table, model.classes)
    roles = roles_of(table, source, window=source.window, plain=model.built, wide=is_wide(source, model))
    return choosing.learn(table, roles, wanted_of(model), answers=answers)


def is_wide(source: Source, model: nm.Model) -> bool:
    """Whether each row of a table is a whole sequence."""
    return bool(source.sequences) and model.graph.has_time_links and source.group is None and source.horizon is None


def roles_of(
    table: Table, source: Source, *, window: int | None = None, plain: bool = False, wide: bool = False
) -> Roles:
    """What the options say of the columns of a table. plain: whether a built model has no table. wide: whether a row
    is a whole sequence."""
    ignored = _listed(table, "--ignore", source.ignore)
    targets = None if source.targets is None else _listed(table, "--targets", source.targets)
    others = {name: _one_column(table, name, getattr(source, name)) for name in ("weights", "group", "time")}
    used = {"--ignore": ignored, "--targets": targets or ()}
    used |= {f"--{name}": (place,) for name, place in others.items() if place is not None}
    taken: dict[int, str] = {}
    for option, places in used.items():
        for place in places:
            if place in taken:
                raise click.UsageError(f"{taken[place]} and {option} name the same column")
            taken[place] = option
    found = Roles(
        ignored, targets, **others, categories=_listed(table, "--categories", source.categories),
        window=window if source.horizon else None, horizon=source.horizon, missing=_inputs_policy(source.missing),
        dates=source.dates, plain=plain, wide=wide,
    )  # fmt: skip
    _check_series(found)
    return found


def _check_series(roles: Roles) -> None:
    """Raise UsageError for options that do not go with --horizon."""
    if roles.horizon is None:
        return
    if roles.window is None:
        raise click.UsageError("--horizon needs --window: the rows of a window that a forecast is made from")
    if roles.weights is not None:
        raise click.UsageError("--weights has a weight for each row, and --horizon makes windows of rows")
    if roles.missing == "drop":
        raise click.UsageError("--missing drop would leave gaps in a series, and --horizon needs each row")


def _check_same(table: Table, source: Source, schema: Schema) -> None:
    """Raise UsageError for an option about columns that differs from what the model was trained with."""
    names = {name: getattr(schema, name) for name in ("weights", "group", "time")}
    for name, place in names.items():
        given = getattr(source, name)
        if given is not None and (place is None or given not in (schema.columns[place].name, str(place + 1))):
            raise click.UsageError(f"--{name} is {given}, and the model was trained {_with_column(schema, place)}")
    if source.targets is not None and schema.header:
        given_names = [name.strip() for name in source.targets.split(",")]
        known = [schema.columns[place].name for place in schema.targets]
        if given_names != known and any(name in table.names for name in given_names):
            raise click.UsageError(f"--targets is {source.targets}, and the model was trained with {', '.join(known)}")
    if source.horizon not in (None, schema.horizon):
        raise click.UsageError(f"--horizon is {source.horizon}, and the model was trained with {schema.horizon}")
    for option, given in (("--categories", source.categories), ("--dates", source.dates)):
        if given:
            raise click.UsageError(f"{option} is for training: the model knows what it learnt of its table")


def _with_column(schema: Schema, place: int | None) -> str:
    return "without" if place is None else f"with {schema.columns[place].name}"


def _listed(table: Table, option: str, listed: str | None) -> tuple[int, ...]:
    return () if listed is None else tuple(columns_of(table, option, listed))


def _one_column(table: Table, name: str, given: str | None) -> int | None:
    if given is None:
        return None
    return _place_of(table, given.strip())


def columns_of(table: Table, option: str, listed: str) -> list[int]:
    """The columns that a list names, as places from 0. Each item of the list is a name, or a number from 1."""
    if listed.strip() in table.names:  # a name with a comma
        return [_place_of(table, listed.strip())]
    found = [_place_of(table, name) for name in map(str.strip, listed.split(","))]
    if len(set(found)) < len(found):
        raise click.UsageError(f"{option} names a column twice: {listed}")
    return found


def _place_of(table: Table, name: str) -> int:
    """The place of a column, from 0."""
    names = table.names if table.header else ()
    if names.count(name) > 1:
        raise table.wrong(f"{names.count(name)} of its columns are called {name!r}; give a number from 1")
    if name in names:
        return names.index(name)
    if name.isdecimal() and 1 <= int(name) <= len(table.names):
        return int(name) - 1
    there = f"its columns are {', '.join(names)}" if table.header else f"it has columns 1 to {len(table.names)}"
    raise table.wrong(f"it has no column {name!r}; {there}")


# Missing values -------------------------------------------------------------------------------------------------------


def _parts(missing: str | None) -> list[str]:
    parts = [] if missing is None else [part.strip() for part in missing.split(",")]
    wrong = [part for part in parts if part not in (*MISSING, "skip")]
    inputs = [part for part in parts if part != "skip"]
    if wrong or len(inputs) > 1 or len(set(parts)) < len(parts):
        raise click.UsageError(
            f"--missing is {missing}, and takes error, drop or mean, for missing values of inputs, and skip, for "
            "missing expected values, or both with a comma"
        )
    return parts


def _inputs_policy(missing: str | None) -> str:
    return next((part for part in _parts(missing) if part != "skip"), MISSING[0])


def policies(source: Source, model: nm.Model, *, answers: bool) -> tuple[str, str]:
    """What happens to missing inputs, and to missing expected values. answers: whether these are read."""
    parts = _parts(source.missing)
    trained = "error" if model.table is None else model.table.missing
    if not answers:
        if "drop" in parts:
            raise click.UsageError("--missing drop would leave rows without an answer: give --missing mean")
        trained = "error" if trained == "drop" else trained
    inputs = next((part for part in parts if part != "skip"), trained)
    return inputs, "skip" if "skip" in parts else "drop" if inputs == "drop" else "error"


# Arrays ---------------------------------------------------------------------------------------------------------------


def _shaped(
    source: Source, table: Table, schema: Schema, rows: arrays.Rows, model: nm.Model, at: dict[int, int]
) -> Arrays:
    """The rows as vectors or sequences, with what is expected as ``expected``."""
    columns = [at[place] for place in schema.inputs for _ in range(schema.columns[place].width)]
    answered = [at[place] for place in schema.targets] if rows.targets is not None else []

    def found(inputs: Array, expected: Array | None, places: Array | None, **more: Any) -> Arrays:
        numbers = rows.numbers
        if places is not None:
            numbers = places if numbers is None else np.where(places < 0, -1, numbers[places])
        steps = inputs.shape[1] if places is None and inputs.ndim == 3 else 1
        origins: dict[str, Origin] = {"inputs": TableOrigin(table, numbers, columns, steps=steps)}
        if answered and expected is not None:
            last = numbers
            if places is not None and numbers is not None and expected.ndim == 2 == numbers.ndim:
                last = numbers[np.arange(len(numbers)), np.count_nonzero(places >= 0, axis=1) - 1]
            origins |= dict.fromkeys(("expected", "labels"), TableOrigin(table, last, answered))
        row_groups = None if rows.groups is None else (rows.groups, rows.names)
        return Arrays(table.title, inputs, expected, origins=origins, places=numbers, row_groups=row_groups, **more)

    if schema.window is not None:
        made = sequences.windows_of(table, rows, schema.window, None if rows.targets is None else schema.horizon)
        flat = model.input_width != schema.width
        inputs = made.inputs.reshape(len(made.inputs), -1) if flat else made.inputs
        return found(inputs, made.expected, made.rows[:, -1] if flat else made.rows, sequences=not flat)
    if schema.group is not None and model.graph.has_time_links:
        once = False if source.each else source.once if model.reading is None else model.reading.once
        made = sequences.sequences_of(table, rows, once=once)
        return found(
            made.inputs, made.expected, made.rows, lengths=made.lengths, sample_weight=made.weights, sequences=True,
            groups=made.names,
        )  # fmt: skip
    if schema.width != model.input_width and model.graph.has_time_links:
        steps = rows.inputs.reshape(len(rows), -1, model.input_width)
        return found(steps, rows.targets, None, sample_weight=rows.weights, sequences=True)
    if rows.times is None:
        return found(rows.inputs, rows.targets, None, sample_weight=rows.weights)
    if rows.groups is None:
        order = sequences.sequences_of(table, rows).rows[0]
    else:
        order = np.argsort(rows.times, kind="stable")
    if (order == np.arange(len(rows))).all():
        return found(rows.inputs, rows.targets, None, sample_weight=rows.weights)
    targets, weights = (None if array is None else array[order] for array in (rows.targets, rows.weights))
    return found(rows.inputs[order], targets, order, sample_weight=weights, order=order)


def _with_answers(
    made: Arrays, model: nm.Model, rows: arrays.Rows, learnt: Learnt, notes: tuple[str, ...], *, skips: bool
) -> Arrays:
    """The arrays with labels in the place of expected values where these are classes, and with what was learnt."""
    schema, values = learnt.schema, dict(vars(made))
    values |= {"schema": schema, "classes": learnt.classes, "notes": notes, "unlike": learnt.unlike, "skips": skips}
    expected = made.expected
    if expected is not None and expected.shape[-1] == 1 and schema.horizon is None:
        if has_classes(model):
            values |= {"labels": expected[..., 0], "expected": None}
        elif any(schema.columns[place].kind == CLASS for place in schema.targets):
            low = _BINARY_NO.get(model.graph.loss.name, 0.0)
            values["expected"] = (low + (1.0 - low) * expected).astype(model.dtype)
    return Arrays(**values)


def numbers_of_table(path: str) -> tuple[Array, Origin]:
    """All numbers of a table, in float64, and where they come from."""
    with as_click():
        table = open_table(path)
        roles = Roles(plain=True)
        learnt = choosing.learn(table, roles, None, answers=False)
        at = {place: place for place in learnt.schema.inputs}
        if len(at) < len(table.names):
            raise table.wrong("a column is empty")
        rows = arrays.rows_of(table, learnt.schema, (), at, np.float64, arrays.Policy(), answers=False)
    return rows.inputs, TableOrigin(table, rows.numbers, list(range(len(table.names))))
