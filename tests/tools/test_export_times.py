"""The tool that times exported C."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.c_programs import needs
from helpers.tools import room
from helpers.tools import tools_path as tools_path


def test_the_best_run_counts_for_each_step() -> None:
    found = room("export_times").best_times({"some": lambda: 10, "more": lambda: 1_000_000}, 3)
    assert found["more"] < found["some"]


@needs("gcc")
def test_a_row_of_the_table(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """It also compares the outputs of both."""
    tool = room("export_times")
    monkeypatch.setattr(tool, "STEPS", 50)
    monkeypatch.setattr(tool, "ONNX_STEPS", 5)
    assert tool.main(["--widths", "2", "--flags=-O0", "--runs", "1"]) == 0
    out = capsys.readouterr().out
    assert "LSTM of 2 " in out
    assert "times predict" in out


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    tool = room("export_times")
    monkeypatch.setattr(tool.shutil, "which", lambda name: None)
    assert tool.main([]) == 1
    assert "gcc is not installed" in capsys.readouterr().err
