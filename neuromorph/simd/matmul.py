"""Matrix products as micro-kernels: tiles of C stay in vector registers during a loop over the inner dimension.

Two layouts serve every product of a network. A *row* matrix is a flat array with literal strides. A *panel* matrix
keeps its columns in panels of a few vectors: panel after panel, inside a panel row after row, so that a micro-kernel
reads it from front to back. Its columns are padded to whole vectors with zeros. ``product_of(...)`` gives a function
for one literal shape: a plain Python twin over NumPy, and inside compiled code an LLVM function of its own.

If the number of rows is known only at run time, each row is summed in the same order, whatever the number of rows and
whichever tile the row is in. So one row at a time gives the same bits as a thousand rows.

The method (register tiles, packed panels, blocking of the inner dimension) is that of Goto and van de Geijn,
"Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from . import expressions
from .lowering import ARRAY
from .product_emitter import ProductEmitter
from .product_shape import (
    Shape,
    scalar_type,
)
from .routines import I1, I64, integer, routine, teach

LONG = 300  # instructions: LLVM must not inline a longer function and optimise it there once more


# The plain Python twin -----------------------------------------------------------------------------------------------


def matrix_view(array: Any, offset: int, rows: int, columns: int, row: int, column: int) -> Any:
    """A view of a strided matrix inside a flat array."""
    step, last = array.itemsize, offset + max(rows - 1, 0) * row + max(columns - 1, 0) * column
    assert 0 <= offset <= last < max(len(array), 1), "a matrix is inside its array"
    return np.lib.stride_tricks.as_strided(array[offset:], (rows, columns), (row * step, column * step))


def _multiplied(left: Any, right: Any, shape: Shape) -> Any:
    """The product of two matrices, computed row by row if a row's result must not depend on the number of rows."""
    return np.stack([row @ right for row in left]) if shape.rows is None and len(left) else left @ right


def _twin(shape: Shape) -> Callable[..., None]:
    def product(a: Any, ao: int, b: Any, bo: int, c: Any, co: int, rows: int, inner: int, *rest: Any) -> None:
        """Write the panels first to last of C = start + A B, for matrices at offsets of flat arrays."""
        extra, (first, last) = rest[:-2], rest[-2:]
        left = matrix_view(a, ao, rows, inner, shape.a_row, shape.a_inner)
        for panel in range(first, last):
            width, column = shape.panel_width(panel), panel * shape.panel * shape.simd_width
            if shape.b_row is None:
                right = matrix_view(b, bo + shape.panel_offset(panel, inner), inner, width, width, 1)
            else:
                right = matrix_view(b, bo + column, inner, width, shape.b_row, 1)
            if shape.c_row is None:
                out = matrix_view(c, co + shape.panel_offset(panel, rows), rows, width, width, 1)
            else:
                out = matrix_view(c, co + column, rows, width, shape.c_row, 1)
            if shape.start == "bias":
                begin = extra[0][extra[1] + column : extra[1] + column + width]
            else:
                begin = out if shape.start == "add" or (shape.start == "keep" and extra[0]) else 0
            sums = begin + _multiplied(left, right, shape)
            if shape.epilogue:
                names = {"x": sums}
                if shape.beside_row is not None:
                    names["y"] = matrix_view(extra[-2], extra[-1] + column, rows, width, shape.beside_row, 1)
                sums = expressions.value_of(shape.epilogue, names)
            out[...] = sums

    return product


def _word(value: object) -> str:
    """The text for a field of a shape in a symbol's name. For an expression it is its letters and its checksum."""
    text = str(value)
    return text if text.isalnum() or not text else f"{re.sub(r'[^a-z0-9]+', '_', text)}{zlib.crc32(text.encode()):08x}"


def symbol(kind: str, shape: Shape) -> str:
    """The name of the LLVM function of a routine of this shape."""
    return f"nm.{kind}." + ".".join(_word(getattr(shape, f.name)) for f in fields(shape))


def addresses(shape: Shape, builder: ir.IRBuilder, arguments: Sequence[ir.Value]) -> dict[str, Any]:
    """The values that an emitter of a product works on, by name, from the arguments of the LLVM function."""
    a, *vectors, rows, inner, keep, first, last = arguments
    kind = ir.VectorType(scalar_type(shape.dtype), shape.simd_width).as_pointer()
    b, c, bias, beside = (builder.bitcast(pointer, kind) for pointer in vectors)
    rows = rows if shape.rows is None else integer(shape.rows)
    inner = inner if shape.inner is None else integer(shape.inner)
    return {
        "a": a, "b": b, "c": c, "bias": bias, "beside": beside, "rows": rows, "inner": inner, "keep": keep,
        "first": first, "last": last,
    }  # fmt: skip


def kinds_of_arguments(shape: Shape) -> list[ir.Type]:
    """The types of the LLVM function's arguments."""
    return [scalar_type(shape.dtype).as_pointer()] * 5 + [I64, I64, I1, I64, I64]


def define_product(module: ir.Module, shape: Shape) -> ir.Function:
    """The LLVM function of a product, made once in each module."""
    function, is_new = routine(module, symbol("product", shape), kinds_of_arguments(shape))
    if is_new:
        function.args[2].add_attribute("noalias")  # C never overlaps A, B, the bias or the matrix beside it
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        ProductEmitter(shape, builder, **addresses(shape, builder, function.args)).emit()
        is_long = sum(len(block.instructions) for block in function.blocks) > LONG
        if is_long or shape.far(shape.b_row):  # so that a panel's copy is not on the caller's stack
            function.attributes.add("noinline")
    return function


def types_of(shape: Shape, *more: Any) -> list[Any]:
    """The types of a product's arguments. more: those before the first and the last panel."""
    starts: dict[str, list[Any]] = {"bias": [ARRAY, types.intp], "keep": [types.boolean]}
    extra = starts.get(shape.start, []) + ([ARRAY, types.intp] if shape.beside_row is not None else [])
    return [ARRAY, types.intp] * 3 + [types.intp] * 2 + extra + [*more] + [types.intp] * 2


def operands(shape: Shape, builder: ir.IRBuilder, values: list[ir.Value]) -> list[ir.Value]:
    """The arguments of the LLVM function of a product, from those of its call in compiled code."""

    def place(i: int) -> ir.Value:
        return builder.gep(values[i], [values[i + 1]])

    pointers = [place(0), place(2), place(4)]
    pointers.append(place(8) if shape.start == "bias" else pointers[2])
    pointers.append(place(len(values) - 4) if shape.beside_row is not None else pointers[2])
    keep = values[8] if shape.start == "keep" else ir.Constant(I1, 0)
    return [*pointers, values[6], values[7], keep, values[-2], values[-1]]


@cache
def product_of(shape: Shape) -> Callable[..., None]:
    """The function of a product of this shape.

    Its arguments: (a, a_offset, b, b_offset, c, c_offset, rows, inner, [bias, offset | keep], [beside, offset], first,
    last). It writes the panels first to last of C.
    """

    def emit(builder: ir.IRBuilder, values: list[ir.Value]) -> None:
        builder.call(define_product(builder.module, shape), operands(shape, builder, values))

    return teach(_twin(shape), types_of(shape), emit)
