"""The expressions that the machine can compute, made of the records of all functions, and how a plan's are found there.

A plan's expression has literal numbers where the model's text gave some. Its template has a slot there, so that models
with other numbers are the same program with other numbers beside it.
"""

from __future__ import annotations

import ast
import string
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from ..functions import ACTIVATIONS, ELEMENTWISE, MERGES, RESTORE
from ..functions.expressions import Expression, written
from ..functions.records import VOCABULARY
from ..host.frozen import frozen
from ..host.syntax import parsed_expression

_SLOT = 0.3141592653589793  # a number that no record has: it marks the slots while templates are made
_FORMS = 4096  # that are kept; texts with numbers of their own bring ever more
_FUNCTIONS = VOCABULARY | {"fma", "softmax", "total"}


class NotInMachineError(Exception):
    """The machine has no instruction for an operation."""


@frozen
class Form:
    """An expression with letters for its variables, in the order in which they occur, and its numbers on their own.

    text: the expression with ``{0}``, ``{1}``, … for its numbers. variables: what the letters stand for.
    """

    text: str
    variables: tuple[str, ...]
    numbers: tuple[float, ...]


class _Reader(ast.NodeTransformer):
    """Replaces variables by letters and takes the numbers out."""

    def __init__(self) -> None:
        self.letters: dict[str, str] = {}
        self.numbers: list[float] = []

    def visit_Name(self, node: ast.Name) -> ast.Name:
        if node.id in _FUNCTIONS:
            return node
        return ast.Name(self.letters.setdefault(node.id, string.ascii_lowercase[len(self.letters)]), ast.Load())

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        operand = self.visit(node.operand)
        if isinstance(node.operand, ast.Constant):  # a negative number
            self.numbers[-1] = -self.numbers[-1]
            return operand  # type: ignore[no-any-return]
        return ast.UnaryOp(node.op, operand)

    def visit_Constant(self, node: ast.Constant) -> ast.Name:
        assert isinstance(node.value, int | float)
        self.numbers.append(float(node.value))
        return ast.Name(f"{{{len(self.numbers) - 1}}}", ast.Load())


@lru_cache(_FORMS)
def form_of(expression: str) -> Form:
    """An expression's form; the numbers of two expressions of one form may differ."""
    if expression == "zero":
        return Form("splat(0.0)", (), ())
    reader = _Reader()
    text = written(reader.visit(parsed_expression(expression)))
    return Form(text, tuple(reader.letters), tuple(reader.numbers))


def with_names(expression: str, let: Iterable[tuple[str, str]]) -> str:
    """An expression, its products and sums joined, with what ``let`` names put in its place."""
    if expression == "zero":
        return expression
    names: dict[str, str] = {}
    for name, text in let:
        names[name] = f"({Expression(text).joined.renamed(names)})"
    return str(Expression(expression).joined.renamed(names))


@frozen
class Template:
    """An expression that the machine can compute.

    text: the expression over its letters, with ``{0}``, … where a slot is. slots: which of a form's numbers go there.
    fixed: the numbers of a form, None in the slots.
    """

    text: str
    letters: tuple[str, ...]
    slots: tuple[int, ...]
    fixed: tuple[float | None, ...]

    def fits(self, form: Form) -> bool:
        """Whether a form's numbers are the template's, but for the slots."""
        return all(fixed is None or fixed == number for fixed, number in zip(self.fixed, form.numbers, strict=True))


def _template(expression: str, let: Iterable[tuple[str, str]] = ()) -> tuple[str, Template]:
    """The key of a record's expression, its form's text, and its template."""
    form = form_of(str(Expression(with_names(expression, let)).renamed({"p": repr(_SLOT)})))
    fixed = tuple(None if abs(number) == _SLOT else number for number in form.numbers)
    slots = tuple(index for index, number in enumerate(fixed) if number is None)
    marks = {index: f"{{{slot}}}" for slot, index in enumerate(slots)}
    shown = [marks.get(index) or _literal(number) for index, number in enumerate(form.numbers)]
    letters = tuple(string.ascii_lowercase[: len(form.variables)])
    return form.text, Template(form.text.format(*shown), letters, slots, fixed)


def _literal(number: float) -> str:
    return f"({number!r})" if number < 0 else repr(number)


Let = tuple[tuple[str, str], ...]


def _maps() -> Iterator[tuple[str, Let]]:
    """All expressions that an element-by-element operation of a plan may have, each with what it names."""
    yield from ((text, ()) for text in ("zero", "x", "softmax(x, p)", "y * (g - total(y * g))"))
    for activation in ACTIVATIONS.values():
        if not activation.couples:
            yield activation.forward, ()
            is_one = activation.derivative.strip() == "1.0"
            yield "g" if is_one else f"g * ({activation.derivative})", activation.let
    for merge in MERGES.values():
        if not merge.concatenates:
            yield from ((text, ()) for text in (merge.forward, *([merge.d_x] if merge.reads_x else []), merge.d_o))
    for layer in (*ELEMENTWISE.values(), RESTORE):
        texts = (layer.forward, layer.derivative, *(role.gradient for role in layer.roles))
        yield from ((text, ()) for text in texts if text)
    yield from _pairs()


def _pairs() -> Iterator[tuple[str, Let]]:
    """Expressions of two or three maps, joined, that recurrent cells often have one behind the other."""
    product, other, total = ("x", "a * b"), ("o", "c * d"), ("x", "a + b")
    for merge in ("additive", "subtractive"):
        yield from ((MERGES[merge].forward, let) for let in ((product,), (other,), (product, other)))
    for name in ("sigmoid", "tanh"):
        activation = ACTIVATIONS[name]
        yield activation.forward, (total,)
        for gradient in ("a * b", "a + b", "(a + b) * c"):
            yield f"g * ({activation.derivative})", (("g", gradient), *activation.let)


def _sums() -> Iterator[tuple[str, str]]:
    """All expressions whose sum over a row a plan may have, each with the one that ends it."""
    for merge in MERGES.values():
        if merge.result == "one":
            yield merge.forward, ""
        if merge.other_width == "one":
            yield merge.d_o, ""
    for layer in ELEMENTWISE.values():
        for statistic in (*layer.statistics, *layer.backward_statistics):
            yield statistic.expression, statistic.finish


def _table(expressions: Iterable[tuple[str, Let]]) -> tuple[tuple[Template, ...], dict[str, list[int]]]:
    templates: dict[Template, int] = {}
    known: dict[str, list[int]] = {}
    for expression, let in expressions:
        key, template = _template(expression, let)
        if template not in templates:
            known.setdefault(key, []).append(len(templates))
            templates[template] = len(templates)
    return tuple(templates), known


MAPS, _KNOWN_MAPS = _table(_maps())


@lru_cache(_FORMS)
def map_of(expression: str, let: Let) -> tuple[int, tuple[str, ...], tuple[float, ...]]:
    """The number of an expression's template, the variables that its letters stand for, and the numbers in its slots.

    Raises NotInMachineError for an expression that no record has.
    """
    form = form_of(with_names(expression, let))
    for number in _KNOWN_MAPS.get(form.text, ()):
        if MAPS[number].fits(form):
            return number, form.variables, tuple(form.numbers[slot] for slot in MAPS[number].slots)
    raise NotInMachineError(expression)


def can_map(expression: str, let: Let) -> bool:
    """Whether a record, or some records together, have such an expression."""
    form = form_of(with_names(expression, let))
    return any(MAPS[number].fits(form) for number in _KNOWN_MAPS.get(form.text, ()))


@frozen
class SumTemplate:
    """A sum over a row: the template of its terms, and that of what ends it over the mean of the terms, or None."""

    term: Template
    finish: Template | None


def _sum_table() -> tuple[tuple[SumTemplate, ...], dict[tuple[str, str], list[int]]]:
    found: dict[SumTemplate, int] = {}
    known: dict[tuple[str, str], list[int]] = {}
    for expression, finish in _sums():
        key, term = _template(expression)
        end_key, end = _template(finish) if finish else ("", None)
        template = SumTemplate(term, end)
        if template not in found:
            known.setdefault((key, end_key), []).append(len(found))
            found[template] = len(found)
    return tuple(found), known


SUMS, _KNOWN_SUMS = _sum_table()


@lru_cache(_FORMS)
def sum_of(expression: str, finish: str) -> tuple[int, tuple[str, ...], tuple[float, ...]]:
    """The number of a sum's template, the variables of its terms, and the numbers in the slots of both expressions.

    Raises NotInMachineError for a sum that no record has.
    """
    form, end = form_of(with_names(expression, ())), form_of(with_names(finish, ())) if finish else None
    for number in _KNOWN_SUMS.get((form.text, end.text if end else ""), ()):
        template = SUMS[number]
        if template.term.fits(form) and (end is None or (template.finish is not None and template.finish.fits(end))):
            numbers = [form.numbers[slot] for slot in template.term.slots]
            if end is not None and template.finish is not None:
                numbers += [end.numbers[slot] for slot in template.finish.slots]
            return number, form.variables, tuple(numbers)
    raise NotInMachineError(f"{expression}; {finish}")


def filled(template: Template, slots: Mapping[int, str] | list[str]) -> str:
    """A template's expression with a text in each slot."""
    texts = [slots[number] for number in range(len(template.slots))]
    return template.text.format(*texts)
