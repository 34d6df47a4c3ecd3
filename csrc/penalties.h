/* What layers ask of weights and outputs: penalties l1 |x| + l2 x^2, p = (l1, l2), and limits; elementwise on (rows, n) matrices. */

INLINE vec P(penalty)(vec x, vec l1, vec l2) { return v_fma(v_mul(l2, x), x, v_mul(l1, v_abs(x))); }

/* out = d + l1 sign(x) + 2 l2 x; in place is fine */
static void P(add_slopes)(size_t rows, size_t n, const void *x_, size_t ldx, const double *p, const void *d_,
                          size_t ldd, void *out_, size_t ldo)
{
    const REAL *x = x_, *d = d_;
    REAL *out = out_;
    const vec l1 = v_set1((REAL)p[0]), twice = v_set1((REAL)(2 * p[1]));
    for (size_t r = 0; r < rows; r++, x += ldx, d += ldd, out += ldo)
        for (size_t j = 0; j < n; j += LANES) {
            size_t m = n - j < LANES ? n - j : LANES;
            vec xj = v_load_n(x + j, m);
            v_store_n(out + j, v_fma(twice, xj, v_fma(l1, v_sign(xj), v_load_n(d + j, m))), m);
        }
}

static void P(penalty_columns)(size_t rows, size_t n, const void *x_, size_t ldx, const double *p,
                               void *sums_)
{
    const REAL *x = x_;
    REAL *sums = sums_;
    const vec l1 = v_set1((REAL)p[0]), l2 = v_set1((REAL)p[1]);
    for (size_t j = 0; j < n; j += LANES) {
        size_t m = n - j < LANES ? n - j : LANES;
        vec sum = v_zero();
        for (size_t r = 0; r < rows; r++)
            sum = v_add(sum, P(penalty)(v_load_n(x + r * ldx + j, m), l1, l2));
        v_store_n(sums + j, sum, m);
    }
}

static void P(penalty_rows)(size_t rows, size_t n, const void *x_, size_t ldx, const double *p, int add,
                            void *sums_)
{
    const REAL *x = x_;
    REAL *sums = sums_;
    const vec l1 = v_set1((REAL)p[0]), l2 = v_set1((REAL)p[1]);
    for (size_t r = 0; r < rows; r++, x += ldx) {
        vec acc[SUM16_VECTORS];
        for (int l = 0; l < SUM16_VECTORS; l++)
            acc[l] = v_zero();
        for (size_t q = 0; q < n; q += 16)
            for (int l = 0; l < SUM16_VECTORS; l++) {
                size_t at = q + (size_t)l * LANES, m = at >= n ? 0 : n - at < LANES ? n - at : LANES;
                if (m > 0)
                    acc[l] = v_add(acc[l], P(penalty)(v_load_n(x + at, m), l1, l2));
            }
        sums[r] = (add ? sums[r] : 0) + v_sum16(acc);
    }
}

/* x = min(max(x, low), high); NaN stays */
static void P(limit)(size_t rows, size_t n, void *x_, size_t ldx, double low_, double high_)
{
    REAL *x = x_;
    const vec low = v_set1((REAL)low_), high = v_set1((REAL)high_);
    for (size_t r = 0; r < rows; r++, x += ldx)
        for (size_t j = 0; j < n; j += LANES) {
            size_t m = n - j < LANES ? n - j : LANES;
            v_store_n(x + j, v_max(low, v_min(high, v_load_n(x + j, m))), m);
        }
}
