"""Chains of layers as texts, without the libraries that they come from."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers.made_models import without_kernels
from neuromorph.conversion.chain import _COMPOSED, Chain
from neuromorph.functions.activations import logistic
from neuromorph.graph import interpreter

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models get room for parameters, and no kernel is compiled."""
    monkeypatch.setattr("neuromorph.conversion.chain.build", without_kernels)


def computed(chain: Chain, x: np.ndarray) -> np.ndarray:
    """What the model of a chain gives, for data (steps, width)."""
    model = chain.model("mse", 1, 0.1, dtype="float64")
    return interpreter.predict(model.graph, model.get_parameters(), x[:, None])[:, 0]


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x)
    value: np.ndarray = e / e.sum(axis=-1, keepdims=True)
    return value


COMPOSED: dict[str, tuple[dict[str, float], Callable[[np.ndarray], Any]]] = {
    "hard_swish": ({}, lambda x: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0)),
    "log_sigmoid": ({}, lambda x: np.log(logistic(x))),
    "tanh_shrink": ({}, lambda x: x - np.tanh(x)),
    "softmin": ({}, lambda x: softmax(-x)),
    "softplus": ({"p": 2.0, "q": 0.5}, lambda x: np.log1p(np.exp(2.0 * x)) / 2.0),
    "celu": ({"p": 2.0, "q": 0.5}, lambda x: np.where(x > 0.0, x, 0.5 * (np.exp(2.0 * x) - 1.0))),
    "steep_celu": ({"p": -0.5, "q": -2.0}, lambda x: np.where(x > 0.0, x, -2.0 * (np.exp(-0.5 * x) - 1.0))),
    "between": ({"p": -3.0, "q": 3.0, "r": 3.0}, lambda x: np.clip(x, 0.0, 6.0)),
    "prelu": ({}, lambda x: np.where(x > 0.0, x, 0.3 * x)),
    "affine": ({"p": 2.0, "q": -1.0}, lambda x: 2.0 * x - 1.0),
}


def test_every_composed_function_is_known_here() -> None:
    assert COMPOSED.keys() == _COMPOSED.keys()


@pytest.mark.parametrize("name", COMPOSED)
def test_composed_functions_are_what_they_are_called(name: str) -> None:
    numbers, wanted = COMPOSED[name]
    chain, x = Chain(), 4.0 * RNG.normal(size=(30, 3))
    chain.begin("Linear", "a")
    chain.layer(np.eye(3), None)
    chain.begin("Function", "f")
    chain.compose(name, **numbers)
    if name == "prelu":
        chain.hold({"f.slope.bias": np.array([0.3])})
    np.testing.assert_allclose(computed(chain, x), wanted(x), rtol=1e-12, atol=1e-14)


def test_an_activation_joins_a_layer_that_has_none() -> None:
    chain = Chain()
    for key, function in (("first", "tanh"), ("1", "relu"), ("input", "")):
        chain.begin("Linear", key)
        chain.layer(np.eye(2), np.ones(2))
        if function:
            chain.apply(function)
            chain.begin("Softplus", f"then {key}")
            chain.apply("softplus")
    assert chain.text("mae").split("\n") == [
        "/xavier,zero/", "(input, 2)", "(first, 2, <tanh>)", "(softplus_then_first, <softplus>)",
        "(linear_1, 2, <relu>)", "(softplus_then_1, <softplus>)", "(input_1, 2, <linear>, <mae>)",
    ]  # fmt: skip


def test_cells_with_other_functions_are_written_out() -> None:
    """An LSTM, against its equations."""
    chain, x, width = Chain(), RNG.normal(size=(9, 2)), 3
    weights = {name: RNG.normal(size=(5, width)) for name in (".in_gate", ".forget_gate", ".candidate", ".out_gate")}
    chain.begin("LSTM", "h")
    chain.expect(2)
    gates = {name: (weight, np.full(width, 0.1)) for name, weight in weights.items()}
    chain.cell("lstm", width, gates, {"sigmoid": "hard_sigmoid", "tanh": "softsign"})
    found, h, c = computed(chain, x), np.zeros(width), np.zeros(width)
    for step, row in enumerate(x):
        i, f, g, o = (np.concatenate([row, h]) @ weight + 0.1 for weight in weights.values())
        i, f, o = (np.clip(gate / 6.0 + 0.5, 0.0, 1.0) for gate in (i, f, o))
        c = f * c + i * (g / (1.0 + np.abs(g)))
        h = o * (c / (1.0 + np.abs(c)))
        np.testing.assert_allclose(found[step], h, rtol=1e-12, atol=1e-14)


def test_a_layer_that_hands_on_never_learns() -> None:
    chain = Chain()
    chain.begin("Linear", "output")
    chain.layer(np.eye(2), None, taps=1)
    chain.begin("Dropout", "d")
    chain.vectors("dropout, 0.5", {})
    model = chain.model("mse", 1, 0.1, frozen="output", dtype="float64")
    assert model.text.endswith("(output_1, 2, <linear>, <mse>)\n")
    assert model.options.frozen == ("output", "output_1")
    np.testing.assert_array_equal(model.get_parameters()["output_1.weight"], np.eye(2))


def test_widths_that_do_not_fit_are_an_error() -> None:
    chain = Chain()
    chain.begin("Linear", "0")
    chain.layer(np.ones((2, 3)), None)
    chain.begin("Linear", "1")
    with pytest.raises(nm.ConversionError, match=r"layer '1' \(Linear\) takes 4 components, and 3 come in"):
        chain.layer(np.ones((4, 1)), None)
    with pytest.raises(nm.ConversionError, match="no layer that says how wide its input is"):
        Chain().model("mse", 1, 0.1)


NEEDED = {
    "torch": "neuromorph.torch needs PyTorch: pip install 'neuromorph[torch]'",
    "keras": "neuromorph.keras needs Keras, pip install 'neuromorph[keras]', and the backend that $KERAS_BACKEND names",
}


@pytest.mark.parametrize("module", NEEDED)
def test_without_the_package_the_error_says_what_to_install(module: str) -> None:
    code = f"import sys; sys.modules[{module!r}] = None\nimport neuromorph.{module}"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.stderr.strip().split("\n")[-1].startswith(f"ImportError: {NEEDED[module]}")
