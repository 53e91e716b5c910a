"""Expressions: the texts in records that the code generator pastes into generated source."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import lru_cache

_NAME = re.compile(r"\b[A-Za-z_]\w*\b")
_SIMPLE = frozenset({"where", "maximum", "minimum", "absolute"})
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
        return sum(_cost(node, calls) for node in ast.walk(ast.parse(self, mode="eval")))

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
    nodes = list(ast.walk(ast.parse(text, mode="eval").body))
    called = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    return called <= _SIMPLE and all(isinstance(node, _PARTS) for node in nodes)
