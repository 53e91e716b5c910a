"""The examples of searches, with tiny settings, and what they measure by."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

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
    assert sorted(map(tuple, numbers.tolist())) == [(21, 21), (21, 22), (22, 21), (22, 22)]
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


# What searches have found, as they print it.
FOUND = {
    "anbn": (
        "/xavier,zero/ (input, 3) {both, memory, concatenate} (memory, 2, <linear>)"
        "(output, 3, <softmax>, <cross_entropy>)",
        {
            "memory.weight": [[-0.5, 2.5], [1, 0], [-1, -1.5], [1, 0], [0, 0]], "memory.bias": [0, 0],
            "output.weight": [[-13.5, 0, 0], [0, 7, 0]], "output.bias": [0, 0, -1],
        },
    ),
    "Dyck-1": (
        "/xavier,zero/ (input, 3) {both, memory, concatenate} (memory, 2, <relu>)"
        "(output, 3, <softmax>, <cross_entropy>)",
        {
            "memory.weight": [[0, 0], [-0.5, 2], [1, -2], [0, 0], [-0.5, 1]], "memory.bias": [0.5, 0],
            "output.weight": [[0, 0, -14.5], [-3, 1.5, 1.5]], "output.bias": [0, -1, 0],
        },
    ),
    "addition": (
        "/xavier,zero/ (input, 2) {both, m, concatenate} (memory, 2, <relu>) [split, (g, 2, <sigmoid>)]"
        "{m, g, multiplicative} {all, input, concatenate} (output, 1, <sigmoid>, <binary_cross_entropy>)",
        {
            "memory.weight": [[1.5, 3.5], [2, -4.5], [1.5, -3.5], [0, 0]], "memory.bias": [-2, 4.5],
            "g.weight": [[-0.5, 0], [0.5, -0.5]], "g.bias": [1.5, 3.5],
            "output.weight": [[-11], [-5.5], [15.5], [0]], "output.bias": 8,
        },
    ),
    "anbncn": (
        "/xavier,zero/ (input, 4) {both, memory, concatenate} (memory, 2, <relu>) {all, input, concatenate}"
        "(output, 4, <softmax>, <cross_entropy>)",
        {
            "memory.weight": [[-2, 0], [2.5, -0.5], [-0.5, 1], [0, -1], [1, 0], [0, 1]], "memory.bias": [-1, 0],
            "output.weight": [
                [0, 3, 3, -15], [-24, -18.5, 0, 0], [0, 29, 0, 0], [-0.5, 1.5, -0.5, 0], [0, 0, 0, 15.5],
                [10.5, -0.5, -11, 0],
            ],
            "output.bias": [0, -1, 0, 0],
        },
    ),
}  # fmt: skip


TESTS = {"anbn": 1_000, "Dyck-1": 500}  # strings; of the others, the longest take long


@pytest.mark.parametrize("name", FOUND)
def test_networks_that_were_found_are_exactly_right(name: str) -> None:
    languages = script(SEARCH, "languages")
    text, weights = FOUND[name]
    model = nm.build(nm.compile(text, 1, 0.1, tier="instant"))
    model.set_parameters(weights)
    assert languages.accuracy(model, languages.task(name, tests=TESTS.get(name, 60)).test) == 1.0


def test_weights_get_better(capsys: pytest.CaptureFixture[str]) -> None:
    languages = script(SEARCH, "languages")
    task = languages.task("addition", tests=2)
    text = languages.STARTS[0].format(inputs=2, outputs=1, activation="sigmoid", loss="binary_cross_entropy")
    model = nm.build(nm.compile(text, 400, 0.03, bptt_steps=7, optimizer="adam", tier="instant"), seed=1)
    weights = languages.Weights(model, task.train)
    first = weights.fitness(weights.rounded())
    found = languages.Fitness(task.train, windows=5, tries=30)(model, np.random.default_rng(0))
    assert first < found == weights.fitness(weights.rounded())
    languages.main(["--tasks", "addition", "--individuals", "6", "--workers", "0", "--tests", "2", "--searches", "1"])
    assert re.search(
        r"addition, seed 1: [\d.]+% of the test, [\d.]+% of the training set, \d+ bits", capsys.readouterr().out
    )


def moved_as_in_the_paper(state: Any, force: float) -> Any:
    """The state of cart and poles after 0.02 s, by the equations in Gruau, Whitley and Pyeatt (1996), one by one."""
    masses, lengths = np.array([0.1, 0.01]), np.array([0.5, 0.05])

    def slopes(state: Any) -> Any:
        angles, turning = state[2::2], state[3::2]
        rub = 2e-6 * turning / (masses * lengths) - 9.8 * np.sin(angles)
        forces = masses * lengths * turning**2 * np.sin(angles) + 0.75 * masses * np.cos(angles) * rub
        heavy = masses * (1 - 0.75 * np.cos(angles) ** 2)
        faster = (force + forces.sum()) / (1.0 + heavy.sum())
        turned = -0.75 / lengths * (faster * np.cos(angles) + rub)
        return np.array([state[1], faster, turning[0], turned[0], turning[1], turned[1]])

    now = np.array(state)
    for _ in range(2):
        first = slopes(now)
        second = slopes(now + 0.005 * first)
        third = slopes(now + 0.005 * second)
        now = now + 0.01 / 6 * (first + 2 * second + 2 * third + slopes(now + 0.01 * third))
    return now


def test_poles_fall_and_searches_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    poles = script(SEARCH, "double_pole")
    monkeypatch.setattr(poles, "improved", partial(poles.improved, most=12))
    upright = (0.0,) * 6
    assert poles.moved(upright, 0.0) == upright
    lying = (0.0, 0.1, 0.07, -0.2, 0.01, 0.3)
    np.testing.assert_allclose(poles.moved(lying, 3.0), moved_as_in_the_paper(lying, 3.0), rtol=1e-12)
    still = poles.balanced(lambda _: 0, 0, [0.0] * 3, [0.0], 0.0)
    assert 0.0 < still < 0.1
    assert poles.balanced(lambda _: 0, 0, [0.0] * 3, [1.0], 0.0) < still, "a steady push makes them fall sooner"
    model = nm.build(nm.compile(poles.START, 1, 0.1, tier="instant"), seed=3)
    stream, seen, said = nm.stream(model), np.zeros(3, np.float32), np.zeros(1, np.float32)

    def python(_: int) -> int:
        stream(seen, out=said)
        return 0

    slow = poles.balanced(python, 0, seen, said, 0.0)
    controller = poles.Controller(model)
    assert controller.fitness(controller.parameters) == slow, "compiled and in Python, the trial is the same"
    controller.keep(2.0 * controller.parameters)
    np.testing.assert_array_equal(
        np.concatenate([value.ravel() for value in model.get_parameters().values()]), 2.0 * controller.parameters
    )
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
