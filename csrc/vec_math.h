/* Elementary functions on one vector, for both element types: explicit fma, one algorithm, so the same bits everywhere. */

/* e^r - 1 = r + r^2 (c0 + c1 r + ...) on |r| <= ln 2 / 2: Chebyshev fits to (e^r - 1 - r) / r^2, relative error of e^r 2e-10 and
   2e-21. log(1 + f) = 2 atanh(s), s = f / (2 + f): fits to (2 atanh(s) - 2 s) / s^3 in s^2, 2e-11 and 3e-20. */
#ifndef FASTNN_VEC_MATH_CONSTANTS
#define FASTNN_VEC_MATH_CONSTANTS
#define f32_MANTISSA 23
#define f64_MANTISSA 52
#define f32_MAGIC 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer, left in the low bits */
#define f64_MAGIC 6755399441055744.0 /* 1.5 * 2^52 */
#define f32_LN2_HI 0.693359375f
#define f64_LN2_HI 0.6931471803691238
#define f32_LN2_LO -0.000212194440055f
#define f64_LN2_LO 1.9082149292705878161e-10
#define f32_EXP_LOW -87.33654f /* below it, e^x is subnormal */
#define f64_EXP_LOW -708.3964185322641
#define f32_EXP_HIGH 89.0f /* above it, e^x is infinite */
#define f64_EXP_HIGH 709.9
#define f32_EXP_SAFE 88.0f /* up to it, e^x stays below infinity with room to spare */
#define f64_EXP_SAFE 709.0
#define f32_SMALLEST 1.17549435082e-38f /* normal number */
#define f64_SMALLEST 2.2250738585072014e-308
#define f32_TANH_ONE 10.0f /* from here on tanh rounds to 1 */
#define f64_TANH_ONE 20.0
#define f32_SQRT_HALF_BITS 0x3f3504f3
#define f64_SQRT_HALF_BITS 0x3fe6a09e667f3bcd
#define f32_ONE_BITS 0x3f800000
#define f64_ONE_BITS 0x3ff0000000000000
#define f32_FRACTION 0x007fffff
#define f64_FRACTION 0x000fffffffffffff
#define f32_INTEGER_BITS 0x4b000000 /* 2^23: or-ing a small integer in gives 2^23 + it */
#define f64_INTEGER_BITS 0x4330000000000000
#define f32_INTEGER 8388608.0f
#define f64_INTEGER 4503599627370496.0
static const float f32_EXP[6] = {0.50000000135f,    0.166666666817f,   0.041666464602f,
                                 0.00833331088958f, 0.00139336858626f, 0.000198910306544f};
static const double f64_EXP[12] = {
    0.49999999999999999998,     0.16666666666666666667,   0.041666666666666676814,
    0.0083333333333333340097,   0.0013888888888879042534, 0.0001984126984126327816,
    0.000024801587336526003723, 2.7557319247274562555e-6, 2.7557263189476207401e-7,
    2.5052071034565117597e-8,   2.0918170876658782641e-9, 1.6086650044578211118e-10};
static const float f32_LOG[4] = {0.66666666554f, 0.400001222118f, 0.285507786332f, 0.233316144718f};
static const double f64_LOG[8] = {0.66666666666666666463, 0.40000000000000883236, 0.28571428570799785031,
                                  0.22222222392581045097, 0.18181795547521136235, 0.15386244737621666606,
                                  0.13268638369266823879, 0.1308803485092755383};
/* H = (x + 3/4) e^(x^2/2) (1 - N(x)), N the normal distribution, x >= 0, as 3/8 + (t + 1) (c0 + c1 t + ...), t = (x - 5) / (x + 5):
   relative errors 8e-9 and 4e-17 */
static const float f32_NORMAL[10] = {
    0.0672860012401f,  -0.122973864666f,  0.124987311486f,    -0.0947648653411f,   0.0563940289705f,
    -0.0259998556148f, 0.00862495421442f, -0.00148268016804f, -0.000348069011242f, 0.000182273442375f};
static const double f64_NORMAL[22] = {
    0.067286003606286205676,   -0.12297389662429210454,     0.12498706207875299947,
    -0.094763740377509032723,  0.056398859340252622284,     -0.026008420974040259025,
    0.0085901629322092909339,  -0.0014734511851669127521,   -0.00025750882998955498523,
    0.0002317313050862642385,  -0.000034290342508549417983, -0.00001955803947942314948,
    8.0008734173023491789e-6,  1.3780519014451384523e-6,    -1.2791512177102426944e-6,
    -9.2404304221247737527e-8, 1.9900955080416641194e-7,    1.1020072255386342533e-8,
    -3.0922084783022130444e-8, -3.7607496865673038526e-9,   3.642698310732958594e-9,
    9.7853488540912769419e-10};
#endif

#define ONE v_set1(1)
#define v_abs P(abs)
#define v_sign P(sign)
#define v_minus_abs P(minus_abs)
#define v_exp P(exp)
#define v_expm1_nonpositive P(expm1_nonpositive)
#define v_exp_nonpositive P(exp_nonpositive)
#define v_sigmoid P(sigmoid)
#define v_tanh P(tanh)
#define v_log P(log)
#define v_log1p_unit P(log1p_unit)
#define v_softplus P(softplus)
#define v_normal P(normal)
#define v_inverse_root P(inverse_root)

INLINE vec v_abs(vec x) { return v_andnot(v_set1((REAL)-0.0), x); }
INLINE vec v_minus_abs(vec x) { return v_or(v_set1((REAL)-0.0), x); }
/* -1, 0 or 1 */
INLINE vec v_sign(vec x)
{
    vec one = v_or(ONE, v_and(v_set1((REAL)-0.0), x));
    return v_select(v_eq(x, v_zero()), v_zero(), one);
}

INLINE vec P(pairs)(vec x, vec x2, const REAL *c, int n)
{
    vec p = v_fma(v_set1(c[n - 1]), x, v_set1(c[n - 2]));
#pragma GCC unroll 12
    for (int i = n - 4; i >= 0; i -= 2)
        p = v_fma(p, x2, v_fma(v_set1(c[i + 1]), x, v_set1(c[i])));
    return p;
}

/* x = n ln 2 + r: returns e^r - 1 and 2^n; x must be so that 2^n is a normal number. */
INLINE vec P(expm1_parts)(vec x, vec *power)
{
    vec t = v_fma(x, v_set1((REAL)1.4426950408889634074), v_set1(P(MAGIC)));
    vec n = v_sub(t, v_set1(P(MAGIC)));
    vec r = v_fnma(n, v_set1(P(LN2_LO)), v_fnma(n, v_set1(P(LN2_HI)), x));
    *power = v_from_bits(v_iadd(v_ishl(v_bits(t), P(MANTISSA)), v_iset1(P(ONE_BITS))));
    vec r2 = v_mul(r, r);
    return v_fma(r2, P(pairs)(r, r2, P(EXP), (int)(sizeof P(EXP) / sizeof *P(EXP))), r);
}

/* e^x for x <= 0; 0 where the result would be subnormal. */
INLINE vec v_exp_nonpositive(vec x)
{
    vec power, low = v_set1(P(EXP_LOW));
    vec q = P(expm1_parts)(v_max(low, x), &power);
    return v_select(v_lt(x, low), v_zero(), v_fma(power, q, power));
}

/* e^x; infinity and 0 where the result would be beyond the normal numbers. 2^n may be beyond them where e^x is not: above zero its half
   is used. */
INLINE vec v_exp(vec x)
{
    mask above = v_lt(v_zero(), x);
    vec power, low = v_set1(P(EXP_LOW));
    vec q = P(expm1_parts)(v_min(v_set1(P(EXP_HIGH)), v_max(low, x)), &power);
    power = v_select(above, v_from_bits(v_isub(v_bits(power), v_iset1(P(FRACTION) + 1))), power);
    vec e = v_mul(v_fma(power, q, power), v_select(above, v_set1(2), ONE));
    return v_select(v_lt(x, low), v_zero(), e);
}

/* e^x - 1 for x <= 0 */
INLINE vec v_expm1_nonpositive(vec x)
{
    vec power;
    vec q = P(expm1_parts)(v_max(v_set1(-2 * P(TANH_ONE)), x), &power);
    return v_fma(power, q, v_sub(power, ONE));
}

/* n / (d + low), d + low a denominator whose rounding error `low` is known: half an ulp beyond what n and the sum bring along */
INLINE vec P(quotient)(vec n, vec d, vec low)
{
    vec inverse = v_div(ONE, d), q = v_mul(n, inverse);
    vec rest = v_fnma(q, low, v_fnma(q, d, n));
    return v_fma(rest, inverse, q);
}
/* (n + n_low) / (d + low), where that of the numerator is known too */
INLINE vec P(quotient_of_sums)(vec n, vec n_low, vec d, vec low)
{
    vec inverse = v_div(ONE, d), q = v_mul(n, inverse);
    vec rest = v_add(n_low, v_fnma(q, low, v_fnma(q, d, n)));
    return v_fma(rest, inverse, q);
}

/* From e = e^-|x|, so that nothing overflows: 1 / (1 + e), or e / (1 + e) for negative x */
INLINE vec P(sigmoid_from)(vec x, vec e)
{
    vec d = v_add(ONE, e);
    return P(quotient)(v_select(v_lt(x, v_zero()), e, ONE), d, v_sub(e, v_sub(d, ONE)));
}
INLINE vec v_sigmoid(vec x)
{
    return P(sigmoid_from)(x, v_exp_nonpositive(v_or(v_abs(x), v_set1((REAL)-0.0))));
}

/* -m / (m + 2) with m = e^(-2|x|) - 1, which keeps its relative accuracy near zero. The rounding error of m brings float64 to 2.1 units in
   the last place, unless it is carried along; float32 stays below 2 without. */
INLINE vec v_tanh(vec x)
{
    vec sign = v_and(v_set1((REAL)-0.0), x), power;
    vec limited = v_min(v_set1(P(TANH_ONE)), v_abs(x));
    vec q = P(expm1_parts)(v_mul(v_set1(-2), limited), &power);
    vec high = v_sub(power, ONE), m = v_fma(power, q, high);
    vec d = v_add(m, v_set1(2)), low = v_sub(m, v_sub(d, v_set1(2)));
    if (sizeof(REAL) == sizeof(float))
        return v_or(sign, v_abs(P(quotient)(m, d, low)));
    vec m_low = v_fma(power, q, v_sub(high, m));
    return v_or(sign, v_abs(P(quotient_of_sums)(m, m_low, d, v_add(low, m_low))));
}

/* log(1 + f) + k ln 2 for 1 + f in [sqrt(1/2), sqrt 2]:  log(1 + f) = f - (f^2/2 - s (f^2/2 + R(s^2))) */
INLINE vec P(log_core)(vec f, vec k)
{
    vec s = v_div(f, v_add(v_set1(2), f)), s2 = v_mul(s, s), s4 = v_mul(s2, s2);
    vec half = v_mul(v_set1((REAL)0.5), v_mul(f, f));
    vec r = v_mul(s2, P(pairs)(s2, s4, P(LOG), (int)(sizeof P(LOG) / sizeof *P(LOG))));
    vec low = v_fma(s, v_add(half, r), v_mul(k, v_set1(P(LN2_LO))));
    return v_fma(k, v_set1(P(LN2_HI)), v_sub(f, v_sub(half, low)));
}

/* natural logarithm; log 0 = -inf, log of a negative number is NaN */
INLINE vec v_log(vec x)
{
    vec zero = v_zero(), inf = v_div(ONE, zero);
    ivec shifted = v_iadd(v_isub(v_bits(x), v_iset1(P(SQRT_HALF_BITS))), v_iset1(P(ONE_BITS)));
    ivec e = v_ishr(shifted, P(MANTISSA)); /* exponent + bias, positive for x > 0 */
    vec k = v_sub(v_from_bits(v_ior(e, v_iset1(P(INTEGER_BITS)))),
                  v_set1(P(INTEGER) + (REAL)((P(ONE_BITS)) >> P(MANTISSA))));
    vec m = v_from_bits(v_iadd(v_iand(shifted, v_iset1(P(FRACTION))), v_iset1(P(SQRT_HALF_BITS))));
    vec r = P(log_core)(v_sub(m, ONE), k);
    r = v_select(v_lt(x, inf), r, x); /* inf and NaN stay */
    r = v_select(v_lt(x, zero), v_sub(inf, inf), r);
    return v_select(v_eq(x, zero), v_sub(zero, inf), r);
}

/* log(1 + x) for x in [0, 1] */
INLINE vec v_log1p_unit(vec x)
{
    mask small = v_lt(x, v_set1((REAL)0.41421356));
    vec f = v_select(small, x, v_mul(v_set1((REAL)0.5), v_sub(x, ONE)));
    return P(log_core)(f, v_select(small, v_zero(), ONE));
}

/* log(1 + e^x) = max(x, 0) + log(1 + e^-|x|) */
INLINE vec v_softplus(vec x)
{
    return v_add(v_max(v_zero(), x), v_log1p_unit(v_exp_nonpositive(v_minus_abs(x))));
}

/* N(x), the normal distribution, and e^(-x^2/2) (OUT); |x| at most 40. The square's rounding error matters: e^x turns it into a
   relative one. So does that of u + 3/4. */
INLINE vec v_normal(vec x, vec *density)
{
    vec half = v_set1((REAL)0.5), five = v_set1(5), c = v_set1((REAL)0.75);
    vec u = v_abs(x), square = v_mul(x, x), low = v_fma(x, x, v_sub(v_zero(), square));
    vec power, least = v_set1(P(EXP_LOW)), exponent = v_mul(v_set1((REAL)-0.5), square);
    vec q = P(expm1_parts)(v_max(least, exponent), &power);
    q = v_fnma(v_mul(half, low), v_add(ONE, q), q);
    vec e = v_select(v_lt(exponent, least), v_zero(), v_fma(power, q, power));
    *density = e;
    vec inverse = v_div(ONE, v_add(u, five)), t = v_mul(v_sub(u, five), inverse);
    vec g = P(pairs)(t, v_mul(t, t), P(NORMAL), (int)(sizeof P(NORMAL) / sizeof *P(NORMAL)));
    vec h = v_fma(v_mul(v_add(u, u), inverse), g, v_set1((REAL)0.375));
    vec d = v_add(u, c), grown = v_sub(d, u), rest = v_add(v_sub(u, v_sub(d, grown)), v_sub(c, grown));
    vec tail = P(quotient)(v_mul(e, h), d, rest);
    return v_select(v_lt(x, v_zero()), tail, v_sub(ONE, tail));
}

/* x^p for x, p >= 0 as e^(p log x); 0^0 = 1. Relative error: |p log x| + 2 roundings; beyond e^EXP_SAFE it stays there. */
INLINE vec P(power)(vec x, vec p)
{
    vec low = v_set1(P(EXP_LOW)), smallest = v_set1(P(SMALLEST)), scale;
    vec z = v_mul(p, v_log(v_max(smallest, x)));
    vec q = P(expm1_parts)(v_max(low, v_min(v_set1(P(EXP_SAFE)), z)), &scale);
    vec found = v_select(v_lt(z, low), v_zero(), v_fma(scale, q, scale));
    return v_select(v_lt(x, smallest), v_select(v_eq(p, v_zero()), ONE, v_zero()), found);
}

/* 1 / (sqrt(v) + epsilon) */
INLINE vec v_inverse_root(vec v, vec epsilon) { return v_div(ONE, v_add(v_sqrt(v), epsilon)); }
