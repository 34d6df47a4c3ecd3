/* Tiny networks of one shape side by side: each lane of a vector is a model. What is a chain of latencies in one network is one in all of
   them at once, and no lane is empty where a layer has few units. Every number takes the steps that tiny.h lets it take, in the same
   order. A matrix (rows, n) of all models lies as (rows, n, LANES); columns, as losses read them, have LANES values for each row. */

/* Model m's row index[m][r] (NULL: r) of x[m] becomes lane m of out[r]. */
static void P(lanes_rows)(size_t rows, size_t n, const int64_t *const *index, const void *const *x, REAL *out)
{
    for (size_t r = 0; r < rows; r++, out += n * LANES)
        for (size_t k = 0; k < n; k += LANES) {
            const size_t count = n - k < LANES ? n - k : LANES;
            vec t[LANES];
#pragma GCC unroll 16
            for (size_t m = 0; m < LANES; m++) {
                const REAL *row = (const REAL *)x[m] + (index[m] ? (size_t)index[m][r] : r) * n + k;
                t[m] = count == LANES ? v_load(row) : v_load_n(row, count);
            }
            v_transpose(t);
            for (size_t i = 0; i < count; i++)
                v_store(out + (k + i) * LANES, t[i]);
        }
}

/* The same of few columns, each of its own: out[j][r]. */
static void P(lanes_columns)(size_t rows, size_t n, const int64_t *const *index, const void *const *x,
                             REAL *out, size_t ld)
{
    for (size_t m = 0; m < LANES; m++) {
        const REAL *from = x[m];
        for (size_t r = 0; r < rows; r++) {
            const REAL *row = from + (index[m] ? (size_t)index[m][r] : r) * n;
            for (size_t j = 0; j < n; j++)
                out[j * ld + r * LANES + m] = row[j];
        }
    }
}

/* out[i][u] = init[u] (NULL: 0) + sum over t of a[i * a_row + t * a_step] * b[t * n + u], by fma in the order of t; `count` rows i and
   `units` units u are compile-time constants, n the leading dimension of b and out. Both of a layer's products: t is an input of its
   way forward, and a row of its gradient. */
INLINE void P(lanes_product)(int count, int units, size_t steps, const REAL *a, size_t a_row, size_t a_step,
                             const REAL *b, size_t n, const REAL *init, int relu, REAL *out)
{
    vec acc[2][4];
#pragma GCC unroll 2
    for (int i = 0; i < count; i++)
#pragma GCC unroll 4
        for (int u = 0; u < units; u++)
            acc[i][u] = init ? v_load(init + u * LANES) : v_zero();
    for (size_t t = 0; t < steps; t++, a += a_step * LANES, b += n * LANES) {
        vec bt[4];
#pragma GCC unroll 4
        for (int u = 0; u < units; u++)
            bt[u] = v_load(b + u * LANES);
#pragma GCC unroll 2
        for (int i = 0; i < count; i++) {
            const vec at = v_load(a + i * a_row * LANES);
#pragma GCC unroll 4
            for (int u = 0; u < units; u++)
                acc[i][u] = v_fma(at, bt[u], acc[i][u]);
        }
    }
#pragma GCC unroll 2
    for (int i = 0; i < count; i++)
#pragma GCC unroll 4
        for (int u = 0; u < units; u++)
            v_store(out + (i * n + u) * LANES, relu ? v_max(v_zero(), acc[i][u]) : acc[i][u]);
}

INLINE void P(lanes_forward_rows)(int count, const fnn_tiny *t, const REAL *x, const REAL *w, REAL *out)
{
    const size_t n = t->units, depth = t->inputs;
    const REAL *bias = w + depth * n * LANES;
    size_t u = 0;
    for (; u + 4 <= n; u += 4)
        P(lanes_product)(count, 4, depth, x, depth, 1, w + u * LANES, n, bias + u * LANES, t->relu,
                         out + u * LANES);
    for (; u < n; u++)
        P(lanes_product)(count, 1, depth, x, depth, 1, w + u * LANES, n, bias + u * LANES, t->relu,
                         out + u * LANES);
}

static void P(lanes_forward)(const fnn_lanes *g, const fnn_tiny *t, size_t rows, const REAL *w)
{
    const REAL *x = g->x;
    REAL *out = t->kept ? g->kept : g->a;
    const size_t all = rows * t->units * LANES;
    size_t r = 0;
    for (; r + 2 <= rows; r += 2)
        P(lanes_forward_rows)(2, t, x + r * t->inputs * LANES, w, out + r * t->units * LANES);
    if (r < rows)
        P(lanes_forward_rows)(1, t, x + r * t->inputs * LANES, w, out + r * t->units * LANES);
    if (t->forward)
        t->forward(1, all, out, 0, g->a, 0, t->p);
}

/* One unit of the last layer: dot_rows' virtual lanes, the one behind the units and the zeros behind that included, and their tree. */
static void P(lanes_last)(const fnn_tiny *t, size_t rows, const REAL *a, const REAL *w, REAL *z)
{
    const size_t n = t->units; /* at most 15 */
    const vec bias = v_fma(ONE, v_load(w + n * LANES), v_zero());
    vec s[16];
    for (size_t l = 0; l < 16; l++)
        s[l] = l == n ? bias : v_zero();
    for (size_t r = 0; r < rows; r++, a += n * LANES) {
        for (size_t l = 0; l < n; l++)
            s[l] = v_fma(v_load(a + l * LANES), v_load(w + l * LANES), v_zero());
        vec t8[8];
#pragma GCC unroll 8
        for (size_t l = 0; l < 8; l++)
            t8[l] = v_add(s[l], s[l + 8]);
#pragma GCC unroll 4
        for (size_t l = 0; l < 4; l++)
            t8[l] = v_add(t8[l], t8[l + 4]);
        v_store(z + r * LANES, v_add(v_add(t8[0], t8[2]), v_add(t8[1], t8[3])));
    }
}

/* `units` hidden units (a compile-time constant) from u on: their deltas, and the last layer's gradients. */
INLINE void P(lanes_back_block)(const fnn_lanes *g, const fnn_tiny *t, int outputs, int units, size_t u,
                                size_t rows, const REAL *w, REAL *gradient)
{
    const size_t n = t->units;
    const REAL *a = (const REAL *)g->a + u * LANES, *delta = g->delta;
    REAL *d = (REAL *)g->d + u * LANES;
    vec acc[FNN_FEW_UNITS][2], wj[FNN_FEW_UNITS][2];
#pragma GCC unroll 4
    for (int j = 0; j < outputs; j++)
#pragma GCC unroll 2
        for (int i = 0; i < units; i++) {
            acc[j][i] = v_zero();
            wj[j][i] = v_load(w + (j * (n + 1) + u + i) * LANES);
        }
    for (size_t r = 0; r < rows; r++, a += n * LANES, d += n * LANES) {
        vec back[2];
#pragma GCC unroll 2
        for (int i = 0; i < units; i++)
            back[i] = v_zero();
#pragma GCC unroll 4
        for (int j = 0; j < outputs; j++) {
            const vec dj = v_load(delta + j * g->ld + r * LANES);
#pragma GCC unroll 2
            for (int i = 0; i < units; i++) {
                acc[j][i] = v_fma(dj, v_load(a + i * LANES), acc[j][i]);
                back[i] = v_fma(dj, wj[j][i], back[i]);
            }
        }
#pragma GCC unroll 2
        for (int i = 0; i < units; i++)
            v_store(d + i * LANES,
                    t->relu ? v_select(v_lt(v_zero(), v_load(a + i * LANES)), back[i], v_zero()) : back[i]);
    }
#pragma GCC unroll 4
    for (int j = 0; j < outputs; j++)
#pragma GCC unroll 2
        for (int i = 0; i < units; i++)
            v_store(gradient + (j * (n + 1) + u + i) * LANES, acc[j][i]);
}

INLINE void P(lanes_back_)(const fnn_lanes *g, const fnn_tiny *t, int outputs, size_t rows, const REAL *w,
                           REAL *gradient)
{
    size_t u = 0;
    for (; u + 2 <= t->units; u += 2)
        P(lanes_back_block)(g, t, outputs, 2, u, rows, w, gradient);
    if (u < t->units)
        P(lanes_back_block)(g, t, outputs, 1, u, rows, w, gradient);
    for (int j = 0; j < outputs; j++) {
        const REAL *delta = (const REAL *)g->delta + j * g->ld;
        vec one = v_zero();
        for (size_t r = 0; r < rows; r++)
            one = v_add(one, v_load(delta + r * LANES));
        v_store(gradient + (j * (t->units + 1) + t->units) * LANES, t->last_bias ? one : v_zero());
    }
}

static void P(lanes_back)(const fnn_lanes *g, const fnn_tiny *t, size_t rows, const REAL *w, REAL *gradient)
{
    switch (t->outputs) {
    case 1:
        P(lanes_back_)(g, t, 1, rows, w, gradient);
        break;
    case 2:
        P(lanes_back_)(g, t, 2, rows, w, gradient);
        break;
    case 3:
        P(lanes_back_)(g, t, 3, rows, w, gradient);
        break;
    case 4:
        P(lanes_back_)(g, t, 4, rows, w, gradient);
        break;
    }
}

INLINE void P(lanes_gradient_units)(int units, const fnn_tiny *t, size_t rows, const REAL *x, const REAL *d,
                                    REAL *out)
{
    const size_t n = t->units, depth = t->inputs;
    size_t k = 0;
    for (; k + 2 <= depth; k += 2)
        P(lanes_product)(2, units, rows, x + k * LANES, 1, depth, d, n, NULL, 0, out + k * n * LANES);
    if (k < depth)
        P(lanes_product)(1, units, rows, x + k * LANES, 1, depth, d, n, NULL, 0, out + k * n * LANES);
    for (int u = 0; u < units; u++) {
        vec one = v_zero();
        for (size_t r = 0; r < rows; r++)
            one = v_add(one, v_load(d + (r * n + u) * LANES));
        v_store(out + (depth * n + u) * LANES, t->first_bias ? one : v_zero());
    }
}

/* Of n columns, the penalties of their `rows` numbers, `step` apart, added up in order, as penalty_columns does; the sums lie in lanes as
   sum_lanes lays them. */
static void P(lanes_penalties)(size_t n, size_t rows, size_t step, const REAL *w, const double *p,
                               double (*penalties16)[16])
{
    const vec l1 = v_set1((REAL)p[0]), l2 = v_set1((REAL)p[1]);
    for (size_t j = 0; j < n; j++) {
        REAL lane[LANES];
        vec sum = v_zero();
        for (size_t r = 0; r < rows; r++)
            sum = v_add(sum, P(penalty)(v_load(w + (r * step + j) * LANES), l1, l2));
        v_store(lane, sum);
        for (size_t m = 0; m < LANES; m++)
            penalties16[m][j % 16] += (double)lane[m];
    }
}

/* Slopes of the penalties of n numbers, added to their gradients. */
static void P(lanes_slopes)(size_t n, const REAL *w, const double *p, double shared, REAL *g)
{
    const double scaled[2] = {shared * p[0], shared * p[1]};
    if (p[0] != 0 || p[1] != 0)
        P(add_slopes)(1, n * LANES, w, 0, scaled, g, 0, g, 0);
}

static void P(lanes_penalize)(const fnn_lanes *g, const fnn_tiny *t, const REAL *w, REAL *gradients,
                              double (*penalties16)[16])
{
    const size_t n = t->units, first = (t->inputs + 1) * n;
    for (size_t m = 0; m < LANES; m++)
        for (int l = 0; l < 16; l++)
            penalties16[m][l] = 0;
    if (g->penalty[0][0] != 0 || g->penalty[0][1] != 0)
        P(lanes_penalties)(n, t->inputs, n, w, g->penalty[0], penalties16);
    if (g->penalty[1][0] != 0 || g->penalty[1][1] != 0)
        P(lanes_penalties)(n, t->outputs, n + 1, w + first * LANES, g->penalty[1], penalties16);
    P(lanes_slopes)(t->inputs * n, w, g->penalty[0], g->shared, gradients);
    for (size_t j = 0; j < t->outputs; j++) {
        const size_t at = (first + j * (n + 1)) * LANES;
        P(lanes_slopes)(n, w + at, g->penalty[1], g->shared, gradients + at);
    }
}

static void P(lanes_step)(const fnn_lanes *g, const fnn_tiny *t, size_t rows, const int64_t *const *index,
                          const void *const *x, const void *const *y, const void *const *weight, void *w_,
                          double scale, const double *hyper, double *const *lanes16,
                          double (*penalties16)[16])
{
    const size_t n = t->units, first = (t->inputs + 1) * n, all = first + t->outputs * (n + 1);
    const size_t values = rows * LANES, padded = (values + 15) / 16 * 16, ld = g->ld;
    REAL *w = w_, *gradients = g->gradients, *z = g->z, *weights = weight ? g->weight : NULL,
         h[FNN_HYPER_MAX];
    const REAL *last = w + first * LANES;
    P(lanes_columns)(rows, t->targets, index, y, g->y, ld);
    if (weight)
        P(lanes_columns)(rows, 1, index, weight, weights, ld);
    P(lanes_rows)(rows, t->inputs, index, x, g->x);
    P(lanes_forward)(g, t, rows, w);
    for (size_t j = 0; j < t->outputs; j++)
        P(lanes_last)(t, rows, g->a, last + j * (n + 1) * LANES, z + j * ld);
    if (t->last_forward)
        t->last_forward(t->outputs, padded, z, ld, z, ld, t->last_p);
    t->loss(values, t->outputs, z, ld, g->y, ld, weights, scale, g->delta, ld, g->values, t->loss_p);
    if (t->last_backward)
        t->last_backward(t->outputs, padded, z, ld, g->delta, ld, t->last_p);
    P(lanes_back)(g, t, rows, last, gradients + first * LANES);
    if (t->backward)
        t->backward(1, rows * n * LANES, t->kept ? g->kept : g->a, 0, g->d, 0, t->p);
    size_t u = 0;
    for (; u + 4 <= n; u += 4)
        P(lanes_gradient_units)(4, t, rows, g->x, (const REAL *)g->d + u * LANES, gradients + u * LANES);
    for (; u < n; u++)
        P(lanes_gradient_units)(1, t, rows, g->x, (const REAL *)g->d + u * LANES, gradients + u * LANES);
    if (g->penalised)
        P(lanes_penalize)(g, t, w, gradients, penalties16);
    for (int i = 0; i < FNN_HYPER_MAX; i++)
        h[i] = (REAL)hyper[i];
    if (t->clip_and_decay)
        t->clip_and_decay(all * LANES, gradients, w, h);
    t->optimizer(all * LANES, gradients, w, w + all * LANES, w + 2 * all * LANES, w + 3 * all * LANES, h);
    for (size_t r = 0; r < rows; r++)
        for (size_t m = 0; m < LANES; m++) {
            REAL value = ((const REAL *)g->values)[r * LANES + m];
            if (g->recorded != 1)
                value = (REAL)((double)value * g->recorded);
            lanes16[m][r % 16] += (double)value;
        }
}
