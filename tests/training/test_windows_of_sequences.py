"""The default window of sequences is the sequence; a warning where a shorter one hides their first steps."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuromorph as nm

TEXT = """/uniform -0.5 0.5,zero/ (window_input, 2) {sum, recur, concatenate} (a, 3, <tanh>) [l, [recur,]]
    (output, 1, <linear>, <mse>)"""
RNG = np.random.default_rng(5)
INPUTS = RNG.normal(size=(3, 24, 2))  # longer than 16 steps, the window of one long sequence
EACH, LAST = RNG.normal(size=(3, 24, 1)), RNG.normal(size=(3, 1))

pytestmark = pytest.mark.usefixtures("interpreted")


def made(bptt_steps: int | None, **options: Any) -> nm.Model:
    nm.seed(1)
    return nm.build(nm.compile(TEXT, 2, 0.1, dtype="float64", bptt_steps=bptt_steps, **options))


def assert_same(one: nm.Model, other: nm.Model) -> None:
    for name, value in one.get_parameters().items():
        np.testing.assert_array_equal(other.get_parameters()[name], value)
    for name, value in one.state.items():
        np.testing.assert_array_equal(other.state[name], value)


def test_a_window_of_sequences_is_the_sequence() -> None:
    one, other = made(None), made(24)
    assert one.train(INPUTS, LAST, 0, layout="NSW") == other.train(INPUTS, LAST, 0, layout="NSW")
    assert_same(one, other)
    four = INPUTS[:2].swapaxes(0, 1)[None], EACH[:2].swapaxes(0, 1)[None]
    one.train(*four, 0)
    other.train(*four, 0)
    assert_same(one, other)


def test_a_window_of_one_long_sequence_has_16_steps_before_and_after() -> None:
    one, other = made(None), made(16)
    long = INPUTS[:2].swapaxes(0, 1), EACH[:2].swapaxes(0, 1)
    one.train(*long, 0)
    other.train(*long, 0)
    assert_same(one, other)
    one.train(INPUTS, LAST, 0, layout="NSW")
    other.set_parameters(one.get_parameters())
    other.state = one.state
    assert one.evaluate(*long, carry_state=True) == other.evaluate(*long, carry_state=True)
    one.train(*long, 0, carry_state=True)
    other.train(*long, 0, carry_state=True)
    assert_same(one, other)


def test_a_window_has_at_most_1024_steps() -> None:
    model = made(None)
    assert [model.window_of(steps) for steps in (1, 16, 17, 1024, 1025)] == [16, 16, 17, 1024, 1024]
    assert [made(5).window_of(steps) for steps in (1, 17, 1024)] == [5, 5, 5]


def test_the_default_is_kept_in_files_and_copies(tmp_path: Path) -> None:
    model = made(None)
    model.train(INPUTS, LAST, 0, layout="NSW")
    model.save(tmp_path / "model.safetensors")
    others = [nm.load(tmp_path / "model.safetensors"), copy.deepcopy(model)]
    for one in (model, *others):
        one.train(INPUTS, LAST, 0, layout="NSW")
    for other in others:
        assert_same(model, other)


def test_a_window_that_does_not_fit_into_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = made(None)
    before = model.get_parameters()
    monkeypatch.setattr("neuromorph.runtime.kernels.shortage", lambda needed, what: what.format(f"{needed} bytes"))
    with pytest.raises(MemoryError, match="by windows of 24 steps, which bptt_steps= makes shorter"):
        model.train(INPUTS, LAST, 0, layout="NSW")
    for name, value in before.items():
        np.testing.assert_array_equal(model.get_parameters()[name], value)


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.train(INPUTS, LAST, 0, layout="NSW"),
        lambda model: model.fit(INPUTS, LAST, epochs=2, layout="NSW", progress=False),
        lambda model: model.fit([(INPUTS, LAST)] * 2, epochs=2, layout="NSW", progress=False),
    ],
)
def test_a_window_that_hides_the_first_steps_is_told(call: Callable[[nm.Model], Any]) -> None:
    message = (
        "no gradient reaches the first 20 of 24 steps in 3 of 3 sequences: their first step that counts comes later, "
        "and gradients stop after windows of 10 steps; compile without bptt_steps, or with bptt_steps=24"
    )
    with pytest.warns(nm.DataWarning, match=re.escape(message)) as told:
        call(made(10))
    assert [warning.filename for warning in told] == [__file__]


def test_windows_that_hide_nothing_are_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made(None).train(INPUTS, LAST, 0, layout="NSW")
        made(24).train(INPUTS, LAST, 0, layout="NSW")
        made(10).train(INPUTS, EACH, 0, layout="NSW")
        made(10).train(INPUTS, LAST, 0, layout="NSW", lengths=[10, 9, 0])
