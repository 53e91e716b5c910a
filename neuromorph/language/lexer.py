"""Turns characters into tokens. `Source` knows their places, `tokens_of` finds and checks them."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..errors import Location, MDLSemanticError, MDLSyntaxError, line_starts
from ..host.cached import cached_property
from ..host.frozen import frozen

MAX_BYTES = 2**20
MAX_NAME = 255
_SHOWN = 40  # characters of a token that a message quotes

_RUN_ON = re.compile(r"[A-Za-z0-9_.+-]*")


@frozen
class Source:
    """A text, the name of the file it came from, and the places in it."""

    text: str
    filename: str | None

    @cached_property
    def _line_starts(self) -> Sequence[int]:
        return line_starts(self.text)

    def location(self, offset: int) -> Location:
        """The line and column of the character at ``offset``; the text's length as an offset means its end."""
        line = bisect_right(self._line_starts, offset)
        return Location(line, offset - self._line_starts[line - 1] + 1)

    def syntax_error(self, reason: str, location: Location) -> MDLSyntaxError:
        return MDLSyntaxError(reason, source=self.text, location=location, filename=self.filename)

    def semantic_error(self, reason: str, location: Location) -> MDLSemanticError:
        return MDLSemanticError(reason, source=self.text, location=location, filename=self.filename)


class Word(NamedTuple):
    """The value of a NAME or NUMBER token: its characters and the location of the first one."""

    text: str
    location: Location


class Token(NamedTuple):
    """A token. type: "NAME", "NUMBER", or the character that it is. value: a `Word` for a name or a number, else the
    offset. offset: of its first character."""

    type: str
    value: Word | int
    offset: int


tokens = ("NAME", "NUMBER")  # the types that are no single characters, as PLY asks for them
_TOKENS = re.compile(
    r"(?P<NAME>[A-Za-z_][A-Za-z0-9_.-]*)"
    r"|(?P<NUMBER>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<character>[/()\[\]{}<>,|])"
    r"|[ \t\r\n]+|#[^\r\n]*"
    r"|(?P<error>.)",
    re.DOTALL,
)


def tokens_of(source: Source) -> Iterator[Token]:
    """The tokens of the text, one by one.

    Raises MDLSemanticError for a text of more than 1 MiB (in UTF-8), and MDLSyntaxError if the next token is not in the
    language: an unknown character, a name too long, a number malformed or not finite.
    """
    _check_size(source)
    for found in _TOKENS.finditer(source.text):
        kind = found.lastgroup
        if kind is None:  # white space, or a comment
            continue
        text, offset = found.group(), found.start()
        if kind == "character":
            yield Token(text, offset, offset)
            continue
        word = Word(text, source.location(offset))
        _CHECKS[kind](source, word, offset)
        yield Token(kind, word, offset)


def quoted(text: str) -> str:
    """A token's characters in quotes, cut if they are more than a message can show."""
    return f"'{text}'" if len(text) <= _SHOWN else f"'{text[:_SHOWN]}…'"


def _check_size(source: Source) -> None:
    # Every character takes at least one byte, so the end of a text that is far too long need not be read.
    encoded = source.text[: MAX_BYTES + 1].encode("utf-8", "replace")
    if len(encoded) > MAX_BYTES:
        fitting = encoded[:MAX_BYTES].decode("utf-8", "ignore")
        reason = "the text is too long: a model description has at most 1 MiB (1,048,576 bytes)"
        raise source.semantic_error(reason, source.location(len(fitting)))


def _check_name(source: Source, word: Word, offset: int) -> None:
    if len(word.text) > MAX_NAME:
        reason = f"the name is too long: {len(word.text):,} characters, at most {MAX_NAME} are allowed"
        raise source.syntax_error(reason, word.location)


def _check_number(source: Source, word: Word, offset: int) -> None:
    end = offset + len(word.text)
    rest = _RUN_ON.match(source.text, end)
    if rest is not None and rest.end() > end:
        reason = f"{quoted(source.text[offset : rest.end()])} is not a number"
        raise source.syntax_error(reason, word.location)
    if float(word.text) in (float("inf"), float("-inf")):
        reason = f"the number {quoted(word.text)} is too large: beyond ±1.797e308 nothing is finite as a float64"
        raise source.syntax_error(reason, word.location)


def _refuse_character(source: Source, word: Word, offset: int) -> None:
    raise source.syntax_error(_complaint(word.text), word.location)


def _complaint(character: str) -> str:
    code = f"U+{ord(character):04X}"
    if character == "\ufeff":
        return f"a byte order mark ({code}) is not part of the language: read the file with encoding='utf-8-sig'"
    if not character.isascii():
        shown = f"'{character}' ({code})" if character.isprintable() else code
        return f"the character {shown} is not ASCII: it may stand only in a comment"
    if not character.isprintable():
        return f"the control character {code} is not part of the language"
    if character in "+-.":
        return f"'{character}' begins neither a name nor a number"
    return f"the character '{character}' is not part of the language"


_CHECKS = {"NAME": _check_name, "NUMBER": _check_number, "error": _refuse_character}
