/* One optimizer step on a run of packed weights: one loop for each line of optimizers.def. */

/* keep * s + add * g^2 */
INLINE vec P(average_square)(vec s, vec g, vec keep, vec add)
{
    return v_fma(keep, s, v_mul(add, v_mul(g, g)));
}
INLINE vec P(over_root)(vec n, vec x) { return v_div(n, v_sqrt(x)); }
/* Rounding makes the difference negative where gradients hardly change; NaN stays. */
INLINE vec P(variance)(vec square, vec mean) { return v_max(v_zero(), v_fnma(mean, mean, square)); }
INLINE vec P(sign_or_nan)(vec x) { return v_select(v_eq(x, x), v_sign(x), x); }

/* McMahan et al., "Ad click prediction: a view from the trenches" (2013), algorithm 1, with Keras's shrinkage. before, after: the
   sums of squares to the power -learning_rate_power; inverse: 1 / learning rate; l2: twice the strength. Returns the new weights. */
INLINE vec P(ftrl)(vec g, vec w, vec *linear, vec before, vec after, vec inverse, vec l1, vec l2, vec shrink,
                   vec smallest)
{
    vec sum = v_add(*linear, v_fma(shrink, w, g)), quadratic = v_fma(after, inverse, l2);
    sum = v_fnma(v_mul(v_sub(after, before), inverse), w, sum);
    *linear = sum;
    /* 0 / 0 where there never was a gradient: the weight is 0 */
    return v_div(v_sub(v_max(v_sub(v_zero(), l1), v_min(l1, sum)), sum), v_max(smallest, quadratic));
}

#define H(i) h##i
#define OPTIMIZER(name, slots, numbers, first, coefficients, body)                                   \
    static void P(name##_step)(size_t n, const void *g_, void *w_, void *s0_, void *s1_, void *s2_,  \
                               const void *h_)                                                       \
    {                                                                                                \
        const REAL *gp = g_, *h = h_;                                                                \
        REAL *wp = w_, *s0p = s0_, *s1p = s1_, *s2p = s2_;                                           \
        vec h0 = v_set1(h[0]), h1 = v_set1(h[1]), h2 = v_set1(h[2]), h3 = v_set1(h[3]);              \
        vec h4 = v_set1(h[4]), h5 = v_set1(h[5]);                                                    \
        (void)h0, (void)h1, (void)h2, (void)h3, (void)h4, (void)h5, (void)s0p, (void)s1p, (void)s2p; \
        for (size_t i = 0; i < n; i += LANES) {                                                      \
            vec g = v_load(gp + i), w = v_load(wp + i), s0 = v_zero(), s1 = v_zero(), s2 = v_zero(); \
            if (slots > 0)                                                                           \
                s0 = v_load(s0p + i);                                                                \
            if (slots > 1)                                                                           \
                s1 = v_load(s1p + i);                                                                \
            if (slots > 2)                                                                           \
                s2 = v_load(s2p + i);                                                                \
            body;                                                                                    \
            v_store(wp + i, w);                                                                      \
            if (slots > 0)                                                                           \
                v_store(s0p + i, s0);                                                                \
            if (slots > 1)                                                                           \
                v_store(s1p + i, s1);                                                                \
            if (slots > 2)                                                                           \
                v_store(s2p + i, s2);                                                                \
        }                                                                                            \
    }
#include "optimizers.def"
#undef H

/* What may come before an optimizer's step: g is limited to [-limit, limit], and w loses the share `decay` of itself. */
static void P(clip_and_decay)(size_t n, void *g_, void *w_, const void *h_)
{
    REAL *gp = g_, *wp = w_;
    const REAL *h = h_;
    const vec decay = v_set1(h[FNN_HYPER_DECAY]), limit = v_set1(h[FNN_HYPER_LIMIT]);
    const vec low = v_sub(v_zero(), limit);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec w = v_load(wp + i);
        v_store(gp + i, v_max(low, v_min(limit, v_load(gp + i)))); /* NaN stays */
        v_store(wp + i, v_fnma(decay, w, w));
    }
    if (i < n) {
        vec w = v_load_n(wp + i, n - i);
        v_store_n(gp + i, v_max(low, v_min(limit, v_load_n(gp + i, n - i))), n - i);
        v_store_n(wp + i, v_fnma(decay, w, w), n - i);
    }
}

static void P(over_roots)(size_t rows, size_t n, void *x_, size_t ldx, const void *row_, size_t ldr,
                          double factor, const void *column_)
{
    REAL *x = x_;
    const REAL *row = row_, *column = column_;
    const vec smallest = v_set1(P(SMALLEST));
    for (size_t r = 0; r < rows; r++, x += ldx, row += ldr) {
        const vec share = v_set1(*row * (REAL)factor);
        for (size_t j = 0; j < n; j += LANES) {
            size_t m = n - j < LANES ? n - j : LANES;
            vec root = v_max(smallest, v_mul(share, v_load_n(column + j, m)));
            v_store_n(x + j, P(over_root)(v_load_n(x + j, m), root), m);
        }
    }
}
