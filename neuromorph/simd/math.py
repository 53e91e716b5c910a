"""Vector mathematics as LLVM IR: exp, log, tanh and sigmoid of a whole vector at once.

Everything is branch-free and made of vector instructions only; no call is left that could become one call of
a C library per element. The methods are the classical ones, the coefficients our own (weighted minimax fits,
rounded one after the other to the element type, the others refitted each time):

* exp: Cody and Waite's two-constant range reduction (Software Manual for the Elementary Functions, 1980) to
  |r| <= ln(2)/2, then a polynomial for exp(r) - 1;
* sigmoid and tanh: the same reduction, then exp(r) = (C + r)/(C - r) with the even C = r·coth(r/2), whose
  polynomial is short; the division is the one that these functions need anyway;
* log: exponent and mantissa taken apart, then log((1 + s)/(1 - s)) = 2 artanh(s) as in Sun's fdlibm.

The largest errors in units in the last place, subnormal results counted in their own, measured on every single
(and on millions of doubles): exp 1.06 (1.05), log 0.84 (0.82), tanh 2.5 (3.1), sigmoid 2.5 (2.5). Without fused
multiply-adds tanh has 2.7 (2.8). Every vector length gives the same bits. tanh stays within [-1, 1], sigmoid
within [0, 1]. NaN gives NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from llvmlite import binding, ir

from ..host.cached import cached_property
from .float_formats import DOUBLE, SINGLE, FloatFormat


@cache
def _host_features() -> str:
    try:
        return str(binding.get_host_cpu_features().flatten())
    except RuntimeError:
        return ""


def _target_features() -> str:
    """The features Numba compiles for: its variables NUMBA_CPU_NAME, _CPU_FEATURES and _ENABLE_AVX count."""
    from numba.core import config

    chosen = getattr(config, "CPU_FEATURES", None)
    if chosen is not None:
        return str(chosen)
    return _host_features() if getattr(config, "ENABLE_AVX", True) else ""


def has_fma() -> bool:
    """Whether the target processor has fused multiply-add instructions.

    Where it does not, `llvm.fma` would become a call of the C library for every element, so that the emitters
    then write a product and a sum; they keep their bounds.
    """
    if binding.get_default_triple().startswith(("aarch64", "arm64")):
        return True
    features = set(_target_features().split(","))
    return "+fma" in features and "-avx" not in features


class _Unflagged(list[str]):
    """An empty list of fast-math flags that is true, so that Numba's fast-math pass does not add flags."""

    def __bool__(self) -> bool:
        return True


@dataclass(frozen=True)
class _Lanes:
    """Arithmetic on vectors of one type: each method emits an instruction or two, without fast-math flags.

    The flags have to stay away: with them LLVM may merge the two constants of a range reduction into one.
    """

    builder: ir.IRBuilder
    type: ir.VectorType
    format: FloatFormat
    fused: bool

    @cached_property
    def _integers(self) -> ir.VectorType:
        return ir.VectorType(self.format.integer, self.type.count)

    def constant(self, value: float) -> ir.Constant:
        return ir.Constant(self.type, [value] * self.type.count)

    def integer(self, value: int) -> ir.Constant:
        return ir.Constant(self._integers, [value] * self.type.count)

    def _strict(self, instruction: Any) -> ir.Value:
        instruction.flags = _Unflagged()
        return instruction

    def add(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self._strict(self.builder.fadd(a, b))

    def subtract(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self._strict(self.builder.fsub(a, b))

    def multiply(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self._strict(self.builder.fmul(a, b))

    def divide(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self._strict(self.builder.fdiv(a, b))

    def negate(self, a: ir.Value) -> ir.Value:
        return self._strict(self.builder.fneg(a))

    def multiply_add(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """a·b + c, rounded once where the machine can."""
        if not self.fused:
            return self.add(self.multiply(a, b), c)
        name = f"llvm.fma.{_type_suffix(self.type)}"
        fma = self.builder.module.globals.get(name)
        if fma is None:
            fma = ir.Function(self.builder.module, ir.FunctionType(self.type, [self.type] * 3), name)
        return self.builder.call(fma, [a, b, c])

    def where(self, operator: str, a: ir.Value, b: ir.Value, yes: ir.Value, no: ir.Value) -> ir.Value:
        """`yes` where `a operator b` holds and neither is NaN, `no` elsewhere."""
        return self.builder.select(self._strict(self.builder.fcmp_ordered(operator, a, b)), yes, no)

    def clamp(self, x: ir.Value, low: float, high: float) -> ir.Value:
        """x within [low, high]; a NaN stays NaN (LLVM makes one minimum and one maximum of it)."""
        top, bottom = self.constant(high), self.constant(low)
        x = self.where("<", top, x, top, x)
        return self.where(">", bottom, x, bottom, x)

    def bits(self, x: ir.Value) -> ir.Value:
        return self.builder.bitcast(x, self._integers)

    def from_bits(self, x: ir.Value) -> ir.Value:
        return self.builder.bitcast(x, self.type)

    def polynomial(self, terms: Sequence[float], x: ir.Value) -> ir.Value:
        """The polynomial with these coefficients, the constant first, by Estrin's scheme: short chains."""
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


def _reduce(v: _Lanes, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """x = n·ln 2 + r with |r| <= ln(2)/2: n shifted to where an exponent lies, as integers, and r.

    Exponents wrap around as the addition of bit patterns does, so that n may be negative.
    """
    f = v.format
    n, shifted = _nearest(v, x, math.log2(math.e))
    r = v.multiply_add(n, v.constant(-f.ln2_high), x)
    return shifted, v.multiply_add(n, v.constant(-f.ln2_low), r)


def _nearest(v: _Lanes, x: ir.Value, factor: float) -> tuple[ir.Value, ir.Value]:
    """The whole number nearest to factor·x, as a float and as integers shifted to where an exponent lies."""
    magic = v.constant(v.format.rounding_magic)
    raised = v.multiply_add(x, v.constant(factor), magic)
    return v.subtract(raised, magic), v.builder.shl(v.bits(raised), v.integer(v.format.mantissa_bits))


def _half_ln2_rest(v: _Lanes, n: ir.Value, x: ir.Value) -> ir.Value:
    """x - n·ln(2)/2. Fused single precision needs one constant: tanh feels its error less as n grows."""
    f = v.format
    if v.fused and f.ln2_in_one:
        return v.multiply_add(n, v.constant(-0.5 * math.log(2.0)), x)
    rest = v.multiply_add(n, v.constant(-0.5 * f.ln2_high), x)
    return v.multiply_add(n, v.constant(-0.5 * f.ln2_low), rest)


def _exp_minus_one(v: _Lanes, r: ir.Value) -> ir.Value:
    """exp(r) - 1 for a reduced r: r + r²·q(r)."""
    square = v.multiply(r, r)
    return v.multiply_add(v.polynomial(v.format.exp_terms, r), square, r)


def _times_coth(v: _Lanes, h: ir.Value) -> Callable[[ir.Value, ir.Value], ir.Value]:
    """The function (a, b) -> a·h·coth h + b for a reduced 2h, the polynomial emitted once.

    Without fused multiply-adds the 1 with which the polynomial starts is kept apart, to round less.
    """
    square = v.multiply(h, h)
    terms = [0.5 * term * 4.0**k for k, term in enumerate(v.format.coth_terms)]
    if v.fused:
        even = v.polynomial(terms, square)
        return lambda a, b: v.multiply_add(a, even, b)
    beyond = v.multiply(square, v.polynomial(terms[1:], square))
    return lambda a, b: v.add(a, v.multiply_add(a, beyond, b))


def _exp(v: _Lanes, x: ir.Value) -> ir.Value:
    """2^n·(1 + expm1(r)), the power in two factors so that results underflow gradually."""
    f = v.format
    x = v.clamp(x, f.exp_low, f.exp_high)
    shifted, r = _reduce(v, x)
    grown = _exp_minus_one(v, r)
    below = v._strict(v.builder.fcmp_ordered("<", x, v.constant(0.0)))
    lift = v.builder.select(
        below,
        v.integer((f.bias + f.deep) << f.mantissa_bits),
        v.integer((f.bias - 1) << f.mantissa_bits),
    )
    rest = v.builder.select(below, v.constant(math.ldexp(1.0, -f.deep)), v.constant(2.0))
    scale = v.from_bits(v.builder.add(shifted, lift))
    return v.multiply(v.multiply_add(grown, scale, scale), rest)


def _sigmoid(v: _Lanes, x: ir.Value) -> ir.Value:
    """S·u/(S·u + w), where exp(x) = S·exp(r), S a power of two, and exp(r) = u/w = (C + r)/(C - r).

    C is r·coth(r/2). The numerator is carried 2^deep larger: normal numbers down to the least result.
    """
    f = v.format
    x = v.clamp(x, f.exp_low, f.sigmoid_high)
    shifted, r = _reduce(v, x)
    down = v.constant(math.ldexp(1.0, -f.deep))
    lifted = v.from_bits(v.builder.add(shifted, v.integer((f.bias + f.deep) << f.mantissa_bits)))
    even = v.polynomial(f.coth_terms, v.multiply(r, r))
    upper, lower = v.add(even, r), v.subtract(even, r)
    denominator = v.multiply_add(v.multiply(lifted, down), upper, lower)
    return v.multiply(v.divide(v.multiply(lifted, upper), denominator), down)


def _tanh(v: _Lanes, x: ir.Value) -> ir.Value:
    """tanh(a + h) = (tanh a + tanh h)/(1 + tanh a·tanh h), with a = n·ln(2)/2 and h the rest.

    There tanh a = (S - 1)/(S + 1) with S = 2^n, and tanh h = h/(h·coth h). Near 0, h is x itself and S - 1
    is 0, so that nothing cancels. The difference is written 1 - S, whose sign of zero keeps that of x.
    """
    f = v.format
    x = v.clamp(x, -f.tanh_high, f.tanh_high)
    n, shifted = _nearest(v, x, 2.0 * math.log2(math.e))
    h = _half_ln2_rest(v, n, x)
    power = v.from_bits(v.builder.add(shifted, v.integer(f.bias << f.mantissa_bits)))
    more, less = v.add(power, v.constant(1.0)), v.subtract(v.constant(1.0), power)
    times_coth = _times_coth(v, h)
    numerator = times_coth(v.negate(less), v.multiply(more, h))
    return v.divide(numerator, times_coth(more, v.negate(v.multiply(less, h))))


def _split(v: _Lanes, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """x = 2^k·(1 + f) with 1 + f in [√½, √2), for positive finite x, subnormal too: k and f as floats."""
    f = v.format
    b = v.builder
    lift = f.mantissa_bits + 2
    whole = math.ldexp(1.0, f.mantissa_bits)
    tiny = v._strict(b.fcmp_ordered("<", x, v.constant(f.least_normal)))
    normal = b.select(tiny, v.multiply(x, v.constant(math.ldexp(1.0, lift))), x)
    offset = b.select(tiny, v.constant(whole + f.bias + lift), v.constant(whole + f.bias))
    moved = b.add(v.bits(normal), v.integer((f.bias << f.mantissa_bits) - f.sqrt_half_bits))
    whole_bits = v.integer((f.bias + f.mantissa_bits) << f.mantissa_bits)
    exponent = b.or_(b.lshr(moved, v.integer(f.mantissa_bits)), whole_bits)
    fraction = b.and_(moved, v.integer((1 << f.mantissa_bits) - 1))
    mantissa = v.from_bits(b.add(fraction, v.integer(f.sqrt_half_bits)))
    return v.subtract(v.from_bits(exponent), offset), v.subtract(mantissa, v.constant(1.0))


def _log_finite(v: _Lanes, x: ir.Value) -> ir.Value:
    """k·ln 2 + log(1 + f) with s = f/(2 + f): f - (f²/2 - s·(f²/2 + R(s²))) is log(1 + f) (fdlibm)."""
    k, f = _split(v, x)
    s = v.divide(f, v.add(f, v.constant(2.0)))
    square = v.multiply(s, s)
    half = v.multiply(v.multiply(f, f), v.constant(0.5))
    inner = v.multiply_add(square, v.polynomial(v.format.log_terms, square), half)
    small = v.multiply_add(s, inner, v.multiply(k, v.constant(v.format.ln2_low)))
    rest = v.subtract(v.subtract(half, small), f)
    return v.subtract(v.multiply(k, v.constant(v.format.ln2_high)), rest)


def _log(v: _Lanes, x: ir.Value) -> ir.Value:
    """-inf at 0, NaN below, and infinity and NaN as they are."""
    zero, infinity = v.constant(0.0), v.constant(math.inf)
    result = v.where("<", x, infinity, _log_finite(v, x), x)
    result = v.where("==", x, zero, v.constant(-math.inf), result)
    return v.where("<", x, zero, v.constant(math.nan), result)


_EMITTERS: dict[str, Callable[[_Lanes, ir.Value], ir.Value]] = {
    "exp": _exp,
    "log": _log,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
}

NAMES = tuple(_EMITTERS)


def _type_suffix(kind: ir.Type) -> str:
    """`f32` or `f64`, with `v<n>` before it for a vector."""
    vector = isinstance(kind, ir.VectorType)
    lanes = f"v{kind.count}" if vector else ""
    return lanes + _format(kind.element if vector else kind).suffix


def _format(element: ir.Type) -> FloatFormat:
    for form in (SINGLE, DOUBLE):
        if element == form.element:
            return form
    raise TypeError(f"vector mathematics knows float and double, not {element}")


def _emitter(name: str) -> Callable[[_Lanes, ir.Value], ir.Value]:
    if name not in _EMITTERS:
        raise ValueError(f"no vector function named {name!r}; there are {', '.join(NAMES)}")
    return _EMITTERS[name]


def emit(name: str, builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """Emit the instructions of exp, log, tanh or sigmoid where the builder stands.

    `x` is a vector of float or double of any length, or a single one; the result has its type. Raises
    ValueError for another name, TypeError for another element type.
    """
    emitter = _emitter(name)
    if isinstance(x.type, ir.VectorType):
        return emitter(_Lanes(builder, x.type, _format(x.type.element), has_fma()), x)
    lanes = ir.VectorType(_format(x.type).element, 1)
    result = emit(name, builder, builder.bitcast(x, lanes))
    return builder.bitcast(result, x.type)


def function(module: ir.Module, name: str, vector_type: ir.Type) -> ir.Function:
    """The module's own internal function of that name and type (`nm.exp.v8f32`), made where it lacks.

    `vector_type` is what `emit` takes and gives. LLVM decides whether it is inlined.
    """
    _emitter(name)
    symbol = f"nm.{name}.{_type_suffix(vector_type)}"
    if symbol in module.globals:
        return module.globals[symbol]
    made = ir.Function(module, ir.FunctionType(vector_type, [vector_type]), symbol)
    made.linkage = "internal"
    for attribute in ("nounwind", "readnone"):
        made.attributes.add(attribute)
    builder = ir.IRBuilder(made.append_basic_block())
    builder.ret(emit(name, builder, made.args[0]))
    return made


def call(builder: ir.IRBuilder, name: str, x: ir.Value) -> ir.Value:
    """Call `function(module, name, type of x)` where the builder stands."""
    return builder.call(function(builder.module, name, x.type), [x])
