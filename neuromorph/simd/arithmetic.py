"""Emits arithmetic on vectors of one type, in LLVM instructions that no fast-math pass may change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from ..host.cached import cached_property
from ..host.frozen import frozen
from .constants import filled
from .float_formats import DOUBLE, SINGLE, FloatFormat


class _Unflagged(list[str]):
    """An empty list of fast-math flags that is true, so that Numba's fast-math pass does not add flags."""

    def __bool__(self) -> bool:
        return True


@frozen
class Arithmetic:
    """Arithmetic on vectors of one type. Each method emits an instruction or two, without fast-math flags.

    With the flags, LLVM might merge the two constants of a range reduction into one.
    """

    builder: ir.IRBuilder
    type: ir.VectorType
    format: FloatFormat
    fused: bool

    @cached_property
    def integers(self) -> ir.VectorType:
        """The type of vectors of the elements' bit patterns."""
        return ir.VectorType(self.format.integer, self.type.count)

    def constant(self, value: float) -> ir.Constant:
        return filled(self.type.element, self.type.count, value)

    def integer(self, value: int) -> ir.Constant:
        return filled(self.format.integer, self.type.count, value)

    def strict(self, instruction: Any) -> ir.Value:
        """The instruction, marked to stay without flags."""
        instruction.flags = _Unflagged()
        return instruction

    def add(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.strict(self.builder.fadd(a, b))

    def subtract(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.strict(self.builder.fsub(a, b))

    def multiply(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.strict(self.builder.fmul(a, b))

    def divide(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.strict(self.builder.fdiv(a, b))

    def negate(self, a: ir.Value) -> ir.Value:
        return self.strict(self.builder.fneg(a))

    def multiply_add(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """a·b + c, rounded once where the machine can."""
        if not self.fused:
            return self.add(self.multiply(a, b), c)
        name = f"llvm.fma.{type_suffix(self.type)}"
        fma = self.builder.module.globals.get(name)
        if fma is None:
            fma = ir.Function(self.builder.module, ir.FunctionType(self.type, [self.type] * 3), name)
        return self.builder.call(fma, [a, b, c])

    def rest_of_square(self, x: ir.Value, square: ir.Value) -> ir.Value:
        """The rounding error of ``square``: x² - square."""
        if self.fused:
            return self.multiply_add(x, x, self.negate(square))
        low_bits = (self.format.mantissa_bits + 2) // 2
        head = self.from_bits(self.builder.and_(self.bits(x), self.integer(-1 << low_bits)))
        tail = self.subtract(x, head)
        rest = self.subtract(self.multiply(head, head), square)
        rest = self.add(rest, self.multiply(self.multiply(head, tail), self.constant(2.0)))
        return self.add(rest, self.multiply(tail, tail))

    def where(self, operator: str, a: ir.Value, b: ir.Value, yes: ir.Value, no: ir.Value) -> ir.Value:
        """`yes` where `a operator b` holds and neither is NaN, `no` elsewhere."""
        return self.builder.select(self.strict(self.builder.fcmp_ordered(operator, a, b)), yes, no)

    def clamp(self, x: ir.Value, low: float, high: float) -> ir.Value:
        """x limited to [low, high]; a NaN stays NaN. LLVM makes one minimum and one maximum of it."""
        top, bottom = self.constant(high), self.constant(low)
        x = self.where("<", top, x, top, x)
        return self.where(">", bottom, x, bottom, x)

    def magnitude(self, x: ir.Value) -> ir.Value:
        """The magnitude |x|."""
        return self.from_bits(self.builder.and_(self.bits(x), self.integer((1 << self.format.element_bits - 1) - 1)))

    def bits(self, x: ir.Value) -> ir.Value:
        return self.builder.bitcast(x, self.integers)

    def from_bits(self, x: ir.Value) -> ir.Value:
        return self.builder.bitcast(x, self.type)

    def polynomial(self, terms: Sequence[float], x: ir.Value) -> ir.Value:
        """The polynomial with these coefficients, the constant first, by Estrin's scheme, which has short chains."""
        powers = {1: x}

        def power(exponent: int) -> ir.Value:
            if exponent not in powers:
                root = power(exponent // 2)
                powers[exponent] = self.multiply(root, root)
            return powers[exponent]

        def evaluate(part: Sequence[float]) -> ir.Value:
            if len(part) == 1:
                return self.constant(part[0])
            half = 1 if len(part) == 3 else 1 << ((len(part) + 1) // 2).bit_length() - 1
            return self.multiply_add(evaluate(part[half:]), power(half), evaluate(part[:half]))

        return evaluate(terms)


def type_suffix(kind: ir.Type) -> str:
    """LLVM's name of a type inside function names: `f32` or `f64`, with `v<n>` before it for a vector."""
    vector = isinstance(kind, ir.VectorType)
    count = f"v{kind.count}" if vector else ""
    return count + format_of(kind.element if vector else kind).suffix


def format_of(element: ir.Type) -> FloatFormat:
    """The floating-point format of an LLVM element type."""
    for form in (SINGLE, DOUBLE):
        if element == form.element:
            return form
    raise TypeError(f"vector mathematics knows float and double, not {element}")
