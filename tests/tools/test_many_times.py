"""The tool that times many models at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

import neuromorph as nm
from helpers.tools import room
from helpers.tools import tools_path as tools_path


@pytest.mark.usefixtures("interpreted")
def test_models_differ_in_parameters_and_rate() -> None:
    tool = room("many_times")
    case = replace(room("peers.cases").listed()["lstm4"], samples=16)
    assert tool.at_once(case, 2)() > 0.0
    one, other = tool.models_of(case, 2, 5)
    assert one.learning_rate != other.learning_rate
    names = nm.get_parameters(one)
    assert any((names[name] != value).any() for name, value in nm.get_parameters(other).items())


def test_two_processes_share_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    one_by_one = room("many_times").OneByOne("lstm4", 2, 1)
    try:
        assert len(one_by_one.workers) == 2
        assert one_by_one.run() > 0.0
    finally:
        one_by_one.close()
    assert [worker.returncode for worker in one_by_one.workers] == [0, 0]
