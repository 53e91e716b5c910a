"""The command ``export``."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

import neuromorph as nm
from neuromorph.cli import main

TEXT = "/xavier,zero/ (input, 3) (a, 4, <sin>) {m, a, additive, 1} (output, 2, <linear>, <mse>)"


@pytest.fixture(autouse=True)
def model(interpreted: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nm.Model:
    """A saved model in the folder in which commands run."""
    monkeypatch.chdir(tmp_path)
    nm.seed(1)
    built = nm.build(nm.compile(TEXT, 1, 0.1))
    built.save("net.safetensors")
    return built


def test_a_saved_model_is_written_as_c(model: nm.Model, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "net.safetensors", "-o", "made.c"]) == 0
    assert capsys.readouterr() == ("", "")
    nm.export.to_c(model, "made_here.c")
    there, here = (
        Path(f"{name}.c").read_text().replace(name.upper(), "N").replace(name, "n") for name in ("made_here", "made")
    )
    assert here == there
    assert Path("made.h").exists()
    assert "<math.h>" in here


def test_without_libm() -> None:
    assert main(["export", "net.safetensors", "-o", "made.c", "--no-libm"]) == 0
    assert "<math.h>" not in Path("made.c").read_text()


@pytest.mark.parametrize(("options", "form"), [([], "step"), (["--form", "sequence"], "sequence")])
def test_a_saved_model_is_written_as_onnx(model: nm.Model, options: list[str], form: str) -> None:
    pytest.importorskip("onnx")
    assert main(["export", "net.safetensors", "-o", "made.onnx", *options]) == 0
    nm.export.to_onnx(model, "here.onnx", form)
    assert Path("made.onnx").read_bytes() == Path("here.onnx").read_bytes()


def test_without_onnx_the_error_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", "net.safetensors", "-o", "made.onnx"]) == 1
    assert capsys.readouterr().err == "error: to_onnx needs onnx: pip install 'neuromorph[onnx]'\n"
    assert not Path("made.onnx").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["net.safetensors"], 2, "Missing option '-o' / '--output'"),
        (["net.safetensors", "-o", "made.h"], 2, "--output is made.h, and an exported model ends in .c or .onnx"),
        (["net.safetensors", "-o", "made.c", "--form", "step"], 2, "--form is for .onnx files, and C runs one"),
        (["net.safetensors", "-o", "made.onnx", "--no-libm"], 2, "--no-libm is for .c files"),
        (["net.safetensors", "-o", "no-name.c"], 1, "'no-name': it is no C identifier"),
        (["net.safetensors", "-o", "nowhere/made.c"], 1, "nowhere/made.c: there is no folder"),
        (["nosuch.safetensors", "-o", "made.c"], 1, "nosuch.safetensors: No such file"),
        (["net.mdl", "-o", "made.c"], 1, "a text has no parameters; neuromorph train makes a model of it"),
        (["raw.safetensors", "-o", "made.c"], 1, "was saved before it was built, and has no parameters"),
        (["as.c", "-o", "as.c"], 2, "MODEL and --output are the same file"),
    ],
)
def test_wrong_use_is_one_line(arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("net.mdl").write_text(TEXT)
    nm.compile(TEXT, 1, 0.1).save("raw.safetensors")
    Path("as.c").write_bytes(Path("net.safetensors").read_bytes())
    before = sorted(os.listdir())
    assert main(["export", *arguments]) == code
    assert re.fullmatch(rf"error: .*{re.escape(said)}.*\n", capsys.readouterr().err)
    assert sorted(os.listdir()) == before
