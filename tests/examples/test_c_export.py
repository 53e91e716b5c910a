"""The example that runs a network as a C program in a pipe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import neuromorph as nm
from helpers.c_programs import needs
from helpers.paths import EXAMPLES
from helpers.scripts import loaded

FOLDER = EXAMPLES / "c_export"


@needs("gcc")
def test_the_program_in_the_pipe_gives_what_python_gives(
    interpreted: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With fewer ovens and steps, and without training, which the example does for some seconds."""
    script = loaded(FOLDER / "sensor.py")
    monkeypatch.setattr(script, "STEPS", 100)
    nm.seed(1)
    model = nm.build(nm.compile(FOLDER / "sensor.mdl", 1, 0.01))
    readings, true = script.oven(np.random.default_rng(0))
    nm.adapt(model, readings[:, None, None], true[:, None, None])
    script.show(model, tmp_path)
    *errors, difference = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in errors] == ["error of the readings", "error of the network"]
    assert float(difference.partition(": ")[2].split()[0]) < 1e-3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["filter", "log.txt", "sensor.c", "sensor.h"]
