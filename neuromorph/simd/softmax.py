"""Routines for the softmax of rows that are longer than a SIMD vector, and for its gradient.

A row of few vectors stays in registers; each width has a function of its own. All longer rows share one function, so
that a model compiles only one for them, however many widths it has.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, reduce
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from ..host.frozen import frozen
from . import math as vector_math
from .constants import filled
from .lowering import ARRAY
from .product_shape import scalar_type
from .routines import I64, counted, integer, routine, summed, teach
from .vectors import elements_below, emit_fma, emit_maximum, largest_element, masked_load, spread, sum_of_elements

SHORT = 4  # vectors at most of a row that stays in registers
Body = Callable[[ir.Value, list[ir.Value], bool], list[ir.Value]]


@frozen
class RowShape:
    """Rows of ``width`` numbers. The rest of a row's last vector is written as zeros; when read, it may hold anything.

    strides: elements between two rows of each operand; the written operand comes last. exact: whether the rows that are
    read have no padding, as those of a caller, so that nothing after their numbers may be read.
    """

    dtype: str
    simd_width: int
    width: int
    strides: tuple[int, ...]
    exact: bool = False

    @property
    def vectors(self) -> int:
        """The number of vectors in a row."""
        return -(-self.width // self.simd_width)

    @property
    def is_short(self) -> bool:
        """Whether a row stays in registers."""
        return self.vectors <= SHORT


@frozen
class RowEmitter:
    """Emits the work on one row. last: the offset of its last vector. inside: a mask of the numbers in that vector."""

    shape: RowShape
    builder: ir.IRBuilder
    last: ir.Value
    inside: ir.Value

    @property
    def vector(self) -> ir.VectorType:
        return ir.VectorType(scalar_type(self.shape.dtype), self.shape.simd_width)

    def splat(self, value: float) -> ir.Constant:
        return filled(self.vector.element, self.shape.simd_width, value)

    def place(self, pointer: ir.Value, column: ir.Value) -> ir.Value:
        return self.builder.bitcast(self.builder.gep(pointer, [column]), self.vector.as_pointer())

    def load(self, pointer: ir.Value, column: ir.Value) -> ir.Value:
        return self.builder.load(self.place(pointer, column), align=4)

    def read(self, pointer: ir.Value, column: ir.Value, is_last: bool, rest: ir.Value) -> ir.Value:
        """A vector read from a row. In the last vector, elements after the row's numbers are those of ``rest``."""
        if is_last and self.shape.exact:
            return masked_load(self.builder, self.place(pointer, column), self.inside, rest)
        return self.cut(self.load(pointer, column), rest, is_last)

    def cut(self, value: ir.Value, rest: ir.Value, is_last: bool) -> ir.Value:
        """The vector ``value``. In the last vector, elements after the row's numbers are those of ``rest``."""
        return self.builder.select(self.inside, value, rest) if is_last else value

    def store(self, value: ir.Value, pointer: ir.Value, column: ir.Value) -> None:
        self.builder.store(value, self.place(pointer, column), align=4)

    def columns(self) -> list[tuple[ir.Value, bool]]:
        """The offset of each vector of a short row, and whether it is the last one."""
        simd_width, count = self.shape.simd_width, self.shape.vectors
        return [(integer(number * simd_width), number == count - 1) for number in range(count)]

    def over(self, carried: list[ir.Value], body: Body) -> list[ir.Value]:
        """The values ``carried`` after a loop over the vectors of a row. ``body`` gets a vector's offset, the values so
        far and whether the vector is the last one; it returns the new values."""
        simd_width = self.shape.simd_width
        carried = summed(self.builder, carried, integer(0), self.last, simd_width, lambda q, some: body(q, some, False))
        return body(self.last, carried, True)

    def share(self, whole: ir.Value) -> ir.Value:
        """The reciprocal of the sum of a vector's elements, in every element."""
        total = sum_of_elements(self.builder, whole)
        return spread(self.builder, self.builder.fdiv(ir.Constant(total.type, 1.0), total), self.shape.simd_width)

    def power(self, value: ir.Value, top: ir.Value, is_last: bool) -> ir.Value:
        """The exponentials of the differences between numbers and the largest number."""
        distance = self.builder.fsub(value, top)
        return self.cut(vector_math.call(self.builder, "exp", distance), self.splat(0.0), is_last)

    def softmax(self, source: ir.Value, target: ir.Value) -> None:
        """Emit the softmax: exponentials of the differences to the largest number, divided by their sum."""
        builder, lowest = self.builder, self.splat(float(np.finfo(self.shape.dtype).min))
        if self.shape.is_short:
            row = [(q, self.read(source, q, is_last, lowest), is_last) for q, is_last in self.columns()]
            peak = reduce(lambda some, each: emit_maximum(builder, each[1], some), row, lowest)
            top = spread(builder, largest_element(builder, peak), self.shape.simd_width)
            powers = [self.power(value, top, is_last) for _, value, is_last in row]
            share = self.share(reduce(builder.fadd, powers))
            for (q, _, _), value in zip(row, powers, strict=True):
                self.store(builder.fmul(value, share), target, q)
            return

        def larger(q: ir.Value, some: list[ir.Value], is_last: bool) -> list[ir.Value]:
            return [emit_maximum(builder, self.read(source, q, is_last, some[0]), some[0])]

        (peak,) = self.over([lowest], larger)
        top = spread(builder, largest_element(builder, peak), self.shape.simd_width)

        def add_power(q: ir.Value, some: list[ir.Value], is_last: bool) -> list[ir.Value]:
            value = self.power(self.read(source, q, is_last, top), top, is_last)
            self.store(value, target, q)
            return [builder.fadd(some[0], value)]

        (whole,) = self.over([self.splat(0.0)], add_power)
        share = self.share(whole)

        def divide(q: ir.Value, some: list[ir.Value], is_last: bool) -> list[ir.Value]:
            self.store(builder.fmul(self.load(target, q), share), target, q)
            return []

        self.over([], divide)

    def gradient(self, result: ir.Value, gradient: ir.Value, target: ir.Value, *, adds: bool) -> None:
        """Emit the gradient: the softmax's result times (the gradient minus its mean, weighted by the result)."""
        builder = self.builder

        def pair(q: ir.Value) -> tuple[ir.Value, ir.Value]:
            return self.load(result, q), self.load(gradient, q)

        def write(q: ir.Value, y: ir.Value, g: ir.Value, mean: ir.Value) -> None:
            rest = builder.fsub(g, mean)
            value = emit_fma(builder, y, rest, self.load(target, q)) if adds else builder.fmul(y, rest)
            self.store(value, target, q)

        def weighted(some: ir.Value, y: ir.Value, g: ir.Value) -> ir.Value:
            return emit_fma(builder, y, g, some)

        if self.shape.is_short:
            row = [(q, *pair(q)) for q, _ in self.columns()]
            whole = reduce(lambda some, each: weighted(some, *each[1:]), row, self.splat(0.0))
            mean = spread(builder, sum_of_elements(builder, whole), self.shape.simd_width)
            for q, y, g in row:
                write(q, y, g, mean)
            return
        (whole,) = self.over([self.splat(0.0)], lambda q, some, is_last: [weighted(some[0], *pair(q))])
        mean = spread(builder, sum_of_elements(builder, whole), self.shape.simd_width)

        def write_one(q: ir.Value, some: list[ir.Value], is_last: bool) -> list[ir.Value]:
            write(q, *pair(q), mean)
            return []

        self.over([], write_one)


def define_rows(module: ir.Module, shape: RowShape, kind: str, emit: Callable[..., None]) -> ir.Function:
    """The LLVM function of all operands' first addresses, the strides, the number of rows and their width."""
    pointer, count = scalar_type(shape.dtype).as_pointer(), len(shape.strides)
    short = f".{shape.width}" if shape.is_short else ""
    name = f"nm.{kind}.{shape.dtype}.{shape.simd_width}{short}{'.exact' if shape.exact else ''}"
    function, is_new = routine(module, name, [pointer] * count + [I64] * (count + 2), inline=False)
    if is_new:
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        starts, strides, (rows, width) = function.args[:count], function.args[count:-2], function.args[-2:]
        if shape.is_short:
            width = integer(shape.width)
        simd_width = integer(shape.simd_width)
        last = builder.mul(builder.sdiv(builder.sub(width, integer(1)), simd_width), simd_width)
        inside = elements_below(builder, builder.sub(width, last), shape.simd_width)
        with counted(builder, integer(0), rows, 1) as row:
            operands = [builder.gep(x, [builder.mul(row, y)]) for x, y in zip(starts, strides, strict=True)]
            emit(RowEmitter(shape, builder, last, inside), *operands)
        builder.ret_void()
    return function


def _teach(shape: RowShape, twin: Callable[..., None], kind: str, emit: Callable[..., None]) -> Callable[..., None]:
    """Teach Numba a function of (array, offset) for every operand and the number of rows."""

    def emit_call(builder: ir.IRBuilder, values: list[ir.Value]) -> None:
        pairs = zip(values[:-1:2], values[1:-1:2], strict=True)
        starts, strides = [builder.gep(x, [y]) for x, y in pairs], map(integer, shape.strides)
        function = define_rows(builder.module, shape, kind, emit)
        builder.call(function, [*starts, *strides, values[-1], integer(shape.width)])

    return teach(twin, [ARRAY, types.intp] * len(shape.strides) + [types.intp], emit_call)


def _rows_of(shape: RowShape, array: Any, start: int, operand: int, rows: int, width: int | None = None) -> Any:
    """A view (rows, width) of an operand's rows; without a width, all elements of their vectors."""
    step = array.itemsize
    strides = shape.strides[operand] * step, step
    width = shape.vectors * shape.simd_width if width is None else width
    return np.lib.stride_tricks.as_strided(array[start:], (rows, width), strides)


@cache
def softmax_of(shape: RowShape) -> Callable[..., None]:
    """The function (source, offset, target, offset, rows), which writes the softmax of rows. Source and target may be
    the same."""

    def softmax_rows(source: Any, start: int, target: Any, place: int, rows: int) -> None:
        """Write the softmax of rows."""
        values = _rows_of(shape, source, start, 0, rows, shape.width)
        out = _rows_of(shape, target, place, 1, rows)
        with np.errstate(invalid="ignore"):
            powers = np.exp(values - values.max(axis=1, keepdims=True))
        out[:, shape.width :] = 0.0
        out[:, : shape.width] = powers / powers.sum(axis=1, keepdims=True)

    return _teach(shape, softmax_rows, "softmax", RowEmitter.softmax)


@cache
def softmax_gradient_of(shape: RowShape, adds: bool) -> Callable[..., None]:
    """The function (result, offset, gradient, offset, target, offset, rows), which writes the gradient of a softmax.

    adds: whether it is added to the numbers in the target. The target may be the result or the gradient.
    """

    def softmax_gradient_rows(
        result: Any, start: int, gradient: Any, second: int, target: Any, place: int, rows: int
    ) -> None:
        """Write, or add, the gradient of a softmax's input."""
        y, g = _rows_of(shape, result, start, 0, rows), _rows_of(shape, gradient, second, 1, rows)
        value = y * (g - (y * g).sum(axis=1, keepdims=True))
        out = _rows_of(shape, target, place, 2, rows)
        out[:] = out + value if adds else value

    def emit(emitter: RowEmitter, result: ir.Value, gradient: ir.Value, target: ir.Value) -> None:
        emitter.gradient(result, gradient, target, adds=adds)

    return _teach(shape, softmax_gradient_rows, f"softmax_gradient{'.adds' if adds else ''}", emit)
