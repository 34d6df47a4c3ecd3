/* One row through a layer, and rows through weights kept in bfloat16. A row alone has no tile to reuse weights in: what counts is
   to keep enough sums in flight, and to read the weights once, in order. The sums are those of gemm_tile.h and dot_rows. */

#define DOT_UNITS_MAX 8

/* `panels` panels of `vectors` vectors side by side: independent sums hide the latency of fma. */
INLINE void P(row)(int vectors, int panels, size_t depth, const REAL *a, const REAL *b, REAL *c, size_t last,
                   int finish)
{
    const size_t width = (size_t)vectors * LANES, apart = (depth + 1) * width;
    vec acc[FNN_ROW_VECTORS_MAX];
    const REAL *bias = b + depth * width;
#pragma GCC unroll 8
    for (int q = 0; q < panels; q++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            acc[q * vectors + j] = v_load(bias + q * apart + j * LANES);
    for (size_t p = 0; p < depth; p++, b += width) {
        vec av = v_set1(a[p]);
#pragma GCC unroll 8
        for (int q = 0; q < panels; q++)
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++)
                acc[q * vectors + j] = v_fma(av, v_load(b + q * apart + j * LANES), acc[q * vectors + j]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < vectors * panels; i++) {
        vec value = finish == FNN_RELU ? v_max(v_zero(), acc[i]) : acc[i];
        if (i < vectors * panels - 1)
            v_store(c + i * LANES, value);
        else
            v_store_n(c + i * LANES, value, last);
    }
}

#define ROW(vectors, panels)                                                                     \
    static void P(row_##vectors##_##panels)(size_t depth, const void *a, const void *b, void *c, \
                                            size_t last, int finish)                             \
    {                                                                                            \
        P(row)(vectors, panels, depth, a, b, c, last, finish);                                   \
    }
#include "inference_rows.def"
#undef ROW

/* dot_rows with the roles exchanged: one row of x against `units` units, a compile-time constant */
INLINE void P(units_at_once)(int units, size_t depth, const REAL *w, size_t stride, const REAL *x, REAL *out)
{
    vec acc[DOT_UNITS_MAX][SUM16_VECTORS];
#pragma GCC unroll 8
    for (int i = 0; i < units; i++)
#pragma GCC unroll 8
        for (int l = 0; l < SUM16_VECTORS; l++)
            acc[i][l] = v_zero();
    for (size_t p = 0; p < depth; p += 16) {
#pragma GCC unroll 8
        for (int l = 0; l < SUM16_VECTORS; l++) {
            vec xv = v_load(x + p + l * LANES);
#pragma GCC unroll 8
            for (int i = 0; i < units; i++)
                acc[i][l] = v_fma(xv, v_load(w + i * stride + p + l * LANES), acc[i][l]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < units; i++)
        out[i] = v_sum16(acc[i]);
}

static void P(dot_units)(size_t units, size_t depth, const void *w_, size_t stride, const void *x, void *out_)
{
    const REAL *w = w_;
    REAL *out = out_;
#define AT_ONCE(n)                                                    \
    for (; units >= (n); units -= (n), w += (n) * stride, out += (n)) \
    P(units_at_once)(n, depth, w, stride, x, out)
#if P(LANES) > 8
    AT_ONCE(8);
#endif
    AT_ONCE(4);
    AT_ONCE(2);
    AT_ONCE(1);
#undef AT_ONCE
}

/* ---- weights in bfloat16 ----
   A word of 32 bits holds two weights of one input: the low half that of a unit of an even vector, the high half that of the same
   lane of the next vector. Widening is a shift for the one and a mask for the other, on every instruction set. */

/* in a register, or the compiler loads it twice */
#ifdef X86_WIDTH
#define KEEP(v) __asm__("" : "+v"(v))
#else
#define KEEP(v)
#endif

#define f32_BFLOAT16 1
#define f64_BFLOAT16 0
#if P(BFLOAT16)
INLINE void P(words_tile)(int rows, int words, size_t depth, const REAL *a, ptrdiff_t a_row, const REAL *b,
                          ptrdiff_t b_step, const REAL *init, REAL *c, ptrdiff_t c_row, size_t valid,
                          int finish)
{
    vec acc[FNN_WORDS_ROWS_MAX][FNN_ROW_VECTORS_MAX];
    const ivec high = v_iset1((int32_t)0xffff0000u);
#pragma GCC unroll 8
    for (int j = 0; j < 2 * words; j++) {
        vec start = v_load(init + j * LANES);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++)
            acc[i][j] = start;
    }
    for (size_t p = 0; p < depth; p++, b += b_step) {
        vec av[FNN_WORDS_ROWS_MAX];
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++)
            av[i] = v_set1(a[i * a_row + p]);
#pragma GCC unroll 4
        for (int j = 0; j < words; j++) {
            ivec word = v_bits(v_load(b + j * LANES));
            KEEP(word);
            vec even = v_from_bits(v_ishl(word, 16)), odd = v_from_bits(v_iand(word, high));
#pragma GCC unroll 6
            for (int i = 0; i < rows; i++) {
                acc[i][2 * j] = v_fma(av[i], even, acc[i][2 * j]);
                acc[i][2 * j + 1] = v_fma(av[i], odd, acc[i][2 * j + 1]);
            }
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (int j = 0; j < 2 * words; j++) {
            vec value = finish == FNN_RELU ? v_max(v_zero(), acc[i][j]) : acc[i][j];
            size_t at = (size_t)j * LANES;
            if (valid >= at + LANES)
                v_store(c + i * c_row + at, value);
            else if (valid > at)
                v_store_n(c + i * c_row + at, value, valid - at);
        }
}

#define WORDS(rows, words)                                                                              \
    static void P(words_##rows##_##words)(size_t depth, const void *a, ptrdiff_t a_row, const void *b,  \
                                          ptrdiff_t b_step, const void *init, void *c, ptrdiff_t c_row, \
                                          size_t valid, int finish)                                     \
    {                                                                                                   \
        P(words_tile)(rows, words, depth, a, a_row, b, b_step, init, c, c_row, valid, finish);          \
    }
#include "inference_words.def"
#undef WORDS
#undef KEEP
#endif
#undef DOT_UNITS_MAX
