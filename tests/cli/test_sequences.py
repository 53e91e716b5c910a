"""Sequences on the command line: a model remembers how it was trained, and each command says how it read the axes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from helpers.commands import run

TEXT = "/xavier,zero/ (signal, 2) {both, h, concatenate} (h, 3, <tanh>) (class, 3, <softmax>, <cross_entropy>)"
RNG = np.random.default_rng(2)
INPUTS = RNG.normal(size=(10, 4, 2))
LABELS = np.repeat([0, 1, 2], [4, 3, 3])
LENGTHS = np.array([4, 1, 3, 2, 4, 4, 4, 2, 3, 4])
TRAIN = ("train", "net.mdl", "--data", "d.npz", "--epochs", "2", "--save", "net.safetensors", "--batch", "4")

pytestmark = pytest.mark.usefixtures("interpreted")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("net.mdl").write_text(TEXT)
    np.savez("d.npz", inputs=INPUTS, labels=LABELS, lengths=LENGTHS)
    np.savez("steps.npz", inputs=INPUTS, labels=np.tile(LABELS[:, None], 4))
    return tmp_path


def last_labels(model: nm.Model) -> list[int]:
    found = model.predict([row[:length] for row, length in zip(INPUTS, LENGTHS, strict=True)], layout="NSW")
    return [int(each[-1].argmax()) for each in found]


def test_a_model_remembers_sequences(capsys: pytest.CaptureFixture[str]) -> None:
    said = f"d.npz: 10 sequences of {LENGTHS.min()} to 4 steps, 2 numbers each\n"
    _, err = run(capsys, *TRAIN, "--sequences")
    assert err.startswith(said)
    model = nm.load("net.safetensors")
    assert (model.layout, model.reading) == ("NSW", nm.load("net.safetensors").reading)
    loss = model.evaluate(INPUTS, LABELS, lengths=LENGTHS, layout="NSW")
    right = model.accuracy(INPUTS, LABELS, lengths=LENGTHS, layout="NSW")
    found = run(capsys, "evaluate", "net.safetensors", "--data", "d.npz")
    assert found == (f"loss {loss:.6g}, accuracy {right:.6g}\n", said)
    out, err = run(capsys, "predict", "net.safetensors", "--data", "d.npz", "--labels")
    assert (list(map(int, out.split())), err) == (last_labels(model), said)
    _, err = run(capsys, "train", "--resume", "net.safetensors", "--data", "d.npz", "--epochs", "1", "-q")
    assert err == ""
    resumed = nm.load("net.safetensors")
    model.fit(INPUTS, LABELS, lengths=LENGTHS, layout="NSW", epochs=1, progress=False)
    for name, value in model.get_parameters().items():
        np.testing.assert_array_equal(resumed.get_parameters()[name], value)


def test_a_sequence_has_one_answer_as_in_training(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, *TRAIN, "--sequences", "-q")
    run(capsys, "predict", "net.safetensors", "--data", "d.npz", "-o", "y.npy")
    whole = nm.load("net.safetensors").predict(INPUTS, layout="NSW")
    np.testing.assert_array_equal(np.load("y.npy"), whole[np.arange(len(whole)), LENGTHS - 1])
    out, _ = run(capsys, "predict", "net.safetensors", "--data", "d.npz")
    assert len(out.splitlines()) == len(INPUTS)
    run(capsys, "predict", "net.safetensors", "--data", "d.npz", "--every-step", "-o", "y.npy")
    np.testing.assert_array_equal(np.load("y.npy"), whole)
    np.savez("none.npz", inputs=INPUTS[:2], lengths=[0, 4])
    run(capsys, "predict", "net.safetensors", "--data", "none.npz", "-o", "y.npy")
    assert np.isnan(np.load("y.npy")[0]).all()
    assert np.isfinite(np.load("y.npy")[1]).all()


def test_labels_of_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, *TRAIN, "--sequences", "-q")
    out, _ = run(capsys, "predict", "net.safetensors", "--data", "d.npz", "--labels", "--every-step")
    found = np.array([line.split(",") for line in out.split()], int)
    wanted = nm.load("net.safetensors").predict(INPUTS, layout="NSW").argmax(axis=-1)
    beyond = np.arange(4) >= LENGTHS[:, None]
    np.testing.assert_array_equal(found, np.where(beyond, -1, wanted))


def test_a_model_of_labels_for_steps_answers_for_steps(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, *TRAIN[:3], "steps.npz", *TRAIN[4:], "--sequences", "-q")
    out, _ = run(capsys, "predict", "net.safetensors", "--data", "steps.npz", "--labels")
    wanted = nm.load("net.safetensors").predict(INPUTS, layout="NSW").argmax(axis=-1)
    np.testing.assert_array_equal(np.array([line.split(",") for line in out.split()], int), wanted)


def test_a_sequence_of_length_0_has_no_label(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, *TRAIN, "--sequences", "-q")
    np.savez("none.npz", inputs=INPUTS[:2], lengths=[0, 4])
    out, _ = run(capsys, "predict", "net.safetensors", "--data", "none.npz", "--labels")
    assert out.split()[0] == "-1"
    np.savez("wrong.npz", inputs=INPUTS[:2], lengths=[5, 4])
    _, err = run(capsys, "predict", "net.safetensors", "--data", "wrong.npz", "--labels", code=1)
    assert err == "error: wrong.npz: lengths[0] is 5, and must be a whole number from 0 to 4\n"
    np.savez("wrong.npz", inputs=INPUTS[:2], labels=LABELS[:2], lengths=[np.nan, 4])
    _, err = run(capsys, *TRAIN[:3], "wrong.npz", *TRAIN[4:], "--sequences", code=1)
    assert err == "error: wrong.npz: lengths[0] is nan, and must be a whole number from 0 to 4\n"


def test_axes_can_be_read_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, *TRAIN, "--sequences", "-q")
    found = run(capsys, "predict", "net.safetensors", "--data", "steps.npz", "--no-sequences", "-o", "y.npy")
    said = "one sequence of 10 steps in 4 lanes, 2 numbers each; --sequences reads 10 sequences of 4 steps"
    assert found[1].startswith(f"steps.npz: {said}\n")
    np.testing.assert_array_equal(np.load("y.npy"), nm.load("net.safetensors").predict(INPUTS.astype(np.float32)))


def test_the_part_held_out_is_drawn_or_the_tail(capsys: pytest.CaptureFixture[str]) -> None:
    shown: dict[str, Any] = {}
    for tail in ((), ("--validation-tail",)):
        out, _ = run(capsys, *TRAIN, "--sequences", "-q", "--validation", "0.3", *tail)
        found = re.search(r"validation loss ([\d.]+),", out)
        assert found is not None
        model, shown[str(tail)] = nm.load("net.safetensors"), float(found[1])
    last = model.evaluate(INPUTS[7:], LABELS[7:], lengths=LENGTHS[7:], layout="NSW")
    assert shown["('--validation-tail',)"] == pytest.approx(last, rel=1e-5)
    assert len(set(shown.values())) == 2
    _, err = run(capsys, *TRAIN, "-q", "--validation-tail", code=2)
    assert "--validation-tail needs a fraction, as in --validation 0.2" in err


def test_sequences_without_the_option_give_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = run(capsys, *TRAIN, code=1)
    assert err == (
        "error: d.npz: labels has shape (10,), and needs (10, 4) for inputs of (10, 4, 2); --sequences reads them as "
        "(sequences, steps, width)\n"
    )


def test_other_axes_for_validation_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("flat.mdl").write_text("/xavier,zero/ (signal, 2) (class, 3, <softmax>, <cross_entropy>)")
    np.savez("flat.npz", inputs=INPUTS[:, 0], labels=LABELS)
    arguments = ("train", "flat.mdl", "--data", "flat.npz", "--validation", "steps.npz", *TRAIN[4:], "-q")
    _, err = run(capsys, *arguments, code=1)
    assert err == "error: steps.npz: its inputs have other axes than those of flat.npz\n"


def test_a_window_that_hides_steps_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = run(capsys, *TRAIN, "--sequences", "-q", "--window", "2")
    assert re.fullmatch(r"warning: no gradient reaches the first 2 of 4 steps in \d of 10 sequences: .*\n", err)
