"""Views of flat arrays and of memory, made in compiled code without a copy or an object.

A view owns no memory: the array that it was made from, or the owner of the memory, must outlive it. In compiled code, a
view keeps the length of the array that it was made from. So views are for functions that never use a length.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types

from .lowering import ARRAY, data_pointer, define


def part(array: Any, start: int) -> Any:
    """A view of a flat array from the element at ``start`` on."""
    return array[start:]


def address_of(array: Any) -> int:
    """The memory address of a flat array's first element."""
    return int(array.ctypes.data)


def array_at(like: Any, address: int) -> Any:
    """A view of the memory at an address, as a flat array of the same type as ``like``."""
    interface = {**like.__array_interface__, "data": (address, not like.flags.writeable)}
    return np.asarray(type("_Place", (), {"__array_interface__": interface, "like": like})())


def _moved(context: Any, builder: ir.IRBuilder, kind: Any, array: ir.Value, data: ir.Value) -> ir.Value:
    """A view of ``array``'s type that begins at ``data`` and has no reference count. For native functions, an array is
    its address."""
    if isinstance(array.type, ir.PointerType):
        return data
    made = cgutils.create_struct_proxy(kind)(context, builder, value=array)
    made.data = data
    made.meminfo = cgutils.get_null_value(made.meminfo.type)
    made.parent = cgutils.get_null_value(made.parent.type)
    return made._getvalue()


def _emit_part(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
    kind = sig.args[0]
    data = builder.gep(data_pointer(context, builder, kind, args[0]), [args[1]])
    return _moved(context, builder, kind, args[0], data)


def _emit_address(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
    return builder.ptrtoint(data_pointer(context, builder, sig.args[0], args[0]), ir.IntType(64))


def _emit_at(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
    kind = sig.args[0]
    there = data_pointer(context, builder, kind, args[0])
    return _moved(context, builder, kind, args[0], builder.inttoptr(args[1], there.type))


define(part, ARRAY, (ARRAY, types.intp), _emit_part)
define(address_of, types.intp, (ARRAY,), _emit_address)
define(array_at, ARRAY, (ARRAY, types.intp), _emit_at)
