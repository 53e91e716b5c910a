"""A barrier at which the threads that run one kernel wait for one another."""

from __future__ import annotations

import platform
import sys
import time
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from ..host.forks import new_lock
from .lowering import ARRAY
from .routines import I64, integer, routine, teach

_I32 = ir.IntType(32)
SYNC_SIZE = 16  # int64 numbers that a barrier needs: the count in the first, the generation in the ninth
_GENERATION = 8  # a cache line away from the count
_SPINS = 300  # polls before the processor is yielded to other threads
_twin_lock = new_lock()


def barrier(sync: Any, threads: int) -> None:
    """Return when ``threads`` threads have called. ``sync`` is an int64 array of SYNC_SIZE zeros that they share."""
    with _twin_lock:
        generation = int(sync[_GENERATION])
        sync[0] += 1
        if sync[0] == threads:
            sync[0] = 0
            sync[_GENERATION] += 1
    while sync[_GENERATION] == generation:
        time.sleep(0)


def _pause(builder: ir.IRBuilder) -> None:
    """Emit the instruction that tells the processor that this is a spin loop."""
    machine, module = platform.machine().lower(), builder.module
    if machine in ("x86_64", "amd64", "i686"):
        kind = ir.FunctionType(ir.VoidType(), [])
        builder.call(cgutils.get_or_insert_function(module, kind, "llvm.x86.sse2.pause"), [])
    elif machine in ("aarch64", "arm64"):
        kind = ir.FunctionType(ir.VoidType(), [_I32])
        builder.call(cgutils.get_or_insert_function(module, kind, "llvm.aarch64.hint"), [ir.Constant(_I32, 1)])


def _offer(builder: ir.IRBuilder) -> None:
    """Emit the call that lets another thread run on this processor."""
    name = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_I32, []), name)
    builder.call(function, [])


def look(builder: ir.IRBuilder, place: ir.Value, value: ir.Value, most: ir.Value | None) -> None:
    """Emit a loop that polls a number in memory. It returns from the function when the number is not ``value`` any
    more, or after ``most`` polls.

    Every few hundred polls, the processor is yielded to other threads.
    """
    function, before = builder.function, builder.block
    spin, again, yielding, done = (function.append_basic_block(n) for n in ("spin", "again", "yielding", "done"))
    builder.branch(spin)
    builder.position_at_end(spin)
    looks = builder.phi(I64)
    looks.add_incoming(integer(0), before)
    more = builder.add(looks, integer(1))
    same = builder.icmp_signed("==", builder.load_atomic(place, "acquire", 8), value)
    if most is not None:
        same = builder.and_(same, builder.icmp_signed("<", looks, most))
    builder.cbranch(same, again, done)
    builder.position_at_end(again)
    _pause(builder)
    looks.add_incoming(more, again)
    builder.cbranch(builder.icmp_signed("<", more, integer(_SPINS)), spin, yielding)
    builder.position_at_end(yielding)
    _offer(builder)
    looks.add_incoming(more, yielding)
    builder.branch(spin)
    builder.position_at_end(done)
    builder.ret_void()


def _define(module: ir.Module) -> ir.Function:
    """The LLVM function barrier(count, generation, threads), made once in each module."""
    pointer = I64.as_pointer()
    function, is_new = routine(module, "nm.barrier", [pointer, pointer, I64])
    if is_new:
        function.attributes.add("noinline")
        _emit_barrier(function)
    return function


def _emit_barrier(function: ir.Function) -> None:
    """Emit the barrier: the last thread to arrive raises the generation, which the other threads poll."""
    count, generation, threads = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    last, waits = (function.append_basic_block(n) for n in ("last", "waits"))
    before = builder.load_atomic(generation, "acquire", 8)
    arrived = builder.atomic_rmw("add", count, integer(1), "acq_rel")
    everyone = builder.icmp_signed("==", builder.add(arrived, integer(1)), threads)
    builder.cbranch(everyone, last, waits)
    builder.position_at_end(last)
    builder.store_atomic(integer(0), count, "release", 8)
    builder.store_atomic(builder.add(before, integer(1)), generation, "release", 8)
    builder.ret_void()
    builder.position_at_end(waits)
    look(builder, generation, before, None)


def _call_barrier(builder: ir.IRBuilder, values: list[ir.Value]) -> None:
    count, threads = values
    builder.call(_define(builder.module), [count, builder.gep(count, [integer(_GENERATION)]), threads])


teach(barrier, [ARRAY, types.intp], _call_barrier)
