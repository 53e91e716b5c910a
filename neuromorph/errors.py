"""The exceptions of the library, places in a text, and messages that show a place.

Every exception that the library raises on purpose is a :class:`NeuromorphError` and also the nearest built-in error, so
that ``except ValueError`` works without importing anything.
"""

import re
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field, replace
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from .host.frozen import frozen

_LINE_END = re.compile(r"\r\n|\r|\n")
_WINDOW = 100  # characters of a source line that an error shows
_MARGIN = 2  # spaces before the shown line and before its caret
_NEAR, _NEAR_WORK = 200, 2_000_000  # the most names, and the most pairs of characters, that `nearest` compares
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
_BRIEF = 60  # characters of a value that an error quotes
_SAID = 200  # characters of another error's message that an error quotes


@frozen
class Location:
    """A place in a text: line and column, both from 1. Columns count characters; a tab is one character."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


class NeuromorphError(Exception):
    """The base class of every error that this library raises on purpose."""


class MDLError(NeuromorphError, ValueError):
    """A mistake in a model description, with its place.

    Attributes: ``line`` and ``column`` (from 1), ``filename`` (None for a text that came from no file) and ``reason``,
    which says in one sentence what is wrong. ``str(error)`` has the place, the reason, the source line and a caret
    below the place.
    """

    line: int
    column: int
    filename: str | None
    reason: str

    def __init__(self, reason: str, *, source: str, location: Location, filename: str | None = None) -> None:
        self.line = location.line
        self.column = location.column
        self.filename = filename
        self.reason = reason
        super().__init__(_message(reason, source, location, filename))

    def __reduce__(self) -> tuple[Callable[..., "MDLError"], tuple[Any, ...]]:
        """Pickle the error without the source text, since the finished message has the line that it shows."""
        return _restore, (type(self), self.args, dict(self.__dict__))


@frozen
class Diagnostic:
    """A remark on a legal text: its place, what is likely wrong and how to mend it, and the names of the nodes
    concerned.

    ``str`` of it has the place and the message. If ``source``, the whole text, is known, it also shows the line with a
    caret, as errors do. general: whether it concerns the text as a whole; ``sentence`` then names no place.
    """

    location: Location
    message: str
    names: tuple[str, ...] = ()
    source: str | None = field(default=None, repr=False, compare=False)
    filename: str | None = None
    general: bool = field(default=False, repr=False)

    @property
    def line(self) -> int:
        """The line of the place, from 1."""
        return self.location.line

    @property
    def column(self) -> int:
        """The column of the place, from 1."""
        return self.location.column

    def __str__(self) -> str:
        source = "" if self.source is None else self.source
        shown = str(MDLError(self.message, source=source, location=self.location, filename=self.filename))
        return shown if self.source is not None else shown.partition("\n")[0]

    def sentence(self) -> str:
        """The place and the message in one line."""
        if self.general:
            return self.message
        if self.filename is None:
            return f"{self.location}: {self.message}"
        return f"{self.filename}:{self.line}:{self.column}: {self.message}"

    def of(self, source: str, filename: str | None) -> "Diagnostic":
        """The same remark with the text that it is about."""
        return replace(self, source=source, filename=filename)


class MDLSyntaxError(MDLError):
    """A text does not follow the grammar of the language: wrong characters, numbers, names or order."""


class MDLSemanticError(MDLError):
    """A text follows the grammar but describes no model: wrong names, functions, widths, input, output, or a limit."""


class DataError(NeuromorphError, ValueError):
    """Data do not fit the model: wrong shape, wrong type, or values that are not finite."""


class ModelStateError(NeuromorphError, RuntimeError):
    """The state of the model does not allow a call: it is not built yet, or it is released."""


class TrainingDivergedError(NeuromorphError, ArithmeticError):
    """Training stopped because a loss or a gradient is no longer finite."""


class ClusterError(NeuromorphError, RuntimeError):
    """A cluster can't go on with a run: it has no workers left, or its scheduler can't be reached."""


class GradientError(NeuromorphError, AssertionError):
    """A gradient does not agree with central differences."""


class StorageError(NeuromorphError, ValueError):
    """A stored model is truncated, corrupt, or not a model of this library."""


class ConversionError(NeuromorphError, ValueError):
    """A network of another library has a layer that no text here computes."""


class MDLWarning(UserWarning):
    """A model description is legal, but perhaps not what its writer meant."""


class DataWarning(UserWarning):
    """Data fit the model, but perhaps mean something else than they are read as."""


class CacheWarning(UserWarning):
    """The cache of kernels can't be used; the program goes on without it."""


class CompilerWarning(UserWarning):
    """Kernels can't be compiled in the background; models go on without kernels of their own."""


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that ``word`` most likely means, or None if none is near.

    Upper and lower case count only between candidates that differ in nothing else. The work is bounded: of many
    candidates, only those whose beginnings and ends are most like the word's are compared in full.

    >>> nearest("sigmiod", ["tanh", "sigmoid", "relu"])
    'sigmoid'
    """
    ranked = sorted(set(candidates), key=lambda name: (name != word, -_shared_ends(name, word), name))
    folded: dict[str, str] = {}
    for name in ranked[: min(_NEAR, _NEAR_WORK // (len(word) ** 2 + 1) + 1)]:
        folded.setdefault(name.casefold(), name)
    matches = get_close_matches(word.casefold(), folded, n=1)
    return folded[matches[0]] if matches else None


def shortened(text: str, most: int) -> str:
    """The text, cut to at most ``most`` characters."""
    return text if len(text) <= most else f"{text[:most]}{_ELLIPSIS}"


def one_line(text: str) -> str:
    """The text with a mark in the place of each character that can't be shown, such as those that steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def brief(value: object) -> str:
    """A short text that shows a value in an error message."""
    try:
        return shortened(repr(value), _BRIEF)
    except Exception:  # an integer has too many digits, or the user's own class raises an error
        return f"a value of type {type(value).__name__}"


def said(error: Exception) -> str:
    """A short text with the type and the message of an error."""
    try:
        return shortened(f"{type(error).__name__}: {error}", _SAID)
    except Exception:  # the user's own class raises an error
        return type(error).__name__


def _shared_ends(one: str, other: str) -> int:
    """The number of characters that two words share at their beginnings plus those at their ends."""
    return _shared_beginning(one, other) + _shared_beginning(one[::-1], other[::-1])


def _shared_beginning(one: str, other: str) -> int:
    for index, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return index
    return min(len(one), len(other))


@lru_cache(maxsize=1)
def line_starts(source: str) -> Sequence[int]:
    """The offset at which each line of a text begins. The last result is kept, since many messages may use it."""
    return array("L", [0, *(end.end() for end in _LINE_END.finditer(source))])


def _restore(kind: type[MDLError], args: tuple[Any, ...], state: dict[str, Any]) -> MDLError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


def _message(reason: str, source: str, location: Location, filename: str | None) -> str:
    place = str(location)
    if filename is not None:
        place = f"{_printable(filename)}:{location.line}:{location.column}"
    line = _line_of(source, location.line)
    head = f"{place}: {reason}"
    return head if line is None else f"{head}\n{_excerpt(line, location.column)}"


def _line_of(source: str, number: int) -> str | None:
    """Line ``number`` of the text without its line break; None if the text has no such line."""
    starts = line_starts(source)
    if not 1 <= number <= len(starts):
        return None
    return source[starts[number - 1] : starts[number] if number < len(starts) else None].rstrip("\r\n")


def _excerpt(line: str, column: int) -> str:
    """The line and a caret below the column. Of a very long line, only a part around the column is shown."""
    caret = min(max(column - 1, 0), len(line))
    start = max(0, min(caret - _WINDOW // 2, len(line) - _WINDOW))
    shown = _printable(line[start : start + _WINDOW])
    before, after = shown[: caret - start], shown[caret - start :]
    head = _ELLIPSIS if start > 0 else ""
    tail = _ELLIPSIS if start + _WINDOW < len(line) else ""
    margin = " " * _MARGIN
    blank = "".join(map(_blank, head + before))
    return f"{margin}{head}{before}{after}{tail}\n{margin}{blank}^"


def _printable(text: str) -> str:
    """The text, with characters that could garble a line of a terminal replaced by a mark."""
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character == "\t":
        return character
    hidden = unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return _REPLACEMENT if hidden else character


def _blank(character: str) -> str:
    """White space that is as wide as the character on a terminal."""
    if character == "\t":
        return "\t"
    if unicodedata.category(character) in {"Mn", "Me"}:
        return ""
    return "  " if unicodedata.east_asian_width(character) in "WF" else " "
