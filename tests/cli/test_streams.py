"""Data on stdin and from pipes: each line is answered before the next is read; files are kept where that can't be."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import neuromorph as nm
from helpers.paths import REPOSITORY
from neuromorph.cli import console, main
from neuromorph.data.schema import CATEGORY, CLASS, LEFT_OUT, NUMBER, Column, Schema

TEXT = "/xavier,zero/ (in, 3) (h, 4, <gru>) (kind, 2, <softmax>, <cross_entropy>)"
COLUMNS = (
    Column("who", LEFT_OUT, style="group"), Column("x", NUMBER, means=(0.5,)),
    Column("colour", CATEGORY, ("blue", "red"), (0.5, 0.5)), Column("kind", CLASS),
)  # fmt: skip
ROWS = [("a", 0.5, "red"), ("b", -1.0, "blue"), ("a", 0.25, "blue"), ("a", 2.0, "red"), ("b", 0.0, "red")]


@pytest.fixture(autouse=True)
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interpreted: None) -> nm.Model:
    monkeypatch.chdir(tmp_path)
    made = nm.compile(TEXT, 1, 0.1).build(seed=1)
    made.table, made.classes = Schema(COLUMNS, True, (1, 2), (3,), group=0), ("good", "bad")
    made.save("net.safetensors")
    plain = nm.compile(TEXT, 1, 0.1).build(seed=2)
    plain.save("plain.safetensors")
    return made


def wanted(model: nm.Model) -> list[np.ndarray]:
    streams = {who: nm.stream(model) for who in "ab"}
    return [streams[who](np.array([x, colour == "blue", colour == "red"], np.float32)) for who, x, colour in ROWS]


class Stdin:
    """Stands in for stdin, and counts the lines that were asked for."""

    def __init__(self, text: str) -> None:
        self.asked, self.buffer = 0, self
        self._lines = io.BytesIO(text.encode())

    def readline(self, size: int = -1) -> bytes:
        self.asked += 1
        return self._lines.readline(size)

    def read(self, size: int = -1) -> bytes:
        return self._lines.read(size)


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, *arguments: str, code: int = 0
) -> tuple[str, str]:
    monkeypatch.setattr(sys, "stdin", Stdin(text))
    capsys.readouterr()
    assert main(list(arguments)) == code, capsys.readouterr().err
    found = capsys.readouterr()
    return found.out, found.err


LINES = ["who,colour,x"] + [f"{who},{colour},{x}" for who, x, colour in ROWS]


def test_rows_in_and_rows_out(
    model: nm.Model, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = run(monkeypatch, capsys, "\n".join(LINES), "predict", "net.safetensors", "--data", "-", "-o", "-")
    assert err == ""
    found = np.loadtxt(io.StringIO(out), delimiter=",", dtype=np.float32)
    np.testing.assert_array_equal(found, np.array(wanted(model)))
    out, _ = run(monkeypatch, capsys, "\n\n".join(LINES), "predict", "net.safetensors", "--data", "-", "--labels")
    assert out.split() == [("good", "bad")[y.argmax()] for y in wanted(model)]


def test_each_line_is_answered_before_the_next_is_read() -> None:
    """A process that is fed one line only after it has answered the one before."""
    environ = os.environ | {"PYTHONPATH": str(REPOSITORY), "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-m", "neuromorph", "predict", "plain.safetensors", "--data", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        killer = threading.Timer(60, process.kill)
        killer.start()
        try:
            answers = []
            for row in ("1,2,3", "0.5,0,-1", "1,2,3"):
                process.stdin.write(f"{row}\n".encode())
                process.stdin.flush()
                answers.append(process.stdout.readline())
            process.stdin.close()
            assert process.wait() == 0
        finally:
            killer.cancel()
    assert all(len(answer.split(b",")) == 2 for answer in answers)
    assert answers[0] != answers[2]  # the state went on


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("a,red", "line 3 has 2 columns, and the lines before it 3"),
        ("a,red,x", "line 3, column 3 ('x') is 'x', not a number"),
        ("a,red,", "line 3, column 3 ('x') is empty: --missing mean puts the mean of the column there"),
        ("a,red,1e99", "line 3, column 3 ('x') is 1e99, and must be a finite number that the model's type can hold"),
        ("a,green,1", "line 3, column 2 ('colour') is 'green', which training did not see: it knows blue, red"),
        ("a,\udcff,1", "line 3 is no text in UTF-8"),
    ],
)
def test_a_wrong_line_ends_the_stream_after_those_before(
    bad: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin = Stdin("")
    stdin._lines = io.BytesIO("\n".join([*LINES[:2], bad, LINES[2]]).encode("utf-8", "surrogateescape"))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["predict", "net.safetensors", "--data", "-", "--labels"]) == 1
    found = capsys.readouterr()
    assert len(found.out.split()) == 1
    assert found.err.startswith(f"error: stdin: {said}")


def test_missing_and_unknown_cells_get_means(
    model: nm.Model, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "who,colour,x\na,green,\n"
    out, _ = run(monkeypatch, capsys, text, "predict", "net.safetensors", "--data", "-", "--missing", "mean")
    y = nm.stream(model)(np.array([0.5, 0.5, 0.5], np.float32))
    np.testing.assert_array_equal(np.array(out.split(","), np.float32), y)


def test_streams_of_other_columns_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, err = run(monkeypatch, capsys, "who,x\na,1\n", "predict", "net.safetensors", "--data", "-", code=1)
    assert err == "error: stdin: its columns are not those that the model was trained on; missing: 'colour'\n"
    _, err = run(monkeypatch, capsys, "", "predict", "net.safetensors", "--data", "-", code=1)
    assert err == "error: stdin: it has no rows\n"


def test_pipes(model: nm.Model, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo("in.fifo")
    os.mkfifo("out.fifo")
    found: list[str] = []
    writer = threading.Thread(daemon=True, target=lambda: Path("in.fifo").write_text("\n".join(LINES)))
    reader = threading.Thread(daemon=True, target=lambda: found.append(Path("out.fifo").read_text()))
    writer.start()
    assert main(["predict", "net.safetensors", "--data", "in.fifo"]) == 0
    writer.join(20)
    out = capsys.readouterr().out
    writer = threading.Thread(daemon=True, target=lambda: Path("in.fifo").write_text("\n".join(LINES)))
    for thread in (writer, reader):
        thread.start()
    assert main(["predict", "net.safetensors", "--data", "in.fifo", "-o", "out.fifo", "--format", "csv"]) == 0
    for thread in (writer, reader):
        thread.join(20)
    assert found == [out]


def test_training_on_stdin_is_that_on_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("line.mdl").write_text("/xavier,zero/ (in, 1) (out, 1, <linear>, <mse>)")
    text = "x,y\n" + "".join(f"{n / 7:.3f},{n / 3:.3f}\n" for n in range(20))
    Path("d.csv").write_text(text)
    options = ("--epochs", "2", "--seed", "1", "--save")
    for data, name in (("-", "a"), ("d.csv", "b")):
        _, err = run(monkeypatch, capsys, text, "train", "line.mdl", "--data", data, *options, f"{name}.safetensors")
        assert err.startswith(f"{'stdin' if data == '-' else data}: 20 vectors, 1 number each\n")
    a, b = (nm.load(f"{name}.safetensors").get_parameters() for name in "ab")
    assert all((a[name] == b[name]).all() for name in a)
    out, _ = run(monkeypatch, capsys, text, "evaluate", "a.safetensors", "--data", "-")
    assert out == run(monkeypatch, capsys, "", "evaluate", "a.safetensors", "--data", "d.csv")[0]
    _, err = run(monkeypatch, capsys, "x,y\n1,z\n", "evaluate", "a.safetensors", "--data", "-", code=1)
    assert err == "error: stdin: line 2, column 2 ('y') is 'z', not a number\n"
    _, err = run(monkeypatch, capsys, "", "evaluate", "a.safetensors", "--data", "-", "--format", "txt", code=2)
    assert "--format is txt, and is one of csv, tsv, " in err


def test_numpy_files_on_stdin(
    model: nm.Model, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    np.save("x.npy", x)
    stdin = Stdin("")
    stdin._lines = io.BytesIO(Path("x.npy").read_bytes())
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["predict", "plain.safetensors", "--data", "-", "--format", "npy", "-o", "y.npy"]) == 0
    np.testing.assert_array_equal(np.load("y.npy"), nm.load("plain.safetensors").predict(x))
    assert capsys.readouterr().err.startswith("stdin: one sequence of 5 steps")


@pytest.mark.parametrize(("platform", "said"), [("win32", ""), ("linux", "Invalid argument")])
def test_a_reader_that_ends_may_be_an_invalid_argument_on_windows(
    platform: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Closed(io.StringIO):
        def flush(self) -> None:
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(OSError) as raised:
        console.give_raw("1\n")
    assert isinstance(raised.value, BrokenPipeError) == (platform == "win32")
    assert console.flush_or_forget() == 1
    monkeypatch.undo()
    assert said in capsys.readouterr().err if said else not capsys.readouterr().err
