"""The most that this machine can multiply and add: fused multiply-adds on vectors that never leave the registers."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

ACCUMULATORS = 12  # more than the latency of two units needs, few enough for 16 registers
LANES = (4, 8, 16)  # float32 of 128, 256 and 512 bits
STEPS = 5_000_000


def fma_peak(threads: int, tries: int = 5) -> float:
    """GFLOP/s in float32 on so many threads at once, the best of all vector widths."""
    return max(_measured(_loop(lanes), lanes, threads, tries) for lanes in LANES)


def _measured(loop: Callable[[int, Any], Any], lanes: int, threads: int, tries: int) -> float:
    one = np.float32(1e-6)
    loop(10, one)
    with ThreadPoolExecutor(threads) as pool:
        best = min(_together(pool, loop, threads, one) for _ in range(tries))
    return threads * STEPS * ACCUMULATORS * lanes * 2 / best / 1e9


def _together(pool: ThreadPoolExecutor, loop: Callable[[int, Any], Any], threads: int, one: Any) -> float:
    started = time.perf_counter()
    for running in [pool.submit(loop, STEPS, one) for _ in range(threads)]:
        running.result()
    return time.perf_counter() - started


def _loop(lanes: int) -> Callable[[int, Any], Any]:
    """``loop(steps, x)``: each accumulator multiplied and added to, ``steps`` times; their sum."""
    body = _emitted(lanes)

    def loop(steps: int, x: Any) -> Any:
        return body(steps, x)

    compiled: Callable[[int, Any], Any] = numba.njit(nogil=True)(loop)
    return compiled


def _emitted(lanes: int) -> Any:
    def multiply_add(context: Any, steps: Any, x: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            steps, x = arguments
            return _generate(builder, steps, x, lanes)

        return types.float32(types.int64, types.float32), generate

    return intrinsic(multiply_add)


def _generate(builder: Any, steps: Any, x: Any, lanes: int) -> Any:
    """The loop as LLVM vectors: acc = acc * factor + x, with accumulators in registers."""
    scalar, vector = ir.FloatType(), ir.VectorType(ir.FloatType(), lanes)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), x, ir.Constant(ir.IntType(32), 0))
    spread = builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes))
    kind = ir.FunctionType(vector, [vector] * 3)
    fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{lanes}f32")
    slots = [cgutils.alloca_once_value(builder, ir.Constant(vector, [float(n)] * lanes)) for n in range(ACCUMULATORS)]
    with cgutils.for_range(builder, steps):
        for slot in slots:
            builder.store(builder.call(fma, [builder.load(slot), spread, spread]), slot)
    total = ir.Constant(scalar, 0.0)
    for slot in slots:
        value = builder.load(slot)
        for lane in range(lanes):
            total = builder.fadd(total, builder.extract_element(value, ir.Constant(ir.IntType(32), lane)))
    return total
