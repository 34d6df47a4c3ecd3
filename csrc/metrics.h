/* Metrics of rows that are not losses, on columns. Ties go to the first unit, as argmax does. */

#define METRIC_ROWS(name)                                                                                    \
    static void P(name)(size_t rows, size_t units, const void *out_, size_t ldo, const void *y_, size_t ldy, \
                        void *value_, const double *p)
#define METRIC_ARGUMENTS             \
    const REAL *out = out_, *y = y_; \
    REAL *value = value_;            \
    (void)p;

METRIC_ROWS(binary_accuracy_metric)
{
    METRIC_ARGUMENTS
    vec mean = v_set1((REAL)(1.0 / (double)units)), limit = v_set1((REAL)p[0]);
    FOR_GROUPS(r)
    {
        vec sum = v_zero();
        for (size_t j = 0; j < units; j++) {
            vec guess = v_select(v_lt(limit, v_load(out + j * ldo + r)), ONE, v_zero());
            sum = v_add(sum, v_select(v_eq(guess, v_load(y + j * ldy + r)), ONE, v_zero()));
        }
        v_store(value + r, v_mul(sum, mean));
    }
}

/* Index of the largest unit, as a number. */
INLINE vec P(argmax)(size_t units, const REAL *x, size_t ld)
{
    vec best = v_load(x), index = v_zero();
    for (size_t j = 1; j < units; j++) {
        vec v = v_load(x + j * ld);
        mask more = v_lt(best, v);
        best = v_select(more, v, best);
        index = v_select(more, v_set1((REAL)j), index);
    }
    return index;
}

METRIC_ROWS(categorical_accuracy_metric)
{
    METRIC_ARGUMENTS
    FOR_GROUPS(r)
    {
        vec guess = P(argmax)(units, out + r, ldo), truth = P(argmax)(units, y + r, ldy);
        v_store(value + r, v_select(v_eq(guess, truth), ONE, v_zero()));
    }
}

METRIC_ROWS(sparse_categorical_accuracy_metric)
{
    METRIC_ARGUMENTS(void) ldy;
    FOR_GROUPS(r)
    {
        vec guess = P(argmax)(units, out + r, ldo);
        v_store(value + r, v_select(v_eq(guess, v_load(y + r)), ONE, v_zero()));
    }
}
#undef METRIC_ROWS
#undef METRIC_ARGUMENTS
