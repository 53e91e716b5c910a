"""The examples of searches by other libraries, where these are installed."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from helpers.paths import EXAMPLES


def program(name: str) -> Any:
    found = importlib.util.spec_from_file_location(name, EXAMPLES / "search" / f"{name}.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_optuna_suggests_and_prunes_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    optuna = pytest.importorskip("optuna", reason="optuna is not installed")
    store = tmp_path / "runs.sqlite"
    example = program("optuna_search")
    example.RUNGS = (1, 2, 3)
    example.main(["--batches", "2", "--size", "5", "--workers", "0", "--store", str(store)])
    said = capsys.readouterr().out
    found = re.match(r"10 trials: (\d+) complete, (\d+) pruned\nthe best validation loss is ", said)
    assert found is not None, said
    complete, pruned = map(int, found.groups())
    assert complete + pruned == 10
    assert complete >= 2
    assert pruned >= 2
    assert optuna.__version__
    example.main(["--batches", "2", "--size", "5", "--workers", "0", "--store", str(store)])
    assert capsys.readouterr().out == said, "the same search finds its runs in the store"


def test_scikit_learn_searches_on_dask(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("distributed", reason="distributed is not installed")
    program("sklearn_dask").main(["--workers", "1", "--epochs", "10", "--rates", "0.03"])
    said = capsys.readouterr().out
    found = re.match(r"3 settings, the best accuracy (0\.\d+)\nlearning rate 0.03, and the text\n/xavier,zero/", said)
    assert found is not None, said
    assert float(found.group(1)) > 0.9
