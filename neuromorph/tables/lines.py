"""Makes numbers of one line of a CSV stream at a time, as a schema says."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from ..data.schema import NUMBER, Column, Label, Schema
from ..host.frozen import frozen
from .arrays import match
from .dialect import dialect_of, is_number
from .encoding import Encoder
from .files import Titled, shown, unclear
from .headers import has_names
from .records import UTF_8, counted

_BLANK = b" \t\r\n"


@frozen
class Row:
    """One line. values: what a model reads, (W,). group: the cell of the column of groups, or an empty text."""

    values: NDArray[np.float64]
    group: str
    line: int


def plain_schema(width: int) -> Schema:
    """The schema of lines of so many numbers, without names."""
    return Schema(tuple(Column(str(n + 1), NUMBER) for n in range(width)), False, tuple(range(width)))


def rows_of_lines(
    lines: Iterable[bytes],
    title: str,
    schema: Schema,
    classes: Sequence[Label] = (),
    *,
    header: bool | None = None,
    fills: bool = False,
    most: float = np.inf,
) -> Iterator[Row]:
    """The rows of a stream, each as soon as its line is there. Blank lines are left out.

    header: whether the first line has names; None finds out. fills: whether missing values get means. most: the largest
    number that a value may be. DataError for a line that does not fit.
    """
    texts = _texts(lines, title)
    first = next(texts, None)
    if first is None:
        raise Titled(title, (), False).wrong("it has no rows")
    found = dialect_of(first, whole=True)
    separator = "," if found is None else found.separator
    reader = csv.reader(chain([first], texts), delimiter=separator, skipinitialspace=True)
    reading: _Reading | None = None
    try:
        for given in reader:
            cells = [cell.strip() for cell in given]
            if not any(cells) and len(cells) < 2:
                continue
            if reading is None:
                names = _has_names(title, cells, schema, header)
                known = cells if names else [str(number + 1) for number in range(len(cells))]
                reading = _Reading(Titled(title, known, names), schema, classes, fills, most)
                if names:
                    continue
            yield reading.row(cells, reader.line_num)
    except csv.Error as error:
        raise Titled(title, (), False).wrong(f"line {reader.line_num}: not CSV: {error}") from None


def _texts(lines: Iterable[bytes], title: str) -> Iterator[str]:
    """The lines as texts."""
    for number, line in enumerate(lines, 1):
        try:
            text = line.removeprefix(UTF_8).decode("utf-8") if number == 1 else line.decode("utf-8")
        except UnicodeDecodeError:
            raise Titled(title, (), False).wrong(f"line {number} is no text in UTF-8") from None
        if number > 1 or line.strip(_BLANK):
            yield text


def _has_names(title: str, cells: Sequence[str], schema: Schema, header: bool | None) -> bool:
    """Whether the first line has names: those that the schema needs, or words that can't be values where it knows no
    names. DataError if they may be both."""
    if header is not None:
        return header
    if not schema.header:
        found = has_names(cells, schema, not any(map(is_number, cells)))
        if found is None:
            raise Titled(title, (), False).wrong(unclear(cells))
        return found
    names = {schema.columns[place].name for place in schema.needed}
    return names <= set(cells) or not any(map(is_number, cells))


class _Reading:
    """Makes rows of the cells of a stream whose columns are known."""

    def __init__(self, table: Titled, schema: Schema, classes: Sequence[Label], fills: bool, most: float) -> None:
        at = match(table, schema, answers=False)
        self.table, self.count, self.most = table, len(table.names), most
        self.encoders = [
            Encoder(table, at[place], schema.columns[place], classes, fills=fills) for place in schema.inputs
        ]
        self.group = None if schema.group is None else at[schema.group]
        self.width = schema.width

    def row(self, cells: Sequence[str], line: int) -> Row:
        """The numbers of a line. DataError if it does not fit."""
        if len(cells) != self.count:
            raise self.table.wrong(
                f"line {line} has {counted(len(cells), 'column')}, and the lines before it {self.count}"
            )
        values, at = np.empty(self.width), 0
        for encoder in self.encoders:
            part, cell = values[at : at + encoder.column.width], cells[encoder.place]
            where = f"line {line}, {self.table.called(encoder.place)}"
            if not encoder.encode_cell(cell, part, f"line {line}"):
                raise self.table.wrong(f"{where} is {shown(cell)}: --missing mean puts the mean of the column there")
            if not (np.abs(part) <= self.most).all():
                raise self.table.wrong(f"{where} is {cell}, and must be a finite number that the model's type can hold")
            at += encoder.column.width
        return Row(values, "" if self.group is None else cells[self.group], line)
