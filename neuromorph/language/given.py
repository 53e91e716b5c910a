"""Reads the text of a model that a user gives, as a text or as a path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..errors import Location, MDLSyntaxError


def text_of(mdl: Any) -> tuple[str, str | None]:
    """The text, and the name of its file, or None if ``mdl`` is no path."""
    if isinstance(mdl, os.PathLike):
        path = Path(mdl)
        return path.read_bytes().decode("utf-8", errors="surrogateescape"), str(path)
    if not isinstance(mdl, str):
        raise TypeError(f"mdl must be a text (str) or a path object, not {type(mdl).__name__}")
    if mdl.casefold().endswith(".mdl") and mdl.isprintable() and not set("(#") & set(mdl):
        reason = "this looks like the name of a file; to read the file, pass it as a path, pathlib.Path(...)"
        raise MDLSyntaxError(reason, source=mdl, location=Location(1, 1))
    return mdl, None
