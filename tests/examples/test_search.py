"""The examples of searches, with tiny settings, and what they measure by."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import pytest

import neuromorph as nm
from helpers.paths import EXAMPLES
from helpers.scripts import script

SEARCH = EXAMPLES / "search"
COUNTER = """
/xavier,zero/ (input, 3) {both, count, concatenate} (count, 1, <linear>) {all, input, concatenate}
(output, 3, <softmax>, <cross_entropy>)
"""
WEIGHTS = {
    "count.weight": [[0], [1], [-1], [1]],  # of the end marker, a and b, and of the count before
    "output.weight": [[-9, 0, 0], [-60, 60, -60], [0, 0, 0], [0, -60, 0]],  # of the count, the marker, a and b
    "count.bias": 0.0, "output.bias": [4.5, 0, 0],
}  # fmt: skip


def test_every_example_is_tested() -> None:
    names = {
        "languages",
        "double_pole",
        "adding_cell",
        "optuna_search",
        "sklearn_dask",
    }
    assert {path.stem for path in SEARCH.glob("*.py")} == names


def test_the_tasks_are_those_of_the_paper() -> None:
    languages = script(SEARCH, "languages")
    powers = languages.task("anbncn", tests=3)
    assert powers.train.weights[0].sum() == 500
    longest = int(powers.train.inputs[..., 1].sum(axis=0).max())
    assert powers.test.inputs[..., 3].sum(axis=0).tolist() == [longest + 1, longest + 2, longest + 3]
    pairs = languages.task("addition", tests=2).test
    numbers = (pairs.inputs * 2.0 ** np.arange(len(pairs.inputs))[:, None, None]).sum(axis=0)
    assert sorted(map(tuple, numbers.tolist())) == [(11, 11), (11, 12), (12, 11), (12, 12)]
    sums = (pairs.labels * 2 ** np.arange(len(pairs.labels))[:, None]).sum(axis=0)
    np.testing.assert_array_equal(sums, numbers.sum(axis=1))
    brackets = languages.task("Dyck-1", tests=40).test
    depth = (brackets.inputs[..., 1] - brackets.inputs[..., 2]).cumsum(axis=0)
    assert (depth >= 0).all()
    assert brackets.weights[0].sum() == 40
    taken = np.take_along_axis(brackets.possible, brackets.labels[..., None], axis=-1)[..., 0]
    assert taken[brackets.certain].all(), "what follows is possible"


def test_a_counter_is_exactly_right_and_others_are_not() -> None:
    languages = script(SEARCH, "languages")
    task = languages.task("anbn", tests=20)
    model = nm.build(nm.compile(COUNTER, 1, 0.1, tier="instant"))
    before = languages.accuracy(model, task.test)
    model.set_parameters(WEIGHTS)
    assert languages.accuracy(model, task.test) == 1.0
    assert languages.accuracy(model, task.train) == 1.0
    assert before < 1.0
    fitness = -languages.bits_of_data(model, task.train)
    model.set_parameters({"count.weight": [[0], [1], [-1.1], [1]]})
    assert languages.accuracy(model, task.test) < 1.0
    assert -languages.bits_of_data(model, task.train) < fitness


def test_weights_get_better(capsys: pytest.CaptureFixture[str]) -> None:
    languages = script(SEARCH, "languages")
    task = languages.task("addition", tests=2)
    text = languages.STARTS[0].format(inputs=2, outputs=1, activation="sigmoid", loss="binary_cross_entropy")
    model = nm.build(nm.compile(text, 100, 0.03, bptt_steps=6, optimizer="adam", tier="instant"), seed=1)
    weights = languages.Weights(model, task.train)
    first = weights.fitness(weights.rounded())
    found = languages.Fitness(task.train, windows=5, tries=30)(model, np.random.default_rng(0))
    assert first < found == weights.fitness(weights.rounded())
    languages.main(["--tasks", "addition", "--individuals", "6", "--workers", "0", "--tests", "2"])
    assert re.search(r"addition: [\d.]+% of the test, [\d.]+% of the training set, \d+ bits", capsys.readouterr().out)


def test_poles_fall_and_searches_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    poles = script(SEARCH, "double_pole")
    monkeypatch.setattr(poles, "improved", partial(poles.improved, most=12))
    state = np.zeros(6)
    assert poles.moved(state, 0.0)
    assert (state == 0.0).all(), "upright poles stay"
    assert 0.0 < poles.balanced(lambda seen: 0.0) < 0.1
    assert poles.balanced(lambda seen: 1.0) < poles.balanced(lambda seen: 0.0)
    poles.main(["--seeds", "1", "--individuals", "3", "--no-peer"])
    assert re.search(r"seed 0: evolve [\d.]+ s, 3 networks, not solved", capsys.readouterr().out)


def test_a_cell_is_searched_and_compared(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROMORPH_TIER", "instant")
    adding = script(SEARCH, "adding_cell")
    pairs, answers = adding.drawn(np.random.default_rng(0), 50)
    marked = np.where(pairs[..., 1] == 1.0, pairs[..., 0], 0.0)
    twice = (pairs[..., 1] == 1.0).sum(axis=1) == 2  # in the others, the value 0 at the first pair is marked
    np.testing.assert_allclose(answers[:, 0][twice], 0.5 + marked.sum(axis=1)[twice] / 4, rtol=1e-5)
    assert 0 < twice.sum() < 50
    adding.main(["--individuals", "6", "--epochs", "1", "--seeds", "1", "--workers", "0"])
    said = capsys.readouterr().out
    assert "found is better than <gru> with " in said
