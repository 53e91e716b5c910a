"""A model finds its kernel in the cache, whatever its nodes are called."""

from __future__ import annotations

import pytest

import neuromorph as nm
from helpers.texts import LSTM
from neuromorph.options import CompileOptions
from neuromorph.runtime.kernels import Kernels

RENAMED = LSTM.replace("candidate", "fresh_values").replace("LSTM", "other") + "\n# and a comment of some length\n"


def test_names_and_comments_are_no_part_of_the_key() -> None:
    first, second = nm.compile(LSTM, 2, 0.1), nm.compile(RENAMED, 2, 0.1)
    assert first.kernel_source() != second.kernel_source()
    assert first.kernels.key == second.kernels.key


@pytest.mark.parametrize("change", [{"batch_size": 3}, {"dtype": "float64"}, {"optimizer": "adam"}])
def test_what_changes_the_code_changes_the_key(change: dict[str, object]) -> None:
    graph = nm.compile(LSTM, 2, 0.1).graph
    given: dict[str, object] = {
        "batch_size": 2, "bptt_steps": 16, "optimizer": "sgd", "dtype": "float32", "threads": 1
    }  # fmt: skip
    keys = {Kernels(graph, CompileOptions(**options)).key for options in (given, given | change)}  # type: ignore[arg-type]
    assert len(keys) == 2
