"""The cells that come with the library: definitions in a file of MDL."""

from functools import cache
from pathlib import Path

from .parser import parse
from .syntax import Definition

FILE = Path(__file__).with_name("cells.mdl")


@cache
def library() -> tuple[Definition, ...]:
    """The definitions of the library's cells, in the order of the file."""
    return parse(FILE.read_text(encoding="utf-8"), FILE.name).definitions
