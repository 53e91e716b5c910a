"""Units set from data."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers.witnesses import jit_disabled
from neuromorph.training import adapt

RNG = np.random.default_rng(5)
INPUTS = RNG.normal(size=(40, 2, 3)) * [1.0, 10.0, 0.1] + [5.0, -2.0, 0.0]
EXPECTED = RNG.normal(size=(40, 2, 2)) * [100.0, 3.0] + [7.0, -1.0]
TEXT = "/xavier,zero/ (input, 3) (units, <standardize>) (a, 4, <tanh>) (b, <standardize>) (output, 2, <restore>, <mse>)"
LOOP = "/xavier,zero/ (input, 3) {xh, h, concatenate} (h, 4, <tanh>) (b, <standardize>) (output, 2, <linear>, <mse>)"


@pytest.fixture(autouse=True)
def no_jit() -> Any:
    with jit_disabled():
        yield


def built(text: str = TEXT, **more: Any) -> nm.Model:
    nm.seed(1)
    return nm.build(nm.compile(text, 2, 0.1, dtype="float64", **more))


def test_what_reaches_a_node_has_mean_0_and_deviation_1_afterwards() -> None:
    model = built()
    before = nm.get_parameters(model)
    nm.adapt(model, INPUTS, EXPECTED)
    found, rows = nm.get_parameters(model), INPUTS.reshape(-1, 3)
    np.testing.assert_allclose(found["units.mean"], rows.mean(axis=0))
    np.testing.assert_allclose(found["units.scale"], rows.std(axis=0))
    np.testing.assert_allclose(found["output.mean"], EXPECTED.reshape(-1, 2).mean(axis=0))
    np.testing.assert_allclose(found["output.scale"], EXPECTED.reshape(-1, 2).std(axis=0))
    hidden = np.tanh((rows - rows.mean(axis=0)) / rows.std(axis=0) @ found["a.weight"] + found["a.bias"])
    np.testing.assert_allclose(
        found["b.mean"], hidden.mean(axis=0), err_msg="in text order: of what is adapted already"
    )
    np.testing.assert_allclose(found["b.scale"], hidden.std(axis=0))
    learning = [name for name in before if name.endswith(("weight", "bias"))]
    assert all((found[name] == before[name]).all() for name in learning)
    assert set(nm.gradients(model, INPUTS, EXPECTED)[1]) == set(learning)


def test_the_loss_is_in_standard_units() -> None:
    model = built()
    nm.adapt(model, INPUTS, EXPECTED)
    standard = (EXPECTED - EXPECTED.mean(axis=(0, 1))) / EXPECTED.std(axis=(0, 1))
    mean, scale = (nm.get_parameters(model)[f"output.{role}"] for role in ("mean", "scale"))
    results = (nm.predict(model, INPUTS) - mean) / scale
    assert nm.evaluate(model, INPUTS, EXPECTED) == pytest.approx(np.square(results - standard).mean())


def test_through_a_loop_and_by_sequences() -> None:
    model = built(LOOP)
    nm.adapt(model, np.stack([INPUTS, INPUTS[::-1]]))
    weight, bias = (nm.get_parameters(model)[f"h.{role}"] for role in ("weight", "bias"))
    values = []
    for sequence in (INPUTS, INPUTS[::-1]):
        h = np.zeros((2, 4))
        for x in sequence:
            h = np.tanh(np.concatenate([x, h], axis=1) @ weight + bias)
            values.append(h)
    np.testing.assert_allclose(nm.get_parameters(model)["b.mean"], np.mean(values, axis=(0, 1)))
    np.testing.assert_allclose(nm.get_parameters(model)["b.scale"], np.std(np.concatenate(values), axis=0))


DELAY = """/xavier,zero/ (input, 3) (a, 64, <tanh>) {{late, a, average, {steps}}} (b, <standardize>)
(output, 2, <linear>, <mse>)"""


def seconds_behind_a_delay(steps: int, lanes: int = 8) -> float:
    """The time that adapting to 300 samples takes."""
    nm.seed(1)
    model = nm.build(nm.compile(DELAY.format(steps=steps), lanes, 0.1))
    inputs = RNG.normal(size=(300, lanes, 3))
    started = time.perf_counter()
    nm.adapt(model, inputs)
    return time.perf_counter() - started


def test_a_step_takes_no_longer_behind_a_long_delay() -> None:
    short = min(seconds_behind_a_delay(2) for _ in range(3))
    assert min(seconds_behind_a_delay(4_096) for _ in range(3)) < 10 * short + 0.1


def test_behind_a_long_delay_stands_what_was_there_so_many_steps_before() -> None:
    nm.seed(1)
    model = nm.build(nm.compile(DELAY.format(steps=30), 2, 0.1, dtype="float64"))
    nm.adapt(model, INPUTS)
    found = nm.get_parameters(model)
    a = np.tanh(INPUTS @ found["a.weight"] + found["a.bias"])
    late = (a + np.concatenate([np.zeros((30, 2, 64)), a[:10]])) / 2
    np.testing.assert_allclose(found["b.mean"], late.mean(axis=(0, 1)))


def test_a_delay_behind_the_node_takes_no_memory() -> None:
    text = (
        """/xavier,zero/ (input, 3) (units, <standardize>) {late, units, average, 4096} (output, 2, <linear>, <mse>)"""
    )
    nm.seed(1)
    model = nm.build(nm.compile(text, 2, 0.1))
    tracemalloc.start()
    nm.adapt(model, INPUTS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


def test_weights_and_lengths_say_what_counts() -> None:
    model, weight = built(), np.zeros((40, 2))
    weight[:7, 0] = RNG.uniform(0.5, 2.0, 7)
    nm.adapt(model, INPUTS, sample_weight=weight)
    mean = np.average(INPUTS[:7, 0], axis=0, weights=weight[:7, 0])
    np.testing.assert_allclose(nm.get_parameters(model)["units.mean"], mean)
    nm.adapt(model, INPUTS, lengths=[5, 0])
    np.testing.assert_allclose(nm.get_parameters(model)["units.mean"], INPUTS[:5, 0].mean(axis=0))
    assert (nm.get_parameters(model)["output.scale"] == 1.0).all(), "nothing is expected"


def test_a_component_that_does_not_change_has_a_scale_of_1() -> None:
    model, inputs = built(), INPUTS.copy()
    inputs[..., 1] = 3.0
    nm.adapt(model, inputs)
    assert nm.get_parameters(model)["units.scale"][1] == 1.0
    assert np.isfinite(nm.predict(model, inputs)).all()


def with_gaps() -> tuple[Any, Any]:
    """Inputs and expected values, of which some are not known: one whole vector too."""
    inputs, expected = INPUTS.copy(), EXPECTED.copy()
    inputs[3, 0, 1] = inputs[0, 0, 0] = inputs[7, 1] = np.nan
    expected[::3, 1, 0] = np.nan
    return inputs, expected


@pytest.mark.parametrize("numbers", [1 << 20, 1])
def test_what_is_not_known_is_left_out(numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapt, "_NUMBERS", numbers)
    model, (inputs, expected) = built(), with_gaps()
    weight = RNG.uniform(0.5, 2.0, (40, 2)) * (RNG.uniform(size=(40, 2)) > 0.2)
    nm.adapt(model, inputs, expected, sample_weight=weight, missing="skip")
    found = nm.get_parameters(model)
    for name, values in (("units", inputs), ("output", expected)):
        for place in range(values.shape[-1]):
            column = values[..., place]
            known = ~np.isnan(column)
            mean = np.average(column[known], weights=weight[known])
            variance = np.average(np.square(column[known] - mean), weights=weight[known])
            np.testing.assert_allclose(found[f"{name}.mean"][place], mean)
            np.testing.assert_allclose(found[f"{name}.scale"][place], np.sqrt(variance))


def test_behind_a_layer_whole_vectors_are_not_known() -> None:
    model, (inputs, expected) = built(), with_gaps()
    nm.adapt(model, inputs, expected, missing="skip")
    found = nm.get_parameters(model)
    rows = inputs[~np.isnan(inputs).any(axis=-1)]
    assert len(rows) == 77
    hidden = np.tanh((rows - found["units.mean"]) / found["units.scale"] @ found["a.weight"] + found["a.bias"])
    np.testing.assert_allclose(found["b.mean"], hidden.mean(axis=0))
    np.testing.assert_allclose(found["b.scale"], hidden.std(axis=0))


def test_gaps_of_sequences_with_one_answer_each() -> None:
    model = built()
    inputs, expected = np.moveaxis(INPUTS, 1, 0).copy(), np.array([[np.nan, 4.0], [6.0, 8.0]])
    inputs[1, 5, 2] = np.nan
    nm.adapt(model, inputs, expected, layout="NSW", missing="skip")
    found = nm.get_parameters(model)
    np.testing.assert_allclose(found["output.mean"], [6.0, 6.0])
    np.testing.assert_allclose(found["output.scale"], [1.0, 2.0])
    np.testing.assert_allclose(found["units.mean"], np.nanmean(inputs, axis=(0, 1)))


def test_all_steps_count_where_a_sequence_has_one_answer() -> None:
    model, weight = built(), np.array([1.0, 3.0, 0.5])
    steps = [INPUTS[:9, 0], INPUTS[9:20, 0], INPUTS[20:, 1]]
    nm.adapt(model, steps, [[1.0, 2.0], [5.0, 2.0], [5.0, 8.0]], layout="NSW", sample_weight=weight)
    found, shares = nm.get_parameters(model), np.repeat(weight, [9, 11, 20])
    np.testing.assert_allclose(found["units.mean"], np.average(np.concatenate(steps), axis=0, weights=shares))
    np.testing.assert_allclose(found["output.mean"], np.average([[1, 2], [5, 2], [5, 8]], axis=0, weights=weight))
    nm.adapt(model, np.stack([steps[0], steps[0] + 1.0]), [[1.0, 2.0], [5.0, 2.0]], layout="NSW", lengths=[9, 4])
    rows = np.concatenate([steps[0], steps[0][:4] + 1.0])
    np.testing.assert_allclose(nm.get_parameters(model)["units.mean"], rows.mean(axis=0))


def test_a_component_that_is_known_once_or_never() -> None:
    model, (inputs, expected) = built(), with_gaps()
    expected[1:, :, 1] = np.nan
    expected[0, :, 1] = [np.nan, 7.0]
    nm.adapt(model, inputs, expected, missing="skip")
    before = nm.get_parameters(model)
    assert (before["output.mean"][1], before["output.scale"][1]) == (7.0, 1.0)
    expected[0, 1, 1] = np.nan
    with pytest.raises(nm.DataError, match="what reaches 'output' is NaN in component 1 of all vectors"):
        nm.adapt(model, inputs, expected, missing="skip")
    assert all((value == before[name]).all() for name, value in nm.get_parameters(model).items())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"inputs": INPUTS[..., :2]}, nm.DataError, "width"), ({"inputs": INPUTS * np.nan}, nm.DataError, "inputs"),
        ({"expected": EXPECTED[:3]}, nm.DataError, "expected"),
        ({"sample_weight": np.zeros((40, 2))}, nm.DataError, "all weights are 0"),
        ({"inputs": INPUTS * 1e300}, nm.DataError, "what reaches 'units' is too large"),
        ({"inputs": INPUTS * 1e300, "missing": "skip"}, nm.DataError, "what reaches 'units' is too large"),
        ({"missing": "drop"}, ValueError, "missing must be one of error, skip, not .drop."),
    ],
)  # fmt: skip
def test_wrong_data_change_nothing(change: dict[str, Any], error: type[Exception], message: str) -> None:
    model = built()
    nm.adapt(model, INPUTS, EXPECTED)
    before = nm.get_parameters(model)
    with pytest.raises(error, match=message):
        nm.adapt(model, **{"inputs": INPUTS, "expected": EXPECTED} | change)
    assert all((value == before[name]).all() for name, value in nm.get_parameters(model).items())


def test_what_can_not_be_adapted() -> None:
    plain = "/xavier,zero/ (input, 3) (output, 2, <linear>, <mse>)"
    with pytest.raises(ValueError, match="there is nothing to adapt"):
        nm.adapt(built(plain), INPUTS, EXPECTED)
    with pytest.raises(nm.ModelStateError, match="not built"):
        nm.adapt(nm.compile(TEXT, 2, 0.1), INPUTS)
    with pytest.raises(nm.DataError, match=r"units.scale must not be 0"):
        nm.set_parameters(built(), {"units.scale": [1.0, 0.0, 2.0]})


@pytest.mark.parametrize("text", [TEXT, LOOP])
def test_parts_give_what_the_whole_gives(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data are gone through in parts, so that they need little memory."""
    weights = RNG.uniform(size=(4, 10, 2)) * (RNG.uniform(size=(4, 10, 2)) > 0.3)
    inputs, expected = INPUTS.reshape(4, 10, 2, 3), EXPECTED.reshape(4, 10, 2, 2)
    found = []
    for numbers in (1 << 20, 1):
        monkeypatch.setattr(adapt, "_NUMBERS", numbers)
        nm.seed(1)
        model = built(text)
        nm.adapt(model, inputs, expected, sample_weight=weights)
        found.append(nm.get_parameters(model))
    for name, value in found[0].items():
        np.testing.assert_allclose(found[1][name], value, rtol=1e-6)
    rows = inputs.reshape(-1, 3)[weights.reshape(-1) > 0]
    if text == TEXT:
        wanted = np.average(rows, axis=0, weights=weights[weights > 0])
        np.testing.assert_allclose(found[1]["units.mean"], wanted, rtol=1e-5)
