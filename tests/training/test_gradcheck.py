"""What gradcheck finds, and what it must not find: bends and gradients that are zero are no mistakes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers.paths import EXAMPLES
from helpers.witnesses import jit_disabled
from neuromorph.language import library
from neuromorph.training import gradcheck

PUBLISHED = {path.stem: path.read_text(encoding="ascii") for path in sorted((EXAMPLES / "cells").iterdir())}
OWN = {cell.name: f"/xavier,zero/ (x, 3) (h, 4, <{cell.name}>) (o, 2, <linear>, <mse>)" for cell in library()}
# Draws of parameters that stand at bends, next to bends, or where the whole gradient of one is zero.
SEEDS = {"irnn": (1, 7, 20), "wavenet": (0,), "slstm": (5,), "rwkv": (5,)}
BENT = "/he,zero/ (x, 3) (a, 6, <relu>) (b, 5, <relu>) (c, 4, <hard_tanh>) (o, 2, <linear>, <mse>)"


@pytest.fixture(autouse=True)
def no_jit() -> Any:
    with jit_disabled(), warnings.catch_warnings():
        warnings.simplefilter("ignore", nm.MDLWarning)
        yield


def built(text: str, seed: int = 0) -> nm.Model:
    nm.seed(seed)
    return nm.build(nm.compile(text, 2, 0.1))


@pytest.mark.parametrize("cell", [*PUBLISHED, *OWN])
def test_every_cell_passes(cell: str) -> None:
    for seed in SEEDS.get(cell, (0,)):
        assert (
            built({**PUBLISHED, **OWN}[cell], seed).gradcheck(seed=seed, checks=20 if cell == "irnn" else 5).worst
            < 1e-5
        )


def spoil(monkeypatch: pytest.MonkeyPatch, name: str, change: Any) -> None:
    """Let the gradient of one parameter be wrong, wherever it is computed."""
    right = gradcheck.gradients

    def wrong(*arguments: Any) -> tuple[float, dict[str, np.ndarray]]:
        loss, found = right(*arguments)
        return loss, found | {name: change(found[name])}

    monkeypatch.setattr(gradcheck, "gradients", wrong)


WRONG = [
    ("irnn", 1, "h.seen.weight"), ("irnn", 7, "h.recalled.bias"), ("wavenet", 2, "mixed.bias"),
    ("slstm", 5, "h.candidate.weight"), ("gru", 0, "h.recalled.bias"), ("ind_rnn", 0, "h.recalled.weight"),
]  # fmt: skip


@pytest.mark.parametrize(("cell", "seed", "name"), WRONG)
def test_a_wrong_gradient_is_found_next_to_bends_too(
    cell: str, seed: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, name, lambda gradient: 1.0001 * gradient)
    with pytest.raises(nm.GradientError) as caught:
        built({**PUBLISHED, **OWN}[cell], seed).gradcheck(seed=seed, checks=5)
    disagreeing = [line.split()[0] for line in str(caught.value).splitlines() if line.endswith("DISAGREES")]
    assert disagreeing == [name]


@pytest.mark.parametrize(("cell", "name"), [("slstm", "h.in_log.bias"), ("rwkv", "h.k.bias")])
def test_a_gradient_that_is_zero_and_should_be_so_is_told_from_one_that_should_be_or_is_not(
    cell: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = built(PUBLISHED[cell], 5)
    assert model.gradcheck(seed=5, checks=4).errors[name] < 1e-5
    spoil(monkeypatch, name, lambda gradient: gradient + 1e-6)
    with pytest.raises(nm.GradientError, match=f"{name} .*DISAGREES"):
        model.gradcheck(seed=5, checks=4)
    monkeypatch.undo()
    spoil(monkeypatch, "output.bias", np.zeros_like)
    with pytest.raises(nm.GradientError, match=r"output\.bias .*DISAGREES"):
        model.gradcheck(seed=5, checks=4)


def test_layers_whose_sums_stand_exactly_at_a_bend() -> None:
    """With inputs of zero and biases of zero every sum is zero."""
    model, inputs = built(BENT), np.zeros((3, 2, 3))
    before = model.get_parameters()
    assert model.gradcheck(inputs).worst < 1e-5
    assert all((value == before[name]).all() for name, value in model.get_parameters().items())


def test_a_jump_next_to_a_number_hides_no_wrong_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "/he,zero/ (x, 1) [s, (a, 1, <binary_step>)] (b, 1, <linear>) {c, a, additive} (o, 1, <linear>, <mse>)"
    model = built(text)
    model.set_parameters({"a.weight": [[1.0]], "a.bias": [-1.000001], "b.bias": [0.3]})
    inputs = np.ones((1, 2, 1))
    assert model.gradcheck(inputs).worst < 1e-5
    spoil(monkeypatch, "a.bias", lambda gradient: gradient + 0.1)
    with pytest.raises(nm.GradientError, match=r"a\.bias .*DISAGREES"):
        model.gradcheck(inputs)


def test_a_step_is_as_large_as_large_numbers_need() -> None:
    model = built("/he,zero/ (x, 1) (a, 2, <linear>) (o, 1, <linear>, <mse>)")
    model.set_parameters({"a.bias": [1e7, 3e7], "o.weight": [[1e-7], [2e-7]]})
    assert model.gradcheck(tolerance=1e-6).worst < 1e-6
    with pytest.raises(nm.GradientError):
        model.gradcheck(step=1e-300)
