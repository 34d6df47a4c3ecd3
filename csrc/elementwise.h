/* Activations that work on single elements: one forward and one backward loop for each line of activations.def. */

#include "smooth.h"

#define H(i) h##i
#define ELEMENTWISE(name, reads, parameters, f, df)                                                          \
    INLINE vec P(name##_f)(vec z, vec h0, vec h1, vec h2, vec h3)                                            \
    {                                                                                                        \
        (void)h0, (void)h1, (void)h2, (void)h3;                                                              \
        return f;                                                                                            \
    }                                                                                                        \
    INLINE vec P(name##_df)(vec a, vec h0, vec h1, vec h2, vec h3)                                           \
    {                                                                                                        \
        (void)a, (void)h0, (void)h1, (void)h2, (void)h3;                                                     \
        return df;                                                                                           \
    }                                                                                                        \
    static void P(name##_forward)(size_t rows, size_t n, const void *z_, size_t ldz, void *out_, size_t ldo, \
                                  const double *p)                                                           \
    {                                                                                                        \
        const REAL *z = z_;                                                                                  \
        REAL *out = out_;                                                                                    \
        HOIST(p);                                                                                            \
        for (size_t i = 0; i < rows; i++, z += ldz, out += ldo) {                                            \
            size_t j = 0;                                                                                    \
            for (; j + LANES <= n; j += LANES)                                                               \
                v_store(out + j, P(name##_f)(v_load(z + j), h0, h1, h2, h3));                                \
            if (j < n)                                                                                       \
                v_store_n(out + j, P(name##_f)(v_load_n(z + j, n - j), h0, h1, h2, h3), n - j);              \
        }                                                                                                    \
    }                                                                                                        \
    static void P(name##_backward)(size_t rows, size_t n, const void *a_, size_t lda, void *d_, size_t ldd,  \
                                   const double *p)                                                          \
    {                                                                                                        \
        const REAL *a = a_;                                                                                  \
        REAL *d = d_;                                                                                        \
        HOIST(p);                                                                                            \
        for (size_t i = 0; i < rows; i++, a += lda, d += ldd) {                                              \
            size_t j = 0;                                                                                    \
            for (; j + LANES <= n; j += LANES)                                                               \
                v_store(d + j, v_mul(v_load(d + j), P(name##_df)(v_load(a + j), h0, h1, h2, h3)));           \
            if (j < n)                                                                                       \
                v_store_n(                                                                                   \
                    d + j,                                                                                   \
                    v_mul(v_load_n(d + j, n - j), P(name##_df)(v_load_n(a + j, n - j), h0, h1, h2, h3)),     \
                    n - j);                                                                                  \
        }                                                                                                    \
    }
/* what a line does not use costs nothing */
#define HOIST(p)                                              \
    vec h0 = v_set1((REAL)(p)[0]), h1 = v_set1((REAL)(p)[1]); \
    vec h2 = v_set1((REAL)(p)[2]), h3 = v_set1((REAL)(p)[3])
#define ROWWISE(name, reads)
#include "activations.def"
#undef ELEMENTWISE
#undef ROWWISE
#undef HOIST
#undef H
