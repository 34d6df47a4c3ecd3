/* Activations over whole rows, on columns: lanes are rows, and sums over a row's units run in the order of the units. */

/* The largest of a row's units. x: (units, ...) at one group of lanes. */
INLINE vec P(row_max)(size_t units, const REAL *x, size_t ld)
{
    vec m = v_load(x);
    for (size_t j = 1; j < units; j++)
        m = v_max(m, v_load(x + j * ld));
    return m;
}

static void P(softmax_forward)(size_t units, size_t rows, const void *z_, size_t ldz, void *out_, size_t ldo,
                               const double *p)
{
    (void)p;
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
static void P(softmax_backward)(size_t units, size_t rows, const void *a_, size_t lda, void *d_, size_t ldd,
                                const double *p)
{
    (void)p;
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

/* z_j - log(sum over i of e^z_i) */
static void P(log_softmax_forward)(size_t units, size_t rows, const void *z_, size_t ldz, void *out_,
                                   size_t ldo, const double *p)
{
    (void)p;
    const REAL *z = z_;
    REAL *out = out_;
    for (size_t r = 0; r < rows; r += LANES) {
        vec m = P(row_max)(units, z + r, ldz), sum = v_zero();
        for (size_t j = 0; j < units; j++)
            sum = v_add(sum, v_exp_nonpositive(v_sub(v_load(z + j * ldz + r), m)));
        vec log = v_log(sum);
        for (size_t j = 0; j < units; j++)
            v_store(out + j * ldo + r, v_sub(v_sub(v_load(z + j * ldz + r), m), log));
    }
}

/* d_j - e^a_j (sum over i of d_i) */
static void P(log_softmax_backward)(size_t units, size_t rows, const void *a_, size_t lda, void *d_,
                                    size_t ldd, const double *p)
{
    (void)p;
    const REAL *a = a_;
    REAL *d = d_;
    for (size_t r = 0; r < rows; r += LANES) {
        vec sum = v_zero();
        for (size_t j = 0; j < units; j++)
            sum = v_add(sum, v_load(d + j * ldd + r));
        for (size_t j = 0; j < units; j++) {
            vec e = v_exp_nonpositive(v_load(a + j * lda + r));
            v_store(d + j * ldd + r, v_fnma(e, sum, v_load(d + j * ldd + r)));
        }
    }
}

/* max(0, z_j - tau), tau so that they sum to 1 (Martins and Astudillo, "From softmax to sparsemax", 2016). With the largest z moved to
   0, tau lies in [-1, 0). From -1 on, tau becomes (sum - 1) / number of the z_j that are not below it, until none drops out (Michelot's
   projection). It never falls, so rounding cannot make it run in circles; once it stays, more rounds leave it: what a lane gets does not
   depend on the others. */
static void P(sparsemax_forward)(size_t units, size_t rows, const void *z_, size_t ldz, void *out_,
                                 size_t ldo, const double *p)
{
    (void)p;
    const REAL *z = z_;
    REAL *out = out_;
    for (size_t r = 0; r < rows; r += LANES) {
        vec m = P(row_max)(units, z + r, ldz), tau = v_set1(-1);
        int moved = 1;
        for (size_t round = 0; moved && round <= units; round++) {
            REAL rise[LANES];
            vec sum = v_set1(-1), count = v_zero();
            for (size_t j = 0; j < units; j++) {
                vec x = v_sub(v_load(z + j * ldz + r), m);
                mask below = v_lt(x, tau); /* not so for NaN, which makes tau NaN */
                sum = v_add(sum, v_select(below, v_zero(), x));
                count = v_add(count, v_select(below, v_zero(), ONE));
            }
            vec next = v_max(tau, v_div(sum, count));
            v_store(rise, v_sub(next, tau));
            tau = next;
            moved = 0;
            for (size_t l = 0; l < LANES; l++)
                moved |= rise[l] > 0;
        }
        for (size_t j = 0; j < units; j++)
            v_store(out + j * ldo + r, v_max(v_zero(), v_sub(v_sub(v_load(z + j * ldz + r), m), tau)));
    }
}

/* d_j - mean of d over the units with a > 0, in these units; else 0 */
static void P(sparsemax_backward)(size_t units, size_t rows, const void *a_, size_t lda, void *d_, size_t ldd,
                                  const double *p)
{
    (void)p;
    const REAL *a = a_;
    REAL *d = d_;
    for (size_t r = 0; r < rows; r += LANES) {
        vec sum = v_zero(), count = v_zero();
        for (size_t j = 0; j < units; j++) {
            mask in = v_lt(v_zero(), v_load(a + j * lda + r));
            sum = v_add(sum, v_select(in, v_load(d + j * ldd + r), v_zero()));
            count = v_add(count, v_select(in, ONE, v_zero()));
        }
        vec mean = v_div(sum, count);
        for (size_t j = 0; j < units; j++) {
            mask in = v_lt(v_zero(), v_load(a + j * lda + r));
            v_store(d + j * ldd + r, v_select(in, v_sub(v_load(d + j * ldd + r), mean), v_zero()));
        }
    }
}
