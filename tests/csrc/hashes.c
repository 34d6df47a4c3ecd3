/* Prints, for every instruction set that this machine can run, both element types and products in bfloat16, a hash of what every kernel
   computes on the same pseudo-random data. The lines of one type must agree, on one machine and between machines. */
#include "bf16.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 40000 };

static uint64_t hash;
static int failed;

/* Two ways to one result that do not agree. */
static void differ(const char *isa)
{
    if (!failed)
        fprintf(stderr, "%s: two kernels for one thing differ\n", isa);
    failed = 1;
}

static void add(const void *p, size_t bytes)
{
    const unsigned char *c = p;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ c[i]) * 1099511628211u;
}

/* Of columns, what lies beyond the rows is anything. */
static void add_columns(const fnn_kernels *k, const char *p, size_t columns, size_t rows, size_t ld)
{
    for (size_t j = 0; j < columns; j++)
        add(p + j * ld * k->itemsize, rows * k->itemsize);
}

static uint32_t random_state;
static double uniform(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (double)(random_state >> 8) / (1 << 24) * 4 - 2;
}

static void fill(const fnn_kernels *k, void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (k->itemsize == 4)
            ((float *)p)[i] = (float)uniform();
        else
            ((double *)p)[i] = uniform();
}

/* depth and columns that no vector divides; b row-major with a row of 160 elements, so any panel may read whole vectors */
static void tiles(const fnn_kernels *k, const char *a, const char *b, char *c)
{
    const size_t columns = 77, depths[] = {1, 5, 16, 67}, rows = 29, s = k->itemsize;
    for (size_t d = 0; d < 4; d++)
        for (int finish = FNN_STORE; finish <= FNN_RELU_SLOPE; finish++) {
            size_t width = k->panel_vectors * k->lanes;
            for (size_t start = 0; start < columns; start += width) {
                size_t n = columns - start < width ? columns - start : width,
                       vectors = (n + k->lanes - 1) / k->lanes;
                for (size_t first = 0, size; first < rows; first += size) {
                    size = rows - first < k->tile_rows[vectors] ? rows - first : k->tile_rows[vectors];
                    k->tile[vectors][size](depths[d], a + first * 100 * s, 100, 1, b + start * s, 160,
                                           b + (start + 7) * s, c + (first * 160 + start) * s, 160,
                                           n - (vectors - 1) * k->lanes, finish,
                                           a + (first * 160 + start) * s, 160);
                }
            }
            for (size_t r = 0; r < rows; r++)
                add(c + r * 160 * s, columns * s);
        }
}

/* One number of a matrix, as the bits of the element type. */
static void copy(const fnn_kernels *k, void *to, size_t i, const void *from, size_t j)
{
    memcpy((char *)to + i * k->itemsize, (const char *)from + j * k->itemsize, k->itemsize);
}

/* 67 inputs, 77 units, every kernel for one row; all must give the bits that the first one gives. b: 68 rows of 160, the biases last */
static void one_row(const fnn_kernels *k, const char *a, const char *b)
{
    enum { DEPTH = 67, UNITS = 77, ROOM = 1024 };
    const size_t s = k->itemsize;
    char *packed = calloc((DEPTH + 1) * ROOM, s), *c = calloc(ROOM, s), *first = NULL;
    for (size_t v = 1; v <= FNN_PANEL_VECTORS_MAX; v++)
        for (size_t q = 1; q <= FNN_ROW_VECTORS_MAX / 2; q++) {
            size_t width = v * k->lanes;
            if (!k->row[v][q])
                continue;
            for (size_t start = 0; start < UNITS; start += q * width) {
                for (size_t panel = 0; panel < q; panel++)
                    for (size_t p = 0; p <= DEPTH; p++)
                        for (size_t j = 0; j < width; j++)
                            copy(k, packed, (panel * (DEPTH + 1) + p) * width + j, b,
                                 p * 160 + start + panel * width + j);
                k->row[v][q](DEPTH, a, packed, c + start * s, k->lanes, FNN_RELU);
            }
            if (!first) {
                first = malloc(UNITS * s);
                memcpy(first, c, UNITS * s);
                add(c, UNITS * s);
            } else if (memcmp(first, c, UNITS * s)) {
                differ(k->isa);
            }
        }
    free(first);
    free(packed);
    free(c);
}

/* 6 rows through the upper halves of float32 numbers, by every tile of words; biases are the last row of b. float32 only */
static void words(const fnn_kernels *k, const float *a, const float *b)
{
    enum { DEPTH = 67, UNITS = 77, ROOM = 512 };
    uint32_t *packed = malloc(DEPTH * ROOM * sizeof *packed), bits;
    float *c = calloc(FNN_WORDS_ROWS_MAX * ROOM, sizeof *c), first[FNN_WORDS_ROWS_MAX * UNITS];
    int known = 0;
    for (size_t r = 1; r <= FNN_WORDS_ROWS_MAX; r++)
        for (size_t w = 1; w <= FNN_WORDS_MAX; w++) {
            size_t n = 2 * w * k->lanes;
            if (!k->words[r][w] || FNN_WORDS_ROWS_MAX % r)
                continue;
            for (size_t start = 0; start < UNITS; start += n) {
                memset(packed, 0, DEPTH * ROOM * sizeof *packed);
                for (size_t p = 0; p < DEPTH; p++)
                    for (size_t j = 0; j < n; j++) {
                        memcpy(&bits, b + p * 160 + start + j, 4);
                        packed[(p * w + j / (2 * k->lanes)) * k->lanes + j % k->lanes] |=
                            j / k->lanes % 2 ? bits & 0xffff0000u : bits >> 16;
                    }
                for (size_t row = 0; row < FNN_WORDS_ROWS_MAX; row += r)
                    k->words[r][w](DEPTH, a + row * 100, 100, packed, (ptrdiff_t)(w * k->lanes),
                                   b + DEPTH * 160 + start, c + row * ROOM + start, ROOM, UNITS - start,
                                   FNN_STORE);
            }
            for (size_t row = 0; row < FNN_WORDS_ROWS_MAX; row++) {
                if (!known)
                    memcpy(first + row * UNITS, c + row * ROOM, UNITS * sizeof *c);
                else if (memcmp(first + row * UNITS, c + row * ROOM, UNITS * sizeof *c))
                    differ(k->isa);
            }
            known = 1;
        }
    add(first, sizeof first);
    free(packed);
    free(c);
}

/* What stands between dense layers, on 13 rows of 37 columns. */
static void between(const fnn_kernels *k, const char *a, const char *b, char *c)
{
    enum { ROWS = 13, COLUMNS = 37 };
    const size_t s = k->itemsize;
    const uint32_t stream[2] = {3, 4};
    const double drop[4] = {0.3, 1.5, 0.25, -1};
    fnn_pairwise *const pairwise[] = {k->add_rows, k->multiply_rows, k->prelu_forward, k->negative_part};
    uint32_t words[4 * 16];
    for (size_t i = 0; i < sizeof pairwise / sizeof *pairwise; i++) {
        pairwise[i](ROWS, COLUMNS, a, 40, b, 48, c, 53);
        add_columns(k, c, ROWS, COLUMNS, 53);
    }
    k->prelu_backward(ROWS, COLUMNS, a, 40, b, a + 900 * s, 40, c, 53);
    add_columns(k, c, ROWS, COLUMNS, 53);
    k->scale_columns(ROWS, COLUMNS, a, 40, b, NULL, c, 53);
    add_columns(k, c, ROWS, COLUMNS, 53);
    k->scale_columns(ROWS, COLUMNS, a, 40, b, b + 50 * s, c, 53);
    add_columns(k, c, ROWS, COLUMNS, 53);
    k->combine_columns(ROWS, COLUMNS, a, 40, b, a + 900 * s, 40, b + 50 * s, b + 100 * s, c, 53);
    add_columns(k, c, ROWS, COLUMNS, 53);
    k->column_sums(ROWS, COLUMNS, a, 40, NULL, 0, c, 0);
    k->column_sums(ROWS, COLUMNS, a, 40, b, 40, c, 1);
    add(c, COLUMNS * s);
    for (int center = 0; center < 2; center++) {
        k->normalize_rows(ROWS, COLUMNS, a, 40, 1e-3, center, c, 53, c + 2000 * s);
        add_columns(k, c, ROWS, COLUMNS, 53);
        k->normalize_rows_backward(ROWS, COLUMNS, c, 53, c + 2000 * s, center, b, 40, c + 1000 * s, 53);
        add_columns(k, c + 1000 * s, ROWS, COLUMNS, 53);
    }
    k->drop(ROWS, COLUMNS, a, 40, c, 53, c + 1000 * s, 53, 5, 6, stream, drop, words);
    add_columns(k, c, ROWS, COLUMNS, 53);
    add_columns(k, c + 1000 * s, ROWS, COLUMNS, 53);
    k->normals(ROWS, COLUMNS, c, 53, 5, 6, stream, 0.5, 2, words);
    add_columns(k, c, ROWS, COLUMNS, 53);
}

/* A tiny network of one hidden layer: TINY_MODELS of them take three steps one by one, then as many together as a vector has lanes, which
   must give the same bits. A model's numbers: (TINY_INPUTS + 1, units) first, the bias last, then (TINY_OUTPUTS, units + 1). */
enum {
    TINY_MODELS = 16,
    TINY_INPUTS = 7,
    TINY_OUTPUTS = 2,
    TINY_ROWS = 37,
    TINY_LD = 48,
    TINY_STRIDE = 16,
    TINY_SLOTS = 3
};
static const struct {
    int activation, last, loss;
} tiny_cases[] = {
    {FNN_ACTIVATION_relu, FNN_ACTIVATION_linear, FNN_LOSS_binary_crossentropy_sigmoid},
    {FNN_ACTIVATION_tanh, FNN_ACTIVATION_tanh, FNN_LOSS_mean_squared_error},
    {FNN_ACTIVATION_gelu, FNN_ACTIVATION_linear, FNN_LOSS_mean_absolute_error},
};
static const double parameters[FNN_PARAMETERS_MAX] = {0.25, 0.5, 2, 0.75};
static const double tiny_hyper[FNN_HYPER_MAX] = {0.01, 0.1, 0.05, 1e-7, 0, 0, 0.02, 0.1};

/* Where number i of a model lies among the parameters of the fused step. */
static size_t tiny_place(const fnn_tiny *t, size_t width, size_t i)
{
    const size_t first = (TINY_INPUTS + 1) * t->units;
    if (i < first)
        return i / t->units * width + i % t->units;
    i -= first;
    return t->last + i / (t->units + 1) * t->stride + i % (t->units + 1);
}

/* Of a fused loss, those of the one that it replaces. */
static const double *loss_defaults(int loss)
{
    int from = fnn_loss_table[loss].fused_from;
    return fnn_loss_table[from < 0 ? loss : from].defaults;
}

/* x: (TINY_ROWS, TINY_INPUTS); y in [0, 1]: (TINY_ROWS, TINY_OUTPUTS); weight: (TINY_ROWS,), all row-major */
static void tiny(const fnn_kernels *k, size_t units, const char *x, const char *y, const char *weight,
                 char *random)
{
    const size_t s = k->itemsize, vectors = (units + k->lanes) / k->lanes, width = vectors * k->lanes;
    const size_t count = (TINY_INPUTS + 1) * units + TINY_OUTPUTS * (units + 1), block = 4 * count;
    const size_t room = (TINY_ROWS + 8) * (width + TINY_STRIDE), ld = TINY_MODELS * (TINY_ROWS + 1);
    const size_t places = (TINY_INPUTS + 1) * TINY_ROWS * FNN_LANES_MAX + units * TINY_ROWS * FNN_LANES_MAX;
    char *memory[10], *alone = calloc(TINY_MODELS * block, s), *w, *lanes;
    int64_t index[TINY_MODELS][TINY_ROWS];
    double sums[TINY_MODELS][16], together[TINY_MODELS][16], penalties[FNN_LANES_MAX][16];
    for (int i = 0; i < 10; i++)
        memory[i] = calloc(room + places + 4 * ld, s);
    for (size_t i = 0; i < sizeof tiny_cases / sizeof *tiny_cases; i++) {
        const int activation = tiny_cases[i].activation, last = tiny_cases[i].last;
        const int plain = activation == FNN_ACTIVATION_relu, linear = last == FNN_ACTIVATION_linear;
        fnn_tiny t = {.inputs = TINY_INPUTS,
                      .units = units,
                      .vectors = vectors,
                      .lda = width + TINY_STRIDE,
                      .ldd = width,
                      .relu = plain,
                      .first_bias = 1,
                      .forward = plain ? NULL : k->activation_forward[activation],
                      .backward = plain ? NULL : k->activation_backward[activation],
                      .a = memory[0],
                      .d = memory[1],
                      .kept = fnn_activation_table[activation].property == FNN_READS_INPUT ? memory[2] : NULL,
                      .gradients = memory[3],
                      .outputs = TINY_OUTPUTS,
                      .targets = TINY_OUTPUTS,
                      .last = (TINY_INPUTS + 1) * width,
                      .stride = TINY_STRIDE,
                      .parameters = (TINY_INPUTS + 1) * width + TINY_OUTPUTS * TINY_STRIDE,
                      .ld = TINY_LD,
                      .last_bias = 1,
                      .last_forward = linear ? NULL : k->activation_forward[last],
                      .last_backward = linear ? NULL : k->activation_backward[last],
                      .loss = k->loss[tiny_cases[i].loss],
                      .loss_p = loss_defaults(tiny_cases[i].loss),
                      .p = parameters,
                      .last_p = parameters,
                      .clip_and_decay = k->clip_and_decay,
                      .optimizer = k->optimizer[FNN_OPTIMIZER_adam],
                      .z = memory[4],
                      .y = memory[5],
                      .weight = memory[6],
                      .delta = memory[7],
                      .values = memory[8]};
        fill(k, random, TINY_MODELS * count);
        memset(sums, 0, sizeof sums);
        for (size_t m = 0; m < TINY_MODELS; m++) {
            k->permutation(7, m, TINY_ROWS, index[m]);
            w = memory[9];
            memset(w, 0, 4 * t.parameters * s);
            for (size_t j = 0; j < count; j++)
                copy(k, w, tiny_place(&t, width, j), random, m * count + j);
            for (size_t step = 0; step < 3; step++)
                k->tiny_step(&t, TINY_ROWS - step, index[m], x, y, step ? weight : NULL, w, 1.0 / TINY_ROWS,
                             tiny_hyper, sums[m]);
            for (size_t slot = 0; slot < TINY_SLOTS; slot++)
                for (size_t j = 0; j < count; j++)
                    copy(k, alone, m * block + slot * count + j, w,
                         slot * t.parameters + tiny_place(&t, width, j));
            add(alone + m * block * s, TINY_SLOTS * count * s);
            add(sums[m], sizeof sums[m]);
        }
        /* the two halves of such a step that other networks use by themselves */
        k->input_forward(&t, TINY_ROWS, NULL, x, memory[9]);
        k->input_gradient(&t, TINY_ROWS, NULL, x);
        for (size_t r = 0; r < TINY_ROWS; r++)
            add((char *)t.a + r * t.lda * s, (units + 1) * s);
        for (size_t j = 0; j <= TINY_INPUTS; j++)
            add((char *)t.gradients + j * width * s, units * s);

        memset(together, 0, sizeof together);
        for (int penalised = 0; penalised < 2; penalised++) {
            fnn_lanes g = {memory[0],
                           memory[1],
                           memory[2],
                           memory[3],
                           memory[4],
                           memory[5],
                           memory[6],
                           memory[7],
                           memory[8],
                           memory[9],
                           ld,
                           penalised,
                           {{0.01, 0.02}, {0, 0.03}},
                           0.5,
                           penalised ? 0.25 : 1};
            for (size_t from = 0; from < TINY_MODELS; from += k->lanes) {
                const int64_t *order[FNN_LANES_MAX];
                const void *xs[FNN_LANES_MAX], *ys[FNN_LANES_MAX], *weights[FNN_LANES_MAX];
                double *to[FNN_LANES_MAX];
                lanes = calloc(4 * count * k->lanes, s);
                for (size_t m = 0; m < k->lanes; m++) {
                    order[m] = index[from + m], xs[m] = x, ys[m] = y, weights[m] = weight;
                    to[m] = together[from + m];
                    for (size_t j = 0; j < count; j++)
                        copy(k, lanes, j * k->lanes + m, random, (from + m) * count + j);
                }
                for (size_t step = 0; step < 3; step++)
                    k->lanes_step(&g, &t, TINY_ROWS - step, order, xs, ys, step ? weights : NULL, lanes,
                                  1.0 / TINY_ROWS, tiny_hyper, to, penalties);
                for (size_t m = 0; m < k->lanes; m++) {
                    const char *model = alone + (from + m) * block * s;
                    for (size_t j = 0; j < TINY_SLOTS * count; j++) {
                        if (penalised)
                            add(lanes + (j * k->lanes + m) * s, s);
                        else if (memcmp(lanes + (j * k->lanes + m) * s, model + j * s, s))
                            differ(k->isa);
                    }
                    if (penalised)
                        add(penalties[m], sizeof penalties[m]);
                }
                free(lanes);
            }
            if (penalised)
                add(together, sizeof together);
            else if (memcmp(together, sums, sizeof sums))
                differ(k->isa);
        }
    }
    for (int i = 0; i < 10; i++)
        free(memory[i]);
    free(alone);
}

/* Random words, and whether numbers are finite. */
static void words_and_flags(const fnn_kernels *k, const char *a, char *c)
{
    enum { COUNT = 71 };
    const uint32_t stream[3] = {3, 4, 5};
    const double strange[3] = {INFINITY, -INFINITY, NAN};
    uint32_t random[4 * COUNT];
    k->philox(7, 0xfffffff0u, stream, COUNT, random);
    add(random, sizeof random);
    for (size_t at = 0; at <= COUNT; at++)
        for (int i = 0; i < 3; i++) {
            memcpy(c, a, (COUNT + 1) * k->itemsize);
            if (k->itemsize == 4)
                ((float *)c)[at] = (float)strange[i];
            else
                ((double *)c)[at] = strange[i];
            int finite = k->all_finite(COUNT, c);
            add(&finite, sizeof finite);
            if (!finite != (at < COUNT))
                differ(k->isa);
        }
}

static void all(const fnn_kernels *k)
{
    const size_t s = k->itemsize;
    char *a = calloc(SIZE, s), *b = calloc(SIZE, s), *c = calloc(SIZE, s), *d = calloc(SIZE, s);
    int64_t index[37];
    double lanes16[16] = {0};
    random_state = 1;
    hash = 14695981039346656037u;
    fill(k, a, SIZE);
    fill(k, b, SIZE);
    fill(k, c, SIZE);
    tiles(k, a, b, c);
    k->dot_rows(37, 80, a, 96, b, c);
    add(c, 37 * s);
    k->dot_units(37, 80, a, 96, b, c); /* the same products and sums */
    add(c, 37 * s);
    one_row(k, a, b);
    if (s == 4)
        words(k, (const float *)a, (const float *)b);
    const double *p = parameters;
    for (int i = 0; i < FNN_ACTIVATIONS; i++) {
        k->activation_forward[i](13, 37, a, 48, c, 53, p);
        add_columns(k, c, 13, 37, 53);
        memcpy(d, b, 2000 * s);
        k->activation_backward[i](13, 37, c, 53, d, 48, p);
        add_columns(k, d, 13, 37, 48);
    }
    for (int i = 0; i < FNN_LOSSES; i++)
        for (int weighted = 0; weighted < 2; weighted++) {
            k->activation_forward[FNN_ACTIVATION_sigmoid](5, 48, a, 48, c, 48,
                                                          p); /* outputs, inside (0, 1) */
            k->activation_forward[FNN_ACTIVATION_sigmoid](5, 48, b, 48, d, 48, p); /* targets */
            for (size_t r = 0; r < 37 && fnn_loss_table[i].property == FNN_TARGETS_CLASS; r++)
                if (s == 4)
                    ((float *)d)[r] = (float)(r % 5);
                else
                    ((double *)d)[r] = (double)(r % 5);
            k->loss[i](37, 5, c, 48, d, 48, weighted ? a + 1000 * s : NULL, 1.0 / 37, c + 1000 * s, 48,
                       c + 2000 * s, loss_defaults(i));
            add_columns(k, c, 5, 37, 48);
            add_columns(k, c + 1000 * s, 5, 37, 48);
            add(c + 2000 * s, 37 * s);
        }
    for (int i = 0; i < FNN_METRICS; i++) {
        static const double threshold[3] = {0.2, 0.3, 0.7};
        const fnn_metric_settings settings = {fnn_metric_table[i].defaults, 0, 5, 3, threshold};
        memset(c, 0, 15 * 48 * s);
        k->metric[i](&settings, 37, 5, a, 48, b, 48, c, 48);
        add_columns(k, c, 15, 37, 48);
    }
    for (int i = 0; i < FNN_OPTIMIZERS; i++) {
        char h[8 * FNN_HYPER_MAX];
        for (int j = 0; j < FNN_HYPER_MAX; j++)
            if (s == 4)
                ((float *)h)[j] = 0.01f * (float)(j + 1);
            else
                ((double *)h)[j] = 0.01 * (j + 1);
        memcpy(c, b, 1000 * s);
        /* averages of squares are not negative */
        for (int slot = 0; slot < FNN_SLOTS_MAX; slot++)
            k->activation_forward[FNN_ACTIVATION_sigmoid](1, 1000, b + slot * 100 * s, 1000,
                                                          d + slot * 1000 * s, 1000, p);
        for (int step = 0; step < 3; step++)
            k->optimizer[i](960, a, c, d, d + 1000 * s, d + 2000 * s, h);
        add(c, 1000 * s);
        add(d, 3000 * s);
        memcpy(d, a, 960 * s);
        k->clip_and_decay(960, d, c, h);
        add(d, 960 * s);
        add(c, 960 * s);
    }
    memcpy(c, b, 2000 * s);
    k->add_slopes(13, 37, a, 48, p, b, 50, c, 53);
    add_columns(k, c, 13, 37, 53);
    k->penalty_columns(13, 37, a, 48, p, c);
    add(c, 37 * s);
    for (int more = 0; more < 2; more++)
        k->penalty_rows(13, 37, a, 48, p, more, c);
    add(c, 13 * s);
    memcpy(c, a, 2000 * s);
    k->limit(13, 37, c, 48, -0.25, 0.5);
    add_columns(k, c, 13, 37, 48);
    k->transpose(37, 29, a, 40, c, 38);
    add(c, 29 * 38 * s);
    k->permutation(7, 3, 37, index);
    add(index, sizeof index);
    k->gather(37, 19, index, a, 20, c, 21);
    add(c, 37 * 21 * s);
    k->gather_columns(37, 3, index, a, 20, c, 48);
    add_columns(k, c, 3, 37, 48);
    for (int64_t n = 1; n <= FNN_FEW_ROWS; n++) { /* orders drawn together are those drawn one by one */
        int64_t orders[FNN_ORDERS * FNN_FEW_ROWS], order[FNN_FEW_ROWS];
        k->permutations16(7, 0xfffffff8u, n, orders);
        for (uint64_t epoch = 0; epoch < FNN_ORDERS; epoch++) {
            k->permutation(7, 0xfffffff8u + epoch, n, order);
            add(order, (size_t)n * sizeof *order);
            if (memcmp(order, orders + (int64_t)epoch * n, (size_t)n * sizeof *order))
                differ(k->isa);
        }
    }
    between(k, a, b, c);
    k->accumulate(37, a, c);
    add(c, 37 * s);
    memcpy(c, a, 1000 * s);
    k->activation_forward[FNN_ACTIVATION_sigmoid](1, 1000, b, 1000, d, 1000, p);
    k->over_roots(13, 37, c, 53, d, 3, 0.3, d + 40 * s);
    add_columns(k, c, 13, 37, 53);
    k->blend(48, 0.3, a, 0.7, b, c);
    k->blend(48, 0.3, a, 0.0, NULL, c + 48 * s);
    add(c, 96 * s);
    k->sum_lanes(37, a, lanes16);
    add(lanes16, sizeof lanes16);
    words_and_flags(k, a, c);
    k->activation_forward[FNN_ACTIVATION_sigmoid](1, 1000, b, 1000, d, 1000, p);
    tiny(k, 3, a, d, d + 500 * s, c);
    printf("%s %s %016llx\n", s == 4 ? "float32" : "float64", k->isa, (unsigned long long)hash);
    if (2 * k->lanes >= 8) { /* two vectors in some, one in others, and in float64 of NEON there is no room */
        hash = 14695981039346656037u;
        tiny(k, 7, a, d, d + 500 * s, c);
        printf("%s-wider %s %016llx\n", s == 4 ? "float32" : "float64", k->isa, (unsigned long long)hash);
    }
    free(a);
    free(b);
    free(c);
    free(d);
}

/* the geometry is that of k; rows, depth and columns that nothing divides */
static void bf16(const fnn_kernels *k, const fnn_bf16_kernels *half)
{
    enum { ROWS = 29, DEPTH = 45, COLUMNS = 77, LD = 96 };
    const size_t lanes = k->lanes, vector = (DEPTH + 1) / 2 * lanes;
    static float x[2 * DEPTH * LD], c[2 * DEPTH * LD];
    static fnn_pair a[2 * DEPTH * LD], w[2 * DEPTH * LD], b[2 * DEPTH * LD], across[2 * DEPTH * LD];
    random_state = 1;
    hash = 14695981039346656037u;
    memset(w, 0, sizeof w);
    memset(b, 0, sizeof b);
    memset(across, 0, sizeof across);
    fill(k, x, 2 * DEPTH * LD);
    half->narrow(ROWS, DEPTH, NULL, x, LD, a, LD);
    half->narrow(DEPTH, COLUMNS, NULL, x, LD, w, LD);
    half->interleave(DEPTH, COLUMNS, w, LD, b, vector);
    half->transpose(DEPTH, COLUMNS, w, LD, across, LD);
    for (size_t r = 0; r < (DEPTH + 1) / 2; r++)
        for (size_t j = 0; j < COLUMNS; j++)
            add(b + j / lanes * vector + r * lanes + j % lanes, 4);
    for (size_t j = 0; j < COLUMNS; j++)
        add(across + j * LD, (DEPTH + 1) / 2 * 4);
    if (half->enter)
        half->enter();
    for (int finish = FNN_STORE; finish <= FNN_RELU_SLOPE; finish++) {
        size_t width = k->panel_vectors * lanes;
        for (size_t start = 0; start < COLUMNS; start += width) {
            size_t n = COLUMNS - start < width ? COLUMNS - start : width, vectors = (n + lanes - 1) / lanes;
            half->product(ROWS, vectors, (DEPTH + 1) / 2, a, LD, b + start / lanes * vector, lanes, vector,
                          x + start, c + start, LD, n - (vectors - 1) * lanes, finish, x + start, LD);
        }
        for (size_t r = 0; r < ROWS; r++)
            add(c + r * LD, COLUMNS * sizeof(float));
    }
    if (half->leave)
        half->leave();
    printf("bfloat16 %s-%s %016llx\n", k->isa, half->name, (unsigned long long)hash);
}

int main(void)
{
    uint64_t state = fnn_float_flush();
    for (int dtype = 0; dtype < FNN_DTYPES; dtype++)
        for (const char *const *isa = fnn_instruction_sets(); *isa; isa++)
            all(fnn_kernels_for(*isa, (enum fnn_dtype)dtype));
    for (const char *const *isa = fnn_instruction_sets(); *isa; isa++) {
        const fnn_bf16_kernels *list[FNN_BF16_KINDS];
        fnn_bf16_kernels_for(*isa, list);
        for (int i = 0; list[i]; i++)
            bf16(fnn_kernels_for(*isa, FNN_F32), list[i]);
    }
    fnn_float_restore(state);
    return failed;
}
