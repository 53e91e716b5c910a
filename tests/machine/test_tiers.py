"""The machine and generated kernels, both compiled, give the same bits."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers.texts import GRU, LSTM, WIDE_LSTM, text_of

TEXTS = {
    "lstm": (LSTM, 5, "float32"),
    "one lane": (WIDE_LSTM, 1, "float32"),
    "gru in float64": (GRU, 3, "float64"),
    "no links": (text_of("(c, 7, <tanh>) (n, <norm>) {m, c, maximum} (h, 4, <gelu>)"), 3, "float64"),
    "a sum of gradients": (
        """/xavier,zero/ (x, 8) (a, 8, <tanh>) [t, [skip,]] {m, x, subtractive} (f, <tanh>) {r, skip, additive}
        (out, 2, <linear>, <mse>)""",
        2,
        "float32",
    ),
}


def trained(text: str, batch: int, dtype: str, tier: str, optimizer: Any) -> tuple[nm.Model, np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = nm.compile(text, batch, 0.05, dtype=dtype, tier=tier, threads=1, optimizer=optimizer, clip_norm=0.5)
    nm.seed(1)
    nm.build(model)
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(50, batch, model.input_width))
    nm.train(model, inputs, rng.uniform(size=(50, batch, model.output_width)), 0)
    return model, nm.predict(model, inputs[:9])


@pytest.mark.parametrize(("name", "optimizer"), [*zip(TEXTS, ("sgd", "adam", "rmsprop", "adamw", "sgd"), strict=True)])
def test_tiers_give_the_same_bits(name: str, optimizer: str) -> None:
    text, batch, dtype = TEXTS[name]
    compiled, predicted = trained(text, batch, dtype, "compiled", optimizer)
    instant, other = trained(text, batch, dtype, "instant", optimizer)
    assert (compiled.tier, instant.tier) == ("compiled", "instant")
    for key, value in compiled.get_parameters().items():
        np.testing.assert_array_equal(instant.get_parameters()[key], value, err_msg=key)
    np.testing.assert_array_equal(instant.losses, compiled.losses)
    np.testing.assert_array_equal(other, predicted)
    for key, value in compiled.state.items():
        np.testing.assert_array_equal(instant.state[key], value, err_msg=key)
    for key, value in compiled.optimizer_state.items():
        np.testing.assert_array_equal(instant.optimizer_state[key], value, err_msg=key)


def test_all_that_a_model_does_works_on_the_machine() -> None:
    """Evaluation, gradients, streams, state, files and copies, beside a compiled model with the same parameters."""
    text, batch, dtype = TEXTS["gru in float64"]
    compiled, _ = trained(text, batch, dtype, "compiled", "adam")
    instant, _ = trained(text, batch, dtype, "instant", "adam")
    instant.set_parameters(compiled.get_parameters())
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(7, batch, compiled.input_width))
    expected = rng.uniform(size=(7, batch, compiled.output_width))
    assert nm.evaluate(instant, inputs, expected) == nm.evaluate(compiled, inputs, expected)
    (loss, found), (other, wanted) = (nm.gradients(model, inputs, expected) for model in (instant, compiled))
    assert loss == other
    for key, value in wanted.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)
    streams = [nm.stream(model, batch) for model in (instant, compiled)]
    for x in inputs:
        np.testing.assert_array_equal(streams[0](x), streams[1](x))
    copied = pickle.loads(pickle.dumps(instant))
    assert copied.tier == "instant"
    np.testing.assert_array_equal(nm.predict(copied, inputs), nm.predict(instant, inputs))
    history = nm.fit(instant, inputs, expected, epochs=2, progress=False)
    assert len(history) == 2
    assert instant.kernel_source() == compiled.kernel_source()


def test_what_is_no_tier() -> None:
    with pytest.raises(
        ValueError, match="tier must be one of auto, compiled, instant, not 'instand'; did you mean 'in"
    ):
        nm.compile(LSTM, 2, 0.1, tier="instand")
