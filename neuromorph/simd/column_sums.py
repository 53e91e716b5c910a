"""Sums the rows of a matrix, column by column, such as for the gradients of biases."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from ..abi.summation import CHAINS
from ..host.frozen import frozen
from .lowering import ARRAY
from .product_shape import scalar_type
from .routines import I1, I64, counted, integer, routine, summed, teach


@frozen
class SumShape:
    """A row matrix with ``stride`` elements between its rows."""

    dtype: str
    simd_width: int
    stride: int


@frozen
class _Emitter:
    """Emits the sums over all rows, for some column vectors at a time."""

    shape: SumShape
    builder: ir.IRBuilder
    source: ir.Value
    stride: ir.Value
    rows: ir.Value
    target: ir.Value
    keep: ir.Value

    @property
    def vector(self) -> ir.VectorType:
        return ir.VectorType(scalar_type(self.shape.dtype), self.shape.simd_width)

    def at(self, pointer: ir.Value, *terms: ir.Value) -> ir.Value:
        for term in terms:
            pointer = self.builder.gep(pointer, [term])
        return self.builder.bitcast(pointer, self.vector.as_pointer())

    def columns(self, first: ir.Value, count: int) -> None:
        """Emit the sums of ``count`` column vectors from ``first``, each in enough chains to keep the adders busy."""
        builder, simd_width = self.builder, self.shape.simd_width
        chains = max(1, CHAINS // count)
        start = builder.mul(first, integer(simd_width))
        whole = builder.sub(self.rows, builder.srem(self.rows, integer(chains)))
        zero = ir.Constant(self.vector, None)
        sums = self.over_rows([zero] * (count * chains), start, count, integer(0), whole, chains)
        while len(sums) > count:
            half = len(sums) // 2
            sums = [builder.fadd(x, y) for x, y in zip(sums[:half], sums[half:], strict=True)]
        if chains > 1:
            sums = self.over_rows(sums, start, count, whole, self.rows, 1)
        for number, value in enumerate(sums):
            place = self.at(self.target, start, integer(number * simd_width))
            held = builder.select(self.keep, builder.load(place, align=4), zero)
            builder.store(builder.fadd(value, held), place, align=4)

    def over_rows(
        self, sums: list[ir.Value], start: ir.Value, count: int, first: ir.Value, last: ir.Value, step: int
    ) -> list[ir.Value]:
        """The sums with rows ``first`` to ``last`` added, ``step`` rows at a time, each to a chain of its own."""
        builder, shape = self.builder, self.shape

        def some_rows(row: ir.Value, carried: list[ir.Value]) -> list[ir.Value]:
            here, fresh = builder.gep(self.source, [builder.mul(row, self.stride)]), []
            for number, value in enumerate(carried):
                if number and number % count == 0:
                    here = builder.gep(here, [self.stride])
                place = self.at(here, start, integer(number % count * shape.simd_width))
                fresh.append(builder.fadd(value, builder.load(place, align=4)))
            return fresh

        return summed(builder, sums, first, last, step, some_rows)


def define_sums(module: ir.Module, shape: SumShape) -> ir.Function:
    """The LLVM function for all strides, so that a model compiles only one. Computing addresses costs little compared
    with the loads."""
    pointer = scalar_type(shape.dtype).as_pointer()
    name, arguments = f"nm.sums.{shape.dtype}.{shape.simd_width}", [pointer, I64, I64, pointer, I1, I64, I64]
    function, is_new = routine(module, name, arguments)
    if is_new:
        function.args[3].add_attribute("noalias")
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        source, stride, rows, target, keep, first, last = function.args
        emitter = _Emitter(shape, builder, source, stride, rows, target, keep)
        for count in (4, 1):
            stop = builder.sub(last, builder.srem(builder.sub(last, first), integer(count)))
            with counted(builder, first, stop, count) as column:
                emitter.columns(column, count)
            first = stop
        builder.ret_void()
    return function


@cache
def sums_of(shape: SumShape) -> Callable[..., None]:
    """The function (source, offset, rows, target, offset, keep, first, last), which sums column vectors first to last.

    If ``keep``, the sums are added to the numbers in the target.
    """

    def column_sums(
        source: Any, start: int, rows: int, target: Any, place: int, keep: bool, first: int, last: int
    ) -> None:
        """Write the sums of some column vectors over all rows."""
        step, simd_width = source.itemsize, shape.simd_width
        matrix = np.lib.stride_tricks.as_strided(
            source[start + first * simd_width :], (rows, (last - first) * simd_width), (shape.stride * step, step)
        )
        out = target[place + first * simd_width : place + last * simd_width]
        out[:] = matrix.sum(axis=0) + (out if keep else 0)

    def emit(builder: ir.IRBuilder, values: list[ir.Value]) -> None:
        source, start, rows, target, place, *rest = values
        source, target = builder.gep(source, [start]), builder.gep(target, [place])
        builder.call(define_sums(builder.module, shape), [source, integer(shape.stride), rows, target, *rest])

    counts = [types.intp] * 2
    return teach(column_sums, [ARRAY, *counts, ARRAY, types.intp, types.boolean, *counts], emit)
