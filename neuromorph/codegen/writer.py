"""Lines of source text with indentation: all there is in place of a template engine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Writer:
    """Collects lines."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._depth = 0

    def line(self, text: str = "") -> None:
        """One line at the current depth."""
        self._lines.append("    " * self._depth + text if text else "")

    def lines(self, *texts: str) -> None:
        """Several lines."""
        for text in texts:
            self.line(text)

    def comment(self, text: str) -> None:
        """A comment; whatever the text holds, it stays one line of printable ASCII behind its mark."""
        safe = "".join(c if " " <= c <= "~" else ascii(c)[1:-1] for c in text)
        self.line(f"# {safe}".rstrip())

    @contextmanager
    def block(self, opening: str) -> Iterator[None]:
        """The lines inside stand deeper, under ``opening``."""
        self.line(opening)
        self._depth += 1
        yield
        self._depth -= 1

    @property
    def length(self) -> int:
        """Lines so far."""
        return len(self._lines)

    def name_repeated(self, start: int, names: Mapping[str, str]) -> None:
        """Of the expressions among ``names``, those that occur more than once from line ``start`` on get their name,
        in lines before it. They must not change their value on the way."""
        named, body = [], self._lines[start:]
        for expression, name in names.items():
            pattern = re.compile(rf"(?<!\w){re.escape(expression)}(?!\w)")
            if sum(len(pattern.findall(line)) for line in body) > 1:
                body = [pattern.sub(name, line) for line in body]
                named.append("    " * self._depth + f"{name} = {expression}")
        self._lines[start:] = named + body

    def code(self) -> str:
        """Everything but the comments, in which names of the user's stand."""
        return "\n".join(line for line in self._lines if not line.lstrip().startswith("#"))

    def text(self) -> str:
        """Everything, ended by a newline."""
        return "\n".join(self._lines) + "\n"
