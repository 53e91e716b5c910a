"""The LSTM and the GRU of docs/language.md, with weights taken over as docs/using.md shows, are those of PyTorch and
Keras: recorded figures, made by tests/recorded/cells.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers.pages import blocks_of
from helpers.paths import RECORDED, REPOSITORY
from helpers.witnesses import graph_of
from neuromorph.graph import interpreter
from recorded import cells as recorded

TOLERANCE = {"float64": 1e-6, "float32": 1e-5}  # absolute; outputs reach to about 2
FIGURES = json.loads((RECORDED / "cells.json").read_text())
Parameters = dict[str, np.ndarray]


@cache
def text_of(cell: str) -> str:
    """The text of a cell on the language page."""
    (found,) = (b.text for b in blocks_of(REPOSITORY / "docs" / "language.md", "mdl") if CELLS[cell].own in b.text)
    return found


@cache
def page_functions() -> dict[str, Any]:
    """The functions of the page on using models that translate weights."""
    namespace: dict[str, Any] = {"np": np}
    for block in blocks_of(REPOSITORY / "docs" / "using.md", "python"):
        if "def gates(" in block.text or "def lstm_from_torch(" in block.text:
            exec(block.text, namespace)
    return namespace


def from_torch(values: dict[str, Any]) -> Parameters:
    """Parameters, or gradients with a second bias of zeros, by our names."""
    taken: Parameters = page_functions()["lstm_from_torch"](values, values)
    return taken


def from_keras(names: str) -> Callable[[list[Any]], Parameters]:
    """The same of arrays in the order of Keras."""

    def taken(values: list[Any]) -> Parameters:
        functions = page_functions()
        kernel, recurrent, bias, weight, last = map(np.asarray, values)
        cell: Parameters = functions["gates"](functions[names], kernel, recurrent, bias)
        return cell | {"output.weight": weight, "output.bias": last}

    return taken


@dataclass(frozen=True)
class Cell:
    """A recorded cell: a node that only its text has, its parameters, and how they are taken over."""

    own: str
    parameters: Callable[[], Any]
    taken: Callable[[Any], Parameters]

    def start(self) -> Parameters:
        """The parameters that were recorded with, by our names."""
        return self.taken(self.parameters())


CELLS = {
    "torch LSTM": Cell("forget_gate", recorded.torch_parameters, from_torch),
    "keras LSTM": Cell("forget_gate", lambda: recorded.keras_parameters("LSTM"), from_keras("LSTM")),
    "keras GRU": Cell("reset", lambda: recorded.keras_parameters("GRU"), from_keras("GRU")),
}


def made(cell: str, dtype: str) -> nm.Model:
    """A model with a cell's parameters."""
    model = nm.compile(text_of(cell), recorded.LANES, 0.1, dtype=dtype)
    model.prepare()
    model.set_parameters(CELLS[cell].start())
    return model


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("cell", CELLS)
def test_outputs_of_200_steps_are_the_recorded_ones(cell: str, dtype: str) -> None:
    wanted, model = np.array(FIGURES[cell]["outputs"]), made(cell, dtype)
    assert wanted.shape == (200, recorded.LANES, recorded.OUTPUTS)
    stream = nm.stream(model, lanes=recorded.LANES)
    streamed = [stream(x) for x in recorded.inputs()]
    for found in (nm.predict(model, recorded.inputs()), np.array(streamed)):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_of_a_window_of_20_steps_are_the_recorded_ones(cell: str) -> None:
    window = recorded.inputs()[: recorded.WINDOW]
    assert len(window) == 20
    loss, gradients = nm.gradients(made(cell, "float64"), window, recorded.expected())
    assert loss == pytest.approx(FIGURES[cell]["loss"], rel=1e-12)
    check_gradients(cell, gradients)


@pytest.mark.parametrize("cell", CELLS)
def test_the_reference_has_the_recorded_gradients(cell: str) -> None:
    """What a text means, computed without any kernel."""
    window = recorded.inputs()[: recorded.WINDOW]
    whole = interpreter.window(graph_of(text_of(cell)), CELLS[cell].start(), window, recorded.expected(), None)
    check_gradients(cell, whole.gradients)


def check_gradients(cell: str, gradients: Parameters) -> None:
    """Each is within 1e-6, and far larger than that."""
    figures = FIGURES[cell]["gradients"]
    if cell == "torch LSTM":  # both of its biases have the gradient of their sum
        assert figures["bias_ih_l0"] == figures["bias_hh_l0"]
        figures = figures | {"bias_hh_l0": np.zeros(4 * recorded.WIDTH)}
    wanted = CELLS[cell].taken(figures)
    assert gradients.keys() == wanted.keys()
    for name, gradient in gradients.items():
        assert np.abs(wanted[name]).max() > 1e-3, name
        np.testing.assert_allclose(gradient, wanted[name], rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(("cell", "names"), [("torch LSTM", "LSTM"), ("keras LSTM", "LSTM"), ("keras GRU", "GRU")])
def test_weights_go_back_as_they_came(cell: str, names: str) -> None:
    functions = page_functions()
    kernel, recurrent, bias = functions["matrices"](functions[names], CELLS[cell].start(), inputs=recorded.INPUTS)
    given = CELLS[cell].parameters()
    if cell == "torch LSTM":
        given = [given["weight_ih_l0"].T, given["weight_hh_l0"].T, given["bias_ih_l0"] + given["bias_hh_l0"]]
    for found, wanted in zip((kernel, recurrent, bias), given[:3], strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_wrong_order_of_gates_would_be_noticed() -> None:
    wanted, model = np.array(FIGURES["torch LSTM"]["outputs"]), made("torch LSTM", "float64")
    swapped = nm.get_parameters(model)
    for kind in ("weight", "bias"):
        one, other = f"in_gate.{kind}", f"forget_gate.{kind}"
        swapped[one], swapped[other] = swapped[other], swapped[one]
    nm.set_parameters(model, swapped)
    assert np.abs(nm.predict(model, recorded.inputs()) - wanted).max() > 0.1
