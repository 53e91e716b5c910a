"""The machine and generated kernels give the same bits, at one thread."""

from __future__ import annotations

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


@pytest.mark.parametrize(("name", "optimizer"), zip(TEXTS, ("sgd", "adam", "rmsprop", "adamw"), strict=True))
def test_tiers_give_the_same_bits(name: str, optimizer: str) -> None:
    text, batch, dtype = TEXTS[name]
    compiled, predicted = trained(text, batch, dtype, "compiled", optimizer)
    instant, other = trained(text, batch, dtype, "instant", optimizer)
    for key, value in compiled.get_parameters().items():
        np.testing.assert_array_equal(instant.get_parameters()[key], value, err_msg=key)
    np.testing.assert_array_equal(instant.losses, compiled.losses)
    np.testing.assert_array_equal(other, predicted)
    for key, value in compiled.state.items():
        np.testing.assert_array_equal(instant.state[key], value, err_msg=key)
