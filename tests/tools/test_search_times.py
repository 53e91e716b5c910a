"""The tool that measures how many networks a search tries in a minute, on a very small search."""

from __future__ import annotations

import re

import pytest

from helpers.tools import room
from helpers.tools import tools_path as tools_path

LINE = r"([\d,]+) networks a minute, 2 windows of 16 steps each; (\d) of 6 texts differ; at most [\d,]+ MiB in .*\n"


def test_a_small_search(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--individuals", "6", "--windows", "2", "--width", "3", "--workers", "0", "--runs", "1"]
    assert room("search_times").main(small) == 0
    found = re.fullmatch(LINE, capsys.readouterr().out)
    assert found is not None
    assert int(found[1].replace(",", "")) > 0
    assert 1 < int(found[2]) <= 6
