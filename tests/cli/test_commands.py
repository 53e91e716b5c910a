"""The command line as a user meets it: results, messages, exit codes, and that nothing ends in a traceback."""

import io
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import neuromorph as nm
from helpers.paths import REPOSITORY
from neuromorph import demo
from neuromorph.cli import files, layout, main, training, units
from neuromorph.cli.answers import labels_of
from neuromorph.cli.data import Arrays, Source, read
from neuromorph.data.arrays import TrainingData
from neuromorph.data.holding_out import drawn
from neuromorph.inspection import Inspection
from neuromorph.training.checks import check_data

CLASSIFIER = "/xavier,zero/ (input, 2) (hidden, 4, <relu>) (output, 3, <softmax>, <cross_entropy>)"
RECURRENT = "/xavier,zero/ (bit, 1) {both, h, concatenate} (h, 3, <tanh>) (output, 1, <linear>, <mse>)"
WRONG = "/xavier,zero/ (input,4) (output,2,<sigmiod>,<mse>)"
WRONG_SAID = """\
unknown activation 'sigmiod': did you mean 'sigmoid'?
  /xavier,zero/ (input,4) (output,2,<sigmiod>,<mse>)
                                     ^
"""
READ = r"^[^:\n]+: (one|[\d,]+) (sequence|vector|batch)[^\n]* each[^\n]*\n"  # the line that says how data were read
RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(10, 2)).round(2)
LABELS = RNG.integers(0, 3, 10)
TRAIN = ("train", "net.mdl", "--data", "d.npz", "--batch", "4", "--seed", "5", "--save", "net.safetensors")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two models and data, in which commands run."""
    monkeypatch.chdir(tmp_path)
    Path("net.mdl").write_text(CLASSIFIER)
    Path("recurrent.mdl").write_text(RECURRENT)
    Path("wrong.mdl").write_text(WRONG)
    np.savez("d.npz", inputs=POINTS, labels=LABELS)
    np.savez("r.npz", inputs=POINTS[:, :1], expected=POINTS[:, 1:])
    return tmp_path


class Shell:
    """Runs commands, and remembers what the last one said."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys, self.out, self.err = capsys, "", ""

    def __call__(self, *arguments: str) -> int:
        self._capsys.readouterr()
        code = main(list(arguments))
        self.out, self.err = self._capsys.readouterr()
        return code

    def fails(self, *arguments: str, code: int = 1) -> str:
        """The one line that a command that can't be done says, if kernels that it needs are in the cache."""
        assert self(*arguments) == code, self.err
        said = re.sub(READ, "", self.err, count=1, flags=re.MULTILINE)
        said = re.sub("^compiling kernels, [0-9.]+ s\n", "", said)
        assert said.startswith("error: "), self.err
        assert said.count("\n") == 1, self.err
        return said.removeprefix("error: ").rstrip()


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def process(*arguments: str, closed: int | None = None, **options: Any) -> "subprocess.Popen[str]":
    """The same in a process of its own. closed: the number of a standard stream that it does not have."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    environ = os.environ | {"PYTHONPATH": str(REPOSITORY)} | options.pop("env", {})
    command = [sys.executable, "-m", "neuromorph", *arguments]
    if closed is not None:
        command = ["/bin/sh", "-c", f'exec "$@" {closed}>&-', "sh", *command]
    return subprocess.Popen(command, env=environ, **options)


# check, format, summary, draw -----------------------------------------------------------------------------------------


def test_check_says_what_a_sound_model_is(shell: Shell) -> None:
    assert shell("check", "net.mdl") == 0
    assert (shell.out, shell.err) == ("net.mdl: 3 nodes, 27 parameters, 2 numbers in, 3 out\n", "")


def test_check_shows_errors_with_a_caret_and_looks_at_every_file(shell: Shell) -> None:
    assert shell("check", "wrong.mdl", "net.mdl") == 1
    assert shell.err == f"error: wrong.mdl:1:36: {WRONG_SAID}"
    assert shell.out.startswith("net.mdl: 3 nodes")


def test_check_warns_and_is_content(shell: Shell) -> None:
    Path("odd.mdl").write_text("/xavier,zero/ (i, 2) [s, (dead, 3, <relu>)] (o, 1, <tanh>, <mse>)")
    assert shell("check", "odd.mdl") == 0
    assert re.match(r"warning: odd.mdl:1:\d+: .*'dead'", shell.err)
    assert shell.out.startswith("odd.mdl: 4 nodes")


def test_check_for_tools(shell: Shell) -> None:
    Path("odd.mdl").write_text("/xavier,zero/ (i, 2) (o, 3, <sigmoid>, <cross_entropy>)")
    assert shell("check", "--json", "wrong.mdl", "odd.mdl", "nosuch.mdl") == 1
    assert shell.err == ""
    wrong, odd, missing = json.loads(shell.out)
    place = {"line": 1, "column": 36, "message": "unknown activation 'sigmiod': did you mean 'sigmoid'?"}
    assert wrong == {"file": "wrong.mdl", "valid": False, "errors": [place], "warnings": []}
    assert odd["valid"]
    assert [(warning["line"], warning["column"]) for warning in odd["warnings"]] == [(1, 23)]
    assert missing["errors"] == [
        {"line": None, "column": None, "message": "nosuch.mdl: No such file or directory"}
    ]  # fmt: skip


class Stdin:
    """Stands in for stdin."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def test_a_dash_is_stdin(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(WRONG.encode()))
    assert shell("check", "-") == 1
    assert shell.err == f"error: line 1, column 36: {WRONG_SAID}"
    monkeypatch.setattr(sys, "stdin", Stdin(CLASSIFIER.encode()))
    assert shell("format", "-") == 0
    assert shell.out == nm.compile(CLASSIFIER, 1, 0.0).text


def test_format_gives_the_canonical_text_and_that_of_itself_again(shell: Shell) -> None:
    assert shell("format", "net.mdl") == 0
    canonical = shell.out
    assert canonical.splitlines()[:2] == ["/xavier,zero/", "(input, 2)"]
    Path("again.mdl").write_text(canonical)
    assert shell("format", "again.mdl") == 0
    assert shell.out == canonical


def test_format_puts_cells_in_the_place_of_their_uses(shell: Shell) -> None:
    body = "<twice>[(one, width, <tanh>) (two, <tanh>)]"
    Path("cells.mdl").write_text(f"/xavier,zero/ {body} (i, 2) (h, <twice>) (o, 1, <tanh>, <mse>)")
    assert shell("format", "cells.mdl", "--expand") == 0
    assert shell.out == "/xavier,zero/\n(i, 2)\n(h.one, 2, <tanh>)\n(h, <tanh>)\n(o, 1, <tanh>, <mse>)\n"
    assert shell("format", "cells.mdl") == 0
    assert shell.out.splitlines()[1] == "<twice>["
    Path("cells.mdl").write_text(shell.out.replace("tanh", "tahn"))
    assert shell("format", "cells.mdl", "--expand") == 1
    assert shell.err.startswith(
        "error: cells.mdl:3:19: unknown activation 'tahn': did you mean 'tanh'?; 'h.one' is a node"
    )


def test_summary_as_a_table_and_for_tools(shell: Shell) -> None:
    assert shell("summary", "recurrent.mdl") == 0
    assert shell.out.rstrip() == nm.compile(RECURRENT, 1, 0.0).summary()
    assert shell("summary", "recurrent.mdl", "--json") == 0
    facts = json.loads(shell.out)
    assert (facts["input_width"], facts["output_width"], facts["parameters"]) == (1, 1, 19)
    assert [node["parameters"] for node in facts["nodes"]] == [0, 0, 15, 4]
    assert facts["nodes"][1] | {"reads": "h", "from_step_before": True, "merge": "concatenate"} == facts["nodes"][1]
    assert facts["nodes"][2]["function"] == {"name": "tanh", "parameter": None}
    assert (facts["nodes"][1]["steps_before"], facts["nodes"][2]["steps_before"]) == (1, 0)


def test_summary_and_pictures_of_cells(shell: Shell) -> None:
    text = "/xavier,zero/ (in, 3) (c, 4, <conv, 3, 2>) (k, <norm, 0.5>) (h, 4, <gru>) (out, 2, <tanh>, <mse>)"
    Path("gru.mdl").write_text(text)
    assert shell("summary", "gru.mdl", "--fold") == 0
    assert shell.out.rstrip() == nm.compile(text, 1, 0.0).summary(fold=True)
    assert shell("summary", "gru.mdl", "--json") == 0
    nodes = {node["name"]: node for node in json.loads(shell.out)["nodes"]}
    assert nodes["c"]["convolution"] == {"taps": 3, "dilation": 2}
    assert nodes["k"]["function"] == {"name": "norm", "parameter": 0.5}
    assert (nodes["h.reset"]["cell"], nodes["h"]["cell"], nodes["k"]["cell"]) == ("h", "h", None)
    assert shell("draw", "gru.mdl", "-o", "gru.dot", "--fold") == 0
    assert Path("gru.dot").read_text() == nm.compile(text, 1, 0.0).draw(fold=True).dot
    assert shell("summary", "gru.mdl", "--fold", "--json") == 2
    assert "--fold is for tables" in shell.err


@pytest.mark.parametrize("ending", ["svg", "dot"])
def test_draw(shell: Shell, ending: str) -> None:
    assert shell("draw", "net.mdl", "-o", f"net.{ending}") == 0
    drawing = nm.compile(CLASSIFIER, 1, 0.0).draw()
    assert Path(f"net.{ending}").read_text(encoding="utf-8") == getattr(drawing, ending)


@dataclass
class Report:
    """Stands in for what ``nm.inspect`` takes seconds to find out."""

    model: nm.Model

    def __str__(self) -> str:
        return f"batch {self.model.batch_size}, window {self.model.bptt_steps}"

    def html(self) -> str:
        return "<p>µ</p>"

    def to_dict(self, *, texts: bool) -> dict[str, Any]:
        return {"texts": texts}


def test_inspect(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"html", "to_dict", "save"} <= set(dir(Inspection))
    monkeypatch.setattr(nm, "inspect", Report)
    assert shell("inspect", "recurrent.mdl") == 0
    assert shell.out == "batch 32, window 16\n"
    assert shell("inspect", "recurrent.mdl", "--batch", "3", "--window", "7", "--html", "net.html") == 0
    assert shell.out == "batch 3, window 7\n"
    assert Path("net.html").read_text(encoding="utf-8") == "<p>µ</p>"
    assert shell("inspect", "recurrent.mdl", "--json") == 0
    assert json.loads(shell.out) == {"texts": False}


def test_inspect_prints_a_plan_and_compiles_nothing(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(nm, "inspect")
    assert shell("inspect", "recurrent.mdl", "--plan", "--batch", "3") == 0
    assert shell.out == nm.compile(Path("recurrent.mdl"), 3, 0.0).kernel_plan()
    assert shell.out.startswith("Batch of 3, float32, ")


def test_inspect_prints_a_program_and_compiles_nothing(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(nm, "inspect")
    assert shell("inspect", "recurrent.mdl", "--program", "--batch", "3") == 0
    assert shell.out == nm.compile(Path("recurrent.mdl"), 3, 0.0).kernel_program()
    assert shell.out.startswith("Program of training: 16 steps of 3 lanes, ")


def test_what_is_written_replaces_a_file_whole_and_keeps_its_permissions() -> None:
    Path("old.svg").write_text("old")
    Path("old.svg").chmod(0o640)
    Path("link.svg").symlink_to("old.svg")
    files.write("link.svg", b"new")
    assert Path("old.svg").read_text() == "new"
    assert Path("link.svg").is_symlink()
    assert stat.S_IMODE(Path("old.svg").stat().st_mode) == 0o640
    assert not list(Path().glob(".neuromorph-*"))


def test_a_write_that_fails_leaves_the_old_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    Path("old.svg").write_text("old")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        files.write("old.svg", b"new")
    assert caught.value.filename == "old.svg"
    assert [path.name for path in Path().glob("*old*")] == ["old.svg"]
    assert not list(Path().glob(".neuromorph-*"))
    assert Path("old.svg").read_text() == "old"


# Wrong files and arguments --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "nosuch.mdl"], "nosuch.mdl: No such file or directory"),
        (["check", "."], r"\.: Is a directory"),
        (["format", "/dev/zero"], "/dev/zero: a device, not a file with a model"),
        (["check", "m.safetensors"], "m.safetensors: a saved model, and a model description is needed"),
        (["summary", "m.safetensors"], "m.safetensors: No such file or directory"),
        (["summary", "junk.safetensors"], "junk.safetensors: not a saved model: not a safetensors file"),
        (["draw", "net.mdl", "-o", "nosuch/x.svg"], r"nosuch/x.svg: there is no folder .*nosuch"),
        (["draw", "net.mdl", "-o", "taken.svg"], "taken.svg: Is a directory"),
        (["predict", "net.mdl", "--data", "d.npz"], "net.mdl: a text has no parameters; neuromorph train makes a .*"),
        (["evaluate", "unbuilt.safetensors", "--data", "d.npz"], ".*saved before it was built, and has no parameters"),
        ([*TRAIN[:-1], "nosuch/net.safetensors", "--epochs", "1"], "nosuch/net.safetensors: there is no folder .*"),
        ([*TRAIN, "--epochs", "1", "--validation", "nosuch.csv"], "nosuch.csv: No such file or directory"),
        ([*TRAIN, "--epochs", "1", "--rate", "nan"], "learning_rate must be a finite number.*"),
        ([*TRAIN, "--epochs", "1", "--rate", "1e39"], "learning_rate must be at most 3.402823e\\+38.*"),
        ([*TRAIN[:3], "huge.npz", *TRAIN[4:], "--epochs", "1", "-q"], "huge.npz: training diverged: .*"),
    ],
)
def test_trouble_is_one_line_and_exit_code_1(shell: Shell, arguments: list[str], said: str) -> None:
    Path("junk.safetensors").write_text("this is not a model at all")
    Path("taken.svg").mkdir()
    np.savez("huge.npz", inputs=POINTS * 1e38, labels=LABELS)
    nm.compile(CLASSIFIER, 1, 0.0).save("unbuilt.safetensors")
    assert re.fullmatch(said, shell.fails(*arguments))
    assert not Path("net.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["chek"], "No such command 'chek'.*see neuromorph --help.*"),
        (["train", "--dat", "x"], "No such option.*--data.*see neuromorph train --help.*"),
        (["check"], "Missing argument 'FILE...'.*"),
        (["cache"], "Missing command.*see neuromorph cache --help.*"),
        (["draw", "net.mdl", "-o", "x.png"], "--output is x.png, and a drawing ends in .svg or .dot.*"),
        (["completion", "csh"], ".*'csh' is not one of.*"),
        (["train", "net.mdl", "--data", "d.npz", "--epochs", "1"], "Missing option '--save'.*"),
        (["train", "--data", "d.npz", "--epochs", "1"], "give the FILE of a model description, or --resume.*"),
        ([*TRAIN, "--epochs", "0"], ".*0 is not in the range x>=1.*"),
        ([*TRAIN, "--epochs", "1", "--clip", "0"], ".*0.* is not in the range x>0.*"),
        ([*TRAIN, "--epochs", "1", "--validation", "1.5"], "--validation is 1.5, and a fraction lies between.*"),
        ([*TRAIN, "--epochs", "1", "--targets", "a"], "--targets is for tables, and d.npz has no columns.*"),
        ([*TRAIN, "--epochs", "1", "--inputs", "x.npy"], "data come from --data, or from --inputs and --expected.*"),
        ([*TRAIN[:-1], "net.pt", "--epochs", "1"], r"--save is net.pt, .* ends in .safetensors.*"),
        (["train", "a.safetensors", *TRAIN[2:], "--epochs", "1"], ".*is a saved model: go on with it by --resume.*"),
        (["train", "--resume", "m.safetensors", *TRAIN[2:6], "--epochs", "1"], "--batch can't change with --resume.*"),
        (["train", "net.mdl", "--inputs", "x.npy", *TRAIN[4:], "--epochs", "1"], "--inputs needs --expected.*"),
        (["predict", "m.safetensors", "--data", "x.npy", "-o", "y.txt"], "--output is y.txt, and the output ends.*"),
        (["inspect", "net.mdl", "--plan", "--json"], "--plan prints text, and goes with neither.*"),
        (["inspect", "net.mdl", "--program", "--json"], "--program prints text, and goes with neither.*"),
        (["inspect", "net.mdl", "--program", "--plan"], "--plan and --program print one text each; take one.*"),
        (["inspect", "m.safetensors", "--batch", "3"], "--batch and --window are for descriptions.*"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(shell: Shell, arguments: list[str], said: str) -> None:
    assert re.fullmatch(said, shell.fails(*arguments, code=2))


def test_no_text_of_a_file_or_name_can_play_with_the_terminal(shell: Shell) -> None:
    assert shell.fails("check", "bad\x1b[31m\udcff.mdl") == "bad�[31m�.mdl: No such file or directory"
    Path("bytes.mdl").write_bytes(b"/xavier,zero/ \xff\x00\x1b")
    assert shell("check", "bytes.mdl") == 1
    assert re.match(r"error: bytes.mdl:1:15: .*\n .*\n +\^\n$", shell.err)
    assert "\x1b" not in shell.err


def test_out_of_memory_is_one_line(shell: Shell) -> None:
    wide = "(a, 1000000, <tanh>) (b, 1000000, <tanh>)"
    Path("huge.mdl").write_text(f"/xavier,zero/ (i, 2) {wide} (o, 3, <softmax>, <cross_entropy>)")
    assert re.match(r"not enough memory: .*bytes", shell.fails("train", "huge.mdl", *TRAIN[2:], "--epochs", "1"))


# Data files -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def classifier() -> nm.Model:
    return nm.compile(CLASSIFIER, 4, 0.1)


@pytest.fixture(scope="module")
def recurrent() -> nm.Model:
    return nm.compile(RECURRENT, 4, 0.1)


def test_npz_and_npy_and_csv_give_the_same_arrays(classifier: nm.Model) -> None:
    np.save("x.npy", POINTS)
    np.save("y.npy", LABELS)
    rows = [f"{a},{b},{label}" for (a, b), label in zip(POINTS, LABELS, strict=True)]
    Path("plain.csv").write_text("\n".join(rows))
    Path("named.csv").write_bytes("\ufeffkind;p;q\r\n".encode() + b"\r\n".join(
        f"{label};{a};\"{b}\"".encode() for (a, b), label in zip(POINTS, LABELS, strict=True)
    ) + b"\r\n\r\n")  # fmt: skip
    sources = [
        Source(data="d.npz"),
        Source(inputs="x.npy", expected="y.npy"),
        Source(data="plain.csv"),
        Source(data="named.csv", targets="kind"),
        Source(data="named.csv", targets="1"),
    ]
    for source in sources:
        made = layout.prepared(classifier, read(source, classifier), sequences=False)
        np.testing.assert_array_equal(made.inputs.astype(np.float32), POINTS.astype(np.float32))
        np.testing.assert_array_equal(made.expected, LABELS)
        assert made.options == {"sample_weight": None, "lengths": None, "layout": "NW", "missing": "error"}


def test_the_last_columns_of_a_table_are_what_is_expected(classifier: nm.Model) -> None:
    Path("wide.csv").write_text("a\tb\tc\td\te\n1\t2\t0\t1\t0\n")
    found = read(Source(data="wide.csv"), classifier)
    assert found.expected is not None
    assert (found.inputs.tolist(), found.expected.tolist()) == ([[1, 2]], [[0, 1, 0]])
    named = read(Source(data="wide.csv", targets="a, b,c"), classifier)
    assert named.expected is not None
    assert (named.inputs.tolist(), named.expected.tolist()) == ([[1, 0]], [[1, 2, 0]])
    bare = read(Source(data="wide.csv"), classifier, answers=False)
    assert (bare.inputs.tolist(), bare.expected) == ([[1, 2]], None)


MIXED = "as others in it are: correct it; --categories takes all of them as categories, --ignore leaves the column out"
MISSING = "--missing drop leaves such rows out, --missing mean puts the mean of the column there"
LATIN = "iconv -f latin1 -t utf8 converts many of those that are not"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it has no rows"),
        (b"\n\n", "it has no rows"),
        (b"a,b,c\n", "it has no rows"),
        (b"1,2,0\n3,x,1\n", f"line 2, column 2 is 'x', not a number, {MIXED}"),
        (b"1,NA,0\n3,4,1\n", f"line 1, column 2 is 'NA', which stands for a missing value: {MISSING}"),
        (b"1,2,0\n3,1_0,1\n", f"line 2, column 2 is '1_0', not a number, {MIXED}"),
        (b"1,2,0\n3,1e300,1\n", "line 2, column 2 is 1e+300, and must be in the range of float32, -3.4e+38 to 3.4e+38"),
        (b"a,b,c\n1,2,0\n\n3,,1\n", f"line 4, column 2 ('b') is empty: {MISSING}"),
        (b"1,2,0\n3,4\n", "line 2 has 2 columns, and the lines before it 3"),
        (
            b"1,2,3,5\n",
            "its columns but the last become 3 numbers, 1 of column 1, 1 of column 2, 1 of column 3, and the model "
            "takes 2; --targets names the columns of what is expected",
        ),
        (b"1,2,3,4\n", "its first line 1,2,3,4 may be names or values: give --header or --no-header"),
        (b"1,2,nan\n", "column 3 has nothing but missing values, and numbers are expected"),
        (b"1,inf,2\n", "line 1, column 2 is inf, and must be a finite number"),
        (b"a,b,c\n\n1,2,3\n", "line 3, column 3 ('c') is 3, and must be a whole number from 0 to 2"),
        (b"1,2,0\n\xff,4,1\n", f"not a text in UTF-8: see line 2; {LATIN}"),
        (b"1,2,0\n" + b"1" * 200_000, "line 2 has 1 column, and the lines before it 3"),
    ],
)
def test_wrong_tables(shell: Shell, content: bytes, said: str) -> None:
    Path("t.csv").write_bytes(content)
    trouble = shell.fails("train", "net.mdl", "--data", "t.csv", *TRAIN[4:], "--epochs", "1")
    assert trouble == (f"t.csv: {said}")


def test_a_table_without_the_named_column(shell: Shell) -> None:
    Path("t.csv").write_text("a,b,c\n1,2,0\n")
    command = ("train", "net.mdl", "--data", "t.csv", *TRAIN[4:], "--epochs", "1", "--targets")
    assert shell.fails(*command, "d") == "t.csv: it has no column 'd'; its columns are a, b, c"
    assert shell.fails(*command, "a,b") == "t.csv: its columns become 1 number, 1 of 'c', and the model takes 2"
    assert "names a column twice" in shell.fails(*command, "a,a", code=2)
    Path("t.csv").write_text("1,2,0\n")
    assert shell.fails(*command, "4") == "t.csv: it has no column '4'; it has columns 1 to 3"


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("d.txt", b"1 2", "data files end in .npz, .npy, .csv, .*"),
        ("e.npz", b"", "not an NPZ file"),
        ("e.npz", b"junk", "not an NPZ file"),
        ("e.npz", npz(inputs=POINTS, labels=LABELS)[:-30], "not a sound NPZ file: .*"),
        (
            "e.npz",
            npz(inputs=np.array([{}], object), labels=LABELS),
            "it holds Python objects, and only .* are read",
        ),
        ("e.npz", npy(POINTS), "an NPY file under the name of an NPZ file"),
        ("e.npz", npz(x=POINTS, y=LABELS), "it has no array named inputs, but x, y"),
        ("e.npz", npz(inputs=POINTS), "it has neither expected nor labels, and one of them is needed"),
        ("e.npz", npz(inputs=POINTS, expected=POINTS, labels=LABELS), "it has both expected and labels, .*"),
        ("e.npz", npz(inputs=POINTS, labels=LABELS[:9]), r"labels has shape \(9,\), and needs \(10,\) for inputs .*"),
        ("e.npz", npz(inputs=POINTS, labels=LABELS.astype("U")), "labels has the type <U21, and needs real numbers"),
        ("e.npz", npz(inputs=POINTS[:, :1], labels=LABELS), r"inputs has shape \(10, 1\), .* of width 2"),
        ("e.npz", npz(inputs=1.0, labels=LABELS), r"inputs has shape \(\), and needs 2 to 4 axes, .*"),
        ("e.npz", npz(inputs=POINTS[:0], labels=LABELS[:0]), r"inputs is empty, of shape \(0, 2\)"),
        ("e.npz", npz(inputs=POINTS, labels=LABELS - 1), r"labels\[\d\] is -1, and must be a whole number from 0 to 2"),
        ("e.npz", npz(inputs=POINTS, expected=POINTS), r".* needs \(10, 3\), or as labels \(10,\), for .*"),
        ("e.npz", npz(inputs=POINTS, labels=LABELS, sample_weight=1.0), r"sample_weight has shape \(\), .* \(10,\)"),
        (
            "e.npz",
            npz(inputs=POINTS, labels=LABELS, sample_weight=LABELS - 1.0),
            r"sample_weight\[\d\] is -1, and must be 0 or more",
        ),
        (
            "e.npz",
            npz(inputs=POINTS, labels=LABELS, lengths=LABELS),
            "lengths are for sequences, and inputs are vectors",
        ),
        ("e.npz", npz(inputs=POINTS[None], labels=LABELS[None]), r"inputs has 10 on axis 1 \(batch\), but needs 4.*"),
    ],
)
def test_wrong_data_files(shell: Shell, name: str, content: bytes, said: str) -> None:
    Path(name).write_bytes(content)
    trouble = shell.fails("train", "net.mdl", "--data", name, *TRAIN[4:], "--epochs", "1")
    assert re.fullmatch(f"{name}: {said}", trouble), trouble
    assert not Path("net.safetensors").exists()


# Which shape means what -----------------------------------------------------------------------------------------------


def test_sequences_are_packed_and_answer_after_their_last_step(recurrent: nm.Model) -> None:
    inputs, answers, lengths = RNG.normal(size=(6, 5, 1)), RNG.normal(size=(6, 1)), np.array([5, 3, 1, 0, 2, 5])
    made = layout.prepared(recurrent, Arrays("d", inputs, answers, lengths=lengths), sequences=True)
    data = checked(recurrent, made)
    assert data.inputs.shape == data.expected.shape == (2, 5, 4, 1)
    assert data.weights is not None
    assert data.weights.shape == (2, 5, 4)
    for number, length in enumerate(lengths):
        group, lane = divmod(number, 4)
        np.testing.assert_array_equal(data.inputs[group, :, lane], inputs[number].astype(np.float32))
        assert data.weights[group, :, lane].tolist() == [float(step == length - 1) for step in range(5)]
        if length:
            np.testing.assert_array_equal(data.expected[group, length - 1, lane], answers[number].astype(np.float32))
    assert not data.weights[1, :, 2:].any()


def checked(model: nm.Model, made: layout.Prepared) -> TrainingData:
    """What the library makes of the arguments."""
    return check_data(model, made.inputs, made.expected, **made.options)


def test_sequences_with_an_answer_a_step(classifier: nm.Model) -> None:
    inputs, labels = RNG.normal(size=(4, 5, 2)), RNG.integers(0, 3, (4, 5))
    weight = RNG.uniform(0, 1, 4)
    made = layout.prepared(classifier, Arrays("d", inputs, labels=labels, sample_weight=weight), sequences=True)
    data = checked(classifier, made)
    np.testing.assert_array_equal(data.expected, np.eye(3)[labels.T][None])
    np.testing.assert_array_equal(data.weights, np.tile(weight.astype(np.float32), (1, 5, 1)))
    made = layout.prepared(classifier, Arrays("d", inputs, labels=labels), sequences=True)
    assert checked(classifier, made).weights is None


def test_rows_for_a_recurrent_model_are_steps_of_one_lane(recurrent: nm.Model) -> None:
    one = nm.compile(RECURRENT, 1, 0.1)
    made = layout.prepared(one, Arrays("d", POINTS[:, :1], POINTS[:, 1]), sequences=False)
    assert made.inputs.shape == made.expected.shape == (10, 1, 1)
    assert layout.batch_for(one, Arrays("d", POINTS[:, :1]), sequences=False) == 1
    with pytest.raises(Exception, match=r"d: \(steps, width\) is one lane, and the model has a batch of 4"):
        layout.prepared(recurrent, Arrays("d", POINTS[:, :1], POINTS[:, 1]), sequences=False)


@pytest.mark.parametrize(("shape", "lengths"), [((5, 4), (4,)), ((3, 5, 4), (3,)), ((3, 5, 4), (3, 4))])
def test_lengths_of_lanes_and_sequences_are_those_of_fit(
    recurrent: nm.Model, shape: tuple[int, ...], lengths: tuple[int, ...]
) -> None:
    inputs, counts = RNG.normal(size=(*shape, 1)), RNG.integers(0, 6, lengths)
    made = layout.prepared(recurrent, Arrays("d", inputs, inputs, lengths=counts), sequences=False)
    wanted = check_data(recurrent, inputs, inputs, None, counts).weights
    np.testing.assert_array_equal(made.sample_weight, wanted)


def test_the_batch_is_that_of_the_data(classifier: nm.Model, recurrent: nm.Model) -> None:
    for shape, model, sequences, batch in [
        ((7, 3, 2), classifier, False, 3),
        ((2, 7, 5, 1), recurrent, False, 5),
        ((2, 7, 1), recurrent, True, 2),
        ((100, 2), classifier, False, 32),
        ((10, 2), classifier, False, 10),
    ]:
        assert layout.batch_for(model, Arrays("d", np.zeros(shape)), sequences) == batch


def test_a_fraction_is_held_out_of_vectors(classifier: nm.Model) -> None:
    labels = np.repeat([0, 1], [6, 4])
    first, last = layout.held_out(classifier, Arrays("d", POINTS, labels=labels), 0.5, sequences=False)
    assert (len(first.inputs), len(last.inputs)) == (5, 5)
    assert last.labels is not None
    assert first.labels is not None
    assert np.bincount(first.labels).tolist() == np.bincount(last.labels).tolist()[:2] == [3, 2]
    assert sorted(map(tuple, [*first.inputs, *last.inputs])) == sorted(map(tuple, POINTS))
    with pytest.raises(Exception, match=r"of 1 on the first axis, --validation 0\.5 leaves none"):
        layout.held_out(classifier, Arrays("d", POINTS[:1], labels=labels[:1]), 0.5, sequences=False)


HELD: dict[str, tuple[str, tuple[int, ...], Any, bool, Any]] = {
    # the model, the axes of inputs, what is expected, whether these are sequences, and the classes of the first axis
    "vectors of classes": ("classifier", (10, 2), {"expected": np.eye(3)[LABELS]}, False, LABELS),
    "labels as expected": ("classifier", (10, 2), {"expected": LABELS[:, None]}, False, LABELS),
    "labels of sequences": ("classifier", (10, 5, 2), {"labels": LABELS}, True, LABELS),
    "labels of steps": ("classifier", (10, 5, 2), {"labels": np.tile(LABELS[:, None], 5)}, True, None),
    "numbers of sequences": ("recurrent", (10, 5, 1), {"expected": POINTS[:, 1:]}, True, None),
    "sides": ("sides", (10, 2), {"expected": POINTS[:, :1] > 0}, False, POINTS[:, 0] > 0),
}


@pytest.mark.parametrize("case", HELD)
def test_what_is_independent_is_drawn(case: str) -> None:
    name, axes, answers, sequences, classes = HELD[case]
    sides = "/xavier,zero/ (input, 2) (output, 1, <sigmoid>, <binary_cross_entropy>)"
    model = nm.compile({"classifier": CLASSIFIER, "recurrent": RECURRENT, "sides": sides}[name], 4, 0.1)
    inputs = np.arange(10.0).reshape(10, *[1] * (len(axes) - 1)) + np.zeros(axes)
    first, last = layout.held_out(model, Arrays("d", inputs, **answers), 0.4, sequences=sequences)
    kept, out = drawn(10, 4, classes)
    np.testing.assert_array_equal(first.inputs, inputs[kept])
    np.testing.assert_array_equal(last.inputs, inputs[out])
    _, last = layout.held_out(model, Arrays("d", inputs, **answers), 0.4, sequences=sequences, tail=True)
    np.testing.assert_array_equal(last.inputs, inputs[6:])


def test_vectors_and_sequences_in_batches_are_drawn_one_by_one(classifier: nm.Model) -> None:
    labels = np.repeat([0, 1, 2], [20, 20, 8])  # sorted by class, in 6 batches of 8
    inputs = np.stack([np.arange(48.0), labels], axis=1)
    data = layout.Prepared(inputs.reshape(6, 8, 2), labels.reshape(6, 8), None)
    assert units.are_in_batches(classifier, Arrays("d", data.inputs), sequences=False)
    first, last = units.held_out_units(classifier, data, 0.25, "d")
    assert (first.inputs.shape, last.inputs.shape) == ((5, 8, 2), (2, 8, 2))
    assert np.bincount(last.expected[last.sample_weight > 0]).tolist() == [5, 5, 2]
    assert np.bincount(first.expected[first.sample_weight > 0]).tolist() == [15, 15, 6]
    both = np.concatenate([part.inputs[part.sample_weight > 0] for part in (first, last)])
    np.testing.assert_array_equal(both[both[:, 0].argsort()], inputs)

    sequences = np.repeat(inputs[:, None], 3, axis=1).reshape(6, 8, 3, 2).swapaxes(1, 2)  # (N, S, B, W)
    weights = np.ones((6, 3, 8))
    weights[5, :, 7] = 0.0  # padding
    answers = np.eye(3)[np.repeat(labels[:, None], 3, axis=1)].reshape(6, 8, 3, 3).swapaxes(1, 2)
    first, last = units.held_out_units(classifier, layout.Prepared(sequences, answers, weights), 0.25, "d")
    drawn_labels = last.expected[:, 0].argmax(axis=-1)[last.sample_weight[:, 0] > 0]
    assert np.bincount(drawn_labels).tolist() == [5, 5, 2]
    assert (first.sample_weight > 0).sum() == 3 * 35
    for part in (first, last):
        there = part.sample_weight > 0
        np.testing.assert_array_equal(part.inputs[..., 1][there], part.expected.argmax(axis=-1)[there])
    with pytest.raises(Exception, match=r"d: of 1 vector with a weight, --validation 0\.5 leaves none"):
        units.held_out_units(classifier, layout.Prepared(inputs[None, :1], labels[None, :1], None), 0.5, "d")


def test_a_fraction_of_batches_on_the_command_line(tmp_path: Path) -> None:
    labels = np.repeat([0, 1], 24)
    inputs = np.stack([labels - 0.5, 0.5 - labels], axis=1).reshape(6, 8, 2)
    np.savez(tmp_path / "d.npz", inputs=inputs, labels=labels.reshape(6, 8))
    (tmp_path / "net.mdl").write_text("/xavier,zero/ (input, 2) (output, 2, <softmax>, <cross_entropy>)")
    text, data, saved = (str(tmp_path / name) for name in ("net.mdl", "d.npz", "n.safetensors"))
    options = ["--epochs", "40", "--rate", "0.5", "--validation", "0.25", "-q"]
    assert main(["train", text, "--data", data, "--save", saved, *options]) == 0
    model = nm.load(saved)
    assert model.batch_size == 8
    assert model.history is not None
    assert model.history.validation_loss[-1] < 0.1


@pytest.mark.parametrize("axes", [(10, 1), (10, 3, 1)])
def test_where_time_goes_on_the_end_is_held_out(recurrent: nm.Model, axes: tuple[int, ...]) -> None:
    inputs = np.arange(10.0).reshape(10, *[1] * (len(axes) - 1)) + np.zeros(axes)
    _, last = layout.held_out(recurrent, Arrays("d", inputs, inputs), 0.3, sequences=False)
    np.testing.assert_array_equal(last.inputs, inputs[7:])


@pytest.mark.parametrize(
    ("name", "axes", "sequences", "text"),
    [
        ("recurrent", (1000, 50, 1), True, "1,000 sequences of 50 steps, 1 number each"),
        ("recurrent", (1, 50, 4, 1), False, "1 sequence of 50 steps in 4 lanes, 1 number each"),
        ("recurrent", (1, 1), False, "one sequence of 1 step, 1 number each"),
        (
            "recurrent", (1000, 50, 1), False,
            "one sequence of 1,000 steps in 50 lanes, 1 number each; --sequences reads 1,000 sequences of 50 steps",
        ),
        ("classifier", (150, 2), False, "150 vectors, 2 numbers each"),
        ("classifier", (20, 8, 2), False, "20 batches of 8 vectors, 2 numbers each"),
    ],
)  # fmt: skip
def test_a_line_says_how_axes_are_read(
    request: pytest.FixtureRequest, name: str, axes: tuple[int, ...], sequences: bool, text: str
) -> None:
    model = request.getfixturevalue(name)
    assert layout.described(model, Arrays("d", np.zeros(axes)), sequences=sequences) == text


# train, evaluate, predict ---------------------------------------------------------------------------------------------


def test_training_is_that_of_fit_and_says_how_it_went(shell: Shell) -> None:
    assert shell(*TRAIN, "--epochs", "4", "--rate", "0.5") == 0
    assert re.fullmatch(r"net.safetensors: 4 epochs, loss [\d.]+, accuracy 0\.\d{4}, \d+\.\d s\n", shell.out)
    lines = re.findall(r"^epoch (\d)/4: loss [\d.]+$", shell.err, re.MULTILINE)
    assert lines == ["1", "2", "3", "4"]
    nm.seed(5)
    with nm.build(nm.compile(CLASSIFIER, 4, 0.5)) as model:
        inputs, expected, weight = nm.batches(POINTS, LABELS, 4, classes=3)
        history = model.fit(inputs, expected, sample_weight=weight, epochs=4, progress=False)
        assert f"loss {history.loss[-1]:.6g}," in shell.out
        same_parameters(nm.load("net.safetensors"), model)


def same_parameters(one: nm.Model, other: nm.Model) -> None:
    """Bit for bit, what the optimizer remembers too."""
    for left, right in (
        (one.get_parameters(), other.get_parameters()),
        (one.optimizer_state, other.optimizer_state),
        (one.state, other.state),
    ):
        assert left.keys() == right.keys()
        for name, array in left.items():
            np.testing.assert_array_equal(array, right[name], err_msg=name)


def test_validation_early_stopping_log_and_checkpoints(shell: Shell) -> None:
    options = ("--epochs", "6", "--validation", "0.2", "--patience", "1", "--log", "log.csv", "--checkpoint", "2")
    assert shell(*TRAIN, *options, "--rate", "5", "--quiet") == 0
    assert shell.err == ""
    assert re.search(
        r"epochs?, (stopped early, best epoch \d, )?loss .*, validation loss .*, validation accuracy", shell.out
    )
    header, *rows = Path("log.csv").read_text().splitlines()
    assert header == "epoch,loss,validation_loss,learning_rate,seconds"
    assert shell.out.startswith(f"net.safetensors: {len(rows)} epoch")
    losses = [float(row.split(",")[2]) for row in rows]
    best = min(losses)
    said = dict(re.findall(r"(?:^|, )((?:validation )?loss) ([^,]+)", shell.out))
    assert float(said["validation loss"]) == pytest.approx(best, rel=1e-5)
    assert float(said["loss"]) == pytest.approx(float(rows[losses.index(best)].split(",")[1]), rel=1e-5)
    assert shell("evaluate", "net.safetensors", "--data", "held.npz", "--json") == 1
    np.savez("held.npz", inputs=POINTS[8:], labels=LABELS[8:])
    assert shell("evaluate", "net.safetensors", "--data", "held.npz", "--json") == 0
    assert json.loads(shell.out)["loss"] == pytest.approx(best, rel=1e-5)


def test_metrics_and_weights_of_classes(shell: Shell) -> None:
    options = ("--epochs", "2", "--metrics", "accuracy,mae", "--class-weight", "0=1,2=5", "--log", "log.csv")
    assert shell(*TRAIN, *options, "-q") == 0
    assert re.search(r", loss [^,]+, mae [^,]+, accuracy ", shell.out)
    assert Path("log.csv").read_text().startswith("epoch,loss,accuracy,mae,learning_rate,seconds\n")
    nm.seed(5)
    twin = nm.build(nm.compile(Path("net.mdl").read_text(), 4, 0.1))
    inputs, expected, weight = nm.batches(POINTS, LABELS, 4, classes=3)
    twin.fit(inputs, expected, sample_weight=weight, epochs=2, class_weight={2: 5.0}, progress=False)
    same_parameters(twin, nm.load("net.safetensors"))
    assert shell(*TRAIN, "--epochs", "1", "--metrics", "mae") == 0
    assert re.match(r"epoch 1/1: loss [^,]+, mae ", shell.err.splitlines()[-1])


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--metrics", "maee", "metrics must be one of .*, not 'maee'; did you mean 'mae'.*"),
        ("--class-weight", "0:1", "--class-weight is 0:1, and needs a weight for each label, such as 0=1,1=5.*"),
        ("--class-weight", "balance", ".* needs a weight for each label, such as 0=1,1=5, or 'balanced'.*"),
        ("--class-weight", "0=1,0=2", "--class-weight is 0=1,0=2, and needs a weight for each label.*"),
        ("--class-weight", "7=1", "class_weight has the label 7, and the model's labels are 0 to 2.*"),
        ("--class-weight", "1=-1", r"class_weight\[1\] must be a finite number of at least 0, not -1.0.*"),
    ],
)
def test_wrong_metrics_and_weights(option: str, value: str, said: str, shell: Shell) -> None:
    assert re.fullmatch(said, shell.fails(*TRAIN, "--epochs", "1", "-q", option, value, code=2))
    assert not Path("net.safetensors").exists()


def test_a_model_that_is_resumed_goes_on_exactly(shell: Shell) -> None:
    command = ("train", "recurrent.mdl", "--data", "r.npz", "--seed", "2", "--optimizer", "adam", "--window", "4", "-q")
    assert shell(*command, "--epochs", "5", "--save", "straight.safetensors") == 0
    assert shell(*command, "--epochs", "2", "--save", "paused.safetensors") == 0
    before = Path("paused.safetensors").read_bytes()
    resumed = ("train", "--resume", "paused.safetensors", "--data", "r.npz", "-q", "--epochs", "3")
    assert shell(*resumed, "--save", "resumed.safetensors", "--log", "log.csv") == 0
    assert Path("paused.safetensors").read_bytes() == before
    assert [row.split(",")[0] for row in Path("log.csv").read_text().splitlines()] == ["epoch", "2", "3", "4"]
    same_parameters(nm.load("resumed.safetensors"), nm.load("straight.safetensors"))
    assert shell(*resumed) == 0
    same_parameters(nm.load("paused.safetensors"), nm.load("straight.safetensors"))
    assert shell(*resumed, "--rate", "0.25") == 0
    assert nm.load("paused.safetensors").learning_rate == 0.25


def test_a_checkpoint_that_ctrl_c_leaves_and_training_from_there() -> None:
    """Of a process that is told to stop while it trains: its exit code, one line, and a model to go on with."""
    command = [*TRAIN, "--epochs", "1000000"]
    with process(*command) as training:
        assert training.stderr is not None
        while not training.stderr.readline().startswith("epoch 1/"):
            assert training.poll() is None
        training.send_signal(signal.SIGINT)
        out, err = training.communicate(timeout=60)
    assert training.returncode == 130
    assert out == ""
    last = err.strip().splitlines()[-1]
    assert re.fullmatch(
        r"interrupted in epoch \d+; the model as of the last whole update is saved: net.safetensors", last
    )
    assert "Traceback" not in err
    model = nm.load("net.safetensors")
    assert np.isfinite(model.evaluate(*nm.batches(POINTS, LABELS, 4, classes=3)[:2]))


def test_an_interrupt_before_anything_was_learnt_saves_nothing(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    Path("net.safetensors").write_text("the good model of yesterday")
    monkeypatch.setattr(nm.Model, "fit", interrupt)
    assert shell(*TRAIN, "--epochs", "1", "-q") == 130
    assert shell.err == "interrupted before anything was learnt; nothing was saved\n"
    assert Path("net.safetensors").read_text() == "the good model of yesterday"
    monkeypatch.setattr(nm, "build", interrupt)
    assert shell(*TRAIN, "--epochs", "1", "-q") == 130
    assert shell.err == "\ninterrupted\n"  # below the ^C of a terminal


def test_training_is_not_lost_to_a_full_disk(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    save = nm.Model.save

    def full(model: nm.Model, path: str) -> None:
        if path == "net.safetensors":
            raise OSError(28, "No space left on device", path)
        save(model, path)

    monkeypatch.setattr(nm.Model, "save", full)
    assert shell(*TRAIN, "--epochs", "1", "-q") == 1
    found = re.fullmatch(r"error: net.safetensors: No space left on device; the model is in (.*)\n", shell.err)
    assert found
    assert nm.load(found[1]).built
    shutil.rmtree(Path(found[1]).parent)


@pytest.fixture
def trained(shell: Shell) -> nm.Model:
    assert shell(*TRAIN, "--epochs", "1", "-q") == 0
    return nm.load("net.safetensors")


def test_predictions_in_every_form(shell: Shell, trained: nm.Model) -> None:
    wanted = trained.predict(POINTS)
    for name in ("y.npy", "y.npz", "y.csv"):
        assert shell("predict", "net.safetensors", "--data", "d.npz", "-o", name) == 0, shell.err
        assert (shell.out, shell.err) == ("", "d.npz: 10 vectors, 2 numbers each\n")
    np.testing.assert_array_equal(np.load("y.npy"), wanted)
    np.testing.assert_array_equal(np.load("y.npz")["predictions"], wanted)
    np.testing.assert_array_equal(np.loadtxt("y.csv", delimiter=",", dtype=np.float32), wanted)
    assert shell("predict", "net.safetensors", "--data", "d.npz", "--labels") == 0
    assert shell.out.split() == [str(label) for label in wanted.argmax(axis=1)]
    np.save("x.npy", POINTS)
    for option in ("--data", "--inputs"):
        assert shell("predict", "net.safetensors", option, "x.npy", "-o", "y.npy") == 0
        np.testing.assert_array_equal(np.load("y.npy"), wanted)


def test_predictions_of_sequences_come_in_their_order(shell: Shell, trained: nm.Model) -> None:
    inputs = RNG.normal(size=(37, 3, 2)).astype(np.float32)
    np.savez("s.npz", inputs=inputs)
    assert shell("predict", "net.safetensors", "--data", "s.npz", "--sequences", "-o", "y.npy") == 0
    np.testing.assert_allclose(np.load("y.npy"), trained.predict(inputs[:, :, None])[:, :, 0], atol=1e-6)
    said = shell.fails("predict", "net.safetensors", "--data", "s.npz", "--sequences")
    assert said == "the output has shape (37, 3, 3), and CSV two axes: give -o a .npy file"


def test_evaluate_is_that_of_the_library(shell: Shell, trained: nm.Model) -> None:
    inputs, expected, weight = nm.batches(POINTS, LABELS, 4, classes=3)
    loss = trained.evaluate(inputs, expected, sample_weight=weight)
    right = trained.accuracy(inputs, expected, sample_weight=weight)
    assert shell("evaluate", "net.safetensors", "--data", "d.npz") == 0
    assert shell.out == f"loss {loss:.6g}, accuracy {right:.6g}\n"


@pytest.mark.usefixtures("trained")
def test_commands_that_run_models_take_a_number_of_threads(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    load, seen = nm.load, list[int | None]()

    def loaded(path: str, **options: Any) -> nm.Model:
        seen.append(options["threads"])
        return load(path, **options)

    monkeypatch.setattr(nm, "load", loaded)
    for command in ("evaluate", "predict"):
        assert shell(command, "net.safetensors", "--data", "d.npz", "--threads", "2") == 0
        assert shell(command, "net.safetensors", "--data", "d.npz") == 0
        assert shell.fails(command, "net.safetensors", "--data", "d.npz", "--threads", "0", code=2)
    assert seen == [2, None] * 2


# What was learnt is not lost ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["a reader that leaves", "a full disk", "closed"])
def test_training_goes_on_when_stderr_is_gone(end: str) -> None:
    command = [*TRAIN, "--epochs", "500"]
    if end == "a full disk":
        if not Path("/dev/full").exists():
            pytest.skip("the system has no /dev/full")
        with open("/dev/full", "w") as full, process(*command, stderr=full) as learning:
            learning.communicate(timeout=60)
    elif end == "closed":
        with process(*command, closed=2) as learning:
            learning.communicate(timeout=60)
    else:
        with process(*command) as learning:
            assert learning.stderr is not None
            learning.stderr.readline()
            learning.stderr.close()
            assert learning.stdout is not None
            assert learning.stdout.read().startswith("net.safetensors: 500 epochs, loss ")
    assert learning.returncode == 0
    assert nm.load("net.safetensors").built


def breaks_off(monkeypatch: pytest.MonkeyPatch, error: BaseException, epoch: int = 2) -> None:
    """Let training end so in an epoch, from 0 in this call, when it has learnt."""

    def fail(self: nm.Callback, run: Any) -> None:
        if run.epoch == run.initial_epoch + epoch:
            raise error

    monkeypatch.setattr(nm.CSVLog, "after_epoch", fail)


LOGGED = (*TRAIN, "--epochs", "9", "-q", "--log", "log.csv")


def test_whatever_ends_training_the_model_is_saved(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    breaks_off(monkeypatch, OSError(28, "No space left on device", "log.csv"))
    assert shell(*LOGGED) == 1
    assert shell.err == (
        "training broke off in epoch 4; the model as of the last whole update is saved: net.safetensors\n"
        "error: log.csv: No space left on device\n"
    )
    assert nm.load("net.safetensors").built
    Path("net.safetensors").unlink()
    breaks_off(monkeypatch, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        main(list(LOGGED))
    assert nm.load("net.safetensors").built


def test_divergence_leaves_the_best_parameters(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    breaks_off(monkeypatch, nm.TrainingDivergedError("training diverged: so it is"))
    assert shell(*LOGGED, "--patience", "5", "--rate", "0") == 1
    assert shell.err == (
        "training broke off in epoch 4; the model with its best parameters, of epoch 1, is saved: net.safetensors\n"
        "error: d.npz: training diverged: so it is\n"
    )
    before = Path("net.safetensors").read_bytes()
    resumed = ("train", "--resume", "net.safetensors", "--data", "d.npz", *LOGGED[-5:], "--rate", "0.5")
    assert shell(*resumed) == 1
    assert shell.err == "error: d.npz: training diverged: so it is\n"
    assert Path("net.safetensors").read_bytes() == before  # a good model is not replaced by one that diverged
    assert shell(*resumed, "--save", "other.safetensors") == 1
    assert nm.load("other.safetensors").built


def test_training_that_diverges_by_itself(shell: Shell) -> None:
    Path("tanh.mdl").write_text("/xavier,zero/ (x, 2) (y, 1, <linear>, <mse>)")
    np.savez("y.npz", inputs=POINTS, expected=POINTS[:, :1])
    command = ("train", "tanh.mdl", "--data", "y.npz", "--save", "y.safetensors", "--seed", "1", "-q", "--batch", "10")
    assert shell(*command, "--epochs", "1000", "--rate", "5", "--patience", "900") == 1
    said, error = shell.err.splitlines()
    assert re.fullmatch(r"training broke off in epoch \d+; the model with its best .* is saved: y.safetensors", said)
    assert error.startswith("error: y.npz: training diverged: ")
    assert shell("evaluate", "y.safetensors", "--data", "y.npz", "--json") == 0
    assert json.loads(shell.out)["loss"] < 1000.0  # and not the astronomical one of the last finite window


def fails_to_save(monkeypatch: pytest.MonkeyPatch, *errors: BaseException) -> None:
    """Let the first saves end in these errors."""
    save, left = nm.Model.save, list(errors)

    def fail(model: nm.Model, path: str) -> None:
        if left:
            raise left.pop(0)
        save(model, path)

    monkeypatch.setattr(nm.Model, "save", fail)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OSError(27, "File too large"), "File too large"),
        (nm.StorageError("can't save the model: it is not a regular file"), "can't save the model: it is not a re.*"),
        (MemoryError(), "not enough memory"),
    ],
)
def test_a_model_that_can_t_be_saved_at_its_place_is_saved_elsewhere(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, why: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fails_to_save(monkeypatch, error)
    assert shell(*TRAIN, "--epochs", "1", "-q") == 1
    found = re.fullmatch(rf"error: net.safetensors: {why}; the model is in (.*/model.safetensors)\n", shell.err)
    assert found
    assert nm.load(found[1]).built
    assert shell.out.startswith(f"{found[1]}: 1 epoch")


def test_a_model_that_can_be_saved_nowhere(shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fails_to_save(monkeypatch, OSError(27, "File too large"), OSError(28, "No space left on device"))
    assert shell(*TRAIN, "--epochs", "1", "-q") == 1
    assert re.fullmatch(
        r"error: net.safetensors: File too large; .*/model.safetensors: No space left on device; "
        r"the model is not saved\n",
        shell.err,
    )
    assert shell.out.startswith("not saved: 1 epoch")
    assert not list(tmp_path.glob("neuromorph-*"))


def test_ctrl_c_and_a_save_that_fails_do_not_contradict_one_another(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    breaks_off(monkeypatch, KeyboardInterrupt())
    fails_to_save(monkeypatch, OSError(28, "No space left on device"))
    assert shell(*LOGGED) == 130
    first, second = shell.err.splitlines()
    assert re.fullmatch(r"error: net.safetensors: No space left on device; the model is in .*", first)
    assert second == "interrupted in epoch 4"


def test_places_where_no_model_can_be_saved_are_refused_first(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    command = (*TRAIN[:-1], "{}", "--epochs", "1")
    os.mkfifo("pipe.safetensors")
    said = shell.fails(*command[:-3], "pipe.safetensors", *command[-2:])
    assert said == "pipe.safetensors: not a file, but a pipe, a socket or a device"
    for name in ("log.csv/", "log.csv/."):
        assert shell.fails(*TRAIN, "--epochs", "1", "--log", name) == f"{name}: Is a directory"
        assert shell.fails("inspect", "net.mdl", "--html", name) == f"{name}: Is a directory"
    assert not Path("log.csv").exists()
    long = "n" * 250 + ".safetensors"
    assert shell.fails(*command[:-3], long, *command[-2:]) == f"{long}: File name too long"
    Path("net.safetensors").write_text("the model of yesterday")
    with monkeypatch.context() as patched:
        patched.setattr(os, "access", lambda path, mode: str(path) != str(folder.resolve()))
        said = shell.fails(*TRAIN, "--epochs", "1")
        assert said == f"net.safetensors: no permission to write to the folder {folder.resolve()}"
        Path("log.csv").touch()
        files.check_target("log.csv", in_place=True)  # which needs no more than the file


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--log", "net.safetensors"), "--save and --log are the same file: net.safetensors"),
        (("--log", "./d.npz"), "--data and --log are the same file: ./d.npz"),
        (("--log", "net.mdl"), "FILE and --log are the same file: net.mdl"),
        (("--validation", "v.npz", "--log", "v.npz"), "--validation and --log are the same file: v.npz"),
    ],
)
def test_nothing_that_is_read_or_written_is_overwritten(shell: Shell, more: tuple[str, ...], said: str) -> None:
    assert shell.fails(*TRAIN, "--epochs", "1", *more, code=2) == f"{said} (see neuromorph train --help)"


def test_predict_and_draw_do_not_write_over_what_they_read(shell: Shell) -> None:
    said = shell.fails("predict", "net.safetensors", "--data", "d.npz", "-o", "d.npz", code=2)
    assert said.startswith("--data and --output are the same file: d.npz")
    Path("net.svg").write_text(CLASSIFIER)
    assert shell.fails("draw", "net.svg", "-o", "net.svg", code=2).startswith("FILE and --output are the same file")
    assert Path("net.svg").read_text() == CLASSIFIER


# Closed streams and early interrupts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("closed", "arguments", "code", "said"),
    [
        (0, ("check", "-"), 1, "error: stdin: Bad file descriptor\n"),
        (1, ("check", "net.mdl"), 1, "error: stdout: Bad file descriptor\n"),
        (1, ("draw", "net.mdl", "-o", "net.svg"), 0, ""),
    ],
)
def test_closed_streams(closed: int, arguments: tuple[str, ...], code: int, said: str) -> None:
    with process(*arguments, closed=closed) as command:
        assert command.communicate(timeout=60)[1] == said
    assert command.returncode == code


def test_an_interrupt_outside_of_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(arguments: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("neuromorph.cli.entry.run", interrupt)
    assert main(["check"]) == 130


# Data that mean something else ----------------------------------------------------------------------------------------


BINARY = "/xavier,zero/ (x, 2) (yes, 1, <sigmoid>, <binary_cross_entropy>)"


def test_labels_of_a_single_output_are_yes_and_no() -> None:
    answers = np.array([[0.1, 0.9, 0.5], [0.51, -3.0, 0.2]])[..., None]
    model = nm.compile(BINARY, 1, 0.0)
    assert labels_of(model, answers).tolist() == [[0, 1, 0], [1, 0, 0]]
    model = nm.compile("/xavier,zero/ (x, 2) (yes, 1, <linear>, <hinge>)", 1, 0.0)  # between -1 and 1
    assert labels_of(model, answers).tolist() == [[1, 1, 1], [1, 0, 1]]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"expected": [0, 1, 1, 3]}, "expected[3, 0] is 3, and must be a number from 0 to 1 for binary_cross_entropy"),
        ({"expected": [0, 1, 1, 0], "sample_weight": np.zeros(4)}, "nothing in it counts: .* leave out every vector"),
        ({"expected": [0, 1, 1, 0], "sample_weight": [1, 1, -1, 1]}, "sample_weight[2] is -1, and must be 0 or more"),
        ({"expected": [0, 1, 1, 0], "sample_weight": [1, 1, 1, np.nan]}, "sample_weight[3] is nan, .* finite number"),
    ],
)
def test_data_that_no_loss_can_use(shell: Shell, arrays: dict[str, Any], said: str) -> None:
    Path("binary.mdl").write_text(BINARY)
    np.savez("b.npz", inputs=POINTS[:4], **{name: np.array(array) for name, array in arrays.items()})
    command = ("train", "binary.mdl", "--data", "b.npz", "--save", "b.safetensors", "-q", "--epochs", "1")
    assert re.fullmatch(f"b.npz: {said}".replace("[", r"\[").replace("]", r"\]"), shell.fails(*command))


def test_labels_that_hinge_can_not_use_name_their_fix(shell: Shell) -> None:
    Path("signs.mdl").write_text("/xavier,zero/ (x, 2) (yes, 1, <linear>, <hinge>)")
    np.savez("b.npz", inputs=POINTS[:4], expected=np.array([1, 1, 0, 1]))
    said = shell.fails("train", "signs.mdl", "--data", "b.npz", "--save", "b.safetensors", "-q", "--epochs", "1")
    place = "b.npz: expected[2, 0] is 0, and must be -1 or 1 for hinge"
    assert said == f"{place}; 2 * expected - 1 turns 0/1 labels into -1 and 1"


def test_what_does_not_count_may_be_anything(classifier: nm.Model) -> None:
    labels, weight = np.array([0.0, 7.0, np.nan]), np.array([1.0, 0.0, 0.0])
    made = layout.prepared(classifier, Arrays("d", POINTS[:3], labels=labels, sample_weight=weight), sequences=False)
    assert np.isfinite(classifier_loss(made))


def classifier_loss(made: layout.Prepared) -> float:
    with nm.build(nm.compile(CLASSIFIER, 4, 0.1)) as model:
        return model.evaluate(made.inputs, made.expected, **made.options)


def test_sequences_of_no_length_do_not_count(recurrent: nm.Model) -> None:
    inputs, answers = RNG.normal(size=(4, 5, 1)), np.array([[1.0], [np.nan], [2.0], [3.0]])
    lengths = np.array([5, 0, 2, 1])
    made = layout.prepared(recurrent, Arrays("d", inputs, answers, lengths=lengths), sequences=True)
    weights = checked(recurrent, made).weights
    assert weights is not None
    assert weights.sum(axis=1).tolist() == [[1.0, 0.0, 1.0, 1.0]]
    with pytest.raises(Exception, match="d: nothing in it counts"):
        layout.prepared(recurrent, Arrays("d", inputs, answers, lengths=lengths * 0), sequences=True)


def test_the_place_of_a_number_that_is_held_out_is_that_in_the_file(classifier: nm.Model) -> None:
    labels = LABELS.copy()
    labels[9] = 5
    for tail in (True, False):
        for part in layout.held_out(classifier, Arrays("d", POINTS, labels=labels), 0.2, sequences=False, tail=tail):
            if part.labels is not None and 5 in part.labels:
                with pytest.raises(Exception, match=r"d: labels\[9\] is 5"):
                    layout.prepared(classifier, part, sequences=False)
                break
        else:
            pytest.fail("one of the parts has the wrong label")


# Columns of tables ----------------------------------------------------------------------------------------------------


def test_inputs_and_classes_in_a_table_each(classifier: nm.Model) -> None:
    np.savetxt("x.csv", POINTS, delimiter=",")
    np.savetxt("y.csv", LABELS, fmt="%d")
    made = layout.prepared(classifier, read(Source(inputs="x.csv", expected="y.csv"), classifier), sequences=False)
    np.testing.assert_array_equal(made.expected, LABELS)
    np.savetxt("y.csv", LABELS[:, None].repeat(2, axis=1), fmt="%d", delimiter=",")
    with pytest.raises(Exception, match=r"y.csv: expected has shape \(10, 2\), .* or as labels \(10,\), for inputs of"):
        layout.prepared(classifier, read(Source(inputs="x.csv", expected="y.csv"), classifier), sequences=False)
    np.savetxt("y.csv", LABELS + 1, fmt="%d")
    with pytest.raises(Exception, match=r"y.csv: line \d+, column 1 is 3, and must be a whole number from 0 to 2"):
        layout.prepared(classifier, read(Source(inputs="x.csv", expected="y.csv"), classifier), sequences=False)


def test_columns_that_are_left_out(classifier: nm.Model) -> None:
    Path("t.csv").write_text("id,a,b,class\nx1,1,2,0\nx2,3,4,2\n")
    found = read(Source(data="t.csv", ignore="id"), classifier)
    assert found.labels is not None
    assert (found.inputs.tolist(), found.labels.tolist()) == ([[1, 2], [3, 4]], [0, 2])
    assert read(Source(data="t.csv", targets="b", ignore="1,class"), nm.compile(LINE, 1, 0.0)).expected is not None
    with pytest.raises(Exception, match="name the same column"):
        read(Source(data="t.csv", targets="class", ignore="4"), classifier)
    with pytest.raises(Exception, match=r"but the last become 1 number, 1 of 'b', and the model takes 2"):
        read(Source(data="t.csv", ignore="id,a"), classifier)


LINE = "/xavier,zero/ (x, 1) (y, 1, <linear>, <mse>)"


def test_prediction_does_not_read_what_it_does_not_need(classifier: nm.Model) -> None:
    Path("t.csv").write_text("a,b,kind\n1,2,setosa\n3,4,virginica\n")
    for source in (Source(data="t.csv", targets="kind"), Source(data="t.csv")):
        assert read(source, classifier, answers=False).inputs.tolist() == [[1, 2], [3, 4]]


def test_a_name_that_two_columns_have(shell: Shell) -> None:
    Path("t.csv").write_text("a,b,a\n1,2,0\n")
    said = shell.fails("train", "net.mdl", "--data", "t.csv", *TRAIN[4:], "--epochs", "1", "--targets", "a")
    assert said == "t.csv: 2 of its columns are called 'a'; give a number from 1"


# Smaller things -------------------------------------------------------------------------------------------------------


def test_check_knows_the_window(shell: Shell) -> None:
    text = "/xavier,zero/ (i, 3) {m, a, concatenate} [t, (a, 2, <tanh>)] (o, 2, <linear>, <mse>)"
    Path("late.mdl").write_text(text)
    assert shell("check", "late.mdl") == 0
    assert shell.err == ""
    assert shell("check", "late.mdl", "--window", "1") == 0
    assert re.search("warning: late.mdl:1:.*bptt_steps must be at least 2", shell.err)


def test_a_saved_model_is_told_by_its_content(shell: Shell, trained: nm.Model) -> None:
    Path("net.safetensors").rename("model.bin")
    assert shell("summary", "model.bin") == 0
    assert shell.out.rstrip() == trained.summary()
    assert shell("predict", "model.bin", "--data", "d.npz") == 0
    assert shell.fails("check", "model.bin") == "model.bin: a saved model, and a model description is needed"
    assert shell("train", "--resume", "model.bin", "--data", "d.npz", "--epochs", "1", "-q") == 0
    assert shell.out.startswith("model.bin: 1 epoch")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--resume", "net.mdl", "--data", "d.npz"), "--resume takes a saved model, and net.mdl is none.*"),
        ((*TRAIN[1:3], "x.npy", *TRAIN[4:]), "x.npy is one array: give it to --inputs, and what .* to --expected.*"),
    ],
)
def test_usage_that_is_nearly_right(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    assert re.fullmatch(said, shell.fails("train", *arguments, "--epochs", "1", code=2))


def test_a_terminal_without_a_width_gets_lines() -> None:
    master, slave = os.openpty()
    os.set_blocking(master, False)
    try:
        with process(*TRAIN, "--epochs", "2", stderr=slave) as learning:
            learning.communicate(timeout=60)
        said = os.read(master, 10_000).decode()
    finally:
        os.close(slave)
        os.close(master)
    assert "epoch 2/2: loss " in said


def test_the_demonstration_makes_no_folder_in_vain(shell: Shell, folder: Path) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn, which brings the digits, is not installed")
    Path("file").write_text("mine")
    assert shell.fails("demo", "--write", "file") == "file: Not a directory"
    assert "Not a directory" in shell.fails("demo", "--write", "new/../file/x")
    assert not Path("new").exists()


# Pipes, processes, shells ---------------------------------------------------------------------------------------------


def test_a_reader_that_leaves_is_no_trouble() -> None:
    with process("format", "net.mdl") as writing:
        assert writing.stdout is not None
        assert writing.stderr is not None
        writing.stdout.close()
        assert writing.stderr.read() == ""
    assert writing.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_under_stdout_is_one_line(unbuffered: str) -> None:
    env = {"PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full, process("format", "net.mdl", stdout=full, env=env) as writing:
        assert writing.communicate(timeout=60)[1] == "error: No space left on device\n"
    assert writing.returncode == 1


def test_importing_the_package_does_not_import_click() -> None:
    code = "import neuromorph, sys; print('click' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=REPOSITORY).strip() == "False"


def test_the_script_is_the_module() -> None:
    scripts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert scripts == {"neuromorph": f"{main.__module__}:{main.__qualname__}"}


def test_version_and_help(shell: Shell) -> None:
    assert shell("--version") == 0
    assert shell.out == f"neuromorph {nm.__version__}\n"
    assert shell() == 0
    listed = re.findall(r"^  (\w+)  ", shell.out.split("Commands:")[1], re.MULTILINE)
    assert listed[:3] == ["check", "format", "summary"]
    assert "..." not in shell.out.split("Commands:")[1]  # no sentence is cut
    for command in listed:
        assert shell(command, "--help") == 0
        assert "..." not in shell.out.partition("Commands:")[2]
        assert f"neuromorph {command}" in shell.out.split("Options:")[1], command
    assert shell("train", "--help") == 0
    assert max(map(len, shell.out.splitlines())) <= 80


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: Shell, name: str) -> None:
    assert shell("completion", name) == 0
    assert f"_NEUROMORPH_COMPLETE={name}_complete" in shell.out
    assert shell.err == ""


def test_a_real_bash_completes_commands_and_options(folder: Path, shell: Shell) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    assert shell("completion", "bash") == 0
    program = folder / "neuromorph"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{REPOSITORY}" exec "{sys.executable}" -m neuromorph "$@"\n')
    program.chmod(0o755)
    script = shell.out + (
        "COMP_WORDS=(neuromorph ch); COMP_CWORD=1; _neuromorph_completion neuromorph; echo ${COMPREPLY[@]}\n"
        "COMPREPLY=(); COMP_WORDS=(neuromorph train --ep); COMP_CWORD=2; _neuromorph_completion neuromorph\n"
        "echo ${COMPREPLY[@]}\n"
    )
    environ = os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([bash, "--norc", "-c", script], env=environ, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["check", "--epochs"], done.stderr


def test_the_picture_in_the_readme_shows_what_commands_print(shell: Shell) -> None:
    """Of those whose output is the same on every machine; python tools/terminal.py renews it."""
    picture = ElementTree.parse(REPOSITORY / "docs" / "command-line.svg").getroot()
    shown = "\n".join(text.text or "" for text in picture.iter("{http://www.w3.org/2000/svg}text"))
    Path("perceptron.mdl").write_text(demo.PERCEPTRON.lstrip())
    Path("typo.mdl").write_text(demo.PERCEPTRON.lstrip().replace("softmax", "sofmtax"))
    assert shell("check", "typo.mdl") == 1
    assert f"$ neuromorph check typo.mdl\n{shell.err}" in shown
    assert shell("summary", "perceptron.mdl") == 0
    table = re.sub(r"\n+", "\n", shell.out)
    assert f"$ neuromorph summary perceptron.mdl\n{table}" in shown
    assert "error" not in shown.split("$ neuromorph summary")[1]
    typed = re.findall(r"^\$ neuromorph (\w+)", shown, re.MULTILINE)
    assert typed == ["demo", "check", "summary", "train", "evaluate", "predict"]


# cache, demo ----------------------------------------------------------------------------------------------------------


def test_cache(shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from neuromorph.jit import cache

    monkeypatch.setenv("NEUROMORPH_CACHE_DIR", str(tmp_path / "cache"))
    cache.write("ab" * 32, {"kernel.py": b"x" * 1000})
    assert shell("cache", "info") == 0
    size = nm.cache_info().bytes
    assert shell.out == f"{tmp_path / 'cache'}\n1 entry, {size:,} of at most 1,073,741,824 bytes\n"
    assert shell("cache", "list") == 0
    assert re.fullmatch(rf"(ab){{32}} +{size:,}  \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\n", shell.out)
    assert shell("cache", "clear") == 0
    assert shell.out == "removed 1 entry\n"
    (tmp_path / "cache" / "letter.txt").write_text("mine")
    assert "letter.txt' is not of the cache; nothing was removed" in shell.fails("cache", "clear")


def test_the_demonstration_writes_what_train_takes(shell: Shell) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn, which brings the digits, is not installed")
    assert shell("demo", "--write", "digits") == 0
    commands = re.sub(r" \\\n +", " ", shell.out).splitlines()[1:]
    assert len(commands) == 4
    for command, rows in zip(commands[::2], (False, True), strict=True):
        words = command.split()[1:]
        parsed = training.train.make_context("train", words[1:])
        assert parsed.params["sequences"] is (rows or None)
    text = Path("digits/lstm.mdl")
    model = nm.compile(text, 8, 0.1)
    made = layout.prepared(model, read(Source(data="digits/train-rows.npz"), model), sequences=True)
    assert made.inputs.shape == (898, 8, 8)
    assert made.layout == "NSW"


def test_the_demonstration_is_that_of_the_example(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn, which brings the digits, is not installed")
    shown: list[tuple[str, int, int]] = []
    monkeypatch.setattr(demo, "demonstrate", lambda recipe, seeds: shown.append((recipe.title, recipe.epochs, seeds)))
    assert shell("demo", "--epochs", "3") == 0
    assert shown == [(recipe.title, 3, 1) for recipe in demo.RECIPES]


def test_the_demonstration_without_its_data(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert shell.fails("demo").startswith("the digits come with scikit-learn, which is not installed: pip install ")
