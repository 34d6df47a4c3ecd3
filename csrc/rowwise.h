/* Activations over whole rows, on columns: lanes are rows, and sums over a row's units run in the order of the units. */

/* The largest of a row's units. x: (units, ...) at one group of lanes. */
INLINE vec P(row_max)(size_t units, const REAL *x, size_t ld)
{
    vec m = v_load(x);
    for (size_t j = 1; j < units; j++)
        m = v_max(m, v_load(x + j * ld));
    return m;
}

static void P(softmax_forward)(size_t units, size_t rows, const void *z_, size_t ldz, void *out_, size_t ldo)
{
    const REAL *z = z_;
    REAL *out = out_;
    for (size_t r = 0; r < rows; r += LANES) {
        vec m = P(row_max)(units, z + r, ldz), sum = v_zero();
        for (size_t j = 0; j < units; j++) {
            vec e = v_exp_nonpositive(v_sub(v_load(z + j * ldz + r), m));
            sum = v_add(sum, e);
            v_store(out + j * ldo + r, e);
        }
        vec inverse = v_div(ONE, sum);
        for (size_t j = 0; j < units; j++)
            v_store(out + j * ldo + r, v_mul(v_load(out + j * ldo + r), inverse));
    }
}

/* d_j = a_j (d_j - sum over i of a_i d_i) */
static void P(softmax_backward)(size_t units, size_t rows, const void *a_, size_t lda, void *d_, size_t ldd)
{
    const REAL *a = a_;
    REAL *d = d_;
    for (size_t r = 0; r < rows; r += LANES) {
        vec sum = v_zero();
        for (size_t j = 0; j < units; j++)
            sum = v_fma(v_load(a + j * lda + r), v_load(d + j * ldd + r), sum);
        for (size_t j = 0; j < units; j++) {
            vec aj = v_load(a + j * lda + r), dj = v_load(d + j * ldd + r);
            v_store(d + j * ldd + r, v_mul(aj, v_sub(dj, sum)));
        }
    }
}
