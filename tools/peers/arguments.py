"""Checks of command-line arguments that several tools take."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path


def whole_number(least: int) -> Callable[[str], int]:
    """A function that turns an argument's text into a whole number of at least ``least``."""

    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= least):
            raise argparse.ArgumentTypeError(f"a whole number of at least {least}, not {text!r}")
        return int(text)

    return number


def new_file(text: str) -> Path:
    """The path of a file to write. It is checked before the work begins, which may take an hour."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"no file in an existing folder: {text!r}")
    return path
