"""Finds out how a CSV file is written: what separates its cells, and whether its first line has names."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from itertools import islice, pairwise

from ..host.frozen import frozen

SAMPLE = 1 << 16  # bytes of a file that are looked at
_ROWS = 200  # rows that are looked at
_SEPARATORS = ",;\t|"
WORDS = frozenset(["", "na", "n/a", "nan", "null", "none", "#n/a", "?", "-", "--", "."])  # missing, in lower case
EMPTY_TEXTS = frozenset(["", "na", "n/a", "nan", "null", "#n/a"])  # missing among texts, in lower case
BOOLEANS = (("false", "true"), ("no", "yes"), ("n", "y"), ("f", "t"), ("off", "on"))
_TRUTHS = frozenset(BOOLEANS[0])
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(?i:inf|infinity)", re.ASCII)
_COMMA_NUMBER = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"\d+", re.ASCII)


@frozen
class Dialect:
    """How a CSV file is written. first: the cells of the first line. header: whether these are names; None if both can
    be."""

    separator: str
    first: tuple[str, ...]
    header: bool | None


def is_number(cell: str) -> bool:
    """Whether a cell is a number as data files write it. Python also reads 1_000, which is refused here."""
    return _NUMBER.fullmatch(cell) is not None


def is_missing(cell: str) -> bool:
    """Whether a cell stands for a missing value."""
    return cell.lower() in WORDS


def dialect_of(sample: str, *, whole: bool) -> Dialect | None:
    """The dialect of a file that begins with ``sample``; None if that has no record. whole: whether it is all of it."""
    found: tuple[tuple[float, int], str, list[list[str]]] | None = None
    for separator in _SEPARATORS:
        rows = _rows(sample, separator, whole)
        if rows:
            score = _score(rows, separator)
            if found is None or score > found[0]:
                found = score, separator, rows
    if found is None:
        return None
    _, separator, rows = found
    return Dialect(separator, tuple(rows[0]), _has_header([row for row in rows if len(row) == len(rows[0])]))


def _rows(sample: str, separator: str, whole: bool) -> list[list[str]]:
    """The rows of a sample that are not blank, with stripped cells; without the last one if it may be cut off."""
    reader = csv.reader(sample.splitlines(keepends=True), delimiter=separator, skipinitialspace=True)
    rows: list[list[str]] = []
    try:
        for row in islice(reader, _ROWS):
            cells = [cell.strip() for cell in row]
            if any(cells):
                rows.append(cells)
    except csv.Error:  # a cell that is longer than the module allows
        return rows
    return rows if whole or len(rows) < 2 or len(rows) == _ROWS else rows[:-1]


def _score(rows: list[list[str]], separator: str) -> tuple[float, int]:
    """How well a separator suits some rows: the share of cells that are numbers, then the number of columns.

    Rows of different lengths are worse, and a separator that the first row does not have is worst.
    """
    width = len(rows[0])
    if width == 1:
        return -3.0, 1
    if any(len(row) != width for row in rows):
        return -2.0 if separator != "," else -1.5, width
    cells = [cell for row in rows[1:] or rows for cell in row]
    numbers = sum(is_number(cell) or (separator != "," and _COMMA_NUMBER.fullmatch(cell) is not None) for cell in cells)
    return numbers / len(cells), width


def _has_header(rows: list[list[str]]) -> bool | None:
    """Whether the first of some rows has names, and not values; None if both can be."""
    first, rest = rows[0], rows[1:]
    if not rest:
        named = [cell for cell in first if not is_number(cell) and not is_missing(cell)]
        return None if _may_count(first) else len(named) == len(first)
    columns = [[row[place] for row in rest if not is_missing(row[place])] for place in range(len(first))]
    numeric = [bool(column) and all(map(_is_any_number, column)) for column in columns]
    named = [cell for cell, is_numeric in zip(first, numeric, strict=True) if is_numeric and not _is_value(cell)]
    if named:
        return None if all(cell.lower() in _TRUTHS for cell in named) else True
    words = [place for place, is_numeric in enumerate(numeric) if not is_numeric]
    again = any(first[place] in columns[place] or first[place].lower() in _TRUTHS for place in words)
    if _may_count([cell for cell, is_numeric in zip(first, numeric, strict=True) if is_numeric], named=bool(words)):
        return False if again else None
    return len(words) == len(first) and not again and all(map(_is_name, first))


def _is_any_number(cell: str) -> bool:
    return is_number(cell) or _COMMA_NUMBER.fullmatch(cell) is not None


def _is_value(cell: str) -> bool:
    return _is_any_number(cell) or is_missing(cell)


def _is_name(cell: str) -> bool:
    return not _is_any_number(cell)


def _may_count(cells: Sequence[str], *, named: bool = False) -> bool:
    """Whether numbers may be the names of columns: whole numbers that go up by equal steps, such as 0,1,2 or years.

    named: whether beside them are words that may be names, so that two numbers are enough.
    """
    if len(cells) < 2 or not all(_WHOLE.fullmatch(cell) for cell in cells):
        return False
    steps = {int(after) - int(before) for before, after in pairwise(cells)}
    return len(steps) == 1 and min(steps) > 0 and (len(cells) > 2 or cells[0] == "0" or named)
