/* One optimizer step on a run of packed weights: one loop for each line of optimizers.def. */

#define H(i) h##i
#define OPTIMIZER(name, slots, body)                                                                     \
    static void P(name##_step)(size_t n, const void *g_, void *w_, void *s0_, void *s1_, const void *h_) \
    {                                                                                                    \
        const REAL *gp = g_, *h = h_;                                                                    \
        REAL *wp = w_, *s0p = s0_, *s1p = s1_;                                                           \
        vec h0 = v_set1(h[0]), h1 = v_set1(h[1]), h2 = v_set1(h[2]), h3 = v_set1(h[3]);                  \
        (void)h0, (void)h1, (void)h2, (void)h3;                                                          \
        for (size_t i = 0; i < n; i += LANES) {                                                          \
            vec g = v_load(gp + i), w = v_load(wp + i), s0 = v_zero(), s1 = v_zero();                    \
            if (slots > 0)                                                                               \
                s0 = v_load(s0p + i);                                                                    \
            if (slots > 1)                                                                               \
                s1 = v_load(s1p + i);                                                                    \
            body;                                                                                        \
            v_store(wp + i, w);                                                                          \
            if (slots > 0)                                                                               \
                v_store(s0p + i, s0);                                                                    \
            if (slots > 1)                                                                               \
                v_store(s1p + i, s1);                                                                    \
        }                                                                                                \
    }
#include "optimizers.def"
#undef OPTIMIZER
#undef H
