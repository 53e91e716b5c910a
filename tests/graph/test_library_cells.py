"""The cells of the library are their sources' equations, written here once more in NumPy."""

import numpy as np
import pytest

import neuromorph as nm
from neuromorph.graph import build_graph, interpreter
from neuromorph.language import library, parse

INPUT, WIDTH, LANES, STEPS = 3, 4, 2, 6


class Weights:
    """A cell's parameters by the names of its nodes: ``dense(node, x)`` is W x + b."""

    def __init__(self, parameters):
        self._parameters = parameters

    def weight(self, node):
        return self._parameters[f"{'.'.join(('h', node)) if node else 'h'}.weight"]

    def dense(self, node, *vectors):
        name = f"h.{node}" if node else "h"
        return np.concatenate(vectors, axis=-1) @ self._parameters[f"{name}.weight"] + self._parameters[f"{name}.bias"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def zeros():
    return np.zeros((LANES, WIDTH))


def rnn(w, inputs):
    h = zeros()
    for x in inputs:
        h = np.tanh(w.dense("", x, h))
        yield h


def lstm(w, inputs):
    h = m = zeros()
    for x in inputs:
        i, f, o = (sigmoid(w.dense(name, x, h)) for name in ("in_gate", "forget_gate", "out_gate"))
        m = f * m + i * np.tanh(w.dense("candidate", x, h))
        h = o * np.tanh(m)
        yield h


def gru(w, inputs):
    h = zeros()
    for x in inputs:
        r, z = sigmoid(w.dense("reset", x, h)), sigmoid(w.dense("update", x, h))
        c = np.tanh(w.dense("fresh", x) + r * w.dense("recalled", h))
        h = (1 - z) * c + z * h
        yield h


def gru_before(w, inputs):
    h = zeros()
    for x in inputs:
        r, z = sigmoid(w.dense("reset", x, h)), sigmoid(w.dense("update", x, h))
        c = np.tanh(w.dense("candidate", x, r * h))
        h = (1 - z) * c + z * h
        yield h


def min_gru(w, inputs):
    h = zeros()
    for x in inputs:
        z = sigmoid(w.dense("update", x))
        h = (1 - z) * h + z * w.dense("candidate", x)
        yield h


def min_lstm(w, inputs):
    h = zeros()
    for x in inputs:
        f, i = sigmoid(w.dense("forget_gate", x)), sigmoid(w.dense("in_gate", x))
        h = f / (f + i) * h + i / (f + i) * w.dense("candidate", x)
        yield h


def ind_rnn(w, inputs):
    h = zeros()
    for x in inputs:
        h = np.maximum(w.dense("seen", x) + w.weight("recalled") * h, 0)
        yield h


def leaky(w, inputs):
    h = zeros()
    for x in inputs:
        h = h + 0.1 * (np.tanh(w.dense("fresh", x, h)) - h)
        yield h


def lif(w, inputs):
    m = s = zeros()
    for x in inputs:
        m = 0.9 * m + w.dense("current", x) - s
        s = (m > 1).astype(float)
        yield s


CELLS = [rnn, lstm, gru, gru_before, min_gru, min_lstm, ind_rnn, leaky, lif]


def test_every_cell_of_the_library_has_its_equations_here():
    assert [cell.__name__ for cell in CELLS] == [cell.name for cell in library()]


def computed(name):
    """(parameters, inputs, what the reference interpreter computes) of a cell between an input and an output."""
    text = f"/normal 0 0.8,normal_bias/ (input, {INPUT}) (h, {WIDTH}, <{name}>) (output, {WIDTH}, <linear>, <mse>)"
    nm.seed(5)
    model = nm.build(nm.compile(text.replace("normal_bias", "const_uneven 0.2 0.3"), LANES, 0.1, dtype="float64"))
    parameters = model.get_parameters()
    parameters |= {"output.weight": np.eye(WIDTH), "output.bias": np.zeros(WIDTH)}
    inputs = 2 * np.random.default_rng(3).normal(size=(STEPS, LANES, INPUT))
    model.set_parameters(parameters)
    graph = build_graph(parse(text.replace("normal_bias", "zero")))
    return parameters, inputs, interpreter.predict(graph, parameters, inputs), nm.predict(model, inputs)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.__name__)
def test_a_cell_is_its_equations(cell):
    parameters, inputs, interpreted, predicted = computed(cell.__name__)
    wanted = np.stack(list(cell(Weights(parameters), inputs)))
    assert np.ptp(wanted) > 0.1
    np.testing.assert_allclose(interpreted, wanted, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(predicted, wanted, rtol=1e-9, atol=1e-9)
