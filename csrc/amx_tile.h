/* The tile of bf16.h by AMX: up to 32 x 32 sums in four tile registers, fed by two tiles of each operand. A tile register is 16 rows of 16
   pairs (or floats). What a matrix does not fill is copied into a block of zeros first, so nothing beyond an operand is read.

   The order of a sum is the hardware's: within 32 numbers of depth as tdpbf16ps adds them, blocks in order, `init` last. */
#if !defined(FASTNN_AMX_MODEL) /* the tests have a model of the instructions in plain C */
#include <immintrin.h>
#endif

enum { AMX_SIDE = 16 }; /* rows of a tile register, and 4-byte elements of its rows */

static const struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} __attribute__((aligned(64))) amx_config = {
    .palette = 1,
    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {AMX_SIDE, AMX_SIDE, AMX_SIDE, AMX_SIDE, AMX_SIDE, AMX_SIDE, AMX_SIDE, AMX_SIDE},
};

static void amx_enter(void) { _tile_loadconfig(&amx_config); }
static void amx_leave(void) { _tile_release(); }

/* A part of an operand as a tile register loads it: itself, or (of less than a whole tile) a copy in `block`. stride: pairs, IN and OUT. */
INLINE const fnn_pair *amx_part(const fnn_pair *p, ptrdiff_t *stride, size_t rows, size_t columns,
                                fnn_pair block[AMX_SIDE][AMX_SIDE])
{
    if (rows >= AMX_SIDE && columns >= AMX_SIDE)
        return p;
    for (size_t i = 0; i < AMX_SIDE; i++)
        for (size_t k = 0; k < AMX_SIDE; k++)
            block[i][k] = i < rows && k < columns ? p[(ptrdiff_t)i * *stride + (ptrdiff_t)k] : 0;
    *stride = AMX_SIDE;
    return &block[0][0];
}

/* sum (OUT: 32 x 32, or its part that `tall` and `wide` leave) = a @ b; rows > 16 only if tall, columns > 16 only if wide */
INLINE void amx_block(int tall, int wide, size_t rows, size_t depth, const fnn_pair *a, ptrdiff_t a_row,
                      const fnn_pair *b, ptrdiff_t b_step, float sum[2 * AMX_SIDE][2 * AMX_SIDE])
{
    fnn_pair block[4][AMX_SIDE][AMX_SIDE] __attribute__((aligned(64)));
    _tile_zero(0);
    if (wide)
        _tile_zero(1);
    if (tall)
        _tile_zero(2);
    if (tall && wide)
        _tile_zero(3);
    for (size_t p = 0; p < depth; p += AMX_SIDE, a += AMX_SIDE, b += AMX_SIDE * b_step) {
        size_t left = depth - p;
        ptrdiff_t stride[4] = {a_row, a_row, b_step, b_step};
        const fnn_pair *a0 = amx_part(a, &stride[0], rows, left, block[0]), *a1 = NULL, *b1 = NULL;
        const fnn_pair *b0 = amx_part(b, &stride[2], left, AMX_SIDE, block[2]);
        if (tall)
            a1 = amx_part(a + AMX_SIDE * a_row, &stride[1], rows - AMX_SIDE, left, block[1]);
        if (wide)
            b1 = amx_part(b + AMX_SIDE, &stride[3], left, AMX_SIDE, block[3]);
        __asm__ volatile("" ::: "memory"); /* compilers are not told that loading a tile reads memory */
        _tile_loadd(4, a0, stride[0] * 4);
        _tile_loadd(6, b0, stride[2] * 4);
        _tile_dpbf16ps(0, 4, 6);
        if (wide) {
            _tile_loadd(7, b1, stride[3] * 4);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (tall) {
            _tile_loadd(5, a1, stride[1] * 4);
            _tile_dpbf16ps(2, 5, 6);
            if (wide)
                _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, &sum[0][0], 2 * AMX_SIDE * 4);
    if (wide)
        _tile_stored(1, &sum[0][AMX_SIDE], 2 * AMX_SIDE * 4);
    if (tall)
        _tile_stored(2, &sum[AMX_SIDE][0], 2 * AMX_SIDE * 4);
    if (tall && wide)
        _tile_stored(3, &sum[AMX_SIDE][AMX_SIDE], 2 * AMX_SIDE * 4);
    __asm__ volatile("" ::: "memory");
}

static void bf16_any_tile(size_t rows, size_t vectors, size_t depth, const fnn_pair *a, ptrdiff_t a_row,
                          const fnn_pair *b, ptrdiff_t b_step, const float *init, float *c, ptrdiff_t c_row,
                          size_t last, int finish, const float *other, ptrdiff_t other_row)
{
    float sum[2 * AMX_SIDE][2 * AMX_SIDE] __attribute__((aligned(64)));
    for (size_t j = 0; j < vectors; j += 2) {
        int tall = rows > AMX_SIDE;
        size_t wide = vectors - j > 1;
        const fnn_pair *part = b + j * AMX_SIDE;
        if (tall && wide)
            amx_block(1, 1, rows, depth, a, a_row, part, b_step, sum);
        else if (tall)
            amx_block(1, 0, rows, depth, a, a_row, part, b_step, sum);
        else if (wide)
            amx_block(0, 1, rows, depth, a, a_row, part, b_step, sum);
        else
            amx_block(0, 0, rows, depth, a, a_row, part, b_step, sum);
        for (size_t v = j; v < j + 1 + wide; v++) {
            size_t n = v + 1 < vectors ? AMX_SIDE : last;
            vec start = init ? v_load(init + v * AMX_SIDE) : v_zero();
            for (size_t i = 0; i < rows; i++) {
                vec acc[FNN_TILE_ROWS_MAX][FNN_PANEL_VECTORS_MAX] = {
                    {v_add(start, v_load(&sum[i][(v - j) * AMX_SIDE]))}};
                P(tile_finish)(1, 1, acc, c + (ptrdiff_t)i * c_row + v * AMX_SIDE, c_row, n, finish,
                               other + (other ? (ptrdiff_t)i * other_row + (ptrdiff_t)(v * AMX_SIDE) : 0),
                               other_row);
            }
        }
    }
}

/* Eight products of whole tiles a round: two each into four sums, which hides the latency of 52 cycles behind 16 a product. */
enum { BF16_PEAK_CHAINS = 8 * AMX_SIDE * AMX_SIDE };
static double bf16_peak(size_t iterations)
{
    float sum[AMX_SIDE][AMX_SIDE];
    amx_enter();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
    for (size_t i = 0; i < iterations; i++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sum, AMX_SIDE * 4);
    amx_leave();
    return (double)sum[0][0];
}

#define BF16_TILE_ROWS {0, 2 * AMX_SIDE, 2 * AMX_SIDE, 2 * AMX_SIDE, 2 * AMX_SIDE}
#define BF16_ENTER amx_enter
#define BF16_LEAVE amx_leave
