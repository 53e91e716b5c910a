"""The two floating-point formats, and the constants of the vector mathematics for each."""

from __future__ import annotations

import math

from llvmlite import ir

from ..host.frozen import frozen


@frozen
class FloatFormat:
    """A floating-point format: its layout, and the constants fitted to its precision.

    `ln2_high` has so few bits that its product with any exponent is exact, also without a fused multiply-add. At
    `exp_*`, `sigmoid_high` and `tanh_high`, a result has become 0, infinity or 1. `deep`, added to an exponent, lifts
    that of the least subnormal into the normal range. `ln2_in_one`: see `_half_ln2_rest`. Sines, cosines and the normal
    distribution are computed in double precision, with as many terms as the format needs.
    """

    element: ir.Type
    integer: ir.Type
    suffix: str
    mantissa_bits: int
    bias: int
    deep: int
    ln2_high: float
    ln2_low: float
    exp_low: float
    exp_high: float
    sigmoid_high: float
    sqrt_half_bits: int
    exp_terms: tuple[float, ...]
    log_terms: tuple[float, ...]
    tanh_high: float
    coth_terms: tuple[float, ...]
    ln2_in_one: bool
    normal_terms: tuple[float, ...]
    sine_terms: tuple[float, ...]
    cosine_terms: tuple[float, ...]

    @property
    def element_bits(self) -> int:
        """The size of a number in bits."""
        return int(self.integer.width)

    @property
    def least_normal(self) -> float:
        return math.ldexp(1.0, 1 - self.bias)

    @property
    def rounding_magic(self) -> float:
        """A number whose addition rounds a small number to a whole one, which is then in the low bits of the sum."""
        return math.ldexp(1.5, self.mantissa_bits)


SINGLE = FloatFormat(
    element=ir.FloatType(),
    integer=ir.IntType(32),
    suffix="f32",
    mantissa_bits=23,
    bias=127,
    deep=24,
    ln2_high=0.693145751953125,
    ln2_low=1.428606765330187e-06,
    exp_low=-104.0,
    exp_high=89.0,
    sigmoid_high=30.0,
    sqrt_half_bits=0x3F3504F3,
    exp_terms=(
        0.5,
        0.1666654646396637,
        0.041666429489851,
        0.008366253226995468,
        0.0013938267948105931,
    ),
    log_terms=(0.6666677594184875, 0.39977559447288513, 0.29871687293052673),
    tanh_high=10.0,
    coth_terms=(2.0, 0.16666625440120697, -0.0027667174581438303),
    ln2_in_one=True,
    normal_terms=(
        0.7552851304762274,
        -0.6078966576216946,
        0.3871373836726699,
        -0.18652131043578904,
        0.06039727022337934,
        -0.007545264997261483,
        -0.003487948375677841,
        0.0016463977209891206,
        0.00016917361605865453,
        -0.00023491174138740825,
        -5.275618326251474e-05,
    ),
    sine_terms=(
        -0.16666666663854168,
        0.008333331874273714,
        -0.000198400864995936,
        2.7249895230611676e-06,
    ),
    cosine_terms=(
        0.041666664658901405,
        -0.0013888302919113633,
        2.4547916853691016e-05,
    ),
)

DOUBLE = FloatFormat(
    element=ir.DoubleType(),
    integer=ir.IntType(64),
    suffix="f64",
    mantissa_bits=52,
    bias=1023,
    deep=54,
    ln2_high=6.93147180369123816490e-01,
    ln2_low=1.90821492927058770002e-10,
    exp_low=-746.0,
    exp_high=710.0,
    sigmoid_high=40.0,
    sqrt_half_bits=0x3FE6A09E667F3BCD,
    exp_terms=(
        0.5000000000000004,
        0.16666666666666682,
        0.04166666666658316,
        0.00833333333331687,
        0.0013888888929899006,
        0.00019841269898175713,
        2.4801506955032026e-05,
        2.755723221787287e-06,
        2.762545748893768e-07,
        2.5113145017929326e-08,
    ),
    log_terms=(
        0.6666666666666722,
        0.39999999999482144,
        0.2857142872949286,
        0.2222219975098874,
        0.18183508612172825,
        0.15315368033848498,
        0.14783628581746808,
    ),
    tanh_high=20.0,
    coth_terms=(
        2.0,
        0.16666666666666607,
        -0.0027777777777049754,
        6.613756328733623e-05,
        -1.6533908538436508e-06,
        4.138329637260985e-08,
    ),
    ln2_in_one=False,
    normal_terms=(
        0.7552851304157515,
        -0.6078966419718917,
        0.3871374007422187,
        -0.18652185795969436,
        0.06039657489070762,
        -0.007540188965583387,
        -0.0034796923624004746,
        0.0016308184417018366,
        0.00013334425555736943,
        -0.00023109481638579587,
        -1.9078750105005683e-06,
        3.514416963028943e-05,
        7.150333185108325e-07,
        -5.918850769309453e-06,
        -6.251853409518251e-07,
        1.01971037427777e-06,
        2.6373642948543185e-07,
        -1.5413493560897738e-07,
        -7.639608222487053e-08,
        1.4482433818844976e-08,
        1.3906052241594521e-08,
        1.0324886190309081e-10,
        -9.530724404371844e-10,
    ),
    sine_terms=(
        -0.16666666666666666,
        0.008333333333330948,
        -0.00019841269836756774,
        2.7557316101617874e-06,
        -2.505113165023518e-08,
        1.5918115263265974e-10,
    ),
    cosine_terms=(
        0.041666666666666664,
        -0.0013888888888887398,
        2.480158729876456e-05,
        -2.7557317271145144e-07,
        2.087614614655861e-09,
        -1.1382623647474604e-11,
    ),
)
