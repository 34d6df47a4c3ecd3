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
INLINE void P(input_block)(int count, int vectors, size_t r, size_t rows, size_t depth, const int64_t *index,
                           const REAL *x, const REAL *w, const REAL *bias, size_t units, int relu,
                           fnn_activation_forward *activation, REAL *out, size_t ldo)
{
    const size_t width = (size_t)vectors * LANES;
    const vec iota = v_load(P(IOTA));
    const REAL *p[8];
    vec acc[8][2];
#pragma GCC unroll 8
    for (int i = 0; i < count; i++) {
        size_t at = r + (size_t)i < rows ? r + (size_t)i : rows - 1;
        p[i] = x + (index ? (size_t)index[at] : at) * depth;
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            acc[i][j] = v_load(bias + j * LANES);
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
    if (activation) {
        REAL block[8 * 2 * LANES];
#pragma GCC unroll 8
        for (int i = 0; i < count; i++)
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++)
                v_store(block + (i * vectors + j) * LANES, acc[i][j]);
        activation(1, (rows - r < (size_t)count ? rows - r : (size_t)count) * width, block, 0, block, 0);
#pragma GCC unroll 8
        for (int i = 0; i < count; i++)
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++)
                acc[i][j] = v_load(block + (i * vectors + j) * LANES);
    } else if (relu) {
#pragma GCC unroll 8
        for (int i = 0; i < count; i++)
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++)
                acc[i][j] = v_max(v_zero(), acc[i][j]);
    }
    out += r * ldo;
#pragma GCC unroll 8
    for (int i = 0; i < count; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            v_store(out + (size_t)i * ldo + j * LANES,
                    j < vectors - 1 ? acc[i][j] : P(with_one)(acc[i][j], iota, units - (width - LANES)));
}

INLINE void P(input_rows)(int vectors, size_t rows, size_t depth, const int64_t *index, const REAL *x,
                          const REAL *w, const REAL *bias, size_t units, int relu,
                          fnn_activation_forward *activation, REAL *out, size_t ldo)
{
    size_t r = 0;
    for (; r + 4 < rows && SIMD_INPUT_ROWS == 8; r += 8)
        P(input_block)(8, vectors, r, rows, depth, index, x, w, bias, units, relu, activation, out, ldo);
    for (; r < rows; r += 4)
        P(input_block)(4, vectors, r, rows, depth, index, x, w, bias, units, relu, activation, out, ldo);
}

static void P(input_forward)(size_t vectors, size_t rows, size_t depth, const int64_t *index, const void *x,
                             const void *w, const void *bias, size_t units, int relu,
                             fnn_activation_forward *activation, void *out, size_t ldo)
{
    if (vectors == 1)
        P(input_rows)(1, rows, depth, index, x, w, bias, units, relu, activation, out, ldo);
    else
        P(input_rows)(2, rows, depth, index, x, w, bias, units, relu, activation, out, ldo);
}

/* g[k] = sum over rows of x[index[r]][k] d[r], k < count; and the sum of d, for the bias. */
INLINE void P(input_gradient_)(int count, int vectors, size_t rows, size_t depth, const int64_t *index,
                               const REAL *x, const REAL *d, size_t ldd, REAL *g, REAL *bias)
{
    vec acc[SIMD_INPUT_DEPTH + 1][2];
#pragma GCC unroll 16
    for (int k = 0; k <= count; k++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            acc[k][j] = v_zero();
    for (size_t r = 0; r < rows; r++, d += ldd) {
        const REAL *row = x + (index ? (size_t)index[r] : r) * depth;
        vec dr[2];
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++) {
            dr[j] = v_load(d + j * LANES);
            acc[count][j] = v_add(acc[count][j], dr[j]);
        }
#pragma GCC unroll 16
        for (int k = 0; k < count; k++) {
            vec a = v_set1(row[k]);
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++)
                acc[k][j] = v_fma(a, dr[j], acc[k][j]);
        }
    }
#pragma GCC unroll 16
    for (int k = 0; k < count; k++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            v_store(g + (k * vectors + j) * LANES, acc[k][j]);
    if (bias)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            v_store(bias + j * LANES, acc[count][j]);
}

/* gradient (OUT: (depth + 1, vectors * lanes)) of a first layer, its last row the bias's; d: (rows, ldd), zero in lanes without unit. */
static void P(input_gradient)(size_t vectors, size_t rows, size_t depth, const int64_t *index, const void *x_,
                              const void *d, size_t ldd, void *gradient, int with_bias)
{
    const REAL *x = x_;
    REAL *g = gradient, *bias = g + depth * vectors * LANES;
    for (size_t k = 0; k < depth; k += SIMD_INPUT_DEPTH) {
        size_t count = depth - k < SIMD_INPUT_DEPTH ? depth - k : SIMD_INPUT_DEPTH;
        REAL *b = with_bias && k == 0 ? bias : NULL, *at = g + k * vectors * LANES;
#define CASE(n, v)                                                                                          \
    case n * 2 + v - 1:                                                                                     \
        if (n <= SIMD_INPUT_DEPTH)                                                                          \
            P(input_gradient_)(n <= SIMD_INPUT_DEPTH ? n : 1, v, rows, depth, index, x + k, d, ldd, at, b); \
        break;
#define BOTH(n) CASE(n, 1) CASE(n, 2)
        switch (count * 2 + vectors - 1) {
            BOTH(1) BOTH(2) BOTH(3) BOTH(4) BOTH(5) BOTH(6) BOTH(7) BOTH(8) BOTH(9) BOTH(10) BOTH(11) BOTH(12)
        }
#undef BOTH
#undef CASE
    }
}

/* The last layer's few units backward and its gradient, in one pass over the rows of its input a (rows, lda; a one behind the
   `inputs` values): d[r] (OUT: (rows, ldd)) = sum over units j of delta[j][r] w[j], where relu is set only where a > 0;
   gradient[j] (OUT: (units, stride)) = sum over rows of delta[j][r] a[r]. */
INLINE void P(few_backward_)(int units, int vectors, size_t rows, size_t inputs, const REAL *a, size_t lda,
                             const REAL *delta, size_t ld_delta, const REAL *w, size_t stride, int relu,
                             REAL *d, size_t ldd, REAL *gradient, int with_bias)
{
    const size_t last = inputs - (size_t)(vectors - 1) * LANES;
    vec acc[4][2], one[4], wj[4][2];
#pragma GCC unroll 4
    for (int j = 0; j < units; j++) {
        one[j] = v_zero();
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            acc[j][v] = v_zero();
            wj[j][v] = v < vectors - 1 ? v_load(w + (size_t)j * stride + v * LANES)
                                       : v_load_n(w + (size_t)j * stride + v * LANES, last);
        }
    }
    for (size_t r = 0; r < rows; r++, a += lda, d += ldd) {
        vec ar[2], back[2];
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            ar[v] = v_load(a + v * LANES);
            back[v] = v_zero();
        }
#pragma GCC unroll 4
        for (int j = 0; j < units; j++) {
            vec dj = v_set1(delta[(size_t)j * ld_delta + r]);
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
        REAL lanes[LANES];
        v_store(lanes, one[j]);
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            v_store(gradient + (size_t)j * stride + v * LANES, acc[j][v]);
        gradient[(size_t)j * stride + inputs] = with_bias ? lanes[0] : 0;
    }
}

static void P(few_backward)(size_t units, size_t vectors, size_t rows, size_t inputs, const void *a,
                            size_t lda, const void *delta, size_t ld_delta, const void *w, size_t stride,
                            int relu, void *d, size_t ldd, void *gradient, int with_bias)
{
#define CASE(n, v)                                                                                       \
    case n * 2 + v - 1:                                                                                  \
        P(few_backward_)(n, v, rows, inputs, a, lda, delta, ld_delta, w, stride, relu, d, ldd, gradient, \
                         with_bias);                                                                     \
        break;
    switch (units * 2 + vectors - 1) {
        CASE(1, 1) CASE(2, 1) CASE(3, 1) CASE(4, 1) CASE(1, 2) CASE(2, 2) CASE(3, 2) CASE(4, 2)
    }
#undef CASE
}

static int P(tiny_step)(const fnn_tiny *t, size_t rows, const int64_t *index, const void *x, const void *y,
                        const void *weight, void *w_, double scale, const double *hyper, double *lanes16)
{
    REAL *w = w_, *a = t->a, *d = t->d, *z = t->z, *targets = t->y, *delta = t->delta,
         *gradients = t->gradients;
    REAL *values = t->values, *weights = weight ? t->weight : NULL, h[4];
    /* columns have the room, and whole vectors are faster to store and load again */
    const size_t ld = t->ld, padded = (rows + 15) / 16 * 16;
    int bad = 2 * P(gather_columns)(rows, t->targets, index, y, t->targets, targets, ld);
    if (weight)
        bad |= 4 * P(gather_columns)(rows, 1, index, weight, 1, weights, ld);
    P(input_forward)(t->vectors, rows, t->inputs, index, x, w + t->first,
                     w + t->first + t->inputs * t->vectors * LANES, t->units, t->relu, t->forward, a, t->lda);
    for (size_t j = 0; j < t->outputs; j++)
        P(dot_rows)(rows % 16 > 4 ? padded : rows, t->stride, a, t->lda, w + t->last + j * t->stride,
                    z + j * ld);
    if (t->last_forward)
        t->last_forward(t->outputs, padded, z, ld, z, ld);
    t->loss(rows, t->outputs, z, ld, targets, ld, weights, scale, delta, ld, values);
    if (t->last_backward)
        t->last_backward(t->outputs, padded, z, ld, delta, ld);
    P(few_backward)(t->outputs, t->vectors, rows, t->units, a, t->lda, delta, ld, w + t->last, t->stride,
                    t->relu, d, t->ldd, gradients + t->last, t->last_bias);
    if (t->backward)
        t->backward(rows, t->units, a, t->lda, d, t->ldd);
    P(input_gradient)(t->vectors, rows, t->inputs, index, x, d, t->ldd, gradients + t->first, t->first_bias);
    for (int i = 0; i < 4; i++)
        h[i] = (REAL)hyper[i];
    t->optimizer(t->parameters, gradients, w, w + t->parameters, w + 2 * t->parameters, h);
    P(sum_lanes)(rows, values, lanes16);
    for (size_t c = 1; c < t->columns; c++) {
        if (t->metric_loss[c])
            t->metric_loss[c](rows, t->outputs, z, ld, targets, ld, NULL, 1.0, NULL, ld, values);
        else
            t->metric[c](rows, t->outputs, z, ld, targets, ld, values);
        P(sum_lanes)(rows, values, lanes16 + 16 * c);
    }
    return bad;
}
