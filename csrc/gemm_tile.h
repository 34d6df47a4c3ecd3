/* Register tiles: the one inner loop behind all three products of a dense layer (forward, deltas, weight gradients). Which one it is
   lies in the strides of the broadcast operand and in b. Parameters: rows, vectors (compile-time constants of each instance). */

#define PREFETCH_ROWS 4
#define PREFETCH_VECTORS 3 /* narrower tiles are bound by loads */

INLINE void P(tile)(int rows, int vectors, size_t depth, const REAL *a, ptrdiff_t a_row, ptrdiff_t a_step,
                    const REAL *b, ptrdiff_t b_step, const REAL *init, REAL *c, ptrdiff_t c_row, size_t last,
                    int finish, const REAL *other, ptrdiff_t other_row)
{
    vec acc[FNN_TILE_ROWS_MAX][FNN_PANEL_VECTORS_MAX];
#pragma GCC unroll 4
    for (int j = 0; j < vectors; j++) {
        vec start = init ? v_load(init + j * LANES) : v_zero();
#pragma GCC unroll 14
        for (int i = 0; i < rows; i++)
            acc[i][j] = start;
    }
    for (size_t p = 0; p < depth; p++) {
        vec bv[FNN_PANEL_VECTORS_MAX];
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            bv[j] = v_load(b + j * LANES);
        /* rows of b a stride apart, as those of weight gradients, are not foreseen by the processor */
        if (vectors >= PREFETCH_VECTORS)
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++)
                __builtin_prefetch(b + PREFETCH_ROWS * b_step + j * LANES);
#pragma GCC unroll 14
        for (int i = 0; i < rows; i++) {
            vec av = v_set1(a[i * a_row]);
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++)
                acc[i][j] = v_fma(av, bv[j], acc[i][j]);
        }
        a += a_step;
        b += b_step;
    }
    P(tile_finish)(rows, vectors, acc, c, c_row, last, finish, other, other_row);
}

#define TILE(rows, vectors)                                                                                \
    static void P(tile_##rows##_##vectors)(size_t depth, const void *a, ptrdiff_t a_row, ptrdiff_t a_step, \
                                           const void *b, ptrdiff_t b_step, const void *init, void *c,     \
                                           ptrdiff_t c_row, size_t last, int finish, const void *other,    \
                                           ptrdiff_t other_row)                                            \
    {                                                                                                      \
        P(tile)(rows, vectors, depth, a, a_row, a_step, b, b_step, init, c, c_row, last, finish, other,    \
                other_row);                                                                                \
    }
#include "gemm_tiles.def"
#undef TILE
