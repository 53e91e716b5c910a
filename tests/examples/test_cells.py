"""The published cells of ``examples/cells``: each is its paper's equations, values and gradients, and a short text."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest

import neuromorph as nm
from helpers.cell_loops import CELLS, Array, Weights, legendre, pair_matrices
from helpers.paths import EXAMPLES
from helpers.witnesses import Trial, kernel_of, kernel_outcome, plain, reference_outcome, relative_error, trial_of
from neuromorph.language import parse, to_text

FOLDER = EXAMPLES / "cells"
TOLERANCE = 1e-6
STEP = 1e-30  # of the complex-step method: nothing cancels, so it may be tiny
SAMPLES, LANES = 9, 2
# Parameters that nothing depends on: a quotient's numerator and denominator grow alike with them.
CANCELLED = {"slstm": {"h.in_log.bias"}, "rwkv": {"h.k.bias"}}


def text_of(cell: str) -> str:
    """The text of a cell's model."""
    return (FOLDER / f"{cell}.mdl").read_text(encoding="ascii")


def trial(cell: str) -> Trial:
    """A cell's model with random numbers for all parameters and twice the usual inputs, one window long."""
    made = trial_of(text_of(cell), batch=LANES, samples=SAMPLES, window=SAMPLES)
    rng = np.random.default_rng(7)
    parameters = {name: value + 0.4 * rng.normal(size=value.shape) for name, value in made.parameters.items()}
    if cell == "lmu":
        a, b = legendre(6, 8.0)
        zeros = {"h.from_memory.bias": np.zeros(6), "h.from_signal.bias": np.zeros(6)}
        parameters |= zeros | {"h.from_memory.weight": a.T, "h.from_signal.weight": b.T}
    if cell == "antisymmetric":
        parameters |= pair_matrices(4)
    return replace(made, parameters=parameters, inputs=2 * made.inputs)


def outputs(cell: str, parameters: dict[str, Array], inputs: Array) -> Array:
    """What the paper's loop gives, behind the output's layer."""
    weights = Weights(parameters)
    return np.stack([weights.of("output")("", vector) for vector in CELLS[cell](weights, inputs)])


def loss(cell: str, parameters: dict[str, Array], of: Trial) -> complex:
    """The mean squared error of the paper's loop."""
    return complex(np.mean((outputs(cell, parameters, of.inputs) - of.expected) ** 2))


def gradient(cell: str, name: str, of: Trial) -> Array:
    """The derivative of the loop's loss by one parameter, number by number."""
    found = np.zeros(of.parameters[name].shape)
    for place in np.ndindex(found.shape):
        moved = of.parameters[name].astype(complex)
        moved[place] += 1j * STEP
        found[place] = loss(cell, of.parameters | {name: moved}, of).imag / STEP
    return found


def test_every_cell_has_its_equations_here() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == CELLS.keys()
    assert len(CELLS) >= 20


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_is_its_equations(cell: str) -> None:
    """The reference and the generated source, as plain Python, give the loop's values, loss and gradients."""
    given, kernel = trial(cell), kernel_of(text_of(cell), batch=LANES)
    wanted = outputs(cell, given.parameters, given.inputs)
    gradients = {name: gradient(cell, name, given) for name in given.parameters}
    assert np.ptp(wanted) > 0.1
    assert {name for name in gradients if np.abs(gradients[name]).max() < 1e-5} == CANCELLED.get(cell, set())
    for found in (reference_outcome(given), kernel_outcome(kernel, plain(kernel), given)):
        assert relative_error(found.predictions, wanted) <= TOLERANCE
        assert np.mean(found.losses) == pytest.approx(loss(cell, given.parameters, given).real, rel=TOLERANCE)
        assert found.gradients.keys() == gradients.keys()
        errors = {name: relative_error(found.gradients[name], gradients[name], 1e-6) for name in gradients}
        assert max(errors.values()) <= TOLERANCE, errors


def test_the_antisymmetric_cell_has_any_matrix_minus_its_transpose() -> None:
    rng, built = (
        np.random.default_rng(3),
        nm.compile(text_of("antisymmetric"), LANES, 0.1, dtype="float64", tier="instant"),
    )
    nm.build(built)
    w, inputs, h = rng.normal(size=(4, 4)), rng.normal(size=(SAMPLES, LANES, 3)), np.zeros((LANES, 4))
    built.set_parameters(pair_matrices(4) | {"h.a.bias": (w - w.T)[np.triu_indices(4, 1)]})
    fed, wanted = built.get_parameters()["h.fed.weight"], []
    for x in inputs:
        h = h + 0.1 * np.tanh(h @ (w - w.T - 0.01 * np.eye(4)).T + x @ fed)
        wanted.append(h)
    np.testing.assert_allclose(built.predict(inputs, nodes="h")["h"], wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_is_a_short_text(cell: str) -> None:
    text = text_of(cell)
    assert all(len(line) <= 120 for line in text.splitlines())
    definition = text.split("/xavier,zero/\n")[1].split("\n(input")[0].strip()
    assert definition.startswith("<")
    assert len(definition.splitlines()) <= 12
    head = text[: text.index("/xavier")]
    assert all(line.startswith("#") for line in head.strip().splitlines())
    assert re.search(r"\b(19|20)\d\d\b", head), "the year of the source"
    assert " = " in head, "the equations"


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_compiles_without_a_warning_and_prints_as_it_was_read(cell: str) -> None:
    text = text_of(cell)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nm.compile(FOLDER / f"{cell}.mdl", LANES, 0.1)
    printed = to_text(parse(text))
    assert to_text(parse(printed)) == printed
    assert nm.expand(printed) == nm.expand(text)
