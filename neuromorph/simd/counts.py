"""Counts the floating-point operations that the vector mathematics is made of."""

from __future__ import annotations

from functools import cache

from llvmlite import ir

from . import math as vector_math
from .product_shape import scalar_type
from .trigonometry import RARE

_COUNTED = {"fadd", "fsub", "fmul", "fdiv", "fcmp", "fneg"}


@cache
def operations_of(name: str, dtype: str) -> int:
    """Floating-point operations that ``exp`` of one number, or another function of ``math.py``, takes as it is emitted.

    What only numbers of rare size need is left out. A fused multiply-add counts two; operations on exponents as
    integers, and selections, count nothing. ValueError for another name.
    """
    function = vector_math.function(ir.Module(), name, ir.VectorType(scalar_type(dtype), 4))
    usual = (block for block in function.blocks if not block.name.startswith(RARE))
    found = [instruction for block in usual for instruction in block.instructions]
    plain = sum(instruction.opname in _COUNTED for instruction in found)
    fused = sum("llvm.fma" in str(getattr(i, "callee", "")) for i in found if i.opname == "call")
    return plain + 2 * fused
