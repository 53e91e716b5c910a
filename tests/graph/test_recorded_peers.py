"""Networks of PyTorch and Keras are a few words in MDL: recorded figures, made by tests/recorded/peers.py.

A layer with two biases of which only the sum counts has one here; gradients of both are that of the sum. The candidate
of a GRU whose reset comes after the product has two.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pytest

import neuromorph as nm
from helpers.paths import RECORDED
from helpers.witnesses import graph_of
from neuromorph.graph import interpreter
from recorded import peers

TOLERANCE = {"float64": 1e-6, "float32": 1e-5}  # absolute; outputs reach to about 3
FIGURES = json.loads((RECORDED / "peers.json").read_text())
HEAD = f"/xavier,zero/ (input, {peers.INPUTS}) "
END = f" (output, {peers.OUTPUTS}, <linear>, <mse>)"
Parameters: TypeAlias = dict[str, np.ndarray]
Arrays: TypeAlias = Sequence[np.ndarray]


def layer(name: str, weight: np.ndarray, bias: np.ndarray) -> Parameters:
    """The parameters of a layer, its weight as we have it."""
    return {f"{name}.weight": weight, f"{name}.bias": bias}


def gates(names: str, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> Parameters:
    """The parameters of layers that read what comes in and the state, whose columns lie side by side."""
    weight, count = np.concatenate([kernel, recurrent]), len(names.split())
    pairs = zip(names.split(), np.split(weight, count, axis=1), np.split(bias, count), strict=True)
    return {name: array for one, *both in pairs for name, array in layer(one, *both).items()}


def gru(names: str, kernel: np.ndarray, recurrent: np.ndarray, seen: np.ndarray, own: np.ndarray) -> Parameters:
    """The parameters of a GRU: two gates in the library's order, and the candidate with its two biases."""
    width = peers.WIDTH
    inner, outer = np.split(kernel, [2 * width], axis=1), np.split(recurrent, [2 * width], axis=1)
    found = gates(names, inner[0], outer[0], seen[: 2 * width] + own[: 2 * width])
    return found | layer("h.fresh", inner[1], seen[2 * width :]) | layer("h.recalled", outer[1], own[2 * width :])


def without_second(own: np.ndarray, gradient: bool) -> np.ndarray:
    """A second bias; zeros for its gradient, which is that of the sum of both."""
    return np.zeros_like(own) if gradient else own


def torch_rnn(a: Arrays, gradient: bool) -> Parameters:
    return gates("h", a[0].T, a[1].T, a[2] + without_second(a[3], gradient)) | layer("output", a[4].T, a[5])


def torch_gru(a: Arrays, gradient: bool) -> Parameters:
    own = a[3].copy()
    own[: 2 * peers.WIDTH] = without_second(own[: 2 * peers.WIDTH], gradient)
    return gru("h.reset h.update", a[0].T, a[1].T, a[2], own) | layer("output", a[4].T, a[5])


def torch_lstm(a: Arrays, gradient: bool) -> Parameters:
    found: Parameters = {}
    for number, name in enumerate("hk"):
        kernel, recurrent, seen, own = a[4 * number : 4 * number + 4]
        names = " ".join(f"{name}.{gate}" for gate in ("in_gate", "forget_gate", "candidate", "out_gate"))
        found |= gates(names, kernel.T, recurrent.T, seen + without_second(own, gradient))
    return found | layer("output", a[8].T, a[9])


def torch_conv(a: Arrays, gradient: bool) -> Parameters:
    """PyTorch has (out, in, taps), the oldest first."""
    weight = a[0].transpose(2, 1, 0).reshape(-1, peers.WIDTH)
    return layer("c", weight, a[1]) | layer("output", a[2].T, a[3])


def torch_dense(a: Arrays, gradient: bool) -> Parameters:
    found = layer("a", a[0].T, a[1]) | layer("n", a[2], a[3]) | layer("b", a[4].T, a[5])
    return found | {"p.weight": a[6]} | layer("output", a[7].T, a[8])


def keras_rnn(a: Arrays, gradient: bool) -> Parameters:
    return gates("h", *a[:3]) | layer("output", *a[3:])


def keras_gru(a: Arrays, gradient: bool) -> Parameters:
    """Keras has the update gate first, and both biases in one array."""
    own = a[2][1].copy()
    own[: 2 * peers.WIDTH] = without_second(own[: 2 * peers.WIDTH], gradient)
    return gru("h.update h.reset", a[0], a[1], a[2][0], own) | layer("output", *a[3:])


def keras_lstm(a: Arrays, gradient: bool) -> Parameters:
    return gates("h.in_gate h.forget_gate h.candidate h.out_gate", *a[:3]) | layer("output", *a[3:])


def keras_conv(a: Arrays, gradient: bool) -> Parameters:
    """Keras has (taps, in, out), the oldest first."""
    return layer("c", a[0].reshape(-1, peers.WIDTH), a[1]) | layer("output", *a[2:])


def keras_dense(a: Arrays, gradient: bool) -> Parameters:
    return layer("a", *a[:2]) | layer("n", *a[2:4]) | layer("b", *a[4:6]) | layer("output", *a[6:])


@dataclass(frozen=True)
class Network:
    """The body of a recorded network's text, its end, and how its parameters, or gradients, are taken over."""

    body: str
    taken: Callable[[Arrays, bool], Parameters]
    end: str = END

    @property
    def text(self) -> str:
        return HEAD + self.body + self.end


W, CONV = peers.WIDTH, f"(c, {peers.WIDTH}, <conv, {peers.TAPS}, {peers.DILATION}>) (t, <tanh>)"
NETWORKS = {
    "torch RNN": Network(f"(h, {W}, <rnn>)", torch_rnn),
    "torch GRU": Network(f"(h, {W}, <gru>)", torch_gru),
    "torch LSTM of 2 layers": Network(f"(h, {W}, <lstm>) (k, {W}, <lstm>)", torch_lstm),
    "torch Conv1d": Network(CONV, torch_conv),
    "torch dense": Network(
        f"(a, {W}, <gelu_exact>) (n, <norm>) (b, {W}, <linear>) (p, <prelu>)",
        torch_dense,
        f" (output, {peers.OUTPUTS}, <softplus>, <mse>)",
    ),
    "keras SimpleRNN": Network(f"(h, {W}, <rnn>)", keras_rnn),
    "keras GRU": Network(f"(h, {W}, <gru>)", keras_gru),
    "keras LSTM": Network(f"(h, {W}, <lstm>)", keras_lstm),
    "keras Conv1D": Network(CONV, keras_conv),
    "keras dense": Network(f"(a, {W}, <swish>) (n, <norm, 0.001>) (b, {W}, <elu>)", keras_dense),
}


def start(name: str) -> Parameters:
    """The parameters that were recorded with, by our names."""
    shapes = {key: np.shape(value) for key, value in FIGURES[name]["gradients"].items()}
    return NETWORKS[name].taken(list(peers.parameters(shapes.items()).values()), False)


def check_gradients(name: str, found: Mapping[str, Any]) -> None:
    """Each is within 1e-6, and far larger than that."""
    wanted = NETWORKS[name].taken([np.array(value) for value in FIGURES[name]["gradients"].values()], True)
    assert found.keys() == wanted.keys()
    for key, gradient in found.items():
        assert np.abs(wanted[key]).max() > 1e-3, key
        np.testing.assert_allclose(gradient, wanted[key], rtol=0, atol=1e-6, err_msg=key)


def made(name: str, dtype: str) -> nm.Model:
    """A network with the parameters that were recorded with."""
    model = nm.compile(NETWORKS[name].text, peers.LANES, 0.1, dtype=dtype, bptt_steps=peers.STEPS)
    model.prepare()
    model.set_parameters(start(name))
    return model


def test_every_recorded_network_has_its_text() -> None:
    assert FIGURES.keys() == NETWORKS.keys()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_the_recorded_ones(name: str, dtype: str) -> None:
    wanted = np.array(FIGURES[name]["outputs"])
    assert wanted.shape == (peers.STEPS, peers.LANES, peers.OUTPUTS)
    np.testing.assert_allclose(nm.predict(made(name, dtype), peers.inputs()), wanted, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_the_recorded_ones(name: str) -> None:
    loss, gradients = nm.gradients(made(name, "float64"), peers.inputs(), peers.expected())
    assert loss == pytest.approx(FIGURES[name]["loss"], rel=1e-7)  # Keras keeps the epsilon of its norm in float32
    check_gradients(name, gradients)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_reference_has_the_recorded_figures(name: str) -> None:
    """What a text means, computed without any kernel."""
    graph, parameters = graph_of(NETWORKS[name].text), start(name)
    wanted = np.array(FIGURES[name]["outputs"])
    np.testing.assert_allclose(interpreter.predict(graph, parameters, peers.inputs()), wanted, rtol=0, atol=1e-6)
    whole = interpreter.window(graph, parameters, peers.inputs(), peers.expected(), None)
    check_gradients(name, whole.gradients)
