"""Checks the gradients before an update: computes the sum of their squares, and counts those that are not finite."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from ..host.frozen import frozen
from .constants import filled
from .lowering import ARRAY
from .product_shape import scalar_type
from .routines import I64, integer, routine, summed, teach
from .vectors import emit_absolute, emit_fma, spread, sum_of_elements

SUMS = 4  # independent sums, so that no addition waits for the one before


@frozen
class GradientShape:
    """Gradients of ``size`` parameters in whole vectors, in ``copies`` copies: one, or one for each thread."""

    dtype: str
    simd_width: int
    copies: int
    size: int


@frozen
class _Emitter:
    """Emits sums over vectors of gradients."""

    shape: GradientShape
    builder: ir.IRBuilder
    gradients: ir.Value

    @property
    def vector(self) -> ir.VectorType:
        return ir.VectorType(scalar_type(self.shape.dtype), self.shape.simd_width)

    def splat(self, value: float) -> ir.Constant:
        return filled(self.vector.element, self.shape.simd_width, value)

    def place(self, index: ir.Value, offset: int = 0) -> ir.Value:
        pointer = self.builder.gep(self.builder.gep(self.gradients, [index]), [integer(offset)])
        return self.builder.bitcast(pointer, self.vector.as_pointer())

    def gathered(self, index: ir.Value, offset: int) -> ir.Value:
        """The sum of a vector of gradients over all copies, which is stored to the first copy."""
        builder, shape, place = self.builder, self.shape, self.place(index, offset)
        value = builder.load(place, align=4)
        for copy in range(1, shape.copies):
            other = builder.load(self.place(index, offset + copy * shape.size), align=4)
            value = builder.fadd(value, other)
        if shape.copies > 1:
            builder.store(value, place, align=4)
        return value

    def squares(self, start: ir.Value, end: ir.Value) -> ir.Value:
        """The sum of the squares of the gradients from ``start`` to ``end``."""
        builder, simd_width = self.builder, self.shape.simd_width

        def some(index: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
            fresh = []
            for number, value in enumerate(sums):
                gradient = self.gathered(index, number * simd_width)
                fresh.append(emit_fma(builder, gradient, gradient, value))
            return fresh

        rest = builder.srem(builder.sub(end, start), integer(SUMS * simd_width))
        middle = builder.sub(end, rest)
        first, *others = summed(builder, [self.splat(0.0)] * SUMS, start, middle, SUMS * simd_width, some)
        (first,) = summed(builder, [first], middle, end, simd_width, some)
        for other in others:
            first = builder.fadd(first, other)
        return sum_of_elements(builder, first)

    def non_finite(self, start: ir.Value, end: ir.Value, rate: ir.Value) -> ir.Value:
        """The number of gradients from ``start`` to ``end`` that are not finite, plus the number of those that are not
        finite when multiplied by ``rate``.

        Adding up zero times each gradient would not work, because the compiler may add before it multiplies.
        """
        builder, simd_width = self.builder, self.shape.simd_width
        most = self.splat(float(np.finfo(self.shape.dtype).max))
        kind = scalar_type(self.shape.dtype)
        scale = spread(builder, rate if kind == rate.type else builder.fptrunc(rate, kind), simd_width)

        def one(index: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
            (count,) = sums
            gradient = builder.load(self.place(index), align=4)
            for value in (gradient, builder.fmul(gradient, scale)):
                is_finite = builder.fcmp_ordered("<=", emit_absolute(builder, value), most)
                count = builder.fadd(count, builder.select(is_finite, self.splat(0.0), self.splat(1.0)))
            return [count]

        (count,) = summed(builder, [self.splat(0.0)], start, end, simd_width, one)
        return sum_of_elements(builder, count)


def _define(module: ir.Module, name: str, shape: GradientShape, arguments: list[ir.Type]) -> tuple[ir.Function, bool]:
    element = scalar_type(shape.dtype)
    return routine(module, name, [element.as_pointer(), I64, I64, *arguments], result=element, inline=False)


@cache
def squares_of(shape: GradientShape) -> Callable[..., float]:
    """The function (gradients, start, end), which adds up all copies of some gradients in the first copy and returns
    the sum of their squares."""

    def sum_of_squares(gradients: Any, start: int, end: int) -> float:
        """Add up the copies of some gradients; the sum of the squares of the results."""
        out = gradients[start:end]
        for copy in range(1, shape.copies):
            out += gradients[start + copy * shape.size : end + copy * shape.size]
        with np.errstate(over="ignore"):
            return np.square(out).sum(dtype=shape.dtype)  # type: ignore[no-any-return]

    def emit(builder: ir.IRBuilder, values: list[ir.Value]) -> ir.Value:
        name = f"nm.squares.{shape.dtype}.{shape.simd_width}.{shape.copies}.{shape.size}"
        function, is_new = _define(builder.module, name, shape, [])
        if is_new:
            inner = ir.IRBuilder(function.append_basic_block("entry"))
            gradients, start, end = function.args
            inner.ret(_Emitter(shape, inner, gradients).squares(start, end))
        return builder.call(function, values)

    return teach(sum_of_squares, [ARRAY, types.intp, types.intp], emit, getattr(types, shape.dtype))


@cache
def non_finite_of(shape: GradientShape) -> Callable[..., float]:
    """The function (gradients, start, end, rate), which returns the number of gradients that are not finite, or not
    when multiplied by ``rate``. One that is not finite itself is counted twice."""

    def count_non_finite(gradients: Any, start: int, end: int, rate: float) -> float:
        """The number of gradients that are not finite."""
        some = gradients[start:end]
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = some * some.dtype.type(rate)
        return float(np.sum(~np.isfinite(some)) + np.sum(~np.isfinite(scaled)))

    def emit(builder: ir.IRBuilder, values: list[ir.Value]) -> ir.Value:
        name = f"nm.non_finite.{shape.dtype}.{shape.simd_width}"
        function, is_new = _define(builder.module, name, shape, [ir.DoubleType()])
        if is_new:
            inner = ir.IRBuilder(function.append_basic_block("entry"))
            gradients, *rest = function.args
            inner.ret(_Emitter(shape, inner, gradients).non_finite(*rest))
        return builder.call(function, values)

    element = getattr(types, shape.dtype)
    return teach(count_non_finite, [ARRAY, types.intp, types.intp, types.float64], emit, element)
