"""The tool that times builds, and the help of the tools with options."""

from __future__ import annotations

import subprocess
import sys

import pytest

from helpers.tools import TOOLS, room
from helpers.tools import tools_path as tools_path


@pytest.mark.parametrize("name", ["benchmark.py", "build_times.py", "inspect_kernel.py", "start_times.py"])
def test_tools_have_help(name: str) -> None:
    done = subprocess.run([sys.executable, TOOLS / name, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {name}")


def test_random_graphs_have_enough_nodes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    tool = room("build_times")
    found = tool.large_graphs(seed=0, count=2, nodes=12)
    assert len(found) == 2
    assert all(len(case.model().graph.nodes) >= 12 for case in found)
    monkeypatch.setattr(tool, "LOOKED_AT", 3)
    assert tool.large_graphs(seed=0, count=1, nodes=1_000) == []
    assert capsys.readouterr().out == "only 0 of 3 random graphs have 1000 nodes\n"


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
