/* Mathematics of float for exported models. A line with @ begins a part: its name, and the parts that it needs. */

/*@ fma */
#if defined(__FP_FAST_FMAF) || defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__aarch64__)
#define NET_FUSED 2
#elif !defined(__OPTIMIZE__)
#define NET_FUSED 1
#else
#define NET_FUSED 0
#endif

/* a * b + c, rounded once where the processor has an instruction for it. Code that is not optimised rounds it once too:
   it computes in double, so that it gives the numbers of the instruction. */
static inline float net_fma(float a, float b, float c)
{
#if NET_FUSED == 2
    return __builtin_fmaf(a, b, c);
#elif NET_FUSED == 1
    return (float)((double)a * (double)b + (double)c);
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
static inline void net_multiply(int rows, int columns, const float *NET_RESTRICT x, const float *NET_RESTRICT weight,
                                float *NET_RESTRICT sums)
{
    const int whole = rows - rows % 4;
    for (int i = 0; i < whole; i += 4) {
        const float *row = weight + i * columns;
        for (int j = 0; j < columns; j++) {
            float sum = sums[j];
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
static inline void net_multiply_few(int rows, int columns, const float *NET_RESTRICT x, const float *NET_RESTRICT weight,
                                    float *NET_RESTRICT sums)
{
    const int whole = rows - rows % 8;
    for (int j = 0; j < columns; j++) {
        const float *column = weight + j * rows;
        float part[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
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
static inline float net_abs(float x)
{
    return x > 0.0f ? x : 0.0f - x;
}

/*@ max */
/* The larger number; NaN where one is NaN. */
static inline float net_max(float a, float b)
{
    return a > b || a != a ? a : b;
}

/*@ min */
/* The smaller number; NaN where one is NaN. */
static inline float net_min(float a, float b)
{
    return a < b || a != a ? a : b;
}

/*@ bits */
#ifdef __FAST_MATH__
#error "compile without -ffast-math: exp and tanh need additions that are rounded as they are written"
#endif

typedef unsigned int net_word;

/* A number and its bits. The type after it has no legal size where the two are not of one size. */
union net_bits {
    float value;
    net_word bits;
};

typedef char net_bits_are_of_one_size[sizeof(float) == 4 && sizeof(net_word) == 4 ? 1 : -1];

/*@ power needs fma bits */
/* x = n ln 2 + r with a whole n and |r| <= ln(2) / 2; n goes to the place of an exponent. */
static inline float net_reduced(float x, net_word *exponent)
{
    union net_bits raised;
    float n;
    raised.value = net_fma(x, 1.442695f, 1.2582912e+07f);
    n = raised.value - 1.2582912e+07f;
    *exponent = raised.bits << 23;
    return net_fma(n, -1.4286068e-06f, net_fma(n, -0.69314575f, x));
}

/*@ exp needs power */
/* e to the x. */
static inline float net_exp(float x)
{
    const float low = x > 89.0f ? 89.0f : x;
    const float v = low < -104.0f ? -104.0f : low;
    net_word exponent;
    const float r = net_reduced(v, &exponent);
    const float square = r * r;
    const float terms = net_fma(net_fma(net_fma(0.0013938268f, r, 0.008366253f), r, 0.04166643f), square,
        net_fma(0.16666546f, r, 0.5f));
    const float grown = net_fma(terms, square, r);
    union net_bits scale;
    scale.bits = exponent + (v < 0.0f ? 0x4B800000u : 0x3F000000u);
    return net_fma(grown, scale.value, scale.value) * (v < 0.0f ? 5.9604645e-08f : 2.0f);
}

/*@ sigmoid needs power */
/* 1 / (1 + e to the -x). */
static inline float net_sigmoid(float x)
{
    const float low = x > 30.0f ? 30.0f : x;
    const float v = low < -104.0f ? -104.0f : low;
    net_word exponent;
    const float r = net_reduced(v, &exponent);
    const float z = r * r;
    const float even = net_fma(net_fma(-0.0027667175f, z, 0.16666625f), z, 2.0f);
    const float upper = even + r;
    union net_bits lifted;
    lifted.bits = exponent + 0x4B800000u;
    return lifted.value * upper / net_fma(lifted.value * 5.9604645e-08f, upper, even - r) * 5.9604645e-08f;
}

/*@ tanh needs fma bits */
/* tanh(a + h) = (tanh a + tanh h) / (1 + tanh a tanh h), with a = n ln(2) / 2 and tanh h = h / (h coth h). */
static inline float net_tanh(float x)
{
    const float low = x > 10.0f ? 10.0f : x;
    const float v = low < -10.0f ? -10.0f : low;
    union net_bits raised, power;
    float n, h, z, beyond, more, less;
    raised.value = net_fma(v, 2.88539f, 1.2582912e+07f);
    n = raised.value - 1.2582912e+07f;
    power.bits = (raised.bits << 23) + 0x3F800000u;
#if NET_FUSED
    h = net_fma(n, -0.3465736f, v);
#else
    h = net_fma(n, -7.143034e-07f, net_fma(n, -0.34657288f, v));
#endif
    z = h * h;
    more = power.value + 1.0f;
    less = 1.0f - power.value;
#if NET_FUSED
    beyond = net_fma(net_fma(-0.02213374f, z, 0.3333325f), z, 1.0f); /* h coth h */
    return net_fma(-less, beyond, more * h) / net_fma(more, beyond, -(less * h));
#else
    beyond = z * net_fma(-0.02213374f, z, 0.3333325f); /* h coth h - 1 */
    return (net_fma(-less, beyond, more * h) - less) / (more + net_fma(more, beyond, -(less * h)));
#endif
}

/*@ log_sum needs fma */
/* k ln 2 + log(1 + f), as 2 artanh(f / (2 + f)). */
static inline float net_log_sum(float k, float f)
{
    const float s = f / (f + 2.0f);
    const float z = s * s;
    const float half = f * f * 0.5f;
    const float terms = net_fma(net_fma(0.29871687f, z, 0.3997756f), z, 0.66666776f);
    const float small = net_fma(s, net_fma(z, terms, half), k * 1.4286068e-06f);
    return k * 0.69314575f - (half - small - f);
}

/*@ log needs log_sum bits */
/* The natural logarithm, from x = 2^k (1 + f). */
static inline float net_log(float x)
{
    const int tiny = x < 1.1754944e-38f;
    union net_bits number, exponent, fraction;
    if (!(x > 0.0f)) {
        return x < 0.0f ? (x - x) / (x - x) : x != x ? x : -1.0f / (x * x);
    }
    number.value = tiny ? x * 3.3554432e+07f : x;
    number.bits += 0x004AFB0Du;
    exponent.bits = (number.bits >> 23) | 0x4B000000u;
    fraction.bits = (number.bits & 0x007FFFFFu) + 0x3F3504F3u;
    if (x - x != 0.0f) {
        return x;
    }
    return net_log_sum(exponent.value - (tiny ? 8.38876e+06f : 8.388735e+06f), fraction.value - 1.0f);
}

/*@ softplus needs exp log_sum abs */
/* log(1 + e to the x). */
static inline float net_softplus(float x)
{
    const float t = net_exp(-net_abs(x));
    const float k = t > 0.41421357f ? 1.0f : 0.0f;
    const float f = t > 0.41421357f ? net_fma(t, 0.5f, -0.5f) : t;
    return (x < 0.0f ? 0.0f : x) + net_log_sum(k, f);
}

/*@ softplus.libm needs exp abs */
/* log(1 + e to the x). */
static inline float net_softplus(float x)
{
    return (x < 0.0f ? 0.0f : x) + log1pf(net_exp(-net_abs(x)));
}

/*@ sqrt needs bits */
/* The square root: a guess from the bits, then Heron's method. */
static inline float net_sqrt(float x)
{
    const int tiny = x < 1e-30f;
    const float v = tiny ? x * 1.0995116e+12f : x;
    union net_bits guess;
    int k;
    if (!(x > 0.0f) || x - x != 0.0f) {
        return x < 0.0f ? (x - x) / (x - x) : x;
    }
    guess.value = v;
    guess.bits = (guess.bits >> 1) + 0x1FBD1DF5u;
    for (k = 0; k < 3; k++) {
        guess.value = 0.5f * (guess.value + v / guess.value);
    }
    return tiny ? guess.value * 9.536743e-07f : guess.value;
}

/*@ normal_cdf needs wide_power */
/* The distribution function of the normal distribution: e to the -a^2 / 2, times P(q) / (a + 4), for a = |x|. */
static inline float net_normal_cdf(float x)
{
    const double wide = (double)x;
    const double size = wide > 0.0 ? wide : 0.0 - wide;
    const double a = size > 14.422205101855956 ? 14.422205101855956 : size;
    const double square_of_a = a * a;
    const double total = a + 4.0;
    const double inverse = 1.0 / total;
    const double lost = inverse * net_wide_fma(inverse, -(a - (total - 4.0)), net_wide_fma(inverse, -total, 1.0));
    const double q = net_wide_fma(lost, -8.0, net_wide_fma(inverse, -8.0, 1.0));
    const double square = q * q;
    const double fourth = square * square;
    const double terms = net_wide_fma(net_wide_fma(net_wide_fma(net_wide_fma(-5.275618326251474e-05, q,
        -0.00023491174138740825), q, 0.00016917361605865453), fourth,
        net_wide_fma(net_wide_fma(0.0016463977209891206, q, -0.003487948375677841), square,
        net_wide_fma(-0.007545264997261483, q, 0.06039727022337934))), fourth,
        net_wide_fma(net_wide_fma(-0.18652131043578904, q, 0.3871373836726699), square,
        net_wide_fma(-0.6078966576216946, q, 0.7552851304762274)));
    const double tail = net_wide_power(-0.5 * square_of_a, 0.0, net_wide_fma(terms, lost, terms * inverse));
    return (float)(wide > 0.0 ? 1.0 - tail : tail);
}

/*@ normal_cdf.libm */
/* The distribution function of the normal distribution. */
static inline float net_normal_cdf(float x)
{
    return (float)(0.5 * erfc(-0.7071067811865476 * (double)x));
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
        const double terms = net_wide_fma(net_wide_fma(2.4547916853691016e-05, z, -0.0013888302919113633), z,
            0.041666664658901405);
        value = head + ((1.0 - head - 0.5 * z) + (z * z * terms - r * rest));
    } else {
        const double terms = net_wide_fma(net_wide_fma(2.7249895230611676e-06, z, -0.000198400864995936),
            square, net_wide_fma(0.008333331874273714, z, -0.16666666663854168));
        value = r + net_wide_fma(r, z * terms, rest);
    }
    return quarters & 2u ? -value : value;
}

/*@ sin needs turned wide_reduced */
static inline float net_sin(float x)
{
    double r, rest;
    const unsigned int quarters = net_wide_reduced((double)x, &r, &rest);
    return (float)net_wide_turned(quarters, r, rest);
}

/*@ cos needs turned wide_reduced */
static inline float net_cos(float x)
{
    double r, rest;
    const unsigned int quarters = net_wide_reduced((double)x, &r, &rest);
    return (float)net_wide_turned(quarters + 1u, r, rest);
}
