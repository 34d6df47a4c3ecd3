/* Row values of metrics that are not losses, on columns; what they are is said at each. Ties go to the first unit, as argmax does.

   A metric that is a mean leaves the value of each row. The others leave what an epoch's state is made of: terms of sums, or the
   number of the count that the row adds to, -1 for none (fastnn/kernels/metrics.pyx keeps both). Formulas as in Keras 3. */

#define METRIC_ROWS(name)                                                                          \
    static void P(name)(const fnn_metric_settings *m, size_t rows, size_t units, const void *out_, \
                        size_t ldo, const void *y_, size_t ldy, void *value_, size_t ldv)
#define METRIC_ARGUMENTS             \
    const REAL *out = out_, *y = y_; \
    REAL *value = value_;            \
    (void)m, (void)ldy, (void)ldv;

INLINE vec P(one_where)(mask m) { return v_select(m, ONE, v_zero()); }

/* Share of the units whose output, or whether it is above p[0], is the target. */
INLINE void P(agreement)(size_t rows, size_t units, const REAL *out, size_t ldo, const REAL *y, size_t ldy,
                         REAL *value, int sides, vec threshold)
{
    vec mean = v_set1((REAL)(1.0 / (double)units));
    FOR_GROUPS(r)
    {
        vec sum = v_zero();
        for (size_t j = 0; j < units; j++) {
            vec guess = v_load(out + j * ldo + r);
            if (sides)
                guess = P(one_where)(v_lt(threshold, guess));
            sum = v_add(sum, P(one_where)(v_eq(guess, v_load(y + j * ldy + r))));
        }
        v_store(value + r, v_mul(sum, mean));
    }
}
METRIC_ROWS(accuracy_metric)
{
    METRIC_ARGUMENTS
    P(agreement)(rows, units, out, ldo, y, ldy, value, 0, v_zero());
}
METRIC_ROWS(binary_accuracy_metric)
{
    METRIC_ARGUMENTS
    P(agreement)(rows, units, out, ldo, y, ldy, value, 1, v_set1((REAL)m->p[0]));
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
        v_store(value + r, P(one_where)(v_eq(guess, truth)));
    }
}

METRIC_ROWS(sparse_categorical_accuracy_metric)
{
    METRIC_ARGUMENTS
    FOR_GROUPS(r)
    {
        vec guess = P(argmax)(units, out + r, ldo);
        v_store(value + r, P(one_where)(v_eq(guess, v_load(y + r))));
    }
}

/* 1 where fewer than k units are above that of class `truth`, else 0. */
INLINE vec P(in_top_k)(size_t units, const REAL *out, size_t ldo, vec truth, vec k)
{
    vec own = v_zero(), known = v_zero(), above = v_zero();
    for (size_t j = 0; j < units; j++) {
        mask here = v_eq(truth, v_set1((REAL)j));
        own = v_select(here, v_load(out + j * ldo), own);
        known = v_select(here, ONE, known);
    }
    for (size_t j = 0; j < units; j++)
        above = v_add(above, P(one_where)(v_lt(own, v_load(out + j * ldo))));
    return v_mul(known, P(one_where)(v_lt(above, k)));
}
/* p[0]: k */
METRIC_ROWS(top_k_categorical_accuracy_metric)
{
    METRIC_ARGUMENTS
    FOR_GROUPS(r)
    v_store(value + r, P(in_top_k)(units, out + r, ldo, P(argmax)(units, y + r, ldy), v_set1((REAL)m->p[0])));
}
/* p[0]: k; p[1]: the outputs are class numbers, the likeliest first */
METRIC_ROWS(sparse_top_k_categorical_accuracy_metric)
{
    METRIC_ARGUMENTS
    FOR_GROUPS(r)
    {
        vec truth = v_load(y + r), found = v_zero();
        if (m->p[1] == 0)
            found = P(in_top_k)(units, out + r, ldo, truth, v_set1((REAL)m->p[0]));
        else
            for (size_t j = 0; j < units && (double)j < m->p[0]; j++)
                found = v_select(v_eq(v_load(out + j * ldo + r), truth), ONE, found);
        v_store(value + r, found);
    }
}

INLINE vec P(row_mean)(size_t units, const REAL *x, size_t ld)
{
    vec sum = v_zero();
    for (size_t j = 0; j < units; j++)
        sum = v_add(sum, v_load(x + j * ld));
    return v_mul(sum, v_set1((REAL)(1.0 / (double)units)));
}

/* y . a / (|y| |a|), the norms at least 1e-7 */
METRIC_ROWS(cosine_metric)
{
    METRIC_ARGUMENTS
    vec most = v_set1((REAL)1e7);
    FOR_GROUPS(r)
    {
        vec yy = v_zero(), aa = v_zero(), sum = v_zero();
        for (size_t j = 0; j < units; j++) {
            vec yj = v_load(y + j * ldy + r), a = v_load(out + j * ldo + r);
            yy = v_fma(yj, yj, yy);
            aa = v_fma(a, a, aa);
            sum = v_fma(yj, a, sum);
        }
        vec of_y = v_min(v_div(ONE, v_sqrt(yy)), most), of_a = v_min(v_div(ONE, v_sqrt(aa)), most);
        v_store(value + r, v_mul(v_mul(sum, of_y), of_a));
    }
}

/* mean((y - mean y) (a - mean a)) / (deviation of y * deviation of a), over a row's units */
METRIC_ROWS(pearson_correlation_metric)
{
    METRIC_ARGUMENTS
    FOR_GROUPS(r)
    {
        vec my = P(row_mean)(units, y + r, ldy), ma = P(row_mean)(units, out + r, ldo);
        vec yy = v_zero(), aa = v_zero(), both = v_zero();
        for (size_t j = 0; j < units; j++) {
            vec yj = v_sub(v_load(y + j * ldy + r), my), a = v_sub(v_load(out + j * ldo + r), ma);
            yy = v_fma(yj, yj, yy);
            aa = v_fma(a, a, aa);
            both = v_fma(yj, a, both);
        }
        v_store(value + r, v_div(both, v_mul(v_sqrt(yy), v_sqrt(aa))));
    }
}

/* mean(2 (y - mean a) (a - mean a)) / (variance of y + variance of a + (mean y - mean a)^2 + 1e-7) */
METRIC_ROWS(concordance_correlation_metric)
{
    METRIC_ARGUMENTS
    vec mean = v_set1((REAL)(1.0 / (double)units));
    FOR_GROUPS(r)
    {
        vec my = P(row_mean)(units, y + r, ldy), ma = P(row_mean)(units, out + r, ldo), gap = v_sub(my, ma);
        vec squares = v_zero(), both = v_zero();
        for (size_t j = 0; j < units; j++) {
            vec yj = v_load(y + j * ldy + r), a = v_sub(v_load(out + j * ldo + r), ma), own = v_sub(yj, my);
            squares = v_fma(own, own, v_fma(a, a, squares));
            both = v_fma(v_sub(yj, ma), a, both);
        }
        vec norm = v_add(v_fma(gap, gap, v_mul(squares, mean)), EPSILON);
        v_store(value + r, v_div(v_mul(v_add(both, both), mean), norm));
    }
}

/* x to the next whole number, for 0 <= x below a quarter of the whole numbers that REAL can tell apart */
INLINE vec P(ceiling)(vec x)
{
    vec whole = v_set1(sizeof(REAL) == 4 ? (REAL)8388608.0 : (REAL)4503599627370496.0);
    vec near = v_sub(v_add(x, whole), whole);
    return v_select(v_lt(near, x), v_add(near, ONE), near);
}
/* x without what is behind the point, in the same range */
INLINE vec P(truncated)(vec x)
{
    vec up = P(ceiling)(v_abs(x)), size = v_select(v_lt(v_abs(x), up), v_sub(up, ONE), up);
    return v_select(v_lt(x, v_zero()), v_sub(v_zero(), size), size);
}

/* How many of the thresholds an output is above. p[0]: 0 compares; else they divide [0, 1] evenly, and 2 has the first a little below 0. */
INLINE vec P(thresholds_below)(const fnn_metric_settings *m, vec a)
{
    if (m->p[0] != 0) {
        vec inside = v_min(ONE, v_max(v_zero(), a));
        vec c = P(ceiling)(v_mul(inside, v_set1((REAL)((double)m->thresholds - 1))));
        return m->p[0] == 2 ? v_max(ONE, c) : c;
    }
    vec c = v_zero();
    for (size_t t = 0; t < m->thresholds; t++)
        c = v_add(c, P(one_where)(v_lt(v_set1((REAL)m->threshold[t]), a)));
    return c;
}

/* Of each unit looked at: 2 * (thresholds that its output is above) + (whether its target is not 0).
   p[1]: outputs that are not among the row's so many largest are above none (0: all are); p[2]: they go through the sigmoid first. */
METRIC_ROWS(confusion_metric)
{
    METRIC_ARGUMENTS
    vec top = v_set1((REAL)m->p[1]);
    FOR_GROUPS(r)
    for (size_t c = 0; c < m->count; c++) {
        size_t j = m->first + c;
        vec own = v_load(out + j * ldo + r), rank = v_zero();
        for (size_t i = 0; m->p[1] != 0 && i < units; i++) {
            vec other = v_load(out + i * ldo + r);
            rank = v_add(rank, P(one_where)(v_lt(own, other)));
            if (i < j)
                rank = v_add(rank, P(one_where)(v_eq(own, other)));
        }
        vec above = P(thresholds_below)(m, m->p[2] != 0 ? v_sigmoid(own) : own);
        if (m->p[1] != 0)
            above = v_select(v_lt(rank, top), above, v_zero());
        vec label = v_select(v_eq(v_load(y + j * ldy + r), v_zero()), v_zero(), ONE);
        v_store(value + c * ldv + r, v_add(v_add(above, above), label));
    }
}

/* Of each unit y g, g and y, one block of columns after the other, with its guess g: 1 where the output is above p[0]; if that is 0, where
   it is the row's largest, and not 0. */
METRIC_ROWS(f_score_metric)
{
    METRIC_ARGUMENTS
    vec threshold = v_set1((REAL)m->p[0]), least = v_set1((REAL)1e-9);
    FOR_GROUPS(r)
    {
        vec most = P(row_max)(units, out + r, ldo);
        for (size_t j = 0; j < units; j++) {
            vec a = v_load(out + j * ldo + r), yj = v_load(y + j * ldy + r), guess;
            if (m->p[0] > 0)
                guess = P(one_where)(v_lt(threshold, a));
            else
                guess = v_select(v_lt(a, most), v_zero(), P(one_where)(v_lt(least, v_abs(a))));
            v_store(value + j * ldv + r, v_mul(yj, guess));
            v_store(value + (units + j) * ldv + r, guess);
            v_store(value + (2 * units + j) * ldv + r, yj);
        }
    }
}

/* Of each unit y and y - a, one block of columns after the other */
METRIC_ROWS(r2_score_metric)
{
    METRIC_ARGUMENTS
    FOR_GROUPS(r)
    for (size_t j = 0; j < units; j++) {
        vec yj = v_load(y + j * ldy + r), miss = v_sub(yj, v_load(out + j * ldo + r));
        v_store(value + j * ldv + r, yj);
        v_store(value + (units + j) * ldv + r, miss);
    }
}

/* true class * p[0] + guessed class, of the row, or of each unit where both are numbers; p[0]: classes; p[1]: true class that does not
   count; p[2]: true classes are numbers, else the largest target; p[3]: so are guesses, 2: 1 where they are p[4] or more, else 0. */
METRIC_ROWS(iou_metric)
{
    METRIC_ARGUMENTS
    vec classes = v_set1((REAL)m->p[0]), ignored = v_set1((REAL)m->p[1]), none = v_set1((REAL)-1);
    vec threshold = v_set1((REAL)m->p[4]);
    size_t columns = m->p[2] != 0 && m->p[3] != 0 ? units : 1;
    FOR_GROUPS(r)
    for (size_t j = 0; j < columns; j++) {
        vec truth, guess;
        if (m->p[2] != 0)
            truth = P(truncated)(v_load(y + j * ldy + r));
        else
            truth = P(argmax)(units, y + r, ldy);
        if (m->p[3] == 0)
            guess = P(argmax)(units, out + r, ldo);
        else {
            guess = v_load(out + j * ldo + r);
            guess = m->p[3] == 2 ? v_select(v_lt(guess, threshold), v_zero(), ONE) : P(truncated)(guess);
        }
        vec cell = v_fma(truth, classes, guess);
        cell = v_select(v_lt(truth, v_zero()), none, v_select(v_lt(truth, classes), cell, none));
        cell = v_select(v_lt(guess, v_zero()), none, v_select(v_lt(guess, classes), cell, none));
        v_store(value + j * ldv + r, v_select(v_eq(truth, ignored), none, cell));
    }
}
#undef METRIC_ROWS
#undef METRIC_ARGUMENTS
