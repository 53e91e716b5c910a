"""Reber grammar, NARMA10 and digits of ``examples/papers``: data as the papers define them, criteria, tiny runs."""

import math
import re
from collections import defaultdict
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers.paths import PAPERS
from helpers.scripts import script

INNER = "B(?:(?:TS*X|PT*VP)(?:XT*VP)*(?:SE|XT*VVE)|PT*VVE)"  # the Reber grammar as one expression
EMBEDDED = re.compile(f"B(?:T{INNER}T|P{INNER}P)E")


common, reber, narma10 = (script(PAPERS, name) for name in ("common", "reber", "narma10"))


@pytest.fixture(scope="module")
def digits() -> ModuleType:
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn: pip install neuromorph[test]")
    return script(PAPERS, "digits")


@pytest.fixture(scope="module")
def strings() -> list[Any]:
    rng = np.random.default_rng(1)
    return [reber.embedded_string(rng) for _ in range(3000)]


# The embedded Reber grammar -------------------------------------------------------------------------------------------


def test_strings_are_of_the_embedded_reber_grammar(strings: list[Any]) -> None:
    assert [s.text for s in strings if not EMBEDDED.fullmatch(s.text)] == []
    assert min(len(s.text) for s in strings) == 9
    assert max(len(s.text) for s in strings) > 25


@pytest.mark.parametrize("text", ["BTBTXSETE", "BPBPVVEPE", "BTBTSSXXTVVETE", "BPBPVPXVPXVPXVVEPE"])
def test_the_expression_knows_published_strings(text: str) -> None:
    assert EMBEDDED.fullmatch(text)
    assert not EMBEDDED.fullmatch(text[:-2] + "TP"[text[1] == "T"] + "E")


def test_possible_symbols_are_those_that_the_grammar_lets_follow(strings: list[Any]) -> None:
    seen: dict[str, set[str]] = defaultdict(set)
    times: dict[str, int] = defaultdict(int)
    for string in strings:
        for place, symbol in enumerate(string.text):
            seen[string.text[:place]].add(symbol)
            times[string.text[:place]] += 1
    assert all(len(string.possible) == len(string.text) for string in strings)
    for string in strings:
        for place, possible in enumerate(string.possible):
            prefix = string.text[:place]
            assert seen[prefix] <= set(possible), prefix
            if times[prefix] >= 60:  # the chance that a possible symbol was never drawn is 2 ** -60
                assert seen[prefix] == set(possible), prefix


def test_either_way_is_as_likely(strings: list[Any]) -> None:
    for prefix, symbol in (("B", "T"), ("BTB", "T"), ("BTBT", "S"), ("BPBP", "V")):
        after = [s.text[len(prefix)] for s in strings if s.text.startswith(prefix)]
        share = after.count(symbol) / len(after)
        assert abs(share - 0.5) < 4 * 0.5 / math.sqrt(len(after)), prefix


def test_test_strings_are_none_of_the_training_strings() -> None:
    rng = np.random.default_rng(2)
    train = reber.drawn(rng, 100)
    test = reber.drawn(rng, 100, without=train)
    assert len(train) == len(test) == 100
    assert not {s.text for s in train} & {s.text for s in test}


def test_strings_as_arrays() -> None:
    short, long = reber.String("BTE", ("B", "TP", "E")), reber.String("BPXE", ("B", "TP", "XS", "E"))
    arrays = reber.as_arrays([short, long])
    assert arrays.inputs.shape == arrays.possible.shape == (2, 3, 7)
    assert arrays.lengths.tolist() == [2, 3]
    read = ["".join(reber.SYMBOLS[step.argmax()] for step in row if step.any()) for row in arrays.inputs]
    assert read == ["BT", "BPX"]
    assert [reber.SYMBOLS[index] for index in arrays.following[1]] == ["P", "X", "E"]
    allowed = [["".join(np.array(list(reber.SYMBOLS))[step]) for step in row] for row in arrays.possible]
    assert allowed == [["TP", "E", ""], ["TP", "SX", "E"]]


def test_the_criterion_asks_for_every_possible_symbol_above_every_other() -> None:
    possible = np.zeros((1, 3, 7), bool)
    possible[0, 0, [1, 2]] = possible[0, 1, 6] = True  # the third step is padding
    right = np.full((1, 3, 7), 0.1)
    right[0, 0, [1, 2]], right[0, 1, 6] = (0.3, 0.2), 0.4
    assert reber.all_predicted(right, possible).tolist() == [True]
    for place, value in (((0, 0, 2), 0.1), ((0, 0, 4), 0.25), ((0, 1, 0), 0.4), ((0, 1, 6), 0.0), ((0, 0, 1), np.nan)):
        wrong = right.copy()
        wrong[place] = value
        assert reber.all_predicted(wrong, possible).tolist() == [False], (place, value)
    padding = right.copy()
    padding[0, 2] = np.arange(7)
    assert reber.all_predicted(padding, possible).tolist() == [True]
    assert reber.all_predicted(np.concatenate([right, right * 0]), np.repeat(possible, 2, axis=0)).tolist() == [
        True,
        False,
    ]


def test_reber_runs(capsys: pytest.CaptureFixture[str]) -> None:
    reber.main(["--quick", "--seeds", "2"])
    said = capsys.readouterr().out
    assert said.count("  seed ") == 2
    assert "8,440" in said
    assert re.search(r"never, .* after 64, \d+ and \d+ of 16 strings right", said)


def test_a_run_that_diverges_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: Any) -> None:
        raise reber.nm.TrainingDivergedError("the loss of sample 3 is nan")

    setting = reber.Setting(strings=16, limit=64)
    monkeypatch.setattr(reber, "present", diverge)
    assert reber.learn(setting, 0) == common.Result(common.NEVER, "diverged before 16 strings")


# NARMA10 --------------------------------------------------------------------------------------------------------------


def plain_narma10(u: list[float]) -> list[float]:
    """The recurrence as it is written, one term after the other."""
    y = dict.fromkeys(range(-9, 1), 0.0)
    for t in range(len(u)):
        late = u[t - 9] if t >= 9 else 0.0
        y[t + 1] = 0.3 * y[t] + 0.05 * y[t] * sum(y[t - i] for i in range(10)) + 1.5 * late * u[t] + 0.1
    return [y[t] for t in range(1, len(u) + 1)]


def test_narma10_is_its_recurrence() -> None:
    drive = np.random.default_rng(4).uniform(0.0, 0.5, 200)
    np.testing.assert_allclose(narma10.narma10(drive), plain_narma10(drive.tolist()), rtol=1e-12)


def test_narma10_that_diverges_is_infinite_from_there_on() -> None:
    response = narma10.narma10(np.full(300, 0.5))
    wanted = np.array(plain_narma10([0.5] * 60))
    first = int((wanted > narma10.DIVERGED).argmax())
    assert first > 9
    np.testing.assert_allclose(response[:first], wanted[:first], rtol=1e-12)
    assert np.isinf(response[first:]).all()


def test_series_that_diverge_are_drawn_anew_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([False, True, True, False, True])  # whether a series stays finite
    monkeypatch.setattr(narma10, "narma10", lambda drive: drive * 2 if next(answers) else np.full_like(drive, np.inf))
    series = narma10.drawn(np.random.default_rng(0), 3, 20)
    assert series.rejected == 2
    assert series.drive.shape == series.response.shape == (20, 3, 1)
    np.testing.assert_array_equal(series.response, series.drive * 2)


def test_drawn_series_are_the_systems() -> None:
    series = narma10.drawn(np.random.default_rng(5), 4, 300)
    assert 0.0 <= series.drive.min() < 0.01
    assert 0.49 < series.drive.max() <= 0.5
    for lane in range(4):
        wanted = plain_narma10(series.drive[:, lane, 0].tolist())
        np.testing.assert_allclose(series.response[:, lane, 0], wanted, rtol=1e-12)


def test_nmse_is_the_error_over_the_variance() -> None:
    response = np.array([1.0, 2.0, 3.0, 6.0])
    assert narma10.nmse(response, response) == 0.0
    assert narma10.nmse(np.full(4, 3.0), response) == pytest.approx(1.0)
    assert narma10.nmse(np.array([2.0, 2.0, 3.0, 5.0]), response) == pytest.approx(0.5 / 3.5)


def test_a_run_above_the_bound_has_failed() -> None:
    assert narma10.result(0.06, 8000, 0).amount == 0.06
    assert narma10.result(0.0601, 8000, 0).amount == common.NEVER
    assert narma10.result(math.nan, None, 0).amount == common.NEVER
    assert narma10.result(0.01, 8000, 2).note == (
        "8,000 samples to 0.06 on a watched series; 2 diverging series drawn anew"
    )
    assert narma10.result(0.5, None, 0).note.startswith("NMSE 0.5000; never below 0.06 on a watched series")


def test_narma10_runs(capsys: pytest.CaptureFixture[str]) -> None:
    narma10.main(["--quick", "--seeds", "2"])
    said = capsys.readouterr().out
    assert said.count("diverging series drawn anew") == 2
    assert "0.0225" in said


# Digits ---------------------------------------------------------------------------------------------------------------


def test_both_networks_of_a_pair_are_of_one_size(digits: ModuleType) -> None:
    perceptron, lstm, again = (nm.compile(pair.recipe.mdl, 1, 0.1).parameter_count for pair in digits.PAIRS)
    assert lstm == again
    assert perceptron == (64 + 1) * 128 + (128 + 1) * 10
    assert lstm == 4 * 64 * (8 + 64 + 1) + (64 + 1) * 10
    torch = pytest.importorskip("torch")
    peer = [*torch.nn.LSTM(8, 64).parameters(), *torch.nn.Linear(64, 10).parameters()]
    assert sum(parameter.numel() for parameter in peer) == lstm + 4 * 64  # it has every bias twice


def test_held_out_fifths_are_disjoint_and_make_up_the_whole(digits: ModuleType) -> None:
    whole = digits.Digits(np.arange(11)[:, np.newaxis], np.arange(11))
    tested: list[int] = []

    def learner(train: Any, test: Any, seed: int) -> float:
        assert not set(train.labels) & set(test.labels)
        assert len(train) + len(test) == 11
        tested.extend(test.labels)
        return float(seed)

    assert digits.held_out(learner, whole, [3, 5]) == 4.0
    assert sorted(tested) == sorted([*range(11)] * 2)


@pytest.fixture
def small_pair(digits: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A pair of networks that are nothing but their seeds' accuracies: 0.91, 0.92 and 0.93 for ours."""
    monkeypatch.setattr(digits, "ours", lambda recipe, train, test, seed: 0.91 + seed / 100)
    return digits.Pair(digits.PERCEPTRON, "a peer", "sys", lambda *_: 0.92, 0.1, "falling to 0", ((), ()))


@pytest.mark.parametrize(("theirs", "verdict"), [(0.92, "no worse"), (0.9201, "WORSE")])
def test_the_verdict_is_by_medians(
    digits: ModuleType, small_pair: Any, capsys: pytest.CaptureFixture[str], theirs: float, verdict: str
) -> None:
    train, test = digits.digits_in_halves()
    digits.compare(digits.replace(small_pair, learner=lambda *_: theirs), train, test, range(3))
    assert capsys.readouterr().out.endswith(f"  medians: ours 0.9200, a peer {theirs:.4f}: {verdict}\n")


def test_a_missing_peer_is_said(digits: ModuleType, small_pair: Any, capsys: pytest.CaptureFixture[str]) -> None:
    train, test = digits.digits_in_halves()
    digits.compare(digits.replace(small_pair, module="not_there"), train, test, range(3))
    said = capsys.readouterr().out
    assert said.endswith("  not_there is not installed: no a peer beside it; our median 0.9200\n")


def test_the_peer_gets_its_own_rate(digits: ModuleType) -> None:
    for pair in digits.PAIRS:
        assert pair.peers_recipe == digits.replace(pair.recipe, rate=pair.rate)
        assert pair.recipe.rate in pair.tried[0]
        assert pair.rate in pair.tried[1]


def test_scikit_learn_reads_some_digits(digits: ModuleType) -> None:
    train, test = digits.digits_in_halves()
    pair = digits.PAIRS[0]
    assert digits.scikit_mlp(digits.replace(pair.peers_recipe, epochs=5), train, test, 0) > 0.8


def test_torch_reads_some_digits(digits: ModuleType) -> None:
    pytest.importorskip("torch")
    train, test = digits.digits_in_halves()
    for pair in digits.PAIRS[1:]:
        assert pair.learner(digits.replace(pair.peers_recipe, epochs=3), train, test, 0) > 0.3


def test_digits_run(digits: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    digits.main(["--quick", "--seeds", "1"])
    said = capsys.readouterr().out
    assert "64 images to train, 899 to test" in said
    assert said.count("median") == len(digits.PAIRS)


@pytest.mark.parametrize("wrong", [["--seeds", "0"], ["--seeds", "three"], ["--choose", "yours"]])
def test_digits_refuse_wrong_arguments(digits: ModuleType, wrong: list[str]) -> None:
    with pytest.raises(SystemExit):
        digits.main(wrong)
