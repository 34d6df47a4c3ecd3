/* Register tiles of bfloat16 pairs: gemm_tile.h with two products a step. Parameters: rows, vectors (compile-time constants of each
   instance), and BF16_DOT, the instruction for such a step where there is one. */

INLINE vec bf16_low(vec pair) { return v_from_bits(v_ishl(v_bits(pair), 16)); }
INLINE vec bf16_high(vec pair) { return v_and(pair, v_from_bits(v_iset1((int32_t)0xffff0000))); }

INLINE void bf16_tile(int rows, int vectors, size_t depth, const float *a, ptrdiff_t a_row, const float *b,
                      ptrdiff_t b_step, ptrdiff_t b_vector, const float *init, float *c, ptrdiff_t c_row,
                      size_t last, int finish, const float *other, ptrdiff_t other_row)
{
    vec acc[FNN_TILE_ROWS_MAX][FNN_PANEL_VECTORS_MAX];
#pragma GCC unroll 4
    for (int j = 0; j < vectors; j++) {
        vec start = init ? v_load(init + j * LANES) : v_zero();
#pragma GCC unroll 14
        for (int i = 0; i < rows; i++)
            acc[i][j] = start;
    }
    for (size_t p = 0; p < depth; p++, a++, b += b_step) {
        vec bv[FNN_PANEL_VECTORS_MAX];
#ifdef BF16_DOT
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            bv[j] = v_load(b + j * b_vector);
#pragma GCC unroll 14
        for (int i = 0; i < rows; i++) {
            vec av = v_set1(a[i * a_row]);
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++)
                acc[i][j] = BF16_DOT(acc[i][j], av, bv[j]);
        }
#else
        /* the high halves of all, then the low ones: fewer vectors alive at a time */
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            bv[j] = bf16_high(v_load(b + j * b_vector));
#pragma GCC unroll 14
        for (int i = 0; i < rows; i++) {
            vec av = bf16_high(v_set1(a[i * a_row]));
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++)
                acc[i][j] = v_fma(av, bv[j], acc[i][j]);
        }
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            bv[j] = bf16_low(v_load(b + j * b_vector));
#pragma GCC unroll 14
        for (int i = 0; i < rows; i++) {
            vec av = bf16_low(v_set1(a[i * a_row]));
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++)
                acc[i][j] = v_fma(av, bv[j], acc[i][j]);
        }
#endif
    }
    P(tile_finish)(rows, vectors, acc, c, c_row, last, finish, other, other_row);
}

typedef void bf16_tile_function(size_t depth, const float *a, ptrdiff_t a_row, const float *b,
                                ptrdiff_t b_step, ptrdiff_t b_vector, const float *init, float *c,
                                ptrdiff_t c_row, size_t last, int finish, const float *other,
                                ptrdiff_t other_row);
#define TILE(rows, vectors)                                                                                 \
    static void bf16_tile_##rows##_##vectors(size_t depth, const float *a, ptrdiff_t a_row, const float *b, \
                                             ptrdiff_t b_step, ptrdiff_t b_vector, const float *init,       \
                                             float *c, ptrdiff_t c_row, size_t last, int finish,            \
                                             const float *other, ptrdiff_t other_row)                       \
    {                                                                                                       \
        bf16_tile(rows, vectors, depth, a, a_row, b, b_step, b_vector, init, c, c_row, last, finish, other, \
                  other_row);                                                                               \
    }
#include "gemm_tiles.def"
#undef TILE

static void bf16_product(size_t rows, size_t vectors, size_t depth, const fnn_pair *a, ptrdiff_t a_row,
                         const fnn_pair *b, ptrdiff_t b_step, ptrdiff_t b_vector, const float *init, float *c,
                         ptrdiff_t c_row, size_t last, int finish, const float *other, ptrdiff_t other_row)
{
    static bf16_tile_function *const tile[FNN_PANEL_VECTORS_MAX + 1][FNN_TILE_ROWS_MAX + 1] = {
#define TILE(rows, vectors) [vectors][rows] = bf16_tile_##rows##_##vectors,
#include "gemm_tiles.def"
#undef TILE
    };
    static const size_t tallest[FNN_PANEL_VECTORS_MAX + 1] = SIMD_TILE_ROWS;
    for (size_t n = tallest[vectors]; rows; rows -= n) {
        n = n < rows ? n : rows;
        tile[vectors][n](depth, (const float *)a, a_row, (const float *)b, b_step, b_vector, init, c, c_row,
                         last, finish, other, other_row);
        a += (ptrdiff_t)n * a_row;
        c += (ptrdiff_t)n * c_row;
        if (other)
            other += (ptrdiff_t)n * other_row;
    }
}

enum { BF16_PEAK_CHAINS = SIMD_PANEL_VECTORS > 2 ? 20 : 8 };
static double bf16_peak(size_t iterations)
{
    vec acc[BF16_PEAK_CHAINS], a = v_from_bits(v_iset1(0x3f003f00)), b = v_from_bits(v_iset1(0x3f003e00));
    for (int i = 0; i < BF16_PEAK_CHAINS; i++)
        acc[i] = v_set1((float)i);
    for (size_t k = 0; k < iterations; k++)
#pragma GCC unroll 20
        for (int i = 0; i < BF16_PEAK_CHAINS; i++)
#ifdef BF16_DOT
            acc[i] = BF16_DOT(acc[i], a, b);
#else
            acc[i] = v_fma(bf16_low(a), bf16_low(b), v_fma(bf16_high(a), bf16_high(b), acc[i]));
#endif
    float lanes[LANES], sum = 0;
    for (int i = 0; i < BF16_PEAK_CHAINS; i++) {
        v_store(lanes, acc[i]);
        sum += lanes[0];
    }
    return (double)sum;
}

#define BF16_ENTER NULL
#define BF16_LEAVE NULL
