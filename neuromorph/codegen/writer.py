"""Collects indented lines of source text. Generated source needs no template engine beyond this."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ..host.frozen import frozen

_WORD = re.compile(r"\w+")


@frozen
class Span:
    """The lines, from ``first`` to ``last``, of ``what``. In a finished source, lines count from 1."""

    what: object
    first: int
    last: int


class Writer:
    """Collects lines, and records which lines belong to which function or operation."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._spans: list[Span] = []
        self._depth = 0
        self._names: dict[str, str] = {}

    def line(self, text: str = "") -> None:
        """Add one line at the current depth."""
        self._lines.append("    " * self._depth + text if text else "")

    def lines(self, *texts: str) -> None:
        """Add several lines."""
        for text in texts:
            self.line(text)

    def append(self, other: Writer) -> None:
        """Add all lines and spans of another writer, at the current depth."""
        before = self.length
        self.lines(*other._lines)
        self._spans += [Span(span.what, span.first + before, span.last + before) for span in other._spans]

    def comment(self, text: str) -> None:
        """Add a comment of one line. Characters that are not printable ASCII are escaped."""
        if not (text.isascii() and text.isprintable()):
            text = "".join(c if " " <= c <= "~" else ascii(c)[1:-1] for c in text)
        self.line(f"# {text}".rstrip())

    @contextmanager
    def block(self, opening: str) -> Iterator[None]:
        """Add the line ``opening``, and indent the lines that are added inside."""
        self.line(opening)
        self._depth += 1
        yield
        self._depth -= 1

    @contextmanager
    def span(self, what: object) -> Iterator[None]:
        """Record that the lines added inside belong to ``what``."""
        first = self.length + 1
        yield
        self._spans.append(Span(what, first, self.length))

    @property
    def spans(self) -> tuple[Span, ...]:
        """The spans so far. A span inside another one comes before it."""
        return tuple(self._spans)

    @property
    def length(self) -> int:
        """The number of lines so far."""
        return len(self._lines)

    def may_name(self, expression: str, name: str) -> None:
        """Give an expression a name, for the case that it occurs more than once in the block of ``naming``."""
        self._names[expression] = name

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Compute each named expression that occurs more than once inside only once, at the start of the block.

        LLVM would find these expressions by itself, but half of the build time is spent on the statements that it gets.
        """
        start = self.length
        self._names.clear()
        yield
        self.name_repeated(start, self._names)

    def name_repeated(self, start: int, names: Mapping[str, str]) -> None:
        """Replace each expression in ``names`` that occurs more than once from line ``start`` on by its name.

        The definitions of the names are inserted at ``start``. The expressions must begin with a word and not overlap,
        and their values must not change within these lines.
        """
        body, by_word = self._lines[start:], dict[str, list[str]]()
        for expression in names:
            by_word.setdefault(_WORD.match(expression).group(), []).append(expression)  # type: ignore[union-attr]
        found = [_occurrences(line, by_word) for line in body]
        times = Counter(expression for places in found for _, expression in places)
        named = {expression: name for expression, name in names.items() if times[expression] > 1}
        lines = [_with_names(line, places, named) for line, places in zip(body, found, strict=True)]
        first = ["    " * self._depth + f"{name} = {expression}" for expression, name in named.items()]
        self._lines[start:] = first + lines

    def text(self) -> str:
        """All lines as one text, which ends in a newline."""
        return "\n".join(self._lines) + "\n"


def _occurrences(line: str, by_word: Mapping[str, list[str]]) -> list[tuple[int, str]]:
    """The places of expressions in a line, as whole words. by_word: the expressions by their first word."""
    return [
        (word.start(), expression)
        for word in _WORD.finditer(line)
        for expression in by_word.get(word.group(), ())
        if line.startswith(expression, word.start()) and not _WORD.match(line, word.start() + len(expression))
    ]


def _with_names(line: str, places: list[tuple[int, str]], names: Mapping[str, str]) -> str:
    """The line, with the expressions in ``names`` replaced by their names."""
    parts, done = [], 0
    for place, expression in places:
        if expression in names:
            parts += [line[done:place], names[expression]]
            done = place + len(expression)
    return "".join(parts) + line[done:]
