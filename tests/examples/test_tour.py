"""The notebook ``tour.ipynb``: its cells run, and print what is stored in it."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from typing import Any

import pytest

from helpers.pages import renew
from helpers.paths import EXAMPLES

PATH = EXAMPLES / "tour.ipynb"
CELLS: list[dict[str, Any]] = [
    cell for cell in json.loads(PATH.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"
]


def printed(cell: dict[str, Any]) -> str:
    """What is stored of a cell's output on stdout and stderr."""
    return "".join("".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream")


def test_its_cells_print_what_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="matplotlib is not installed")
    pyplot.switch_backend("agg")
    pyplot.close("all")  # what other tests left open
    monkeypatch.setattr(pyplot, "show", lambda: None)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(CELLS):
        with redirect_stdout(io.StringIO()) as shown:
            exec(compile("".join(cell["source"]), f"tour.ipynb, code cell {number}", "exec"), namespace)
        assert renew.alike(shown.getvalue(), printed(cell)), number
    (figure,) = map(pyplot.figure, pyplot.get_fignums())
    assert [len(axes.lines) for axes in figure.axes] == [1, 4]
    pyplot.close("all")


def test_its_outputs_are_stored_and_it_is_small() -> None:
    kinds = {kind for cell in CELLS for output in cell["outputs"] for kind in output.get("data", ())}
    assert {"image/svg+xml", "image/png"} <= kinds
    assert not any(output["output_type"] == "error" for cell in CELLS for output in cell["outputs"])
    assert PATH.stat().st_size < 150_000


def test_it_runs_in_a_kernel_of_jupyter() -> None:
    """As a reader runs it, where these packages are installed."""
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    notebook = nbformat.read(PATH, as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    again = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, (cell, stored) in enumerate(zip(again, CELLS, strict=True)):
        assert renew.alike(printed(cell), printed(stored)), number
