"""Turns tokens into a syntax tree: the grammar, in PLY's form, and the errors for texts that do not follow it.

The rules are the functions `p_…`: PLY reads their docstrings and turns them into LALR(1) tables, once, when
the first text is parsed. Nothing is written to disk. Each call of `parse` has a parser of its own, a copy
that shares only the tables, so any number of threads may parse at once.
"""

import copy
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

from ply import yacc

from neuromorph.errors import Location, MDLError, MDLSyntaxError
from neuromorph.language.lexer import Source, Word, quoted, tokens, tokens_of
from neuromorph.language.syntax import Function, Initializer, Layer, Merge, Model, Split

__all__ = ["parse", "tokens"]

MAX_WIDTH = 2**20
MAX_NODES = 10_000
MAX_NESTING = 100
MAX_BARS = 100_000  # between branches, which may be empty

_NODE_OPENERS = {"(", "[", "{"}
_OPENED_BY = {")": "(", "]": "[", "}": "{", ">": "<", "/": "/"}
_BRACKETS = {*_OPENED_BY, *_OPENED_BY.values()}
_END = "$end"
_WORDS = {"NAME": "a name", "NUMBER": "a number", _END: "the end of the text"}
_EXAMPLE = "such as /xavier,zero/"


def parse(text: str, filename: str | None = None) -> Model:
    """The syntax tree of a model description; ``filename`` is only named in errors.

    Raises MDLSyntaxError where the text leaves the grammar, MDLSemanticError where it passes a limit of the
    language (size, nodes, nesting, widths), and TypeError where it is no str. Needs Python's docstrings:
    RuntimeError under ``python -OO``.

    >>> model = parse("/xavier,zero/ (input, 4) (output, 2, <tanh>, <mse>)")
    >>> model.nodes[1].name, model.nodes[1].width
    ('output', 2)
    """
    if not isinstance(text, str):
        raise TypeError(f"a model description is a str, not {type(text).__name__}")
    reading = _Reading(Source(text, filename), copy.copy(_tables()))
    try:
        weight_initializer, bias_initializer, nodes = reading.run()
    except MDLError as error:
        raise error.with_traceback(None) from None  # the parser's insides help nobody
    return Model(weight_initializer, bias_initializer, nodes, text, filename)


@cache
def _tables() -> Any:
    if p_model.__doc__ is None:
        raise RuntimeError("neuromorph reads its grammar from docstrings, which python -OO removes: use -O or neither")
    return yacc.yacc(module=sys.modules[__name__], write_tables=False, debug=False, errorlog=yacc.NullLogger())


class _Reading:
    """One pass over one text: hands the tokens to PLY's parser, and knows what is open and what was expected.

    It is what the grammar's actions find as ``p.lexer``.
    """

    def __init__(self, source: Source, parser: Any) -> None:
        self.source = source
        self._parser = parser
        self._parser.errorfunc = self._refuse
        self._tokens: Iterator[Any] = tokens_of(source)
        self._token: Any = None
        self._open: list[Any] = []
        self._node_count = self._bar_count = 0
        self._states: list[int] = [0]

    def run(self) -> Any:
        return self._parser.parse(lexer=self)

    def token(self) -> Any:
        """The next token, None at the end of the text. PLY asks for one when it took the one before."""
        if self._token is not None and self._token.type in _BRACKETS:
            self._accept(self._token)
        elif self._token is not None and self._token.type == "|":
            self._count_bar(self._token)
        self._states = self._parser.statestack.copy()
        self._token = next(self._tokens, None)
        return self._token

    def _accept(self, token: Any) -> None:
        """Keep count of what is open, and refuse what passes a limit."""
        if self._open and self._open[-1].type == _OPENED_BY.get(token.type):
            self._open.pop()
        else:
            self._open.append(token)
            self._check_limits(token)

    def _check_limits(self, token: Any) -> None:
        self._node_count += token.type in _NODE_OPENERS
        if self._node_count > MAX_NODES:
            reason = f"the model has too many nodes: at most {MAX_NODES:,} are allowed"
            raise self.source.semantic_error(reason, self._location(token))
        if token.type == "[" and len(self._open) > MAX_NESTING:
            reason = f"splits are nested too deep: at most {MAX_NESTING} '[' may be open"
            raise self.source.semantic_error(reason, self._location(token))

    def _count_bar(self, token: Any) -> None:
        self._bar_count += 1
        if self._bar_count > MAX_BARS:
            reason = f"the model has too many branches: at most {MAX_BARS:,} '|' are allowed"
            raise self.source.semantic_error(reason, self._location(token))

    def _location(self, token: Any) -> Location:
        return self.source.location(len(self.source.text) if token is None else token.lexpos)

    def _refuse(self, token: Any) -> None:
        """Called by PLY with a token that can't stand where it stands, None for the end of the text."""
        expected = self._expected()
        reason = f"expected {_listed(expected)}, found {_described(token)}"
        notes = filter(None, (self._hint(token, expected), self._unclosed(token)))
        raise self.source.syntax_error("; ".join((reason, *notes)), self._location(token))

    def _expected(self) -> set[str]:
        """The types of the tokens that could have stood in place of the one just read."""
        candidates = {kind for actions in self._parser.action.values() for kind in actions}
        return {kind for kind in candidates if self._could_follow(kind)}

    def _could_follow(self, kind: str) -> bool:
        """Whether the parser, as it was before the token just read, comes to accept a token of this type.

        The row of the table alone would not do: LALR reduces some rules before it sees that a token is wrong,
        and lists tokens that are right only elsewhere.
        """
        states = self._states.copy()
        while (action := self._parser.action[states[-1]].get(kind)) is not None:
            if action >= 0:
                return True
            production = self._parser.productions[-action]
            if production.len:
                del states[-production.len :]
            states.append(self._parser.goto[states[-1]][production.name])
        return False

    def _hint(self, token: Any, expected: set[str]) -> str:
        """The fix, where the mistake is a common one."""
        kind = _END if token is None else token.type
        if self._open and self._open[-1].type == "/":
            return _header_hint(kind, expected)
        if expected == {"/"}:
            return f"a model begins with its header, {_EXAMPLE}"
        if kind == "/":
            return "a model has one header, at its beginning"
        if kind == "NAME" and "<" in expected:
            return "a function stands in angle brackets, such as <tanh>"
        return ""

    def _unclosed(self, token: Any) -> str:
        """What is still open, where the text ends, or another bracket stands, instead of its end."""
        if not self._open or (token is not None and token.type in {"NAME", "NUMBER", ",", "|"}):
            return ""
        place = self._location(self._open[-1])
        return f"'{self._open[-1].type}' opened at line {place.line}, column {place.column} is not closed"


def _header_hint(kind: str, expected: set[str]) -> str:
    if kind == "NUMBER":
        if "NAME" in expected:
            return "the numbers of an initialiser are separated by spaces, such as /normal 0 0.1,zero/"
        return "an initialiser has at most two numbers"
    if kind == "/" and "," in expected:
        return f"a header has two initialisers, first for weights, then for biases, {_EXAMPLE}"
    if kind == "," and "/" in expected:
        return "a header has two initialisers, first for weights, then for biases"
    return ""


def _listed(expected: set[str]) -> str:
    words = sorted(_WORDS.get(kind, f"'{kind}'") for kind in expected)
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _described(token: Any) -> str:
    if token is None:
        return _WORDS[_END]
    if isinstance(token.value, Word):
        return f"the {token.type.lower()} {quoted(token.value.text)}"
    return f"'{token.type}'"


# The grammar. Lists grow by appending, so that long texts take linear time, and become tuples when done.


def p_model(p: Any) -> None:
    "model : '/' initializer ',' initializer '/' nodes"
    p[0] = (p[2], p[4], tuple(p[6]))


def p_initializer(p: Any) -> None:
    """initializer : NAME
    | NAME NUMBER
    | NAME NUMBER NUMBER"""
    numbers = p[2:]
    parameters = tuple(float(number.text) for number in numbers)
    p[0] = Initializer(p[1].text, parameters, p[1].location, tuple(number.location for number in numbers))


def p_nodes(p: Any) -> None:
    """nodes : node
    | nodes node"""
    p[0] = _grown(p[1:])


def p_node(p: Any) -> None:
    """node : layer
    | split
    | merge"""
    p[0] = p[1]


def p_layer(p: Any) -> None:
    """layer : '(' NAME ',' width ')'
    | '(' NAME ',' width ',' function ')'
    | '(' NAME ',' width ',' function ',' function ')'"""
    width, width_location = p[4]
    activation = p[6] if len(p) > 6 else None
    loss = p[8] if len(p) > 8 else None
    p[0] = Layer(p[2].text, width, activation, loss, p[2].location, width_location)


def p_activation_node(p: Any) -> None:
    "layer : '(' NAME ',' function ')'"
    p[0] = Layer(p[2].text, None, p[4], None, p[2].location, None)


def p_width(p: Any) -> None:
    "width : NUMBER"
    p[0] = (_width(p.lexer.source, p[1]), p[1].location)


def p_function(p: Any) -> None:
    """function : '<' NAME '>'
    | '<' NAME ',' NUMBER '>'"""
    if len(p) == 4:
        p[0] = Function(p[2].text, None, p[2].location, None)
    else:
        p[0] = Function(p[2].text, float(p[4].text), p[2].location, p[4].location)


def p_split(p: Any) -> None:
    "split : '[' NAME ',' branches ']'"
    p[0] = Split(p[2].text, tuple(p[4]), p[2].location)


def p_branches(p: Any) -> None:
    """branches : branch
    | branches '|' branch"""
    p[0] = _grown([p[1], p[3]] if len(p) > 2 else [p[1]])


def p_branch(p: Any) -> None:
    """branch :
    | nodes"""
    p[0] = tuple(p[1]) if len(p) > 1 else ()


def p_merge(p: Any) -> None:
    "merge : '{' NAME ',' NAME ',' NAME '}'"
    name, other, operation = p[2], p[4], p[6]
    places = (name.location, other.location, operation.location)
    p[0] = Merge(name.text, other.text, operation.text, *places)


def _grown(parts: list[Any]) -> list[Any]:
    """A list of one thing, or the list so far, grown by one thing."""
    if len(parts) == 1:
        return [parts[0]]
    items: list[Any] = parts[0]
    items.append(parts[1])
    return items


def _width(source: Source, word: Word) -> int:
    if not word.text.isdecimal():
        raise _not_a_width(source, word)
    digits = word.text.lstrip("0") or "0"
    if len(digits) > len(str(MAX_WIDTH)) or not 1 <= int(digits) <= MAX_WIDTH:
        reason = f"a width is from 1 to {MAX_WIDTH:,}, found {quoted(word.text)}"
        raise source.semantic_error(reason, word.location)
    return int(digits)


def _not_a_width(source: Source, word: Word) -> MDLSyntaxError:
    value = float(word.text)
    reason = f"a width is digits only, found {quoted(word.text)}"
    if value.is_integer() and 1 <= value <= MAX_WIDTH:
        reason += f"; write {int(value)}"
    return source.syntax_error(reason, word.location)
