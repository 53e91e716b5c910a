"""Functions that are compiled straight to LLVM, without Numba's front end, which takes most of the time of compiling.

``native("float32", 8)("array count -> number")`` marks a function of a file. It stays an ordinary Python function,
which is its twin. In compiled code, other such functions call it, and Numba does if it was given to ``taught``. The
language is small: whole numbers, floating-point numbers, vectors, flat arrays, and what this package teaches Numba. See
``native_emitter.py``.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from llvmlite import ir
from numba.core import types

from .lowering import Twin
from .routines import I1, I64
from .vectors import VectorType

MARK = "__native__"
_RESULTS = "->"


@dataclass(frozen=True)
class Native:
    """What is known of a native function: its arguments' types, and those of its results."""

    function: Callable[..., Any]
    arguments: tuple[types.Type, ...]
    results: tuple[types.Type, ...]


def native(dtype: str, simd_width: int) -> Callable[..., Callable[[Twin], Twin]]:
    """The decorator for functions over arrays of ``dtype`` and their vectors.

    Its argument has the kinds of a function's arguments: count, number, flag, vector, array, data (an array that is
    only read), integers (likewise) or doubles. Behind ``->`` it has those of the results, if there are any.
    """
    element = getattr(types, dtype)
    known = {
        "count": types.int64,
        "number": types.float64,
        "flag": types.boolean,
        "vector": VectorType(element, simd_width),
        "integers": types.Array(types.int64, 1, "C", readonly=True),
        "array": types.Array(element, 1, "C"),
        "data": types.Array(element, 1, "C", readonly=True),
        "doubles": types.Array(types.float64, 1, "C"),
    }

    def of_kinds(kinds: str) -> Callable[[Twin], Twin]:
        arguments, _, results = kinds.partition(_RESULTS)
        given, made = (tuple(known[kind] for kind in part.split()) for part in (arguments, results))

        def mark(function: Twin) -> Twin:
            setattr(function, MARK, Native(function, given, made))
            return function

        return mark

    return of_kinds


def result_type(own: Native) -> ir.Type:
    """LLVM's type of what a native function returns."""
    made = [ir_type(kind) for kind in own.results]
    return ir.LiteralStructType(made) if len(made) > 1 else made[0] if made else ir.VoidType()


def ir_type(kind: types.Type) -> ir.Type:
    """LLVM's type of values of a Numba type. An array is the address of its first element."""
    if isinstance(kind, types.Array):
        return ir_type(kind.dtype).as_pointer()
    known = {types.int64: I64, types.boolean: I1, types.float64: ir.DoubleType(), types.float32: ir.FloatType()}
    if kind in known:
        return known[kind]
    assert isinstance(kind, VectorType)
    return ir.VectorType(ir_type(kind.dtype), kind.simd_width)


@lru_cache(4)
def _definitions(file: str, length: int) -> dict[str, ast.FunctionDef]:
    tree = ast.parse("".join(linecache.getlines(file)))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def definition(function: Callable[..., Any]) -> ast.FunctionDef:
    """The syntax tree of a function of a generated file."""
    file = function.__code__.co_filename
    return _definitions(file, len(linecache.getlines(file)))[function.__name__]
