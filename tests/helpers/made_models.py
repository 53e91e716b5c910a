"""Models with random parameters, for tests that need no kernel."""

from __future__ import annotations

import warnings

import numpy as np

import neuromorph as nm
from neuromorph.graph import interpreter


def made(text: str, dtype: str = "float64", seed: int = 0) -> nm.Model:
    """A model with random parameters, those of elementwise layers too. Nothing is compiled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nm.MDLWarning)
        model = nm.compile(text, 1, 0.1, dtype=dtype)
    model.prepare()
    rng = np.random.default_rng(seed)
    drawn = interpreter.draw_parameters(model.graph, rng, np.float64)
    for array in model.graph.arrays:
        if array.role == "scale":
            drawn[array.name] = rng.uniform(0.5, 2.0, array.shape)
        elif model.graph.nodes[array.node].elementwise is not None:
            drawn[array.name] = drawn[array.name] + 0.3 * rng.normal(size=array.shape)
    model.set_parameters(drawn)
    return model


def without_kernels(model: nm.Model) -> nm.Model:
    """In place of ``build``: room for parameters, and no kernel is compiled."""
    model.prepare()
    return model


def inputs_of(model: nm.Model, steps: int = 9, lanes: int = 3) -> np.ndarray:
    """Normal numbers of the model's type and width."""
    return np.random.default_rng(1).normal(size=(steps, lanes, model.input_width)).astype(model.dtype)


def meant(model: nm.Model, inputs: np.ndarray) -> tuple[np.ndarray, float]:
    """What the text means, and the size of its numbers, at least 1."""
    with np.errstate(all="ignore"):
        wanted = interpreter.predict(model.graph, model.get_parameters(), inputs)
    return wanted, max(1.0, float(np.nan_to_num(np.abs(wanted), nan=np.inf).max()))


def is_well_conditioned(model: nm.Model, inputs: np.ndarray) -> bool:
    """Whether inputs that are changed by what is rounded give the same outputs."""
    (wanted, scale), (other, _) = meant(model, inputs), meant(model, inputs * (1.0 + 1e-7))
    return scale < 1e5 and bool(np.abs(other - wanted).max() < 2e-6 * scale)
