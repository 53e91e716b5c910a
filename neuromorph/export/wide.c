/* What sines and the normal distribution compute in double for both types. A line with @ begins a part: its name, and the parts that it needs. */

/*@ wide_fma */
#if defined(__FP_FAST_FMA) || defined(__FMA__) || defined(__aarch64__)
#define NET_WIDE_FUSED 1
#else
#define NET_WIDE_FUSED 0
#endif

static inline double net_wide_fma(double a, double b, double c)
{
#if NET_WIDE_FUSED
    return __builtin_fma(a, b, c);
#else
    return a * b + c;
#endif
}

/*@ wide_bits */
#ifdef __FAST_MATH__
#error "compile without -ffast-math: the functions need additions that are rounded as they are written"
#endif

typedef unsigned long long net_wide_word;

/* A double and its bits. The type after it has no legal size where the two are not of one size. */
union net_wide_bits {
    double value;
    net_wide_word bits;
};

typedef char net_wide_bits_are_of_one_size[sizeof(double) == 8 && sizeof(net_wide_word) == 8 ? 1 : -1];

/*@ wide_power needs wide_fma wide_bits */
/* factor times e to the x + rest, for x <= 0 and a tiny rest. */
static inline double net_wide_power(double x, double rest, double factor)
{
    const double v = x < -746.0 ? -746.0 : x;
    union net_wide_bits raised, scale;
    double n, r;
    raised.value = net_wide_fma(v, 1.4426950408889634, 6755399441055744.0);
    n = raised.value - 6755399441055744.0;
    r = net_wide_fma(n, -1.9082149292705877e-10, net_wide_fma(n, -0.6931471803691238, v)) + rest;
    scale.bits = (raised.bits << 52) + 0x4350000000000000ull;
    {
        const double square = r * r;
        const double fourth = square * square;
        const double terms = net_wide_fma(net_wide_fma(net_wide_fma(net_wide_fma(2.5113145017929326e-08, r,
            2.762545748893768e-07), square, net_wide_fma(2.755723221787287e-06, r, 2.4801506955032026e-05)),
            square, net_wide_fma(0.00019841269898175713, r, 0.0013888888929899006)), fourth,
            net_wide_fma(net_wide_fma(0.00833333333331687, r, 0.04166666666658316), square,
            net_wide_fma(0.16666666666666682, r, 0.5000000000000004)));
        return net_wide_fma(net_wide_fma(terms, square, r), factor, factor) * scale.value * 5.551115123125783e-17;
    }
}

/*@ wide_rest needs wide_fma wide_bits */
/* The rounding error of a square: x * x - square. */
static inline double net_wide_rest(double x, double square)
{
#if NET_WIDE_FUSED
    return net_wide_fma(x, x, -square);
#else
    union net_wide_bits head;
    double tail;
    head.value = x;
    head.bits &= 0xFFFFFFFFF8000000ull;
    tail = x - head.value;
    return head.value * head.value - square + head.value * tail * 2.0 + tail * tail;
#endif
}

/*@ wide_reduced needs wide_fma wide_bits */
/* 2 / pi in words of 32 bits, after two words of zeros. */
static const unsigned int net_two_over_pi[40] = {
    0x00000000u, 0x00000000u, 0xA2F9836Eu, 0x4E441529u, 0xFC2757D1u, 0xF534DDC0u, 0xDB629599u, 0x3C439041u,
    0xFE5163ABu, 0xDEBBC561u, 0xB7246E3Au, 0x424DD2E0u, 0x06492EEAu, 0x09D1921Cu, 0xFE1DEB1Cu, 0xB129A73Eu,
    0xE88235F5u, 0x2EBB4484u, 0xE99C7026u, 0xB45F7E41u, 0x3991D639u, 0x835339F4u, 0x9C845F8Bu, 0xBDF9283Bu,
    0x1FF897FFu, 0xDE05980Fu, 0xEF2F118Bu, 0x5A0A6D1Fu, 0x6D367ECFu, 0x27CB09B7u, 0x4F463F66u, 0x9E5FEA2Du,
    0x7527BAC7u, 0xEBE5F17Bu, 0x3D0739F7u, 0x8A5292EAu, 0x6BFB5FB1u, 0x1F8D5D08u, 0x56033046u, 0xFC7B6BABu
};

/* The reduction of a large x (Payne and Hanek): the whole number m of x = m 2^e times the bits of 2 / pi that count. */
static inline unsigned int net_wide_far(double x, double *r)
{
    unsigned int parts[5], window[5], quarters;
    net_wide_word carry, low, high;
    union net_wide_bits number;
    int k, first, shift, negative;
    number.value = x < 0.0 ? -x : x;
    first = (int)(number.bits >> 52) - 1075 - 2 + 64;
    shift = first % 32;
    number.bits = (number.bits & 0x000FFFFFFFFFFFFFull) | 0x0010000000000000ull;
    for (k = 0; k < 5; k++) {
        const unsigned int *word = net_two_over_pi + first / 32 + k;
        window[k] = shift ? (word[0] << shift) | (word[1] >> (32 - shift)) : word[0];
    }
    low = number.bits & 0xFFFFFFFFull;
    high = number.bits >> 32;
    for (k = 0, carry = 0; k < 5; k++) {
        carry += low * window[4 - k];
        parts[k] = (unsigned int)(carry & 0xFFFFFFFFull);
        carry >>= 32;
    }
    for (k = 0, carry = 0; k < 4; k++) {
        carry += high * window[4 - k] + parts[k + 1];
        parts[k + 1] = (unsigned int)(carry & 0xFFFFFFFFull);
        carry >>= 32;
    }
    quarters = parts[4] >> 30;
    parts[4] &= 0x3FFFFFFFu;
    negative = parts[4] >> 29 != 0u;
    for (k = 0, carry = 1; negative && k < 5; k++) {
        carry += parts[k] ^ 0xFFFFFFFFu;
        parts[k] = (unsigned int)(carry & 0xFFFFFFFFull);
        carry >>= 32;
    }
    parts[4] &= 0x3FFFFFFFu;
    for (k = 0, *r = 0.0; k < 5; k++) {
        *r = *r * 2.3283064365386963e-10 + (double)parts[k];
    }
    *r *= 1.4629180792671596e-09;
    quarters += (unsigned int)negative;
    *r = negative != (x < 0.0) ? -*r : *r;
    return x < 0.0 ? 0u - quarters : quarters;
}

/* x = n pi / 2 + r + rest: the last bits of n. Up to a million by three constants (Cody and Waite). */
static inline unsigned int net_wide_reduced(double x, double *r, double *rest)
{
    union net_wide_bits raised;
    double n, whole, less, near, lost;
    *rest = 0.0;
    if (x - x != 0.0) {
        *r = x - x;
        return 0u;
    }
    if (x > 1000000.0 || x < -1000000.0) {
        return net_wide_far(x, r);
    }
    raised.value = net_wide_fma(x, 0.6366197723675814, 6755399441055744.0);
    n = raised.value - 6755399441055744.0;
    whole = net_wide_fma(n, -1.5707963267341256, x);
    less = n * 6.07710050359346e-11;
    near = whole - less;
    lost = net_wide_fma(n, -2.912732056093356e-20, whole - near - less);
    *r = near + lost;
    *rest = near - *r + lost;
    return (unsigned int)(raised.bits & 3u);
}
