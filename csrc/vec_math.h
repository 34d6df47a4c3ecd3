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
#endif

#define ONE v_set1(1)
#define v_abs P(abs)
#define v_sign P(sign)
#define v_exp_nonpositive P(exp_nonpositive)
#define v_sigmoid P(sigmoid)
#define v_tanh P(tanh)
#define v_log P(log)
#define v_log1p_unit P(log1p_unit)
#define v_inverse_root P(inverse_root)

INLINE vec v_abs(vec x) { return v_andnot(v_set1((REAL)-0.0), x); }
/* -1, 0 or 1 */
INLINE vec v_sign(vec x)
{
    vec one = v_or(ONE, v_and(v_set1((REAL)-0.0), x));
    return v_select(v_eq(x, v_zero()), v_zero(), one);
}

INLINE vec P(pairs)(vec x, vec x2, const REAL *c, int n)
{
    vec p = v_fma(v_set1(c[n - 1]), x, v_set1(c[n - 2]));
#pragma GCC unroll 6
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

/* n / (d + low), d + low a denominator whose rounding error `low` is known: half an ulp beyond what n and the sum bring along */
INLINE vec P(quotient)(vec n, vec d, vec low)
{
    vec inverse = v_div(ONE, d), q = v_mul(n, inverse);
    vec rest = v_fnma(q, low, v_fnma(q, d, n));
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

/* -m / (m + 2) with m = e^(-2|x|) - 1, which keeps its relative accuracy near zero */
INLINE vec v_tanh(vec x)
{
    vec sign = v_and(v_set1((REAL)-0.0), x), power;
    vec limited = v_min(v_set1(P(TANH_ONE)), v_abs(x));
    vec q = P(expm1_parts)(v_mul(v_set1(-2), limited), &power);
    vec m = v_fma(power, q, v_sub(power, ONE)), d = v_add(m, v_set1(2));
    return v_or(sign, v_abs(P(quotient)(m, d, v_sub(m, v_sub(d, v_set1(2))))));
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

/* 1 / (sqrt(v) + epsilon) */
INLINE vec v_inverse_root(vec v, vec epsilon) { return v_div(ONE, v_add(v_sqrt(v), epsilon)); }
