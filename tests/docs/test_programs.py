"""The programs in other languages that pages show: they compile and do what the pages say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import neuromorph as nm
from helpers.c_programs import C99, needs, run
from helpers.pages import blocks_of
from helpers.paths import REPOSITORY
from neuromorph.export import to_c

OVERVIEW, TUTORIAL, EXPORT, WEIGHTS = (
    REPOSITORY / "docs" / f"{name}.md" for name in ("overview", "tutorial", "c-export", "reading-weights")
)


def program(page: Path, kind: str) -> str:
    """The one block of a kind on a page."""
    (block,) = blocks_of(page, kind)
    return str(block.text)


@needs("gcc")
@pytest.mark.parametrize(
    ("page", "name", "width", "commands"),
    [(OVERVIEW, "net", 1, 0), (TUTORIAL, "cleaner", 1, 1), (EXPORT, "net", 2, 2)],
    ids=["overview", "tutorial", "c-export"],
)
def test_a_program_around_an_exported_model(
    page: Path, name: str, width: int, commands: int, interpreted: None, tmp_path: Path
) -> None:
    """commands: how many of the page's last blocks of commands are about the program."""
    nm.seed(1)
    text = f"/xavier,zero/ (input, {width}) (h, 4, <lstm>) (output, 1, <linear>, <mse>)"
    model = nm.build(nm.compile(text, 1, 0.1))
    to_c(model, tmp_path / f"{name}.c")
    (tmp_path / "main.c").write_text(program(page, "c"), encoding="ascii")
    run(["gcc", *C99, f"{name}.c", "main.c", "-o", name], tmp_path)
    inputs = np.random.default_rng(0).normal(size=(9, width)).astype(np.float32)
    log = "".join(" ".join(map(str, row)) + "\n" for row in inputs)
    found = np.array(run([f"./{name}"], tmp_path, input=log).split(), np.float32)
    np.testing.assert_allclose(found, model.predict(inputs)[:, 0], rtol=0, atol=1e-6)
    given = blocks_of(page, "sh")
    for block in given[len(given) - commands :]:
        assert run(["sh", "-c", block.text], tmp_path).count("\n") == (4 if page == TUTORIAL else 0)


@pytest.fixture
def weight(interpreted: None, tmp_path: Path) -> np.ndarray:
    """The weight that the programs read, of the model that the page saves."""
    nm.seed(1)
    model = nm.build(nm.compile("/xavier,zero/ (in, 3) (hidden, 5, <tanh>) (out, 2, <linear>, <mse>)", 4, 0.1))
    model.save(tmp_path / "net.safetensors")
    return model.get_parameters()["hidden.weight"]


@pytest.mark.parametrize(
    ("kind", "commands"),
    [
        pytest.param("c", [["gcc", *C99, "program.c", "-o", "program"], ["./program"]], marks=needs("gcc")),
        pytest.param("rust", [["rustc", "program.rust", "-o", "program"], ["./program"]], marks=needs("rustc")),
        pytest.param("js", [["node", "program.js"]], marks=needs("node")),
    ],
    ids=["c", "rust", "js"],
)
def test_programs_that_read_weights(kind: str, commands: list[list[str]], weight: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / f"program.{kind}").write_text(program(WEIGHTS, kind), encoding="ascii")
    printed = [run(command, tmp_path) for command in commands][-1]
    np.testing.assert_array_equal(np.array(printed.split(), np.float32).reshape(weight.shape), weight)
