"""The plant that is identified on line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from helpers.paths import EXAMPLES


def test_a_plant_is_followed_when_it_changes(tmp_path: Path) -> None:
    """A short run: learning must be worth it all the same."""
    plot = tmp_path / "new" / "plant.png"
    done = subprocess.run(
        [sys.executable, EXAMPLES / "plant.py", "--steps", "8000", "--seeds", "2", "--plot", plot],
        capture_output=True, text=True, timeout=300,
        env=os.environ | {"MPLCONFIGDIR": str(tmp_path), "NEUROMORPH_TIER": "instant"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    for seed in range(2):
        found = re.search(rf"seed {seed}: (.*)", done.stdout)
        assert found is not None
        first, before, _, end, stopped = map(float, re.findall(r"(0\.\d{3}|[1-9]\d*\.\d{3})", found.group(1))[:5])
        assert before < 0.5 * first
        assert end < 0.5 * stopped
    if find_spec("matplotlib") is None:
        assert "matplotlib is not installed" in done.stdout
    else:
        assert plot.read_bytes().startswith(b"\x89PNG")


def test_wrong_counts_are_refused() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "plant.py", "--seeds", "0"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "whole number of at least 1" in done.stderr
