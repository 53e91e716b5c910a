"""Issues warnings that point at the user's line which called this library."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

_INSIDE = frozenset({"neuromorph", "contextlib", "functools"})  # packages whose frames are skipped


def warn_user(message: str, category: type[Warning], *, again: bool = False) -> None:
    """Issue a warning at the user's line.

    Python shows a message once for each line and keeps a record in the line's module. again: show the message even if
    it was shown before, unless a filter forbids it.
    """
    frame = _user_frame()
    names = frame.f_globals
    registry = None if again else names.setdefault("__warningregistry__", {})
    warnings.warn_explicit(message, category, frame.f_code.co_filename, frame.f_lineno, names.get("__name__"), registry)


def _user_frame() -> FrameType:
    """The innermost frame outside this package, or else the outermost frame."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _INSIDE:
        frame = frame.f_back
    return frame
