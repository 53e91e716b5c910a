"""A clock that compiled code can read between two pieces of work, at the cost of a few nanoseconds.

It counts ticks of a counter with a constant rate: the time stamp counter on x86, the virtual timer on 64-bit Arm,
nanoseconds in the plain Python twin. The length of a tick must be found by comparison with another clock. A reading
waits for the work before it and holds back the work after it, so that each piece is charged for its own work only. The
processor can then not overlap the work of two pieces.
"""

from __future__ import annotations

import platform
import time
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from .lowering import ARRAY, data_pointer, define

_I64 = ir.IntType(64)


def ticks() -> int:
    """The present value of the counter, in ticks."""
    return time.perf_counter_ns()


def lap(clock: Any, number: int, since: int) -> int:
    """Add the ticks since ``since`` to ``clock[2 * number]``, and 1 to the next element; the counter's present value.

    clock: an int64 array.
    """
    now = ticks()
    clock[2 * number] += now - since
    clock[2 * number + 1] += 1
    return now


def _now(builder: ir.IRBuilder) -> ir.Value:
    """Emit a reading of the counter, made when all work before it is done and no work after it has begun."""
    machine = platform.machine().lower()
    if machine in ("aarch64", "arm64"):
        return read_on_arm(builder)
    return read_on_x86(builder) if machine in ("x86_64", "amd64", "i686") else read_anywhere(builder)


def read_on_x86(builder: ir.IRBuilder) -> ir.Value:
    """Emit a reading of the time stamp counter between two fences."""
    fence = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), []), "llvm.x86.sse2.lfence")
    builder.call(fence, [])
    now = read_anywhere(builder)
    builder.call(fence, [])
    return now


def read_anywhere(builder: ir.IRBuilder) -> ir.Value:
    """Emit a reading of LLVM's counter of cycles, which is constant on processors for which LLVM knows none."""
    read = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_I64, []), "llvm.readcyclecounter")
    return builder.call(read, [])


def read_on_arm(builder: ir.IRBuilder) -> ir.Value:
    """Emit a reading of the virtual timer between two barriers: user programs can't read the counter of cycles."""
    module, whole = builder.module, ir.Constant(ir.IntType(32), 15)
    isb = cgutils.get_or_insert_function(module, ir.FunctionType(ir.VoidType(), [ir.IntType(32)]), "llvm.aarch64.isb")
    name = module.add_metadata(["cntvct_el0"])
    read = cgutils.get_or_insert_function(
        module, ir.FunctionType(_I64, [ir.MetaDataType()]), "llvm.read_volatile_register.i64"
    )
    builder.call(isb, [whole])
    now = builder.call(read, [name])
    builder.call(isb, [whole])
    return now


def _emit_ticks(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
    return _now(builder)


def _emit_lap(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
    place = builder.shl(args[1], ir.Constant(_I64, 1))
    pointer = builder.gep(data_pointer(context, builder, sig.args[0], args[0]), [place])
    count = builder.gep(pointer, [ir.Constant(_I64, 1)])
    now = _now(builder)
    builder.store(builder.add(builder.load(pointer), builder.sub(now, args[2])), pointer)
    builder.store(builder.add(builder.load(count), ir.Constant(_I64, 1)), count)
    return now


define(ticks, types.int64, (), _emit_ticks)
define(lap, types.int64, (ARRAY, types.intp, types.int64), _emit_lap)
