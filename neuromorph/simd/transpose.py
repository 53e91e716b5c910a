"""A routine that transposes a panel matrix to another panel matrix, in square blocks in vector registers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from ..host.frozen import frozen
from .lowering import ARRAY
from .product_shape import scalar_type
from .routines import I64, counted, integer, routine, teach

_I32 = ir.IntType(32)


@frozen
class TransposeShape:
    """The shape of a panel matrix with ``rows`` rows of ``columns`` vectors, and of its transpose.

    panel, transposed_panel: vectors in a panel of each. The transpose has columns × simd_width rows; its columns are
    the ``rows``, padded to whole vectors with zeros. by_rows: whether a call takes some blocks of ``simd_width`` rows,
    else it takes some column vectors.
    """

    dtype: str
    simd_width: int
    rows: int
    columns: int
    panel: int
    transposed_panel: int
    by_rows: bool = False

    @property
    def transposed_columns(self) -> int:
        """The number of vectors in a row of the transpose."""
        return -(-self.rows // self.simd_width)


def panels_to_matrix(flat: Any, rows: int, columns: int, panel: int, simd_width: int) -> Any:
    """The matrix (rows, columns × simd_width) that a flat array holds in panels."""
    out, start = np.empty((rows, columns * simd_width), flat.dtype), 0
    for first in range(0, columns, panel):
        width = (min(columns, first + panel) - first) * simd_width
        block = flat[start : start + rows * width].reshape(rows, width)
        out[:, first * simd_width : first * simd_width + width] = block
        start += rows * width
    return out


def matrix_to_panels(matrix: Any, panel: int, simd_width: int) -> Any:
    """A flat array that holds a matrix in panels; the columns must fill whole vectors."""
    step = panel * simd_width
    return np.concatenate([matrix[:, first : first + step].ravel() for first in range(0, matrix.shape[1], step)])


def transpose_block(builder: ir.IRBuilder, rows: list[ir.Value]) -> list[ir.Value]:
    """The rows of the transpose of a square block, by a butterfly network of shuffles."""
    simd_width = len(rows)
    kind = ir.VectorType(_I32, simd_width)
    distance = simd_width // 2
    while distance:
        out = list(rows)
        for low in (row for row in range(simd_width) if not row & distance):
            first, second = rows[low], rows[low + distance]
            near = [place if not place & distance else simd_width + place - distance for place in range(simd_width)]
            far = [place + distance if not place & distance else simd_width + place for place in range(simd_width)]
            out[low] = builder.shuffle_vector(first, second, ir.Constant(kind, near))
            out[low + distance] = builder.shuffle_vector(first, second, ir.Constant(kind, far))
        rows = out
        distance //= 2
    return rows


def _panel_place(builder: ir.IRBuilder, vector: ir.Value, depth: int, shape: tuple[int, int, int]) -> Any:
    """(offset of row 0, row stride) of a column vector in a panel matrix of ``depth`` rows.

    shape: (columns in vectors, panel in vectors, SIMD width).
    """
    columns, panel, simd_width = shape
    full, rest = divmod(columns, panel)
    number = builder.sdiv(vector, integer(panel))
    inside = builder.srem(vector, integer(panel))
    start = builder.mul(number, integer(depth * panel * simd_width))
    last = builder.icmp_signed("==", number, integer(full))
    stride = builder.select(last, integer(rest * simd_width), integer(panel * simd_width))
    return builder.add(start, builder.mul(inside, integer(simd_width))), stride


def call_block(builder: ir.IRBuilder, shape: TransposeShape, count: int, *places: ir.Value) -> None:
    """Emit a call that transposes a block of ``count`` rows. All shapes share the function, so it is compiled once.

    places: source and the stride of its rows, target and the stride of its rows.
    """
    simd_width, scalar = shape.simd_width, scalar_type(shape.dtype)
    name, pointer = f"nm.block.{shape.dtype}.{simd_width}.{count}", scalar.as_pointer()
    function, is_new = routine(builder.module, name, [pointer, I64, pointer, I64], inline=False)
    if is_new:
        inside = ir.IRBuilder(function.append_basic_block("entry"))
        source, step, target, transposed_step = function.args
        vector = ir.VectorType(scalar, simd_width)

        def at(start: ir.Value, stride: ir.Value, row: int) -> ir.Value:
            place = inside.gep(start, [inside.mul(stride, integer(row))])
            return inside.bitcast(place, vector.as_pointer())

        rows = [inside.load(at(source, step, row), align=4) for row in range(count)]
        zero = ir.Constant(vector, None)
        for row, value in enumerate(transpose_block(inside, rows + [zero] * (simd_width - count))):
            inside.store(value, at(target, transposed_step, row), align=4)
        inside.ret_void()
    builder.call(function, places)


def _emit(builder: ir.IRBuilder, shape: TransposeShape, arguments: list[ir.Value]) -> None:
    """Emit the body of the function: a loop over column vectors, in it one over blocks of rows, and the last rows."""
    source, target, begin, end = arguments
    simd_width = shape.simd_width

    def block(column: ir.Value, group: ir.Value, count: int) -> None:
        here, step = _panel_place(builder, column, shape.rows, (shape.columns, shape.panel, simd_width))
        here = builder.add(here, builder.mul(builder.mul(group, integer(simd_width)), step))
        depth = shape.columns * simd_width
        there, transposed_step = _panel_place(
            builder, group, depth, (shape.transposed_columns, shape.transposed_panel, simd_width)
        )
        there = builder.add(there, builder.mul(builder.mul(column, integer(simd_width)), transposed_step))
        places = builder.gep(source, [here]), step, builder.gep(target, [there]), transposed_step
        call_block(builder, shape, count, *places)

    whole, rest = divmod(shape.rows, simd_width)
    every = integer(0), integer(shape.columns), 1
    if shape.by_rows:
        stop = builder.select(builder.icmp_signed("<", end, integer(whole)), end, integer(whole))
        with counted(builder, begin, stop, 1) as group, counted(builder, *every) as column:
            block(column, group, simd_width)
        here = builder.icmp_signed("<=", begin, integer(whole)), builder.icmp_signed(">", end, integer(whole))
        if rest:
            with builder.if_then(builder.and_(*here)), counted(builder, *every) as column:
                block(column, integer(whole), rest)
        builder.ret_void()
        return
    with counted(builder, begin, end, 1) as column:
        if whole:
            with counted(builder, integer(0), integer(whole), 1) as group:
                block(column, group, simd_width)
        if rest:
            block(column, integer(whole), rest)
    builder.ret_void()


def _define(module: ir.Module, shape: TransposeShape) -> ir.Function:
    name = "nm.transpose." + ".".join(str(getattr(shape, f.name)) for f in fields(shape))
    pointer = scalar_type(shape.dtype).as_pointer()
    function, is_new = routine(module, name, [pointer, pointer, I64, I64])
    if is_new:
        function.args[1].add_attribute("noalias")
        _emit(ir.IRBuilder(function.append_basic_block("entry")), shape, list(function.args))
    return function


@cache
def transpose_of(shape: TransposeShape) -> Callable[..., None]:
    """The function (source, its offset, target, its offset, first, last), which writes panels of the transpose.

    It transposes the source's column vectors, or blocks of rows, from ``first`` to ``last``.
    """

    def transpose(source: Any, start: int, target: Any, place: int, first: int, last: int) -> None:
        """Write the transpose of some columns of a panel matrix."""
        size = shape.rows * shape.columns * shape.simd_width
        plain = panels_to_matrix(source[start : start + size], shape.rows, shape.columns, shape.panel, shape.simd_width)
        depth, wide, simd_width = shape.columns * shape.simd_width, shape.transposed_columns, shape.simd_width
        flat = target[place : place + depth * wide * simd_width]
        transposed = np.zeros((depth, wide * simd_width), plain.dtype)
        transposed[:, : shape.rows] = plain.T
        mine = np.zeros(transposed.shape, bool)  # what this call writes; other threads may be writing the rest
        some = slice(first * simd_width, last * simd_width)
        mine[(slice(None), some) if shape.by_rows else some] = True
        own = matrix_to_panels(mine, shape.transposed_panel, simd_width)
        flat[own] = matrix_to_panels(transposed, shape.transposed_panel, simd_width)[own]

    def emit(builder: ir.IRBuilder, values: list[ir.Value]) -> None:
        source, start, target, place, *bounds = values
        pointers = [builder.gep(source, [start]), builder.gep(target, [place])]
        builder.call(_define(builder.module, shape), [*pointers, *bounds])

    return teach(transpose, [ARRAY, types.intp, ARRAY, *[types.intp] * 3], emit)
