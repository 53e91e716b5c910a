"""Passes a call of a kernel through the mailbox to threads that wait for it in compiled code.

Waking a sleeping thread takes some tens of microseconds, and as long again until it has the interpreter's lock. Many
windows take no longer. So threads that have done their part of a call stay in compiled code for a while and poll the
mailbox, in which they find the next call. A call either claims all members or is made without them.

``abi/mailbox.py`` says what each place of the mailbox holds. Each member that waits has called ``arrive``. It must call
``leave`` before it does anything else, except the call that it was claimed for.
"""

from __future__ import annotations

import time
from typing import Any

from llvmlite import ir
from numba.core import types

from ..abi.mailbox import CALLS, IN_MAILBOX, WAITING
from ..host.forks import new_lock
from .barrier import look
from .lowering import ARRAY
from .routines import I1, I64, integer, routine, teach

_twin_lock = new_lock()


def linger(mailbox: Any, calls: int, looks: int) -> int:
    """Poll the number of calls until it differs from ``calls``, at most ``looks`` times; returns the number.

    Everything that was written before the number changed is visible afterwards.
    """
    while (seen := int(mailbox[CALLS])) == calls and looks > 0:
        looks -= 1
        time.sleep(0)
    return seen


def arrive(mailbox: Any) -> None:
    """Raise the count of waiting members by one."""
    with _twin_lock:
        mailbox[WAITING] += 1


def leave(mailbox: Any) -> bool:
    """Lower the count of waiting members by one; False if the member is claimed already, so that a call will come."""
    with _twin_lock:
        if mailbox[WAITING] == 0:
            return False
        mailbox[WAITING] -= 1
        return True


def claim(mailbox: Any, members: int) -> bool:
    """Claim all members for a call if all ``members`` of them wait; whether they did."""
    with _twin_lock:
        if mailbox[WAITING] != members:
            return False
        mailbox[WAITING] = 0
        return True


def post(mailbox: Any) -> None:
    """Start the call whose arguments are in the mailbox, for the claimed members."""
    mailbox[IN_MAILBOX] = mailbox[CALLS] + 1
    mailbox[CALLS] += 1


def _at(builder: ir.IRBuilder, mailbox: ir.Value, place: int) -> ir.Value:
    return builder.gep(mailbox, [integer(place)])


def _call_linger(builder: ir.IRBuilder, values: list[ir.Value]) -> ir.Value:
    function, is_new = routine(builder.module, "nm.linger", [I64.as_pointer(), I64, I64])
    if is_new:
        function.attributes.add("noinline")
        mailbox, calls, looks = function.args
        inside = ir.IRBuilder(function.append_basic_block("entry"))
        look(inside, _at(inside, mailbox, CALLS), calls, looks)
    builder.call(function, values)
    return builder.load_atomic(_at(builder, values[0], CALLS), "acquire", 8)


def _emit_arrive(builder: ir.IRBuilder, values: list[ir.Value]) -> None:
    builder.atomic_rmw("add", _at(builder, values[0], WAITING), integer(1), "acq_rel")


def _emit_leave(builder: ir.IRBuilder, values: list[ir.Value]) -> ir.Value:
    place, before = _at(builder, values[0], WAITING), builder.block
    again, there, done = (builder.append_basic_block(f"leave.{name}") for name in ("again", "there", "done"))
    first = builder.load_atomic(place, "acquire", 8)
    builder.branch(again)
    builder.position_at_end(again)
    waiting = builder.phi(I64)
    waiting.add_incoming(first, before)
    builder.cbranch(builder.icmp_signed("==", waiting, integer(0)), done, there)
    builder.position_at_end(there)
    pair = builder.cmpxchg(place, waiting, builder.sub(waiting, integer(1)), "acq_rel", "acquire")
    waiting.add_incoming(builder.extract_value(pair, 0), there)
    builder.cbranch(builder.extract_value(pair, 1), done, again)
    builder.position_at_end(done)
    left = builder.phi(I1)
    left.add_incoming(ir.Constant(I1, 0), again)
    left.add_incoming(ir.Constant(I1, 1), there)
    return left


def _emit_claim(builder: ir.IRBuilder, values: list[ir.Value]) -> ir.Value:
    mailbox, members = values
    pair = builder.cmpxchg(_at(builder, mailbox, WAITING), members, integer(0), "acq_rel", "acquire")
    return builder.extract_value(pair, 1)


def _emit_post(builder: ir.IRBuilder, values: list[ir.Value]) -> None:
    place = _at(builder, values[0], CALLS)
    number = builder.add(builder.load(place), integer(1))
    builder.store(number, _at(builder, values[0], IN_MAILBOX))
    builder.store_atomic(number, place, "release", 8)


teach(linger, [ARRAY, types.intp, types.intp], _call_linger, types.intp)
teach(arrive, [ARRAY], _emit_arrive)
teach(leave, [ARRAY], _emit_leave, types.boolean)
teach(claim, [ARRAY, types.intp], _emit_claim, types.boolean)
teach(post, [ARRAY], _emit_post)
