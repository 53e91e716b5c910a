"""Makes numbers of the cells of a table, as a schema says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.schema import BOOLEAN, CATEGORY, CLASS, DATE, Column, Label
from .dates import days_of
from .dialect import EMPTY_TEXTS, WORDS, is_missing, is_number
from .files import Piece, Titled, polars, shown
from .learning import as_numbers, as_texts, number_text

Array = NDArray[Any]
_LISTED = 12  # categories at most that a message names


class Encoder:
    """Makes numbers of the cells of one column. place: of the column in the table. fills: whether what is missing, or
    a category that is not known, gets the mean; else it becomes NaN."""

    def __init__(
        self, table: Titled, place: int, column: Column, classes: Sequence[Label] = (), *, fills: bool = False
    ):
        self.table, self.place, self.column, self.fills = table, place, column, fills
        self.filled = 0  # cells that got the mean
        self._known: Mapping[Any, int] = {}
        self._by_value = False
        if column.kind == CLASS:
            self._by_value = all(type(name) in (int, float) for name in classes)
            self._known = {self._key(name): number for number, name in enumerate(classes)}
        elif column.kind in (BOOLEAN, CATEGORY):
            self._known = {word: number for number, word in enumerate(column.values)}
        if fills and not column.means:
            raise table.wrong(f"{table.called(place)} has no mean that could stand for a missing value")

    def encode(self, piece: Piece, into: Array) -> None:
        """Write the numbers of some rows to an array (rows, width of the column), in float64."""
        cells, kind = piece.cells(self.place), self.column.kind
        if kind == CATEGORY:
            self._encode_categories(piece, cells, into)
            return
        numbers = self._numbers(piece, cells)
        into[:, 0] = numbers
        if self.fills:
            gaps = np.isnan(numbers)
            into[gaps, 0] = self.column.means[0]
            self.filled += int(np.count_nonzero(gaps))

    def _numbers(self, piece: Piece, cells: Any) -> Array:
        """One number for each row; NaN for a missing value."""
        kind = self.column.kind
        if isinstance(cells, np.ndarray):
            if kind in (BOOLEAN, DATE):
                self._refuse(piece, ~np.isnan(cells), cells)
            return self._classes(piece, cells) if kind == CLASS else cells
        if kind in (BOOLEAN, CLASS):
            return self._places(piece, cells)
        if kind == DATE:
            return self._days(piece, cells)
        numbers = as_numbers(cells, self.column.style)
        odd = np.isnan(numbers)
        if odd.any():
            self._refuse(piece, odd & ~_missing(cells, WORDS), cells)
        return numbers

    def _places(self, piece: Piece, cells: Any) -> Array:
        """The place of each text among the known ones; NaN where it is missing."""
        found = _mapped(cells, {word: self._place(word) for word in cells.unique().to_list()})
        empty = EMPTY_TEXTS if self.column.kind == CLASS else WORDS
        self._refuse(piece, np.isnan(found) & ~_missing(cells, empty), cells)
        return found

    def _classes(self, piece: Piece, cells: Array) -> Array:
        """The place of each number among the classes; NaN where it is missing."""
        if not self._by_value:
            return self._places(piece, as_texts(cells))
        values, inverse = np.unique(cells, return_inverse=True)
        found = np.array([self._known.get(value, np.nan) for value in values.tolist()])[inverse.reshape(-1)]
        self._refuse(piece, np.isnan(found) & ~np.isnan(cells), cells)
        return found

    def _place(self, word: str | None) -> float | None:
        if word is None:
            return None
        found = self._known.get(self._key(word) if self.column.kind == CLASS else word.lower())
        return None if found is None else float(found)

    def _key(self, name: Label) -> Any:
        """What a class is looked up by: its text, or its value where all classes are numbers."""
        if not self._by_value:
            return str(name).lower() if isinstance(name, bool) else str(name)
        return name if isinstance(name, int | float) else parsed(name)

    def _days(self, piece: Piece, cells: Any) -> Array:
        known = {word: None if word is None else days_of(word, self.column.style) for word in cells.unique().to_list()}
        found = _mapped(cells, known) - self.column.origin
        self._refuse(piece, np.isnan(found) & ~_missing(cells, WORDS), cells)
        return found

    def _encode_categories(self, piece: Piece, cells: Any, into: Array) -> None:
        if isinstance(cells, np.ndarray):
            cells = as_texts(cells)
        places = _mapped(cells, {word: self._known.get(word) for word in cells.unique().to_list()})
        known = ~np.isnan(places)
        into[:] = 0.0
        into[np.flatnonzero(known), places[known].astype(np.intp)] = 1.0
        if self.fills:
            into[~known] = self.column.means
            self.filled += int(np.count_nonzero(~known))
            return
        self._refuse(piece, ~known & ~_missing(cells, EMPTY_TEXTS), cells)
        into[~known] = np.nan

    def _refuse(self, piece: Piece, wrong: NDArray[np.bool_], cells: Any) -> None:
        """Raise DataError for the first cell where ``wrong`` is true."""
        if not wrong.any():
            return
        row = int(wrong.argmax())
        raise self.table.wrong(f"{piece.place(row)}, {self.table.called(self.place)} is {self.said(cells[row])}")

    def said(self, cell: Any) -> str:
        """What a message says of a wrong cell."""
        text = number_text(cell) if isinstance(cell, float) else shown(cell)
        if self.column.kind == DATE:
            return f"{text}, not a date written as {self.column.style}"
        if self.column.kind not in (BOOLEAN, CATEGORY, CLASS):
            return f"{text}, not a number"
        names = [str(name) for name in (self._known if self.column.kind == CLASS else self.column.values)]
        more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
        hint = "; --missing mean gives it the mean of all" if self.column.kind == CATEGORY else ""
        return f"{text}, which training did not see: it knows {', '.join(names[:_LISTED])}{more}{hint}"

    def encode_cell(self, cell: str, into: Array, where: str) -> bool:
        """Write the numbers of one cell to an array (width,); whether it had a value. DataError for a wrong cell.

        where: what messages call its line.
        """
        kind, value = self.column.kind, self._value(cell)
        missing = cell.lower() in EMPTY_TEXTS if kind in (CATEGORY, CLASS) else is_missing(cell)
        if value is None:
            if not missing and not (self.fills and kind == CATEGORY):
                raise self.table.wrong(f"{where}, {self.table.called(self.place)} is {self.said(cell)}")
            into[:] = self.column.means if self.fills else np.nan
            return self.fills
        if kind == CATEGORY:
            into[:] = 0.0
            into[int(value)] = 1.0
        else:
            into[0] = value
        return True

    def _value(self, cell: str) -> float | None:
        """The number of a cell, or its place among the categories; None if it has none."""
        kind = self.column.kind
        if kind == CATEGORY:
            return self._known.get(cell)
        if kind in (BOOLEAN, CLASS):
            return self._place(cell)
        if kind == DATE:
            day = days_of(cell, self.column.style)
            return None if day is None else day - self.column.origin
        return parsed(cell, self.column.style)


def parsed(cell: str, style: str = "") -> float | None:
    """A cell as a number; None if it is none."""
    text = cell.replace(",", ".") if style else cell
    return float(text) if is_number(text) else None


def _missing(cells: Any, words: frozenset[str]) -> NDArray[np.bool_]:
    """Which texts stand for a missing value."""
    found: NDArray[np.bool_] = cells.fill_null("").str.to_lowercase().is_in(list(words)).to_numpy()
    return found


def _mapped(cells: Any, known: Mapping[Any, float | None]) -> Array:
    """A number for each text; NaN where there is none."""
    pl = polars("")
    pairs = {word: float(value) for word, value in known.items() if value is not None and word is not None}
    if not pairs:
        return np.full(len(cells), np.nan)
    found = cells.replace_strict(list(pairs), list(pairs.values()), default=None, return_dtype=pl.Float64)
    numbers: Array = found.to_numpy()
    return numbers.astype(np.float64, copy=False)
