"""Functions that are compiled straight to LLVM, without Numba's front end, which would take most of the time.

``native("float32", 8)("array count -> number")`` marks a function of a file. It stays an ordinary Python function,
which is its twin. In compiled code, other such functions call it. The language is small: whole numbers, floating-point
numbers, vectors, flat arrays, and what this package teaches Numba. See ``native_emitter.py``.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from llvmlite import ir
from numba.core import types

from ..host.syntax import parsed_module
from .lowering import Twin
from .routines import I1, I64
from .vectors import VectorType

MARK = "__native__"
_RESULTS = "->"


class Given(types.Array):
    """The type of an object that Python hands over, which may be an array of ``element`` with one or two axes.

    A native function sees three int64: the address of the first number, the form, and the number of numbers. The form
    is 0 for one axis, the length of the first one for two; ABSENT for None, and UNUSABLE for all else: then there are
    no numbers. is_result: whether the array must be writable.
    """

    def __init__(self, element: types.Type, *, is_result: bool) -> None:
        self.element, self.is_result = element, is_result
        super().__init__(types.int64, 1, "C", readonly=True)

    @property
    def key(self) -> tuple[Any, ...]:
        """What Numba tells types apart by."""
        return *super().key, self.element, self.is_result


@dataclass(frozen=True)
class Native:
    """What is known of a native function: its arguments' types, and those of its results.

    few_passes: whether LLVM makes only a few of its passes over the function's code.
    """

    function: Callable[..., Any]
    arguments: tuple[types.Type, ...]
    results: tuple[types.Type, ...]
    few_passes: bool

    @property
    def symbol(self) -> str:
        """The name of the LLVM function."""
        return f"nm.native.{self.function.__name__}"

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """The places of the arguments that are arrays whose lengths the function needs.

        Each length is an argument of the LLVM function, behind the others.
        """
        names = set(self.function.__code__.co_names)
        called = {name: of for name in names if (of := _known(self.function, name)) is not None and of.lengths}
        if not called and "len" not in names:
            return ()
        tree, needed = definition(self.function), set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                places = (
                    (0,) if node.func.id == "len" else called[node.func.id].lengths if node.func.id in called else ()
                )
                needed |= {whose(node.args[place]) for place in places}
        return tuple(place for place, each in enumerate(tree.args.args) if each.arg in needed)


def _known(function: Callable[..., Any], name: str) -> Native | None:
    """What is known of a native function that another one calls; None for other names, and for itself."""
    found = function.__globals__.get(name)
    return None if found is function else getattr(found, MARK, None)


def whose(node: ast.expr) -> str:
    """The name of the array whose length an expression has: a view has that of the array that it was made from."""
    while isinstance(node, ast.Call):
        node = node.args[0]
    return node.id if isinstance(node, ast.Name) else ""


def native(dtype: str, simd_width: int, *, few_passes: bool = False) -> Callable[..., Callable[[Twin], Twin]]:
    """The decorator for functions over arrays of ``dtype`` and their vectors.

    few_passes: whether they are written as they should run, so that LLVM needs only a tenth of its time for them.

    Its argument has the kinds of a function's arguments: count, number, flag, vector, array, data (an array that is
    only read), integers, program (integers that nobody changes meanwhile), doubles, given or taken (see ``Given``).
    Behind ``->`` it has those of the results, if there are any.
    """
    element = getattr(types, dtype)
    known = {
        "count": types.int64,
        "number": types.float64,
        "flag": types.boolean,
        "vector": VectorType(element, simd_width),
        "integers": types.Array(types.int64, 1, "C"),
        "program": types.Array(types.int64, 1, "C", readonly=True),
        "array": types.Array(element, 1, "C"),
        "data": types.Array(element, 1, "C", readonly=True),
        "doubles": types.Array(types.float64, 1, "C"),
        "given": Given(element, is_result=False),
        "taken": Given(element, is_result=True),
    }

    def of_kinds(kinds: str) -> Callable[[Twin], Twin]:
        arguments, _, results = kinds.partition(_RESULTS)
        given, made = (tuple(known[kind] for kind in part.split()) for part in (arguments, results))

        def mark(function: Twin) -> Twin:
            setattr(function, MARK, Native(function, given, made, few_passes))
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
    tree = parsed_module("".join(linecache.getlines(file)))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def definition(function: Callable[..., Any]) -> ast.FunctionDef:
    """The syntax tree of a function of a generated file."""
    file = function.__code__.co_filename
    return _definitions(file, len(linecache.getlines(file)))[function.__name__]
