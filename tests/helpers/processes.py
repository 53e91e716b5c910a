"""Starts other Python processes, each with its own cache folder."""

import os
import subprocess
import sys
from pathlib import Path

from helpers.paths import REPOSITORY


def python(code: str, folder: Path, **environ: str) -> "subprocess.Popen[str]":
    """A new Python process that uses this cache folder. environ: more environment variables."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("NEUROMORPH_")}
    own = {"PYTHONPATH": str(REPOSITORY), "NEUROMORPH_CACHE_DIR": str(folder), "NEUROMORPH_TIER": "compiled"}
    environ = {**known, **own, **environ}
    command = [sys.executable, "-W", "always::UserWarning", "-c", code]
    return subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder.parent
    )


def finished(process: "subprocess.Popen[str]") -> tuple[str, str]:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output.strip(), errors
