"""The tool that times builds, and the help of the tools with options."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from helpers.tools import TOOLS, room
from helpers.tools import tools_path as tools_path


@pytest.mark.parametrize("name", ["benchmark.py", "build_times.py", "inspect_kernel.py", "start_times.py"])
def test_tools_have_help(name: str) -> None:
    done = subprocess.run([sys.executable, TOOLS / name, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {name}")


def test_random_graphs_have_about_so_many_nodes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = room("build_times")
    found = tool.graphs(seed=0, count=2, nodes=12)
    assert len(found) == 2
    assert all(11 <= len(case.model().graph.nodes) <= 13 for case in found)
    monkeypatch.setattr(tool, "LOOKED_AT", 3)
    assert tool.graphs(seed=0, count=1, nodes=1_000) == []
    assert capsys.readouterr().out == "only 0 of 3 random graphs have about 1000 nodes\n"


def test_every_figure_is_beside_its_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes are not started: all that they say is 2."""
    tool, asked = room("build_times"), []

    def process(command: list[str], folder: str, order: str, *given: Any) -> str:
        asked.append(json.loads(order))
        return "2" if "--grow" in command else "2 2 2"

    monkeypatch.setattr(tool, "process", process)
    monkeypatch.setattr(tool, "timed", lambda command, *given: 2.0)
    found = list(tool.measured(tool._parser().parse_args(["--runs", "2", "--random", "1"])))
    targets = [(figure.median, figure.target) for figure in found if figure.target is not None]
    assert targets == [(2.0, 1.5), (2.0, 3.0), (2.0, 3.0), (2.0, 2.0), (0.0, 0.15)]
    assert [figure.missed for figure in found if figure.target is not None] == [True, False, False, False, False]
    assert [order[3] for order in asked[:6]] == ["compiled"] * 4 + ["instant"] * 2


def test_figures_are_lines() -> None:
    tool = room("peers.figures")
    most = tool.Figure("time", "s", [3.0, 1.0, 2.0], 1.5)
    least = tool.Figure("rate", "a second", [30.0], 20.0, least=True)
    lines = tool.table([most, least, tool.Figure("other", "s", [1.25])]).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["time", "2", "s", "1", "to", "3", "<=", "1.5", "missed"],
        ["rate", "30", "a", "second", ">=", "20"],
        ["other", "1.25", "s"],
    ]
    assert 10.0 < tool.resident() < 10_000.0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--runs", "0"], "argument --runs: a whole number of at least 1, not '0'"),
        (["--json", "no-such-folder/out.json"], "argument --json: no file in an existing folder"),
    ],
)
def test_wrong_arguments(capsys: pytest.CaptureFixture[str], arguments: list[str], error: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        room("build_times").main(arguments)
    assert error in capsys.readouterr().err
