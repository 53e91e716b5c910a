"""The cells of the library are their sources' equations, written here once more in NumPy: values and gradients."""

import numpy as np
import pytest

import neuromorph as nm
from helpers import witnesses
from neuromorph.graph import interpreter
from neuromorph.language import library

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
        total = w.dense("seen", x) + w.weight("recalled") * h
        h = np.where(total.real > 0, total, 0)
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
EXPECTED = np.random.default_rng(4).normal(size=(STEPS, LANES, WIDTH))
TINY = 1e-30  # the step of the complex-step method: nothing cancels, so it may be tiny


def test_every_cell_of_the_library_has_its_equations_here():
    assert [cell.__name__ for cell in CELLS] == [cell.name for cell in library()]


def model_of(name):
    """(model, inputs) of a cell between an input and an output that gives the cell's value."""
    text = f"/normal 0 0.8,const_uneven 0.2 0.3/ (input, {INPUT}) (h, {WIDTH}, <{name}>)"
    model = nm.compile(f"{text} (output, {WIDTH}, <linear>, <mse>)", LANES, 0.1, dtype="float64")
    nm.build(model, seed=5)
    parameters = model.get_parameters() | {"output.weight": np.eye(WIDTH), "output.bias": np.zeros(WIDTH)}
    model.set_parameters(parameters)
    return model, 2 * np.random.default_rng(3).normal(size=(STEPS, LANES, INPUT))


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.__name__)
def test_a_cell_is_its_equations(cell):
    model, inputs = model_of(cell.__name__)
    parameters = model.get_parameters()
    wanted = np.stack(list(cell(Weights(parameters), inputs)))
    assert np.ptp(wanted) > 0.1
    interpreted = interpreter.predict(model.graph, parameters, inputs)
    np.testing.assert_allclose(interpreted, wanted, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(nm.predict(model, inputs), wanted, rtol=1e-9, atol=1e-9)


def by_complex_steps(cell, parameters, inputs):
    """The derivatives of the mean squared error of a cell's equations, which are analytic, number by number."""
    found = {name: np.zeros(value.shape) for name, value in parameters.items() if name.startswith("h.")}
    for name, derivatives in found.items():
        for place in np.ndindex(derivatives.shape):
            moved = parameters[name].astype(complex)
            moved[place] += 1j * TINY
            value = np.stack(list(cell(Weights(parameters | {name: moved}), inputs)))
            derivatives[place] = np.mean((value - EXPECTED) ** 2).imag / TINY
    return found


def of_lif(parameters, inputs):
    """The gradients of `lif` by hand: a spike's derivative is taken to be 1/(1 + 25 |m - 1|)^2, the reset has none."""
    current, bias = parameters["h.current.weight"], parameters["h.current.bias"]
    membranes, m, s = [], zeros(), zeros()
    for x in inputs:
        m = 0.9 * m + x @ current + bias - s
        s = (m > 1).astype(float)
        membranes.append(m)
    weight, shift, later = np.zeros_like(current), np.zeros_like(bias), zeros()
    for x, m, expected in zip(inputs[::-1], membranes[::-1], EXPECTED[::-1], strict=True):
        of_spikes = 2 * ((m > 1) - expected) / EXPECTED.size
        later = of_spikes / (1 + 25 * abs(m - 1)) ** 2 + 0.9 * later
        weight, shift = weight + x.T @ later, shift + later.sum(axis=0)
    return {"h.current.weight": weight, "h.current.bias": shift}


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.__name__)
def test_gradients_of_a_cell_are_those_of_its_equations(cell):
    """Of all its parameters, by the interpreter, by the generated source as plain Python, and by the machine."""
    model, inputs = model_of(cell.__name__)
    parameters = model.get_parameters()
    wanted = of_lif(parameters, inputs) if cell is lif else by_complex_steps(cell, parameters, inputs)
    assert all(np.abs(gradient).max() > 1e-4 for gradient in wanted.values())
    trial = witnesses.Trial(model.graph, parameters, inputs, EXPECTED, None, STEPS)
    kernel = witnesses.kernel_of(model.text, batch=LANES)
    for found in (
        witnesses.reference_outcome(trial).gradients,
        witnesses.kernel_outcome(kernel, witnesses.plain(kernel), trial).gradients,
        model.gradients(inputs, EXPECTED)[1],
    ):
        assert {name for name in found if name.startswith("h.")} == wanted.keys()
        for name, gradient in wanted.items():
            np.testing.assert_allclose(found[name], gradient, rtol=0, atol=1e-10 * np.abs(gradient).max(), err_msg=name)
