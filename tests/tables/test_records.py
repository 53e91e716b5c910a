"""CSV files are cut into whole records, whatever their pieces; what is no table is refused with its line."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromorph.errors import DataError
from neuromorph.tables import records
from neuromorph.tables.files import open_table
from neuromorph.tables.records import Cutter

CELLS = st.text(st.sampled_from('ab1,."\n ;é'), max_size=5)


def pieces(data: bytes, width: int) -> list[records.Records]:
    return list(Cutter(b",", width, DataError).pieces(io.BytesIO(data)))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=12), st.sampled_from(["\n", "\r\n"]))
def test_records_are_those_of_the_csv_module(rows: list[list[str]], end: str) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
    data = text.getvalue().encode()
    before = records.PIECE
    records.PIECE = 7
    try:
        found = pieces(data, 3)
    finally:
        records.PIECE = before
    reader, lines = csv.reader(io.StringIO(text.getvalue(), newline="")), []
    last = 0
    for _ in reader:
        lines.append(last + 1)
        last = reader.line_num
    assert b"".join(one.data for one in found) == data
    assert [int(line) for one in found for line in one.lines] == lines


@pytest.mark.parametrize(
    ("data", "width", "said"),
    [
        (b"1,2\n3\n", 2, "line 2 has 1 column, and the lines before it 2"),
        (b"1,2\n\n3,4,5\n", 2, "line 3 has 3 columns, and the lines before it 2"),
        (b'1,"2\n3,4\n', 2, "line 1 has a quote that is not closed"),
        (b"1\n\n2\n", 1, "line 2 is empty: remove it, or write NA for a missing value"),
        (b"1,\x00\n", 2, "line 1 has a zero byte: not a text"),
        (
            b"1,2\n\xff,3\n",
            2,
            "not a text in UTF-8: see line 2; iconv -f latin1 -t utf8 converts many of those that .*",
        ),
        ("1,2\n".encode("utf-16"), 2, "a text in UTF-16, and tables are read in UTF-8: save it as that"),
    ],
)
def test_what_is_no_table(data: bytes, width: int, said: str) -> None:
    with pytest.raises(DataError, match=f"^{said}$"):
        pieces(data, width)


def test_blank_lines_are_left_out_and_lines_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"\xef\xbb\xbfa,b\n\n 1,2\n  \n3,4\r\n\r\n\n5,6"
    whole = pieces(data, 2)
    assert b"".join(one.data for one in whole) == b"a,b\n 1,2\n3,4\r\n5,6\n"
    assert [int(line) for one in whole for line in one.lines] == [1, 3, 5, 8]
    monkeypatch.setattr(records, "PIECE", 3)
    again = pieces(data, 2)
    assert b"".join(one.data for one in again) == b"a,b\n 1,2\n3,4\r\n5,6\n"
    assert [int(line) for one in again for line in one.lines] == [1, 3, 5, 8]
    assert [int(line) for one in pieces(b"7\n8\n\n\n", 1) for line in one.lines] == [1, 2]


def test_a_first_line_may_be_long(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "wide.csv"
    path.write_text(",".join(f"gene{n}" for n in range(20_000)) + "\n" + ",".join(["0.5"] * 20_000) + "\n")
    table = open_table(str(path))
    assert (len(table.names), table.names[-1], table.header, table.count()) == (20_000, "gene19999", True, 1)
