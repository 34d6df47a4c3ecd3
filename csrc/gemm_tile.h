/* Register tiles: the one inner loop behind all three products of a dense layer (forward, deltas, weight gradients). Which one it is
   lies in the strides of the broadcast operand and in b. Parameters: rows, vectors (compile-time constants of each instance). */

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
#pragma GCC unroll 14
    for (int i = 0; i < rows; i++) {
        REAL *row = c + i * c_row;
        const REAL *other_i = other + i * other_row;
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) {
            size_t n = j < vectors - 1 ? LANES : last;
            vec value = acc[i][j];
            if (finish == FNN_ADD)
                value =
                    v_add(j < vectors - 1 ? v_load(row + j * LANES) : v_load_n(row + j * LANES, n), value);
            else if (finish == FNN_RELU)
                value = v_max(v_zero(), value);
            else if (finish == FNN_RELU_SLOPE) {
                vec o = j < vectors - 1 ? v_load(other_i + j * LANES) : v_load_n(other_i + j * LANES, n);
                value = v_select(v_lt(v_zero(), o), value, v_zero());
            }
            if (j < vectors - 1)
                v_store(row + j * LANES, value);
            else
                v_store_n(row + j * LANES, value, n);
        }
    }
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
