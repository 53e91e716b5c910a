"""Expressions of records as data."""

from __future__ import annotations

import ast
import math

import pytest

from neuromorph.functions.expressions import Expression, written


def test_names_are_found_and_renamed_all_at_once() -> None:
    text = Expression("where(x > 1e-3, x * y, exp(p))")
    assert text.names == {"where", "x", "y", "exp", "p"}
    assert text.renamed({"x": "y", "y": "v3", "p": "(-0.5)"}) == "where(y > 1e-3, y * v3, exp((-0.5)))"
    assert isinstance(text.renamed({}), Expression)


@pytest.mark.parametrize(
    ("text", "simple"),
    [
        ("x", True),
        ("where(x > 0.0, x, -p * x) + maximum(x, absolute(o))", True),
        ("x / o", False),
        ("exp(x)", False),
        ("x**2", False),
    ],
)
def test_a_simple_expression_is_a_few_instructions(text: str, simple: bool) -> None:
    assert Expression(text).is_simple is simple


def test_the_cost_counts_operations_and_what_is_called() -> None:
    text = Expression("where(x > 0.0, -x, p * exp(x) + maximum(x, y))")
    assert text.cost({}) == 3, "a comparison, a product and a sum; a sign costs nothing"
    assert text.cost({"exp": 20, "maximum": 1}) == 24


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("x + y", "x + y"),
        ("x * y", "x * y"),
        ("w * x + b", "fma(w, x, b)"),
        ("b + w * x", "fma(w, x, b)"),
        ("1.0 - y * y", "fma(-y, y, 1.0)"),
        ("y * y - 1.0", "fma(y, y, -1.0)"),
        ("g * (1.0 - y * y)", "g * fma(-y, y, 1.0)"),
        ("a * b + c * d", "fma(a, b, c * d)"),
        ("tanh(a * b + c) / 2.0", "tanh(fma(a, b, c)) / 2.0"),
    ],
)
def test_sums_of_products_are_joined(text: str, joined: str) -> None:
    assert Expression(text).joined == joined
    names = {name: value for value, name in enumerate("abcdgwxy", 2)} | {"tanh": math.tanh}
    values = [eval(form, {"fma": lambda x, y, z: x * y + z}, dict(names)) for form in (text, joined)]
    assert values[0] == pytest.approx(values[1], rel=1e-15)


def test_what_is_added_is_joined_too() -> None:
    assert Expression("g * o").added_to("z") == "fma(g, o, z)"
    assert Expression("g").added_to("z") == "z + g"
    assert Expression("g / o").added_to("z") == "z + (g / o)"


@pytest.mark.parametrize(
    "text",
    [
        "x", "-x * y", "-(x * y)", "-(-x)", "(a + b) * c", "a - (b - c)", "a - b - c", "a + (b + c)", "a * b / (c * d)",
        "a / (b / c)", "-(a + b) * c", "a - -b", "2.0 * -3.0", "1e-300 * x", "(a < b) * c", "where(a <= b, a + b, -c)",
        "fma(-x, x, fma(w, x, b))", "x ** 2", "a if b else c", "not a", "a < b < c", "f(a)(b)", "1e999", "(a, b)",
    ],
)  # fmt: skip
def test_expressions_are_written_as_python_writes_them(text: str) -> None:
    tree = ast.parse(text, mode="eval").body
    assert written(tree) == ast.unparse(tree)


def test_an_operation_that_is_seldom_used_keeps_its_place() -> None:
    """It may have more parentheses than it needs, but none that it lacks."""
    for text in ("(a ** b) ** c", "2.0 * x ** 2", "(a if b else c) * d"):
        tree = ast.parse(text, mode="eval").body
        assert ast.dump(ast.parse(written(tree), mode="eval").body) == ast.dump(tree)
