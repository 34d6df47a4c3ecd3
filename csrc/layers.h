/* What stands between dense layers, on row-major matrices; `n` columns. Only those are read and written: what lies behind
   them in a row stays. */

/* Elementwise on rows of x and y: a loop over whole vectors and one over what is left. */
#define FOR_ELEMENTS(x, ldx, y, ldy, out, ldo, body)                      \
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy, out += ldo) {   \
        size_t j = 0;                                                     \
        for (; j + LANES <= n; j += LANES) {                              \
            vec xj = v_load(x + j), yj = v_load(y + j);                   \
            v_store(out + j, body);                                       \
        }                                                                 \
        if (j < n) {                                                      \
            vec xj = v_load_n(x + j, n - j), yj = v_load_n(y + j, n - j); \
            v_store_n(out + j, body, n - j);                              \
        }                                                                 \
    }

#define PAIRWISE(name, body)                                                                           \
    static void P(name)(size_t rows, size_t n, const void *x_, size_t ldx, const void *y_, size_t ldy, \
                        void *out_, size_t ldo)                                                        \
    {                                                                                                  \
        const REAL *x = x_, *y = y_;                                                                   \
        REAL *out = out_;                                                                              \
        FOR_ELEMENTS(x, ldx, y, ldy, out, ldo, body)                                                   \
    }
PAIRWISE(add_rows, v_add(xj, yj))
PAIRWISE(multiply_rows, v_mul(xj, yj))
/* y: alpha, the same for all rows (ldy 0) */
PAIRWISE(prelu_forward, v_select(v_lt(v_zero(), xj), xj, v_mul(yj, xj)))
PAIRWISE(negative_part, ((void)yj, v_min(xj, v_zero())))
#undef PAIRWISE

/* out = d where x > 0, else d * alpha */
static void P(prelu_backward)(size_t rows, size_t n, const void *x_, size_t ldx, const void *alpha_,
                              const void *d_, size_t ldd, void *out_, size_t ldo)
{
    const REAL *x = x_, *alpha = alpha_, *d = d_;
    REAL *out = out_;
    for (size_t r = 0; r < rows; r++, x += ldx, d += ldd, out += ldo)
        for (size_t j = 0; j < n; j += LANES) {
            size_t m = n - j < LANES ? n - j : LANES;
            vec xj = v_load_n(x + j, m), dj = v_load_n(d + j, m), aj = v_load_n(alpha + j, m);
            v_store_n(out + j, v_select(v_lt(v_zero(), xj), dj, v_mul(aj, dj)), m);
        }
}

static void P(scale_columns)(size_t rows, size_t n, const void *x_, size_t ldx, const void *scale_,
                             const void *offset_, void *out_, size_t ldo)
{
    const REAL *x = x_, *scale = scale_, *offset = offset_;
    REAL *out = out_;
    for (size_t r = 0; r < rows; r++, x += ldx, out += ldo)
        for (size_t j = 0; j < n; j += LANES) {
            size_t m = n - j < LANES ? n - j : LANES;
            vec o = offset ? v_load_n(offset + j, m) : v_zero();
            v_store_n(out + j, v_fma(v_load_n(x + j, m), v_load_n(scale + j, m), o), m);
        }
}

/* out = x * scale + (y * other + offset), each column with its own; in place is fine */
static void P(combine_columns)(size_t rows, size_t n, const void *x_, size_t ldx, const void *scale_,
                               const void *y_, size_t ldy, const void *other_, const void *offset_,
                               void *out_, size_t ldo)
{
    const REAL *x = x_, *scale = scale_, *y = y_, *other = other_, *offset = offset_;
    REAL *out = out_;
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy, out += ldo)
        for (size_t j = 0; j < n; j += LANES) {
            size_t m = n - j < LANES ? n - j : LANES;
            vec rest = v_fma(v_load_n(y + j, m), v_load_n(other + j, m), v_load_n(offset + j, m));
            v_store_n(out + j, v_fma(v_load_n(x + j, m), v_load_n(scale + j, m), rest), m);
        }
}

static void P(column_sums)(size_t rows, size_t n, const void *x_, size_t ldx, const void *y_, size_t ldy,
                           void *out_, int add)
{
    const REAL *x = x_, *y = y_;
    REAL *out = out_;
    for (size_t j = 0; j < n; j += LANES) {
        size_t m = n - j < LANES ? n - j : LANES;
        vec sum = add ? v_load_n(out + j, m) : v_zero();
        for (size_t r = 0; r < rows; r++) {
            vec xj = v_load_n(x + r * ldx + j, m);
            sum = y ? v_fma(xj, v_load_n(y + r * ldy + j, m), sum) : v_add(sum, xj);
        }
        v_store_n(out + j, sum, m);
    }
}

/* ---- rows to mean 0 and variance 1 ---- */

/* Sum of x * y (y NULL: of x) over a row through 16 virtual lanes, as dot_rows. */
INLINE REAL P(row_sum)(size_t n, const REAL *x, const REAL *y)
{
    vec acc[SUM16_VECTORS];
    for (int l = 0; l < SUM16_VECTORS; l++)
        acc[l] = v_zero();
    for (size_t p = 0; p < n; p += 16)
        for (int l = 0; l < SUM16_VECTORS; l++) {
            size_t at = p + (size_t)l * LANES, m = at >= n ? 0 : n - at < LANES ? n - at : LANES;
            if (m == 0)
                continue;
            vec xv = v_load_n(x + at, m);
            acc[l] = y ? v_fma(xv, v_load_n(y + at, m), acc[l]) : v_add(acc[l], xv);
        }
    return v_sum16(acc);
}

static void P(normalize_rows)(size_t rows, size_t n, const void *x_, size_t ldx, double epsilon, int center,
                              void *out_, size_t ldo, void *inverse_)
{
    const REAL *x = x_;
    REAL *out = out_, *inverse = inverse_;
    const REAL share = (REAL)(1.0 / (double)n);
    for (size_t r = 0; r < rows; r++, x += ldx, out += ldo) {
        vec mean = v_set1(center ? P(row_sum)(n, x, NULL) * share : 0);
        for (size_t j = 0; j < n; j += LANES) {
            size_t m = n - j < LANES ? n - j : LANES;
            v_store_n(out + j, v_sub(v_load_n(x + j, m), mean), m);
        }
        REAL variance = P(row_sum)(n, out, out) * share;
        vec scale = v_div(ONE, v_sqrt(v_set1(variance + (REAL)epsilon)));
        for (size_t j = 0; j < n; j += LANES) {
            size_t m = n - j < LANES ? n - j : LANES;
            v_store_n(out + j, v_mul(v_load_n(out + j, m), scale), m);
        }
        REAL lanes[LANES];
        v_store(lanes, scale);
        inverse[r] = lanes[0];
    }
}

/* d: gradient of the normalised rows; out = inverse * (d - mean d - normal * mean (d * normal)), without the first mean where
   rows were not centred. In place is fine. */
static void P(normalize_rows_backward)(size_t rows, size_t n, const void *normal_, size_t ldn,
                                       const void *inverse_, int center, const void *d_, size_t ldd,
                                       void *out_, size_t ldo)
{
    const REAL *normal = normal_, *inverse = inverse_, *d = d_;
    REAL *out = out_;
    const REAL share = (REAL)(1.0 / (double)n);
    for (size_t r = 0; r < rows; r++, normal += ldn, d += ldd, out += ldo) {
        vec mean = v_set1(center ? P(row_sum)(n, d, NULL) * share : 0);
        vec slope = v_set1(P(row_sum)(n, d, normal) * share), scale = v_set1(inverse[r]);
        for (size_t j = 0; j < n; j += LANES) {
            size_t m = n - j < LANES ? n - j : LANES;
            vec rest = v_sub(v_load_n(d + j, m), mean);
            v_store_n(out + j, v_mul(scale, v_fnma(v_load_n(normal + j, m), slope, rest)), m);
        }
    }
}

/* ---- by chance ---- */

/* Words of one row: column j of the row at `place` of its epoch takes word j. */
INLINE void P(row_words)(size_t n, uint64_t key, uint64_t place, const uint32_t *stream, uint32_t *words)
{
    const uint32_t counter[3] = {(uint32_t)place, stream[0], P(STREAM_LAYERS) + stream[1]};
    P(philox)(key, 0, counter, fnn_row_counters(n), words);
}

static void P(drop)(size_t rows, size_t n, const void *x_, size_t ldx, void *factor_, size_t ldf, void *out_,
                    size_t ldo, uint64_t key, uint64_t place, const uint32_t *stream, const double *p,
                    uint32_t *words)
{
    const REAL *x = x_;
    REAL *factor = factor_, *out = out_;
    /* a probability of one drops all but one element in 2^32 */
    const double most = 4294967295.0, share = p[0] * 4294967296.0;
    const uint32_t below = (uint32_t)(share < most ? share : most);
    const REAL kept = (REAL)p[1], offset = (REAL)p[2], dropped = (REAL)p[3];
    for (size_t r = 0; r < rows; r++, x += ldx, factor += ldf, out += ldo) {
        P(row_words)(n, key, place + r, stream, words);
        for (size_t j = 0; j < n; j++) {
            int gone = words[j] < below;
            REAL stays = x[j] * kept + offset;
            factor[j] = gone ? 0 : kept;
            out[j] = gone ? dropped : stays;
        }
    }
}

/* sin and cos of pi x, |x| <= 1/2, by their series: 1e-9 and 1e-16 */
INLINE void P(sincospi)(vec x, vec *sine, vec *cosine)
{
    static const double s[11] = {
        3.14159265358979323846,     -5.16771278004997002924,    2.55016403987734548056,
        -0.599264529320792076887,   0.0821458866111282287985,   -0.00737043094571435077722,
        0.000466302805767612567034, -2.19153534478302173172e-5, 7.95205400147551271e-7,
        -2.2948428997269873e-8,     5.3926646662608e-10};
    static const double c[11] = {1.0,
                                 -4.93480220054467930942,
                                 4.05871212641676821819,
                                 -1.33526276885458949587,
                                 0.235330630358893204541,
                                 -0.0258068913900140517407,
                                 0.00192957430940392304790,
                                 -0.000104638104924845705,
                                 4.30306958703294e-6,
                                 -1.3878952462213e-7,
                                 3.6047307974625e-9};
    const vec x2 = v_mul(x, x);
    vec sum_s = v_set1((REAL)s[10]), sum_c = v_set1((REAL)c[10]);
    for (int i = 9; i >= 0; i--) {
        sum_s = v_fma(sum_s, x2, v_set1((REAL)s[i]));
        sum_c = v_fma(sum_c, x2, v_set1((REAL)c[i]));
    }
    *sine = v_mul(x, sum_s);
    *cosine = sum_c;
}

/* Two vectors of normal numbers from uniform ones, u in (0, 1) and v in (-1/2, 1/2) (Box and Muller, "A note on the generation of
   random normal deviates", 1958): the angle is twice pi v. */
INLINE void P(box_muller)(vec u, vec v, vec *first, vec *second)
{
    vec s, c, radius = v_sqrt(v_mul(v_set1(-2), v_log(u)));
    P(sincospi)(v, &s, &c);
    *first = v_mul(radius, v_fnma(v_add(s, s), s, ONE));
    *second = v_mul(radius, v_mul(v_add(s, s), c));
}

static void P(normals)(size_t rows, size_t n, void *out_, size_t ldo, uint64_t key, uint64_t place,
                       const uint32_t *stream, double mean, double deviation, uint32_t *words)
{
    REAL *out = out_;
    /* as many bits as keep a uniform number between, and never at, 0 and 1 */
    const int spare = sizeof(REAL) == 4 ? 9 : 0;
    const REAL unit = (REAL)(1.0 / (double)((uint64_t)1 << (32 - spare)));
    const size_t half = 2 * fnn_row_counters(n);
    const vec scale = v_set1((REAL)deviation), middle = v_set1((REAL)mean);
    for (size_t r = 0; r < rows; r++, out += ldo) {
        P(row_words)(n, key, place + r, stream, words);
        for (size_t i = 0; i < half; i += 16) {
            REAL u[16], v[16], pair[2][16];
            for (size_t l = 0; l < 16; l++) {
                u[l] = ((REAL)(words[i + l] >> spare) + (REAL)0.5) * unit;
                v[l] = ((REAL)(words[half + i + l] >> spare) + (REAL)0.5) * unit - (REAL)0.5;
            }
            for (size_t l = 0; l < 16; l += LANES) {
                vec first, second;
                P(box_muller)(v_load(u + l), v_load(v + l), &first, &second);
                v_store(pair[0] + l, v_fma(first, scale, middle));
                v_store(pair[1] + l, v_fma(second, scale, middle));
            }
            for (size_t l = 0; l < 16; l++) {
                if (i + l < n)
                    out[i + l] = pair[0][l];
                if (half + i + l < n)
                    out[half + i + l] = pair[1][l];
            }
        }
    }
}
#undef FOR_ELEMENTS
