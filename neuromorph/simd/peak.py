"""Measures the peak rate of this machine, by fused multiply-adds on vectors that stay in registers."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ..host.exclusive import exclusive
from .product_shape import scalar_type
from .vectors import spread, suffix

ACCUMULATORS = 12  # enough to hide the latency of two multiply-add units, few enough for 16 registers
VECTOR_BYTES = (16, 32, 64)
STEPS = 400_000  # some milliseconds: so short that the system does not interrupt every run


def fma_peak(threads: int = 1, *, dtype: str = "float32", tries: int = 25) -> float:
    """The peak rate of fused multiply-adds on ``threads`` threads at once, in GFLOP/s; each counts two operations.

    It is measured, in some tenths of a second: of each thread the best of ``tries`` runs counts, with vectors of 128,
    256 or 512 bits, whichever is fastest. dtype: "float32" or "float64".
    """
    return max(_measured(dtype, size // np.dtype(dtype).itemsize, threads, tries) for size in VECTOR_BYTES)


def _measured(dtype: str, simd_width: int, threads: int, tries: int) -> float:
    loop, one = _loop(dtype, simd_width), np.dtype(dtype).type(1e-6)
    loop(10, one)
    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(_best, loop, one, tries) for _ in range(threads)]
        return sum(STEPS * ACCUMULATORS * simd_width * 2 / best.result() / 1e9 for best in running)


def _best(loop: Callable[[int, Any], Any], one: Any, tries: int) -> float:
    """Seconds of the fastest of some runs."""
    found = []
    for _ in range(tries):
        started = time.perf_counter()
        loop(STEPS, one)
        found.append(time.perf_counter() - started)
    return min(found)


@cache
def _loop(dtype: str, simd_width: int) -> Callable[[int, Any], Any]:
    """The function ``loop(steps, x)``: ``steps`` multiply-adds on each accumulator; it returns their sum."""
    body, element = _emitted(dtype, simd_width), getattr(types, dtype)

    def loop(steps: int, x: Any) -> Any:
        return body(steps, x)

    with exclusive():
        compiled: Callable[[int, Any], Any] = numba.njit(element(types.int64, element), nogil=True)(loop)
    return compiled


def _emitted(dtype: str, simd_width: int) -> Any:
    element = getattr(types, dtype)

    def multiply_add(context: Any, steps: Any, x: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            steps, x = arguments
            return _generate(builder, steps, x, ir.VectorType(scalar_type(dtype), simd_width))

        return element(types.int64, element), generate

    return intrinsic(multiply_add)


def _generate(builder: Any, steps: Any, x: Any, vector: ir.VectorType) -> Any:
    """Emit the loop acc = acc * factor + x over LLVM vectors, with accumulators in registers; the sum."""
    factor = spread(builder, x, vector.count)
    kind = ir.FunctionType(vector, [vector] * 3)
    fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.{suffix(vector)}")
    starts = [ir.Constant(vector, [float(n)] * vector.count) for n in range(ACCUMULATORS)]
    slots = [cgutils.alloca_once_value(builder, start) for start in starts]
    with cgutils.for_range(builder, steps):
        for slot in slots:
            builder.store(builder.call(fma, [builder.load(slot), factor, factor]), slot)
    total = ir.Constant(vector.element, 0.0)
    for slot in slots:
        value = builder.load(slot)
        for number in range(vector.count):
            total = builder.fadd(total, builder.extract_element(value, ir.Constant(ir.IntType(32), number)))
    return total
