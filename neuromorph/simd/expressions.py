"""Emits element-by-element expressions inside micro-kernels, from the texts that generated source uses too.

An expression has ``+ - *``, comparisons, number literals, ``where``, ``maximum``, ``minimum``, ``absolute``, ``fma``
and names of vectors. Costly operations, such as ``exp`` or a division, are left to generated source. Unrolled over the
cells of a tile, they would take more time to compile than a second pass over a row takes to run.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import cache
from types import CodeType
from typing import Any

from llvmlite import ir

from ..host.syntax import parsed_expression
from .constants import filled
from .vectors import absolute, emit_absolute, emit_fma, fma, maximum, minimum, where

_OPERATORS: dict[type[ast.AST], str] = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul"}
_SIGNS: dict[type[ast.AST], str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "absolute": absolute, "fma": fma, "maximum": maximum, "minimum": minimum, "where": where
}  # fmt: skip


@cache
def _code(text: str) -> CodeType:
    return compile(text, "<epilogue>", "eval")


def value_of(text: str, names: Mapping[str, Any]) -> Any:
    """The value of an expression over NumPy arrays: the twin of ``emit``."""
    return eval(_code(text), {"__builtins__": {}, **_FUNCTIONS}, dict(names))


def emit(builder: ir.IRBuilder, text: str, names: Mapping[str, ir.Value]) -> ir.Value:
    """Emit the instructions of an expression over vectors of one type; its value. KeyError for other parts."""
    kind = next(iter(names.values())).type
    return _Emitter(builder, kind, names).value(parsed_expression(text))


class _Emitter:
    def __init__(self, builder: ir.IRBuilder, kind: ir.VectorType, names: Mapping[str, ir.Value]) -> None:
        self.builder, self.kind, self.names = builder, kind, names

    def value(self, node: ast.AST) -> ir.Value:
        """Emit an expression; its value, a vector of numbers or of truth values."""
        if isinstance(node, ast.Name):
            return self.names[node.id]
        if isinstance(node, ast.Constant):
            return filled(self.kind.element, self.kind.count, float(node.value))  # type: ignore[arg-type]
        if isinstance(node, ast.UnaryOp):
            return self.builder.fneg(self.value(node.operand))
        if isinstance(node, ast.BinOp):
            emit = getattr(self.builder, _OPERATORS[type(node.op)])
            return emit(self.value(node.left), self.value(node.right))
        if isinstance(node, ast.Compare):
            sign = _SIGNS[type(node.ops[0])]
            return self.builder.fcmp_ordered(sign, self.value(node.left), self.value(node.comparators[0]))
        assert isinstance(node, ast.Call)
        assert isinstance(node.func, ast.Name)
        return self.call(node.func.id, [self.value(argument) for argument in node.args])

    def call(self, name: str, values: list[ir.Value]) -> ir.Value:
        """Emit a call of one of the functions; its value."""
        builder = self.builder
        if name == "where":
            return builder.select(*values)
        if name == "fma":
            return emit_fma(builder, *values)
        if name == "absolute":
            return emit_absolute(builder, *values)
        return builder.select(builder.fcmp_ordered(">" if name == "maximum" else "<", *values), *values)
