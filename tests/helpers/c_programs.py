"""Compiles exported C and runs it in this process or, for other processors, in an emulator."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

STRICT = ["-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
C99 = ["-std=c99", *STRICT]


def needs(program: str) -> pytest.MarkDecorator:
    """Skips a test if a program is missing, or is only a place to install one from."""
    return pytest.mark.skipif(not _runs(program), reason=f"there is no {program}")


@cache
def _runs(program: str) -> bool:
    if shutil.which(program) is None:
        return False
    return subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0


def run(command: Sequence[str | Path], folder: Path, **more: Any) -> str:
    """What a command prints. It must succeed and print nothing to stderr."""
    done = subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True, timeout=120, **more)
    assert (done.returncode, done.stderr) == (0, ""), f"{command}: {done.returncode}\n{done.stderr[:2000]}"
    return done.stdout


class Library:
    """Exported models in one shared library."""

    def __init__(self, folder: Path, names: Sequence[str], *flags: str, compiler: str = "gcc") -> None:
        self.folder = folder
        sources, library = [f"{name}.c" for name in names], f"{names[0]}{''.join(flags)}.so"
        run([compiler, *C99, *flags, "-shared", "-fPIC", *sources, "-lm", "-o", library], folder)
        self.functions = ctypes.CDLL(str(folder / library))

    def outputs(self, name: str, inputs: np.ndarray, width: int) -> np.ndarray:
        """The outputs (S, width) of one model for inputs (S, W_in), from the beginning of a sequence."""
        state = (ctypes.c_char * figure(self.folder / f"{name}.c", "RAM"))()
        outputs = np.full((len(inputs), width), 7.0, inputs.dtype)
        getattr(self.functions, f"{name}_init")(state)
        for x, y in zip(np.ascontiguousarray(inputs), outputs, strict=True):
            step = getattr(self.functions, f"{name}_step")
            step(state, *(array.ctypes.data_as(ctypes.c_void_p) for array in (x, y)))
        return outputs


def figure(source: Path, what: str) -> int:
    """A number of the comment at the beginning of a source, such as the bytes of RAM."""
    found = re.search(rf"^ \* {what}: ([\d,]+)", source.read_text(encoding="ascii"), re.MULTILINE)
    assert found is not None
    return int(found[1].replace(",", ""))
