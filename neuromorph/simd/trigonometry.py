"""Emits sin and cos of whole vectors, computed in double precision for both formats.

First x is reduced: x = n·π/2 + r with |r| <= π/4. Up to a million this is done by Cody and Waite's three constants.
Beyond, which is rare, it is done after Payne and Hanek (Radian Reduction for Trigonometric Functions, 1983), from
x = m·2^e and a table of 2^e·2/π mod 4, that is, modulo whole turns. Then comes a polynomial for the sine or the cosine
of r (weighted minimax fits); n, the number of quarter turns, says which of them.
"""

from __future__ import annotations

import math
from functools import cache

from llvmlite import ir

from .arithmetic import Arithmetic
from .float_formats import DOUBLE, FloatFormat

RARE = "rare"  # the beginning of the names of blocks that hardly ever run
_FAR = 1.0e6  # for larger x the three constants are too short
_LEAST_EXPONENT = -33  # the least e of numbers m·2^e beyond _FAR, with a whole number m of 53 bits
_LOW_BITS = 26  # the bits of the lower one of the two parts of m
_SCALE = 1 << 1300  # 2/π as a fixed-point number has this scale, with all bits that any exponent needs
_MAGIC = math.ldexp(1.5, 52)  # adding it rounds to whole numbers, which are then in the low bits of the sum
_MAGIC_OF_TURNS = math.ldexp(1.5, 54)  # adding it rounds to multiples of 4


@cache
def _two_over_pi() -> int:
    """2/π in units of 1/_SCALE, computed by Machin's formula with some spare bits."""
    unit = _SCALE << 64

    def arctangent_of_one_over(x: int) -> int:
        power = total = unit // x
        for k in range(3, 1 << 16, 2):
            power //= -x * x
            if abs(power) <= 1:
                break
            total += power // k
        return total

    pi = 4 * (4 * arctangent_of_one_over(5) - arctangent_of_one_over(239))
    return 2 * unit * _SCALE // pi


def _pieces(value: int, scale: int, bits: tuple[int, ...]) -> tuple[float, ...]:
    """value/scale as a sum of floats. bits: those after the point, for each but the last one, which has 53."""
    found = []
    for places in bits:
        head = value * (1 << places) // scale
        found.append(math.ldexp(head, -places))
        value -= head * scale >> places
    return (*found, value / scale)


@cache
def _quarter_turn() -> tuple[float, ...]:
    """π/2 in three parts. The products of the first two with any n up to a million are exact."""
    return _pieces(_SCALE * _SCALE // _two_over_pi(), _SCALE, (32, 64))


@cache
def _turns(count: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """2^e·2/π mod 4 for ``count`` exponents e from the least on: parts of 24 bits after the point, and the rests."""
    everything = [
        (_two_over_pi() << e if e > 0 else _two_over_pi() >> -e) % (4 * _SCALE)
        for e in range(_LEAST_EXPONENT, _LEAST_EXPONENT + count)
    ]
    heads, rests = zip(*(_pieces(turn, _SCALE, (24,)) for turn in everything), strict=True)
    return heads, rests


def sine(v: Arithmetic, x: ir.Value) -> ir.Value:
    """sin x; NaN for infinity."""
    return v.where("==", x, v.constant(0.0), x, _of_quarter(v, x, 0))


def cosine(v: Arithmetic, x: ir.Value) -> ir.Value:
    """cos x; NaN for infinity."""
    return _of_quarter(v, x, 1)


def _of_quarter(v: Arithmetic, x: ir.Value, ahead: int) -> ir.Value:
    """The sine of x plus ``ahead`` quarter turns."""
    if v.format is DOUBLE:
        return _in_double(v, x, ahead, DOUBLE)
    wide = Arithmetic(v.builder, ir.VectorType(DOUBLE.element, v.type.count), DOUBLE, v.fused)
    result = _in_double(wide, v.builder.fpext(x, wide.type), ahead, v.format)
    return v.builder.fptrunc(result, v.type)


def _in_double(v: Arithmetic, x: ir.Value, ahead: int, precision: FloatFormat) -> ir.Value:
    b = v.builder
    quarters, r, rest = _reduced(v, x, precision)
    quarters = b.add(quarters, v.integer(ahead))
    square = v.multiply(r, r)
    odd = b.icmp_unsigned("!=", b.and_(quarters, v.integer(1)), v.integer(0))
    cosine_of_r = _cosine_near_zero(v, r, rest, square, precision)
    either = b.select(odd, cosine_of_r, _sine_near_zero(v, r, rest, square, precision))
    sign = b.shl(b.and_(quarters, v.integer(2)), v.integer(62))
    return v.from_bits(b.xor(v.bits(either), sign))


def _sine_near_zero(v: Arithmetic, r: ir.Value, rest: ir.Value, square: ir.Value, precision: FloatFormat) -> ir.Value:
    """sin(r + rest), computed as r + r³·P(r²) + rest."""
    beyond = v.multiply(square, v.polynomial(precision.sine_terms, square))
    return v.add(r, v.multiply_add(r, beyond, rest))


def _cosine_near_zero(v: Arithmetic, r: ir.Value, rest: ir.Value, square: ir.Value, precision: FloatFormat) -> ir.Value:
    """cos(r + rest), computed as 1 - r²/2 + r⁴·P(r²) - r·rest, plus the rounding error of the first difference."""
    half = v.multiply(square, v.constant(0.5))
    head = v.subtract(v.constant(1.0), half)
    lost = v.subtract(v.subtract(v.constant(1.0), head), half)
    beyond = v.multiply(v.multiply(square, square), v.polynomial(precision.cosine_terms, square))
    return v.add(head, v.add(lost, v.subtract(beyond, v.multiply(r, rest))))


def _reduced(v: Arithmetic, x: ir.Value, precision: FloatFormat) -> tuple[ir.Value, ir.Value, ir.Value]:
    """The reduction of x: n as integers whose last two bits are right, r, and the rounding error of r."""
    b = v.builder
    near = _reduced_near(v, x)
    size = v.magnitude(x)
    far = b.and_(_holds(v, ">", size, _FAR), _holds(v, "<", size, math.inf))
    any_far = b.icmp_unsigned("!=", b.bitcast(far, ir.IntType(v.type.count)), ir.Constant(ir.IntType(v.type.count), 0))
    before, rare, after = b.block, b.append_basic_block(RARE), b.append_basic_block("reduced")
    b.cbranch(any_far, rare, after)
    b.position_at_end(rare)
    chosen = [b.select(far, *pair) for pair in zip(_reduced_far(v, x, far, precision), near, strict=True)]
    b.branch(after)
    b.position_at_end(after)
    merged = []
    for usual, other in zip(near, chosen, strict=True):
        phi = b.phi(usual.type)
        phi.add_incoming(usual, before)
        phi.add_incoming(other, rare)
        merged.append(phi)
    return merged[0], merged[1], merged[2]


def _holds(v: Arithmetic, operator: str, x: ir.Value, bound: float) -> ir.Value:
    return v.strict(v.builder.fcmp_ordered(operator, x, v.constant(bound)))


def _reduced_near(v: Arithmetic, x: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
    """The reduction of x up to _FAR, by three constants. The first two products and the first difference are exact."""
    first, second, third = _quarter_turn()
    raised = v.multiply_add(x, v.constant(2.0 / math.pi), v.constant(_MAGIC))
    n = v.subtract(raised, v.constant(_MAGIC))
    whole = v.multiply_add(n, v.constant(-first), x)
    less = v.multiply(n, v.constant(second))
    r = v.subtract(whole, less)
    lost = v.subtract(v.subtract(whole, r), less)
    rest = v.multiply_add(n, v.constant(-third), lost)
    total = v.add(r, rest)
    return v.bits(raised), total, v.add(v.subtract(r, total), rest)


def _reduced_far(
    v: Arithmetic, x: ir.Value, far: ir.Value, precision: FloatFormat
) -> tuple[ir.Value, ir.Value, ir.Value]:
    """The reduction of any x, by the table.

    |x|·2/π mod 4 is the sum of four products, of which those with the heads of the table's entries are exact.
    """
    b = v.builder
    bits = v.bits(v.magnitude(x))
    exponent = b.sub(b.lshr(bits, v.integer(52)), v.integer(DOUBLE.bias + 52 + _LEAST_EXPONENT))
    place = b.select(far, exponent, v.integer(0))
    mantissa = b.or_(b.and_(bits, v.integer((1 << 52) - 1)), v.integer(1 << 52))
    parts = (
        (b.and_(mantissa, v.integer((1 << _LOW_BITS) - 1)), place),
        (b.lshr(mantissa, v.integer(_LOW_BITS)), b.add(place, v.integer(_LOW_BITS))),
    )
    heads, rests = [], []
    for whole, where in parts:
        # A whole number below 2^52, put into the low bits of the float 2^52.
        number = v.subtract(v.from_bits(b.or_(whole, v.bits(v.constant(2.0**52)))), v.constant(2.0**52))
        head, rest = _looked_up(v, where, precision)
        product = v.multiply(number, head)
        turns = v.subtract(v.add(product, v.constant(_MAGIC_OF_TURNS)), v.constant(_MAGIC_OF_TURNS))
        heads.append(v.subtract(product, turns))
        rests.append(v.multiply(number, rest))
    head, rest = v.add(*heads), v.add(*rests)
    raised = v.add(v.add(head, rest), v.constant(_MAGIC))
    fraction = v.add(v.subtract(head, v.subtract(raised, v.constant(_MAGIC))), rest)
    return _signed(v, x, v.bits(raised), v.multiply(fraction, v.constant(0.5 * math.pi)))


def _signed(v: Arithmetic, x: ir.Value, n: ir.Value, r: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
    """The reduction of x, made from that of |x|."""
    b = v.builder
    negative = _holds(v, "<", x, 0.0)
    return b.select(negative, b.sub(v.integer(0), n), n), b.select(negative, v.negate(r), r), v.constant(0.0)


def _looked_up(v: Arithmetic, places: ir.Value, precision: FloatFormat) -> tuple[ir.Value, ir.Value]:
    """The heads and the rests of the table's entries at these places."""
    b, number = v.builder, ir.IntType(32)
    largest = precision.bias - 52 + _LOW_BITS
    found = []
    for name, values in zip(("heads", "rests"), _turns(largest - _LEAST_EXPONENT + 1), strict=True):
        table = _table(b.module, f"nm.turns.{name}.{len(values)}", values)
        vector = ir.Constant(v.type, ir.Undefined)
        for element in range(v.type.count):
            place = b.extract_element(places, ir.Constant(number, element))
            value = b.load(b.gep(table, [ir.Constant(ir.IntType(64), 0), place]))
            vector = b.insert_element(vector, value, ir.Constant(number, element))
        found.append(vector)
    return found[0], found[1]


def _table(module: ir.Module, name: str, values: tuple[float, ...]) -> ir.GlobalVariable:
    """The module's internal constant array of that name; made if the module has none."""
    known = module.globals.get(name)
    if known is not None:
        return known
    kind = ir.ArrayType(DOUBLE.element, len(values))
    made = ir.GlobalVariable(module, kind, name)
    made.linkage, made.global_constant = "internal", True
    made.initializer = ir.Constant(kind, values)
    return made
