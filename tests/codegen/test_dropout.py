"""Dropout: masks from a counter, the same in the interpreter, the plain source and compiled kernels."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers.texts import text_of
from helpers.witnesses import check_compiled, check_plain, jit_disabled
from neuromorph.functions import dropout
from neuromorph.simd import vectors

BODIES = {
    "behind a layer": "(a, 9, <tanh>) (b, <dropout, 0.3>) (c, 4, <tanh>)",
    "of the input": "(a, <dropout>) (b, 4, <tanh>)",
    "two of them": "(a, 5, <tanh>) (b, <dropout, 0.5>) (c, 5, <tanh>) (d, <dropout, 0.9>) {e, b, additive}",
    "in a loop": "{xh, h, concatenate} (a, 6, <tanh>) (h, <dropout, 0.4>)",
    "behind a loop": "(h, 6, <gru>) (a, <dropout, 0.2>) {b, a, concatenate, 2}",
    "of no component": "(a, 5, <tanh>) (b, <dropout, 0>)",
}  # fmt: skip
KERNELS: dict[str, dict[str, Any]] = {
    "one thread": {}, "one lane": {"batch": 1}, "wide vectors, many lanes": {"batch": 17, "kernel": {"lanes": 8}},
    "threads": {"batch": 8, "kernel": {"threads": 2}}, "three threads": {"batch": 7, "kernel": {"threads": 3}},
    "sample weights": {"weighted": True}, "float32": {"dtype": "float32", "kernel": {"lanes": 8, "registers": 32}},
}  # fmt: skip


@pytest.mark.parametrize("kind", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_the_plain_source_means_what_the_interpreter_means(body: str, kind: dict[str, Any]) -> None:
    check_plain(text_of(body), window=4, samples=9, **kind)


def test_chunks_of_rows_have_the_masks_of_their_rows() -> None:
    check_plain(text_of(BODIES["two of them"]), window=9, samples=20, batch=5, kernel={"threads": 2, "chunk": 4})


def test_a_compiled_kernel_means_the_same() -> None:
    check_compiled(text_of(BODIES["behind a loop"]), window=4, samples=9, dtype="float32", kernel={"lanes": 8})


def test_masks_drop_the_share_that_was_asked_for_and_do_not_repeat() -> None:
    rows = np.arange(4_000)
    for rate in (0.1, 0.5, 0.9):
        found = dropout.mask(dropout.noise_of(77, 5), 3, rows, 50, rate)
        assert found.mean() == pytest.approx(1.0, abs=0.03), "the mean of what is kept stays"
        assert (found == 0.0).mean() == pytest.approx(rate, abs=0.004)
        assert {*np.unique(found)} == {0.0, 1.0 / (1.0 - rate)}
        columns = (found > 0.0).astype(float) - (1.0 - rate)
        spread = np.sqrt(rate * (1.0 - rate)) ** 2 * np.sqrt(len(rows))
        together = columns.T @ columns / len(rows) - np.diag((columns**2).mean(axis=0))
        assert np.abs(together).max() * len(rows) < 6.0 * spread, "components are not correlated"
    masks = [dropout.mask(dropout.noise_of(key, update), node, rows, 8, 0.5).tobytes()
             for key in (1, 2) for update in (0, 1) for node in (1, 2)]  # fmt: skip
    assert len(set(masks)) == 8, "each key, update and node has masks of its own"


@pytest.mark.parametrize(("dtype", "lanes"), [("float32", 8), ("float64", 4)])
def test_the_vector_function_keeps_what_the_definition_keeps(dtype: str, lanes: int) -> None:
    kept = vectors(dtype, lanes).kept
    for row in range(20):
        first, second = dropout.row_noise(dropout.noise_of(9, 2), 4, row)
        found = np.concatenate([kept(first, second, q, dropout.threshold(0.3)) for q in range(0, 24, lanes)])
        wanted = dropout.mask(dropout.noise_of(9, 2), 4, np.array([row]), 24, 0.3)[0]
        np.testing.assert_array_equal(found, wanted > 0.0)


# Models ---------------------------------------------------------------------------------------------------------------

TEXT = "/xavier,zero/ (input, 3) (a, 8, <tanh>) (b, <dropout, 0.5>) (output, 2, <linear>, <mse>)"
X, Y = np.random.default_rng(0).normal(size=(2, 12, 4, 3)), np.random.default_rng(1).normal(size=(2, 12, 4, 2))


@pytest.fixture
def no_jit() -> Any:
    with jit_disabled():
        yield


def built(text: str = TEXT, seed: int = 4, **more: Any) -> nm.Model:
    nm.seed(seed)
    return nm.build(nm.compile(text, 4, 0.1, bptt_steps=2, **more))


def after(model: nm.Model) -> bytes:
    """The parameters after some more training."""
    model.train(X[0], Y[0], 0)
    return b"".join(value.tobytes() for value in nm.get_parameters(model).values())


@pytest.mark.usefixtures("no_jit")
def test_one_seed_draws_one_key_behind_the_parameters() -> None:
    plain = built(TEXT.replace("(b, <dropout, 0.5>)", "(b, <gain>)"))
    model = built()
    for name in ("a.weight", "output.weight"):
        np.testing.assert_array_equal(nm.get_parameters(model)[name], nm.get_parameters(plain)[name])
    assert after(model) == after(built())
    assert after(built()) != after(built(TEXT.replace("0.5", "0.4")))


@pytest.mark.usefixtures("no_jit")
def test_only_training_drops() -> None:
    model, without = built(), built(TEXT.replace("(b, <dropout, 0.5>)", "(b, <linear>)"))
    without.set_parameters(nm.get_parameters(model))
    np.testing.assert_array_equal(model.predict(X[0]), without.predict(X[0]))
    assert model.evaluate(X[0], Y[0]) == without.evaluate(X[0], Y[0])
    mine, others = (nm.gradients(one, X[0], Y[0])[1] for one in (model, without))
    for name, gradient in mine.items():
        np.testing.assert_array_equal(gradient, others[name])
    assert nm.gradcheck(built(dtype="float64")).worst < 1e-5
    model.train(X[0], Y[0], 0)
    without.train(X[0], Y[0], 0)
    assert (model.losses != without.losses).all()


@pytest.mark.usefixtures("no_jit")
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_files_pickles_and_broken_training_go_on_with_the_same_masks(optimizer: str, tmp_path: Path) -> None:
    model, whole = built(optimizer=optimizer), built(optimizer=optimizer)
    model.train(X[0], Y[0], 0)
    nm.save(model, tmp_path / "model")
    copies = [nm.load(tmp_path / "model"), pickle.loads(pickle.dumps(model))]
    whole.train(X[0], Y[0], 0)
    assert model.dropout_state == copies[0].dropout_state == copies[1].dropout_state
    assert model.dropout_state is not None
    assert model.dropout_state[1] == 6, "one update a window"
    assert len({after(one) for one in (model, whole, *copies)}) == 1


@pytest.mark.parametrize("rate", ["1", "-0.1", "1.5"])
def test_rates_that_can_not_be(rate: str) -> None:
    with pytest.raises(nm.MDLSemanticError, match="'dropout': rate must be"):
        nm.compile(TEXT.replace("0.5", rate), 4, 0.1)
