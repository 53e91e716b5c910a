"""Vector constants. A kernel uses each of them hundreds of times, and LLVM's text of one names every element."""

from __future__ import annotations

from functools import cache

from llvmlite import ir


class _Undefined(ir.Constant):  # type: ignore[misc]
    """A vector whose elements don't matter, in one word."""

    def _get_reference(self) -> str:
        return "undef"


@cache
def undefined(element: ir.Type, count: int) -> ir.Constant:
    """A vector of ``count`` elements that don't matter."""
    return _Undefined(ir.VectorType(element, count), ir.Undefined)


def filled(element: ir.Type, count: int, value: float) -> ir.Constant:
    """A vector of ``count`` equal elements, numbers or whole numbers."""
    return _filled(element, count, value, str(value))


@cache
def _filled(element: ir.Type, count: int, value: float, text: str) -> ir.Constant:
    """text: tells 0 and -0 apart, which are equal."""
    kind = ir.VectorType(element, count)
    return ir.Constant(kind, None if text in ("0", "0.0") else [value] * count)
