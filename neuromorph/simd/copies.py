"""Routines that copy whole vectors inside an array, or set them to zero."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir
from numba.core import types

from ..host.frozen import frozen
from .lowering import ARRAY
from .product_shape import scalar_type
from .routines import I64, counted, integer, routine, teach


@frozen
class Moves:
    """Functions over arrays of one element type. ``count`` is in elements and a multiple of the SIMD width.

    copy(array, source, target, count): copies from the first element to the last, so that a target that begins before
    the source may overlap it. clear(array, start, count): sets elements to zero.
    """

    copy: Callable[..., None]
    clear: Callable[..., None]


@cache
def moves(dtype: str, simd_width: int) -> Moves:
    """The functions for vectors of ``simd_width`` elements of ``dtype`` ("float32" or "float64")."""
    element = scalar_type(dtype)
    vector = ir.VectorType(element, simd_width)
    zeros = ir.Constant(vector, None)

    def each_vector(name: str, emit: Callable[..., None], arguments: int) -> Callable[..., None]:
        """The function that emits the call of a loop over vectors.

        emit: gets the builder and, for each offset, the address of the vector there.
        """

        def emit_call(builder: ir.IRBuilder, values: list[ir.Value]) -> None:
            full = f"nm.{name}.{dtype}.{simd_width}"
            function, is_new = routine(builder.module, full, [element.as_pointer()] * arguments + [I64])
            if is_new:
                inner = ir.IRBuilder(function.append_basic_block("entry"))
                *starts, count = function.args
                with counted(inner, integer(0), count, simd_width) as place:
                    emit(inner, *(inner.bitcast(inner.gep(start, [place]), vector.as_pointer()) for start in starts))
                inner.ret_void()
            array, *starts, count = values
            builder.call(function, [*(builder.gep(array, [start]) for start in starts), count])

        return emit_call

    def copy(array: Any, source: int, target: int, count: int) -> None:
        """Copy ``count`` elements from ``source`` to ``target``."""
        array[target : target + count] = array[source : source + count]

    def emit_copy(builder: ir.IRBuilder, source: ir.Value, target: ir.Value) -> None:
        builder.store(builder.load(source, align=4), target, align=4)

    def clear(array: Any, start: int, count: int) -> None:
        """Set ``count`` elements from ``start`` to zero."""
        array[start : start + count] = 0.0

    def emit_clear(builder: ir.IRBuilder, target: ir.Value) -> None:
        builder.store(zeros, target, align=4)

    index = types.intp
    return Moves(
        teach(copy, [ARRAY, index, index, index], each_vector("copy", emit_copy, 2)),
        teach(clear, [ARRAY, index, index], each_vector("clear", emit_clear, 1)),
    )
