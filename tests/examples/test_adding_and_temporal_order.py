"""The papers' tasks are what the papers say, criteria count right, and the scripts run: the adding problem, temporal
order, and what all scripts share."""

import argparse
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import neuromorph as nm
from helpers.paths import PAPERS
from helpers.scripts import script

adding, common, online, temporal_order = (
    script(PAPERS, name) for name in ("adding", "common", "online", "temporal_order")
)
SMALL_ADDING = adding.Adding(20)
SMALL_ORDER = temporal_order.TemporalOrder((20, 22), (2, 4), (10, 12))
CASES = {
    "adding": (adding.task(SMALL_ADDING), adding.RECIPE),
    "temporal_order": (temporal_order.task(SMALL_ORDER), temporal_order.RECIPE),
}


# What all scripts share.


@pytest.mark.parametrize(
    ("amounts", "more", "wanted"),
    [
        ([3, 1, 2], False, 2),
        ([1, common.NEVER, 2, common.NEVER, 3], False, 3),
        ([1, common.NEVER, common.NEVER, common.NEVER, 3], False, common.NEVER),
        ([1, 2, 3, 4], False, 3),
        ([0.9, 0.8, 0.7], True, 0.8),
        ([0.9, common.NEVER, 0.7], True, 0.7),
        ([0.9, common.NEVER, math.nan], True, common.NEVER),
        ([0.9, 0.8, 0.7, 0.6], True, 0.7),
    ],
)
def test_a_failed_run_is_worse_than_any_other(amounts: list[float], more: bool, wanted: float) -> None:
    assert common.median_amount(amounts, more_is_better=more) == wanted


def test_no_runs_have_no_median() -> None:
    with pytest.raises(ValueError, match="no median of no runs"):
        common.median_amount([])


def test_seeds_are_a_number_or_a_range() -> None:
    assert common.seeds_from("5") == range(5)
    assert common.seeds_from("10-19") == range(10, 20)


@pytest.mark.parametrize("text", ["", "-", "x", "1.5", "-3", "3-", "1-2-3", "٣", " 5"])
def test_other_seeds_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="neither a number of seeds such as 5 nor a range"):
        common.seeds_from(text)


@pytest.mark.parametrize("text", ["0", "5-4"])
def test_no_seeds_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}' names no seed"):
        common.seeds_from(text)


@pytest.mark.parametrize("text", ["0", "-1", "", "1e3", "many"])
def test_a_count_is_a_whole_number(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a whole number of at least 1"):
        common.count(text)


def test_a_run_prints_each_seed_and_both_figures(capsys) -> None:
    paper = common.PaperFigure(74_000, "their way", "their paper")
    prepared = []

    def one_seed(seed: int) -> common.Result:
        return common.Result(common.NEVER if seed == 1 else 1000.0 * (seed + 1), f"note {seed}")

    summary = common.run("A task", paper, "our way", one_seed, range(3), prepare=lambda: prepared.append(1))
    assert (summary.median, summary.reached, prepared) == (3000.0, "2 of 3 seeds", [1])
    shown = capsys.readouterr().out
    for line in ("A task\n", "  seed 0: 1,000 sequences, 0.0 s; note 0\n", "  seed 1: never, 0.0 s; note 1\n"):
        assert line in shown
    assert "    paper      74,000  their way (their paper)\n" in shown
    assert "    ours        3,000  our way (the median; 2 of 3 seeds reached it, 0.0 s in all)\n" in shown
    assert shown.endswith("  better than the paper's\n")
    common.run("A task", paper, "our way", one_seed, range(3), quick=True)
    assert "better" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "amount", "said"),
    [
        (False, 99, "better than the paper's"),
        (False, 100, "as good as the paper's"),
        (False, 101, "NOT better than the paper's"),
        (False, common.NEVER, "NOT better than the paper's"),
        (True, 101, "better than the paper's"),
        (True, 99, "NOT better than the paper's"),
        (True, common.NEVER, "NOT better than the paper's"),
    ],
)
def test_the_verdict(more: bool, amount: float, said: str) -> None:
    assert common.verdict(common.PaperFigure(100, "", "", more_is_better=more), amount) == said


# The criterion, on series of errors that are made up.


def met_after_slowly(criterion: online.Criterion, errors: np.ndarray) -> float:
    """The criterion as its text has it."""
    for seen in range(criterion.last, len(errors) + 1):
        recent = errors[seen - criterion.last : seen]
        if recent.mean() < criterion.mean and (recent < criterion.each).all():
            return seen
    return common.NEVER


def test_the_criterion_of_the_adding_problem() -> None:
    met_after = adding.CRITERION.met_after
    assert met_after(np.full(1999, 0.005)) == common.NEVER
    assert met_after(np.full(9000, 0.005)) == 2000
    assert met_after(np.full(9000, 0.011)) == common.NEVER  # all right, but not on average
    errors = np.full(9000, 0.005)
    errors[1234] = 0.04  # no longer right
    assert met_after(errors) == 1235 + 2000
    errors[1234] = 0.039
    assert met_after(errors) == 2000


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e300])
def test_an_absurd_error_ends_a_streak_and_no_more(bad: float) -> None:
    errors = np.full(50, 0.5)
    errors[7] = bad
    assert online.Criterion(1.0, 2.0, last=10).met_after(errors) == 18
    assert online.Criterion(0.4, 2.0, last=10).met_after(errors) == common.NEVER


def test_the_criterion_agrees_with_its_definition() -> None:
    rng, found = np.random.default_rng(0), set()
    for _ in range(300):
        criterion = online.Criterion(rng.uniform(0.2, 0.6), rng.uniform(0.7, 1.0), int(rng.integers(1, 20)))
        errors = rng.random(60)
        found.add(criterion.met_after(errors))
        assert criterion.met_after(errors) == met_after_slowly(criterion, errors)
    assert common.NEVER in found
    assert len(found) > 20


# The tasks, against the paper's definitions.


@pytest.fixture(scope="module")
def sums() -> online.Sequences:
    return adding.Adding(100).draw(np.random.default_rng(1), 20_000)


def test_adding_has_lengths_values_and_markers_as_in_the_paper(sums: online.Sequences) -> None:
    values, markers = sums.inputs[..., 0], sums.inputs[..., 1]
    inside = np.arange(110) < sums.lengths[:, np.newaxis]
    rows = np.arange(len(values))
    assert set(sums.lengths) == set(range(100, 111))
    assert not sums.inputs[~inside].any()
    assert np.abs(values).max() <= 1
    assert abs(values[inside].mean()) < 0.005
    assert values[inside].std() == pytest.approx(1 / math.sqrt(3), abs=0.005)
    assert (markers[:, 0] == -1).all()
    assert (markers[rows, sums.lengths - 1] == -1).all()
    assert (markers == -1).sum() == 2 * len(values)
    assert set(np.unique(markers)) == {-1, 0, 1}


def test_adding_marks_one_of_ten_and_one_of_49_others(sums: online.Sequences) -> None:
    marked = sums.inputs[..., 1] == 1
    counts = np.bincount(marked.sum(axis=1))
    # A mark on the first pair does not show: the first mark of one in ten, the second of one in 49 of the others.
    assert len(counts) == 3
    assert counts[0] == 0
    assert counts[1] / counts.sum() == pytest.approx(1 / 10 + 9 / 10 / 49, abs=0.01)
    places = np.flatnonzero(marked.any(axis=0))
    assert (places == np.arange(1, 50)).all()
    share = marked.mean(axis=0)
    assert share[1:10] == pytest.approx(1 / 10 + 9 / 10 / 49, abs=0.01)
    assert share[10:49] == pytest.approx(1 / 49, abs=0.005)
    assert share[49] == pytest.approx(1 / 49, abs=0.005)  # the first of ten always leaves 49 others up to here


def test_adding_asks_for_half_and_a_quarter_of_the_sum(sums: online.Sequences) -> None:
    values, marked = sums.inputs[..., 0].astype(float), sums.inputs[..., 1] == 1
    assert sums.targets[:, 0] == pytest.approx(0.5 + (values * marked).sum(axis=1) / 4, abs=1e-6)
    assert 0 <= sums.targets.min() < 0.1 < 0.9 < sums.targets.max() <= 1


def test_temporal_order_has_the_symbols_of_the_paper() -> None:
    drawn = temporal_order.TemporalOrder().draw(np.random.default_rng(2), 5_000)
    assert set(drawn.lengths) == set(range(100, 111))
    assert (drawn.inputs.sum(axis=2) == (np.arange(110) < drawn.lengths[:, np.newaxis])).all()
    assert set(np.unique(drawn.inputs)) == {0, 1}
    symbols = np.where(drawn.inputs.any(axis=2), drawn.inputs.argmax(axis=2), -1)
    texts = ["".join(temporal_order.SYMBOLS[s] for s in row[row >= 0]) for row in symbols]
    assert all(text[0] == "E" and text[-1] == "B" and not {"E", "B"} & set(text[1:-1]) for text in texts)
    placed = [[place + 1 for place, symbol in enumerate(text) if symbol in "XY"] for text in texts]
    assert {len(places) for places in placed} == {2}
    assert {first for first, _ in placed} == set(range(10, 21))
    assert {second for _, second in placed} == set(range(50, 61))
    classes = [
        ["XX", "XY", "YX", "YY"].index(text[a - 1] + text[b - 1]) for text, (a, b) in zip(texts, placed, strict=True)
    ]
    assert (drawn.targets == np.eye(4)[classes]).all()
    assert np.bincount(classes) / len(classes) == pytest.approx(0.25, abs=0.03)
    shares = np.bincount(symbols[:, 30], minlength=8) / len(symbols)
    assert shares == pytest.approx([0, 0, 0.25, 0.25, 0.25, 0.25, 0, 0], abs=0.03)


# Learning.


@pytest.mark.parametrize("name", CASES)
def test_errors_from_losses_are_errors_of_answers(name: str) -> None:
    task, recipe = CASES[name]
    sequences = task.draw(np.random.default_rng(3), 40)
    with online.built(task, recipe, 1) as model:
        rng = np.random.default_rng(4)  # large weights, for answers that differ
        nm.set_parameters(model, {k: rng.normal(size=v.shape) for k, v in nm.get_parameters(model).items()})
        model.learning_rate = 0.0
        from_losses = online.learn_from(task, model, sequences)
        from_answers = task.answer_error(online.answers(model, sequences), sequences.targets)
    assert from_losses == pytest.approx(from_answers, rel=1e-4, abs=1e-6)
    assert from_losses.std() > 0.01


@pytest.mark.parametrize("name", CASES)
def test_one_seed_gives_one_run_and_another_another(name: str) -> None:
    task, recipe = CASES[name]
    first, again, other = (errors_of(task, recipe, 600, seed=seed) for seed in (1, 1, 2))
    assert len(first) == 600
    assert (first == again).all()
    assert (first != other).all()


def errors_of(task: online.Task, recipe: online.Recipe, most: int, seed: int = 1) -> np.ndarray:
    """The errors of a network's training."""
    with online.built(task, recipe, seed) as model:
        return online.training_errors(task, recipe, model, np.random.default_rng(seed), most)


def test_temporal_order_is_learnt_and_a_test_says_so() -> None:
    task, recipe = CASES["temporal_order"]
    easier = replace(task, criterion=replace(task.criterion, last=200))
    result = online.learn(easier, recipe, 1, 3000)
    assert 200 < result.amount < 3000
    assert 0 <= int(result.note.split(" of ")[0]) < 100
    assert result.note.endswith(" of 2,560 test sequences wrong")


def test_a_run_is_given_up() -> None:
    task, recipe = CASES["temporal_order"]
    result = online.learn(task, recipe, 1, 30)
    assert result.amount == common.NEVER
    assert result.note.startswith("given up after 30; the last 30 had a mean error of 0.7")


def test_a_run_that_diverges_has_failed() -> None:
    task, recipe = CASES["adding"]
    assert online.learn(task, replace(recipe, rate=1e30), 1, 100) == common.Result(common.NEVER, "diverged")


def test_a_forget_gate_that_starts_half_open_forgets_the_values() -> None:
    task, recipe = CASES["adding"]
    with_gate = adding.VARIANTS["with a forget gate that starts half open (bias 0)"]
    assert replace(with_gate, mdl=recipe.mdl, start=recipe.start) == recipe
    assert with_gate.start == {f"cells.{name}": value for name, value in recipe.start.items()}
    without, forgetful = (errors_of(task, one, 2500)[-500:].mean() for one in (recipe, with_gate))
    assert without < 0.05
    assert forgetful > 3 * without


def test_the_texts_differ_by_the_forget_gate_alone() -> None:
    task, recipe = CASES["adding"]
    names = []
    for mdl in ("adding.mdl", "adding_forget.mdl"):
        with online.built(task, replace(recipe, mdl=mdl, start={}), 0) as model:
            names.append({name.removeprefix("cells.") for name in nm.get_parameters(model)})
    assert names[1] - names[0] == {"forget_gate.weight", "forget_gate.bias"}
    assert names[0] < names[1]


# The scripts.


@pytest.mark.parametrize("script", [adding, temporal_order])
def test_a_script_shows_ours_beside_the_papers(script, capsys) -> None:
    script.main(["--quick", "--seeds", "1"])
    shown = capsys.readouterr().out
    assert shown.startswith("Sequences of 20 to 22 ")
    assert f"  {script.PAPER.text(script.PAPER.amount)}  {script.PAPER.optimizer} ({script.PAPER.source})\n" in shown
    assert f"  {script.RECIPE} (the median; " in shown
    variants = adding.VARIANTS if script is adding else ()
    assert all(f"The same, {title}\n  seed 0: " in shown for title in variants)
    assert shown.count(" of 1 seeds reached it") == 1 + len(variants)


def test_choosing_names_the_setting_whose_worst_seed_is_best(capsys, monkeypatch) -> None:
    task, recipe = CASES["temporal_order"]
    recipes = [replace(recipe, rate=rate) for rate in (0.1, 0.2, 0.3)]
    amounts = {0.1: [3, 9], 0.2: [5, 6], 0.3: [1, common.NEVER]}
    monkeypatch.setattr(online, "learn", lambda task, one, seed, most: common.Result(amounts[one.rate][seed]))
    assert online.chosen(task, recipes, range(2), 10) == recipes[1]
    assert "rate 0.2 / (1 + n / 500), gradient clipped at 1: median 6, worst 6\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", CASES)
def test_a_script_runs_from_anywhere(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, PAPERS / f"{name}.py", "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "--seeds" in done.stdout


def test_a_wrong_option_gets_one_line(capsys) -> None:
    with pytest.raises(SystemExit):
        adding.main(["--most", "0"])
    assert capsys.readouterr().err.endswith("argument --most: '0' is not a whole number of at least 1\n")
