/* Activations over whole rows, on columns: lanes are rows, and sums over a row's units run in the order of the units. */

/* The largest of a row's units. x: (units, ...) at one group of lanes; n valid lanes. */
INLINE vec P(row_max)(size_t units, const REAL *x, size_t ld, size_t n)
{
    vec m = v_load_n(x, n);
    for (size_t j = 1; j < units; j++)
        m = v_max(m, v_load_n(x + j * ld, n));
    return m;
}

static void P(softmax_forward)(size_t units, size_t rows, const void *z_, size_t ldz, void *out_, size_t ldo)
{
    const REAL *z = z_;
    REAL *out = out_;
    for (size_t r = 0; r < rows; r += LANES) {
        size_t n = rows - r < LANES ? rows - r : LANES;
        vec m = P(row_max)(units, z + r, ldz, n), sum = v_zero();
        for (size_t j = 0; j < units; j++) {
            vec e = v_exp_nonpositive(v_sub(v_load_n(z + j * ldz + r, n), m));
            sum = v_add(sum, e);
            v_store_n(out + j * ldo + r, e, n);
        }
        vec inverse = v_div(ONE, sum);
        for (size_t j = 0; j < units; j++)
            v_store_n(out + j * ldo + r, v_mul(v_load_n(out + j * ldo + r, n), inverse), n);
    }
}

/* d_j = a_j (d_j - sum over i of a_i d_i) */
static void P(softmax_backward)(size_t units, size_t rows, const void *a_, size_t lda, void *d_, size_t ldd)
{
    const REAL *a = a_;
    REAL *d = d_;
    for (size_t r = 0; r < rows; r += LANES) {
        size_t n = rows - r < LANES ? rows - r : LANES;
        vec sum = v_zero();
        for (size_t j = 0; j < units; j++)
            sum = v_fma(v_load_n(a + j * lda + r, n), v_load_n(d + j * ldd + r, n), sum);
        for (size_t j = 0; j < units; j++) {
            vec aj = v_load_n(a + j * lda + r, n), dj = v_load_n(d + j * ldd + r, n);
            v_store_n(d + j * ldd + r, v_mul(aj, v_sub(dj, sum)), n);
        }
    }
}
