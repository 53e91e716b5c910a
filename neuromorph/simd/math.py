"""Emits vector mathematics as LLVM IR: exp, log, tanh, sigmoid, softplus, sin, cos and the normal distribution.

The code has vector instructions only, no branches (except in sin and cos for very large numbers) and no calls, which
could become a call of a C library for each element. The methods are the classical ones. The coefficients are our own:
weighted minimax fits, rounded to the element type one after the other, with the others refitted each time. Those of
sin, cos and the normal distribution interpolate at Chebyshev's nodes. The methods:

* exp: Cody and Waite's two-constant range reduction (Software Manual for the Elementary Functions, 1980) to
  |r| <= ln(2)/2, then a polynomial for exp(r) - 1;
* sigmoid and tanh: the same reduction, then exp(r) = (C + r)/(C - r) with the even C = r·coth(r/2), whose
  polynomial is short; these functions need a division anyway;
* log and softplus: exponent and mantissa taken apart, then log((1 + s)/(1 - s)) = 2 artanh(s) as in Sun's fdlibm;
* the normal distribution: a polynomial over a rational function of the argument, times exp(-x²/2);
* sin and cos: see ``trigonometry.py``.

The largest errors, in units in the last place (of subnormals for subnormal results), measured on every single number
(and on millions of doubles): exp 1.06 (1.05), log 0.84 (0.82), tanh 2.5 (3.1), sigmoid 2.5 (2.5), softplus 1.7
(1.7), sin and cos 0.51 (0.96) up to 10,000, the normal distribution 0.54 (4.8). Without fused multiply-adds tanh has
2.7 (2.8), the normal distribution 0.54 (7.0). Beyond 10,000, sin and cos are right to 3e-8 (6e-15). Every SIMD width
gives the same bits. tanh stays within [-1, 1], sigmoid and the normal distribution within [0, 1]. NaN gives NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

from llvmlite import binding, ir

from . import trigonometry
from .arithmetic import Arithmetic, format_of, type_suffix
from .float_formats import DOUBLE, FloatFormat


@cache
def _host_features() -> str:
    try:
        return str(binding.get_host_cpu_features().flatten())
    except RuntimeError:
        return ""


def _target_features() -> str:
    """The processor features that Numba compiles for.

    They depend on its variables NUMBA_CPU_NAME, NUMBA_CPU_FEATURES and NUMBA_ENABLE_AVX.
    """
    from numba.core import config

    chosen = getattr(config, "CPU_FEATURES", None)
    if chosen is not None:
        return str(chosen)
    return _host_features() if getattr(config, "ENABLE_AVX", True) else ""


@cache
def _is_arm() -> bool:
    return bool(binding.get_default_triple().startswith(("aarch64", "arm64")))


@cache
def _fma_in(features: str) -> bool:
    listed = set(features.split(","))
    return "+fma" in listed and "-avx" not in listed


def has_fma() -> bool:
    """Whether the target processor has fused multiply-add instructions.

    Without them, `llvm.fma` would become a call of the C library for every element. So the emitters then write a
    product and a sum; the error bounds still hold.
    """
    if _is_arm():
        return True
    return _fma_in(_target_features())


def _reduce(v: Arithmetic, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """n and r of x = n·ln 2 + r with |r| <= ln(2)/2; n is an integer, shifted to the place of an exponent.

    n may be negative: added to a bit pattern, it wraps around.
    """
    f = v.format
    n, shifted = _nearest(v, x, math.log2(math.e))
    r = v.multiply_add(n, v.constant(-f.ln2_high), x)
    return shifted, v.multiply_add(n, v.constant(-f.ln2_low), r)


def _nearest(v: Arithmetic, x: ir.Value, factor: float) -> tuple[ir.Value, ir.Value]:
    """The whole number nearest to factor·x, as a float, and as an integer shifted to the place of an exponent."""
    magic = v.constant(v.format.rounding_magic)
    raised = v.multiply_add(x, v.constant(factor), magic)
    return v.subtract(raised, magic), v.builder.shl(v.bits(raised), v.integer(v.format.mantissa_bits))


def _half_ln2_rest(v: Arithmetic, n: ir.Value, x: ir.Value) -> ir.Value:
    """x - n·ln(2)/2. For fused singles one constant is enough: the larger n, the less its error changes tanh."""
    f = v.format
    if v.fused and f.ln2_in_one:
        return v.multiply_add(n, v.constant(-0.5 * math.log(2.0)), x)
    rest = v.multiply_add(n, v.constant(-0.5 * f.ln2_high), x)
    return v.multiply_add(n, v.constant(-0.5 * f.ln2_low), rest)


def _exp_minus_one(v: Arithmetic, r: ir.Value) -> ir.Value:
    """exp(r) - 1 for a reduced r: r + r²·q(r)."""
    square = v.multiply(r, r)
    return v.multiply_add(v.polynomial(v.format.exp_terms, r), square, r)


def _times_coth(v: Arithmetic, h: ir.Value) -> Callable[[ir.Value, ir.Value], ir.Value]:
    """The function (a, b) -> a·h·coth h + b for a reduced 2h. The polynomial is emitted once.

    Without fused multiply-adds, the polynomial's constant 1 is kept separate, which rounds less.
    """
    square = v.multiply(h, h)
    terms = [0.5 * term * 4.0**k for k, term in enumerate(v.format.coth_terms)]
    if v.fused:
        even = v.polynomial(terms, square)
        return lambda a, b: v.multiply_add(a, even, b)
    beyond = v.multiply(square, v.polynomial(terms[1:], square))
    return lambda a, b: v.add(a, v.multiply_add(a, beyond, b))


def _exp(v: Arithmetic, x: ir.Value) -> ir.Value:
    """exp(x). x is limited to a range outside which the result is 0 or infinite."""
    return _power(v, v.clamp(x, v.format.exp_low, v.format.exp_high))


def _power(v: Arithmetic, x: ir.Value, rest: ir.Value | None = None, factor: ir.Value | None = None) -> ir.Value:
    """factor·exp(x + rest), as 2^n·(1 + expm1(r)). 2^n is applied in two factors, so that results underflow gradually.

    rest: the rounding error of x, a tiny number.
    """
    f = v.format
    shifted, r = _reduce(v, x)
    if rest is not None:
        r = v.add(r, rest)
    grown = _exp_minus_one(v, r)
    below = v.strict(v.builder.fcmp_ordered("<", x, v.constant(0.0)))
    lift = v.builder.select(
        below,
        v.integer((f.bias + f.deep) << f.mantissa_bits),
        v.integer((f.bias - 1) << f.mantissa_bits),
    )
    least = v.builder.select(below, v.constant(math.ldexp(1.0, -f.deep)), v.constant(2.0))
    scale = v.from_bits(v.builder.add(shifted, lift))
    if factor is not None:
        return v.multiply(v.multiply(v.multiply_add(grown, factor, factor), scale), least)
    return v.multiply(v.multiply_add(grown, scale, scale), least)


def _sigmoid(v: Arithmetic, x: ir.Value) -> ir.Value:
    """S·u/(S·u + w), where exp(x) = S·exp(r), S a power of two, and exp(r) = u/w = (C + r)/(C - r).

    C is r·coth(r/2). The numerator is computed 2^deep times too large, so that it is normal for the least result too.
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


def _tanh(v: Arithmetic, x: ir.Value) -> ir.Value:
    """tanh(a + h) = (tanh a + tanh h)/(1 + tanh a·tanh h), with a = n·ln(2)/2 and h the rest.

    tanh a = (S - 1)/(S + 1) with S = 2^n, and tanh h = h/(h·coth h). Near 0, h is x itself and S - 1 is 0, so nothing
    cancels. The difference is written as 1 - S, whose zero has the sign that keeps the sign of x.
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


def _split(v: Arithmetic, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """k and f of x = 2^k·(1 + f) with 1 + f in [√½, √2), as floats, for positive finite x, also subnormal."""
    f = v.format
    b = v.builder
    lift = f.mantissa_bits + 2
    whole = math.ldexp(1.0, f.mantissa_bits)
    tiny = v.strict(b.fcmp_ordered("<", x, v.constant(f.least_normal)))
    normal = b.select(tiny, v.multiply(x, v.constant(math.ldexp(1.0, lift))), x)
    offset = b.select(tiny, v.constant(whole + f.bias + lift), v.constant(whole + f.bias))
    moved = b.add(v.bits(normal), v.integer((f.bias << f.mantissa_bits) - f.sqrt_half_bits))
    whole_bits = v.integer((f.bias + f.mantissa_bits) << f.mantissa_bits)
    exponent = b.or_(b.lshr(moved, v.integer(f.mantissa_bits)), whole_bits)
    fraction = b.and_(moved, v.integer((1 << f.mantissa_bits) - 1))
    mantissa = v.from_bits(b.add(fraction, v.integer(f.sqrt_half_bits)))
    return v.subtract(v.from_bits(exponent), offset), v.subtract(mantissa, v.constant(1.0))


def _log_sum(v: Arithmetic, k: ir.Value, f: ir.Value) -> ir.Value:
    """k·ln 2 + log(1 + f) with s = f/(2 + f): f - (f²/2 - s·(f²/2 + R(s²))) is log(1 + f) (fdlibm)."""
    s = v.divide(f, v.add(f, v.constant(2.0)))
    square = v.multiply(s, s)
    half = v.multiply(v.multiply(f, f), v.constant(0.5))
    inner = v.multiply_add(square, v.polynomial(v.format.log_terms, square), half)
    small = v.multiply_add(s, inner, v.multiply(k, v.constant(v.format.ln2_low)))
    rest = v.subtract(v.subtract(half, small), f)
    return v.subtract(v.multiply(k, v.constant(v.format.ln2_high)), rest)


def _log(v: Arithmetic, x: ir.Value) -> ir.Value:
    """log(x): -inf at 0, NaN for negative numbers, infinity for infinity, NaN for NaN."""
    zero, infinity = v.constant(0.0), v.constant(math.inf)
    result = v.where("<", x, infinity, _log_sum(v, *_split(v, x)), x)
    result = v.where("==", x, zero, v.constant(-math.inf), result)
    return v.where("<", x, zero, v.constant(math.nan), result)


def _softplus(v: Arithmetic, x: ir.Value) -> ir.Value:
    """max(x, 0) + log(1 + t) with t = exp(-|x|), where 1 + t is 2·(1 + (t - 1)/2) for a t above √2 - 1."""
    t = _exp(v, v.negate(v.magnitude(x)))
    bend = v.constant(math.sqrt(2.0) - 1.0)
    doubled = v.multiply_add(t, v.constant(0.5), v.constant(-0.5))
    k = v.where(">", t, bend, v.constant(1.0), v.constant(0.0))
    log = _log_sum(v, k, v.where(">", t, bend, doubled, t))
    return v.add(v.where("<", x, v.constant(0.0), v.constant(0.0), x), log)


def _normal_cdf(v: Arithmetic, x: ir.Value) -> ir.Value:
    """Φ(x). For singles it is computed in double precision, in which their squares are exact."""
    if v.format is DOUBLE:
        return _normal_cdf_in_double(v, x, DOUBLE)
    wide = Arithmetic(v.builder, ir.VectorType(DOUBLE.element, v.type.count), DOUBLE, v.fused)
    return v.builder.fptrunc(_normal_cdf_in_double(wide, v.builder.fpext(x, wide.type), v.format), v.type)


def _normal_cdf_in_double(v: Arithmetic, x: ir.Value, precision: FloatFormat) -> ir.Value:
    """Φ(-a) = exp(-a²/2)·P(q)/(a + 4) with a = |x| and q = 1 - 8/(a + 4), where P is a polynomial; Φ(a) = 1 - Φ(-a).

    An error of a² is an error of the exponent, which grows with a. So the rounding errors of a² and of 1/(a + 4) are
    computed and added.
    """
    a = v.clamp(v.magnitude(x), 0.0, math.sqrt(-2.0 * precision.exp_low))
    square, exact = v.multiply(a, a), precision is not DOUBLE
    inverse, lost = _inverse_from_four(v, a)
    q = v.multiply_add(lost, v.constant(-8.0), v.multiply_add(inverse, v.constant(-8.0), v.constant(1.0)))
    terms = v.polynomial(precision.normal_terms, q)
    factor = v.multiply_add(terms, lost, v.multiply(terms, inverse))
    rest = None if exact else v.multiply(v.rest_of_square(a, square), v.constant(-0.5))
    tail = _power(v, v.multiply(square, v.constant(-0.5)), rest, factor)
    return v.where(">", x, v.constant(0.0), v.subtract(v.constant(1.0), tail), tail)


def _inverse_from_four(v: Arithmetic, a: ir.Value) -> tuple[ir.Value, ir.Value]:
    """1/(a + 4) and its rounding error, which is taken as 0 without fused multiply-adds."""
    total = v.add(a, v.constant(4.0))
    inverse = v.divide(v.constant(1.0), total)
    if not v.fused:
        return inverse, v.constant(0.0)
    lost = v.subtract(a, v.subtract(total, v.constant(4.0)))
    error = v.multiply_add(inverse, v.negate(total), v.constant(1.0))
    error = v.multiply_add(inverse, v.negate(lost), error)
    return inverse, v.multiply(inverse, error)


_EMITTERS: dict[str, Callable[[Arithmetic, ir.Value], ir.Value]] = {
    "exp": _exp,
    "log": _log,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "sin": trigonometry.sine,
    "cos": trigonometry.cosine,
    "normal_cdf": _normal_cdf,
}

NAMES = tuple(_EMITTERS)


def _emitter(name: str) -> Callable[[Arithmetic, ir.Value], ir.Value]:
    if name not in _EMITTERS:
        raise ValueError(f"no vector function named {name!r}; there are {', '.join(NAMES)}")
    return _EMITTERS[name]


def emit(name: str, builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """Emit the instructions of one of the functions at the builder's position; its value. New blocks may be made.

    x: a vector of float or double of any length, or a single number; the result has its type. Raises ValueError for an
    unknown name, TypeError for another element type.
    """
    emitter = _emitter(name)
    if isinstance(x.type, ir.VectorType):
        return emitter(Arithmetic(builder, x.type, format_of(x.type.element), has_fma()), x)
    single = ir.VectorType(format_of(x.type).element, 1)
    result = emit(name, builder, builder.bitcast(x, single))
    return builder.bitcast(result, x.type)


def function(module: ir.Module, name: str, vector_type: ir.Type) -> ir.Function:
    """The module's internal function of that name and type, such as `nm.exp.v8f32`; made if the module has none.

    vector_type: of the argument and the result. LLVM decides whether the function is inlined.
    """
    _emitter(name)
    symbol = f"nm.{name}.{type_suffix(vector_type)}"
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
    """Emit a call of `function(module, name, type of x)` at the builder's position; its value."""
    return builder.call(function(builder.module, name, x.type), [x])
