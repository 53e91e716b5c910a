"""Functions that read a program, and the numbers beside it; see ``neuromorph.machine``."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types

from .lowering import ARRAY, data_pointer, define


def word(program: Any, index: int) -> int:
    """A word of a program, an int64 array."""
    return int(program[index])


def _emit_word(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
    return builder.load(builder.gep(data_pointer(context, builder, sig.args[0], args[0]), [args[1]]))


define(word, types.int64, (ARRAY, types.intp), _emit_word)


def behind(program: Any, index: int) -> Any:
    """A program from one of its words on."""
    return program[index:]


def _emit_behind(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
    return builder.gep(data_pointer(context, builder, sig.args[0], args[0]), [args[1]])


define(behind, ARRAY, (ARRAY, types.intp), _emit_behind)  # for native functions only, whose arrays are addresses


def number(numbers: Any, index: int) -> float:
    """A number beside a program, a float64 array."""
    return float(numbers[index])


define(number, types.float64, (ARRAY, types.intp), _emit_word)
