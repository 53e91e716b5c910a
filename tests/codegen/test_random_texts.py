"""Texts of all of the language that Hypothesis writes: whatever runs a model gives the same numbers.

``NEUROMORPH_NIGHTLY=30`` makes fresh texts for half an hour as well; a failure shows the smallest text that was found.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import neuromorph as nm
from helpers import witnesses
from helpers.random_models import bounded, floor_of
from helpers.random_texts import ELEMENTWISE, FUNCTIONS, LIBRARY, WILD, texts
from neuromorph import functions as known
from neuromorph.graph import interpreter
from neuromorph.language import library, parse, to_text

MINUTES = float(os.environ.get("NEUROMORPH_NIGHTLY") or 0.0)
# A relative change of all numbers, and how much it may change results where these are to be compared.
NUDGES = {"float64": (1e-14, 1e-11), "float32": (1e-7, 1e-5)}
MOST = 1e5  # beyond which a model's values explode


@dataclass(frozen=True)
class Case:
    """A text, the numbers it is run with, and the kernel that runs it."""

    text: str
    batch: int
    samples: int
    window: int
    seed: int
    weighted: bool
    dtype: str
    lanes: int
    registers: int
    threads: int
    chunk: int
    columns: bool

    def kernel(self, trial: witnesses.Trial) -> Any:
        """A kernel of the text, its window divided as its graph allows."""
        division: dict[str, Any] = {"threads": min(self.threads, self.batch)}
        if not trial.graph.has_time_links:
            division = {"threads": self.threads, "columns": self.columns and not trial.graph.has_vectors}
            division |= {"chunk": self.chunk} if self.chunk else {}
        options = {"batch": self.batch, "dtype": self.dtype, "lanes": self.lanes, "registers": self.registers}
        return witnesses.kernel_of(self.text, **options, **division)

    def trial(self) -> witnesses.Trial:
        """Random data and parameters, those of elementwise layers too."""
        window = min(self.window, self.samples)
        trial = witnesses.trial_of(
            self.text, batch=self.batch, samples=self.samples, window=window, seed=self.seed, weighted=self.weighted
        )
        return witnesses.varied(trial, self.seed)


def cases(**given: Any) -> st.SearchStrategy[Case]:
    """Any case; ``given``: fields that are the same in all."""
    choices = {
        "text": texts(), "batch": st.sampled_from([1, 3, 8, 17]), "samples": st.sampled_from([4, 7, 9]),
        "window": st.sampled_from([1, 2, 5, 9]), "seed": st.integers(0, 1000), "weighted": st.booleans(),
        "dtype": st.sampled_from(["float64", "float64", "float32"]), "lanes": st.sampled_from([2, 4, 8]),
        "registers": st.sampled_from([16, 32]), "threads": st.sampled_from([1, 1, 2, 3]),
        "chunk": st.sampled_from([0, 0, 4, 16]), "columns": st.booleans(),
    }  # fmt: skip
    return st.builds(Case, **choices | {name: st.just(value) for name, value in given.items()})


def is_well_conditioned(trial: witnesses.Trial, wanted: witnesses.Outcome, floor: float, dtype: str) -> bool:
    """Whether numbers that are changed by what is rounded give the same results."""
    nudge, tolerance = NUDGES[dtype]
    rng = np.random.default_rng(5)

    def nudged(values: np.ndarray) -> np.ndarray:
        changed: np.ndarray = values * (1.0 + nudge * rng.uniform(-1.0, 1.0, values.shape))
        return changed

    parameters = {name: nudged(value) for name, value in trial.parameters.items()}
    other = replace(trial, parameters=parameters, inputs=nudged(trial.inputs), expected=nudged(trial.expected))
    found = witnesses.reference_outcome(other).arrays()
    return all(
        witnesses.relative_error(found[name], value, floor) < tolerance for name, value in wanted.arrays().items()
    )


def check_kernel(case: Case, functions: Callable[[Any], Any] = witnesses.plain) -> None:
    """A kernel's functions agree with the reference."""
    trial = case.trial()
    wanted = witnesses.reference_outcome(trial)
    floor, kernel = floor_of(wanted), case.kernel(trial)
    found = witnesses.kernel_outcome(kernel, functions(kernel), trial)
    try:
        witnesses.assert_agree(found, wanted, witnesses.TOLERANCE[case.dtype], case.text, floor)
    except AssertionError:
        assume(is_well_conditioned(trial, wanted, floor, case.dtype))
        raise


def test_every_function_and_cell_can_stand_in_a_text() -> None:
    assert {said.partition(",")[0] for said in ELEMENTWISE} | {"learned"} == known.ELEMENTWISE.keys()
    assert {*FUNCTIONS, *WILD} == known.ACTIVATIONS.keys()
    assert list(LIBRARY) == list(library())


@bounded(30)
@given(cases())
def test_the_plain_source_agrees_with_the_reference(case: Case) -> None:
    check_kernel(case)


@bounded(2)
@given(cases(batch=3, samples=7, window=5))
def test_compiled_kernels_agree_with_the_reference(case: Case) -> None:
    check_kernel(case, witnesses.half_compiled)


# Models ---------------------------------------------------------------------------------------------------------------


def built(text: str, case: Case) -> nm.Model:
    nm.seed(case.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"dtype": "float64", "bptt_steps": case.window, "threads": case.threads, "optimizer": "adam"}
        return nm.build(nm.compile(text, case.batch, 0.01, **options))  # type: ignore[arg-type]


def assert_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def assert_close(found: Any, wanted: Any, tolerance: float = 1e-9) -> None:
    assert np.shape(found) == np.shape(wanted)
    assert np.max(np.abs(found - wanted), initial=0.0) <= tolerance * max(1.0, np.max(np.abs(wanted), initial=0.0))


def data_of(model: nm.Model, case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Inputs, and expectations as the model's loss wants them."""
    graph, rng = model.graph, np.random.default_rng(case.seed)
    shape = (case.samples, case.batch)
    u = rng.uniform(0.1, 0.9, (*shape, graph.nodes[graph.output].width))
    expected = u if graph.loss.targets is None else graph.loss.targets.like(u)
    return rng.normal(size=(*shape, graph.nodes[graph.input].width)), expected


def check_model(case: Case, folder: Path) -> None:
    """All that runs a model gives the same numbers, and so do its other texts."""
    tree = parse(case.text)
    canonical, plain = to_text(tree), nm.expand(case.text)
    assert to_text(parse(canonical)) == canonical
    assert nm.expand(plain) == plain == nm.expand(canonical)
    model, other = built(case.text, case), built(plain, case)
    assert_same(other.get_parameters(), model.get_parameters())
    inputs, expected = data_of(model, case)
    with np.errstate(all="ignore"):
        wanted = interpreter.window(model.graph, model.get_parameters(), inputs, expected)
        assume(all(np.abs(gradient).max() < MOST for gradient in wanted.gradients.values()))
        outputs = interpreter.predict(model.graph, model.get_parameters(), inputs)
    check_values(model, inputs, outputs)
    loss, gradients = model.gradients(inputs, expected)
    assert_close(loss, wanted.loss)
    scale = max([1.0, *(float(np.abs(value).max()) for value in wanted.gradients.values())])
    for name, gradient in wanted.gradients.items():
        assert_close(gradients[name] / scale, gradient / scale)
    check_training(model, other, inputs, expected, folder / "model.safetensors")


def check_values(model: nm.Model, inputs: np.ndarray, outputs: np.ndarray) -> None:
    """Predictions are what the interpreter says; streams, one of them taken up by another half way, give the same."""
    found = model.predict(inputs)
    assert_close(found, outputs)
    half, lanes = len(inputs) // 2, inputs.shape[1]
    first, second = model.stream(lanes), model.stream(lanes)
    begun = [first(x).copy() for x in inputs[:half]]
    second.state = first.state
    np.testing.assert_array_equal([*begun, *(second(x).copy() for x in inputs[half:])], found)


def check_training(model: nm.Model, other: nm.Model, inputs: np.ndarray, expected: np.ndarray, path: Path) -> None:
    """Training in one go is training that is broken off, saved, loaded and taken up, of the expanded text."""
    cut = min(model.bptt_steps, len(inputs) - 1)
    assume(len(inputs) > model.bptt_steps)
    try:
        model.train(inputs, expected)
    except nm.TrainingDivergedError:
        assume(False)
    other.train(inputs[:cut], expected[:cut])
    losses = other.losses
    other.save(path)
    loaded = nm.load(path)
    assert_same(loaded.get_parameters(), other.get_parameters())
    assert_same(loaded.state, other.state)
    loaded.train(inputs[cut:], expected[cut:], carry_state=True)
    assert_close(np.concatenate([losses, loaded.losses]), model.losses)
    for found, wanted in ((loaded.get_parameters(), model.get_parameters()), (loaded.state, model.state)):
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            assert_close(found[name], value)


MODELS = cases(dtype="float64", weighted=False)


def test_whatever_runs_a_model_gives_the_same_numbers(interpreted: None, tmp_path: Path) -> None:
    bounded(12)(given(MODELS)(lambda case: check_model(case, tmp_path)))()


@pytest.mark.skipif(not MINUTES, reason="NEUROMORPH_NIGHTLY says for how many minutes")
@pytest.mark.parametrize("what", ["kernels", "models"])
def test_fresh_texts(what: str, interpreted: None, tmp_path: Path) -> None:
    fresh = settings(bounded(50), derandomize=False)
    end = time.monotonic() + 30.0 * MINUTES
    while time.monotonic() < end:
        if what == "kernels":
            fresh(given(cases())(lambda case: check_kernel(case)))()
        else:
            fresh(given(MODELS)(lambda case: check_model(case, tmp_path)))()
