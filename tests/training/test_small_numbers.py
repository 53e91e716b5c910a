"""Data of small whole numbers stay small: the loop over them makes the model's type of a part at a time."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from neuromorph.data import mixing

RNG = np.random.default_rng(3)
INPUTS = RNG.integers(0, 10, (403, 6), np.uint8)
LABELS = RNG.integers(0, 3, 403)
TEXT = "/xavier,zero/ (input, 6) (a, 5, <tanh>) (b, <dropout, 0.2>) (y, 3, <softmax>, <cross_entropy>)"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixing, "PART", 200)


def made(text: str = TEXT, lanes: int = 4, window: int = 3) -> nm.Model:
    return nm.build(nm.compile(text, lanes, 0.1, bptt_steps=window, tier="instant"), seed=2)


def same(one: nm.Model, other: nm.Model) -> bool:
    return all((value == other.get_parameters()[name]).all() for name, value in one.get_parameters().items())


def layouts() -> dict[str, tuple[Any, Any, dict[str, Any]]]:
    """The same vectors in each form that data may have, with a weight for some."""
    packed = INPUTS[:400].reshape(100, 4, 6), LABELS[:400].reshape(100, 4)
    several = INPUTS[:360].reshape(10, 9, 4, 6), LABELS[:360].reshape(10, 9, 4)
    weight = RNG.uniform(0.5, 2.0, 403)
    return {
        "vectors": (INPUTS, LABELS, {"layout": "NW", "sample_weight": weight}),
        "samples": (*packed, {"class_weight": {1: 3.0}}),
        "sequences": (*several, {}),
        "gaps": (INPUTS, np.where(LABELS == 1, np.nan, LABELS), {"layout": "NW", "missing": "skip"}),
    }


@pytest.mark.parametrize("form", list(layouts()))
@pytest.mark.parametrize("shuffle", [False, True])
def test_they_give_the_bits_of_floats(form: str, shuffle: bool) -> None:
    inputs, labels, options = layouts()[form]
    more = {"epochs": 2, "shuffle": shuffle, "seed": 1, "progress": False, "metrics": ["accuracy", "mse"], **options}
    small, wide = made(), made()
    found, wanted = (
        model.fit(given, labels, validation=0.2, **more) for model, given in ((small, inputs), (wide, inputs * 1.0))
    )
    assert same(small, wide)
    for name in ("loss", "accuracy", "mse", "validation_loss", "validation_accuracy"):
        assert getattr(found, name) == getattr(wanted, name)
    options.pop("class_weight", None)
    for call in ("evaluate", "accuracy"):
        assert getattr(small, call)(inputs, labels, **options) == getattr(wide, call)(inputs * 1.0, labels, **options)


def test_a_part_has_whole_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    models = []
    for size in (1, 200, 1 << 20):
        monkeypatch.setattr(mixing, "PART", size)
        models.append(made(window=7))
        models[-1].fit(INPUTS, LABELS, layout="NW", epochs=2, shuffle=True, seed=4, progress=False)
    assert same(models[0], models[1])
    assert same(models[0], models[2])


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_loss_that_is_not_finite_is_named_by_its_place(shuffle: bool) -> None:
    model = made("/xavier,zero/ (input, 6) (y, 1, <linear>, <mse>)", window=1)
    model.learning_rate = 1e-6
    expected = np.zeros(403, np.float32)
    expected[371] = 1e30
    with pytest.raises(nm.TrainingDivergedError, match="the loss of vector 371 is inf"):
        model.fit(INPUTS, expected, layout="NW", epochs=1, shuffle=shuffle, seed=1, progress=False)
    with pytest.raises(nm.TrainingDivergedError, match="the loss of sample 92 is inf"):
        model.fit(INPUTS[:400].reshape(100, 4, 6), expected[:400].reshape(100, 4, 1), epochs=1, progress=False)


def test_recurrent_models_get_their_own_type() -> None:
    text = "/xavier,zero/ (input, 6) {m, h, concatenate} (h, 3, <tanh>) (y, 3, <softmax>, <cross_entropy>)"
    small, wide = made(text), made(text)
    for model, given in ((small, INPUTS), (wide, INPUTS * 1.0)):
        model.fit(given[:400].reshape(100, 4, 6), LABELS[:400].reshape(100, 4), epochs=1, progress=False)
    assert same(small, wide)


@pytest.mark.parametrize("shuffle", [False, True])
def test_they_need_little_memory(shuffle: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixing, "PART", 1 << 14)
    inputs = RNG.integers(0, 10, (50_000, 40), np.int8)
    expected = np.ones((50_000, 1), np.float32)
    model = made("/xavier,zero/ (input, 40) (y, 1, <linear>, <mse>)", lanes=32, window=1)
    model.learning_rate = 1e-6
    tracemalloc.start()
    model.fit(inputs, expected, layout="NW", epochs=1, shuffle=shuffle, progress=False, metrics="mae")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * inputs.nbytes, "in float32 the inputs alone have four times their bytes"
