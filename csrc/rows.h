/* Moving and adding rows: gathering a batch, transposing, summing what rows left behind. */

#if P(LANES) > 16
#error "more lanes than virtual lanes"
#endif

static void P(dot_rows)(size_t rows, size_t depth, const void *a_, size_t lda, const void *w_, void *out_)
{
    enum { STEP = SIMD_DOT_ROWS / SUM16_VECTORS > 0 ? SIMD_DOT_ROWS / SUM16_VECTORS : 1 };
    const REAL *a = a_, *w = w_;
    REAL *out = out_;
    size_t r = 0;
    for (; r + STEP <= rows; r += STEP, a += STEP * lda) {
        vec acc[STEP][SUM16_VECTORS];
#pragma GCC unroll 16
        for (int i = 0; i < STEP; i++)
#pragma GCC unroll 8
            for (int l = 0; l < SUM16_VECTORS; l++)
                acc[i][l] = v_zero();
        for (size_t p = 0; p < depth; p += 16) {
#pragma GCC unroll 8
            for (int l = 0; l < SUM16_VECTORS; l++) {
                vec wv = v_load(w + p + l * LANES);
#pragma GCC unroll 16
                for (int i = 0; i < STEP; i++)
                    acc[i][l] = v_fma(v_load(a + i * lda + p + l * LANES), wv, acc[i][l]);
            }
        }
#if P(HAVE_SUM16_ROWS)
        v_store(out + r, P(sum16_rows)(&acc[0][0]));
#else
#pragma GCC unroll 16
        for (int i = 0; i < STEP; i++)
            out[r + i] = v_sum16(acc[i]);
#endif
    }
    for (; r < rows; r++, a += lda) {
        vec acc[SUM16_VECTORS];
        for (int l = 0; l < SUM16_VECTORS; l++)
            acc[l] = v_zero();
        for (size_t p = 0; p < depth; p += 16)
#pragma GCC unroll 8
            for (int l = 0; l < SUM16_VECTORS; l++)
                acc[l] = v_fma(v_load(a + p + l * LANES), v_load(w + p + l * LANES), acc[l]);
        out[r] = v_sum16(acc);
    }
}

static void P(transpose_matrix)(size_t rows, size_t cols, const void *src_, size_t lds, void *dst_,
                                size_t ldd)
{
    const REAL *src = src_;
    REAL *dst = dst_;
    for (size_t i = 0; i < rows; i += LANES) {
        size_t ni = rows - i < LANES ? rows - i : LANES;
        for (size_t j = 0; j < cols; j += LANES) {
            size_t nj = cols - j < LANES ? cols - j : LANES;
            vec t[LANES];
            if (ni == LANES && nj == LANES) {
#pragma GCC unroll 16
                for (size_t k = 0; k < LANES; k++)
                    t[k] = v_load(src + (i + k) * lds + j);
                v_transpose(t);
#pragma GCC unroll 16
                for (size_t k = 0; k < LANES; k++)
                    v_store(dst + (j + k) * ldd + i, t[k]);
            } else {
                for (size_t k = 0; k < LANES; k++)
                    t[k] = k < ni ? v_load_n(src + (i + k) * lds + j, nj) : v_zero();
                v_transpose(t);
                for (size_t k = 0; k < nj; k++)
                    v_store_n(dst + (j + k) * ldd + i, t[k], ni);
            }
        }
    }
}

/* 0 * x is a zero for every finite x and NaN for the rest; NaN survives being or-ed with zeros */
#define POISON(bad, x) v_or(bad, v_mul(x, v_zero()))
INLINE int P(poisoned)(vec bad)
{
    vec lanes[SUM16_VECTORS];
    lanes[0] = bad;
    for (int l = 1; l < SUM16_VECTORS; l++)
        lanes[l] = v_zero();
    return !(v_sum16(lanes) == 0);
}

static int P(gather)(size_t rows, size_t n, const int64_t *index, const void *x_, size_t ldx, void *out_,
                     size_t ldo)
{
    const REAL *x = x_;
    REAL *out = out_;
    vec bad = v_zero();
    if (n <= LANES && index) { /* tiny networks: one vector a row */
        for (size_t r = 0; r < rows; r++, out += ldo) {
            vec v = v_load_n(x + (size_t)index[r] * ldx, n);
            bad = POISON(bad, v);
            v_store_n(out, v, n);
        }
        return P(poisoned)(bad);
    }
    for (size_t r = 0; r < rows; r++, out += ldo) {
        const REAL *row = x + (index ? (size_t)index[r] : r) * ldx;
        size_t j = 0;
        for (; j + LANES <= n; j += LANES) {
            vec v = v_load(row + j);
            bad = POISON(bad, v);
            v_store(out + j, v);
        }
        if (j < n) {
            vec v = v_load_n(row + j, n - j);
            bad = POISON(bad, v);
            v_store_n(out + j, v, n - j);
        }
    }
    return P(poisoned)(bad);
}

static int P(gather_columns)(size_t rows, size_t n, const int64_t *index, const void *x_, size_t ldx,
                             void *out_, size_t ldo)
{
    const REAL *x = x_;
    REAL *out = out_;
    vec bad = v_zero();
    if (n == 1 && index)
        for (size_t r = 0; r < rows; r++)
            out[r] = x[(size_t)index[r] * ldx];
    else if (n > 1 && n <= LANES) /* whole rows at once, turned in registers */
        for (size_t r = 0; r < rows; r += LANES) {
            vec t[LANES];
#pragma GCC unroll 16
            for (size_t i = 0; i < LANES; i++) {
                size_t at = r + i < rows ? r + i : rows - 1;
                t[i] = v_load_n(x + (index ? (size_t)index[at] : at) * ldx, n);
            }
            v_transpose(t);
            for (size_t j = 0; j < n; j++)
                v_store(out + j * ldo + r, t[j]);
        }
    else
        for (size_t r = 0; r < rows; r++) {
            const REAL *row = x + (index ? (size_t)index[r] : r) * ldx;
            for (size_t j = 0; j < n; j++)
                out[j * ldo + r] = row[j];
        }
    for (size_t j = 0; j < n; j++)
        for (size_t r = 0; r < rows; r += LANES)
            bad = POISON(bad, v_load_n(out + j * ldo + r, rows - r < LANES ? rows - r : LANES));
    return P(poisoned)(bad);
}

static void P(accumulate)(size_t n, const void *b_, void *a_)
{
    const REAL *b = b_;
    REAL *a = a_;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store(a + i, v_add(v_load(a + i), v_load(b + i)));
    if (i < n)
        v_store_n(a + i, v_add(v_load_n(a + i, n - i), v_load_n(b + i, n - i)), n - i);
}

static void P(blend)(size_t n, double a, const void *x_, double b, const void *y_, void *out_)
{
    const REAL *x = x_, *y = y_;
    REAL *out = out_;
    const vec va = v_set1((REAL)a), vb = v_set1((REAL)b);
    for (size_t i = 0; i < n; i += LANES)
        v_store(out + i, y ? v_fma(va, v_load(x + i), v_mul(vb, v_load(y + i))) : v_mul(va, v_load(x + i)));
}

static void P(sum_lanes)(size_t n, const void *value_, double *lanes16)
{
    const REAL *value = value_;
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (size_t l = 0; l < 16; l++)
            lanes16[l] += (double)value[i + l];
    for (size_t l = 0; i + l < n; l++)
        lanes16[l] += (double)value[i + l];
}

static int P(all_finite)(size_t n, const void *x_)
{
    const REAL *x = x_;
    vec bad = v_zero();
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        bad = POISON(bad, v_load(x + i));
    if (i < n)
        bad = POISON(bad, v_load_n(x + i, n - i));
    return !P(poisoned)(bad);
}

enum { P(PEAK_CHAINS) = SIMD_PANEL_VECTORS > 2 ? 16 : 10 };
static double P(fma_peak)(size_t iterations)
{
    vec acc[P(PEAK_CHAINS)], a = v_set1((REAL)0.999), b = v_set1((REAL)0.001);
    for (int i = 0; i < P(PEAK_CHAINS); i++)
        acc[i] = v_set1((REAL)i);
    for (size_t k = 0; k < iterations; k++)
#pragma GCC unroll 16
        for (int i = 0; i < P(PEAK_CHAINS); i++)
            acc[i] = v_fma(acc[i], a, b);
    REAL lanes[LANES], sum = 0;
    for (int i = 0; i < P(PEAK_CHAINS); i++) {
        v_store(lanes, acc[i]);
        sum += lanes[0];
    }
    return (double)sum;
}

/* Chains enough that loads, and not the latency of an addition, are what limits it. */
static double P(read_stream)(size_t n, const void *x_)
{
    const REAL *x = x_;
    vec acc[8];
    for (int i = 0; i < 8; i++)
        acc[i] = v_zero();
    for (size_t k = 0; k < n; k += 8 * LANES)
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++)
            acc[i] = v_add(acc[i], v_load(x + k + i * LANES));
    REAL lanes[LANES], sum = 0;
    for (int i = 0; i < 8; i++) {
        v_store(lanes, acc[i]);
        sum += lanes[0];
    }
    return (double)sum;
}
