"""Updates with gradients that are given have the bits of the kernel's own updates."""

from __future__ import annotations

import numpy as np
import pytest

import neuromorph as nm
from helpers.division import divide_everything
from neuromorph.runtime.updating import Learned, Updater

TEXT = "/xavier,zero/ (input, 3) {both, r, concatenate} (h, 5, <tanh>) [t, [r,]] (g, <gain>) (y, 2, <linear>, <mse>)"
OPTIMIZERS = (
    nm.SGD(), nm.SGD(weight_decay=0.1), nm.SGD(momentum=0.9), nm.SGD(momentum=0.9, nesterov=True), nm.RMSProp(),
    nm.RMSProp(momentum=0.5), nm.Adam(weight_decay=0.01), nm.AdamW(),
)  # fmt: skip
RNG = np.random.default_rng(5)
INPUTS, EXPECTED = RNG.normal(size=(6, 4, 3)), RNG.normal(size=(6, 4, 2))


def made(optimizer: nm.Optimizer = OPTIMIZERS[0], tier: str = "instant", **options: object) -> nm.Model:
    return nm.build(nm.compile(TEXT, 4, 0.1, optimizer=optimizer, tier=tier, threads=1, **options), seed=1)


def flat_gradients(model: nm.Model) -> np.ndarray:
    """The gradients of the data, in the layout of the parameters."""
    _, found = model.gradients(INPUTS, EXPECTED)
    flat = np.zeros(model.kernels.plan.layout.size, model.dtype)
    flat[model.learning_places()] = np.concatenate([found[name].ravel() for name in found])
    return flat


def assert_same(one: nm.Model, other: nm.Model) -> None:
    for mine, others in ((one.get_parameters(), other.get_parameters()), (one.optimizer_state, other.optimizer_state)):
        assert mine.keys() == others.keys()
        for name in mine:
            np.testing.assert_array_equal(mine[name], others[name], name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: optimizer.kind)
def test_updates_have_the_bits_of_training(optimizer: nm.Optimizer, clip: float | None, dtype: str) -> None:
    whole, apart = (made(optimizer, dtype=dtype, clip_norm=clip) for _ in range(2))
    updater = Updater(apart)
    for number in range(4):
        whole.learning_rate = apart.learning_rate = 0.1 / (1 + number)
        whole.train(INPUTS, EXPECTED, 0)
        assert updater.update(flat_gradients(apart))
    assert_same(whole, apart)


def test_updates_have_the_bits_of_a_compiled_kernel() -> None:
    whole, apart = (made(nm.Adam(), "compiled", clip_norm=0.5) for _ in range(2))
    updater = Updater(apart)
    for _ in range(4):
        whole.train(INPUTS, EXPECTED, 0)
        assert updater.update(flat_gradients(apart))
    assert_same(whole, apart)


def test_models_with_other_threads_make_the_same_update(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers of a cluster may have other lanes and other numbers of threads. Their norms must not differ."""
    divide_everything(monkeypatch, 4)
    text, found = TEXT.replace("(h, 5,", "(h, 37,"), []
    for batch, threads in ((4, 1), (9, 2), (8, 4)):
        model = nm.build(nm.compile(text, batch, 0.1, optimizer=nm.Adam(), clip_norm=0.01, threads=threads), seed=1)
        updater, rng = Updater(model), np.random.default_rng(2)
        for _ in range(20):
            assert updater.update(rng.normal(size=model.kernels.plan.layout.size).astype(model.dtype))
        found.append(model)
    assert_same(found[0], found[1])
    assert_same(found[0], found[2])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 3e38])
def test_gradients_that_are_not_finite_change_nothing(wrong: float) -> None:
    model = made(nm.Adam())
    before, gradients = model.get_parameters(), flat_gradients(model)
    gradients[model.learning_places()[7]] = wrong
    assert not Updater(model).update(gradients)
    for name, value in model.get_parameters().items():
        np.testing.assert_array_equal(value, before[name])
    assert not any(value.any() for value in model.optimizer_state.values())


def test_all_that_was_learnt_moves_to_another_model() -> None:
    one, other = made(nm.Adam(), frozen="g"), made(nm.Adam(), frozen="g")
    one.train(INPUTS, EXPECTED, 0)
    source, target = Learned(one), Learned(other)
    vector, counts = source.get()
    assert len(vector) == source.size == 3 * (9 * 5 + 6 * 2)  # without the frozen vector
    target.set(vector, counts)
    assert_same(one, other)
    one.train(INPUTS, EXPECTED, 0)
    other.train(INPUTS, EXPECTED, 0)
    assert_same(one, other)
