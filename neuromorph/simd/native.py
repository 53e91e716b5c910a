"""Functions that are compiled straight to LLVM, without Numba's front end, which takes most of the time of compiling.

``native("float32", 8)("array count -> number")`` marks a function of a generated file. It stays an ordinary Python
function, which is its twin. In compiled code, other such functions call it, and Numba does if it was given to
``taught``. The language is small: whole numbers, floating-point numbers, vectors, flat arrays, and what this package
teaches Numba. See ``native_emitter.py``.
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
from .routines import I1, I64, routine, teach
from .vectors import VectorType

MARK = "__native__"
_RESULTS = "->"


@dataclass(frozen=True)
class Native:
    """What is known of a native function: its arguments' types, and those of its results."""

    function: Callable[..., Any]
    arguments: tuple[types.Type, ...]
    results: tuple[types.Type, ...]
    inline: bool


def native(dtype: str, simd_width: int) -> Callable[..., Callable[[Twin], Twin]]:
    """The decorator for functions over arrays of ``dtype`` and their vectors.

    Its argument has the kinds of a function's arguments: count, number, flag, vector, array, data (an array that is only
    read), integers or doubles. Behind ``->`` it has those of the results, if there are any. inline: whether LLVM may put the
    function's body in place of a call.
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

    def of_kinds(kinds: str, *, inline: bool = True) -> Callable[[Twin], Twin]:
        arguments, _, results = kinds.partition(_RESULTS)
        given, made = (tuple(known[kind] for kind in part.split()) for part in (arguments, results))

        def mark(function: Twin) -> Twin:
            setattr(function, MARK, Native(function, given, made, inline))
            return function

        return mark

    return of_kinds


def taught(function: Twin) -> Twin:
    """A native function of one result that functions which Numba compiles may call too."""
    own: Native = getattr(function, MARK)

    def emit(builder: ir.IRBuilder, values: list[ir.Value]) -> ir.Value:
        return builder.call(function_in(builder.module, own), values)

    return teach(function, list(own.arguments), emit, own.results[0])


def function_in(module: ir.Module, own: Native) -> ir.Function:
    """The LLVM function of a native function in a module; its body is emitted if the module has none."""
    from .native_emitter import emit_body

    kinds = [ir_type(kind) for kind in own.arguments]
    name = f"nm.native.{own.function.__name__}"
    function, is_new = routine(module, name, kinds, result=result_type(own), inline=own.inline)
    if is_new:
        for argument, kind in zip(function.args, own.arguments, strict=True):
            if isinstance(kind, types.Array) and kind.dtype is types.int64:
                argument.add_attribute("noalias")  # no program is changed while it runs
        emit_body(function, own, definition(own.function))
    return function


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
    element = ir_type(kind.dtype) if hasattr(kind, "dtype") else I1
    return ir.VectorType(element, kind.simd_width)


@lru_cache(4)
def _definitions(file: str, length: int) -> dict[str, ast.FunctionDef]:
    tree = ast.parse("".join(linecache.getlines(file)))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def definition(function: Callable[..., Any]) -> ast.FunctionDef:
    """The syntax tree of a function of a generated file."""
    file = function.__code__.co_filename
    return _definitions(file, len(linecache.getlines(file)))[function.__name__]
