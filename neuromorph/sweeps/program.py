"""The user's program: where workers find it, and how stores name its functions."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

MAIN = "__main__"


def main_program() -> tuple[str, str] | None:
    """This process's program as ``("module", name)`` or ``("path", path)``; None if it comes from no file."""
    program = sys.modules[MAIN]
    spec, path = getattr(program, "__spec__", None), getattr(program, "__file__", None)
    if spec is not None:
        return "module", spec.name
    return None if path is None or not os.path.isfile(path) else ("path", os.path.abspath(path))


def full_name(function: Any) -> str:
    """The module and the name of a function, or of an object that is called, for stores.

    All programs are named ``__main__``; a function of the program has the program's own name in its place.
    """
    kind = function if hasattr(function, "__qualname__") else type(function)
    module = getattr(kind, "__module__", None) or ""
    program = main_program() if module == MAIN else None
    if program is not None:
        how, where = program
        module = where if how == "module" else Path(where).stem
    return f"{module}.{kind.__qualname__}"
