"""Helpers that the routines share: registration with Numba, one definition in each module, and loops.

A routine is a plain Python function over flat arrays, its twin, and an LLVM function of literal shape that takes its
place in compiled code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from llvmlite import ir
from numba.core import types

from .lowering import Twin, data_pointer, define

I1, I64 = ir.IntType(1), ir.IntType(64)


def teach(twin: Twin, arguments: list[Any], emit: Callable[..., Any], result: Any = types.void) -> Twin:
    """Register a routine with Numba; returns the twin.

    arguments: their types, ARRAY for any array. emit(builder, values): emits the call and returns its result; each
    array is given as the address of its first element.
    """

    def emit_call(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        values = [
            data_pointer(context, builder, kind, value) if isinstance(kind, types.Array) else value
            for kind, value in zip(sig.args, args, strict=True)
        ]
        return emit(builder, values)

    return define(twin, result, tuple(arguments), emit_call)


def routine(
    module: ir.Module, name: str, arguments: list[ir.Type], *, result: ir.Type | None = None, inline: bool = True
) -> tuple[ir.Function, bool]:
    """The function of that name in a module, and whether it is new and needs a body.

    inline: whether LLVM may put its body in place of a call.
    """
    known = module.globals.get(name)
    if known is not None:
        return known, False
    function = ir.Function(module, ir.FunctionType(result or ir.VoidType(), arguments), name)
    function.linkage = "internal"
    function.attributes.add("nounwind")
    if not inline:
        function.attributes.add("noinline")
    return function, True


@cache
def integer(value: int) -> ir.Constant:
    """A constant number of elements, rows or steps."""
    return ir.Constant(I64, value)


def _close(builder: ir.IRBuilder, head: ir.Block) -> None:
    """Emit the jump back to the head of a loop, marked so that LLVM does not unroll the loop.

    The loop is unrolled by hand already, so more unrolling gives much more code and no speed. See
    "llvm.loop.unroll.disable" in LLVM's language reference; the first operand of a loop's metadata is itself.
    """
    module = builder.module
    node = module.add_metadata([f"loop {len(module.metadata)}"])
    node.operands = (node, module.add_metadata(["llvm.loop.unroll.disable"]))
    builder.branch(head).set_metadata("llvm.loop", node)


@contextmanager
def _looping(
    builder: ir.IRBuilder, start: ir.Value, stop: ir.Value, step: int, sums: list[ir.Value], *, unrolls: bool = False
) -> Iterator[tuple[ir.Value, list[ir.Value], list[ir.Value]]]:
    """Emit a loop over ``range(start, stop, step)`` that carries sums. unrolls: whether LLVM may unroll it.

    Yields the counter, the sums before a pass, and an empty list, to which the block adds the sums after the pass.
    After the loop, the sums before a pass are the final ones.
    """
    before = builder.block
    head, body, after = (builder.append_basic_block(f"loop.{n}") for n in ("head", "body", "after"))
    builder.branch(head)
    builder.position_at_end(head)
    counter, *carried = phis = [builder.phi(kind) for kind in (I64, *(value.type for value in sums))]
    for phi, value in zip(phis, (start, *sums), strict=True):
        phi.add_incoming(value, before)
    builder.cbranch(builder.icmp_signed("<" if step > 0 else ">", counter, stop), body, after)
    builder.position_at_end(body)
    fresh: list[ir.Value] = []
    yield counter, carried, fresh
    after_pass = builder.add(counter, integer(step), flags=["nsw"] if unrolls else [])
    for phi, value in zip(phis, (after_pass, *fresh), strict=True):
        phi.add_incoming(value, builder.block)
    if unrolls:
        builder.branch(head)
    else:
        _close(builder, head)
    builder.position_at_end(after)


@contextmanager
def counted(
    builder: ir.IRBuilder, start: ir.Value, stop: ir.Value, step: int, *, unrolls: bool = False
) -> Iterator[ir.Value]:
    """Emit a loop over ``range(start, stop, step)``; yields the counter. unrolls: whether LLVM may unroll it."""
    with _looping(builder, start, stop, step, [], unrolls=unrolls) as (counter, _, _):
        yield counter


def summed(
    builder: ir.IRBuilder, sums: list[ir.Value], start: ir.Value, stop: ir.Value, step: int,
    body: Callable[[ir.Value, list[ir.Value]], list[ir.Value]],
) -> list[ir.Value]:  # fmt: skip
    """The sums after a loop over ``range(start, stop, step)`` that keeps them in registers.

    body: gets the counter and the sums, and returns the new sums.
    """
    with _looping(builder, start, stop, step, sums) as (counter, carried, fresh):
        fresh.extend(body(counter, list(carried)))
    return carried
