"""The error tree, places in a text, and messages that show the place.

Every exception that the library raises on purpose is a :class:`NeuromorphError` and also the built-in error
that its kind of trouble is nearest to, so that ``except ValueError`` works without importing anything.
"""

import re
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

_LINE_END = re.compile(r"\r\n|\r|\n")
_WINDOW = 100  # characters of a source line that an error shows
_MARGIN = 2  # spaces before the shown line and before its caret
_NEAR, _NEAR_WORK = 200, 2_000_000  # names, and pairs of characters, that `nearest` compares at most
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
_BRIEF = 60  # characters of a value that an error quotes
_SAID = 200  # and of what another error says


@dataclass(frozen=True)
class Location:
    """A place in a text: line and column, both counted in characters from 1; a tab is one character."""

    line: int
    column: int


class NeuromorphError(Exception):
    """The root of every error that this library raises on purpose."""


class MDLError(NeuromorphError, ValueError):
    """A model description that is wrong, with the place where it is.

    Attributes: ``line`` and ``column`` (from 1), ``filename`` (None for a text that came from no file) and
    ``reason``, what is wrong in one sentence. ``str(error)`` has the place, the reason, the source line and a
    caret below the place.
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
        """Pickle without the source text: the finished message already shows all that is needed of it."""
        return _restore, (type(self), self.args, dict(self.__dict__))


@dataclass(frozen=True)
class Diagnostic:
    """Something to say of a legal text: where it is, what is likely wrong and what to do about it, and the names of the
    nodes it is about.

    ``str`` of it has the place and the message, and where ``source``, the whole text, is known, the line with a caret,
    as errors have them. general: it is about the text as a whole, and ``sentence`` names no place.
    """

    location: Location
    message: str
    names: tuple[str, ...] = ()
    source: str | None = field(default=None, repr=False, compare=False)
    filename: str | None = None
    general: bool = field(default=False, repr=False)

    @property
    def line(self) -> int:
        """From 1."""
        return self.location.line

    @property
    def column(self) -> int:
        """From 1."""
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
            return f"line {self.line}, column {self.column}: {self.message}"
        return f"{self.filename}:{self.line}:{self.column}: {self.message}"

    def of(self, source: str, filename: str | None) -> "Diagnostic":
        """The same about a text that is known."""
        return replace(self, source=source, filename=filename)


class MDLSyntaxError(MDLError):
    """A text that is not of the language: characters, numbers, names, the grammar."""


class MDLSemanticError(MDLError):
    """A text of the language that describes no model: names, functions, widths, input and output, limits."""


class DataError(NeuromorphError, ValueError):
    """Data that does not fit the model: shape, type, or values that are not finite."""


class ModelStateError(NeuromorphError, RuntimeError):
    """A call that the model's state does not allow: not built yet, or released."""


class TrainingDivergedError(NeuromorphError, ArithmeticError):
    """Training stopped because a loss or a gradient is no longer finite."""


class GradientError(NeuromorphError, AssertionError):
    """A gradient that does not agree with central differences."""


class StorageError(NeuromorphError, ValueError):
    """A stored model that is truncated, corrupt, or not a model of this library."""


class MDLWarning(UserWarning):
    """A model description that is legal, but perhaps not what was meant."""


class CacheWarning(UserWarning):
    """The cache of kernels can't be used; the program goes on without it."""


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that ``word`` was most likely meant to be, or None where none is near.

    Upper and lower case are told apart only between candidates that differ in nothing else. The work is
    bounded: of many candidates, only those that begin and end most like the word are compared in full.

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
    """The text, cut where it is longer than so many characters."""
    return text if len(text) <= most else f"{text[:most]}{_ELLIPSIS}"


def brief(value: object) -> str:
    """A value as an error quotes it, and never much of it."""
    try:
        return shortened(repr(value), _BRIEF)
    except Exception:  # an integer of too many digits, or the user's own class
        return f"a value of type {type(value).__name__}"


def said(error: Exception) -> str:
    """The type of an error and what it says, and never much of it."""
    try:
        return shortened(f"{type(error).__name__}: {error}", _SAID)
    except Exception:  # of the user's own class
        return type(error).__name__


def _shared_ends(one: str, other: str) -> int:
    """How many characters two words share at their beginnings and at their ends, counted together."""
    return _shared_beginning(one, other) + _shared_beginning(one[::-1], other[::-1])


def _shared_beginning(one: str, other: str) -> int:
    for index, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return index
    return min(len(one), len(other))


@lru_cache(maxsize=1)
def line_starts(source: str) -> Sequence[int]:
    """Where each line of a text begins. That of the last text is remembered, for hundreds of messages may show it."""
    return array("L", [0, *(end.end() for end in _LINE_END.finditer(source))])


def _restore(kind: type[MDLError], args: tuple[Any, ...], state: dict[str, Any]) -> MDLError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


def _message(reason: str, source: str, location: Location, filename: str | None) -> str:
    place = f"line {location.line}, column {location.column}"
    if filename is not None:
        place = f"{_printable(filename)}:{location.line}:{location.column}"
    line = _line_of(source, location.line)
    head = f"{place}: {reason}"
    return head if line is None else f"{head}\n{_excerpt(line, location.column)}"


def _line_of(source: str, number: int) -> str | None:
    """Line ``number`` of the text without its end; None where the text has no such line."""
    starts = line_starts(source)
    if not 1 <= number <= len(starts):
        return None
    return source[starts[number - 1] : starts[number] if number < len(starts) else None].rstrip("\r\n")


def _excerpt(line: str, column: int) -> str:
    """The line, cut to a window around the column where it is very long, and a caret below the column."""
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
    """The text with each character that could garble a terminal's line replaced by a mark."""
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character == "\t":
        return character
    hidden = unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return _REPLACEMENT if hidden else character


def _blank(character: str) -> str:
    """White space as wide as the character on a terminal."""
    if character == "\t":
        return "\t"
    if unicodedata.category(character) in {"Mn", "Me"}:
        return ""
    return "  " if unicodedata.east_asian_width(character) in "WF" else " "
