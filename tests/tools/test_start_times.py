"""The tool that times how soon a new text trains."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

import pytest

from helpers.tools import room
from helpers.tools import tools_path as tools_path
from neuromorph.graph import build_graph
from neuromorph.language import parse


def test_texts_are_small_and_different() -> None:
    tool = room("start_times")
    some = list(islice(tool.texts(0), 12))
    assert len(set(some)) == 12
    for text in some:
        graph = build_graph(parse(text))
        assert 4 <= len(graph.nodes) <= 40
        assert graph.parameter_count <= tool.WIDEST


@pytest.mark.usefixtures("interpreted")
def test_a_text_is_trained_from_nothing() -> None:
    tool = room("start_times")
    assert tool.trained(next(tool.texts(0)), 2) > 0.0


def test_a_peer_trains_models_that_are_new_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The part of a peer is played by our own engine, with JIT off: it is there on every machine."""
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    first_runs, processes, engine = room("peers.first_runs"), room("peers.processes"), room("peers.engine")
    own = engine.Variant("train", "train")
    way = first_runs.Way("ours", "neuromorph", own, own)
    with processes.Pool() as pool:
        found = first_runs.first_runs(way, list(islice(room("start_times").cases(0), 3)), 1, pool, 60.0)
    assert len(found) == 2
    assert all(0.0 < seconds < 60.0 for seconds in found)


def test_a_peer_that_is_not_there_is_named() -> None:
    tool, place = room("start_times"), room("peers.environments").Present(missing="nowhere")
    lines = list(tool.peers_lines(1, 0, dict.fromkeys(("jax", "jax0431", "torch"), place)))
    assert lines[0] == "JAX, jit: left out, nowhere"
    assert len(lines) == 4


def test_every_figure_is_beside_its_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes are not started: all that they say is 9."""
    tool, tasks = room("start_times"), []

    def process(command: list[str], *given: Any, **options: Any) -> str:
        if command[0] == "-c":
            return "9.0"
        tasks.append(json.loads(command[2])[0])
        return "[9.0]"

    monkeypatch.setattr(tool, "process", process)
    monkeypatch.setattr(tool, "timed", lambda command, *given: 9.0)
    found = list(tool.measured("", tool._parser().parse_args(["--texts", "2", "--widths", "4,5", "--runs", "2"])))
    assert [(figure.target, figure.missed) for figure in found] == [
        (30.0, False), (8.0, True), (4.0, True), (20.0, True), (10.0, False), (0.25, True), (0.35, False), (2.0, True),
        (None, False),
    ]  # fmt: skip
    assert set(tasks) == tool.TASKS.keys()
