"""What the tests of the cache share: warnings caught, and other Python processes."""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neuromorph.errors import CacheWarning

REPOSITORY = Path(__file__).resolve().parent.parent


def told(action: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What an action gives, and the cache warnings that it gave."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = action()
    return result, [str(item.message) for item in caught if issubclass(item.category, CacheWarning)]


def temporaries(folder: Path) -> list[str]:
    return [item.name for item in folder.iterdir() if item.name.startswith(".tmp-")]


def python(code: str, folder: Path, **environ: str) -> "subprocess.Popen[str]":
    """A new Python process with this cache folder."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("NEUROMORPH_")}
    environ = {**known, "PYTHONPATH": str(REPOSITORY), "NEUROMORPH_CACHE_DIR": str(folder), **environ}
    command = [sys.executable, "-W", "always::UserWarning", "-c", code]
    return subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder.parent
    )


def finished(process: "subprocess.Popen[str]") -> tuple[str, str]:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output.strip(), errors
