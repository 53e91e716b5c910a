"""Finds the user's line that called this library, which warnings point at."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

_INSIDE = frozenset({"neuromorph", "contextlib", "functools"})  # packages whose frames are not the user's


def warn_user(message: str, category: type[Warning], *, again: bool = False) -> None:
    """Warn at the user's line.

    Python shows a text once for each line, by a registry of the line's module. again: it is shown although it was shown
    before, unless a filter says otherwise.
    """
    frame = _user_frame()
    names = frame.f_globals
    registry = None if again else names.setdefault("__warningregistry__", {})
    warnings.warn_explicit(message, category, frame.f_code.co_filename, frame.f_lineno, names.get("__name__"), registry)


def _user_frame() -> FrameType:
    """The innermost frame outside this package, or the outermost of all."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _INSIDE:
        frame = frame.f_back
    return frame
