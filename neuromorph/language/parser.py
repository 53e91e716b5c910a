"""Turns tokens into a syntax tree: the grammar, in PLY's form, and the errors for texts that do not follow it.

The rules are the functions `p_…`. When the first text is parsed, PLY reads their docstrings, which `rule` gives them,
and makes LALR(1) tables from them. Nothing is written to disk. The loop over the tables is in `reading`, since PLY's
own takes twice the time. A call of `parse` shares only the tables with others, so any number of threads may parse at
once.
"""

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

from ply import yacc

from ..errors import Location, MDLError, MDLSyntaxError, nearest
from .lexer import Source, Word, quoted, tokens
from .reading import Reading, Scope
from .syntax import (
    Definition,
    Function,
    Initializer,
    Layer,
    Local,
    Merge,
    Model,
    Number,
    Reference,
    Split,
)

__all__ = ["parse", "tokens"]

MAX_WIDTH = 2**20
MAX_STEPS = 4_096  # back in time that a merge may read
WIDTH = "width"  # in a definition, this name in place of a width means the width of the use
Action = Callable[[Any], None]  # takes what PLY read for a rule, and puts its value in place 0


def parse(text: str, filename: str | None = None) -> Model:
    """The syntax tree of a model description. filename: a name for errors to show.

    Raises MDLSyntaxError if the text does not follow the grammar, MDLSemanticError if it exceeds a limit of the
    language (size, nodes, nesting, widths) or names a parameter that no definition has, and TypeError if it is no str.

    >>> model = parse("/xavier,zero/ (input, 4) (output, 2, <tanh>, <mse>)")
    >>> model.nodes[1].name, model.nodes[1].width
    ('output', 2)
    """
    if not isinstance(text, str):
        raise TypeError(f"a model description is a str, not {type(text).__name__}")
    tables, references = _tables()
    reading = Reading(Source(text, filename), tables, references)
    try:
        weight_initializer, bias_initializer, definitions, nodes = reading.run()
    except MDLError as error:
        raise error.with_traceback(None) from None  # the parser's insides help nobody
    return Model(weight_initializer, bias_initializer, nodes, text, filename, definitions)


@cache
def _tables() -> tuple[Any, frozenset[int]]:
    """PLY's parser, and the numbers of its states after a name that stands for a number or a width."""
    tables = yacc.yacc(module=sys.modules[__name__], write_tables=False, debug=False, errorlog=yacc.NullLogger())
    reduced = {
        state: {tables.productions[-action].name if action < 0 else "" for action in actions.values()}
        for state, actions in tables.action.items()
    }
    return tables, frozenset(state for state, names in reduced.items() if names == {"reference"})


def rule(grammar: str) -> Callable[[Action], Action]:
    """A decorator that makes the grammar of a rule its docstring: one in the usual place is gone in ``python -OO``."""

    def documented(action: Action) -> Action:
        action.__doc__ = grammar
        return action

    return documented


# The grammar. Lists grow by appending, so that long texts take linear time, and become tuples when done.


@rule("model : '/' initializer ',' initializer '/' definitions nodes")
def p_model(p: Any) -> None:
    p[0] = (p[2], p[4], tuple(p[6]), tuple(p[7]))


@rule(
    """initializer : NAME
    | NAME number
    | NAME number number"""
)
def p_initializer(p: Any) -> None:
    numbers, places = _apart(p[2:])
    p[0] = Initializer(p[1].text, numbers, p[1].location, places)


@rule(
    """number : NUMBER
    | reference"""
)
def p_number(p: Any) -> None:
    if isinstance(p[1], Reference):
        _check_reference(p.lexer, p[1], is_width=False)
        p[0] = (p[1], p[1].location)
    else:
        p[0] = (float(p[1].text), p[1].location)


@rule("reference : NAME")
def p_reference(p: Any) -> None:
    p[0] = Reference(p[1].text, p[1].location)


# Definitions


@rule(
    """definitions :
    | definitions definition"""
)
def p_definitions(p: Any) -> None:
    p[0] = _grown(p[1:]) if len(p) > 1 else []


@rule("definition : definition_head '[' nodes ']'")
def p_definition(p: Any) -> None:
    name, parameters = p[1]
    p[0] = Definition(
        name.text,
        tuple((word.text, default) for word, default in parameters),
        tuple(p[3]),
        name.location,
        tuple(word.location for word, _ in parameters),
    )
    p.lexer.scope = None


@rule(
    """definition_head : '<' NAME '>'
    | '<' NAME ',' parameter '>'
    | '<' NAME ',' parameter ',' parameter '>'"""
)
def p_definition_head(p: Any) -> None:
    parameters = p[4:-1:2]
    words = [word for word, _ in parameters]
    for index, word in enumerate(words):
        _check_parameter(p.lexer.source, word, [earlier.text for earlier in words[:index]])
    p.lexer.scope = Scope(p[2].text, tuple(word.text for word in words))
    p[0] = (p[2], parameters)


@rule(
    """parameter : NAME
    | NAME NUMBER"""
)
def p_parameter(p: Any) -> None:
    p[0] = (p[1], float(p[2].text) if len(p) > 2 else None)


# Nodes


@rule(
    """nodes : node
    | nodes node"""
)
def p_nodes(p: Any) -> None:
    p[0] = _grown(p[1:])


@rule(
    """node : layer
    | split
    | merge"""
)
def p_node(p: Any) -> None:
    p[0] = p[1]


@rule(
    """layer : '(' NAME ',' width ')'
    | '(' NAME ',' width ',' local ')'
    | '(' NAME ',' width ',' function ')'
    | '(' NAME ',' width ',' function ',' local ')'
    | '(' NAME ',' width ',' function ',' function ')'
    | '(' NAME ',' width ',' function ',' function ',' local ')'
    | '(' NAME ',' function ')'
    | '(' NAME ',' function ',' local ')'"""
)
def p_layer(p: Any) -> None:
    said = p[4:-1:2]
    width, width_location = next((part for part in said if isinstance(part, tuple)), (None, None))
    local = next((part for part in said if isinstance(part, Local)), None)
    functions = [part for part in said if isinstance(part, Function)]
    activation, loss = (*functions, None, None)[:2]
    if activation is None and local is not None:
        reason = f"'{p[2].text}' has no activation, so it is an input: an input has no parameters to initialise"
        raise p.lexer.source.semantic_error(reason, local.location)
    p[0] = Layer(p[2].text, width, activation, loss, p[2].location, width_location, local)


@rule(
    """width : NUMBER
    | reference"""
)
def p_width(p: Any) -> None:
    if isinstance(p[1], Reference):
        _check_reference(p.lexer, p[1], is_width=True)
        p[0] = (p[1], p[1].location)
    else:
        p[0] = (_width(p.lexer.source, p[1]), p[1].location)


@rule(
    """function : '<' NAME '>'
    | '<' NAME ',' number '>'
    | '<' NAME ',' number ',' number '>'"""
)
def p_function(p: Any) -> None:
    numbers, places = _apart(p[4:-1:2])
    p[0] = Function(p[2].text, numbers, p[2].location, places)


@rule("local : '/' place ',' place '/'")
def p_local(p: Any) -> None:
    p[0] = Local(p[2], p[4], p.lexer.source.location(p[1]))


@rule(
    """place :
    | initializer"""
)
def p_place(p: Any) -> None:
    p[0] = p[1] if len(p) > 1 else None


@rule("split : '[' NAME ',' branches ']'")
def p_split(p: Any) -> None:
    p[0] = Split(p[2].text, tuple(p[4]), p[2].location)


@rule(
    """branches : branch
    | branches '|' branch"""
)
def p_branches(p: Any) -> None:
    p[0] = _grown([p[1], p[3]] if len(p) > 2 else [p[1]])


@rule(
    """branch :
    | nodes"""
)
def p_branch(p: Any) -> None:
    p[0] = tuple(p[1]) if len(p) > 1 else ()


@rule(
    """merge : '{' NAME ',' NAME ',' NAME '}'
    | '{' NAME ',' NAME ',' NAME ',' steps '}'"""
)
def p_merge(p: Any) -> None:
    name, other, operation = p[2], p[4], p[6]
    places = (name.location, other.location, operation.location)
    steps = p[8] if len(p) > 8 else (None, None)
    p[0] = Merge(name.text, other.text, operation.text, *places, *steps)


@rule(
    """steps : NUMBER
    | reference"""
)
def p_steps(p: Any) -> None:
    if isinstance(p[1], Reference):
        _check_reference(p.lexer, p[1], is_width=False)
        p[0] = (p[1], p[1].location)
    else:
        p[0] = (_steps(p.lexer.source, p[1]), p[1].location)


def _grown(parts: list[Any]) -> list[Any]:
    """The list of a rule such as `nodes : node | nodes node`: a new one, or the list so far with one more part."""
    if len(parts) == 1:
        return [parts[0]]
    items: list[Any] = parts[0]
    items.append(parts[1])
    return items


def _apart(numbers: list[tuple[Number, Location]]) -> tuple[tuple[Number, ...], tuple[Location, ...]]:
    return tuple(number for number, _ in numbers), tuple(place for _, place in numbers)


# The numbers and names that are allowed


def _width(source: Source, word: Word) -> int:
    return _whole(source, word, "a width", 1, MAX_WIDTH)


def _steps(source: Source, word: Word) -> int:
    return _whole(source, word, "the number of steps back", 0, MAX_STEPS)


def _whole(source: Source, word: Word, what: str, least: int, most: int) -> int:
    if not word.text.isdecimal():
        raise _not_digits(source, word, what, least, most)
    digits = word.text.lstrip("0") or "0"
    if len(digits) > len(str(most)) or not least <= int(digits) <= most:
        reason = f"{what} is from {least} to {most:,}, found {quoted(word.text)}"
        raise source.semantic_error(reason, word.location)
    return int(digits)


def _not_digits(source: Source, word: Word, what: str, least: int, most: int) -> MDLSyntaxError:
    value = float(word.text)
    reason = f"{what} is digits only, found {quoted(word.text)}"
    if value.is_integer() and least <= value <= most:
        reason += f"; write {int(value)}"
    return source.syntax_error(reason, word.location)


def _check_parameter(source: Source, word: Word, earlier: list[str]) -> None:
    """Refuse a definition's parameter whose name another one has."""
    if word.text == WIDTH:
        reason = f"'{WIDTH}' is the width of each use already: a parameter needs another name"
        raise source.semantic_error(reason, word.location)
    if word.text in earlier:
        raise source.semantic_error(f"a second parameter is called '{word.text}'", word.location)


def _check_reference(reading: Reading, reference: Reference, *, is_width: bool) -> None:
    """Refuse a name that is no parameter of the present definition."""
    scope = reading.scope
    if scope is None:  # where nothing else is wrong, `Reading.token` has refused it already
        reason = f"the name {quoted(reference.name)} stands where a number belongs"
        raise reading.source.syntax_error(reason, reference.location)
    known = [*scope.parameters, *([WIDTH] if is_width else [])]
    if reference.name in known:
        return
    reason = _unknown(reference.name, scope, known, is_width=is_width)
    raise reading.source.semantic_error(reason, reference.location)


def _unknown(name: str, scope: Scope, known: list[str], *, is_width: bool) -> str:
    if name == WIDTH:
        return f"'{WIDTH}' stands where a number belongs: it can stand only where a width does"
    reason = f"the definition of {quoted(scope.name)} has no parameter {quoted(name)}"
    near = nearest(name, known)
    if near is not None:
        return f"{reason}: did you mean {quoted(near)}?"
    allowed = f"; a name that can stand here is {' or '.join(map(quoted, known))}" if known else ""
    return f"{reason}{allowed}{'; a function stands in angle brackets, such as <tanh>' if is_width else ''}"
