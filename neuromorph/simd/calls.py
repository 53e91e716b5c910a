"""Calls of compiled functions by their addresses, and access to memory by its address.

The function is an entry of some bundle, and takes a record of its arguments; see ``abi/learning.py``.
"""

from __future__ import annotations

import ctypes
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from ..abi.learning import plain_calls
from .lowering import ARRAY
from .routines import I64, integer, teach


def call_at(function: int, words: Any, place: int) -> int:
    """The result of the function at an address, for the record that begins at a place of the words."""
    return plain_calls[int(function)](words, place)


def move(target: int, source: int, count: int) -> None:
    """Copy ``count`` bytes from one address to another; they may overlap."""
    ctypes.memmove(int(target), int(source), int(count))


def word_at(address: int) -> int:
    """The int64 at an address."""
    return int(ctypes.c_int64.from_address(int(address)).value)


def single_at(address: int) -> float:
    """The float32 at an address."""
    return float(ctypes.c_float.from_address(int(address)).value)


def double_at(address: int) -> float:
    """The float64 at an address."""
    return float(ctypes.c_double.from_address(int(address)).value)


def put_word(address: int, word: int) -> None:
    """Write an int64 to an address. Other threads that read it see what was written before it."""
    ctypes.c_int64.from_address(int(address)).value = word


def _emit_call(builder: ir.IRBuilder, values: list[ir.Value]) -> ir.Value:
    function, words, place = values
    kind = ir.FunctionType(I64, [I64.as_pointer()])
    return builder.call(builder.inttoptr(function, kind.as_pointer()), [builder.gep(words, [place])])


def _emit_move(builder: ir.IRBuilder, values: list[ir.Value]) -> None:
    target, source, count = values
    pointer = ir.IntType(8).as_pointer()
    places = [builder.inttoptr(each, pointer) for each in (target, source)]
    cgutils.raw_memmove(builder, *places, count, integer(1))


def _emit_word(builder: ir.IRBuilder, values: list[ir.Value]) -> ir.Value:
    return builder.load_atomic(builder.inttoptr(values[0], I64.as_pointer()), "acquire", 8)


def _emit_single(builder: ir.IRBuilder, values: list[ir.Value]) -> ir.Value:
    number = builder.load(builder.inttoptr(values[0], ir.FloatType().as_pointer()))
    return builder.fpext(number, ir.DoubleType())


def _emit_double(builder: ir.IRBuilder, values: list[ir.Value]) -> ir.Value:
    return builder.load(builder.inttoptr(values[0], ir.DoubleType().as_pointer()))


def _emit_put(builder: ir.IRBuilder, values: list[ir.Value]) -> None:
    address, word = values
    builder.store_atomic(word, builder.inttoptr(address, I64.as_pointer()), "release", 8)


teach(call_at, [types.intp, ARRAY, types.intp], _emit_call, types.intp)
teach(move, [types.intp, types.intp, types.intp], _emit_move)
teach(word_at, [types.intp], _emit_word, types.intp)
teach(single_at, [types.intp], _emit_single, types.float64)
teach(double_at, [types.intp], _emit_double, types.float64)
teach(put_word, [types.intp, types.intp], _emit_put)
