"""The tool that compares the estimators for scikit-learn with its perceptrons."""

from __future__ import annotations

import pytest

from helpers.tools import room
from helpers.tools import tools_path as tools_path


def test_a_row_has_scores_times_and_their_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    tool = room("sklearn_benchmark")
    tool.main(["--data", "iris", "diabetes", "--folds", "10", "--runs", "2", "--tier", "instant"])
    lines = capsys.readouterr().out.strip().split("\n")
    assert lines[:2] == tool.HEAD.split("\n")
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| iris", "| diabetes"]
    for line, least in zip(lines[2:], (0.8, 0.2), strict=True):
        theirs, ours, their_time, our_time, ratio = map(float, line.strip("| ").split(" | ")[1:])
        assert min(theirs, ours) > least
        assert ratio == pytest.approx(their_time / our_time, rel=0.1, abs=0.06)


def test_both_learn_from_the_same_scaled_data() -> None:
    tool = room("sklearn_benchmark")
    folds = list(tool.folds("diabetes", 10))
    assert sum(len(fold[3]) for fold in folds) == 442
    inputs, answers, _, _ = folds[0]
    assert inputs.mean(axis=0) == pytest.approx(0.0, abs=1e-9)
    assert (answers.mean(), answers.std()) == pytest.approx((0.0, 1.0))
