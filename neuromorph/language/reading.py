"""Reads one text by the tables that PLY makes: checks the limits, and makes the messages of syntax errors."""

from collections.abc import Iterator
from typing import Any, NoReturn

from ..errors import Location
from ..host.frozen import frozen
from .lexer import Source, Token, Word, quoted, tokens_of

MAX_NODES = 10_000
MAX_NESTING = 100
MAX_BARS = 100_000  # `|` between branches, which may be empty

_NODE_OPENERS = {"(", "[", "{"}
_OPENED_BY = {")": "(", "]": "[", "}": "{", ">": "<", "/": "/"}
_BRACKETS = {*_OPENED_BY, *_OPENED_BY.values()}
_END = "$end"
_WORDS = {"NAME": "a name", "NUMBER": "a number", _END: "the end of the text"}
_EXAMPLE = "such as /xavier,zero/"


@frozen
class Scope:
    """The definition that is being read: its name and the names of its parameters."""

    name: str
    parameters: tuple[str, ...]


class Values(list[Any]):
    """What an action of the grammar is called with: the values of the right side of its rule, from place 1 on. It puts
    its own value in place 0."""

    __slots__ = ("lexer",)

    lexer: "Reading"


class Reading:
    """The reading of one text. It knows the open brackets and the expected tokens.

    The grammar's actions reach it as ``p.lexer``. They set ``scope`` while they read a definition's body.
    """

    def __init__(self, source: Source, tables: Any, references: frozenset[int]) -> None:
        self.source = source
        self.scope: Scope | None = None
        self._references = references
        self._tables = tables
        self._tokens: Iterator[Token] = tokens_of(source)
        self._open: list[Token] = []
        self._node_count = self._bar_count = 0
        self._states: list[int] = [0]

    def run(self) -> Any:
        """The value of the whole text. This is the loop of every LR parser, with PLY's tables."""
        action, goto, productions = self._tables.action, self._tables.goto, self._tables.productions
        alone = self._tables.defaulted_states  # states with one reduction and nothing else, which need no token
        state, states = 0, [0]
        values: list[Any] = [None]
        kind, token = "", None
        given = Values((None,))
        given.lexer = self
        while True:
            step = alone.get(state)
            if step is None:
                if not kind:
                    token = self._next(states, token)
                    kind = _END if token is None else token.type
                step = action[state].get(kind)
                if step is None:
                    self._refuse(token)
                if step > 0 and token is not None:
                    state, kind = step, ""
                    states.append(state)
                    values.append(token.value)
                    continue
                if step == 0:
                    return values[-1]
            rule = productions[-step]
            first = len(values) - rule.len
            given[1:] = values[first:]
            rule.callable(given)
            del states[first:]
            del values[first:]
            values.append(given[0])
            state = goto[states[-1]][rule.name]
            states.append(state)

    def _next(self, states: list[int], before: Token | None) -> Token | None:
        """The next token, None at the end of the text. The one before it has been accepted."""
        if before is not None and before.type in _BRACKETS:
            self._accept(before)
        elif before is not None and before.type == "|":
            self._count_bar(before)
        self._states = states.copy()
        token = next(self._tokens, None)
        if token is not None and token.type == "NAME" and not self._could_follow("NAME"):
            self._refuse(token)
        return token

    def _accept(self, token: Token) -> None:
        """Count brackets and bars, and refuse a token that exceeds a limit."""
        if self._open and self._open[-1].type == _OPENED_BY.get(token.type):
            self._open.pop()
        else:
            begins_body = self.scope is not None and not self._open
            self._open.append(token)
            self._check_limits(token, begins_body)

    def _check_limits(self, token: Token, begins_body: bool) -> None:
        self._node_count += token.type in _NODE_OPENERS and not begins_body
        if self._node_count > MAX_NODES:
            reason = f"the model has too many nodes: at most {MAX_NODES:,} are allowed"
            raise self.source.semantic_error(reason, self._location(token))
        if token.type == "[" and len(self._open) > MAX_NESTING:
            reason = f"splits are nested too deep: at most {MAX_NESTING} '[' may be open"
            raise self.source.semantic_error(reason, self._location(token))

    def _count_bar(self, token: Token) -> None:
        self._bar_count += 1
        if self._bar_count > MAX_BARS:
            reason = f"the model has too many branches: at most {MAX_BARS:,} '|' are allowed"
            raise self.source.semantic_error(reason, self._location(token))

    def _location(self, token: Token | None) -> Location:
        return self.source.location(len(self.source.text) if token is None else token.offset)

    def _refuse(self, token: Token | None) -> NoReturn:
        """Raise the error for a token (None: the end) that the grammar does not allow here."""
        expected = self._expected()
        reason = f"expected {_listed(expected)}, found {_described(token)}"
        notes = filter(None, (self._hint(token, expected), self._unclosed(token)))
        raise self.source.syntax_error("; ".join((reason, *notes)), self._location(token))

    def _expected(self) -> set[str]:
        """The types of the tokens that the grammar allows in place of the one just read."""
        candidates = {kind for actions in self._tables.action.values() for kind in actions}
        return {kind for kind in candidates if self._could_follow(kind)}

    def _could_follow(self, kind: str) -> bool:
        """Whether a token of this type would be accepted in place of the one just read.

        The parser's table alone does not tell: LALR reduces some rules before it notices a wrong token, and lists
        tokens that are right only elsewhere. A name that stands for a number is right only in a definition.
        """
        states = self._states.copy()
        while (action := self._tables.action[states[-1]].get(kind)) is not None:
            if action >= 0:
                return self.scope is not None or action not in self._references
            production = self._tables.productions[-action]
            if production.len:
                del states[-production.len :]
            states.append(self._tables.goto[states[-1]][production.name])
        return False

    def _hint(self, token: Token | None, expected: set[str]) -> str:
        """A text that says how to mend a common mistake; empty for others."""
        kind = _END if token is None else token.type
        opened = [one.type for one in self._open]
        if opened and opened[-1] in _HINTS:
            return _HINTS[opened[-1]](kind, expected, len(opened) == 1)
        if kind == "/":
            return "a model has one header, at its beginning"
        if expected == {"/"}:
            return f"a model begins with its header, {_EXAMPLE}"
        if kind == "|":
            return "a '|' stands only between the branches of a split, [name, … | …]"
        if expected == {"["}:
            return "a definition has nodes in brackets, such as <own>[(a, width, <tanh>)]"
        if kind == "]" and self.scope is not None and len(opened) == 1:
            return "a definition has at least one node"
        return "definitions stand before the first node" if kind == "<" and not opened else ""

    def _unclosed(self, token: Token | None) -> str:
        """A text about a bracket that is open where the text ends or another bracket closes; empty if there is none."""
        if not self._open or (token is not None and token.type in {"NAME", "NUMBER", ",", "|"}):
            return ""
        if token is not None and _OPENED_BY.get(token.type) == self._open[-1].type:
            return ""
        return f"'{self._open[-1].type}' opened at {self._location(self._open[-1])} is not closed"


def _initializers_hint(kind: str, expected: set[str], is_header: bool) -> str:
    if kind == "NUMBER":
        if "NAME" in expected:
            return "the numbers of an initialiser are separated by spaces, such as /normal 0 0.1,zero/"
        return "an initialiser has at most two numbers"
    both = "a header has two initialisers" if is_header else "a layer's own initialisers are two"
    if kind == "/" and "," in expected:
        return f"{both}, first for weights, then for biases, {_EXAMPLE}"
    if kind == "," and "/" in expected:
        return f"{both}, first for weights, then for biases"
    return ""


def _layer_hint(kind: str, expected: set[str], _: bool) -> str:
    if kind == "/":
        return "a layer's own initialisers stand last, after a comma, such as (a, 4, <tanh>, /he,zero/)"
    if kind == "<" and expected == {"/"}:
        return "only a layer with a width can have a loss"
    if kind == "NAME" and "<" in expected:
        return "a function stands in angle brackets, such as <tanh>"
    return ""


def _numbers_hint(kind: str, expected: set[str], is_definition: bool) -> str:
    if kind == "NUMBER" and "," in expected:
        return "a comma stands before a number, such as <clip, 0.5>"
    if kind == "NAME" and "NUMBER" in expected and not is_definition:
        return "outside definitions a function or cell gets its numbers without names, such as <clip, 0.5>"
    if kind != "," or ">" not in expected:
        return ""
    return "a definition has at most two parameters" if is_definition else "a function has at most two numbers"


_HINTS = {"/": _initializers_hint, "(": _layer_hint, "<": _numbers_hint}


def _listed(expected: set[str]) -> str:
    words = sorted(_WORDS.get(kind, f"'{kind}'") for kind in expected)
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _described(token: Token | None) -> str:
    if token is None:
        return _WORDS[_END]
    if isinstance(token.value, Word):
        return f"the {token.type.lower()} {quoted(token.value.text)}"
    return f"'{token.type}'"
