"""Expressions: the texts in records that the code generator pastes into generated source."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping
from functools import lru_cache

from ..host.syntax import parsed_expression

_NAME = re.compile(r"\b[A-Za-z_]\w*\b")
_SIMPLE = frozenset({"where", "maximum", "minimum", "absolute", "fma"})
_PARTS = (ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.UnaryOp, ast.USub, ast.Compare, ast.cmpop, ast.Call, ast.Name,
          ast.Load, ast.Constant)  # fmt: skip


class Expression(str):
    """A Python expression over named variables, such as ``"x * sigmoid(p * x)"``.

    >>> Expression("where(x > 0.0, x, p * x)").renamed({"x": "v3", "p": "0.1"})
    'where(v3 > 0.0, v3, 0.1 * v3)'
    """

    __slots__ = ()

    @property
    def names(self) -> frozenset[str]:
        """The names of variables and functions in the expression."""
        return _names(str(self))

    def renamed(self, names: Mapping[str, str]) -> Expression:
        """The expression with some names replaced by other texts, all at once."""
        return Expression(_NAME.sub(lambda found: names.get(found.group(), found.group()), self))

    def cost(self, calls: Mapping[str, int]) -> int:
        """The floating-point operations for one component.

        Each sum, product and comparison counts as one. A call counts as ``calls`` says; other functions cost nothing.

        >>> Expression("where(x > 0.0, x, p * exp(x))").cost({"exp": 20})
        22
        """
        return sum(_cost(node, calls) for node in ast.walk(parsed_expression(self)))

    @property
    def joined(self) -> Expression:
        """The expression with each sum or difference that has a product as a term as one ``fma(a, b, c)``, a b + c.

        A model's own kernel and the machine compute the joined expression, so that both round in the same places.

        >>> Expression("w * x + b - x * x").joined
        'fma(-x, x, fma(w, x, b))'
        """
        return Expression(_joined(str(self)))

    def added_to(self, name: str) -> Expression:
        """The joined expression, added to the variable of a name."""
        return Expression(f"{name} + {self}" if self.isidentifier() else f"{name} + ({self})").joined

    @property
    def is_simple(self) -> bool:
        """Whether the expression takes a few instructions only: sums, products, comparisons and choices."""
        return _is_simple(str(self))


@lru_cache(maxsize=4096)
def _names(text: str) -> frozenset[str]:
    return frozenset(_NAME.findall(text))


def _cost(node: ast.AST, calls: Mapping[str, int]) -> int:
    if isinstance(node, ast.BinOp | ast.Compare):
        return 1
    return calls.get(node.func.id, 0) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else 0


@lru_cache(maxsize=1024)
def _is_simple(text: str) -> bool:
    nodes = list(ast.walk(parsed_expression(text)))
    called = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    return called <= _SIMPLE and all(isinstance(node, _PARTS) for node in nodes)


class _Joiner(ast.NodeTransformer):
    """Replaces sums and differences that have a product as a term."""

    def __init__(self) -> None:
        self.joins = 0

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        left, right = self.visit(node.left), self.visit(node.right)
        adds = isinstance(node.op, ast.Add)
        if adds and _is_product(left):
            return self.call(left.left, left.right, right)
        if adds and _is_product(right):
            return self.call(right.left, right.right, left)
        if isinstance(node.op, ast.Sub) and _is_product(right):
            return self.call(ast.UnaryOp(ast.USub(), right.left), right.right, left)
        if isinstance(node.op, ast.Sub) and _is_product(left):
            return self.call(left.left, left.right, ast.UnaryOp(ast.USub(), right))
        return ast.BinOp(left, node.op, right)

    def call(self, *arguments: ast.expr) -> ast.expr:
        self.joins += 1
        return ast.Call(ast.Name("fma", ast.Load()), list(arguments), [])


def _is_product(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult)


@lru_cache(maxsize=4096)
def _joined(text: str) -> str:
    joiner = _Joiner()
    tree = joiner.visit(parsed_expression(text))
    return written(tree) if joiner.joins else text


# The symbols of operators, and how strongly they bind: more than comparisons (1), less than names (5).
_BINARY: dict[type, tuple[str, int]] = {ast.Add: ("+", 2), ast.Sub: ("-", 2), ast.Mult: ("*", 3), ast.Div: ("/", 3)}
_COMPARED: dict[type, str] = {ast.Lt: "<", ast.Gt: ">", ast.LtE: "<=", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}


def written(node: ast.expr, least: int = 0) -> str:
    """The text of an expression, as ``ast.unparse`` writes it, which takes several times as long.

    least: how strongly the expression must bind to stand without parentheses.
    """
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Call):
        return f"{written(node.func, 5)}({', '.join(map(written, node.args))})"
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and math.isfinite(node.value):
        return repr(node.value)
    text, binds = _operation(node)
    return f"({text})" if binds < least else text


def _operation(node: ast.expr) -> tuple[str, int]:
    """The text of an operation, and how strongly it binds."""
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        symbol, binds = _BINARY[type(node.op)]
        return f"{written(node.left, binds)} {symbol} {written(node.right, binds + 1)}", binds
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return f"-{written(node.operand, 4)}", 4
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARED:
        return f"{written(node.left, 2)} {_COMPARED[type(node.ops[0])]} {written(node.comparators[0], 2)}", 1
    return ast.unparse(node), 0
