"""A file and a pickle that an early version wrote still load, and the model trains on as it would have there."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable

import numpy as np
import pytest

import neuromorph as nm
from helpers.paths import RECORDED

FOLDER = RECORDED / "first_edition"
FIGURES = json.loads((FOLDER / "figures.json").read_text())
LOADERS: dict[str, Callable[[], nm.Model]] = {
    "file": lambda: nm.load(FOLDER / "model.safetensors"),
    "pickle": lambda: pickle.loads((FOLDER / "model.pickle").read_bytes()),
}


@pytest.mark.parametrize("kind", LOADERS)
def test_a_model_of_an_early_version_goes_on(kind: str) -> None:
    model = LOADERS[kind]()
    inputs, labels = np.array(FIGURES["inputs"], np.float32), np.array(FIGURES["labels"])
    assert isinstance(model, nm.Model)
    assert (model.optimizer, model.clip_norm, model.bptt_steps) == (nm.Adam(betas=(0.8, 0.99)), 1.5, 4)
    assert model.losses.shape == (0,)
    np.testing.assert_allclose(model.predict(inputs), FIGURES["outputs"], rtol=1e-5)
    for name, value in FIGURES["state"].items():
        np.testing.assert_allclose(model.state[name], value, rtol=1e-6)
    assert model.train(inputs, labels, 0, carry_state=True) == pytest.approx(FIGURES["next_loss"], rel=1e-5)
    np.testing.assert_allclose(model.predict(inputs), FIGURES["next_outputs"], rtol=1e-5)
