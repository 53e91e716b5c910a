"""Routines whose shape is known at run time only: what the machine calls for any model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from . import softmax as rows_of
from .column_sums import SumShape, define_sums
from .lowering import ARRAY, data_pointer, define
from .matmul import matrix_view
from .product_shape import INNER_BLOCK, scalar_type, tile_rows
from .routines import I64, counted, integer, routine, summed, teach
from .transpose import TransposeShape, call_block
from .vectors import intrinsic, spread, suffix

ZERO, ADD, BIAS = 0, 1, 2  # how the sums of a product start
_TABLE = 16  # entries of a table of tiles for each width
_ANY_WIDTH = 1 << 20  # of a row, so that it counts as long


def word(program: Any, index: int) -> int:
    """A word of a program, an int64 array."""
    return int(program[index])


def _emit_word(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
    return builder.load(builder.gep(data_pointer(context, builder, sig.args[0], args[0]), [args[1]]))


define(word, types.int64, (ARRAY, types.intp), _emit_word)


def number(numbers: Any, index: int) -> float:
    """A number beside a program, a float64 array."""
    return float(numbers[index])


define(number, types.float64, (ARRAY, types.intp), _emit_word)


# Products ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tile:
    """What the function of a tile takes: where A, B, C and the sums' beginnings are, the inner steps, and strides."""

    a: ir.Value
    b: ir.Value
    c: ir.Value
    begin: ir.Value
    inner: ir.Value
    stride: ir.Value
    b_step: ir.Value
    c_step: ir.Value
    begin_step: ir.Value


class _Product:
    """Emits C = start + A B. The rows of A are contiguous or, ``turned``, its columns.

    B and C are panels (where their row stride is 0) or matrices in rows. Each element of C is one chain of fused
    multiply-adds over the inner dimension, in ascending order, in whatever tile it is.
    """

    def __init__(self, dtype: str, simd_width: int, registers: int, *, turned: bool) -> None:
        self.scalar, self.simd_width, self.registers, self.turned = scalar_type(dtype), simd_width, registers, turned
        self.vector = ir.VectorType(self.scalar, simd_width)
        self.name = f"nm.general.{dtype}.{simd_width}.{registers}.{'turned' if turned else 'rows'}"
        self.panels = (1, 2, 3, 4) if registers >= 32 else (1, 2, 3)

    def define(self, module: ir.Module) -> ir.Function:
        """The function of a, b, c, bias; rows, inner steps, columns and panel (both in vectors), the stride of A, those
        of B and C, and how the sums start."""
        pointer = self.scalar.as_pointer()
        function, is_new = routine(module, self.name, [pointer] * 4 + [I64] * 8, inline=False)
        if is_new:
            function.args[2].add_attribute("noalias")
            self.emit(ir.IRBuilder(function.append_basic_block("entry")), function)
        return function

    def at(self, pointer: ir.Value, *terms: ir.Value) -> ir.Value:
        for term in terms:
            pointer = self.b.gep(pointer, [term])
        return pointer

    def load(self, pointer: ir.Value) -> ir.Value:
        return self.b.load(self.b.bitcast(pointer, self.vector.as_pointer()), align=4)

    def least(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return self.b.select(self.b.icmp_signed("<", x, y), x, y)

    def emit(self, builder: ir.IRBuilder, function: ir.Function) -> None:
        """Blocks of the inner dimension, panels, tiles: each tile is a call of the function of its height and width."""
        self.b = b = builder
        a, bm, c, bias, rows, inner, columns, panel, stride, b_row, c_row, start = function.args
        zero = b.bitcast(self.zeros(), self.scalar.as_pointer())
        tiles, heights = self.tiles(builder.module)
        simd_width = integer(self.simd_width)
        with counted(b, integer(0), inner, INNER_BLOCK) as begin:
            some = self.least(b.sub(inner, begin), integer(INNER_BLOCK))
            adds = b.or_(b.icmp_signed(">", begin, integer(0)), b.icmp_signed("==", start, integer(ADD)))
            in_panels_b, in_panels_c = (b.icmp_signed("==", row, integer(0)) for row in (b_row, c_row))
            a_begin = self.at(a, b.mul(begin, stride) if self.turned else begin)
            is_bias = b.icmp_signed("==", start, integer(BIAS))
            fresh, fresh_ahead = b.select(is_bias, bias, zero), b.select(is_bias, integer(1), integer(0))
            with self.striding(columns, panel) as first:
                vectors = self.least(b.sub(columns, first), panel)
                width, column = b.mul(vectors, simd_width), b.mul(first, simd_width)
                b_step = b.select(in_panels_b, width, b_row)
                c_step = b.select(in_panels_c, width, c_row)
                b_here = self.at(bm, b.select(in_panels_b, b.mul(column, inner), column), b.mul(begin, b_step))
                c_here = self.at(c, b.select(in_panels_c, b.mul(column, rows), column))
                begin_here = b.select(adds, c_here, self.at(fresh, b.mul(column, fresh_ahead)))
                begin_step = b.select(adds, c_step, integer(0))
                most = b.load(b.gep(heights, [integer(0), vectors]))
                with self.striding(rows, most) as row:
                    height = self.least(b.sub(rows, row), most)
                    place = b.add(b.mul(vectors, integer(_TABLE)), height)
                    tile = b.load(b.gep(tiles, [integer(0), place]))
                    a_here = self.at(a_begin, row if self.turned else b.mul(row, stride))
                    c_row_here = self.at(c_here, b.mul(row, c_step))
                    begin_row = self.at(begin_here, b.mul(row, begin_step))
                    strides = stride, b_step, c_step, begin_step
                    b.call(tile, [a_here, b_here, c_row_here, begin_row, some, *strides])
        b.ret_void()

    @contextmanager
    def striding(self, stop: ir.Value, step: ir.Value) -> Iterator[ir.Value]:
        """A loop from 0 to ``stop`` in steps that are known at run time only; yields the counter."""
        b = self.b
        before = b.block
        head, body, after = (b.append_basic_block(f"stride.{n}") for n in ("head", "body", "after"))
        b.branch(head)
        b.position_at_end(head)
        counter = b.phi(I64)
        counter.add_incoming(integer(0), before)
        b.cbranch(b.icmp_signed("<", counter, stop), body, after)
        b.position_at_end(body)
        yield counter
        counter.add_incoming(b.add(counter, step), b.block)
        b.branch(head)
        b.position_at_end(after)

    def constant(self, name: str, value: ir.Constant) -> ir.GlobalVariable:
        made = ir.GlobalVariable(self.b.module, value.type, self.name + name)
        made.initializer, made.linkage, made.global_constant = value, "internal", True
        return made

    def zeros(self) -> ir.GlobalVariable:
        return self.constant(".zeros", ir.Constant(ir.ArrayType(self.scalar, 4 * self.simd_width), None))

    def tiles(self, module: ir.Module) -> tuple[ir.GlobalVariable, ir.GlobalVariable]:
        """Tables of the tiles' functions, by width and height, and of the greatest height by width."""
        pointer = self.scalar.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer] * 4 + [I64] * 5)
        size = _TABLE * (max(self.panels) + 1)
        table, outer = [ir.Constant(kind.as_pointer(), None)] * size, self.b
        heights = [1] * (max(self.panels) + 1)
        for width in self.panels:
            heights[width] = tile_rows(self.registers, width)
            for height in range(1, heights[width] + 1):
                function, _ = routine(module, f"{self.name}.{height}x{width}", kind.args, inline=False)
                self.b = ir.IRBuilder(function.append_basic_block("entry"))
                self.tile(height, width, _Tile(*function.args))
                self.b.ret_void()
                table[_TABLE * width + height] = function
        self.b = outer
        return (
            self.constant(".tiles", ir.Constant(ir.ArrayType(kind.as_pointer(), size), table)),
            self.constant(".heights", ir.Constant(ir.ArrayType(I64, len(heights)), [integer(h) for h in heights])),
        )

    def tile(self, height: int, width: int, tile: _Tile) -> None:
        """The sums of some rows and some vectors, held in registers."""
        b, simd_width = self.b, self.simd_width
        cells = [(row, vector) for row in range(height) for vector in range(width)]
        sums = [
            self.load(self.at(tile.begin, b.mul(tile.begin_step, integer(r)), integer(v * simd_width)))
            for r, v in cells
        ]
        unroll = 4 if len(cells) <= 10 else 2
        whole = b.and_(tile.inner, integer(-unroll))
        for start, stop, count in ((integer(0), whole, unroll), (whole, tile.inner, 1)):
            sums = summed(b, sums, start, stop, count, self.steps(cells, tile, count))
        for (r, v), total in zip(cells, sums, strict=True):
            place = self.at(tile.c, b.mul(tile.c_step, integer(r)), integer(v * simd_width))
            b.store(total, b.bitcast(place, self.vector.as_pointer()), align=4)

    def steps(
        self, cells: list[tuple[int, int]], tile: _Tile, count: int
    ) -> Callable[[ir.Value, list[ir.Value]], list[ir.Value]]:
        """What adds ``count`` inner steps to the sums of a tile."""
        b, simd_width = self.b, self.simd_width

        def body(k: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
            for ahead in range(count):
                here = b.add(k, integer(ahead))
                row_of_b = self.at(tile.b, b.mul(here, tile.b_step))
                right = {
                    v: self.load(self.at(row_of_b, integer(v * simd_width))) for v in sorted({v for _, v in cells})
                }
                column_of_a = self.at(tile.a, b.mul(here, tile.stride) if self.turned else here)
                left = {}
                for row in sorted({row for row, _ in cells}):
                    ahead_row = integer(row) if self.turned else b.mul(tile.stride, integer(row))
                    left[row] = spread(b, b.load(self.at(column_of_a, ahead_row)), simd_width)
                sums = [self.fused(left[r], right[v], total) for total, (r, v) in zip(sums, cells, strict=True)]
            return sums

        return body

    def fused(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        from .math import has_fma

        if not has_fma():
            return self.b.fadd(self.b.fmul(x, y), z)
        name = f"llvm.fma.{suffix(self.vector)}"
        return self.b.call(intrinsic(self.b.module, name, self.vector, [self.vector] * 3), [x, y, z])


def _panels(flat: Any, start: int, depth: int, columns: int, panel: int, simd_width: int) -> list[tuple[int, Any]]:
    """The panels of a matrix, views (depth, elements), each with its first column in elements."""
    out = []
    for first in range(0, columns, panel):
        width = (min(columns, first + panel) - first) * simd_width
        out.append((first * simd_width, matrix_view(flat, start + first * simd_width * depth, depth, width, width, 1)))
    return out


@cache
def general_product(dtype: str, simd_width: int, registers: int, turned: bool) -> Callable[..., None]:
    """The function (a, offset, b, offset, c, offset, bias, offset, rows, inner, columns, panel, stride of A, stride of
    a row of B, of a row of C, start) of a product C = start + A B.

    columns, panel: in vectors. A stride of 0 says that B or C is in panels. start: ZERO, ADD to what C holds, or BIAS.
    turned: whether the stride of A is that of its columns.
    """

    def product(
        a: Any, ao: int, b: Any, bo: int, c: Any, co: int, bias: Any, place: int, rows: int, inner: int, columns: int,
        panel: int, stride: int, b_row: int, c_row: int, start: int,
    ) -> None:  # fmt: skip
        """Write a product."""
        left = matrix_view(a, ao, rows, inner, *((1, stride) if turned else (stride, 1)))
        width = columns * simd_width
        rights = _panels(b, bo, inner, columns, panel, simd_width) if b_row == 0 else None
        outs = _panels(c, co, rows, columns, panel, simd_width) if c_row == 0 else None
        for number, first in enumerate(range(0, width, panel * simd_width)):
            wide = min(width, first + panel * simd_width) - first
            right = rights[number][1] if rights is not None else matrix_view(b, bo + first, inner, wide, b_row, 1)
            out = outs[number][1] if outs is not None else matrix_view(c, co + first, rows, wide, c_row, 1)
            begin = out if start == ADD else bias[place + first : place + first + wide] if start == BIAS else 0
            out[...] = begin + np.stack([row @ right for row in left])

    def emit(builder: ir.IRBuilder, values: list[ir.Value]) -> None:
        pointers = [builder.gep(values[i], [values[i + 1]]) for i in (0, 2, 4, 6)]
        function = _Product(dtype, simd_width, registers, turned=turned).define(builder.module)
        builder.call(function, [*pointers, *values[8:]])

    return teach(product, [ARRAY, types.intp] * 4 + [types.intp] * 8, emit)


# Rows and columns ----------------------------------------------------------------------------------------------------


@cache
def general_sums(dtype: str, simd_width: int) -> Callable[..., None]:
    """The function (source, offset, stride, rows, target, offset, vectors): the sums of the first column vectors."""

    def sums(source: Any, start: int, stride: int, rows: int, target: Any, place: int, vectors: int) -> None:
        """Write the sums of columns over all rows."""
        target[place : place + vectors * simd_width] = matrix_view(
            source, start, rows, vectors * simd_width, stride, 1
        ).sum(axis=0)

    def emit(builder: ir.IRBuilder, values: list[ir.Value]) -> None:
        source, start, stride, rows, target, place, vectors = values
        source, target = builder.gep(source, [start]), builder.gep(target, [place])
        flag = ir.Constant(ir.IntType(1), 0)
        function = define_sums(builder.module, SumShape(dtype, simd_width, 0))
        builder.call(function, [source, stride, rows, target, flag, integer(0), vectors])

    counts = [types.intp] * 3
    return teach(sums, [ARRAY, *counts, ARRAY, types.intp, types.intp], emit)


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
