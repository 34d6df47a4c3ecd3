/* Losses of a row's outputs as a whole. On columns, as losses.h. */

/* max(0, 1 + max over j of (1 - y_j) a_j - sum over j of y_j a_j) */
LOSS_ROWS(categorical_hinge_rows)
{
    LOSS_ARGUMENTS
    vec scale = v_set1((REAL)scale_);
    FOR_GROUPS(r)
    {
        vec right = v_zero(), wrong = v_zero(), at = v_zero();
        for (size_t j = 0; j < units; j++) {
            vec yj = v_load(y + j * ldy + r), aj = v_load(out + j * ldo + r), v = v_mul(v_sub(ONE, yj), aj);
            mask more = v_lt(wrong, v);
            right = v_fma(yj, aj, right);
            wrong = j ? v_select(more, v, wrong) : v;
            at = j ? v_select(more, v_set1((REAL)j), at) : at;
        }
        vec w = WEIGHT(r), margin = v_add(v_sub(wrong, right), ONE);
        vec ws = v_select(v_lt(v_zero(), margin), v_mul(w, scale), v_zero());
        v_store(row_loss + r, v_mul(w, v_max(v_zero(), margin)));
        for (size_t j = 0; delta && j < units; j++) {
            vec yj = v_load(y + j * ldy + r);
            vec d = v_select(v_eq(at, v_set1((REAL)j)), v_sub(v_sub(ONE, yj), yj), v_minus(yj));
            v_store(delta + j * ldd + r, v_mul(ws, d));
        }
    }
}

/* - y . a / (|y| |a|), both lengths at least epsilon; with both brought to length 1, the derivative in a is (cos a - y) / |a| */
LOSS_ROWS(cosine_similarity_rows)
{
    LOSS_ARGUMENTS
    vec scale = v_set1((REAL)scale_), shortest = v_set1((REAL)1e-14);
    FOR_GROUPS(r)
    {
        vec yy = v_zero(), aa = v_zero(), ya = v_zero();
        for (size_t j = 0; j < units; j++) {
            vec yj = v_load(y + j * ldy + r), aj = v_load(out + j * ldo + r);
            yy = v_fma(yj, yj, yy);
            aa = v_fma(aj, aj, aa);
            ya = v_fma(yj, aj, ya);
        }
        vec y1 = v_div(ONE, v_sqrt(v_max(shortest, yy))), a1 = v_div(ONE, v_sqrt(v_max(shortest, aa)));
        vec w = WEIGHT(r), ws = v_mul(v_mul(w, scale), a1), cosine = v_mul(v_mul(ya, y1), a1);
        v_store(row_loss + r, v_mul(w, v_minus(cosine)));
        vec turn = v_select(v_lt(aa, shortest), v_zero(),
                            v_mul(cosine, a1)); /* a length that is fixed turns nothing */
        for (size_t j = 0; delta && j < units; j++) {
            vec yj = v_load(y + j * ldy + r), aj = v_load(out + j * ldo + r);
            v_store(delta + j * ldd + r, v_mul(ws, v_fnma(yj, y1, v_mul(turn, aj))));
        }
    }
}

/* Salehi et al., "Tversky loss function", 2017, with Keras's sides: 1 - I / D, I = sum y a, D = I + alpha (sum y - I) +
   beta (sum a - I) + epsilon; its derivative in a_j is (D_j I / D - y_j) / D, D_j = beta + (1 - alpha - beta) y_j */
INLINE vec P(tversky_all)(vec both, vec yes, vec guess, vec alpha, vec beta, vec epsilon)
{
    vec missed = v_mul(alpha, v_sub(yes, both)), false_alarm = v_mul(beta, v_sub(guess, both));
    return v_add(v_add(v_add(both, missed), false_alarm), epsilon);
}
LOSS_ROWS(tversky_rows)
{
    LOSS_ARGUMENTS
    vec scale = v_set1((REAL)scale_), alpha = v_set1((REAL)p[0]), beta = v_set1((REAL)p[1]);
    vec epsilon = v_set1((REAL)p[2]), own = v_set1((REAL)(1 - p[0] - p[1]));
    FOR_GROUPS(r)
    {
        vec both = v_zero(), yes = v_zero(), guess = v_zero();
        for (size_t j = 0; j < units; j++) {
            vec yj = v_load(y + j * ldy + r), aj = v_load(out + j * ldo + r);
            both = v_fma(yj, aj, both);
            yes = v_add(yes, yj);
            guess = v_add(guess, aj);
        }
        vec all = P(tversky_all)(both, yes, guess, alpha, beta, epsilon), part = v_div(both, all);
        vec w = WEIGHT(r), ws = v_div(v_mul(w, scale), all);
        v_store(row_loss + r, v_mul(w, v_sub(ONE, part)));
        for (size_t j = 0; delta && j < units; j++) {
            vec yj = v_load(y + j * ldy + r);
            v_store(delta + j * ldd + r, v_mul(ws, v_sub(v_mul(v_fma(own, yj, beta), part), yj)));
        }
    }
}

/* Koenker and Bassett, "Regression quantiles", 1978: mean over the units of max(q e, (q - 1) e), e = y - a. Unit j is for quantile
   p[1 + j mod n] of target j div n, n = p[0]. */
LOSS_ROWS(quantile_rows)
{
    LOSS_ARGUMENTS
    const size_t n = (size_t)p[0];
    vec mean = v_set1((REAL)(1.0 / (double)units)), scale = v_set1((REAL)(scale_ / (double)units));
    FOR_GROUPS(r)
    {
        vec w = WEIGHT(r), ws = v_mul(w, scale), sum = v_zero();
        for (size_t j = 0; j < units; j++) {
            vec e = v_sub(v_load(y + j / n * ldy + r), v_load(out + j * ldo + r));
            vec q = v_set1((REAL)p[1 + j % n]), above = v_sub(q, ONE);
            sum = v_add(sum, v_max(v_mul(q, e), v_mul(above, e)));
            if (!delta)
                continue;
            vec d = v_select(v_lt(v_zero(), e), v_minus(q),
                             v_select(v_lt(e, v_zero()), v_minus(above), v_zero()));
            v_store(delta + j * ldd + r, v_mul(ws, d));
        }
        v_store(row_loss + r, v_mul(w, v_mul(sum, mean)));
    }
}
