/* Plain C: the primitives of vec.h on arrays of lanes, with the C library's correctly rounded fma. The reference
   for every other instruction set, and the build for processors that have none of them. */
#ifndef FASTNN_SIMD_GENERIC_H
#define FASTNN_SIMD_GENERIC_H
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SIMD_PANEL_VECTORS 2
#define SIMD_TILE_ROWS {0, 4, 4, 0, 0} /* largest tile, by its vectors */
#define SIMD_TILES TILES_4(1) TILES_4(2)
#define SIMD_DOT_ROWS 4
#define SIMD_INPUT_ROWS 4 /* accumulators of input_forward, in pairs of vectors */
#define SIMD_INPUT_DEPTH 4 /* and of input_gradient */

#define f32_LANES 4
#define f64_LANES 4

#define GENERIC(T, R, I, U, FMA, SQRT)                                         \
    typedef struct {                                                           \
        R l[4];                                                                \
    } T##_vec;                                                                 \
    typedef struct {                                                           \
        I l[4];                                                                \
    } T##_ivec;                                                                \
    typedef T##_ivec T##_mask;                                                 \
    static inline T##_vec T##_set1(R a) { return (T##_vec){{a, a, a, a}}; }    \
    static inline T##_vec T##_zero(void) { return T##_set1(0); }               \
    static inline T##_ivec T##_iset1(I a) { return (T##_ivec){{a, a, a, a}}; } \
    static inline T##_ivec T##_bits(T##_vec a)                                 \
    {                                                                          \
        T##_ivec r;                                                            \
        memcpy(&r, &a, sizeof r);                                              \
        return r;                                                              \
    }                                                                          \
    static inline T##_vec T##_from_bits(T##_ivec a)                            \
    {                                                                          \
        T##_vec r;                                                             \
        memcpy(&r, &a, sizeof r);                                              \
        return r;                                                              \
    }                                                                          \
    EACH(T, add, a.l[i] + b.l[i])                                              \
    EACH(T, sub, a.l[i] - b.l[i])                                              \
    EACH(T, mul, a.l[i] * b.l[i])                                              \
    EACH(T, div, a.l[i] / b.l[i])                                              \
    EACH(T, min, a.l[i] < b.l[i] ? a.l[i] : b.l[i])                            \
    EACH(T, max, a.l[i] > b.l[i] ? a.l[i] : b.l[i])                            \
    EACH_INT(T, iadd, (I)((U)a.l[i] + (U)b.l[i]))                              \
    EACH_INT(T, isub, (I)((U)a.l[i] - (U)b.l[i]))                              \
    EACH_INT(T, iand, a.l[i] & b.l[i])                                         \
    EACH_INT(T, ior, a.l[i] | b.l[i])                                          \
    EACH_INT(T, ixor, a.l[i] ^ b.l[i])                                         \
    EACH_INT(T, iandnot, ~a.l[i] & b.l[i])                                     \
    ON_BITS(T, and)                                                            \
    ON_BITS(T, or)                                                             \
    ON_BITS(T, xor)                                                            \
    ON_BITS(T, andnot)                                                         \
    COMPARE(T, lt, a.l[i] < b.l[i])                                            \
    COMPARE(T, eq, a.l[i] == b.l[i])                                           \
    static inline T##_ivec T##_ishl(T##_ivec a, int n)                         \
    {                                                                          \
        for (int i = 0; i < 4; i++)                                            \
            a.l[i] = (I)((U)a.l[i] << n);                                      \
        return a;                                                              \
    }                                                                          \
    static inline T##_ivec T##_ishr(T##_ivec a, int n)                         \
    {                                                                          \
        for (int i = 0; i < 4; i++)                                            \
            a.l[i] = (I)((U)a.l[i] >> n);                                      \
        return a;                                                              \
    }                                                                          \
    static inline T##_vec T##_fma(T##_vec a, T##_vec b, T##_vec c)             \
    {                                                                          \
        for (int i = 0; i < 4; i++)                                            \
            c.l[i] = FMA(a.l[i], b.l[i], c.l[i]);                              \
        return c;                                                              \
    }                                                                          \
    static inline T##_vec T##_fnma(T##_vec a, T##_vec b, T##_vec c)            \
    {                                                                          \
        for (int i = 0; i < 4; i++)                                            \
            c.l[i] = FMA(-a.l[i], b.l[i], c.l[i]);                             \
        return c;                                                              \
    }                                                                          \
    static inline T##_vec T##_sqrt(T##_vec a)                                  \
    {                                                                          \
        for (int i = 0; i < 4; i++)                                            \
            a.l[i] = SQRT(a.l[i]);                                             \
        return a;                                                              \
    }                                                                          \
    static inline T##_vec T##_select(T##_mask m, T##_vec yes, T##_vec no)      \
    {                                                                          \
        for (int i = 0; i < 4; i++)                                            \
            no.l[i] = m.l[i] ? yes.l[i] : no.l[i];                             \
        return no;                                                             \
    }                                                                          \
    static inline T##_vec T##_load(const R *p)                                 \
    {                                                                          \
        T##_vec r;                                                             \
        memcpy(&r, p, sizeof r);                                               \
        return r;                                                              \
    }                                                                          \
    static inline void T##_store(R *p, T##_vec a) { memcpy(p, &a, sizeof a); } \
    static inline T##_vec T##_load_n(const R *p, size_t n)                     \
    {                                                                          \
        T##_vec r = T##_zero();                                                \
        for (size_t i = 0; i < n; i++)                                         \
            r.l[i] = p[i];                                                     \
        return r;                                                              \
    }                                                                          \
    static inline void T##_store_n(R *p, T##_vec a, size_t n)                  \
    {                                                                          \
        for (size_t i = 0; i < n; i++)                                         \
            p[i] = a.l[i];                                                     \
    }                                                                          \
    /* 16 virtual lanes, added as (l, l+8), (l, l+4), (l, l+2), (l, l+1). */   \
    static inline R T##_sum16(const T##_vec *p)                                \
    {                                                                          \
        T##_vec s = T##_add(T##_add(p[0], p[2]), T##_add(p[1], p[3]));         \
        R even = s.l[0] + s.l[2], odd = s.l[1] + s.l[3];                       \
        return even + odd;                                                     \
    }                                                                          \
    /* r[i][j] -> r[j][i], LANES x LANES. */                                   \
    static inline void T##_transpose(T##_vec *r)                               \
    {                                                                          \
        for (int i = 0; i < 4; i++)                                            \
            for (int j = 0; j < i; j++) {                                      \
                R t = r[i].l[j];                                               \
                r[i].l[j] = r[j].l[i];                                         \
                r[j].l[i] = t;                                                 \
            }                                                                  \
    }

#define EACH(T, name, expression)                          \
    static inline T##_vec T##_##name(T##_vec a, T##_vec b) \
    {                                                      \
        for (int i = 0; i < 4; i++)                        \
            a.l[i] = expression;                           \
        return a;                                          \
    }
#define EACH_INT(T, name, expression)                         \
    static inline T##_ivec T##_##name(T##_ivec a, T##_ivec b) \
    {                                                         \
        for (int i = 0; i < 4; i++)                           \
            a.l[i] = expression;                              \
        return a;                                             \
    }
#define ON_BITS(T, name)                                             \
    static inline T##_vec T##_##name(T##_vec a, T##_vec b)           \
    {                                                                \
        return T##_from_bits(T##_i##name(T##_bits(a), T##_bits(b))); \
    }
#define COMPARE(T, name, expression)                        \
    static inline T##_mask T##_##name(T##_vec a, T##_vec b) \
    {                                                       \
        T##_mask m;                                         \
        for (int i = 0; i < 4; i++)                         \
            m.l[i] = (expression) ? -1 : 0;                 \
        return m;                                           \
    }

GENERIC(f32, float, int32_t, uint32_t, fmaf, sqrtf)
GENERIC(f64, double, int64_t, uint64_t, fma, sqrt)
#undef GENERIC
#undef EACH
#undef EACH_INT
#undef ON_BITS
#undef COMPARE
#endif
