"""Routines over rows and columns whose shape is known at run time only: what the machine calls for any model."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from . import softmax as rows_of
from .column_sums import SumShape, define_sums
from .lowering import ARRAY
from .matmul import matrix_view
from .routines import integer, teach
from .transpose import TransposeShape, call_block

_ANY_WIDTH = 1 << 20  # of a row, so that it counts as long


@cache
def general_sums(dtype: str, simd_width: int) -> Callable[..., None]:
    """The function (source, offset, stride, rows, target, offset, vectors, adds): the sums of the first column vectors,
    if ``adds`` is 1 added to the numbers in the target."""

    def sums(source: Any, start: int, stride: int, rows: int, target: Any, place: int, vectors: int, adds: int) -> None:
        """Write the sums of columns over all rows."""
        out = target[place : place + vectors * simd_width]
        found = matrix_view(source, start, rows, vectors * simd_width, stride, 1).sum(axis=0)
        out[:] = out + found if adds else found

    def emit(builder: ir.IRBuilder, values: list[ir.Value]) -> None:
        source, start, stride, rows, target, place, vectors, adds = values
        source, target = builder.gep(source, [start]), builder.gep(target, [place])
        flag = builder.icmp_signed("==", adds, integer(1))
        function = define_sums(builder.module, SumShape(dtype, simd_width, 0))
        builder.call(function, [source, stride, rows, target, flag, integer(0), vectors])

    counts = [types.intp] * 3
    return teach(sums, [ARRAY, *counts, ARRAY, types.intp, types.intp, types.intp], emit)


@cache
def general_softmax(dtype: str, simd_width: int) -> Callable[..., None]:
    """The function (array, source, stride, target, stride, rows, width): the softmax of rows of one array."""
    shape = rows_of.RowShape(dtype, simd_width, _ANY_WIDTH, (0, 0))

    def softmax(array: Any, source: int, row: int, target: int, other: int, rows: int, width: int) -> None:
        """Write the softmax of rows."""
        values = matrix_view(array, source, rows, width, row, 1)
        out = matrix_view(array, target, rows, -(-width // simd_width) * simd_width, other, 1)
        with np.errstate(invalid="ignore"):
            powers = np.exp(values - values.max(axis=1, keepdims=True))
        out[:, width:] = 0.0
        out[:, :width] = powers / powers.sum(axis=1, keepdims=True)

    def emit(builder: ir.IRBuilder, values: list[ir.Value]) -> None:
        array, source, row, target, other, rows, width = values
        function = rows_of.define_rows(builder.module, shape, "softmax", rows_of.RowEmitter.softmax)
        places = [builder.gep(array, [place]) for place in (source, target)]
        builder.call(function, [*places, row, other, rows, width])

    return teach(softmax, [ARRAY, *[types.intp] * 6], emit)


@cache
def general_softmax_gradient(dtype: str, simd_width: int, adds: bool) -> Callable[..., None]:
    """The function (array, result, stride, gradient, stride, target, stride, rows, width): gradients back through a
    softmax, of rows of one array. adds: whether to what the target holds."""
    shape = rows_of.RowShape(dtype, simd_width, _ANY_WIDTH, (0, 0, 0))

    def gradient(
        array: Any, result: int, row: int, given: int, second: int, target: int, third: int, rows: int, width: int
    ) -> None:
        """Write, or add, the gradient of a softmax's input."""
        whole = -(-width // simd_width) * simd_width
        y, g = matrix_view(array, result, rows, whole, row, 1), matrix_view(array, given, rows, whole, second, 1)
        out = matrix_view(array, target, rows, whole, third, 1)
        value = y * (g - (y * g).sum(axis=1, keepdims=True))
        out[:] = out + value if adds else value

    def write(emitter: rows_of.RowEmitter, y: ir.Value, g: ir.Value, target: ir.Value) -> None:
        emitter.gradient(y, g, target, adds=adds)

    def emit(builder: ir.IRBuilder, values: list[ir.Value]) -> None:
        array, *places, rows, width = values
        kind = f"softmax_gradient{'.adds' if adds else ''}"
        function = rows_of.define_rows(builder.module, shape, kind, write)
        starts = [builder.gep(array, [place]) for place in places[::2]]
        builder.call(function, [*starts, *places[1::2], rows, width])

    return teach(gradient, [ARRAY, *[types.intp] * 8], emit)


@cache
def block_transpose(dtype: str, simd_width: int) -> Callable[..., None]:
    """The function (source, offset, stride, target, offset, stride): the transpose of a square block of vectors."""
    shape = TransposeShape(dtype, simd_width, 0, 0, 1, 1)

    def transpose(source: Any, start: int, step: int, target: Any, place: int, other: int) -> None:
        """Write the transpose of a block."""
        matrix_view(target, place, simd_width, simd_width, other, 1)[...] = matrix_view(
            source, start, simd_width, simd_width, step, 1
        ).T

    def emit(builder: ir.IRBuilder, values: list[ir.Value]) -> None:
        source, start, step, target, place, other = values
        places = builder.gep(source, [start]), step, builder.gep(target, [place]), other
        call_block(builder, shape, simd_width, *places)

    return teach(transpose, [ARRAY, types.intp, types.intp, ARRAY, types.intp, types.intp], emit)
