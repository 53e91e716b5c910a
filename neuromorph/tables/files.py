"""Opens a table and hands over its cells in pieces: CSV by Polars or NumPy, and other files by Polars."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..data.schema import Schema
from ..errors import DataError, said
from . import headers, records
from .dialect import SAMPLE, Dialect, dialect_of
from .records import UTF_8, Cutter, Records

Array = NDArray[Any]
TEXTS = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
OTHERS = (".parquet", ".arrow", ".ipc", ".feather", ".ndjson", ".jsonl")
FORMATS = TEXTS + OTHERS
ROWS = 1 << 16  # rows of a piece of other files
_UNSOUND = (EOFError, gzip.BadGzipFile, zlib.error)
_SHOWN = 40  # the most characters of a cell in a message


def ending_of(path: str) -> str | None:
    """The ending of a table's name, in lower case; None if it is not a table's."""
    lower = path.lower()
    return next((ending for ending in sorted(FORMATS, key=len, reverse=True) if lower.endswith(ending)), None)


def polars(why: str) -> Any:
    """The module Polars. DataError that says how to install it, and why it is needed."""
    try:
        import polars as module
    except ImportError:
        raise DataError(f"{why} Polars, which is not installed: pip install 'neuromorph[tables]'") from None
    return module


def has_polars() -> bool:
    """Whether Polars can be imported."""
    try:
        polars("")
    except DataError:
        return False
    return True


def shown(text: Any) -> str:
    """A cell as a message shows it."""
    if text is None or not str(text).strip():
        return "empty"
    given = str(text)
    return repr(given if len(given) <= _SHOWN else given[:_SHOWN] + "…")


@dataclass(frozen=True, eq=False)
class Piece:
    """Some rows of a table. first: the number of its first row. count: how many it has.

    cells: the cells of a column: float64 with NaN for missing ones, or a Polars series of texts without spaces at their
    ends. place: what messages call the n-th row of the piece.
    """

    first: int
    count: int
    cells: Callable[[int], Any]
    place: Callable[[int], str]


class Titled:
    """The names of a table and of its columns, for messages.

    names: of its columns, "1", "2" and so on where it has none. header: whether it has names. unnamed: the places of
    columns without one.
    """

    def __init__(self, title: str, names: Sequence[str], header: bool) -> None:
        self.title, self.header = title, header
        self.unnamed = {number for number, name in enumerate(names) if not name}
        self.names = tuple(name or f"column {number}" for number, name in enumerate(names, 1))

    def called(self, place: int) -> str:
        """What a message calls a column."""
        return f"column {place + 1}" + (f" ({self.names[place]!r})" if self.header else "")

    def wrong(self, trouble: str) -> DataError:
        """An error about this table."""
        return DataError(f"{self.title}: {trouble}")


class Table(Titled, ABC):
    """A table that can be read several times."""

    def __init__(self, path: str, title: str, names: Sequence[str], header: bool) -> None:
        super().__init__(title, names, header)
        self.path = path

    @abstractmethod
    def pieces(self, columns: Sequence[int]) -> Iterator[Piece]:
        """The rows, with these columns."""

    def count(self) -> int:
        """The number of rows. DataError if there are none."""
        found = self._count()
        if not found:
            raise self.wrong("it has no rows")
        return found

    @abstractmethod
    def _count(self) -> int: ...

    def place_of(self, row: int) -> str:
        """What messages call a row of the whole table."""
        for piece in self.pieces([0]):
            if piece.first <= row < piece.first + piece.count:
                return piece.place(row - piece.first)
        return f"row {row + 1}"


def open_table(
    path: str,
    *,
    title: str | None = None,
    ending: str | None = None,
    header: bool | None = None,
    schema: Schema | None = None,
) -> Table:
    """A table in a file. title: what messages call it. ending: of its format, by default that of the path.

    header: whether the first line of a CSV file has names; None finds out. schema: of the table that a model was
    trained on, which helps to find out. Raises DataError.
    """
    name, kind = title or path, ending or ending_of(path)
    if kind not in FORMATS:
        raise DataError(f"{name}: tables end in {', '.join(FORMATS)}")
    if kind in OTHERS:
        if header is not None:
            raise DataError(f"{name}: --header and --no-header are for CSV files, and {kind} files have names")
        return _Other(path, name, kind)
    return _text_table(path, name, kind, header, schema)


# CSV ------------------------------------------------------------------------------------------------------------------


def _text_table(path: str, title: str, kind: str, header: bool | None, schema: Schema | None) -> Table:
    start = _start(path, title, kind)
    sample = start.removeprefix(UTF_8).decode("utf-8", errors="replace")
    if "\r" in sample and "\n" not in sample:
        raise DataError(
            f"{title}: its lines end in carriage returns alone: save it with the line ends of Unix or Windows"
        )
    found = dialect_of(sample, whole=len(start) < SAMPLE)
    if found is None:
        found = _checked_in_vain(path, title, kind)
    has_names = found.header if header is None else header
    if header is None and schema is not None and schema.header:
        has_names = has_names or {schema.columns[place].name for place in schema.needed} <= set(found.first)
    elif header is None and schema is not None:
        has_names = headers.has_names(found.first, schema, found.header)
    if has_names is None:
        raise DataError(f"{title}: {unclear(found.first)}")
    return _Text(path, title, kind, found, has_names)


def unclear(first: Sequence[str]) -> str:
    """What is said of a first line that may be names or values."""
    line = ",".join(first)
    line = line if len(line) <= _SHOWN else line[:_SHOWN] + "…"
    return f"its first line {line} may be names or values: give --header or --no-header"


def _start(path: str, title: str, kind: str) -> bytes:
    """The first bytes of a CSV file, with at least one line."""
    try:
        with _opened(path, kind) as file:
            start = file.read(SAMPLE)
            while b"\n" not in start[-SAMPLE:] and (more := file.read(SAMPLE)):
                start += more
                if len(start) > records.LONGEST_RECORD:
                    raise DataError(f"{title}: {records.too_long()}")
    except _UNSOUND as error:
        raise DataError(f"{title}: not a sound gzip file: {said(error)}") from None
    return start


def _checked_in_vain(path: str, title: str, kind: str) -> Dialect:
    """Raise the error for a file without a record that can be read."""
    with _opened(path, kind) as file:
        for _ in Cutter(b",", 1, lambda trouble: DataError(f"{title}: {trouble}")).pieces(file):
            raise DataError(f"{title}: not a CSV file: its first line can't be divided into cells")
    raise DataError(f"{title}: it has no rows")


def _opened(path: str, kind: str) -> BinaryIO:
    return gzip.open(path, "rb") if kind.endswith(".gz") else open(path, "rb")  # type: ignore[return-value]


class _Text(Table):
    """A CSV file."""

    def __init__(self, path: str, title: str, kind: str, dialect: Dialect, header: bool) -> None:
        names = dialect.first if header else [str(number) for number in range(1, len(dialect.first) + 1)]
        super().__init__(path, title, names, header)
        self._kind, self.separator = kind, dialect.separator
        self._read = self._read_by_polars if has_polars() else self._read_by_numpy

    def _records(self) -> Iterator[Records]:
        cutter = Cutter(self.separator.encode(), len(self.names), self.wrong)
        try:
            with _opened(self.path, self._kind) as file:
                yield from cutter.pieces(file)
        except _UNSOUND as error:
            raise self.wrong(f"not a sound gzip file: {said(error)}") from None

    def pieces(self, columns: Sequence[int]) -> Iterator[Piece]:
        first, header = 0, int(self.header)
        for found in self._records():
            lines = found.lines[header:]
            if len(lines):
                cells = self._read(found, header, sorted(set(columns)))
                yield Piece(first, len(lines), cells, lambda row, lines=lines: f"line {lines[row]}")  # type: ignore[misc]
            first, header = first + len(lines), 0

    def _count(self) -> int:
        return sum(len(found.lines) for found in self._records()) - int(self.header)

    def _read_by_polars(self, given: Records, skip: int, columns: list[int]) -> Callable[[int], Any]:
        pl = polars("")
        try:
            frame = pl.read_csv(
                BytesIO(given.data), has_header=False, separator=self.separator, columns=columns, infer_schema_length=0,
                raise_if_empty=False,
            )  # fmt: skip
        except pl.exceptions.PolarsError as error:
            raise self._malformed(given, error) from None
        if len(frame) != len(given.lines):
            raise self._malformed(given, "it divides the lines otherwise")
        frame = frame[skip:].with_columns(pl.all().str.strip_chars())
        return lambda place: frame.to_series(columns.index(place))

    def _malformed(self, given: Records, error: Any) -> DataError:
        text = " ".join(str(error).split())[:120]
        first, last = given.lines[0], given.lines[-1]
        return self.wrong(f"not a CSV file that Polars reads, in lines {first} to {last}: {text}; see the quotes there")

    def _read_by_numpy(self, given: Records, skip: int, columns: list[int]) -> Callable[[int], Any]:
        try:
            found = np.loadtxt(
                BytesIO(given.data), np.float64, comments=None, delimiter=self.separator, quotechar='"', ndmin=2,
                skiprows=skip, usecols=columns, encoding="utf-8",
            )  # fmt: skip
        except ValueError as error:
            raise self._needs_polars(given, skip, columns, error) from None
        if len(found) != len(given.lines) - skip:
            raise self.wrong("its lines are divided otherwise by NumPy: see its quotes")
        return lambda place: found[:, columns.index(place)]

    def _needs_polars(self, given: Records, skip: int, columns: list[int], error: ValueError) -> DataError:
        """The error for a cell that NumPy does not read as a number."""
        place = re.search(
            r"could not convert string '(.*)' to float64 at row (\d+), column (\d+)", str(error), re.DOTALL
        )
        if place is None:
            return self.wrong(f"not a CSV file of numbers: {said(error)}")
        row, column = int(place[2]), int(place[3]) - 1
        where = f"line {given.lines[skip + row]}, {self.called(column)} is {shown(place[1])}, not a number"
        try:
            polars(f"{self.title}: {where}; tables with words, dates or gaps need")
        except DataError as needed:
            return needed
        return self.wrong(where)


# Other files ----------------------------------------------------------------------------------------------------------


@contextmanager
def _polars_reading(trouble: str) -> Iterator[None]:
    """A block in which Polars reads a file. Its errors are DataErrors that begin with ``trouble``."""
    exceptions = polars("").exceptions
    try:
        yield
    except (exceptions.PolarsError, exceptions.PanicException, RuntimeError, OSError) as error:
        if getattr(error, "errno", None) is not None:  # of the system, such as a file that may not be read
            raise
        raise DataError(f"{trouble}: {' '.join(str(error).split())[:120]}") from None


class _Other(Table):
    """A file whose columns have types, read by Polars."""

    def __init__(self, path: str, title: str, kind: str) -> None:
        pl = polars(f"{title}: {kind} files need")
        os.stat(path)  # raises the error of a missing file before Polars does, which has other words
        scan = {".parquet": pl.scan_parquet, ".ndjson": pl.read_ndjson, ".jsonl": pl.read_ndjson}.get(kind, pl.scan_ipc)
        self._trouble = f"{title}: not a sound {kind} file"
        with _polars_reading(f"{title}: not a {kind} file"):
            self._frame = scan(path).lazy()
            self._types = self._frame.collect_schema()
            self._rows = self._frame.select(pl.len()).collect().item()
        super().__init__(path, title, self._types.names(), True)

    def _count(self) -> int:
        return int(self._rows)

    def pieces(self, columns: Sequence[int]) -> Iterator[Piece]:
        chosen = sorted(set(columns))
        names = [self._types.names()[place] for place in chosen]
        for first in range(0, self._rows, ROWS):
            with _polars_reading(self._trouble):
                frame = self._frame.slice(first, ROWS).select(names).collect()
            yield Piece(
                first, len(frame), lambda place, frame=frame: self._sound(frame.to_series(chosen.index(place)), place),  # type: ignore[misc]
                lambda row, first=first: f"row {first + row + 1}",  # type: ignore[misc]
            )  # fmt: skip

    def _sound(self, series: Any, place: int) -> Any:
        """The cells of a column, or the error of a file that is damaged there."""
        with _polars_reading(self._trouble):
            return self._cells(series, place)

    def _cells(self, series: Any, place: int) -> Any:
        """The cells of a column: numbers in float64, all else as texts."""
        pl = polars("")
        kind = series.dtype
        if kind.is_numeric():
            return series.cast(pl.Float64).to_numpy().astype(np.float64, copy=False)
        if kind in (pl.Date, pl.Datetime):
            return _iso(series)
        if kind in (pl.Boolean, pl.String, pl.Null, pl.Categorical, pl.Enum):
            return series.cast(pl.String).str.strip_chars()
        raise self.wrong(f"{self.called(place)} has the type {kind}, and numbers, texts, booleans and dates are read")


def _iso(series: Any) -> Any:
    """Dates and times as texts; those with a time zone in UTC."""
    pl = polars("")
    if series.dtype == pl.Date:
        return series.dt.strftime("%Y-%m-%d")
    if series.dtype.time_zone is not None:
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return series.dt.strftime("%Y-%m-%dT%H:%M:%S%.6f")
