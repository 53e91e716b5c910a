"""Cuts the bytes of a CSV file into pieces of whole records, so that a file of any size needs little memory.

A record ends at a line end outside quotes. Each has as many cells as the first one; Polars would fill short records
with empty cells in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

PIECE = 1 << 20  # bytes
LONGEST_RECORD = 1 << 26  # bytes
_QUOTE, _LINE_END, _NUL = 0x22, 0x0A, 0x00
_BLANK = b" \t\r\n"
_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x00\x00\xfe\xff": "UTF-32"}
UTF_8 = b"\xef\xbb\xbf"

Wrong = Callable[[str], Exception]


@dataclass(frozen=True, eq=False)
class Records:
    """Whole records of a CSV file. lines: the line of the file on which each begins, from 1."""

    data: bytes
    lines: NDArray[np.intp]


class Cutter:
    """Cuts a CSV file. separator: one byte. width: the number of cells in a record. wrong: makes an error."""

    def __init__(self, separator: bytes, width: int, wrong: Wrong) -> None:
        self._separator, self._width, self._wrong = separator[0], width, wrong
        self._line = 1  # of the next record
        self._gap = 0  # the line of the first empty record of a table with one column

    def pieces(self, file: BinaryIO) -> Iterator[Records]:
        """The records of a file in pieces; blank lines are left out. Raises an error that names a line."""
        rest = b""
        while block := file.read(PIECE):
            data = rest + block
            if self._line == 1 and not rest:
                data = self._without_mark(data)
            found, rest = self._cut(data)
            if len(rest) > LONGEST_RECORD:
                raise self._too_long()
            if found is not None:
                yield found
        if rest.strip(_BLANK):
            found, left = self._cut(rest + b"\n")
            if left:
                raise self._wrong(f"line {self._line} has a quote that is not closed")
            if found is not None:
                yield found

    def _without_mark(self, data: bytes) -> bytes:
        for mark, name in _MARKS.items():
            if data.startswith(mark):
                raise self._wrong(f"a text in {name}, and tables are read in UTF-8: save it as that")
        return data.removeprefix(UTF_8)

    def _cut(self, data: bytes) -> tuple[Records | None, bytes]:
        """The whole records at the start of ``data`` (None if all are blank), and the rest."""
        codes = np.frombuffer(data, np.uint8)
        inside, ends = _inside(codes), codes == _LINE_END
        stops = np.flatnonzero(ends if inside is None else ends & ~inside) + 1
        if not len(stops):
            return None, data
        stop = int(stops[-1])
        starts = np.concatenate(([0], stops[:-1]))
        if int((stops - starts).max()) > LONGEST_RECORD:
            raise self._too_long()
        lines = self._line + np.searchsorted(np.flatnonzero(ends[:stop]), starts)
        self._line += int(np.count_nonzero(ends[:stop]))
        separators = codes[:stop] == self._separator
        if inside is not None:
            separators &= ~inside[:stop]
        cells = np.diff(np.searchsorted(np.flatnonzero(separators), stops), prepend=0) + 1
        self._check_codes(codes[:stop], starts, lines)
        blank = self._blank(data, starts, stops, lines, cells)
        odd = np.flatnonzero((cells != self._width) & ~blank)
        if len(odd):
            place = int(odd[0])
            raise self._wrong(
                f"line {lines[place]} has {counted(int(cells[place]), 'column')}, and the lines before it "
                f"{self._width:,}"
            )
        if blank.all():
            return None, data[stop:]
        piece = b"".join(_kept(data, starts, stops, blank)) if blank.any() else data[:stop]
        return Records(piece, lines[~blank]), data[stop:]

    def _blank(
        self,
        data: bytes,
        starts: NDArray[np.intp],
        stops: NDArray[np.intp],
        lines: NDArray[np.intp],
        cells: NDArray[np.intp],
    ) -> NDArray[np.bool_]:
        """Which records are blank. In a table of one column, a blank line between others may be a missing value."""
        found = np.zeros(len(starts), np.bool_)
        for place in np.flatnonzero((cells == 1) & ((self._width > 1) | (stops - starts <= 2))):
            found[place] = not data[starts[place] : stops[place]].strip(_BLANK)
            if self._width > 1 and not found[place]:
                break  # an error is coming
        if self._width == 1:
            full = np.flatnonzero(~found)
            if not self._gap and found.any():
                self._gap = int(lines[found][0])
            if self._gap and len(full) and lines[full[-1]] > self._gap:
                raise self._wrong(f"line {self._gap} is empty: remove it, or write NA for a missing value")
        return found

    def _check_codes(self, codes: NDArray[np.uint8], starts: NDArray[np.intp], lines: NDArray[np.intp]) -> None:
        """Check that a piece is a text in UTF-8."""
        if not codes.all():
            place = int(np.flatnonzero(codes == _NUL)[0])
            raise self._wrong(f"line {lines[np.searchsorted(starts, place, 'right') - 1]} has a zero byte: not a text")
        if int(codes.max()) < 0x80:
            return
        try:
            codes.tobytes().decode("utf-8")
        except UnicodeDecodeError as error:
            line = lines[np.searchsorted(starts, error.start, "right") - 1]
            reason = f"not a text in UTF-8: see line {line}"
            raise self._wrong(f"{reason}; iconv -f latin1 -t utf8 converts many of those that are not") from None

    def _too_long(self) -> Exception:
        return self._wrong(too_long())


def counted(number: int, noun: str) -> str:
    """A number of things for a message, such as "1 batch" and "2,000 rows"."""
    plural = "" if number == 1 else "es" if noun.endswith("ch") else "s"
    return f"{number:,} {noun}{plural}"


def too_long() -> str:
    """What is said of a line that has no end."""
    return f"not a CSV file: a line has more than {LONGEST_RECORD:,} characters"


def _inside(codes: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """Which bytes stand inside quotes; None if there are no quotes."""
    quotes = codes == _QUOTE
    if not quotes.any():
        return None
    found: NDArray[np.bool_] = np.logical_xor.accumulate(quotes)
    return found


def _kept(data: bytes, starts: NDArray[np.intp], stops: NDArray[np.intp], blank: NDArray[np.bool_]) -> Iterator[bytes]:
    """The parts of the data between blank records."""
    at = 0
    for place in np.flatnonzero(blank):
        yield data[at : starts[place]]
        at = int(stops[place])
    yield data[at : stops[-1]]
