"""The tool that times how soon a new text trains."""

from __future__ import annotations

from itertools import islice

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
