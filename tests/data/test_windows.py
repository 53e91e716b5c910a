"""``windows``: one long series as sequences; and what models read in the windows."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import neuromorph as nm

SERIES = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
TEXT = """/uniform -0.5 0.5,zero/ (series_input, 3) {sum, recur, concatenate} (a, 4, <tanh>) [l, [recur,]]
    (output, $, <linear>, <mse>)"""


@pytest.mark.parametrize("length", [1, 4, 18])
@pytest.mark.parametrize("horizon", [1, 2])
@pytest.mark.parametrize("step", [1, 3, 30])
def test_each_window_is_followed_by_what_is_expected(length: int, horizon: int, step: int) -> None:
    inputs, expected = nm.windows(SERIES, length, horizon=horizon, step=step)
    starts = range(0, 20 - length - horizon + 1, step)
    assert inputs.shape == (len(starts), length, 3)
    assert expected.shape == (len(starts), horizon, 3)
    for number, start in enumerate(starts):
        np.testing.assert_array_equal(inputs[number], SERIES[start : start + length])
        np.testing.assert_array_equal(expected[number], SERIES[start + length : start + length + horizon])


def test_windows_are_views_that_nobody_writes_to() -> None:
    for targets in (slice(1, 2), 1, -1):
        for view in nm.windows(SERIES, 5, targets=targets):
            assert np.shares_memory(view, SERIES)
            assert not view.flags.writeable


OTHER = np.arange(40.0).reshape(20, 2)
TARGETS: dict[str, tuple[Any, np.ndarray]] = {
    "a column": (1, SERIES[:, 1:2]),
    "the last column": (-1, SERIES[:, 2:]),
    "columns": ([2, 0], SERIES[:, [2, 0]]),
    "a slice": (slice(1, None), SERIES[:, 1:]),
    "another series": (OTHER, OTHER),
    "numbers": (OTHER[:, 0], OTHER[:, :1]),
}


@pytest.mark.parametrize("case", TARGETS)
def test_targets(case: str) -> None:
    targets, wanted = TARGETS[case]
    _, expected = nm.windows(SERIES, 5, horizon=2, targets=targets)
    np.testing.assert_array_equal(expected, nm.windows(wanted, 5, horizon=2)[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 20}, "series has 20 steps, and a window of 20 with a horizon of 1 needs at least 21"),
        ({"length": 0}, "length is 0, but must be a whole number from 1"),
        ({"horizon": 1.5}, "horizon is 1.5, but must be a whole number from 1"),
        ({"step": -1}, "step is -1, but must be a whole number from 1"),
        ({"series": np.zeros((4, 3, 2))}, "series has shape (4, 3, 2), but needs shape (steps, width)"),
        ({"series": [["a"]]}, "series[0][0] is 'a' (str), but must be a real number"),
        ({"targets": 3}, "targets is 3, but the columns of series are 0 to 2"),
        ({"targets": [0, -4]}, "targets[1] is -4, but the columns of series are 0 to 2"),
        ({"targets": OTHER[1:]}, "targets has 19 on axis 0 (steps), but series has 20: both must be the same"),
        ({"targets": "price"}, "targets is 'price' (str_), but must be real numbers"),
    ],
)
def test_what_does_not_fit_is_named(arguments: dict[str, Any], message: str) -> None:
    given = {"series": SERIES, "length": 5} | arguments
    with pytest.raises(nm.DataError, match=re.escape(message)):
        nm.windows(**given)


@pytest.mark.parametrize(("horizon", "targets", "wide"), [(1, None, 3), (2, 0, 2), (2, [0, 2], 4), (1, 1, 1)])
def test_a_model_forecasts_from_the_last_step_of_a_window(
    interpreted: None, horizon: int, targets: Any, wide: int
) -> None:
    model = nm.build(nm.compile(TEXT.replace("$", str(wide)), 4, 0.1))
    inputs, expected = nm.windows(SERIES, 6, horizon=horizon, targets=targets)
    last = model.predict(inputs, layout="NSW")[:, -1]
    loss = np.mean((last - expected.reshape(len(last), wide)) ** 2)
    assert model.evaluate(inputs, expected, layout="NSW") == pytest.approx(loss, rel=1e-5)


def test_batches_for_a_model_have_its_lanes_and_its_type() -> None:
    text = "/xavier,zero/ (batches_input, 2) (output, 3, <softmax>, <cross_entropy>)"
    model = nm.compile(text, 4, 0.1, dtype="float64")
    vectors = np.array([[1 / 3, 2], [3, 4], [5, 6], [7, 8], [9, 10]])
    inputs, expected, weight = nm.batches(vectors, [0, 2, 1, 0, 1], model)
    assert (inputs.shape, expected.shape, weight.shape) == ((2, 4, 2), (2, 4, 3), (2, 4))
    assert {array.dtype for array in (inputs, expected, weight)} == {np.dtype(np.float64)}
    assert inputs[0, 0, 0] == 1 / 3
    assert expected[0, 1].tolist() == [0, 0, 1]
    np.testing.assert_array_equal(nm.batches(vectors, expected.reshape(8, 3)[:5], model)[1], expected)
    assert nm.batches(vectors, [0, 2, 1, 0, 1], 4, classes=3)[0].dtype == np.float32


def test_batches_refuse_a_recurrent_model() -> None:
    model = nm.compile(TEXT.replace("$", "3"), 4, 0.1)
    message = "batches deals single vectors out over lanes, and this model has links back in time"
    with pytest.raises(nm.DataError, match=re.escape(message)):
        nm.batches(SERIES[:-1], SERIES[1:], model)
