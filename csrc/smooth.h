/* What takes more than a line of activations.def. Every input has an answer: minus infinity gives the limit (where a formula says
   0 * infinity, the input is bounded first, beyond where the other factor is 0), NaN stays NaN. */

#ifndef FASTNN_SMOOTH_CONSTANTS
#define FASTNN_SMOOTH_CONSTANTS
#include <float.h>
#define f32_LARGEST FLT_MAX
#define f64_LARGEST DBL_MAX
#define f32_ROOT_LARGEST 1e19f /* its square is finite, and so much more than any sensible summand */
#define f64_ROOT_LARGEST 1e154
#endif

#define v_minus P(minus)
#define v_square P(square)
#define v_bounded P(bounded)
#define v_inside P(inside)
#define v_nonzero P(nonzero)
#define v_or_nan P(or_nan)
#define v_relu_general P(relu_general_of)
#define v_relu_general_slope P(relu_general_slope)
#define v_gelu P(gelu_of)
#define v_gelu_slope P(gelu_slope)
#define v_gelu_tanh P(gelu_tanh_of)
#define v_gelu_tanh_slope P(gelu_tanh_slope)
#define v_silu P(silu_of)
#define v_silu_slope P(silu_slope)
#define v_mish P(mish_of)
#define v_mish_slope P(mish_slope)
#define v_softsign P(softsign_of)
#define v_squareplus P(squareplus_of)
#define v_squareplus_slope P(squareplus_slope)
#define v_hard_sigmoid P(hard_sigmoid_of)
#define v_hard_silu_slope P(hard_silu_slope)
#define v_sparse_sigmoid P(sparse_sigmoid_of)

/* Klambauer et al., "Self-normalizing neural networks", 2017 */
#define SELU_SCALE v_set1((REAL)1.0507009873554804934)
#define SELU_BOTH v_set1((REAL)1.7580993408473768600) /* scale * alpha, alpha = 1.6732632423543772848 */

INLINE vec v_minus(vec x) { return v_xor(v_set1((REAL)-0.0), x); }
INLINE vec v_square(vec x) { return v_mul(x, x); }
INLINE vec v_bounded(vec x, vec most) { return v_min(most, v_max(v_minus(most), x)); }
/* 1 where low < x < high, else 0 */
INLINE vec v_inside(vec x, vec low, vec high)
{
    return v_select(v_lt(low, x), v_select(v_lt(x, high), ONE, v_zero()), v_zero());
}
INLINE vec v_nonzero(vec x) { return v_select(v_eq(x, v_zero()), v_zero(), ONE); }
/* value, but NaN where x is */
INLINE vec v_or_nan(vec value, vec x) { return v_select(v_eq(x, x), value, x); }

/* Above the threshold z between two bounds, else slope * (z - threshold). In the derivative all bounds are open. */
INLINE vec v_relu_general(vec z, vec slope, vec low, vec high, vec threshold)
{
    vec below = v_mul(slope, v_max(v_set1(-P(LARGEST)), v_sub(z, threshold)));
    return v_select(v_lt(threshold, z), v_min(high, v_max(low, z)), below);
}
INLINE vec v_relu_general_slope(vec z, vec slope, vec low, vec high, vec threshold)
{
    return v_select(v_lt(threshold, z), v_inside(z, low, high),
                    v_select(v_lt(z, threshold), slope, v_zero()));
}

/* z N(z), N the normal distribution; its derivative N(z) + z N'(z) */
INLINE vec v_gelu(vec z)
{
    vec density;
    return v_mul(v_max(v_set1(-40), z), v_normal(v_bounded(z, v_set1(40)), &density));
}
INLINE vec v_gelu_slope(vec z)
{
    vec x = v_bounded(z, v_set1(40)), density, below = v_normal(x, &density);
    return v_fma(v_mul(x, density), v_set1((REAL)0.39894228040143267794), below);
}

/* sigma(w) and (OUT) its derivative, both without cancellation: e / (1 + e)^2 with e = e^-|w| */
INLINE vec P(sigmoid_and_slope)(vec w, vec *slope)
{
    vec e = v_exp_nonpositive(v_minus_abs(w)), inverse = v_div(ONE, v_add(ONE, e)), small = v_mul(e, inverse);
    *slope = v_mul(small, inverse);
    return v_select(v_lt(w, v_zero()), small, inverse);
}

/* z sigma(z); its derivative sigma(z) + z sigma'(z) */
INLINE vec v_silu(vec z) { return v_mul(v_max(v_set1(P(EXP_LOW)), z), v_sigmoid(z)); }
INLINE vec v_silu_slope(vec z)
{
    vec x = v_bounded(z, v_set1(-P(EXP_LOW))), slope, s = P(sigmoid_and_slope)(x, &slope);
    return v_fma(x, slope, s);
}

/* z (1 + tanh u) / 2 = z sigma(2 u), u = sqrt(2 / pi) (z + 0.044715 z^3) */
#define GELU_LINEAR v_set1((REAL)1.5957691216057307118)
#define GELU_CUBIC v_set1((REAL)0.071354816272600248777)
INLINE vec v_gelu_tanh(vec z)
{
    vec w = v_mul(z, v_fma(GELU_CUBIC, v_square(z), GELU_LINEAR));
    return v_mul(v_max(v_set1(-32), z), v_sigmoid(w));
}
INLINE vec v_gelu_tanh_slope(vec z)
{
    vec x = v_bounded(z, v_set1(32)), x2 = v_square(x), slope;
    vec s = P(sigmoid_and_slope)(v_mul(x, v_fma(GELU_CUBIC, x2, GELU_LINEAR)), &slope);
    vec inner = v_fma(v_mul(v_set1(3), GELU_CUBIC), x2, GELU_LINEAR);
    return v_fma(v_mul(x, inner), slope, s);
}

/* z tanh(log(1 + e^z)) = z n / d: for z < 0, n = e (e + 2), d = n + 2 with e = e^z; else n = 1 + 2 e, d = n + 2 e^2 with e = e^-z.
   The derivative is n / d + 4 z e (1 + e) / d^2, times e again in the latter case. */
INLINE vec P(mish_parts)(vec z, vec *e, vec *d)
{
    mask negative = v_lt(z, v_zero());
    vec x = v_exp_nonpositive(v_minus_abs(z)), two = v_set1(2);
    vec n = v_select(negative, v_fma(x, x, v_add(x, x)), v_fma(two, x, ONE));
    *e = x;
    *d = v_select(negative, v_add(n, two), v_fma(v_mul(two, x), x, n));
    return n;
}
INLINE vec v_mish(vec z)
{
    vec e, d, n = P(mish_parts)(z, &e, &d);
    vec low = v_select(v_lt(z, v_zero()), v_sub(n, v_sub(d, v_set1(2))), v_zero());
    return v_mul(v_max(v_set1(P(EXP_LOW)), z), P(quotient)(n, d, low));
}
INLINE vec v_mish_slope(vec z)
{
    vec x = v_bounded(z, v_set1(-P(EXP_LOW))), e, d, n = P(mish_parts)(x, &e, &d), inverse = v_div(ONE, d);
    vec top = v_mul(v_mul(v_set1(4), e), v_select(v_lt(x, v_zero()), v_add(ONE, e), v_mul(e, v_add(ONE, e))));
    return v_fma(v_mul(x, top), v_square(inverse), v_mul(n, inverse));
}

INLINE vec v_softsign(vec z)
{
    vec x = v_bounded(z, v_set1(P(ROOT_LARGEST)));
    return v_div(x, v_add(ONE, v_abs(x)));
}

/* (z + s) / 2, s = sqrt(z^2 + b); for z < 0, where that cancels, b / (2 (s - z)). In its value a, the derivative is
   a / (a + b / (4 a)). */
INLINE vec v_squareplus(vec z, vec b)
{
    vec u = v_abs(z), half = v_set1((REAL)0.5);
    vec s = v_select(v_lt(v_set1(P(ROOT_LARGEST)), u), u, v_sqrt(v_fma(z, z, b)));
    vec sum = v_fma(half, u, v_mul(half, s));
    return v_select(v_lt(z, v_zero()), v_div(v_mul(v_set1((REAL)0.25), b), sum), sum);
}
INLINE vec v_squareplus_slope(vec a, vec b)
{
    return v_div(ONE, v_add(ONE, v_div(v_mul(v_set1((REAL)0.25), b), v_square(a))));
}

INLINE vec v_hard_sigmoid(vec z)
{
    vec six = v_set1(6);
    return v_div(v_min(six, v_max(v_zero(), v_add(z, v_set1(3)))), six);
}
INLINE vec v_hard_silu_slope(vec z)
{
    vec three = v_set1(3), x = v_bounded(z, three);
    return v_fma(v_mul(x, v_set1((REAL)(1.0 / 6))), v_inside(v_add(z, three), v_zero(), v_set1(6)),
                 v_hard_sigmoid(z));
}
INLINE vec v_sparse_sigmoid(vec z)
{
    return v_mul(v_set1((REAL)0.5), v_min(v_set1(2), v_max(v_zero(), v_add(z, ONE))));
}
