"""Where threads that run one kernel together wait for one another."""

from __future__ import annotations

import platform
import sys
import threading
import time
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer, infer_global, signature
from numba.extending import lower_builtin

from .vectors import data_pointer

_I32, _I64 = ir.IntType(32), ir.IntType(64)
SYNC_SIZE = 16  # int64 numbers that a barrier needs: the count in the first, the generation in the ninth
_GENERATION = 8  # a cache line away from the count
_SPINS = 300  # looks before the processor is offered to others
_twin_lock = threading.Lock()


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


class _Template(AbstractTemplate):  # type: ignore[misc]
    key = barrier

    def generic(self, args: tuple[types.Type, ...], kws: dict[str, Any]) -> Any:
        return signature(types.void, args[0], types.intp) if len(args) == 2 and not kws else None


infer_global(barrier, types.Function(infer(_Template)))


def _pause(builder: ir.IRBuilder) -> None:
    """Tell the processor that this is a spin loop."""
    machine, module = platform.machine().lower(), builder.module
    if machine in ("x86_64", "amd64", "i686"):
        kind = ir.FunctionType(ir.VoidType(), [])
        builder.call(cgutils.get_or_insert_function(module, kind, "llvm.x86.sse2.pause"), [])
    elif machine in ("aarch64", "arm64"):
        kind = ir.FunctionType(ir.VoidType(), [_I32])
        builder.call(cgutils.get_or_insert_function(module, kind, "llvm.aarch64.hint"), [ir.Constant(_I32, 1)])


def _offer(builder: ir.IRBuilder) -> None:
    """Let another thread run on this processor."""
    name = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_I32, []), name)
    builder.call(function, [])


def _look(builder: ir.IRBuilder, place: ir.Value, value: ir.Value, most: ir.Value | None) -> None:
    """Return from the function as soon as a number in memory is no longer ``value``, or after ``most`` looks.

    Now and then the processor is offered to others.
    """
    function, before = builder.function, builder.block
    spin, again, yielding, done = (function.append_basic_block(n) for n in ("spin", "again", "yielding", "done"))
    builder.branch(spin)
    builder.position_at_end(spin)
    looks = builder.phi(_I64)
    looks.add_incoming(ir.Constant(_I64, 0), before)
    more = builder.add(looks, ir.Constant(_I64, 1))
    same = builder.icmp_signed("==", builder.load_atomic(place, "acquire", 8), value)
    if most is not None:
        same = builder.and_(same, builder.icmp_signed("<", looks, most))
    builder.cbranch(same, again, done)
    builder.position_at_end(again)
    _pause(builder)
    looks.add_incoming(more, again)
    builder.cbranch(builder.icmp_signed("<", more, ir.Constant(_I64, _SPINS)), spin, yielding)
    builder.position_at_end(yielding)
    _offer(builder)
    looks.add_incoming(more, yielding)
    builder.branch(spin)
    builder.position_at_end(done)
    builder.ret_void()


def _function(module: ir.Module, name: str, arguments: list[ir.Type]) -> ir.Function:
    """A function of our own in a module, not yet written."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    return function


def _define(module: ir.Module) -> ir.Function:
    """void barrier(count, generation, threads), made once in each module."""
    name = "nm.barrier"
    known = module.globals.get(name)
    if known is not None:
        return known
    pointer = _I64.as_pointer()
    function = _function(module, name, [pointer, pointer, _I64])
    count, generation, threads = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    last, waits = (function.append_basic_block(n) for n in ("last", "waits"))
    before = builder.load_atomic(generation, "acquire", 8)
    arrived = builder.atomic_rmw("add", count, ir.Constant(_I64, 1), "acq_rel")
    everyone = builder.icmp_signed("==", builder.add(arrived, ir.Constant(_I64, 1)), threads)
    builder.cbranch(everyone, last, waits)
    builder.position_at_end(last)
    builder.store_atomic(ir.Constant(_I64, 0), count, "release", 8)
    builder.store_atomic(builder.add(before, ir.Constant(_I64, 1)), generation, "release", 8)
    builder.ret_void()
    builder.position_at_end(waits)
    _look(builder, generation, before, None)
    return function


@lower_builtin(barrier, types.Array, types.Integer)  # type: ignore[untyped-decorator]
def _lower(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
    count = data_pointer(context, builder, sig.args[0], args[0])
    generation = builder.gep(count, [ir.Constant(_I64, _GENERATION)])
    builder.call(_define(builder.module), [count, generation, args[1]])
    return context.get_dummy_value()


def linger(box: Any, number: int, looks: int) -> None:
    """Return as soon as the first number of an int64 array is no longer ``number``, or after so many looks at it.

    A thread that lingers is at work again at once, where waking a sleeping one takes some tens of microseconds.
    """
    while box[0] == number and looks > 0:
        looks -= 1
        time.sleep(0)


class _LingerTemplate(AbstractTemplate):  # type: ignore[misc]
    key = linger

    def generic(self, args: tuple[types.Type, ...], kws: dict[str, Any]) -> Any:
        return signature(types.void, args[0], types.intp, types.intp) if len(args) == 3 and not kws else None


infer_global(linger, types.Function(infer(_LingerTemplate)))


@lower_builtin(linger, types.Array, types.Integer, types.Integer)  # type: ignore[untyped-decorator]
def _lower_linger(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
    module = builder.module
    function = module.globals.get("nm.linger")
    if function is None:
        function = _function(module, "nm.linger", [_I64.as_pointer(), _I64, _I64])
        box, number, looks = function.args
        _look(ir.IRBuilder(function.append_basic_block("entry")), box, number, looks)
    builder.call(function, [data_pointer(context, builder, sig.args[0], args[0]), args[1], args[2]])
    return context.get_dummy_value()
