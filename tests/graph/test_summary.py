"""The table of a model: what it says of each kind of node."""

from __future__ import annotations

from pathlib import Path

import pytest

import neuromorph as nm

TEXT = """/xavier,zero/ (in, 4) (a, <standardize>) (c, 8, <conv, 3, 2>) (d, 8, <conv, 2>) {m, c, additive, 3}
{r, r, average} [s, (v, 1, <learned, 0.5>)] (k, <norm>) {w, v, scale} (h, 6, <lstm>)
{t, k, take, 2} {j, h.memory, concatenate}
(out, 2, <restore>, <mse>)"""


@pytest.fixture(scope="module")
def model() -> nm.Model:
    return nm.compile(TEXT, 2, 0.1, frozen="h.*")


def rows(table: str) -> dict[str, list[str]]:
    """The columns of each node's row: kind, width, parameters where it has some, and what it does."""
    found = (line.split(maxsplit=1) for line in table.splitlines()[2 : table.splitlines().index("")])
    return {name: rest.split() for name, rest in found}


def test_what_is_said_of_each_node(model: nm.Model) -> None:
    found = {name: " ".join(columns) for name, columns in rows(nm.summary(model)).items()}
    assert found["a"] == "elementwise 4 8 standardize"
    assert found["c"] == "layer 8 104 conv 3, dilation 2"
    assert found["d"] == "layer 8 136 conv 2"
    assert found["m"] == "merge 8 additive with c 3 steps before"
    assert found["r"] == "merge 8 average with r of the step before"
    assert found["v"] == "elementwise 1 1 learned 0.5"
    assert found["k"] == "elementwise 8 16 norm 1e-05"
    assert found["w"] == "merge 8 scale with v"
    assert found["t"] == "merge 8 take with k 2 steps before"
    assert found["out"].endswith("restore, loss mse")
    assert all(text.endswith("frozen") for name, text in found.items() if name.startswith("h.") and "layer" in text)


def test_links_backward_in_time_with_those_of_convolutions(model: nm.Model) -> None:
    links = nm.summary(model).splitlines()[-1]
    start = "links backward in time: c reads a up to 4 steps before, d reads c, m reads c 3 steps before, r reads r"
    assert links.startswith(f"{start}, h")
    assert links.endswith("t reads k 2 steps before")


def test_cells_fold_into_rows(model: nm.Model) -> None:
    table = nm.summary(model, fold=True)
    assert " ".join(rows(table)["h"]) == "cell 6 360 <lstm>, frozen"
    assert not any(name.startswith("h.") for name in rows(table))
    assert "h reads h, t reads k" in table
    assert f"parameters: {model.parameter_count:,}" in table


def test_texts_and_files_have_summaries_and_pictures_too(tmp_path: Path) -> None:
    text = "/xavier,zero/ (input, 2) (h, 3, <gru>) (output, 1, <linear>, <mse>)"
    model, file = nm.compile(text, 1, 0.1), tmp_path / "net.mdl"
    file.write_text(text)
    for given in (text, file, model):
        assert nm.summary(given, fold=True) == model.summary(fold=True)
        assert nm.draw(given).svg == model.draw().svg
    assert nm.draw(text, tmp_path / "net.dot", fold=True).dot == (tmp_path / "net.dot").read_text()
    for call in (nm.summary, nm.draw):
        with pytest.raises(nm.MDLSyntaxError, match="line 1, column"):
            call("(input, 2")
        with pytest.raises(TypeError, match="mdl must be a text"):
            call(5)  # type: ignore[arg-type]
