"""Exported C of texts that Hypothesis writes, over a thousand steps against ``predict``.

A few in each run of the tests. ``NEUROMORPH_NIGHTLY=30`` makes fresh texts for half an hour, and
``NEUROMORPH_TEXTS=1000`` so many of them, a sixth of them under sanitizers and ten on emulated ARM processors. A
failure shows the smallest text that was found.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import neuromorph as nm
from helpers.c_programs import C99, Library, needs, run
from helpers.microcontroller import exit_code_of_self_test
from helpers.random_models import bounded
from helpers.random_texts import texts
from neuromorph.export import to_c

MINUTES = float(os.environ.get("NEUROMORPH_NIGHTLY") or 0.0)
TEXTS = int(os.environ.get("NEUROMORPH_TEXTS") or 0)
STEPS = 1000
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}
FLAGS = [("-O0",), ("-O3", "-march=native")]
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


def check(text: str, dtype: str, libm: bool, seed: int, folder: Path, *flags: tuple[str, ...]) -> None:
    """Compile a model's C once with each tuple of flags, and compare the outputs with those of ``predict``."""
    model = built(text, dtype, seed)
    name = f"n{time.monotonic_ns()}"  # a library of a known name would not be loaded again
    to_c(model, folder / f"{name}.c", libm=libm)
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(STEPS, model.input_width)).astype(dtype)
    wanted = model.predict(inputs)
    assume(np.isfinite(wanted).all())
    largest = max(
        gap(Library(folder, [name], *chosen).outputs(name, inputs, model.output_width), wanted) for chosen in flags
    )
    if largest > TOLERANCE[dtype]:
        assume(amplified(model, inputs, wanted, dtype, rng) < TOLERANCE[dtype])
        raise AssertionError(f"{largest} in\n{text}")


def amplified(model: nm.Model, inputs: np.ndarray, wanted: np.ndarray, dtype: str, rng: np.random.Generator) -> float:
    """How far outputs move at most where inputs and parameters are changed by about what is rounded, ten times."""
    parameters = model.get_parameters()

    def changed(values: np.ndarray) -> np.ndarray:
        factors = 1.0 + NUDGE[dtype] * rng.choice([-1.0, 1.0], values.shape)
        return np.asarray(values * factors, values.dtype)

    def moved() -> float:
        model.set_parameters({name: changed(value) for name, value in parameters.items()})
        return gap(model.predict(changed(inputs)), wanted)

    return max(moved() for _ in range(10))


@needs("gcc")
@bounded(5)
@given(texts(), st.sampled_from(["float32", "float64"]), st.booleans(), st.integers(0, 1000))
def test_some_texts(text: str, dtype: str, libm: bool, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(text, dtype, libm, seed, Path(folder), *FLAGS)


@needs("gcc")
@pytest.mark.skipif(not MINUTES, reason="NEUROMORPH_NIGHTLY says for how many minutes")
def test_fresh_texts(tmp_path: Path) -> None:
    arguments = (texts(), st.sampled_from(["float32", "float64"]), st.booleans(), st.integers(0, 1000))
    fresh = settings(bounded(50), derandomize=False)
    end = time.monotonic() + 60.0 * MINUTES
    while time.monotonic() < end:
        fresh(given(st.tuples(*arguments))(lambda chosen: check(*chosen, tmp_path, *FLAGS)))()


@needs("gcc")
@pytest.mark.skipif(not TEXTS, reason="NEUROMORPH_TEXTS says how many")
def test_many_texts(tmp_path: Path) -> None:
    """So many different texts whose rounding is not amplified."""
    passed: dict[str, str] = {}

    def one(chosen: tuple[str, str, bool, int]) -> None:
        text, dtype, *_ = chosen
        if len(passed) < TEXTS and text not in passed:
            check(*chosen, tmp_path, *FLAGS)
            passed[text] = dtype

    while len(passed) < TEXTS:  # some come again, as the simplest of a round does, and some amplify rounding
        on_fresh_texts(TEXTS - len(passed) + 20, one)
    print(f"{len(passed)} texts, {Counter(passed.values())}")


@needs("gcc")
@pytest.mark.skipif(not TEXTS, reason="NEUROMORPH_TEXTS says how many")
def test_sanitizers_find_nothing_in_many_texts(tmp_path: Path) -> None:
    """The status of a self-test whose figures are amplified rounding does not matter here, only what it prints."""
    sanitized = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DNET_SELFTEST")

    def one(chosen: tuple[str, str, bool, int]) -> None:
        name = exported(*chosen, tmp_path)
        run(["gcc", *C99, *sanitized, f"{name}.c", "-lm", "-o", name], tmp_path)
        done = subprocess.run([tmp_path / name], capture_output=True, text=True, timeout=120)
        assert (done.returncode in (0, 1), done.stderr) == (True, ""), done.stderr[:2000]

    on_fresh_texts(max(1, TEXTS // 6), one)


@needs("arm-none-eabi-gcc")
@needs("qemu-system-arm")
@pytest.mark.skipif(not TEXTS, reason="NEUROMORPH_TEXTS says how many")
def test_self_tests_of_some_texts_pass_on_a_microcontroller(tmp_path: Path) -> None:
    def one(chosen: tuple[str, str, bool, int]) -> None:
        assert exit_code_of_self_test(exported(*chosen, tmp_path), tmp_path) == 0

    on_fresh_texts(10, one)


@needs("arm-linux-gnueabihf-gcc")
@needs("qemu-arm")
@pytest.mark.skipif(not TEXTS, reason="NEUROMORPH_TEXTS says how many")
def test_self_tests_of_some_texts_pass_on_arm_of_32_bits(tmp_path: Path) -> None:
    flags = ("-O2", "-static", "-DNET_SELFTEST")

    def one(chosen: tuple[str, str, bool, int]) -> None:
        name = exported(*chosen, tmp_path)
        run(["arm-linux-gnueabihf-gcc", *C99, *flags, f"{name}.c", "-lm", "-o", name], tmp_path)
        assert subprocess.run(["qemu-arm", tmp_path / name], timeout=120).returncode == 0

    on_fresh_texts(10, one)


def on_fresh_texts(count: int, act: Callable[[tuple[str, str, bool, int]], None]) -> None:
    """Call a function with so many texts, types, whether <math.h> may be used, and seeds."""
    arguments = (texts(), st.sampled_from(["float32", "float64"]), st.booleans(), st.integers(0, 1000))
    settings(bounded(count), derandomize=False, database=None)(given(st.tuples(*arguments))(act))()


def exported(text: str, dtype: str, libm: bool, seed: int, folder: Path) -> str:
    """The name of the files of a model whose outputs are finite and no amplified rounding."""
    model, rng = built(text, dtype, seed), np.random.default_rng(seed)
    inputs = rng.normal(size=(STEPS // 10, model.input_width)).astype(dtype)
    wanted = model.predict(inputs)
    assume(np.isfinite(wanted).all())
    name = f"n{time.monotonic_ns()}"
    to_c(model, folder / f"{name}.c", libm=libm)
    assume(amplified(model, inputs, wanted, dtype, rng) < TOLERANCE[dtype])
    return name
