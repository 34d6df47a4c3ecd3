/* The product of bf16.h by AMX: up to 32 x 32 sums in four tile registers, fed by two tiles of each operand. A tile register is 16 rows
   of 16 pairs (or floats). What a matrix does not fill is copied into a block of zeros first, so nothing beyond an operand is read.

   The order of a sum is the hardware's: from `init` on, blocks of 32 numbers of depth in order, each as tdpbf16ps adds it. */
#include <string.h>
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

/* Rows <= 16 of columns <= 16 pairs of an operand, in a block of zeros. */
INLINE void amx_copy(const fnn_pair *from, ptrdiff_t stride, size_t rows, size_t columns,
                     fnn_pair block[AMX_SIDE][AMX_SIDE])
{
    for (size_t i = 0; i < rows; i++)
        v_store((float *)block[i], v_load_n((const float *)(from + (ptrdiff_t)i * stride), columns));
}

/* What a block leaves to be done with its sums, a row at a time. What the tile registers have stored can be read only some 100 cycles
   later, so a block's sums are finished between the products of the next one. */
typedef struct {
    const float *sum, *other;
    float *c;
    ptrdiff_t c_row, other_row;
    size_t rows, vectors, last;
    int finish;
} amx_rest;

INLINE void amx_finish_rows(amx_rest *rest, size_t rows, size_t vectors, size_t last, int finish)
{
    for (size_t i = 0; i < rows; i++) {
        vec acc[FNN_TILE_ROWS_MAX][FNN_PANEL_VECTORS_MAX] = {{v_load(rest->sum)}};
        if (vectors == 2)
            acc[0][1] = v_load(rest->sum + AMX_SIDE);
        P(tile_finish)(1, (int)vectors, acc, rest->c, 0, last, finish, rest->other, 0);
        rest->sum += 2 * AMX_SIDE;
        rest->c += rest->c_row;
        if (finish == FNN_RELU_SLOPE)
            rest->other += rest->other_row;
    }
    rest->rows -= rows;
}

static void amx_finish(amx_rest *rest, size_t rows)
{
    rows = rows < rest->rows ? rows : rest->rows;
    if (rest->vectors == 2 && rest->last == AMX_SIDE && rest->finish == FNN_RELU)
        amx_finish_rows(rest, rows, 2, AMX_SIDE, FNN_RELU);
    else if (rest->vectors == 2 && rest->last == AMX_SIDE && rest->finish == FNN_ADD)
        amx_finish_rows(rest, rows, 2, AMX_SIDE, FNN_ADD);
    else if (rest->vectors == 2 && rest->last == AMX_SIDE && rest->finish == FNN_RELU_SLOPE)
        amx_finish_rows(rest, rows, 2, AMX_SIDE, FNN_RELU_SLOPE);
    else
        amx_finish_rows(rest, rows, rest->vectors, rest->last, rest->finish);
}

/* 16 pairs of the depth of a block: its sums (registers 0 to 3) += a @ b. strides: pairs, of a's upper and lower rows and b's left and
   right columns. */
INLINE void amx_step(int tall, int wide, const fnn_pair *const part[4], const ptrdiff_t stride[4])
{
    __asm__ volatile("" ::: "memory"); /* compilers are not told that loading a tile reads memory */
    _tile_loadd(4, part[0], stride[0] * 4);
    _tile_loadd(6, part[2], stride[2] * 4);
    _tile_dpbf16ps(0, 4, 6);
    if (wide) {
        _tile_loadd(7, part[3], stride[3] * 4);
        _tile_dpbf16ps(1, 4, 7);
    }
    if (tall) {
        _tile_loadd(5, part[1], stride[1] * 4);
        _tile_dpbf16ps(2, 5, 6);
        if (wide)
            _tile_dpbf16ps(3, 5, 7);
    }
    __asm__ volatile("" ::: "memory");
}

/* The sums of a block start from `init` in each row (NULL: from zero). */
INLINE void amx_load(int tall, int wide, const float *init)
{
    __asm__ volatile("" ::: "memory");
    if (!init) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        return;
    }
    _tile_loadd(0, init, 0);
    if (wide)
        _tile_loadd(1, init + AMX_SIDE, 0);
    if (tall)
        _tile_loadd(2, init, 0);
    if (tall && wide)
        _tile_loadd(3, init + AMX_SIDE, 0);
}

INLINE void amx_store(int tall, int wide, float *sum, ptrdiff_t ld)
{
    _tile_stored(0, sum, ld * 4);
    if (wide)
        _tile_stored(1, sum + AMX_SIDE, ld * 4);
    if (tall)
        _tile_stored(2, sum + AMX_SIDE * ld, ld * 4);
    if (tall && wide)
        _tile_stored(3, sum + AMX_SIDE * ld + AMX_SIDE, ld * 4);
    __asm__ volatile("" ::: "memory");
}

/* sum (OUT: 32 x 32, or of them what `tall` and `wide` leave, ld apart) = init + a @ b; rows > 16 only if tall. Meanwhile `rest` is
   finished. What fills no tile is copied well before it is loaded, which waits for what was just stored. */
INLINE void amx_block(int tall, int wide, size_t rows, size_t depth, const fnn_pair *a, ptrdiff_t a_row,
                      const fnn_pair *b, ptrdiff_t b_step, ptrdiff_t b_vector, const float *init, float *sum,
                      ptrdiff_t ld, amx_rest *rest)
{
    enum { RUN = 8 }; /* steps whose copies are made at once */
    fnn_pair run[RUN][AMX_SIDE][AMX_SIDE] __attribute__((aligned(64)));
    fnn_pair end[4][AMX_SIDE][AMX_SIDE] __attribute__((aligned(64)));
    const fnn_pair *part[4] = {a, a + AMX_SIDE * a_row, b, b + b_vector};
    ptrdiff_t stride[4] = {a_row, a_row, b_step, b_step};
    const size_t steps = depth / AMX_SIDE, left = depth % AMX_SIDE, ragged = rows % AMX_SIDE;
    const size_t each = rest->rows ? rest->rows / (steps + 1) + 1 : 0;
    const int last = tall ? 1 : 0; /* the part with the last rows */
    if (left) {
        const size_t at = steps * AMX_SIDE, up = tall ? AMX_SIDE : rows;
        memset(end, 0, sizeof end);
        amx_copy(part[0] + at, a_row, up, left, end[0]);
        if (tall)
            amx_copy(part[1] + at, a_row, rows - AMX_SIDE, left, end[1]);
        amx_copy(part[2] + (ptrdiff_t)at * b_step, b_step, left, AMX_SIDE, end[2]);
        if (wide)
            amx_copy(part[3] + (ptrdiff_t)at * b_step, b_step, left, AMX_SIDE, end[3]);
    }
    if (ragged)
        memset(run, 0, (steps < RUN ? steps : RUN) * sizeof run[0]);
    amx_load(tall, wide, init);
    for (size_t s = 0; s < steps; s++) {
        const fnn_pair *const rows_of = part[last];
        if (ragged) {
            for (size_t k = s; s % RUN == 0 && k < steps && k < s + RUN; k++)
                amx_copy(rows_of + (k - s) * AMX_SIDE, a_row, ragged, AMX_SIDE, run[k - s]);
            part[last] = run[s % RUN][0];
            stride[last] = AMX_SIDE;
        }
        amx_step(tall, wide, part, stride);
        part[last] = rows_of;
        part[0] += AMX_SIDE;
        part[1] += AMX_SIDE;
        part[2] += AMX_SIDE * b_step;
        part[3] += AMX_SIDE * b_step;
        if (rest->rows)
            amx_finish(rest, each);
    }
    if (left) {
        const fnn_pair *const ends[4] = {end[0][0], end[1][0], end[2][0], end[3][0]};
        amx_step(tall, wide, ends, (const ptrdiff_t[]){AMX_SIDE, AMX_SIDE, AMX_SIDE, AMX_SIDE});
    }
    amx_store(tall, wide, sum, ld);
}

static void amx_any_block(int tall, int wide, size_t rows, size_t depth, const fnn_pair *a, ptrdiff_t a_row,
                          const fnn_pair *b, ptrdiff_t b_step, ptrdiff_t b_vector, const float *init,
                          float *sum, ptrdiff_t ld, amx_rest *rest)
{
    if (tall && wide)
        amx_block(1, 1, rows, depth, a, a_row, b, b_step, b_vector, init, sum, ld, rest);
    else if (tall)
        amx_block(1, 0, rows, depth, a, a_row, b, b_step, b_vector, init, sum, ld, rest);
    else if (wide)
        amx_block(0, 1, rows, depth, a, a_row, b, b_step, b_vector, init, sum, ld, rest);
    else
        amx_block(0, 0, rows, depth, a, a_row, b, b_step, b_vector, init, sum, ld, rest);
}

/* Two vectors of a panel by all rows before the next two: 32 x 32 sums a block, while that part of b stays in the first-level cache. What
   needs nothing else goes from the tile registers to c. */
static void bf16_product(size_t rows, size_t vectors, size_t depth, const fnn_pair *a, ptrdiff_t a_row,
                         const fnn_pair *b, ptrdiff_t b_step, ptrdiff_t b_vector, const float *init, float *c,
                         ptrdiff_t c_row, size_t last, int finish, const float *other, ptrdiff_t other_row)
{
    float room[2][2 * AMX_SIDE][2 * AMX_SIDE] __attribute__((aligned(64)));
    amx_rest rest = {.rows = 0};
    int turn = 0;
    for (size_t j = 0; j < vectors; j += 2) {
        const int wide = vectors - j > 1;
        const size_t columns = j + 2 < vectors ? AMX_SIDE : last; /* of its last vector */
        const float *start = init ? init + j * AMX_SIDE : NULL;
        for (size_t i = 0, n; i < rows; i += n) {
            n = rows - i < 2 * AMX_SIDE ? rows - i : 2 * AMX_SIDE;
            float *to = c + (ptrdiff_t)i * c_row + j * AMX_SIDE;
            const int direct = finish == FNN_STORE && n % AMX_SIDE == 0 && columns == AMX_SIDE;
            float *sum = direct ? to : &room[turn ^= 1][0][0];
            amx_any_block(n > AMX_SIDE, wide, n, depth, a + (ptrdiff_t)i * a_row, a_row,
                          b + (ptrdiff_t)j * b_vector, b_step, b_vector, start, sum,
                          direct ? c_row : 2 * AMX_SIDE, &rest);
            if (direct)
                continue;
            amx_finish(&rest, rest.rows);
            rest = (amx_rest){
                .sum = sum,
                .other = other ? other + (ptrdiff_t)i * other_row + (ptrdiff_t)(j * AMX_SIDE) : NULL,
                .c = to,
                .c_row = c_row,
                .other_row = other_row,
                .rows = n,
                .vectors = 1 + (size_t)wide,
                .last = columns,
                .finish = finish,
            };
        }
    }
    amx_finish(&rest, rest.rows);
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

#define BF16_ENTER amx_enter
#define BF16_LEAVE amx_leave
