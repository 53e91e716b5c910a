"""Looks at the cells of columns, and finds the kind of each: numbers, booleans, categories, dates or classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.schema import BOOLEAN, CATEGORY, DATE, LEFT_OUT, NUMBER, Column
from ..errors import DataError
from .dates import FORMS, days_of, forms_of
from .dialect import BOOLEANS, EMPTY_TEXTS, is_missing
from .files import Piece, Table, polars, shown

Array = NDArray[Any]
MOST_CATEGORIES = 1_000  # of a column of texts that is not said to have categories
MOST_WORDS = 100_000  # different texts of a column that are counted
_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+", re.ASCII)
_WITH_UNIT = re.compile(r"[€$£]\s?[+-]?\d[\d.,]*|[+-]?\d[\d.,]*\s?[%€$£]", re.ASCII)
_DATES = 1_000  # texts at most that are tried as dates of several forms


@dataclass
class Counted:
    """Dates: their sum, how many they are, and the first one, in days since 1970-01-01."""

    total: float = 0.0
    count: int = 0
    first: float = np.inf

    def add(self, day: float, times: int) -> None:
        """Add a date that occurs so many times."""
        self.total, self.count, self.first = self.total + day * times, self.count + times, min(self.first, day)


@dataclass
class Seen:
    """What a column of a table has.

    listed: whether all its cells are counted as texts, also those that are numbers. numbers: how many are numbers.
    words, texts: how often each text occurs that is no number, and each of all; None where there are too many different
    ones. word: the place of the first text that is no number, and that text. days: the dates, by the form in which all
    texts are dates. codes: how many numbers begin with a 0 as codes do, where all are whole. counting: whether each
    number is one more than that before.
    """

    place: int
    listed: bool = False
    numbers: int = 0
    total: float = 0.0
    squares: float = 0.0
    shift: float = 0.0
    low: float = np.inf
    high: float = -np.inf
    whole: bool = True
    counting: bool = True
    last: float = np.nan
    codes: int = 0
    words: Counter[str] | None = field(default_factory=Counter)
    texts: Counter[str] | None = field(default_factory=Counter)
    days: dict[str, Counted] = field(default_factory=dict)
    no_dates: bool = False
    word: tuple[str, str] | None = None
    comma_words: bool = True

    @property
    def mean(self) -> float:
        """The mean of the numbers."""
        return self.shift + self.total / self.numbers if self.numbers else 0.0

    @property
    def deviation(self) -> float:
        """The standard deviation of the numbers."""
        if not self.numbers:
            return 0.0
        with np.errstate(all="ignore"):
            return float(np.sqrt(max(0.0, self.squares / self.numbers - np.square(self.total / self.numbers))))

    def add(self, piece: Piece) -> None:
        """Look at the cells of some rows."""
        cells = piece.cells(self.place)
        if isinstance(cells, np.ndarray):
            self._add_numbers(cells)
            if self.listed:
                found, counts = np.unique(cells[~np.isnan(cells)], return_counts=True)
                self.texts = _with(self.texts, zip(map(number_text, found.tolist()), counts.tolist(), strict=True))
            return
        numbers = as_numbers(cells)
        if self.listed:
            self.texts = _with(self.texts, cells.fill_null("").value_counts().iter_rows())
        if np.isnan(numbers).any():
            self._add_words(cells.filter(polars("").Series(np.isnan(numbers))), piece, numbers)
        self._add_numbers(numbers)
        if self.whole:
            self.codes += int(cells.str.contains(r"^[+-]?0[0-9]").sum() or 0)

    def _add_numbers(self, cells: Array) -> None:
        right = ~np.isnan(cells)
        found = cells if right.all() else cells[right]
        if not len(found):
            return
        if not self.numbers:
            self.shift = float(found[0]) if np.isfinite(found[0]) else 0.0
        with np.errstate(all="ignore"):
            if self.counting:
                steps = np.diff(found, prepend=self.last if self.numbers else found[0] - 1.0)
                self.counting, self.last = bool((steps == 1.0).all()), float(found[-1])
            moved = found - self.shift
            self.total, self.squares = self.total + float(moved.sum()), self.squares + float(np.square(moved).sum())
            self.whole = self.whole and bool((found == np.floor(found)).all())
        self.numbers += len(found)
        self.low, self.high = min(self.low, float(found.min())), max(self.high, float(found.max()))

    def _add_words(self, cells: Any, piece: Piece, numbers: Array) -> None:
        counts = Counter(dict(cells.fill_null("").value_counts().iter_rows()))
        words = [word for word in counts if not is_missing(word)]
        if words and self.word is None:
            self.word = self._first(set(words), piece, numbers)
        self.comma_words = self.comma_words and all(map(_COMMA.fullmatch, words))
        self._add_dates(words, counts)
        self.words = _with(self.words, counts.items())

    def _first(self, words: Collection[str], piece: Piece, numbers: Array) -> tuple[str, str]:
        cells = piece.cells(self.place)
        rows = np.flatnonzero(np.isnan(numbers))
        row = next(int(row) for row in rows if cells[int(row)] in words)
        return piece.place(row), cells[row]

    def _add_dates(self, words: list[str], counts: Counter[str]) -> None:
        if not words or self.no_dates:
            return
        known = self.days or {form: Counted() for form in FORMS}
        self.days = {form: days for form, days in known.items() if form in forms_of(words[0])}
        for form in list(self.days):
            for word in words:
                day = days_of(word, form)
                if day is None:
                    del self.days[form]
                    break
                self.days[form].add(day, counts[word])
        self.no_dates = not self.days


def look(table: Table, columns: Sequence[int], listed: Collection[int] = ()) -> tuple[int, dict[int, Seen]]:
    """The number of rows, and what these columns have. listed: those whose cells are all texts."""
    seen = {place: Seen(place, place in listed) for place in columns}
    count = 0
    for piece in table.pieces(columns or [0]):
        count += piece.count
        for one in seen.values():
            one.add(piece)
    if not count:
        raise table.wrong("it has no rows")
    return count, seen


def _with(counts: Counter[str] | None, more: Iterable[tuple[str, int]]) -> Counter[str] | None:
    """The counts of texts with more of them; None where there are too many different ones."""
    if counts is None:
        return None
    for text, number in more:
        counts[text] += number
    return counts if len(counts) <= MOST_WORDS else None


def as_texts(cells: Array) -> Any:
    """Numbers as a series of texts, whole ones without a point; NaN is missing."""
    pl = polars("")
    return pl.Series([None if np.isnan(cell) else number_text(cell) for cell in cells.tolist()], dtype=pl.String)


def number_text(number: float) -> str:
    """A number as a text, whole ones without a point."""
    return str(int(number)) if float(number).is_integer() else repr(float(number))


def as_numbers(cells: Any, style: str = "") -> Array:
    """A series of texts as numbers; NaN for all that is no number. style: "comma" for a decimal comma."""
    pl = polars("")
    if style:
        cells = cells.str.replace(",", ".", literal=True)
    found: Array = cells.cast(pl.Float64, strict=False).to_numpy()
    return found.astype(np.float64, copy=False)


# Kinds ----------------------------------------------------------------------------------------------------------------


def kind_of(table: Table, seen: Seen, *, dates: bool = False, categories: bool = False) -> Column:
    """The column that cells make. dates: whether dates become numbers. categories: whether any cells are categories.

    DataError if the kind is not clear.
    """
    name, called = table.names[seen.place], table.called(seen.place)
    if categories:
        return _category(table, seen, seen.texts, {""})
    words = {} if seen.words is None else {word: n for word, n in seen.words.items() if not is_missing(word)}
    if not words and seen.words is not None:
        if not seen.numbers:
            return Column(name, LEFT_OUT, style="empty")
        if seen.codes and seen.whole:
            raise table.wrong(
                f"{called} has numbers that begin with 0, as codes do: --categories takes them as categories, --ignore "
                "leaves them out"
            )
        return Column(name, NUMBER, means=_means(seen.mean))
    if seen.comma_words and (seen.whole or not seen.numbers) and (words or seen.words is None):
        return _decimal_comma(table, seen, words)
    if seen.numbers:
        raise _mixed(table, seen)
    pair = boolean_pair(words)
    if pair is not None:
        yes = sum(n for word, n in words.items() if word.lower() == pair[1])
        return Column(name, BOOLEAN, pair, _means(yes / sum(words.values())))
    if seen.days:
        return as_date(table, seen) if dates else Column(name, LEFT_OUT, style="dates")
    return _category(table, seen, seen.words, EMPTY_TEXTS)


def boolean_pair(words: Iterable[str]) -> tuple[str, str] | None:
    """The words for no and yes that texts are, in lower case; None if they are others."""
    found = {word.lower() for word in words}
    return next((pair for pair in BOOLEANS if found and found <= set(pair)), None)


def named_words(counts: Counter[str]) -> dict[str, int]:
    """How often each text occurs, in their order, without those that stand for a missing value."""
    return {word: n for word, n in sorted(counts.items()) if word.lower() not in EMPTY_TEXTS}


def _means(*values: float) -> tuple[float, ...]:
    return values if all(map(np.isfinite, values)) else ()


def _mixed(table: Table, seen: Seen) -> DataError:
    assert seen.word is not None
    place, word = seen.word
    hint = "--categories takes all of them as categories, --ignore leaves the column out"
    if re.fullmatch(r"[\s€$£+-]*\d[\d.,' ]*[\s€$£%]*", word):
        hint = "write numbers without units and without marks between thousands"
    return table.wrong(
        f"{place}, {table.called(seen.place)} is {shown(word)}, not a number, as others in it are: correct it; {hint}"
    )


def _decimal_comma(table: Table, seen: Seen, words: dict[str, int]) -> Column:
    if words and all(map(_THOUSANDS.fullmatch, words)):
        raise table.wrong(
            f"{table.called(seen.place)} has numbers such as {next(iter(words))}, and its comma may stand before "
            "decimals or thousands: write a decimal point, and nothing between thousands"
        )
    if seen.words is None:
        return Column(table.names[seen.place], NUMBER, style="comma")
    total = sum(float(word.replace(",", ".")) * n for word, n in words.items()) + seen.mean * seen.numbers
    return Column(
        table.names[seen.place], NUMBER, means=_means(total / (sum(words.values()) + seen.numbers)), style="comma"
    )


def _category(table: Table, seen: Seen, counted: Counter[str] | None, empty: Collection[str]) -> Column:
    called = table.called(seen.place)
    if counted is None:
        raise table.wrong(f"{called} has more than {MOST_WORDS:,} different texts: --ignore leaves it out")
    counts = {word: n for word, n in sorted(counted.items()) if word.lower() not in empty}
    if not counts:
        return Column(table.names[seen.place], LEFT_OUT, style="empty")
    if counted is seen.words:
        _check_words(table, seen, counts)
    if len(counts) > MOST_CATEGORIES and counted is seen.words:
        some = ", ".join(shown(word) for word in list(counts)[:3])
        raise table.wrong(
            f"{called} has {len(counts):,} different texts, such as {some}: --ignore leaves it out, --categories "
            "makes a number of each"
        )
    total = sum(counts.values())
    return Column(table.names[seen.place], CATEGORY, tuple(counts), tuple(n / total for n in counts.values()))


def _check_words(table: Table, seen: Seen, words: Collection[str]) -> None:
    """Raise DataError for texts that are dates in several forms, or numbers with units."""
    called, some = table.called(seen.place), list(words)
    if all(map(_WITH_UNIT.fullmatch, some)):
        raise table.wrong(f"{called} has numbers such as {shown(some[0])}: write them without units")
    forms = [forms_of(word) for word in some[:_DATES]]
    if len(some) > 1 and all(forms):
        other = next((word for word, found in zip(some, forms, strict=False) if not found & forms[0]), some[-1])
        raise table.wrong(
            f"{called} has dates in several forms, such as {shown(some[0])} and {shown(other)}: write them all in one"
        )


def date_form(table: Table, seen: Seen) -> str:
    """The form of a column of dates. DataError if there are several."""
    forms = list(seen.days)
    if len(forms) != 1:
        raise table.wrong(
            f"{table.called(seen.place)} has dates that are {' or '.join(forms)}: write them as year-month-day"
        )
    return forms[0]


def as_date(table: Table, seen: Seen) -> Column:
    """The column of dates that cells make. DataError if their form is not clear."""
    form = date_form(table, seen)
    days = seen.days[form]
    origin = float(np.floor(days.first))
    means = _means(days.total / days.count - origin)
    return Column(table.names[seen.place], DATE, means=means, style=form, origin=origin)
