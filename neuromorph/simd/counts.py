"""Counts the floating-point operations of the functions of ``math.py``."""

from __future__ import annotations

from functools import cache

from llvmlite import ir

from . import math as vector_math
from .product_shape import scalar_type
from .trigonometry import RARE

_COUNTED = {"fadd", "fsub", "fmul", "fdiv", "fcmp", "fneg"}


@cache
def operations_of(name: str, dtype: str) -> int:
    """The number of floating-point operations in the emitted code of a function of ``math.py``, for one number.

    Code for very large numbers only is left out. A fused multiply-add counts two; operations on exponents as integers,
    and selections, count nothing. Raises ValueError for an unknown name.
    """
    function = vector_math.function(ir.Module(), name, ir.VectorType(scalar_type(dtype), 4))
    usual = (block for block in function.blocks if not block.name.startswith(RARE))
    found = [instruction for block in usual for instruction in block.instructions]
    plain = sum(instruction.opname in _COUNTED for instruction in found)
    fused = sum("llvm.fma" in str(getattr(i, "callee", "")) for i in found if i.opname == "call")
    return plain + 2 * fused
