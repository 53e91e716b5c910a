"""The product of two matrices whose shape is known at run time only: what the machine calls for any model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import types

from ..abi.summation import PANEL_BLOCK, ROW_BLOCK, chains_of, widest_panel
from .lowering import ARRAY
from .matmul import matrix_view
from .product_shape import scalar_type, tile_rows
from .routines import I64, integer, routine, summed, teach
from .vectors import emit_fma, spread

ZERO, ADD, BIAS = 0, 1, 2  # how the sums of a product start
ONE_CHAIN, CHAINED, RANGED = 0, 1, 2  # the order of sums; from 2 on it is the number of ranges
_TABLE = 16  # entries of a table of tiles for each number of vectors
_TALLEST_RANGED = 4  # rows of a tile whose inner steps are in ranges
_HEIGHTS = (1, 2, 3, 4, 5, 6, 8)  # rows of the tiles that are emitted, beside the tallest ones
_UNROLLED = ((4, 4), (7, 2), (64, 1))  # the most sums of a tile, and the inner steps of a pass of its loop


class _Tile(NamedTuple):
    """The arguments of a tile's function: the places of A, B, C and of what the sums begin with, the inner steps, the
    strides of all of them, and the ranges of the inner steps that are summed up on their own."""

    a: ir.Value
    b: ir.Value
    c: ir.Value
    begin: ir.Value
    inner: ir.Value
    stride: ir.Value
    b_step: ir.Value
    c_step: ir.Value
    begin_step: ir.Value
    ranges: ir.Value


Cells = list[tuple[int, int]]  # (row, vector) of each sum of a tile
Sums = list[ir.Value]


class _Product:
    """Emits C = start + A B. The rows of A are contiguous or, ``turned``, its columns.

    B and C are panels (if their row stride is 0) or matrices in rows. The sums are those of ``ProductEmitter``, in the
    same order: see ``abi/summation.py``.
    """

    def __init__(self, dtype: str, simd_width: int, registers: int, *, turned: bool) -> None:
        self.scalar, self.simd_width, self.registers = scalar_type(dtype), simd_width, registers
        self.turned, self.vector = turned, ir.VectorType(self.scalar, simd_width)
        self.name = f"nm.general.{dtype}.{simd_width}.{registers}.{'turned' if turned else 'rows'}"
        self.panels = range(1, widest_panel(registers) + 1)

    def define(self, module: ir.Module) -> ir.Function:
        """The function of a, b, c, bias; rows, inner steps, columns and panel (both in vectors), the stride of A, those
        of B and C, how the sums start, and their order."""
        function, is_new = self.routine(module, "", inline=True)
        if is_new:
            loops, _ = self.routine(module, ".loops", inline=False)
            self.module = module
            self.zeros, self.tiles, self.heights = self.tables()
            self.emit(ir.IRBuilder(loops.append_basic_block("entry")), loops)
            self.emit_entry(ir.IRBuilder(function.append_basic_block("entry")), function, loops)
        return function

    def routine(self, module: ir.Module, name: str, *, inline: bool) -> tuple[ir.Function, bool]:
        """A function of a product's arguments, and whether it is new."""
        pointer = self.scalar.as_pointer()
        function, is_new = routine(module, self.name + name, [pointer] * 4 + [I64] * 9, inline=inline)
        if is_new:
            function.args[2].add_attribute("noalias")
        return function, is_new

    def at(self, pointer: ir.Value, *terms: ir.Value) -> ir.Value:
        for term in terms:
            pointer = self.b.gep(pointer, [term])
        return pointer

    def load(self, pointer: ir.Value) -> ir.Value:
        return self.b.load(self.b.bitcast(pointer, self.vector.as_pointer()), align=4)

    def least(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return self.b.select(self.b.icmp_signed("<", x, y), x, y)

    def emit(self, builder: ir.IRBuilder, function: ir.Function) -> None:
        """Emit blocks of the inner dimension, panels and tiles: each tile is a call of the function of its size."""
        self.b = b = builder
        a, bm, c, bias, rows, inner, columns, panel, stride, b_row, c_row, start, order = function.args
        width_of = integer(self.simd_width)
        in_panels_b, in_panels_c = (b.icmp_signed("==", row, integer(0)) for row in (b_row, c_row))
        block, kind, fresh, is_bias = self.choices(bias, b_row, start, order)
        fresh_ahead, is_even = b.select(is_bias, integer(1), integer(0)), b.icmp_signed("==", order, integer(CHAINED))
        with self.striding(integer(0), inner, block) as begin:
            some = self.least(b.sub(inner, begin), block)
            adds = b.or_(b.icmp_signed(">", begin, integer(0)), b.icmp_signed("==", start, integer(ADD)))
            a_begin = self.at(a, b.mul(begin, stride) if self.turned else begin)
            with self.striding(integer(0), columns, panel) as first:
                vectors = self.least(b.sub(columns, first), panel)
                width, column = b.mul(vectors, width_of), b.mul(first, width_of)
                b_step = b.select(in_panels_b, width, b_row)
                c_step = b.select(in_panels_c, width, c_row)
                b_here = self.at(bm, b.select(in_panels_b, b.mul(column, inner), column), b.mul(begin, b_step))
                c_here = self.at(c, b.select(in_panels_c, b.mul(column, rows), column))
                begin_here = b.select(adds, c_here, self.at(fresh, b.mul(column, fresh_ahead)))
                begin_step = b.select(adds, c_step, integer(0))
                place = b.add(b.mul(kind, integer(self.width)), vectors)
                most = b.load(b.gep(self.heights, [integer(0), place]))

                def call(row: ir.Value, height: ir.Value) -> None:
                    tile = b.load(b.gep(self.tiles, [integer(0), b.add(b.mul(place, integer(_TABLE)), height)]))
                    a_here = self.at(a_begin, row if self.turned else b.mul(row, stride))
                    c_row_here = self.at(c_here, b.mul(row, c_step))
                    begin_row = self.at(begin_here, b.mul(row, begin_step))
                    strides = stride, b_step, c_step, begin_step
                    b.call(tile, _Tile(a_here, b_here, c_row_here, begin_row, some, *strides, order))

                with b.if_else(b.icmp_signed("<=", rows, most)) as (one, several):
                    with one:
                        call(integer(0), rows)
                    with several:
                        tall, middle, low = self.heights_of(rows, most, is_even)
                        for height, row_from, row_to in ((tall, integer(0), middle), (low, middle, rows)):
                            with self.striding(row_from, row_to, height) as row:
                                call(row, height)
        b.ret_void()

    def emit_entry(self, builder: ir.IRBuilder, function: ir.Function, loops: ir.Function) -> None:
        """Emit a product that is one tile, as most of small networks are, and the call of the loops for all others."""
        self.b = b = builder
        a, bm, c, bias, rows, inner, columns, panel, stride, b_row, c_row, start, order = function.args
        block, kind, fresh, _ = self.choices(bias, b_row, start, order)
        with b.if_then(b.and_(b.icmp_signed("<=", inner, block), b.icmp_signed("<=", columns, panel))):
            place = b.add(b.mul(kind, integer(self.width)), columns)
            width = b.mul(columns, integer(self.simd_width))
            with b.if_then(b.icmp_signed("<=", rows, b.load(b.gep(self.heights, [integer(0), place])))):
                b_step, c_step = (b.select(b.icmp_signed("==", row, integer(0)), width, row) for row in (b_row, c_row))
                adds = b.icmp_signed("==", start, integer(ADD))
                tile = b.load(b.gep(self.tiles, [integer(0), b.add(b.mul(place, integer(_TABLE)), rows)]))
                strides = stride, b_step, c_step, b.select(adds, c_step, integer(0))
                b.call(tile, _Tile(a, bm, c, b.select(adds, c, fresh), inner, *strides, order))
                b.ret_void()
        b.call(loops, function.args)
        b.ret_void()

    def choices(
        self, bias: ir.Value, b_row: ir.Value, start: ir.Value, order: ir.Value
    ) -> tuple[ir.Value, ir.Value, ir.Value, ir.Value]:
        """The inner steps of a block, the kind of tiles, what sums begin with that add to nothing, and whether it is
        the bias."""
        b = self.b
        block = b.select(b.icmp_signed("==", b_row, integer(0)), integer(PANEL_BLOCK), integer(ROW_BLOCK))
        is_bias = b.icmp_signed("==", start, integer(BIAS))
        fresh = b.select(is_bias, bias, b.bitcast(self.zeros, self.scalar.as_pointer()))
        return block, self.least(order, integer(RANGED)), fresh, is_bias

    def heights_of(self, rows: ir.Value, most: ir.Value, is_even: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
        """The height of the first tiles, the row where they end, and the height of the others: as even as possible, or
        as many full ones as there are."""
        b = self.b
        count = b.sdiv(b.add(rows, b.sub(most, integer(1))), most)
        even = b.sdiv(rows, count)
        more = b.sub(rows, b.mul(even, count))
        taller = b.add(even, integer(1))
        rest = b.srem(rows, most)
        tall = b.select(is_even, taller, most)
        middle = b.select(is_even, b.mul(more, taller), b.sub(rows, rest))
        return tall, middle, b.select(is_even, even, b.select(b.icmp_signed(">", rest, integer(0)), rest, integer(1)))

    @contextmanager
    def striding(self, start: ir.Value, stop: ir.Value, step: ir.Value) -> Iterator[ir.Value]:
        """A loop in steps that are known at run time only; yields the counter."""
        b = self.b
        before = b.block
        head, body, after = (b.append_basic_block(f"stride.{n}") for n in ("head", "body", "after"))
        b.branch(head)
        b.position_at_end(head)
        counter = b.phi(I64)
        counter.add_incoming(start, before)
        b.cbranch(b.icmp_signed("<", counter, stop), body, after)
        b.position_at_end(body)
        yield counter
        counter.add_incoming(b.add(counter, step), b.block)
        b.branch(head)
        b.position_at_end(after)

    def constant(self, name: str, value: ir.Constant) -> ir.GlobalVariable:
        made = ir.GlobalVariable(self.module, value.type, self.name + name)
        made.initializer, made.linkage, made.global_constant = value, "internal", True
        return made

    @property
    def width(self) -> int:
        """Entries of a table for each order: one for each number of vectors, and one for none."""
        return max(self.panels) + 1

    def tables(self) -> tuple[ir.GlobalVariable, ir.GlobalVariable, ir.GlobalVariable]:
        """Zeros, and tables of the tiles' functions, by order, vectors and height, and of the greatest height."""
        kind = self.tile_type
        table = [ir.Constant(kind.as_pointer(), None)] * (3 * self.width * _TABLE)
        heights = [integer(1)] * (3 * self.width)
        for order in (CHAINED,) if self.turned else (ONE_CHAIN, CHAINED, RANGED):
            for vectors in self.panels:
                most = self.tallest(vectors, order)
                heights[order * self.width + vectors] = integer(most)
                for height in range(1, most + 1):
                    table[(order * self.width + vectors) * _TABLE + height] = self.tile_of(height, vectors, order)
        return (
            self.constant(".zeros", ir.Constant(ir.ArrayType(self.scalar, 4 * self.simd_width), None)),
            self.constant(".tiles", ir.Constant(ir.ArrayType(kind.as_pointer(), len(table)), table)),
            self.constant(".heights", ir.Constant(ir.ArrayType(I64, len(heights)), heights)),
        )

    @property
    def tile_type(self) -> ir.FunctionType:
        """The type of tiles' functions; see ``_Tile``."""
        return ir.FunctionType(ir.VoidType(), [self.scalar.as_pointer()] * 4 + [I64] * 6)

    def tallest(self, vectors: int, order: int) -> int:
        """The most rows of a tile of so many vectors."""
        most = tile_rows(self.registers, vectors)
        return min(most, _TALLEST_RANGED) if order == RANGED else most

    def tile_of(self, height: int, vectors: int, order: int) -> ir.Function:
        """The function of a tile. Where several heights add in the same order, some are made of two lower ones."""
        chains = chains_of(height * vectors, None) if order == CHAINED else None
        if order == CHAINED and chains is None:
            order = ONE_CHAIN
        name = f"{self.name}.{height}x{vectors}{('', '.chains', '.ranges')[order]}"
        function, is_new = routine(self.module, name, self.tile_type.args, inline=False)
        if is_new:
            tile, own = _Tile(*function.args), {*_HEIGHTS, self.tallest(vectors, order)}
            pairs = ((h, height - h) for h in range(height // 2, 0, -1) if {h, height - h} <= own)
            parts = () if order == CHAINED or height in own else next(pairs)
            functions = [self.tile_of(part, vectors, order) for part in parts]
            self.b = ir.IRBuilder(function.append_basic_block("entry"))
            if parts:
                self.composed(tile, parts[0], functions)
            else:
                self.tile(height, vectors, tile, order, chains)
            self.b.ret_void()
        return function

    def composed(self, tile: _Tile, upper: int, functions: list[ir.Function]) -> None:
        """Emit the calls of the functions of the upper rows of a tile and of the others."""
        b, rows = self.b, integer(upper)
        lower = tile._replace(
            a=self.at(tile.a, rows if self.turned else b.mul(tile.stride, rows)),
            c=self.at(tile.c, b.mul(tile.c_step, rows)),
            begin=self.at(tile.begin, b.mul(tile.begin_step, rows)),
        )
        for function, part in zip(functions, (tile, lower), strict=True):
            b.call(function, part)

    def tile(self, height: int, vectors: int, tile: _Tile, order: int, chains: tuple[int, int] | None) -> None:
        """Emit the sums of some rows and some vectors, which stay in registers."""
        b, size = self.b, self.simd_width
        cells = [(row, vector) for row in range(height) for vector in range(vectors)]
        sums = [self.load(self.at(tile.begin, b.mul(tile.begin_step, integer(r)), integer(v * size))) for r, v in cells]
        if order == RANGED:
            sums = self.ranged(sums, cells, tile)
        elif chains is not None:
            sums = self.chained(sums, cells, tile, *chains)
        else:
            sums = self.summed(sums, cells, tile, integer(0), tile.inner)
        for (r, v), total in zip(cells, sums, strict=True):
            place = self.at(tile.c, b.mul(tile.c_step, integer(r)), integer(v * size))
            b.store(total, b.bitcast(place, self.vector.as_pointer()), align=4)

    def summed(self, sums: Sums, cells: Cells, tile: _Tile, start: ir.Value, stop: ir.Value) -> Sums:
        """One chain for each sum."""
        b, unroll = self.b, next(steps for most, steps in _UNROLLED if len(cells) <= most)
        if unroll == 1:
            return summed(b, sums, start, stop, 1, self.steps(cells, tile, 1))
        whole = b.add(start, b.and_(b.sub(stop, start), integer(-unroll)))
        for begin, end, count in ((start, whole, unroll), (whole, stop, 1)):
            sums = summed(b, sums, begin, end, count, self.steps(cells, tile, count))
        return sums

    def chained(self, sums: Sums, cells: Cells, tile: _Tile, unroll: int, chains: int) -> Sums:
        """Several chains for each sum, which are added up, half to half, before the steps that are left over."""
        b, size = self.b, len(cells)
        whole = b.and_(tile.inner, integer(-unroll))
        wide = sums + [self.zero()] * (size * (chains - 1))
        wide = summed(b, wide, integer(0), whole, unroll, self.steps(cells, tile, unroll))
        while len(wide) > size:
            half = len(wide) // 2
            wide = [b.fadd(x, y) for x, y in zip(wide[:half], wide[half:], strict=True)]
        return summed(b, wide, whole, tile.inner, 1, self.steps(cells, tile, 1))

    def ranged(self, sums: Sums, cells: Cells, tile: _Tile) -> Sums:
        """Ranges of the inner steps, each summed up on its own, whose sums are added from the first to the last."""
        b = self.b
        length = b.sdiv(tile.inner, tile.ranges)

        def one_range(number: ir.Value, whole: Sums) -> Sums:
            start = b.mul(number, length)
            is_last = b.icmp_signed("==", number, b.sub(tile.ranges, integer(1)))
            stop = b.select(is_last, tile.inner, b.add(start, length))
            more = self.summed([self.zero()] * len(cells), cells, tile, start, stop)
            return [b.fadd(x, y) for x, y in zip(whole, more, strict=True)]

        return summed(b, sums, integer(0), tile.ranges, 1, one_range)

    def zero(self) -> ir.Constant:
        return ir.Constant(self.vector, None)

    def steps(self, cells: Cells, tile: _Tile, count: int) -> Callable[[ir.Value, Sums], Sums]:
        """What adds ``count`` inner steps to the sums of a tile, each to the next of as many chains as there are."""
        b, size = self.b, len(cells)

        def body(k: ir.Value, sums: Sums) -> Sums:
            chains = len(sums) // size
            for ahead in range(count):
                here = b.add(k, integer(ahead))
                row_of_b = self.at(tile.b, b.mul(here, tile.b_step))
                right = {
                    v: self.load(self.at(row_of_b, integer(v * self.simd_width))) for v in sorted({v for _, v in cells})
                }
                column_of_a = self.at(tile.a, b.mul(here, tile.stride) if self.turned else here)
                left = {}
                for row in sorted({row for row, _ in cells}):
                    ahead_row = integer(row) if self.turned else b.mul(tile.stride, integer(row))
                    left[row] = spread(b, b.load(self.at(column_of_a, ahead_row)), self.simd_width)
                mine = slice(ahead % chains * size, (ahead % chains + 1) * size)
                sums[mine] = [emit_fma(b, left[r], right[v], x) for x, (r, v) in zip(sums[mine], cells, strict=True)]
            return sums

        return body


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
    a row of B, of a row of C, start, order) of a product C = start + A B.

    columns, panel: in vectors. A stride of 0 says that B or C is in panels. start: ZERO, ADD to what C holds, or BIAS.
    order: ONE_CHAIN, CHAINED, or the number of ranges. turned: whether the stride of A is that of its columns.
    """

    def product(
        a: Any, ao: int, b: Any, bo: int, c: Any, co: int, bias: Any, place: int, rows: int, inner: int, columns: int,
        panel: int, stride: int, b_row: int, c_row: int, start: int, order: int,
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
        call = builder.call(function, [*pointers, *values[8:]])
        call.attributes.add("alwaysinline")

    return teach(product, [ARRAY, types.intp] * 4 + [types.intp] * 9, emit)
