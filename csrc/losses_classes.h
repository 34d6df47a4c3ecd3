/* Losses over classes: an output of each, of which one is right. On columns, as losses.h. */

/* Target j of a group of rows: from one column a unit, smoothed, or from class numbers. */
INLINE vec P(target)(const REAL *y, size_t ldy, int sparse, size_t units, const double *p, size_t j, size_t r)
{
    if (!sparse)
        return v_fma(v_load(y + j * ldy + r), v_set1((REAL)p[0]), v_set1((REAL)(p[1] / (double)units)));
    return v_select(v_eq(v_load(y + r), v_set1((REAL)j)), ONE, v_zero());
}
/* Weights of a group of rows; one whose class is to be ignored has none. */
INLINE vec P(class_weight)(const REAL *y, const REAL *weight, int sparse, const double *p, size_t r)
{
    if (!sparse)
        return WEIGHT(r);
    return v_select(v_eq(v_load(y + r), v_set1((REAL)p[0])), v_zero(), WEIGHT(r));
}

/* -sum y_j log p_j with p = softmax(z): (log S) sum y - sum y_j (z_j - max z), S = sum e^(z_j - max z).
   softmax_of_out: out becomes p (fused); else it stays the logits. */
INLINE void P(crossentropy_logits)(size_t rows, size_t units, REAL *out, size_t ldo, const REAL *y,
                                   size_t ldy, const REAL *weight, REAL scale_, REAL *delta, size_t ldd,
                                   REAL *row_loss, const double *p, int sparse, int softmax_of_out)
{
    vec scale = v_set1(scale_);
    FOR_GROUPS(r)
    {
        vec m = P(row_max)(units, out + r, ldo), sum = v_zero(), total = v_zero(), dot = v_zero();
        for (size_t j = 0; j < units; j++) {
            vec z = v_sub(v_load(out + j * ldo + r), m), yj = P(target)(y, ldy, sparse, units, p, j, r);
            vec e = v_exp_nonpositive(z);
            sum = v_add(sum, e);
            total = v_add(total, yj);
            dot = v_fma(yj, z, dot);
            if (softmax_of_out)
                v_store(out + j * ldo + r, e);
            else if (delta)
                v_store(delta + j * ldd + r, e);
        }
        vec w = P(class_weight)(y, weight, sparse, p, r), ws = v_mul(w, scale), inverse = v_div(ONE, sum);
        v_store(row_loss + r, v_mul(w, v_sub(v_mul(total, v_log(sum)), dot)));
        if (!softmax_of_out && !delta)
            continue;
        const REAL *e = softmax_of_out ? out : delta;
        size_t lde = softmax_of_out ? ldo : ldd;
        for (size_t j = 0; j < units; j++) {
            vec a = v_mul(v_load(e + j * lde + r), inverse), yj = P(target)(y, ldy, sparse, units, p, j, r);
            if (softmax_of_out)
                v_store(out + j * ldo + r, a);
            if (delta)
                v_store(delta + j * ldd + r, v_mul(ws, v_fma(a, total, v_sub(v_zero(), yj))));
        }
    }
}

/* -sum y_j log clip(a_j / S), S = sum a_j; its derivative in a_i is (sum over unclipped j of y_j) / S - (unclipped i) y_i / a_i */
INLINE void P(crossentropy)(size_t rows, size_t units, REAL *out, size_t ldo, const REAL *y, size_t ldy,
                            const REAL *weight, REAL scale_, REAL *delta, size_t ldd, REAL *row_loss,
                            const double *p, int sparse)
{
    vec scale = v_set1(scale_);
    FOR_GROUPS(r)
    {
        vec sum = v_zero(), loss = v_zero(), inside = v_zero();
        for (size_t j = 0; j < units; j++)
            sum = v_add(sum, v_load(out + j * ldo + r));
        for (size_t j = 0; j < units; j++) {
            vec share = v_div(v_load(out + j * ldo + r), sum), yj = P(target)(y, ldy, sparse, units, p, j, r);
            loss = v_fnma(yj, v_log(P(clip)(share)), loss);
            inside = v_fma(yj, P(clip_slope)(share), inside);
        }
        vec w = P(class_weight)(y, weight, sparse, p, r), ws = v_mul(w, scale);
        v_store(row_loss + r, v_mul(w, loss));
        if (!delta)
            continue;
        for (size_t j = 0; j < units; j++) {
            vec a = v_load(out + j * ldo + r), share = v_div(a, sum),
                yj = P(target)(y, ldy, sparse, units, p, j, r);
            vec own = v_mul(P(clip_slope)(share), v_div(yj, P(clip)(share)));
            v_store(delta + j * ldd + r, v_mul(ws, v_div(v_sub(inside, own), sum)));
        }
    }
}

/* sum over j of alpha_j (1 - c_j)^gamma * -y_j log c_j, c_j = clip(a_j / S), S = sum a_j (Lin et al., as in losses.h). With g_j the
   derivative in c_j where that is not clipped, that in a_i is (g_i - sum g_j c_j) / S. */
INLINE vec P(alpha)(const double *p, size_t j) { return v_set1((REAL)p[4 + j % (size_t)p[0]]); }

LOSS_ROWS(categorical_focal_crossentropy_rows)
{
    LOSS_ARGUMENTS
    vec scale = v_set1((REAL)scale_), gamma = v_set1((REAL)p[3]);
    FOR_GROUPS(r)
    {
        vec sum = v_zero(), loss = v_zero(), dot = v_zero();
        for (size_t j = 0; j < units; j++)
            sum = v_add(sum, v_load(out + j * ldo + r));
        for (size_t j = 0; j < units; j++) {
            vec share = v_div(v_load(out + j * ldo + r), sum), c = P(clip)(share), rest = v_sub(ONE, c);
            vec yj = v_mul(P(alpha)(p, j), P(target)(y, ldy, 0, units, p + 1, j, r));
            vec log = v_log(c), power = P(power)(rest, gamma);
            loss = v_fnma(v_mul(yj, power), log, loss);
            if (!delta)
                continue;
            vec slope = v_fnma(power, v_div(ONE, c), v_mul(P(power_slope)(rest, gamma, power), log));
            vec g = v_mul(P(clip_slope)(share), v_mul(yj, slope));
            dot = v_fma(g, share, dot);
            v_store(delta + j * ldd + r, g);
        }
        vec w = WEIGHT(r), ws = v_mul(w, scale);
        v_store(row_loss + r, v_mul(w, loss));
        for (size_t j = 0; delta && j < units; j++)
            v_store(delta + j * ldd + r, v_mul(ws, v_div(v_sub(v_load(delta + j * ldd + r), dot), sum)));
    }
}

/* The same of c = softmax(z), which is not clipped: with h_j = g_j c_j, the derivative in z_i is h_i - c_i sum h_j.
   softmax_of_out: out becomes c (fused); else it stays the logits. */
INLINE void P(focal_logits_rows)(size_t rows, size_t units, REAL *out, size_t ldo, const REAL *y, size_t ldy,
                                 const REAL *weight, REAL scale_, REAL *delta, size_t ldd, REAL *row_loss,
                                 const double *p, int softmax_of_out)
{
    vec scale = v_set1(scale_), gamma = v_set1((REAL)p[3]);
    FOR_GROUPS(r)
    {
        vec m = P(row_max)(units, out + r, ldo), sum = v_zero(), loss = v_zero(), total = v_zero();
        for (size_t j = 0; j < units; j++)
            sum = v_add(sum, v_exp_nonpositive(v_sub(v_load(out + j * ldo + r), m)));
        vec log_sum = v_log(sum), inverse = v_div(ONE, sum);
        for (size_t j = 0; j < units; j++) {
            vec z = v_sub(v_load(out + j * ldo + r), m), c = v_mul(v_exp_nonpositive(z), inverse);
            vec yj = v_mul(P(alpha)(p, j), P(target)(y, ldy, 0, units, p + 1, j, r));
            vec log = v_sub(z, log_sum), rest = v_sub(ONE, c), power = P(power)(rest, gamma);
            loss = v_fnma(v_mul(yj, power), log, loss);
            if (delta) {
                vec slope = v_mul(v_mul(P(power_slope)(rest, gamma, power), c), log);
                vec h = v_mul(yj, v_sub(slope, power));
                total = v_add(total, h);
                v_store(delta + j * ldd + r, h);
            }
            if (softmax_of_out)
                v_store(out + j * ldo + r, c);
        }
        vec w = WEIGHT(r), ws = v_mul(w, scale);
        v_store(row_loss + r, v_mul(w, loss));
        for (size_t j = 0; delta && j < units; j++) {
            vec a = v_load(out + j * ldo + r);
            vec c = softmax_of_out ? a : v_mul(v_exp_nonpositive(v_sub(a, m)), inverse);
            v_store(delta + j * ldd + r, v_mul(ws, v_fnma(c, total, v_load(delta + j * ldd + r))));
        }
    }
}

/* Zhang and Sabuncu, "Generalized cross entropy loss", 2018: (1 - a_y^q) / q of the right class y; its derivative -a_y^q / a_y */
LOSS_ROWS(categorical_generalized_cross_entropy_rows)
{
    LOSS_ARGUMENTS
    vec scale = v_set1((REAL)scale_), q = v_set1((REAL)p[0]), least = v_set1(P(SMALLEST));
    FOR_GROUPS(r)
    {
        vec right = v_zero();
        for (size_t j = 0; j < units; j++)
            right = v_fma(P(target)(y, ldy, 1, units, p, j, r), v_load(out + j * ldo + r), right);
        vec w = WEIGHT(r), ws = v_mul(w, scale), power = P(power)(right, q);
        v_store(row_loss + r, v_mul(w, v_div(v_sub(ONE, power), q)));
        vec slope = v_minus(v_div(power, v_max(least, right)));
        for (size_t j = 0; delta && j < units; j++)
            v_store(delta + j * ldd + r, v_mul(ws, v_mul(slope, P(target)(y, ldy, 1, units, p, j, r))));
    }
}

/* The same of a = softmax(z): with l = log a_y, (1 - e^(q l)) / q and, in z_i, e^(q l) (a_i - (1 if i is y)). */
LOSS_ROWS(categorical_generalized_cross_entropy_softmax_rows)
{
    LOSS_ARGUMENTS
    vec scale = v_set1((REAL)scale_), q = v_set1((REAL)p[0]);
    FOR_GROUPS(r)
    {
        vec m = P(row_max)(units, out + r, ldo), sum = v_zero(), right = v_zero();
        for (size_t j = 0; j < units; j++) {
            vec z = v_sub(v_load(out + j * ldo + r), m), e = v_exp_nonpositive(z);
            sum = v_add(sum, e);
            right = v_fma(P(target)(y, ldy, 1, units, p, j, r), z, right);
            v_store(out + j * ldo + r, e);
        }
        vec w = WEIGHT(r), inverse = v_div(ONE, sum),
            less = v_mul(q, v_min(v_zero(), v_sub(right, v_log(sum))));
        vec ws = v_mul(v_mul(w, scale), v_exp_nonpositive(less));
        v_store(row_loss + r, v_mul(w, v_div(v_minus(v_expm1_nonpositive(less)), q)));
        for (size_t j = 0; j < units; j++) {
            vec a = v_mul(v_load(out + j * ldo + r), inverse);
            v_store(out + j * ldo + r, a);
            if (delta)
                v_store(delta + j * ldd + r, v_mul(ws, v_sub(a, P(target)(y, ldy, 1, units, p, j, r))));
        }
    }
}

#define CROSSENTROPY(name, body, ...)                                                                       \
    LOSS_ROWS(name)                                                                                         \
    {                                                                                                       \
        LOSS_ARGUMENTS                                                                                      \
        P(body)(rows, units, out, ldo, y, ldy, weight, (REAL)scale_, delta, ldd, row_loss, p, __VA_ARGS__); \
    }
CROSSENTROPY(categorical_crossentropy_rows, crossentropy, 0)
CROSSENTROPY(sparse_categorical_crossentropy_rows, crossentropy, 1)
CROSSENTROPY(categorical_crossentropy_logits_rows, crossentropy_logits, 0, 0)
CROSSENTROPY(sparse_categorical_crossentropy_logits_rows, crossentropy_logits, 1, 0)
CROSSENTROPY(categorical_crossentropy_softmax_rows, crossentropy_logits, 0, 1)
CROSSENTROPY(sparse_categorical_crossentropy_softmax_rows, crossentropy_logits, 1, 1)
CROSSENTROPY(categorical_focal_crossentropy_logits_rows, focal_logits_rows, 0)
CROSSENTROPY(categorical_focal_crossentropy_softmax_rows, focal_logits_rows, 1)
#undef CROSSENTROPY
