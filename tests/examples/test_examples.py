"""The example models and the digits demonstration, as a user would run them."""

import importlib.util
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import neuromorph as nm
from helpers.paths import EXAMPLES

BATCH, SAMPLES, EPOCHS = 5, 32, 8

# What a text says of itself when it is compiled, the number of its parameters and its links backward in time.
MODELS = {
    "small-model": (["'relu' takes no number", "'mse' takes no number"], 60, ["recur"]),
    "big-model": ([], 160, ["g"]),
    "gated-model": ([], 100, ["doubleforget"]),
    "lstm-model": ([], 120, ["lastrecur", "prevstaterecur"]),
    "chain-model": ([], 128 * 144 + 144 + 144 * 256 + 256 + 256 * 16 + 16, []),
    "split-model": (["'c'.*'d'.*'e'"], 128 * 144 + 144 + 144 * 256 + 256 + 256 * 16 + 16, []),
    "merge-model": (
        ["'time_travel'.*128.*'other'.*256", "'branch_merge'.*12.*'e'.*44", "'merge'.*256.*'d'.*12"],
        128 * 12 + 12 + 12 * 12 + 12 + 128 * 44 + 44 + 128 * 144 + 144 + 144 * 256 + 256 + 256 * 16 + 16,
        ["other"],
    ),
}


def test_every_example_model_is_tested() -> None:
    assert {path.stem for path in (EXAMPLES / "models").glob("*.mdl")} == set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_an_example_model_trains_and_predicts(name: str) -> None:
    said, parameters, read_late = MODELS[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = nm.compile(EXAMPLES / "models" / f"{name}.mdl", BATCH, 0.05)
    assert_said(said, [str(warning.message) for warning in caught])
    assert model.parameter_count == parameters
    nm.seed(1)
    with nm.build(model):
        assert sorted(model.state) == read_late
        rng = np.random.default_rng(2)
        inputs = rng.random((SAMPLES, BATCH, model.input_width), np.float32)
        expected = rng.random((SAMPLES, BATCH, model.output_width), np.float32)
        before = model.evaluate(inputs, expected)
        losses = [model.train(inputs, expected, 0) for _ in range(EPOCHS)]
        assert np.isfinite(losses).all()
        assert model.evaluate(inputs, expected) < before
        results = model.predict(inputs)
        assert results.shape == expected.shape
        assert np.isfinite(results).all()


def assert_said(patterns: list[str], messages: list[str]) -> None:
    assert len(messages) == len(patterns), messages
    for pattern in patterns:
        assert any(re.search(pattern, message, re.DOTALL) for message in messages), (pattern, messages)


def test_digits(tmp_path: Path) -> None:
    """Few epochs and one seed, so with bars below those of the full demonstration."""
    if importlib.util.find_spec("sklearn") is None:
        pytest.skip("scikit-learn, which brings the digits, is not installed: pip install neuromorph[test]")
    plot = tmp_path / "new" / "digits.png"
    done = subprocess.run(
        [sys.executable, EXAMPLES / "digits.py", "--epochs", "10", "--plot", plot],
        capture_output=True, text=True, timeout=300, cwd=tmp_path, env=os.environ | {"MPLCONFIGDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    perceptron, lstm = (float(found) for found in re.findall(r"test accuracy (0\.\d+)", done.stdout))
    assert perceptron >= 0.92
    assert lstm >= 0.82
    assert done.stdout.count("kernels") == 2
    assert done.stdout.count("µs to learn from an image") == 2
    if importlib.util.find_spec("matplotlib") is None:
        assert "matplotlib is not installed" in done.stdout
    else:
        assert str(plot) in done.stdout
        assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("wrong", [["--seeds", "0"], ["--epochs", "-3"], ["--seeds", "two"]])
def test_digits_refuses_wrong_counts(wrong: list[str]) -> None:
    done = subprocess.run([sys.executable, EXAMPLES / "digits.py", *wrong], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "whole number of at least 1" in done.stderr
