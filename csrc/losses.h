/* Losses of rows and their derivatives, on columns: lanes are rows, sums over units run in the order of the units.
   Formulas and clipping as in Keras 3 (keras.losses); 1e-7 is its epsilon. Here: what each output adds by itself. */

#define EPSILON v_set1((REAL)1e-7)
#define ONE_MINUS_EPSILON v_set1((REAL)(1 - 1e-7))
#define v_bce P(bce)
#define v_bce_slope P(bce_slope)
#define v_bce_logits P(bce_logits)
#define v_percent P(percent)
#define v_log_ratio P(log_ratio)
#define v_log_ratio_slope P(log_ratio_slope)
#define v_huber P(huber_of)
#define v_log_cosh P(log_cosh_of)
#define v_kl P(kl)
#define v_kl_slope P(kl_slope)
#define v_margin P(margin)
#define v_focal P(focal)
#define v_focal_slope P(focal_slope)
#define v_focal_logits P(focal_logits)
#define v_focal_logits_slope P(focal_logits_slope)
#define SIDE(y) v_select(v_eq(y, v_zero()), v_set1(-1), y) /* labels 0 and 1 are -1 and 1 */
#define NEAR_ZERO(z) v_exp_nonpositive(v_minus_abs(z)) /* e^-|z|, of which sigmoid and logarithms are made */

INLINE vec P(clip)(vec p) { return v_min(ONE_MINUS_EPSILON, v_max(EPSILON, p)); }
/* 1 where the probability is inside the clipping bounds, else 0: the derivative of clip */
INLINE vec P(clip_slope)(vec p)
{
    return v_select(v_lt(p, EPSILON), v_zero(), v_select(v_lt(ONE_MINUS_EPSILON, p), v_zero(), ONE));
}
INLINE vec v_bce(vec y, vec a)
{
    vec p = P(clip)(a);
    vec miss = v_mul(v_sub(ONE, y), v_log(v_sub(ONE, p)));
    return v_sub(v_zero(), v_fma(y, v_log(p), miss));
}
INLINE vec v_bce_slope(vec y, vec a)
{
    vec p = P(clip)(a);
    return v_mul(P(clip_slope)(a), v_div(v_sub(p, y), v_mul(p, v_sub(ONE, p))));
}
/* max(z, 0) - z y + log(1 + e), e = e^-|z| */
INLINE vec P(bce_near)(vec y, vec z, vec e)
{
    return v_add(v_fnma(z, y, v_max(v_zero(), z)), v_log1p_unit(e));
}
INLINE vec v_bce_logits(vec y, vec z) { return P(bce_near)(y, z, NEAR_ZERO(z)); }

INLINE vec v_percent(vec y) { return v_div(v_set1(100), v_max(EPSILON, v_abs(y))); }
/* log(a + 1) - log(y + 1), both at least epsilon */
INLINE vec v_log_ratio(vec y, vec a)
{
    return v_sub(v_log(v_add(v_max(EPSILON, a), ONE)), v_log(v_add(v_max(EPSILON, y), ONE)));
}
INLINE vec v_log_ratio_slope(vec y, vec a)
{
    vec ratio = v_log_ratio(y, a), slope = v_div(v_add(ratio, ratio), v_add(a, ONE));
    return v_select(v_lt(EPSILON, a), slope, v_zero());
}
/* e^2 / 2 up to |e| = delta, from there on a straight line: c (e - c / 2), c = e within the bounds */
INLINE vec v_huber(vec e, vec delta)
{
    vec c = v_bounded(e, delta);
    return v_mul(c, v_fnma(v_set1((REAL)0.5), c, e));
}
/* |x| + log(1 + e^-2|x|) - log 2. Near 0, where that cancels, log(1 + 2 sinh^2(x / 2)), sinh(u) = -q (q + 2) / (2 (q + 1)) with
   q = e^-u - 1. */
INLINE vec v_log_cosh(vec x)
{
    vec u = v_abs(x), half = v_set1((REAL)0.5), near = v_min(ONE, u);
    vec q = v_expm1_nonpositive(v_mul(v_set1((REAL)-0.5), near));
    vec sinh2 = v_div(v_mul(q, v_add(q, v_set1(2))), v_add(q, ONE)); /* -2 sinh(x / 2) */
    vec far = v_sub(v_add(u, v_log1p_unit(v_exp_nonpositive(v_mul(v_set1(-2), u)))),
                    v_set1((REAL)0.69314718055994530942));
    return v_select(v_lt(u, ONE), v_log1p_unit(v_mul(half, v_square(sinh2))), far);
}
/* y log(y / a), both between epsilon and 1 */
INLINE vec v_kl(vec y, vec a)
{
    vec t = v_min(ONE, v_max(EPSILON, y)), p = v_min(ONE, v_max(EPSILON, a));
    return v_mul(t, v_log(v_div(t, p)));
}
INLINE vec v_kl_slope(vec y, vec a)
{
    vec t = v_min(ONE, v_max(EPSILON, y));
    mask out = v_lt(ONE, a);
    return v_select(v_lt(a, EPSILON), v_zero(), v_select(out, v_zero(), v_minus(v_div(t, a))));
}
INLINE vec v_margin(vec y, vec a) { return v_max(v_zero(), v_fnma(SIDE(y), a, ONE)); }

/* Lin et al., "Focal loss for dense object detection", 2017: (y c + d) u^g bce(y, a), where u = y (1 - a) + (1 - y) a is how far off
   the output is. Its derivative in a: (y c + d) (g u^(g - 1) (1 - 2 y) bce + u^g bce'). */
INLINE vec P(off)(vec y, vec a, vec rest) { return v_fma(y, rest, v_mul(v_sub(ONE, y), a)); }
INLINE vec v_focal(vec y, vec a, vec g, vec c, vec d)
{
    vec u = P(off)(y, a, v_sub(ONE, a));
    return v_mul(v_mul(v_fma(y, c, d), P(power)(u, g)), v_bce(y, a));
}
/* g u^(g - 1), from u^g */
INLINE vec P(power_slope)(vec u, vec g, vec power)
{
    return v_div(v_mul(g, power), v_max(v_set1(P(SMALLEST)), u));
}
INLINE vec v_focal_slope(vec y, vec a, vec g, vec c, vec d)
{
    vec u = P(off)(y, a, v_sub(ONE, a)), power = P(power)(u, g), turn = v_fnma(v_set1(2), y, ONE);
    vec turned = v_mul(v_mul(P(power_slope)(u, g, power), turn), v_bce(y, a));
    return v_mul(v_fma(y, c, d), v_fma(power, v_bce_slope(y, a), turned));
}
/* The same of a = sigma(z), e = e^-|z|, where nothing has to be clipped. */
INLINE vec v_focal_logits(vec y, vec z, vec e, vec g, vec c, vec d)
{
    vec u = P(off)(y, P(sigmoid_from)(z, e), P(sigmoid_from)(v_minus(z), e));
    return v_mul(v_mul(v_fma(y, c, d), P(power)(u, g)), P(bce_near)(y, z, e));
}
INLINE vec v_focal_logits_slope(vec y, vec z, vec e, vec g, vec c, vec d)
{
    vec a = P(sigmoid_from)(z, e), rest = P(sigmoid_from)(v_minus(z), e), u = P(off)(y, a, rest);
    vec power = P(power)(u, g), turn = v_mul(v_fnma(v_set1(2), y, ONE), v_mul(a, rest));
    vec turned = v_mul(v_mul(P(power_slope)(u, g, power), turn), P(bce_near)(y, z, e));
    return v_mul(v_fma(y, c, d), v_fma(power, v_sub(a, y), turned));
}

/* The arguments of fnn_loss_rows, typed; one body an operation, in a loop over groups of lanes. */
#define LOSS_ROWS(name)                                                                                \
    static void P(name)(size_t rows, size_t units, void *out_, size_t ldo, const void *y_, size_t ldy, \
                        const void *weight_, double scale_, void *delta_, size_t ldd, void *row_loss_, \
                        const double *p)
#define LOSS_ARGUMENTS                                        \
    REAL *out = out_, *delta = delta_, *row_loss = row_loss_; \
    const REAL *y = y_, *weight = weight_;                    \
    (void)ldy, (void)ldd, (void)ldo, (void)p;
/* groups of lanes; columns have room for whole ones, and what lies beyond the rows counts for nothing */
#define FOR_GROUPS(r) for (size_t r = 0; r < rows; r += LANES)
#define WEIGHT(r) (weight ? v_load(weight + r) : ONE)

/* what the sum over the units is divided by */
#define FNN_MEAN(units) (double)(units)
#define FNN_SUM(units) 1.0
#define H(i) h##i
#define HOIST(p)                                                                         \
    vec h0 = v_set1((REAL)(p)[0]), h1 = v_set1((REAL)(p)[1]), h2 = v_set1((REAL)(p)[2]); \
    vec h3 = v_set1((REAL)(p)[3]), h4 = v_set1((REAL)(p)[4]);                            \
    (void)h0, (void)h1, (void)h2, (void)h3, (void)h4
#define SMOOTH(y) v_fma(y, H(0), H(1))

#define ELEMENTWISE(name, over, parameters, f, df)                                                   \
    INLINE vec P(name##_f)(vec y, vec a, const double *p)                                            \
    {                                                                                                \
        HOIST(p);                                                                                    \
        return f;                                                                                    \
    }                                                                                                \
    INLINE vec P(name##_df)(vec y, vec a, const double *p)                                           \
    {                                                                                                \
        HOIST(p);                                                                                    \
        return df;                                                                                   \
    }                                                                                                \
    LOSS_ROWS(name##_rows)                                                                           \
    {                                                                                                \
        LOSS_ARGUMENTS                                                                               \
        const double h[5] = {p[0], p[1], p[2], p[3], p[4]}; /* stores to columns leave them alone */ \
        vec mean = v_set1((REAL)(1.0 / over(units))), scale = v_set1((REAL)(scale_ / over(units)));  \
        FOR_GROUPS(r)                                                                                \
        {                                                                                            \
            vec w = WEIGHT(r), ws = v_mul(w, scale), sum = v_zero();                                 \
            for (size_t j = 0; j < units; j++) {                                                     \
                vec yj = v_load(y + j * ldy + r), aj = v_load(out + j * ldo + r);                    \
                sum = v_add(sum, P(name##_f)(yj, aj, h));                                            \
                if (delta)                                                                           \
                    v_store(delta + j * ldd + r, v_mul(ws, P(name##_df)(yj, aj, h)));                \
            }                                                                                        \
            v_store(row_loss + r, v_mul(w, v_mul(sum, mean)));                                       \
        }                                                                                            \
    }
#define ROWWISE(name, targets, parameters)
#define FUSED(name, loss, activation)
#include "losses.def"
#undef ELEMENTWISE
#undef ROWWISE
#undef FUSED

/* Of sigmoid's output a, from the pre-activation z, which it replaces; e = e^-|z| serves both. */
#define BEHIND_SIGMOID(name, f, df)                                                                     \
    LOSS_ROWS(name##_sigmoid_rows)                                                                      \
    {                                                                                                   \
        LOSS_ARGUMENTS                                                                                  \
        HOIST(p);                                                                                       \
        vec mean = v_set1((REAL)(1.0 / (double)units)), scale = v_set1((REAL)(scale_ / (double)units)); \
        FOR_GROUPS(r)                                                                                   \
        {                                                                                               \
            vec w = WEIGHT(r), ws = v_mul(w, scale), sum = v_zero();                                    \
            for (size_t j = 0; j < units; j++) {                                                        \
                vec yj = SMOOTH(v_load(y + j * ldy + r)), z = v_load(out + j * ldo + r);                \
                vec e = NEAR_ZERO(z), a = P(sigmoid_from)(z, e);                                        \
                sum = v_add(sum, f);                                                                    \
                v_store(out + j * ldo + r, a);                                                          \
                if (delta)                                                                              \
                    v_store(delta + j * ldd + r, v_mul(ws, df));                                        \
            }                                                                                           \
            v_store(row_loss + r, v_mul(w, v_mul(sum, mean)));                                          \
        }                                                                                               \
    }
BEHIND_SIGMOID(binary_crossentropy, P(bce_near)(yj, z, e), v_sub(a, yj))
BEHIND_SIGMOID(binary_focal_crossentropy, v_focal_logits(yj, z, e, h2, h3, h4),
               v_focal_logits_slope(yj, z, e, h2, h3, h4))
#undef BEHIND_SIGMOID
#undef H
#undef HOIST
#undef SMOOTH

#include "losses_classes.h"
#include "losses_vectors.h"
#undef LOSS_ROWS
#undef LOSS_ARGUMENTS
#undef WEIGHT
