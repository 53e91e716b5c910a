"""Vector constants. A kernel uses each of them hundreds of times, and LLVM's text of one names every element."""

from __future__ import annotations

from functools import cache

from llvmlite import ir


class _Word(ir.Constant):  # type: ignore[misc]
    """A vector for which LLVM has a word."""

    def __init__(self, kind: ir.VectorType, word: str) -> None:
        super().__init__(kind, None)
        self._word = word

    def _get_reference(self) -> str:
        return self._word


@cache
def undefined(element: ir.Type, count: int) -> ir.Constant:
    """A vector of ``count`` elements that don't matter."""
    return _Word(ir.VectorType(element, count), "undef")


def filled(element: ir.Type, count: int, value: float) -> ir.Constant:
    """A vector of ``count`` equal elements, numbers or whole numbers."""
    return _filled(element, count, value, str(value))


@cache
def _filled(element: ir.Type, count: int, value: float, text: str) -> ir.Constant:
    """text: tells 0 and -0 apart, which are equal."""
    kind = ir.VectorType(element, count)
    return _Word(kind, "zeroinitializer") if text in ("0", "0.0") else ir.Constant(kind, [value] * count)
