/* Mathematics of double for exported models. A line with @ begins a part: its name, and the parts that it needs. */

/*@ fma */
#if defined(__FP_FAST_FMA) || defined(__FMA__) || defined(__aarch64__)
#define NET_FUSED 1
#else
#define NET_FUSED 0
#endif

/* a * b + c, rounded once where the processor has an instruction for it. */
static inline double net_fma(double a, double b, double c)
{
#if NET_FUSED
    return __builtin_fma(a, b, c);
#else
    return a * b + c;
#endif
}

/*@ restrict */
#if defined(__GNUC__) || defined(_MSC_VER)
#define NET_RESTRICT __restrict
#elif defined(__cplusplus)
#define NET_RESTRICT
#else
#define NET_RESTRICT restrict
#endif

/*@ multiply needs fma restrict */
/* Adds to the sums what comes in times a weight: so many rows, one for each x, and so many columns. */
static inline void net_multiply(int rows, int columns, const double *NET_RESTRICT x, const double *NET_RESTRICT weight,
                                double *NET_RESTRICT sums)
{
    const int whole = rows - rows % 4;
    for (int i = 0; i < whole; i += 4) {
        const double *row = weight + i * columns;
        for (int j = 0; j < columns; j++) {
            double sum = sums[j];
            sum = net_fma(x[i], row[j], sum);
            sum = net_fma(x[i + 1], row[columns + j], sum);
            sum = net_fma(x[i + 2], row[2 * columns + j], sum);
            sum = net_fma(x[i + 3], row[3 * columns + j], sum);
            sums[j] = sum;
        }
    }
    for (int i = whole; i < rows; i++) {
        for (int j = 0; j < columns; j++) {
            sums[j] = net_fma(x[i], weight[i * columns + j], sums[j]);
        }
    }
}

/*@ multiply_few needs fma restrict */
/* The same for few columns, each of which stands in one piece: eight sums go side by side over what comes in. */
static inline void net_multiply_few(int rows, int columns, const double *NET_RESTRICT x, const double *NET_RESTRICT weight,
                                    double *NET_RESTRICT sums)
{
    const int whole = rows - rows % 8;
    for (int j = 0; j < columns; j++) {
        const double *column = weight + j * rows;
        double part[8] = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0};
        for (int i = 0; i < whole; i += 8) {
            for (int k = 0; k < 8; k++) {
                part[k] = net_fma(x[i + k], column[i + k], part[k]);
            }
        }
        for (int k = 0; k < rows % 8; k++) {
            part[k] = net_fma(x[whole + k], column[whole + k], part[k]);
        }
        sums[j] += ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]));
    }
}

/*@ abs */
static inline double net_abs(double x)
{
    return x > 0.0 ? x : 0.0 - x;
}

/*@ max */
/* The larger number; NaN where one is NaN. */
static inline double net_max(double a, double b)
{
    return a > b || a != a ? a : b;
}

/*@ min */
/* The smaller number; NaN where one is NaN. */
static inline double net_min(double a, double b)
{
    return a < b || a != a ? a : b;
}

/*@ bits */
#ifdef __FAST_MATH__
#error "compile without -ffast-math: exp and tanh need additions that are rounded as they are written"
#endif

typedef unsigned long long net_word;

/* A number and its bits. The type after it has no legal size where the two are not of one size. */
union net_bits {
    double value;
    net_word bits;
};

typedef char net_bits_are_of_one_size[sizeof(double) == 8 && sizeof(net_word) == 8 ? 1 : -1];

/*@ power needs fma bits */
/* x = n ln 2 + r with a whole n and |r| <= ln(2) / 2; n goes to the place of an exponent. */
static inline double net_reduced(double x, net_word *exponent)
{
    union net_bits raised;
    double n;
    raised.value = net_fma(x, 1.4426950408889634, 6755399441055744.0);
    n = raised.value - 6755399441055744.0;
    *exponent = raised.bits << 52;
    return net_fma(n, -1.9082149292705877e-10, net_fma(n, -0.6931471803691238, x));
}

/*@ exp needs power */
/* e to the x. */
static inline double net_exp(double x)
{
    const double low = x > 710.0 ? 710.0 : x;
    const double v = low < -746.0 ? -746.0 : low;
    net_word exponent;
    const double r = net_reduced(v, &exponent);
    const double square = r * r;
    const double fourth = square * square;
    const double terms = net_fma(net_fma(net_fma(net_fma(2.5113145017929326e-08, r, 2.762545748893768e-07),
        square, net_fma(2.755723221787287e-06, r, 2.4801506955032026e-05)), square,
        net_fma(0.00019841269898175713, r, 0.0013888888929899006)), fourth,
        net_fma(net_fma(0.00833333333331687, r, 0.04166666666658316), square, net_fma(0.16666666666666682, r,
        0.5000000000000004)));
    const double grown = net_fma(terms, square, r);
    union net_bits scale;
    scale.bits = exponent + (v < 0.0 ? 0x4350000000000000ull : 0x3FE0000000000000ull);
    return net_fma(grown, scale.value, scale.value) * (v < 0.0 ? 5.551115123125783e-17 : 2.0);
}

/*@ sigmoid needs power */
/* 1 / (1 + e to the -x). */
static inline double net_sigmoid(double x)
{
    const double low = x > 40.0 ? 40.0 : x;
    const double v = low < -746.0 ? -746.0 : low;
    net_word exponent;
    const double r = net_reduced(v, &exponent);
    const double z = r * r;
    const double square = z * z;
    const double even = net_fma(net_fma(net_fma(4.138329637260985e-08, z, -1.6533908538436508e-06), square,
        net_fma(6.613756328733623e-05, z, -0.0027777777777049754)), square, net_fma(0.16666666666666607, z,
        2.0));
    const double upper = even + r;
    union net_bits lifted;
    lifted.bits = exponent + 0x4350000000000000ull;
    return lifted.value * upper / net_fma(lifted.value * 5.551115123125783e-17, upper, even - r) * 5.551115123125783e-17;
}

/*@ tanh needs fma bits */
/* tanh(a + h) = (tanh a + tanh h) / (1 + tanh a tanh h), with a = n ln(2) / 2 and tanh h = h / (h coth h). */
static inline double net_tanh(double x)
{
    const double low = x > 20.0 ? 20.0 : x;
    const double v = low < -20.0 ? -20.0 : low;
    union net_bits raised, power;
    double n, h, z, beyond, more, less;
    raised.value = net_fma(v, 2.8853900817779268, 6755399441055744.0);
    n = raised.value - 6755399441055744.0;
    power.bits = (raised.bits << 52) + 0x3FF0000000000000ull;
    h = net_fma(n, -9.541074646352939e-11, net_fma(n, -0.3465735901845619, v));
    z = h * h;
    more = power.value + 1.0;
    less = 1.0 - power.value;
#if NET_FUSED
    beyond = net_fma(net_fma(net_fma(2.1188247742776243e-05, z, -0.0002116340292919873), (z * z),
        net_fma(0.0021164020251947593, z, -0.022222222221639804)), (z * z), net_fma(0.33333333333333215, z,
        1.0)); /* h coth h */
    return net_fma(-less, beyond, more * h) / net_fma(more, beyond, -(less * h));
#else
    beyond = z * net_fma(net_fma(net_fma(2.1188247742776243e-05, z, -0.0002116340292919873), z,
        0.0021164020251947593), (z * z), net_fma(-0.022222222221639804, z,
        0.33333333333333215)); /* h coth h - 1 */
    return (net_fma(-less, beyond, more * h) - less) / (more + net_fma(more, beyond, -(less * h)));
#endif
}

/*@ log_sum needs fma */
/* k ln 2 + log(1 + f), as 2 artanh(f / (2 + f)). */
static inline double net_log_sum(double k, double f)
{
    const double s = f / (f + 2.0);
    const double z = s * s;
    const double half = f * f * 0.5;
    const double square = z * z;
    const double fourth = square * square;
    const double terms = net_fma(net_fma(net_fma(0.14783628581746808, z, 0.15315368033848498), z,
        0.18183508612172825), fourth, net_fma(net_fma(0.2222219975098874, z, 0.2857142872949286), square,
        net_fma(0.39999999999482144, z, 0.6666666666666722)));
    const double small = net_fma(s, net_fma(z, terms, half), k * 1.9082149292705877e-10);
    return k * 0.6931471803691238 - (half - small - f);
}

/*@ log needs log_sum bits */
/* The natural logarithm, from x = 2^k (1 + f). */
static inline double net_log(double x)
{
    const int tiny = x < 2.2250738585072014e-308;
    union net_bits number, exponent, fraction;
    if (!(x > 0.0)) {
        return x < 0.0 ? (x - x) / (x - x) : x != x ? x : -1.0 / (x * x);
    }
    number.value = tiny ? x * 1.8014398509481984e+16 : x;
    number.bits += 0x00095F619980C433ull;
    exponent.bits = (number.bits >> 52) | 0x4330000000000000ull;
    fraction.bits = (number.bits & 0x000FFFFFFFFFFFFFull) + 0x3FE6A09E667F3BCDull;
    if (x - x != 0.0) {
        return x;
    }
    return net_log_sum(exponent.value - (tiny ? 4503599627371573.0 : 4503599627371519.0), fraction.value - 1.0);
}

/*@ softplus needs exp log_sum abs */
/* log(1 + e to the x). */
static inline double net_softplus(double x)
{
    const double t = net_exp(-net_abs(x));
    const double k = t > 0.41421356237309515 ? 1.0 : 0.0;
    const double f = t > 0.41421356237309515 ? net_fma(t, 0.5, -0.5) : t;
    return (x < 0.0 ? 0.0 : x) + net_log_sum(k, f);
}

/*@ softplus.libm needs exp abs */
/* log(1 + e to the x). */
static inline double net_softplus(double x)
{
    return (x < 0.0 ? 0.0 : x) + log1p(net_exp(-net_abs(x)));
}

/*@ sqrt needs bits */
/* The square root: a guess from the bits, then Heron's method. */
static inline double net_sqrt(double x)
{
    const int tiny = x < 1e-290;
    const double v = tiny ? x * 1.2089258196146292e+24 : x;
    union net_bits guess;
    int k;
    if (!(x > 0.0) || x - x != 0.0) {
        return x < 0.0 ? (x - x) / (x - x) : x;
    }
    guess.value = v;
    guess.bits = (guess.bits >> 1) + 0x1FF7A3BEA91D9B1Bull;
    for (k = 0; k < 4; k++) {
        guess.value = 0.5 * (guess.value + v / guess.value);
    }
    return tiny ? guess.value * 9.094947017729282e-13 : guess.value;
}

/*@ normal_cdf needs wide_power wide_rest */
/* The distribution function of the normal distribution: e to the -a^2 / 2, times P(q) / (a + 4), for a = |x|. */
static inline double net_normal_cdf(double x)
{
    const double wide = x;
    const double size = wide > 0.0 ? wide : 0.0 - wide;
    const double a = size > 38.62641583165593 ? 38.62641583165593 : size;
    const double square_of_a = a * a;
    const double total = a + 4.0;
    const double inverse = 1.0 / total;
    const double lost = inverse * net_wide_fma(inverse, -(a - (total - 4.0)), net_wide_fma(inverse, -total, 1.0));
    const double q = net_wide_fma(lost, -8.0, net_wide_fma(inverse, -8.0, 1.0));
    const double square = q * q;
    const double fourth = square * square;
    const double eighth = fourth * fourth;

        const double terms = net_wide_fma(net_wide_fma(net_wide_fma(net_wide_fma(net_wide_fma(-9.530724404371844e-10,
        q, 1.0324886190309081e-10), q, 1.3906052241594521e-08), fourth,
        net_wide_fma(net_wide_fma(1.4482433818844976e-08, q, -7.639608222487053e-08), square,
        net_wide_fma(-1.5413493560897738e-07, q, 2.6373642948543185e-07))), eighth,
        net_wide_fma(net_wide_fma(net_wide_fma(1.01971037427777e-06, q, -6.251853409518251e-07), square,
        net_wide_fma(-5.918850769309453e-06, q, 7.150333185108325e-07)), fourth,
        net_wide_fma(net_wide_fma(3.514416963028943e-05, q, -1.9078750105005683e-06), square,
        net_wide_fma(-0.00023109481638579587, q, 0.00013334425555736943)))), eighth,
        net_wide_fma(net_wide_fma(net_wide_fma(0.0016308184417018366, q, -0.0034796923624004746), square,
        net_wide_fma(-0.007540188965583387, q, 0.06039657489070762)), fourth,
        net_wide_fma(net_wide_fma(-0.18652185795969436, q, 0.3871374007422187), square,
        net_wide_fma(-0.6078966419718917, q, 0.7552851304157515))));
    const double tail = net_wide_power(-0.5 * square_of_a, -0.5 * net_wide_rest(a, square_of_a), net_wide_fma(terms, lost, terms * inverse));
    return (wide > 0.0 ? 1.0 - tail : tail);
}

/*@ normal_cdf.libm */
/* The distribution function of the normal distribution. */
static inline double net_normal_cdf(double x)
{
    return (0.5 * erfc(-0.7071067811865476 * x));
}

/*@ turned needs wide_fma */
/* The sine of so many quarter turns plus r + rest. */
static inline double net_wide_turned(unsigned int quarters, double r, double rest)
{
    const double z = r * r;
    const double head = 1.0 - 0.5 * z;
    double value;
    const double square = z * z;
    if (quarters & 1u) {
        const double terms = net_wide_fma(net_wide_fma(net_wide_fma(-1.1382623647474604e-11, z,
            2.087614614655861e-09), square, net_wide_fma(-2.7557317271145144e-07, z, 2.480158729876456e-05)),
            square, net_wide_fma(-0.0013888888888887398, z, 0.041666666666666664));
        value = head + ((1.0 - head - 0.5 * z) + (z * z * terms - r * rest));
    } else {
        const double terms = net_wide_fma(net_wide_fma(net_wide_fma(1.5918115263265974e-10, z,
            -2.505113165023518e-08), square, net_wide_fma(2.7557316101617874e-06, z,
            -0.00019841269836756774)), square, net_wide_fma(0.008333333333330948, z, -0.16666666666666666));
        value = r + net_wide_fma(r, z * terms, rest);
    }
    return quarters & 2u ? -value : value;
}

/*@ sin needs turned wide_reduced */
static inline double net_sin(double x)
{
    double r, rest;
    const unsigned int quarters = net_wide_reduced(x, &r, &rest);
    return net_wide_turned(quarters, r, rest);
}

/*@ cos needs turned wide_reduced */
static inline double net_cos(double x)
{
    double r, rest;
    const unsigned int quarters = net_wide_reduced(x, &r, &rest);
    return net_wide_turned(quarters + 1u, r, rest);
}
