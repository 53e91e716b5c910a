"""Prints expressions of the records as C, and numbers as C literals."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from ..functions.expressions import Expression
from ..host.syntax import parsed_expression

# The functions of expressions that have another name in C.
RENAMED = {"absolute": "abs", "maximum": "max", "minimum": "min"}
_OPERATORS: dict[type[ast.AST], tuple[str, int]] = {
    ast.Add: ("+", 1), ast.Sub: ("-", 1), ast.Mult: ("*", 2), ast.Div: ("/", 2),
}  # fmt: skip
_COMPARISONS: dict[type[ast.AST], str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_SIGNED, _ATOM = 3, 4  # how strongly a sign and a single operand bind; sums and products bind less


@dataclass
class Mathematics:
    """The functions that a C file calls.

    dtype: "float32" or "float64". prefix: the beginning of the names of the file's own functions. library: the
    functions that are taken from the C library. used: the functions of the file that were printed so far, and
    "libm" if one of the library was.
    """

    dtype: str
    prefix: str
    library: frozenset[str]
    used: set[str] = field(default_factory=set)

    def call(self, name: str) -> str:
        """The name in C of a function of expressions, which from now on counts as used."""
        own = RENAMED.get(name, name)
        if own in self.library:
            self.used.add("libm")
            return own + ("f" if self.dtype == "float32" else "")
        return self.own(own)

    def own(self, name: str) -> str:
        """The name in C of a function of the file, which from now on counts as used."""
        self.used.add(name)
        return f"{self.prefix}_{name}"

    def literal(self, value: float) -> str:
        """A finite number as a C literal of the type: the shortest that is read as the same number.

        >>> Mathematics("float32", "net", frozenset()).literal(0.1)
        '0.1f'
        """
        return f"{np.float32(value)!s}f" if self.dtype == "float32" else repr(float(value))

    def text(self, expression: str, names: Mapping[str, str]) -> str:
        """An expression in C, with products and sums joined as kernels join them. names: what its names become.

        >>> double = Mathematics("float64", "net", frozenset())
        >>> double.text("where(x > 0.0, exp(x), p * (x - 1.0))", {"x": "v", "p": "-0.5"})
        '(v > 0.0 ? net_exp(v) : -0.5 * (v - 1.0))'
        """
        return _Printer(self, names).printed(_tree(Expression(expression).joined))[0]


@lru_cache(maxsize=1024)
def _tree(expression: str) -> ast.expr:
    return parsed_expression(expression)


class _Printer:
    """Prints the parts of one expression, each with the strength of its outermost operator."""

    def __init__(self, mathematics: Mathematics, names: Mapping[str, str]) -> None:
        self.mathematics, self.names = mathematics, names

    def printed(self, node: ast.expr) -> tuple[str, int]:
        if isinstance(node, ast.Name):
            text = self.names[node.id]
            return text, _SIGNED if text.startswith("-") else _ATOM
        if isinstance(node, ast.Constant):
            return self.mathematics.literal(float(node.value)), _ATOM  # type: ignore[arg-type]
        if isinstance(node, ast.UnaryOp):
            return f"-{self.operand(node.operand, _ATOM)}", _SIGNED
        if isinstance(node, ast.BinOp):
            sign, strength = _OPERATORS[type(node.op)]
            return f"{self.operand(node.left, strength)} {sign} {self.operand(node.right, strength + 1)}", strength
        assert isinstance(node, ast.Call)
        assert isinstance(node.func, ast.Name)
        if node.func.id == "where":
            return self.choice(*node.args), _ATOM
        arguments = ", ".join(self.printed(argument)[0] for argument in node.args)
        return f"{self.mathematics.call(node.func.id)}({arguments})", _ATOM

    def operand(self, node: ast.expr, least: int) -> str:
        """A part of an expression, in parentheses if it binds less strongly than ``least``."""
        text, strength = self.printed(node)
        return text if strength >= least else f"({text})"

    def choice(self, condition: ast.expr, yes: ast.expr, no: ast.expr) -> str:
        assert isinstance(condition, ast.Compare)
        sign = _COMPARISONS[type(condition.ops[0])]
        left, right = self.operand(condition.left, 1), self.operand(condition.comparators[0], 1)
        return f"({left} {sign} {right} ? {self.printed(yes)[0]} : {self.printed(no)[0]})"
