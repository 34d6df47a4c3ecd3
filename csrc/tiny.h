/* Tiny networks: kernels that take a whole layer of one or two vectors through a batch in one pass, and read the first layer's
   rows where the data lies. Sums are those of the register tiles and of dot_rows, in the same order. */

/* Lanes below n of each vector from x, then one 1 (the bias's input), then zeros. */
INLINE vec P(with_one)(vec x, vec iota, size_t n)
{
    vec at = v_set1((REAL)n);
    return v_select(v_lt(iota, at), x, v_select(v_eq(iota, at), ONE, v_zero()));
}
static const REAL P(IOTA)[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* `count` (a compile-time constant) rows from place r on; those beyond the last repeat it. */
INLINE void P(input_block)(const fnn_tiny *t, int count, int vectors, size_t r, size_t rows,
                           const int64_t *index, const REAL *x, const REAL *w, REAL *out)
{
    const size_t width = (size_t)vectors * LANES, depth = t->inputs;
    const vec iota = v_load(P(IOTA));
    const REAL *p[8];
    REAL *kept = t->kept ? (REAL *)t->kept + r * t->lda : NULL;
    vec acc[8][2];
#pragma GCC unroll 8
    for (int i = 0; i < count; i++) {
        size_t at = r + (size_t)i < rows ? r + (size_t)i : rows - 1;
        p[i] = x + (index ? (size_t)index[at] : at) * depth;
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            acc[i][j] = v_load(w + depth * width + j * LANES);
    }
    for (size_t k = 0; k < depth; k++, w += width) {
        vec b[2];
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            b[j] = v_load(w + j * LANES);
#pragma GCC unroll 8
        for (int i = 0; i < count; i++) {
            vec a = v_set1(p[i][k]);
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++)
                acc[i][j] = v_fma(a, b[j], acc[i][j]);
        }
    }
    if (t->forward) {
        REAL block[8 * 2 * LANES];
#pragma GCC unroll 8
        for (int i = 0; i < count; i++)
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++)
                v_store(block + (i * vectors + j) * LANES, acc[i][j]);
        if (kept)
#pragma GCC unroll 8
            for (int i = 0; i < count; i++)
#pragma GCC unroll 2
                for (int j = 0; j < vectors; j++)
                    v_store(kept + (size_t)i * t->lda + j * LANES, acc[i][j]);
        t->forward(1, (rows - r < (size_t)count ? rows - r : (size_t)count) * width, block, 0, block, 0,
                   t->p);
#pragma GCC unroll 8
        for (int i = 0; i < count; i++)
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++)
                acc[i][j] = v_load(block + (i * vectors + j) * LANES);
    } else if (t->relu) {
#pragma GCC unroll 8
        for (int i = 0; i < count; i++)
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++)
                acc[i][j] = v_max(v_zero(), acc[i][j]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < count; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            v_store(out + (size_t)i * t->lda + j * LANES,
                    j < vectors - 1 ? acc[i][j] : P(with_one)(acc[i][j], iota, t->units - (width - LANES)));
}

INLINE void P(input_rows)(const fnn_tiny *t, int vectors, size_t rows, const int64_t *index, const REAL *x,
                          const REAL *w, REAL *out)
{
    size_t r = 0;
    for (; r + 4 < rows && SIMD_INPUT_ROWS == 8; r += 8)
        P(input_block)(t, 8, vectors, r, rows, index, x, w, out + r * t->lda);
    for (; r < rows; r += 4)
        P(input_block)(t, 4, vectors, r, rows, index, x, w, out + r * t->lda);
}

static void P(input_forward)(const fnn_tiny *t, size_t rows, const int64_t *index, const void *x,
                             const void *w_)
{
    const REAL *w = (const REAL *)w_ + t->first;
    REAL *out = t->a;
    if (t->vectors == 1)
        P(input_rows)(t, 1, rows, index, x, w, out);
    else
        P(input_rows)(t, 2, rows, index, x, w, out);
}

/* Inputs k to k + count: g[k] = sum over rows of x[index[r]][k] d[r]; and the sum of d, for the bias. */
INLINE void P(input_gradient_)(const fnn_tiny *t, int count, int vectors, size_t k, size_t rows,
                               const int64_t *index, const REAL *x)
{
    const REAL *d = t->d;
    REAL *g = (REAL *)t->gradients + t->first;
    const size_t width = (size_t)vectors * LANES;
    vec acc[SIMD_INPUT_DEPTH + 1][2];
#pragma GCC unroll 16
    for (int i = 0; i <= count; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            acc[i][j] = v_zero();
    for (size_t r = 0; r < rows; r++, d += t->ldd) {
        const REAL *row = x + (index ? (size_t)index[r] : r) * t->inputs + k;
        vec dr[2];
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++) {
            dr[j] = v_load(d + j * LANES);
            acc[count][j] = v_add(acc[count][j], dr[j]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < count; i++) {
            vec a = v_set1(row[i]);
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++)
                acc[i][j] = v_fma(a, dr[j], acc[i][j]);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < count; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            v_store(g + (k + (size_t)i) * width + j * LANES, acc[i][j]);
    if (k == 0 && t->first_bias)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            v_store(g + t->inputs * width + j * LANES, acc[count][j]);
}

static void P(input_gradient)(const fnn_tiny *t, size_t rows, const int64_t *index, const void *x)
{
    for (size_t k = 0; k < t->inputs; k += SIMD_INPUT_DEPTH) {
        size_t count = t->inputs - k < SIMD_INPUT_DEPTH ? t->inputs - k : SIMD_INPUT_DEPTH;
#define CASE(n, v)                                                                      \
    case n * 2 + v - 1:                                                                 \
        if (n <= SIMD_INPUT_DEPTH)                                                      \
            P(input_gradient_)(t, n <= SIMD_INPUT_DEPTH ? n : 1, v, k, rows, index, x); \
        break;
#define BOTH(n) CASE(n, 1) CASE(n, 2)
        switch (count * 2 + t->vectors - 1) {
            BOTH(1) BOTH(2) BOTH(3) BOTH(4) BOTH(5) BOTH(6) BOTH(7) BOTH(8) BOTH(9) BOTH(10) BOTH(11) BOTH(12)
        }
#undef BOTH
#undef CASE
    }
}

/* The last layer of few units backward, and its gradient, in one pass over the rows of a:
   d[r] = sum over units j of delta[j][r] w[j] (relu: where a > 0), gradient[j] = sum over r of delta[j][r] a[r]. */
INLINE void P(few_backward_)(const fnn_tiny *t, int units, int vectors, size_t rows, const REAL *w)
{
    const REAL *a = t->a, *delta = t->delta;
    REAL *d = t->d, *gradient = (REAL *)t->gradients + t->last;
    const size_t last = t->units - (size_t)(vectors - 1) * LANES;
    const int relu = t->relu;
    vec acc[FNN_FEW_UNITS][2], one[FNN_FEW_UNITS], wj[FNN_FEW_UNITS][2];
#pragma GCC unroll 4
    for (int j = 0; j < units; j++) {
        const REAL *row = w + (size_t)j * t->stride;
        one[j] = v_zero();
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            acc[j][v] = v_zero();
            wj[j][v] = v < vectors - 1 ? v_load(row + v * LANES) : v_load_n(row + v * LANES, last);
        }
    }
    for (size_t r = 0; r < rows; r++, a += t->lda, d += t->ldd) {
        vec ar[2], back[2];
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            ar[v] = v_load(a + v * LANES);
            back[v] = v_zero();
        }
#pragma GCC unroll 4
        for (int j = 0; j < units; j++) {
            vec dj = v_set1(delta[(size_t)j * t->ld + r]);
            one[j] = v_add(one[j], dj);
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++) {
                acc[j][v] = v_fma(dj, ar[v], acc[j][v]);
                back[v] = v_fma(dj, wj[j][v], back[v]);
            }
        }
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            v_store(d + v * LANES, relu ? v_select(v_lt(v_zero(), ar[v]), back[v], v_zero()) : back[v]);
    }
#pragma GCC unroll 4
    for (int j = 0; j < units; j++) {
        REAL lanes[LANES], *row = gradient + (size_t)j * t->stride;
        v_store(lanes, one[j]);
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            v_store(row + v * LANES, acc[j][v]);
        row[t->units] = t->last_bias ? lanes[0] : 0;
    }
}

static void P(few_backward)(const fnn_tiny *t, size_t rows, const REAL *w)
{
#define CASE(n, v)                                    \
    case n * 2 + v - 1:                               \
        P(few_backward_)(t, n, v, rows, w + t->last); \
        break;
    switch (t->outputs * 2 + t->vectors - 1) {
        CASE(1, 1) CASE(2, 1) CASE(3, 1) CASE(4, 1) CASE(1, 2) CASE(2, 2) CASE(3, 2) CASE(4, 2)
    }
#undef CASE
}

/* Columns of y or of weights, whose values were looked at before the training. */
INLINE void P(few_columns)(size_t rows, size_t n, const int64_t *index, const REAL *x, REAL *out, size_t ldo)
{
    if (n > 1 || !index) {
        P(gather_columns)(rows, n, index, x, n, out, ldo);
        return;
    }
    size_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        REAL a = x[index[r]], b = x[index[r + 1]], c = x[index[r + 2]], d = x[index[r + 3]];
        out[r] = a, out[r + 1] = b, out[r + 2] = c, out[r + 3] = d;
    }
    for (; r < rows; r++)
        out[r] = x[index[r]];
}

static void P(tiny_step)(const fnn_tiny *t, size_t rows, const int64_t *index, const void *x, const void *y,
                         const void *weight, void *w_, double scale, const double *hyper, double *lanes16)
{
    REAL *w = w_, *z = t->z, *values = t->values, *weights = weight ? t->weight : NULL, h[FNN_HYPER_MAX];
    /* columns have the room, and whole vectors are faster to store and load again */
    const size_t ld = t->ld, padded = (rows + 15) / 16 * 16;
    P(few_columns)(rows, t->targets, index, y, t->y, ld);
    if (weight)
        P(few_columns)(rows, 1, index, weight, weights, ld);
    P(input_forward)(t, rows, index, x, w);
    for (size_t j = 0; j < t->outputs; j++)
        P(dot_rows)(rows % 16 > 2 ? padded : rows, t->stride, t->a, t->lda, w + t->last + j * t->stride,
                    z + j * ld);
    if (t->last_forward)
        t->last_forward(t->outputs, padded, z, ld, z, ld, t->last_p);
    t->loss(rows, t->outputs, z, ld, t->y, ld, weights, scale, t->delta, ld, values, t->loss_p);
    if (t->last_backward)
        t->last_backward(t->outputs, padded, z, ld, t->delta, ld, t->last_p);
    P(few_backward)(t, rows, w);
    if (t->backward)
        t->backward(rows, t->vectors * LANES, t->kept ? t->kept : t->a, t->lda, t->d, t->ldd, t->p);
    P(input_gradient)(t, rows, index, x);
    for (int i = 0; i < FNN_HYPER_DECAY; i++)
        h[i] = (REAL)hyper[i];
    if (t->clip_and_decay) {
        h[FNN_HYPER_DECAY] = (REAL)hyper[FNN_HYPER_DECAY];
        h[FNN_HYPER_LIMIT] = (REAL)hyper[FNN_HYPER_LIMIT];
        t->clip_and_decay(t->parameters, t->gradients, w, h);
    }
    t->optimizer(t->parameters, t->gradients, w, w + t->parameters, w + 2 * t->parameters,
                 w + 3 * t->parameters, h);
    P(sum_lanes)(rows, values, lanes16);
}
