/* What a register tile does with its sums (fnn_finish) while they are still in registers: the end of every tile, whatever it sums. */

INLINE void P(tile_finish)(int rows, int vectors, vec acc[FNN_TILE_ROWS_MAX][FNN_PANEL_VECTORS_MAX], REAL *c,
                           ptrdiff_t c_row, size_t last, int finish, const REAL *other, ptrdiff_t other_row)
{
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
