/* Activations that work on single elements: one forward and one backward loop for each line of activations.def. */

#define ELEMENTWISE(name, reads, f, df)                                                                      \
    INLINE vec P(name##_f)(vec z) { return f; }                                                              \
    INLINE vec P(name##_df)(vec a)                                                                           \
    {                                                                                                        \
        (void)a;                                                                                             \
        return df;                                                                                           \
    }                                                                                                        \
    static void P(name##_forward)(size_t rows, size_t n, const void *z_, size_t ldz, void *out_, size_t ldo) \
    {                                                                                                        \
        const REAL *z = z_;                                                                                  \
        REAL *out = out_;                                                                                    \
        for (size_t i = 0; i < rows; i++, z += ldz, out += ldo) {                                            \
            size_t j = 0;                                                                                    \
            for (; j + LANES <= n; j += LANES)                                                               \
                v_store(out + j, P(name##_f)(v_load(z + j)));                                                \
            if (j < n)                                                                                       \
                v_store_n(out + j, P(name##_f)(v_load_n(z + j, n - j)), n - j);                              \
        }                                                                                                    \
    }                                                                                                        \
    static void P(name##_backward)(size_t rows, size_t n, const void *a_, size_t lda, void *d_, size_t ldd)  \
    {                                                                                                        \
        const REAL *a = a_;                                                                                  \
        REAL *d = d_;                                                                                        \
        for (size_t i = 0; i < rows; i++, a += lda, d += ldd) {                                              \
            size_t j = 0;                                                                                    \
            for (; j + LANES <= n; j += LANES)                                                               \
                v_store(d + j, v_mul(v_load(d + j), P(name##_df)(v_load(a + j))));                           \
            if (j < n)                                                                                       \
                v_store_n(d + j, v_mul(v_load_n(d + j, n - j), P(name##_df)(v_load_n(a + j, n - j))),        \
                          n - j);                                                                            \
        }                                                                                                    \
    }
#define ROWWISE(name, reads)
#include "activations.def"
#undef ELEMENTWISE
#undef ROWWISE
