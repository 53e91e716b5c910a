"""The examples on real data, with tiny settings: each runs from the data to a saved model that is loaded and used.

They are skipped where the package that carries the data is not installed; the chaotic series needs none.
"""

from __future__ import annotations

import argparse
import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers.paths import EXAMPLES
from helpers.scripts import script

REAL = EXAMPLES / "real"
PACKAGES = {"co2": ("statsmodels",), "chaos": (), "vowels": ("aeon",), "penguins": ("palmerpenguins", "polars")}


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PyTorch, whose runs take longer than all else, and whose import takes seconds."""
    comparing = script(REAL, "comparing")
    there = comparing.find_spec
    monkeypatch.setattr(comparing, "find_spec", lambda name: None if name == "torch" else there(name))


def test_every_example_is_tested() -> None:
    assert {path.stem for path in REAL.glob("*.py")} - {"comparing", "torch_peer"} == set(PACKAGES)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")  # scikit-learn's perceptron, after so few epochs
@pytest.mark.parametrize("name", PACKAGES)
def test_an_example_runs(name: str, plain: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for package in PACKAGES[name]:
        pytest.importorskip(package, reason=f"{package} is not installed")
    script(REAL, name).main(["--quick", "--to", str(tmp_path / "new")])
    said = capsys.readouterr().out
    assert re.search(r"^neuromorph +[\d.]+ +[\d.]+ +[\d,]+$", said, re.MULTILINE)
    (file,) = (tmp_path / "new").glob("*.safetensors")
    assert f"saved {file} and loaded it again" in said
    assert nm.load(file).parameter_count > 0
    assert (tmp_path / "new" / f"{file.stem}.png").read_bytes().startswith(b"\x89PNG")


def test_without_torch_the_example_says_so(plain: None, capsys: pytest.CaptureFixture[str]) -> None:
    comparing = script(REAL, "comparing")
    assert comparing.runs("PyTorch", lambda seed: pytest.fail("it ran"), 1, "torch") == []
    assert capsys.readouterr().out == "torch is not installed, so PyTorch is left out: pip install torch\n"


def test_without_its_data_an_example_stops(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    vowels, comparing = script(REAL, "vowels"), script(REAL, "comparing")
    monkeypatch.setattr(comparing, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="the data come with aeon, which is not installed: pip install aeon"):
        vowels.main(["--quick", "--to", str(tmp_path)])


@pytest.mark.parametrize("wrong", ["0", "two", "-1"])
def test_a_wrong_number_of_seeds_is_refused(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        script(REAL, "chaos").main([f"--seeds={wrong}"])
    assert "is not a whole number of at least 1" in capsys.readouterr().err


def test_options_make_the_folder(tmp_path: Path) -> None:
    chosen = script(REAL, "comparing").options("", ["--to", str(tmp_path / "a" / "b"), "--quick"])
    assert chosen == argparse.Namespace(seeds=1, quick=True, to=tmp_path / "a" / "b")
    assert chosen.to.is_dir()


# What the scores are made of ------------------------------------------------------------------------------------------


def test_the_mackey_glass_series_solves_its_equation() -> None:
    """The slope between values that are one unit of time apart, by Simpson's rule over the equation's right side."""
    series = script(REAL, "chaos").mackey_glass(400)[:, 0]
    delayed = 0.2 * series[:-17] / (1 + series[:-17] ** 10)
    slope = delayed - 0.1 * series[17:]
    mean_slope = (slope[:-2] + 4 * slope[1:-1] + slope[2:]) / 6
    assert np.abs((series[19:] - series[17:-2]) / 2 - mean_slope).max() < 2e-3
    assert 0.3 < series.min() < 0.6
    assert 1.2 < series.max() < 1.4


def test_steps_until_a_forecast_is_off() -> None:
    chaos = script(REAL, "chaos")
    wanted = np.zeros((3, 5, 1))
    found = wanted.copy()
    found[0, 2:], found[1, 4] = 0.9, -0.9  # the third is never off
    assert chaos.steps_until_off(found, wanted, 2.0) == 4
    assert chaos.steps_until_off(found, wanted, 3.0) == 5


def test_the_parts_of_the_carbon_dioxide_do_not_overlap_in_what_they_forecast() -> None:
    co2 = script(REAL, "co2")
    years = 1958 + np.arange(2284) / 52.18
    values = np.arange(2284.0)
    values[::40] = np.nan
    data = co2.parts(values, years, 7)
    weeks = {name: (last + wanted).astype(float) for name, (_, wanted, last) in data.items()}
    for name, (least, most) in {"train": (1958, 1988), "choose": (1988, 1993), "test": (1993, 2002)}.items():
        numbers = weeks[name][~np.isnan(weeks[name])]
        assert len(numbers) > 100
        assert not (numbers % 40 == 0).any(), "unknown weeks stay unknown in what is expected"
        when = years[numbers.round().astype(int)]
        assert least <= when.min() < when.max() < most
    inputs, wanted, _ = data["train"]
    assert inputs.shape[1:] == (104, 1)
    assert wanted.shape[1:] == (52,)
    assert np.isfinite(inputs).all()


def test_held_out_utterances_are_of_all_speakers() -> None:
    vowels = script(REAL, "vowels")
    labels = np.repeat(np.arange(9), 30)
    train, kept, (held, held_labels) = vowels.split(list(range(270)), labels)
    assert not set(train) & set(held)
    assert len(train) == len(kept) == 216
    assert np.bincount(held_labels).tolist() == [6] * 9
    assert (labels[held] == held_labels).all()


def test_rows_to_train_and_to_test_are_all_rows_once(tmp_path: Path) -> None:
    pytest.importorskip("palmerpenguins", reason="the data come with palmerpenguins, which is not installed")
    penguins = script(REAL, "penguins")
    names, rows = penguins.penguins()
    train, test = (list(csv.reader(path.open(encoding="utf-8"))) for path in penguins.split(tmp_path, 3))
    assert train[0] == test[0] == names
    assert sorted(train[1:] + test[1:]) == sorted(rows)
    assert (len(rows), len(test) - 1) == (333, 83)


# The peer -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def peers() -> Any:
    pytest.importorskip("torch", reason="torch is not installed")
    return script(REAL, "torch_peer")


def test_padding_changes_no_answer_of_the_peer(peers: Any) -> None:
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(steps, 3)) for steps in (5, 2, 9)]
    net = peers.Recurrent("lstm", 3, 4, 2)
    alone = np.concatenate([peers.predict(net, [sequence]) for sequence in sequences])
    np.testing.assert_allclose(peers.predict(net, sequences), alone, atol=1e-6)


def test_the_peer_learns_and_forecasts(peers: Any) -> None:
    import torch

    torch.manual_seed(0)
    series = np.sin(np.arange(400) / 4)
    whole, _ = nm.windows(series, 61, step=5)
    net = peers.Recurrent("gru", 1, 12, 1, answers="every")
    how = {"epochs": 15, "batch": 8, "rate": lambda epoch: 0.01, "patience": 15}
    peers.learn(net, whole[:50, :-1], whole[:50, 1:], (whole[50:, :-1], whole[50:, 1:]), **how)
    found = peers.forecast(net, whole[50:, :50], 5)
    assert found.shape == (18, 5, 1)
    assert np.abs(found - whole[50:, 50:55]).mean() < 0.2


def test_the_peers_loss_leaves_unknown_numbers_out(peers: Any) -> None:
    import torch

    found, wanted = torch.tensor([[1.0, 2.0], [3.0, 5.0]]), torch.tensor([[np.nan, 1.0], [3.0, 2.0]])
    assert peers.loss_of(found, wanted).item() == pytest.approx((1 + 0 + 9) / 3)
