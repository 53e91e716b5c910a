"""Weights and losses near the limits of their types: only the ratios of weights count, and what is finite has a finite
mean."""

from __future__ import annotations

import sys
import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers import witnesses
from helpers.texts import HEADER, LSTM
from neuromorph.history import History
from neuromorph.training.means import weighted_mean

NETWORK = "/xavier,const_flat 0.1/ (input, 3) (a, 4, <tanh>) (output, 2, <linear>, <mse>)"
# By type: powers of 2 by which weights from 1 to 2 are multiplied, to near the largest number and to near the smallest.
LIMITS = {"float32": (126, -149), "float64": (1022, -1074)}
DIVIDED: list[dict[str, Any]] = [{}, {"threads": 3}, {"threads": 2, "columns": True}, {"threads": 2, "chunk": 2}]


# Means ----------------------------------------------------------------------------------------------------------------


def exact_mean(values: np.ndarray, weights: np.ndarray) -> float:
    """The weighted mean by fractions, 0 where all weights are."""
    pairs = [(Fraction(float(v)), Fraction(float(w))) for v, w in zip(values.ravel(), weights.ravel(), strict=True)]
    whole = sum(w for _, w in pairs)
    return float(sum(v * w for v, w in pairs) / whole) if whole else 0.0


LARGEST, SMALLEST = float(np.finfo(np.float64).max), 5e-324
VALUES = {
    "usual": [0.3, 2.0, 0.0, 1.5],
    "all the largest": [LARGEST] * 4,
    "near the largest": [LARGEST, 1.0, 0.5 * LARGEST, 0.0],
    "of both signs": [LARGEST, -LARGEST, LARGEST, -0.5 * LARGEST],
    "all the smallest": [SMALLEST] * 4,
    "all of them": [LARGEST, SMALLEST, 1.0, 1e-200],
    "zeros": [0.0] * 4,
}
WEIGHTS = {
    "usual": [1.0, 0.5, 0.0, 3.0],
    "all the largest": [LARGEST] * 4,
    "all the smallest": [SMALLEST] * 4,
    "small": [3 * SMALLEST, SMALLEST, 0.0, 2 * SMALLEST],
    "mixed": [LARGEST, SMALLEST, 1.0, 0.0],
    "one": [0.0, 0.0, SMALLEST, 0.0],
    "none": [0.0] * 4,
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("values", VALUES)
def test_means_are_those_of_fractions(values: str, weights: str, dtype: str) -> None:
    limits = {LARGEST: float(np.finfo(np.float32).max), SMALLEST: 1.4e-45} if dtype == "float32" else {}
    array = np.array(VALUES[values])
    given = np.array([limits.get(weight, weight) for weight in WEIGHTS[weights]], dtype)
    wanted = exact_mean(array, given)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = weighted_mean(array, given)
        lanes = weighted_mean(array[:2], given.reshape(2, 2))
    assert found == pytest.approx(wanted, rel=1e-12, abs=1e-300)
    shares = [sum(Fraction(float(w)) for w in pair) for pair in given.reshape(2, 2)]
    pairs = list(zip(array[:2], shares, strict=True))
    expected = float(sum(Fraction(v) * w for v, w in pairs) / sum(shares)) if sum(shares) else 0.0
    assert lanes == pytest.approx(expected, rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("values", VALUES)
def test_means_without_weights_are_those_of_fractions(values: str) -> None:
    array = np.array(VALUES[values])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = weighted_mean(array)
    assert found == pytest.approx(exact_mean(array, np.ones(4)), rel=1e-12, abs=1e-300)
    assert weighted_mean(array[:1]) == array[0]


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_means_of_what_is_not_finite_are_not(odd: float) -> None:
    values = np.array([1.0, odd, LARGEST])
    for weights in (None, np.ones(3), np.full(3, LARGEST), np.full(3, SMALLEST)):
        assert not np.isfinite(weighted_mean(values, weights))


# Kernels --------------------------------------------------------------------------------------------------------------


def outcomes(text: str, trial: witnesses.Trial, compiles: bool, dtype: str, more: dict[str, Any]) -> witnesses.Outcome:
    kernel = witnesses.kernel_of(text, batch=3, dtype=dtype, **more)
    return witnesses.kernel_outcome(kernel, (witnesses.half_compiled if compiles else witnesses.plain)(kernel), trial)


def weighted_trial(text: str, weights: np.ndarray) -> witnesses.Trial:
    """Seven samples of three lanes in windows of two."""
    made = witnesses.trial_of(text, batch=3, samples=7, window=2)
    return witnesses.Trial(made.graph, made.parameters, made.inputs, made.expected, weights, made.window)


def ratios(dtype: str) -> np.ndarray:
    """Weights of few bits, with zeros among them, so that they have the same ratios however small they are."""
    rng = np.random.default_rng(3)
    return rng.choice([0.0, 1.0, 1.0, 2.0], (7, 3)) / 2.0


def check_same_bits(text: str, dtype: str, compiles: bool, more: dict[str, Any]) -> None:
    """Powers of 2 change nothing at all but, of float64, how the losses of a sample's lanes are rounded."""
    weights = ratios(dtype)
    wanted = outcomes(text, weighted_trial(text, weights), compiles, dtype, more).arrays()
    for power in LIMITS[dtype]:
        scaled = np.ldexp(weights, power + 1)
        found = outcomes(text, weighted_trial(text, scaled), compiles, dtype, more).arrays()
        for name, value in wanted.items():
            close = 1e-14 if dtype == "float64" and "losses" in name else 0.0
            np.testing.assert_allclose(found[name], value, rtol=close, atol=0.0, err_msg=f"{name} at 2**{power}")


@pytest.mark.parametrize("more", DIVIDED, ids=str)
@pytest.mark.parametrize("dtype", LIMITS)
def test_weights_near_the_limits_count_by_their_ratios(dtype: str, more: dict[str, Any]) -> None:
    check_same_bits(NETWORK, dtype, False, more)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", LIMITS)
def test_lanes_that_go_apart_weigh_as_one_thread(dtype: str, threads: int) -> None:
    check_same_bits(HEADER + LSTM[LSTM.index("(") :], dtype, False, {"threads": threads})


@pytest.mark.parametrize("dtype", LIMITS)
def test_compiled_kernels_weigh_so_too(dtype: str) -> None:
    check_same_bits(NETWORK, dtype, True, {})


def mixed(dtype: str) -> np.ndarray:
    """Windows of large weights, of small ones, and of both; and samples of small weights in windows of large ones."""
    most, least = (float(limit) for limit in (np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal))
    return np.array([
        [most, most, most], [most, 0.5 * most, most], [least, 3 * least, least], [2 * least, least, 0.0],
        [most, 1.0, least], [least, 2 * least, 5 * least], [least, 0.0, 0.0],
    ])  # fmt: skip


@pytest.mark.parametrize("compiles", [False, True], ids=["plain", "compiled"])
@pytest.mark.parametrize("dtype", LIMITS)
def test_weights_of_all_sizes_agree_with_the_reference(dtype: str, compiles: bool) -> None:
    trial = weighted_trial(NETWORK, mixed(dtype))
    found = outcomes(NETWORK, trial, compiles, dtype, {})
    witnesses.assert_agree(found, witnesses.reference_outcome(trial), witnesses.TOLERANCE[dtype])
    with np.errstate(all="ignore"):
        alone = [witnesses.reference_outcome(one_sample(trial, t)).losses[0] for t in range(7)]
    np.testing.assert_allclose(found.losses, alone, rtol=witnesses.TOLERANCE[dtype])


def one_sample(trial: witnesses.Trial, t: int) -> witnesses.Trial:
    part = slice(t, t + 1)
    assert trial.weights is not None
    return witnesses.Trial(
        trial.graph, trial.parameters, trial.inputs[part], trial.expected[part], trial.weights[part], trial.window
    )


# Models ---------------------------------------------------------------------------------------------------------------


def model_of(dtype: str) -> nm.Model:
    nm.seed(5)
    return nm.build(nm.compile(NETWORK, 3, 0.1, dtype=dtype, bptt_steps=2))


def given() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    return rng.normal(size=(7, 3, 3)), rng.normal(size=(7, 3, 2))


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("dtype", LIMITS)
def test_every_summary_is_the_weighted_mean(dtype: str, capsys: pytest.CaptureFixture[str]) -> None:
    """train, evaluate, gradients, fit and its validation, and the lines of verbosity 2."""
    inputs, expected = given()
    for weights in (mixed(dtype), np.full((7, 3), mixed(dtype).max()), np.full((7, 3), mixed(dtype)[2, 0])):
        model = model_of(dtype)
        single = np.array([[nm.evaluate(model, inputs, expected, sample_weight=lone(t, lane)) for lane in range(3)]
                           for t in range(7)])  # fmt: skip
        wanted = exact_mean(single, weights)
        assert nm.evaluate(model, inputs, expected, sample_weight=weights) == pytest.approx(wanted, rel=1e-6)
        assert nm.gradients(model, inputs, expected, sample_weight=weights)[0] == pytest.approx(wanted, rel=1e-6)
        sums = [sum(Fraction(float(w)) for w in row) for row in weights]
        history = trained(model, inputs, expected, weights)
        assert history.validation_loss[0] == nm.evaluate(model, inputs, expected, sample_weight=weights)
        learnt = sum(Fraction(float(loss)) * share for loss, share in zip(model.losses, sums, strict=True)) / sum(sums)
        assert history.loss[0] == pytest.approx(float(learnt), rel=1e-12)
        loss = nm.train(model, inputs, expected, 2, sample_weight=weights)
        assert np.isfinite(loss)
        lines = capsys.readouterr().err.splitlines()
        assert [line.rpartition(" ")[2] for line in lines] == [f"{number:.6g}" for number in windows(model, sums)]


def lone(t: int, lane: int) -> np.ndarray:
    """A weight for one vector only."""
    weights = np.zeros((7, 3))
    weights[t, lane] = 1.0
    return weights


def trained(model: nm.Model, inputs: np.ndarray, expected: np.ndarray, weights: np.ndarray) -> History:
    return nm.fit(
        model, inputs, expected, epochs=1, sample_weight=weights, validation=(inputs, expected, weights), progress=False
    )


def windows(model: nm.Model, sums: list[Fraction]) -> list[float]:
    """The mean loss of each window of two samples."""
    found = []
    for start in range(0, 7, 2):
        shares, losses = sums[start : start + 2], model.losses[start : start + 2]
        found.append(float(sum(Fraction(float(v)) * s for v, s in zip(losses, shares, strict=True)) / sum(shares)))
    return found


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("dtype", LIMITS)
def test_accuracy_weighs_so_too(dtype: str) -> None:
    text = "/xavier,zero/ (input, 2) (output, 2, <softmax>, <cross_entropy>)"
    model = nm.compile(text, 2, 0.1, dtype=dtype).build()
    model.set_parameters({"output.weight": [[1.0, 0.0], [0.0, 1.0]]})
    inputs, labels = [[[1.0, 0.0], [0.0, 1.0]]] * 2, [[0, 0], [1, 1]]  # right, wrong; wrong, right
    for size in (float(np.finfo(dtype).max), float(np.finfo(dtype).smallest_subnormal)):
        assert nm.accuracy(model, inputs, labels, sample_weight=np.full((2, 2), size)) == 0.5
        assert nm.accuracy(model, inputs, labels, sample_weight=[[size, size], [0.0, size]]) == pytest.approx(2 / 3)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("weighted", [False, True])
def test_the_mean_of_finite_losses_is_finite(weighted: bool) -> None:
    """Squares of 1.3e154, and of 1.8e19 as float32, are near the largest numbers."""
    for dtype, answer in (("float64", 1.3e154), ("float32", 1.8e19)):
        model = nm.compile(
            "/uniform 0 0,zero/ (input, 1) (output, 1, <linear>, <mse>)", 4, 0.0, dtype=dtype, bptt_steps=2
        )
        model.build()
        inputs, expected = np.zeros((6, 4, 1)), np.full((6, 4, 1), answer)
        weights = np.full((6, 4), np.finfo(dtype).max) if weighted else None
        wanted = pytest.approx(float(np.square(np.array(answer, dtype))), rel=1e-6)
        assert nm.evaluate(model, inputs, expected, sample_weight=weights) == wanted
        assert nm.train(model, inputs, expected, 0, sample_weight=weights) == wanted
        assert nm.gradients(model, inputs, expected, sample_weight=weights)[0] == wanted
        assert trained(model, inputs, expected, weights).loss == [wanted]
        assert np.isfinite(model.losses).all()


def test_a_weight_does_not_hide_a_loss_that_is_not_finite() -> None:
    """However small it is."""
    for dtype in LIMITS:
        trial = weighted_trial(NETWORK, mixed(dtype))
        expected = trial.expected.copy()
        expected[3, 1] = np.inf  # of the least weight
        kernel = witnesses.kernel_of(NETWORK, batch=3, dtype=dtype)
        broken = witnesses.Trial(trial.graph, trial.parameters, trial.inputs, expected, trial.weights, trial.window)
        memory, losses = witnesses.Memory.of(kernel, trial.parameters, 2), np.zeros(7)
        assert witnesses.call_windows(kernel, witnesses.plain(kernel), broken, memory, 2, 2, losses) == 2
        assert not np.isfinite(losses[3])
        assert sys.float_info.max >= losses[2] > 0.0
