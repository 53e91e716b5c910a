"""The commands ``sweep`` and ``runs``: from a grid to a table, a model, a file of numbers and a picture."""

from __future__ import annotations

import csv
import re
import signal
from pathlib import Path

import numpy as np
import pytest

import neuromorph as nm
from helpers.commands import run
from neuromorph.cli import sweeping
from neuromorph.sweeps.store import NotWrittenError, Store

GRID = """
text = "net.mdl"
seeds = [1, 2]
budget = 2
[arguments]
tier = "instant"
[grid]
learning_rate = [0.1, 0.5]
"$width" = [2]
"""
LAST = ("epochs", "seconds", "state")
TEXT = "/xavier,zero/ (input, 2) (h, $width, <tanh>) (output, 2, <softmax>, <cross_entropy>)"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(40, 2))
    Path("net.mdl").write_text(TEXT)
    Path("grid.toml").write_text(GRID)
    np.savez("d.npz", inputs=points, labels=(points[:, 0] > 0).astype(int))


def test_a_grid_becomes_a_table_and_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    listed, _ = run(capsys, "sweep", "grid.toml", "--dry-run")
    assert listed.splitlines()[-1] == "4 runs"
    assert listed.startswith("net $width=2: seed 1, 2 epochs, learning_rate=0.1, tier=instant\n")
    assert not Path("runs.sqlite").exists()
    out, err = run(capsys, "sweep", "grid.toml", "--data", "d.npz", "--workers", "0", "--save", "best.safetensors")
    assert re.split("  +", out.splitlines()[0]) == ["validation loss", "seed", "learning rate", *LAST]
    assert len(out.splitlines()) == 5
    assert "d.npz: 40 vectors, 2 numbers each" in err
    assert err.count(", done, ") == 4
    assert err.endswith("the best model is saved: best.safetensors\n")
    found = nm.stored_runs("runs.sqlite")
    assert [one.run.arguments["batch_size"] for one in found] == [32] * 4
    assert nm.load("best.safetensors").history.validation_loss[-1] == found.best.score
    again, said = run(capsys, "sweep", "grid.toml", "--data", "d.npz", "--workers", "0")
    assert again.splitlines()[1] == out.splitlines()[1]
    assert ", done, " not in said, "nothing is trained twice"


@pytest.mark.parametrize("axes", [(6, 8), (6, 3, 8)])
def test_data_in_batches(axes: tuple[int, ...], capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.repeat([0, 1], 24).reshape(6, 1, 8)[:, 0 if len(axes) == 2 else [0] * 3]
    np.savez("d.npz", inputs=np.stack([labels, -labels], axis=-1), labels=labels)
    Path("grid.toml").write_text(GRID.replace("[2]", "[2, 3]"))
    out, _ = run(capsys, "sweep", "grid.toml", "--data", "d.npz", "--workers", "0")
    assert len(out.splitlines()) == 9
    assert {one.run.arguments["batch_size"] for one in nm.stored_runs("runs.sqlite")} == {8}


def test_texts_that_read_batches_in_different_ways(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("d.npz", inputs=np.zeros((6, 8, 2)), labels=np.zeros((6, 8), int))
    Path("other.mdl").write_text(TEXT.replace("(h, $width, <tanh>)", "(h, $width, <rnn>)"))
    Path("grid.toml").write_text(GRID.replace('text = "net.mdl"', 'text = ["net.mdl", "other.mdl"]'))
    _, err = run(capsys, "sweep", "grid.toml", "--data", "d.npz", "--workers", "0", code=2)
    assert "the texts read these data in different ways" in err


def test_runs_are_shown_written_and_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    run(
        capsys,
        "sweep",
        "grid.toml",
        "--data",
        "d.npz",
        "--workers",
        "0",
        "-q",
        "--rungs",
        "1,2",
        "--score",
        "val_accuracy",
    )
    found = nm.stored_runs("runs.sqlite")
    assert [one.state for one in found].count("done") == 2
    out, _ = run(capsys, "runs", "runs.sqlite", "--most", "1", "--csv", "runs.csv", "--save", "m.safetensors")
    assert out == f"{found.table(1)}\n"
    with open("runs.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][0] == "validation_accuracy"
    assert [float(row[0]) for row in rows[1:]] == [one.score for one in found.ranked()]
    assert nm.load("m.safetensors").history.record() == found.best.history.record()
    out, _ = run(capsys, "runs", "runs.sqlite", "--best")
    assert out.startswith(found.best.run.mdl)
    assert f"seed = {found.best.run.seed}\nbudget = 2\n" in out
    assert f"validation accuracy {found.best.score:.6g}" in out
    pytest.importorskip("matplotlib")
    run(capsys, "runs", "runs.sqlite", "--plot", "curves.svg")
    assert "validation accuracy" in Path("curves.svg").read_text() or Path("curves.svg").stat().st_size > 1000


def test_a_store_with_several_scores_shows_all(capsys: pytest.CaptureFixture[str]) -> None:
    for score in ("val_loss", "loss"):
        run(capsys, "sweep", "grid.toml", "--data", "d.npz", "--workers", "0", "-q", "--score", score, "--epochs", "1")
    out, _ = run(capsys, "runs", "runs.sqlite")
    assert (out.count("validation loss"), len(out.splitlines())) == (1, 10)
    out, _ = run(capsys, "runs", "runs.sqlite", "--score", "val_loss")
    assert len(out.splitlines()) == 5
    _, err = run(capsys, "runs", "runs.sqlite", "--best", code=2)
    assert "have several scores: say --score validation_loss or --score loss" in err


def test_a_store_is_shown_whatever_its_score_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [nm.Run(TEXT.replace("$width", "2"), {"batch_size": 2, "learning_rate": 0.1, "tier": "instant"}, budget=1)]
    points = np.ones((4, 2), np.float32)
    given = {"inputs": points, "expected": points / 2, "layout": "NW"}
    nm.sweep(runs, given, score=evaluated, workers=0, store="runs.sqlite", verbosity=0)
    out, _ = run(capsys, "runs", "runs.sqlite")
    assert re.split("  +", out.splitlines()[0])[0] == f"{__name__}.evaluated".replace("_", " ")


def evaluated(model: nm.Model, given: object) -> float:
    return 1.0


def test_a_full_disk_costs_no_result(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the store can't take is shown."""

    def full(self: Store, key: str, **values: object) -> bool:
        raise NotWrittenError("the store can't be written to now: database or disk is full")

    monkeypatch.setattr(Store, "record", full)
    out, err = run(capsys, "sweep", "grid.toml", "--data", "d.npz", "--workers", "0", "--quiet", code=1)
    assert out.splitlines()[1].endswith("done")
    assert "disk is full; the sweep has ended" in err


def test_tables_keep_their_classes_and_scales(capsys: pytest.CaptureFixture[str]) -> None:
    """The best model of a sweep predicts from tables, as one that train has made."""
    rng = np.random.default_rng(1)
    rows = [f"{a:.3f},{1000 * b:.0f},{'yes' if a > 0 else 'no'}" for a, b in rng.normal(size=(60, 2))]
    Path("d.csv").write_text("\n".join(["length,weight,good", *rows]) + "\n")
    Path("net.mdl").write_text(
        "/xavier,zero/ (input, 2) (s, <standardize>) (h, $width, <tanh>) (output, 2, <softmax>, <cross_entropy>)"
    )
    pytest.importorskip("polars")
    arguments = ["--targets", "good", "--workers", "0", "-q", "--epochs", "30", "--save", "best.safetensors"]
    run(capsys, "sweep", "grid.toml", "--data", "d.csv", *arguments)
    model = nm.load("best.safetensors")
    assert set(model.classes or ()) == {"no", "yes"}
    assert model.get_parameters()["s.scale"][1] > 100
    out, _ = run(capsys, "evaluate", "best.safetensors", "--data", "d.csv")
    assert float(out.split()[-1]) > 0.9
    out, _ = run(capsys, "predict", "best.safetensors", "--data", "d.csv", "--labels")
    assert set(out.split()) == {"no", "yes"}


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["sweep", "none.toml", "--data", "d.npz"], 1, "none.toml: No such file"),
        (["sweep", "net.mdl", "--data", "d.npz"], 1, "net.mdl: "),
        (["sweep", "/dev/null", "--data", "d.npz"], 1, "/dev/null: a device, not a file with a sweep"),
        (
            ["sweep", "large.toml", "--data", "d.npz"],
            1,
            "large.toml: 16,777,217 bytes are too many for a sweep; at most",
        ),
        (["sweep", "wrong.toml", "--data", "d.npz"], 1, "wrong.toml: there is 'txt', but there may be text"),
        (["sweep", "grid.toml"], 2, "--data"),
        (["sweep", "grid.toml", "--data", "d.npz", "--rungs", "1,b"], 2, "--rungs is 1,b, and needs numbers of epochs"),
        (
            ["sweep", "grid.toml", "--data", "d.npz", "--rungs", "2,1"],
            1,
            "rungs must be numbers of epochs from the start",
        ),
        (
            ["sweep", "grid.toml", "--data", "d.npz", "--rungs", "1,2", "--epochs", "9"],
            2,
            "--rungs and --epochs both say how long runs are trained",
        ),
        (["sweep", "grid.toml", "--data", "d.npz", "--save", "m"], 2, "the name of a saved model ends in .safetensors"),
        (["sweep", "grid.toml", "--data", "d.npz", "--store", "d.npz"], 2, "--store are the same file: d.npz"),
        (
            ["sweep", "grid.toml", "--data", "d.npz", "--store", "net.mdl"],
            1,
            "net.mdl is corrupt, or no store",
        ),
        (["sweep", "grid.toml", "--data", "d.npz", "--score", "val_mse2"], 1, "score must be one of loss"),
        (["sweep", "two.toml", "--data", "d.npz"], 2, "the texts read these data in different ways"),
        (["runs", "none.sqlite"], 1, "none.sqlite: there is no such store"),
        (["runs", "d.npz"], 1, "d.npz is corrupt, or no store of runs"),
    ],
)
def test_errors_are_one_line(arguments: list[str], code: int, error: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("wrong.toml").write_text('txt = "net.mdl"')
    with open("large.toml", "wb") as large:
        large.truncate((1 << 24) + 1)
    Path("loop.mdl").write_text(TEXT.replace("(h", "{b, h, concatenate} (h"))
    Path("two.toml").write_text(GRID.replace('"net.mdl"', '["net.mdl", "loop.mdl"]'))
    _, err = run(capsys, *arguments, code=code)
    assert error in err
    assert err.splitlines()[-1].startswith("error: ")


def test_a_sweep_of_which_nothing_works_fails(capsys: pytest.CaptureFixture[str]) -> None:
    Path("net.mdl").write_text("/xavier,zero/ (input, 2) (h, $width, <linear>) (output, 2, <linear>, <mse>)")
    np.savez("d.npz", inputs=np.ones((40, 2)), expected=np.zeros((40, 2)))
    Path("grid.toml").write_text(GRID.replace("[0.1, 0.5]", "[1e30]"))
    command = ["sweep", "grid.toml", "--data", "d.npz", "--workers", "0", "-q"]
    out, err = run(capsys, *command, code=1)
    assert "failed" in out
    assert re.search("error: all runs failed; the first: .*TrainingDivergedError", err)
    seconds = [one.seconds for one in nm.stored_runs("runs.sqlite")]
    run(capsys, *command, code=1)
    assert [one.seconds for one in nm.stored_runs("runs.sqlite")] == seconds
    run(capsys, *command, "--retry-failed", code=1)
    again = nm.stored_runs("runs.sqlite")
    assert all(one.seconds > before for one, before in zip(again, seconds, strict=True))
    assert [one.failures for one in again] == [2, 2]


def test_ctrl_c_says_how_to_go_on(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(sweeping.nm, "sweep", interrupted, raising=False)
    _, err = run(capsys, "sweep", "grid.toml", "--data", "d.npz", "--workers", "0", code=130)
    assert err.endswith("interrupted; the results so far are in runs.sqlite, and the same command goes on from there\n")
