"""Loads, stores and reductions of vectors, for one element type and one SIMD width."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from ..host.frozen import frozen
from . import math as vector_math
from .constants import filled
from .lowering import ARRAY, data_pointer, define
from .vectors import (
    ELEMENTS,
    VectorType,
    elements_below,
    intrinsic,
    largest_element,
    masked_load,
    spread,
    suffix,
    sum_of_elements,
)

_I1, _I32 = ir.IntType(1), ir.IntType(32)


@frozen
class Vectors:
    """The functions over vectors of one element type and one SIMD width."""

    dtype: str
    simd_width: int
    load: Callable[..., Any]
    load_head: Callable[..., Any]
    store: Callable[..., Any]
    store_head: Callable[..., Any]
    head: Callable[..., Any]
    splat: Callable[..., Any]
    total: Callable[..., Any]
    largest: Callable[..., Any]
    softmax: Callable[..., Any]
    kept: Callable[..., Any]


class _Kind:
    """The types of vectors for one element type and one SIMD width, in Numba and in LLVM."""

    def __init__(self, dtype: str, simd_width: int) -> None:
        self.dtype, self.simd_width = dtype, simd_width
        self.element, scalar, self.size = ELEMENTS[dtype]
        self.vector, self.packed = VectorType(self.element, simd_width), ir.VectorType(scalar, simd_width)
        self.zeros = ir.Constant(self.packed, None)
        self.mask = ir.VectorType(_I1, simd_width)

    def address(self, context: Any, builder: ir.IRBuilder, kind: Any, array: ir.Value, index: ir.Value) -> ir.Value:
        """The address of the vector at an index of a Numba array."""
        pointer = builder.gep(data_pointer(context, builder, kind, array), [index])
        return builder.bitcast(pointer, self.packed.as_pointer())


@cache
def vectors(dtype: str, simd_width: int) -> Vectors:
    """The functions over vectors of ``simd_width`` elements of ``dtype`` ("float32" or "float64")."""
    kind = _Kind(dtype, simd_width)
    return Vectors(dtype, simd_width, **_memory(kind), **_elements(kind), **_reductions(kind), **_masks(kind))


def _memory(kind: _Kind) -> dict[str, Any]:
    """The functions that load and store whole vectors, or the first elements of one."""

    def load(array: Any, index: int) -> Any:
        """The vector at ``index``."""
        return array[index : index + kind.simd_width].copy()

    def emit_load(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        return builder.load(kind.address(context, builder, sig.args[0], *args), align=kind.size)

    def load_head(array: Any, index: int, count: int) -> Any:
        """The first ``count`` elements of the vector at ``index``, and zero in the others, which are not read."""
        out = np.zeros(kind.simd_width, array.dtype)
        some = min(max(count, 0), kind.simd_width)
        out[:some] = array[index : index + some]
        return out

    def emit_load_head(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        pointer = kind.address(context, builder, sig.args[0], args[0], args[1])
        return masked_load(builder, pointer, elements_below(builder, args[2], kind.simd_width), kind.zeros)

    def store(array: Any, index: int, value: Any) -> None:
        """Write a vector at ``index``."""
        array[index : index + kind.simd_width] = value

    def emit_store(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        builder.store(args[2], kind.address(context, builder, sig.args[0], args[0], args[1]), align=kind.size)

    def store_head(array: Any, index: int, value: Any, count: int) -> None:
        """Write the first ``count`` elements of a vector at ``index``."""
        some = min(max(count, 0), kind.simd_width)
        array[index : index + some] = value[:some]

    def emit_store_head(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        pointer = kind.address(context, builder, sig.args[0], args[0], args[1])
        name = f"llvm.masked.store.{suffix(kind.packed)}.p0"
        write = intrinsic(builder.module, name, ir.VoidType(), [kind.packed, kind.packed.as_pointer(), _I32, kind.mask])
        builder.call(
            write, [args[2], pointer, ir.Constant(_I32, kind.size), elements_below(builder, args[3], kind.simd_width)]
        )

    return {
        "load": define(load, kind.vector, (ARRAY, types.intp), emit_load),
        "load_head": define(load_head, kind.vector, (ARRAY, types.intp, types.intp), emit_load_head),
        "store": define(store, types.void, (ARRAY, types.intp, kind.vector), emit_store),
        "store_head": define(store_head, types.void, (ARRAY, types.intp, kind.vector, types.intp), emit_store_head),
    }


def _masks(kind: _Kind) -> dict[str, Any]:
    """The function that makes dropout masks; see ``neuromorph.functions.dropout``."""
    words = ir.VectorType(_I32, kind.simd_width)

    def kept(first: int, second: int, column: int, threshold: int) -> Any:
        """A vector for the components from ``column`` on: 1 if a component is kept, 0 if it is dropped."""
        columns = (np.arange(kind.simd_width) + column).astype(np.uint32)
        x = _mixed(columns * np.uint32(_SPREAD) + np.uint32(first))
        numbers = _mixed(x ^ np.uint32(second)) >> np.uint32(8)
        return (numbers >= threshold).astype(kind.dtype)

    def emit_kept(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        first, second, column, threshold = (
            spread(builder, builder.trunc(value, _I32), kind.simd_width) for value in args
        )
        columns = builder.add(column, ir.Constant(words, list(range(kind.simd_width))))
        x = _emit_mixed(builder, builder.add(builder.mul(columns, _words(words, _SPREAD)), first))
        x = _emit_mixed(builder, builder.xor(x, second))
        dropped = builder.icmp_unsigned("<", builder.lshr(x, _words(words, 8)), threshold)
        return builder.select(dropped, kind.zeros, filled(kind.packed.element, kind.simd_width, 1.0))

    return {"kept": define(kept, kind.vector, (types.intp, types.intp, types.intp, types.intp), emit_kept)}


_SPREAD = 0x9E3779B9
_MIXING = ((16, 0x21F0AAAD), (15, 0x735A2D97))


def _mixed(x: Any) -> Any:
    """A hash of 32-bit numbers: each bit of a result depends on all bits of the number."""
    for shift, factor in _MIXING:
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return x ^ (x >> np.uint32(15))


def _words(kind: ir.VectorType, value: int) -> ir.Constant:
    return filled(kind.element, kind.count, value)


def _emit_mixed(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    for shift, factor in _MIXING:
        x = builder.mul(builder.xor(x, builder.lshr(x, _words(x.type, shift))), _words(x.type, factor))
    return builder.xor(x, builder.lshr(x, _words(x.type, 15)))


def _elements(kind: _Kind) -> dict[str, Any]:
    """The functions that make vectors from other vectors or from a number."""

    def head(first: Any, rest: Any, count: int) -> Any:
        """The first ``count`` elements of ``first``, and the others of ``rest``."""
        return np.where(np.arange(kind.simd_width) < count, first, rest)

    def emit_head(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        return builder.select(elements_below(builder, args[2], kind.simd_width), args[0], args[1])

    def splat(value: float) -> Any:
        """A vector with ``value`` in every element."""
        return np.full(kind.simd_width, value, kind.dtype)

    def emit_splat(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        return spread(builder, args[0], kind.simd_width)

    return {
        "head": define(head, kind.vector, (kind.vector, kind.vector, types.intp), emit_head),
        "splat": define(splat, kind.vector, (kind.element,), emit_splat),
    }


def _reductions(kind: _Kind) -> dict[str, Any]:
    """The functions that compute over all elements of a vector."""

    def total(value: Any) -> Any:
        """The sum of the elements."""
        return value.sum(dtype=kind.dtype)

    def emit_total(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        return sum_of_elements(builder, args[0])

    def largest(value: Any) -> Any:
        """The largest element. If one is NaN: NaN, or in compiled code maybe the largest of some others."""
        return value.max()

    def emit_largest(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        return largest_element(builder, args[0])

    def softmax(value: Any, count: int) -> Any:
        """Softmax over the first ``count`` elements, zero in the others."""
        with np.errstate(invalid="ignore"):
            powers = np.exp(value - value[:count].max())
        powers[count:] = 0.0
        return powers / powers.sum(dtype=kind.dtype)

    def emit_softmax(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        inside = elements_below(builder, args[1], kind.simd_width)
        lowest = ir.Constant(kind.packed, [float(np.finfo(kind.dtype).min)] * kind.simd_width)
        top = largest_element(builder, builder.select(inside, args[0], lowest))
        powers = vector_math.call(builder, "exp", builder.fsub(args[0], spread(builder, top, kind.simd_width)))
        powers = builder.select(inside, powers, kind.zeros)
        whole = spread(builder, sum_of_elements(builder, powers), kind.simd_width)
        return builder.fdiv(powers, whole)

    return {
        "total": define(total, kind.element, (kind.vector,), emit_total),
        "largest": define(largest, kind.element, (kind.vector,), emit_largest),
        "softmax": define(softmax, kind.vector, (kind.vector, types.intp), emit_softmax),
    }
