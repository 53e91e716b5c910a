"""Exported C of texts that Hypothesis writes, over a thousand steps against ``predict``.

``NEUROMORPH_NIGHTLY=30`` makes fresh texts for half an hour; a failure shows the smallest text that was found.
"""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import neuromorph as nm
from helpers.c_programs import Library, needs
from helpers.random_models import bounded
from helpers.random_texts import texts
from neuromorph.export import to_c

MINUTES = float(os.environ.get("NEUROMORPH_NIGHTLY") or 0.0)
STEPS = 1000
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}
NUDGE = {"float32": 1e-7, "float64": 2e-16}  # a relative change of the size of what is rounded


def built(text: str, dtype: str, seed: int) -> nm.Model:
    """A model with random means and scales too, run by the machine, which is not compiled for it."""
    nm.seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = nm.build(nm.compile(text, 1, 0.1, dtype=dtype, tier="instant"))
    rng, given = np.random.default_rng(seed), model.get_parameters()
    units = {name: value for name, value in given.items() if name.endswith((".mean", ".scale"))}
    model.set_parameters({name: value + 0.2 * rng.random(value.shape) for name, value in units.items()})
    return model


def gap(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference, relative to the outputs where these are large."""
    with np.errstate(all="ignore"):
        return float(np.max(np.abs(found - wanted) / np.maximum(1.0, np.abs(wanted)), initial=0.0))


def check(text: str, dtype: str, libm: bool, seed: int, flags: tuple[str, ...], folder: Path) -> None:
    model = built(text, dtype, seed)
    name = f"n{time.monotonic_ns()}"  # a library of a known name would not be loaded again
    to_c(model, folder / f"{name}.c", libm=libm)
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(STEPS, model.input_width)).astype(dtype)
    wanted = model.predict(inputs)
    assume(np.isfinite(wanted).all())
    found = Library(folder, [name], *flags).outputs(name, inputs, model.output_width)
    if gap(found, wanted) > TOLERANCE[dtype]:
        assume(gap(nudged(model, inputs, dtype, rng), wanted) < TOLERANCE[dtype])  # else it amplifies what is rounded
        raise AssertionError(f"{gap(found, wanted)} in\n{text}")


def nudged(model: nm.Model, inputs: np.ndarray, dtype: str, rng: np.random.Generator) -> np.ndarray:
    """The outputs where inputs and parameters are changed by about what is rounded."""

    def changed(values: np.ndarray) -> np.ndarray:
        factors = 1.0 + NUDGE[dtype] * rng.choice([-1.0, 1.0], values.shape)
        return np.asarray(values * factors, values.dtype)

    model.set_parameters({name: changed(value) for name, value in model.get_parameters().items()})
    return np.asarray(model.predict(changed(inputs)))


@needs("gcc")
@pytest.mark.skipif(not MINUTES, reason="NEUROMORPH_NIGHTLY says for how many minutes")
def test_fresh_texts(tmp_path: Path) -> None:
    flags = st.sampled_from([("-O0",), ("-O3", "-march=native")])
    arguments = (texts(), st.sampled_from(["float32", "float64"]), st.booleans(), st.integers(0, 1000), flags)
    fresh = settings(bounded(50), derandomize=False)
    end = time.monotonic() + 60.0 * MINUTES
    while time.monotonic() < end:
        fresh(given(st.tuples(*arguments))(lambda chosen: check(*chosen, tmp_path)))()
