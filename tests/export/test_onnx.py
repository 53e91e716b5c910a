"""Models as ONNX files: what a runtime of others computes from them is what the texts mean."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import neuromorph as nm
from helpers import onnx_in_numpy
from helpers.function_forms import PARAMETERS
from helpers.made_models import inputs_of, is_well_conditioned, made, meant
from helpers.random_models import bounded
from helpers.random_texts import texts
from neuromorph.export import onnx_nodes, onnx_step, to_onnx
from neuromorph.functions import ACTIVATIONS, MERGES, VOCABULARY
from neuromorph.language import library

HEAD, END = "/uniform -0.6 0.6,const_uneven 0.1 0.3/ (input, 3) ", " (output, 2, <linear>, <mse>)"
NIGHTLY = bool(float(os.environ.get("NEUROMORPH_NIGHTLY") or 0.0))
TEXTS = 300 if NIGHTLY else 6
CELLS = " ".join(f"(h{number}, 4, <{cell.name}>)" for number, cell in enumerate(library()))
ALL_ACTIVATIONS = "".join(
    f"[s{number}, (a{number}, <{name}{PARAMETERS.get(name, '')}>)] {{m{number}, a{number}, average}}"
    f" (t{number}, <tanh>)"
    for number, name in enumerate(ACTIVATIONS)
)
ALL_MERGES = (
    "[s, (o, 4, <sigmoid>) | (one, 1, <tanh>) | (long, 6, <tanh>) | (short, 2, <tanh>)] (x, 4, <tanh>)"
    + "".join(
        f"[b{number}, {{m{number}, {other}, {name}{steps}}} (r{number}, 3, <tanh>)] {{a{number}, r{number}, additive}}"
        for number, (name, other, steps) in enumerate(
            (name, {"scale": "one", "dot": "o"}.get(name, other), steps)
            for name in MERGES
            for other, steps in (("o", ""), ("long", ", 1"), ("short", ", 3"))
            if name != "divisive" or not steps
        )
    )
)
BODIES = {
    "cells": CELLS,
    "activations": f"(x, 5, <tanh>) {ALL_ACTIVATIONS}",
    "merges": ALL_MERGES,
    "delays": "(c, 4, <conv, 3, 2>) {d, c, subtractive, 5} [s, (b, 3, <learned, 0.3>)] {e, b, multiplicative}"
    " {f, f, average}",
    "vectors": "(a, 4, <tanh>) (n, <gain>) (b, <shift>) (c, <prelu>) (d, <norm>) (e, <rms_norm>) (f, <standardize>)"
    " (g, <dropout>)",
    "names": "(x, 4, <tanh>) (y, 3, <tanh>) {state, state, average} {x.weight, x, additive, 1} (sequence, 2, <tanh>)",
}  # fmt: skip


def session_of(model: nm.Model, path: Path, form: str) -> Any:
    """A checked file of a model, in a runtime."""
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    to_onnx(model, path, form)
    onnx.checker.check_model(str(path), full_check=True)
    return runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def run_sequence(model: nm.Model, path: Path, inputs: np.ndarray) -> np.ndarray:
    return np.asarray(session_of(model, path, "sequence").run(["y"], {"x": inputs})[0])


def run_steps(model: nm.Model, path: Path, inputs: np.ndarray) -> np.ndarray:
    """The outputs of all steps, from a state of zeros that is named as in ``Model.state``."""
    session, lanes = session_of(model, path, "step"), inputs.shape[1]
    state = {f"state/{name}": np.zeros(shape, inputs.dtype) for name, shape in shapes(model, lanes).items()}
    assert [one.name for one in session.get_inputs() if one.name != "x"] == list(state)
    found = []
    for x in inputs:
        y, *after = session.run(["y", *(name.replace("state/", "next/", 1) for name in state)], {"x": x, **state})
        state = dict(zip(state, after, strict=True))
        found.append(y)
    return np.stack(found)


def shapes(model: nm.Model, lanes: int) -> dict[str, tuple[int, ...]]:
    return {model.graph.nodes[index].name: model.graph.state_shape(index, lanes) for index in model.graph.history}


def check(model: nm.Model, folder: Path, inputs: np.ndarray, how: Callable[..., Any] = run_sequence) -> None:
    """A file gives what the text means."""
    wanted, scale = meant(model, inputs)
    found = how(model, folder / "model.onnx", inputs)
    assert found.shape == wanted.shape
    assert found.dtype == model.dtype
    assert np.abs(found - wanted).max() <= 1e-5 * scale, model.text


def test_every_word_of_the_records_has_an_operator() -> None:
    assert onnx_nodes._FUNCTIONS.keys() | onnx_nodes._COMPOSED.keys() == VOCABULARY
    assert {name for name, record in ACTIVATIONS.items() if record.couples} == onnx_step._COUPLED.keys()


def run_in_numpy(model: nm.Model, path: Path, inputs: np.ndarray) -> np.ndarray:
    return onnx_in_numpy.outputs(model, inputs)


@pytest.mark.parametrize("how", [run_sequence, run_steps, run_in_numpy])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("body", BODIES)
def test_files_compute_what_the_text_means(body: str, dtype: str, how: Callable[..., Any], tmp_path: Path) -> None:
    model = made(HEAD + BODIES[body] + END, dtype)
    assert is_well_conditioned(model, inputs_of(model))
    check(model, tmp_path, inputs_of(model), how)


@pytest.mark.parametrize("end", ["(output, 2, <restore>, <mse>)", "(output, 3, <softmax>, <cross_entropy>)"])
def test_outputs_are_those_of_predict(end: str, tmp_path: Path) -> None:
    """In the units of what is expected, or as probabilities."""
    model = made(HEAD + "(a, 4, <tanh>) " + end)
    check(model, tmp_path, inputs_of(model))


def test_length_and_lanes_are_open(tmp_path: Path) -> None:
    model = made(HEAD + "(h, 4, <lstm>) {d, h, additive, 3}" + END)
    for steps, lanes in ((1, 1), (2, 5), (40, 2)):
        check(model, tmp_path, inputs_of(model, steps, lanes))


@pytest.mark.parametrize("how", [run_sequence, run_steps, run_in_numpy])
def test_files_of_random_texts(how: Callable[..., Any], tmp_path: Path) -> None:
    if how is not run_in_numpy:
        pytest.importorskip("onnxruntime")

    @bounded(TEXTS)
    @given(texts(), st.sampled_from(["float64", "float32"]), st.integers(0, 1000))
    def run(text: str, dtype: str, seed: int) -> None:
        model = made(text, dtype, seed)
        assume(is_well_conditioned(model, inputs_of(model)))
        check(model, tmp_path, inputs_of(model), how)

    run()


def test_a_file_has_the_text_and_the_names(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = made(HEAD + "(h, 4, <gru>)" + END)
    to_onnx(model, tmp_path / "m.onnx")
    file = onnx.load(tmp_path / "m.onnx")
    assert {one.key: one.value for one in file.metadata_props}["mdl"] == model.text
    weights = {one.name: onnx.numpy_helper.to_array(one) for one in file.graph.initializer}
    for name, value in model.get_parameters().items():
        np.testing.assert_array_equal(weights[name], value)


def test_without_onnx_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"to_onnx needs onnx: pip install 'neuromorph\[onnx\]'"):
        to_onnx(made(HEAD + END), tmp_path / "m.onnx")


def test_wrong_calls_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", sys)  # no call gets as far as using it
    model = made(HEAD + END)
    with pytest.raises(ValueError, match=r"form must be 'step' or 'sequence', not 'steps'"):
        to_onnx(model, tmp_path / "m.onnx", "steps")
    with pytest.raises(TypeError, match="model must be a neuromorph Model, not str"):
        to_onnx("net.safetensors", tmp_path / "m.onnx")  # type: ignore[arg-type]
    with pytest.raises(NotADirectoryError), open(tmp_path / "file", "w"):
        to_onnx(model, tmp_path / "file" / "m.onnx")
    with pytest.raises(nm.ModelStateError, match="not built yet"):
        to_onnx(nm.compile(HEAD + END, 1, 0.1), tmp_path / "m.onnx")
    monkeypatch.setattr("neuromorph.export.onnx_file._MOST", 10)
    with pytest.raises(ValueError, match=r"the model has 64 bytes of parameters: an ONNX file has at most 10"):
        to_onnx(model, tmp_path / "m.onnx")
    model.release()
    with pytest.raises(nm.ModelStateError, match="released"):
        to_onnx(model, tmp_path / "m.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
