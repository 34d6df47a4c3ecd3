/* Losses of rows and their derivatives, on columns: lanes are rows, sums over units run in the order of the units.
   Formulas and clipping as in Keras 3 (keras.losses); 1e-7 is its epsilon. */

#define EPSILON v_set1((REAL)1e-7)
#define ONE_MINUS_EPSILON v_set1((REAL)(1 - 1e-7))
#define v_bce P(bce)
#define v_bce_slope P(bce_slope)
#define v_bce_logits P(bce_logits)

INLINE vec P(clip)(vec p) { return v_min(ONE_MINUS_EPSILON, v_max(EPSILON, p)); }
/* 1 where the probability is inside the clipping bounds, else 0: the derivative of clip */
INLINE vec P(clip_slope)(vec p)
{
    return v_select(v_lt(p, EPSILON), v_zero(), v_select(v_lt(ONE_MINUS_EPSILON, p), v_zero(), ONE));
}
INLINE vec v_bce(vec y, vec a)
{
    vec p = P(clip)(a);
    vec miss = v_mul(v_sub(ONE, y), v_log(v_sub(ONE, p)));
    return v_sub(v_zero(), v_fma(y, v_log(p), miss));
}
INLINE vec v_bce_slope(vec y, vec a)
{
    vec p = P(clip)(a);
    return v_mul(P(clip_slope)(a), v_div(v_sub(p, y), v_mul(p, v_sub(ONE, p))));
}
/* max(z, 0) - z y + log(1 + e^-|z|) */
INLINE vec v_bce_logits(vec y, vec z)
{
    vec e = v_exp_nonpositive(v_or(v_abs(z), v_set1((REAL)-0.0)));
    return v_add(v_fnma(z, y, v_max(v_zero(), z)), v_log1p_unit(e));
}

/* The arguments of fnn_loss_rows, typed; one body an operation, in a loop over groups of lanes. */
#define LOSS_ROWS(name)                                                                                \
    static void P(name)(size_t rows, size_t units, void *out_, size_t ldo, const void *y_, size_t ldy, \
                        const void *weight_, double scale_, void *delta_, size_t ldd, void *row_loss_, \
                        const double *p)
#define LOSS_ARGUMENTS                                        \
    REAL *out = out_, *delta = delta_, *row_loss = row_loss_; \
    const REAL *y = y_, *weight = weight_;                    \
    (void)ldy, (void)ldd, (void)ldo, (void)p;
/* groups of lanes; columns have room for whole ones, and what lies beyond the rows counts for nothing */
#define FOR_GROUPS(r) for (size_t r = 0; r < rows; r += LANES)
#define WEIGHT(r) (weight ? v_load(weight + r) : ONE)

/* what the sum over the units is divided by */
#define FNN_MEAN(units) (double)(units)
#define FNN_SUM(units) 1.0
#define H(i) h##i
#define HOIST(p) vec h0 = v_set1((REAL)(p)[0]), h1 = v_set1((REAL)(p)[1])
#define SMOOTH(y) v_fma(y, H(0), H(1))

#define ELEMENTWISE(name, over, parameters, f, df)                                                  \
    INLINE vec P(name##_f)(vec y, vec a, vec h0, vec h1)                                            \
    {                                                                                               \
        (void)h0, (void)h1;                                                                         \
        return f;                                                                                   \
    }                                                                                               \
    INLINE vec P(name##_df)(vec y, vec a, vec h0, vec h1)                                           \
    {                                                                                               \
        (void)h0, (void)h1;                                                                         \
        return df;                                                                                  \
    }                                                                                               \
    LOSS_ROWS(name##_rows)                                                                          \
    {                                                                                               \
        LOSS_ARGUMENTS                                                                              \
        vec mean = v_set1((REAL)(1.0 / over(units))), scale = v_set1((REAL)(scale_ / over(units))); \
        HOIST(p);                                                                                   \
        FOR_GROUPS(r)                                                                               \
        {                                                                                           \
            vec w = WEIGHT(r), ws = v_mul(w, scale), sum = v_zero();                                \
            for (size_t j = 0; j < units; j++) {                                                    \
                vec yj = v_load(y + j * ldy + r), aj = v_load(out + j * ldo + r);                   \
                sum = v_add(sum, P(name##_f)(yj, aj, h0, h1));                                      \
                if (delta)                                                                          \
                    v_store(delta + j * ldd + r, v_mul(ws, P(name##_df)(yj, aj, h0, h1)));          \
            }                                                                                       \
            v_store(row_loss + r, v_mul(w, v_mul(sum, mean)));                                      \
        }                                                                                           \
    }
#define ROWWISE(name, targets, parameters)
#define FUSED(name, loss, activation)
#include "losses.def"
#undef ELEMENTWISE
#undef ROWWISE
#undef FUSED

LOSS_ROWS(binary_crossentropy_sigmoid_rows)
{
    LOSS_ARGUMENTS
    HOIST(p);
    vec mean = v_set1((REAL)(1.0 / (double)units)), scale = v_set1((REAL)(scale_ / (double)units));
    FOR_GROUPS(r)
    {
        vec w = WEIGHT(r), ws = v_mul(w, scale), sum = v_zero();
        for (size_t j = 0; j < units; j++) {
            vec yj = SMOOTH(v_load(y + j * ldy + r)), z = v_load(out + j * ldo + r);
            /* v_sigmoid and v_bce_logits, sharing their exponential */
            vec e = v_exp_nonpositive(v_or(v_abs(z), v_set1((REAL)-0.0)));
            vec a = P(sigmoid_from)(z, e);
            sum = v_add(sum, v_add(v_fnma(z, yj, v_max(v_zero(), z)), v_log1p_unit(e)));
            v_store(out + j * ldo + r, a);
            if (delta)
                v_store(delta + j * ldd + r, v_mul(ws, v_sub(a, yj)));
        }
        v_store(row_loss + r, v_mul(w, v_mul(sum, mean)));
    }
}

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
#undef CROSSENTROPY
#undef H
#undef HOIST
#undef SMOOTH
#undef LOSS_ROWS
#undef LOSS_ARGUMENTS
#undef WEIGHT
