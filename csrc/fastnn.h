/* The boundary between Cython and C: what one register tile, one vector or a few rows of one matrix cost.

   Every kernel exists once in kernels.inc and is compiled for each instruction set and for float and double; a table
   (fnn_kernels) holds one such set. Kernels own no threads, allocate nothing, and take `void *` so that one table
   type serves both element types: T below is the table's element type.

   Layouts. A matrix is row-major, element (i, j) at p[i * ld + j], unless a parameter list gives two strides.
   "Columns" (of an output layer or a narrow one) are unit-major: element (row r, unit j) at p[j * ld + r]. Kernels on columns read and
   write whole vectors, so the rows of a column end in room for a multiple of 16, with anything in it.

   Sums. The order of every sum is fixed: see each kernel. fma is always fused. */
#ifndef FASTNN_H
#define FASTNN_H
#include <stddef.h>
#include <stdint.h>

enum fnn_dtype { FNN_F32, FNN_F64, FNN_DTYPES };

enum fnn_activation {
#define ELEMENTWISE(name, reads, parameters, f, df) FNN_ACTIVATION_##name,
#define ROWWISE(name, reads) FNN_ACTIVATION_##name,
#include "activations.def"
#undef ELEMENTWISE
#undef ROWWISE
    FNN_ACTIVATIONS
};
/* What the derivative of an activation is computed from. */
enum fnn_reads { FNN_READS_OUTPUT, FNN_READS_INPUT };

enum fnn_loss {
#define ELEMENTWISE(name, over, parameters, f, df) FNN_LOSS_##name,
#define ROWWISE(name, targets, parameters) FNN_LOSS_##name,
#define FUSED(name, loss, activation) FNN_LOSS_##name,
#include "losses.def"
#undef ELEMENTWISE
#undef ROWWISE
#undef FUSED
    FNN_LOSSES
};
/* What a loss or a metric takes as targets: as many as the output has units, one class number a row, one for each p[0] units, or any. */
enum fnn_targets { FNN_TARGETS_UNITS, FNN_TARGETS_CLASS, FNN_TARGETS_REPEATED, FNN_TARGETS_ANY };

enum fnn_metric {
#define METRIC(name, targets, parameters) FNN_METRIC_##name,
#include "metrics.def"
#undef METRIC
    FNN_METRICS
};

enum fnn_optimizer {
#define OPTIMIZER(name, slots, numbers, first, coefficients, body) FNN_OPTIMIZER_##name,
#include "optimizers.def"
    FNN_OPTIMIZERS
};

/* What a loss or a metric can be given beside its arrays, at most; there are few defaults, and a pointer to parameters points at as many
   numbers as that at least. */
#define FNN_TERM_PARAMETERS_MAX 128
#define FNN_DEFAULTS_MAX 8

/* How an optimizer's line becomes a step: by itself, or as a direction u of a whole variable, along which weights go by a number. */
enum fnn_step {
    FNN_STEP_ELEMENTS,
    FNN_STEP_TRUST,     /* the number is |w| / |u| */
    FNN_STEP_FACTORED,  /* of matrices, u is g / sqrt(a row's mean square * a column's) */
    FNN_STEP_ORTHOGONAL /* of matrices, u is orthogonalised; other variables take adam's line */
};

/* Names and properties of the operations, in the order of the enums. */
typedef struct fnn_operation {
    const char *name;
    int property;   /* activation: fnn_reads; loss, metric: fnn_targets */
    int rowwise;    /* works on whole rows, so its arguments are columns */
    int fused_from; /* fused losses: the loss that it replaces, else -1 */
    int fused_with; /* fused losses: the activation that it absorbs, else -1 */
    int parameters; /* losses, metrics: how many; -n: n or more, behind the number of units that the last ones are for in turn (fused
                       losses have those of the loss) */
    double defaults[FNN_DEFAULTS_MAX];
} fnn_operation;
extern const fnn_operation fnn_activation_table[FNN_ACTIVATIONS];
extern const int fnn_activation_parameters[FNN_ACTIVATIONS]; /* how many each has */
extern const fnn_operation fnn_loss_table[FNN_LOSSES];
extern const fnn_operation fnn_metric_table[FNN_METRICS];

/* What a line of optimizers.def says; the lines of an optimizer's variants follow its own. */
typedef struct fnn_decay { /* base to the power step: a function of the two, whatever was computed before */
    double base;
    int64_t step;
    double value;
} fnn_decay;
typedef struct fnn_memory { /* of the last step's coefficients */
    fnn_decay decay[2];
    double beta, power, value; /* of a product of momenta over so many steps */
    int64_t step;
    double smallest; /* normal number of the weights' type */
    double (*real_power)(double, double); /* for arguments >= 0 */
} fnn_memory;
typedef void (*fnn_coefficients)(const double *p, double rate, int64_t t, fnn_memory *m, double *h);
typedef struct fnn_optimizer_line {
    const char *name;
    int slots, step; /* fnn_step */
    int of; /* the line of the optimizer that it is a variant of; else its own */
    const char *numbers; /* "name=default ..."; a variant's is NULL */
    double (*first)(const double *p);
    fnn_coefficients coefficients;
    int (*when)(const double *p);
} fnn_optimizer_line;
extern const fnn_optimizer_line fnn_optimizer_table[FNN_OPTIMIZERS];
/* The variant of an optimizer's line that goes with such numbers. */
int fnn_optimizer_variant(int optimizer, const double *p);

/* What an operation can be given beside its arrays; a pointer to parameters points at so many. */
#define FNN_PARAMETERS_MAX 4

#define FNN_TILE_ROWS_MAX 14
#define FNN_PANEL_VECTORS_MAX 4

/* What a tile does with its sums: relu and its derivative cost nothing while they are still in registers. */
enum fnn_finish {
    FNN_STORE, /* c = sum */
    FNN_ADD, /* c = c + sum */
    FNN_RELU, /* c = max(0, sum) */
    FNN_RELU_SLOPE /* c = sum where other > 0, else 0 */
};

/* One register tile: sum[i][j] = init[j] + sum over p = 0, 1, ... depth-1 of a[i * a_row + p * a_step] * b[p * b_step + j],
   by fma in the order of p, starting from init (NULL: zero), then `finish`.
   a: broadcast operand; b: (depth, vectors * lanes), every vector of which may be read whole; init: (vectors * lanes,);
   c: (rows, ...) row-major, of whose last vector only the first `last` lanes are written; other: as c. */
typedef void fnn_tile(size_t depth, const void *a, ptrdiff_t a_row, ptrdiff_t a_step, const void *b,
                      ptrdiff_t b_step, const void *init, void *c, ptrdiff_t c_row, size_t last, int finish,
                      const void *other, ptrdiff_t other_row);

/* out[r] = a[r] . w over 16 virtual lanes: lane l sums p = l, l + 16, ... by fma from zero; then (l, l+8), (l, l+4), (l, l+2),
   (l, l+1) are added. a: (rows, depth) row-major; w: (depth,); depth a multiple of 16; out: (rows,). */
typedef void fnn_dot_rows(size_t rows, size_t depth, const void *a, size_t lda, const void *w, void *out);

/* out = f(z) and d = d * f'(a), elementwise on (rows, n) matrices; a is what the activation's `reads` says. In place is fine.
   Row-wise activations: on columns, (units = rows of the matrix, n = number of rows). p: the parameters. */
typedef void fnn_activation_forward(size_t rows, size_t n, const void *z, size_t ldz, void *out, size_t ldo,
                                    const double *p);
typedef void fnn_activation_backward(size_t rows, size_t n, const void *a, size_t lda, void *d, size_t ldd,
                                     const double *p);

/* All on columns (ld >= rows). out: (units, rows), the network's output (fused losses: the pre-activation, which they replace by
   the output); y: (units or 1, rows); weight: (rows,) or NULL; delta (OUT, or NULL): weight * scale * d(loss of the row)/d(out);
   row_loss (OUT): (rows,), weight * loss of the row; p: the parameters. */
typedef void fnn_loss_rows(size_t rows, size_t units, void *out, size_t ldo, const void *y, size_t ldy,
                           const void *weight, double scale, void *delta, size_t ldd, void *row_loss,
                           const double *p);
/* What a metric is told beside its arrays; see metrics.h. */
typedef struct fnn_metric_settings {
    const double *p; /* the parameters */
    size_t first, count; /* the units that it looks at, where it looks at each by itself */
    size_t thresholds;
    const double *threshold; /* (thresholds,), rising */
} fnn_metric_settings;

/* value (OUT): what the metric makes of each row, unweighted: columns of leading dimension ldv, one or several. */
typedef void fnn_metric_rows(const fnn_metric_settings *m, size_t rows, size_t units, const void *out,
                             size_t ldo, const void *y, size_t ldy, void *value, size_t ldv);

/* Coefficients of an optimizer's step, as T: those of its line in optimizers.def first, at the end those of fnn_clip_and_decay. */
#define FNN_HYPER_MAX 8
#define FNN_HYPER_DECAY 6
#define FNN_HYPER_LIMIT 7
#define FNN_SLOTS_MAX 3

/* One step on n (a multiple of the lanes) weights. g: gradient; w, s0, s1, s2: (n,) IN and OUT, of slots only as many as the
   optimizer has; h: (FNN_HYPER_MAX,). */
typedef void fnn_optimizer_step(size_t n, const void *g, void *w, void *s0, void *s1, void *s2,
                                const void *h);
/* g, w (IN and OUT): g = min(max(g, -limit), limit), then w = w - decay * w; both are done, whichever is asked for. Any n. */
typedef void fnn_clip_and_decay(size_t n, void *g, void *w, const void *h);

#define FNN_FEW_UNITS 4
#define FNN_TINY_VECTORS 2

/* A network whose first layer is one or two vectors wide: pointers into its workspace, and places in elements from the start of a
   parameter buffer. What stands below `gradients` serves the fused step alone, of a network of one hidden layer and a narrow last one
   of few units. */
typedef struct fnn_tiny {
    size_t inputs, units, vectors; /* of the first layer */
    size_t first; /* place of its weights: (inputs, vectors * lanes), then the bias */
    size_t lda, ldd;
    int relu, first_bias;
    fnn_activation_forward *forward; /* elementwise; NULL where `relu`, or none */
    const double *p; /* its parameters */
    void *a, *d; /* its output and deltas, row-major */
    void *kept; /* its pre-activations, as `a`, where the derivative reads them; else NULL */
    void *gradients; /* as a parameter buffer */
    fnn_activation_backward *backward;
    size_t outputs, targets; /* units of the last layer, columns of y */
    size_t last, stride, parameters; /* place of the last layer, its row, size of a parameter buffer */
    size_t ld; /* of all columns */
    int last_bias;
    fnn_activation_forward *last_forward; /* NULL: none, or the loss's */
    fnn_activation_backward *last_backward;
    const double *last_p;
    fnn_loss_rows *loss;
    const double *loss_p; /* its parameters */
    fnn_clip_and_decay *clip_and_decay; /* NULL: not asked for */
    fnn_optimizer_step *optimizer;
    void *z, *y, *weight, *delta, *values; /* columns */
} fnn_tiny;

/* a (OUT: rows rounded up to 8): the first layer's output, its rows index[0..rows) of x (NULL: the first) read where they lie; a one
   behind the units of each row, then zeros to the vector's end. w: parameters. */
typedef void fnn_input_forward(const fnn_tiny *t, size_t rows, const int64_t *index, const void *x,
                               const void *w);
/* The first layer's gradients (OUT) from d, which is zero in lanes without a unit. */
typedef void fnn_input_gradient(const fnn_tiny *t, size_t rows, const int64_t *index, const void *x);
/* A whole step on `rows` rows of x, y and weight (or NULL), as above. w (IN and OUT): parameters, then the slots; lanes16 (IN and OUT):
   what `sum_lanes` makes of the rows' losses. Outputs, targets and weights stay in their columns, for metrics. Looks for NaN nowhere. */
typedef void fnn_tiny_step(const fnn_tiny *t, size_t rows, const int64_t *index, const void *x, const void *y,
                           const void *weight, void *w, double scale, const double *hyper, double *lanes16);

/* LANES models of one shape at once, see lanes.h: what they work in. x: (rows, inputs, LANES); a, d, kept: (rows, units, LANES); the
   columns z, y, weight, delta, values: (LANES * rows) of leading dimension ld, a multiple of 16; gradients: as w below. */
typedef struct fnn_lanes {
    void *x, *a, *d, *kept, *z, *y, *weight, *delta, *values, *gradients;
    size_t ld;
    int penalised; /* the kernels: see penalties.h for the (l1, l2) of each, `shared` times them in the gradients */
    double penalty[2][2], shared;
    double recorded; /* what the rows' losses are multiplied by before they are added, unless it is 1 */
} fnn_lanes;

#define FNN_LANES_MAX 16
/* fnn_tiny_step for as many models as a vector has lanes. index, x, y, weight (or NULL), lanes16: those of each. w (IN and OUT):
   (inputs + 1, units, LANES), the bias last, then (outputs, units + 1, LANES); then each slot likewise. penalties16 (OUT, LANES of them): sums
   of the kernels' penalties before the step. */
typedef void fnn_lanes_step(const fnn_lanes *g, const fnn_tiny *t, size_t rows, const int64_t *const *index,
                            const void *const *x, const void *const *y, const void *const *weight, void *w,
                            double scale, const double *hyper, double *const *lanes16,
                            double (*penalties16)[16]);

#define FNN_FEW_ROWS 32
#define FNN_ORDERS 16
/* One row through `panels` packed panels of `vectors` vectors that lie side by side, `depth` + 1 rows each, the last one the
   bias: c[j] = bias[j] + sum over p of a[p] * b[p][j] by fma in the order of p, then `finish` (FNN_STORE or FNN_RELU). Of the last
   vector only `last` lanes are written. */
typedef void fnn_row(size_t depth, const void *a, const void *b, void *c, size_t last, int finish);
/* The same for some rows against vectors of words, each of two bfloat16 weights (see inference.h), b_step words from one input to
   the next; init: the biases in float32; `valid` of the 2 * words * lanes sums are written. */
typedef void fnn_words(size_t depth, const void *a, ptrdiff_t a_row, const void *b, ptrdiff_t b_step,
                       const void *init, void *c, ptrdiff_t c_row, size_t valid, int finish);
#define FNN_ROW_VECTORS_MAX 8
#define FNN_WORDS_MAX 4
#define FNN_WORDS_ROWS_MAX 6

#define FNN_HYPER_MAX 8

/* What stands between dense layers, on row-major matrices of n columns; see layers.h. In place is fine. */
typedef void fnn_pairwise(size_t rows, size_t n, const void *x, size_t ldx, const void *y, size_t ldy,
                          void *out, size_t ldo);
/* Philox counters that a row of n columns takes, four words each: a function of n alone. */
static inline size_t fnn_row_counters(size_t n) { return ((n + 3) / 4 + 15) / 16 * 16; }

typedef struct fnn_kernels {
    const char *isa;
    size_t itemsize;
    size_t lanes; /* of one vector */
    size_t panel_vectors; /* of one panel of packed weights, at most */
    size_t tile_rows[FNN_PANEL_VECTORS_MAX + 1]; /* largest tile, by its vectors */
    fnn_tile *tile[FNN_PANEL_VECTORS_MAX + 1][FNN_TILE_ROWS_MAX + 1];
    fnn_dot_rows *dot_rows;
    fnn_activation_forward *activation_forward[FNN_ACTIVATIONS];
    fnn_activation_backward *activation_backward[FNN_ACTIVATIONS];
    fnn_loss_rows *loss[FNN_LOSSES];
    fnn_metric_rows *metric[FNN_METRICS];
    fnn_optimizer_step *optimizer[FNN_OPTIMIZERS];
    fnn_clip_and_decay *clip_and_decay;
    /* dst[j][i] = src[i][j] for i < rows, j < cols */
    void (*transpose)(size_t rows, size_t cols, const void *src, size_t lds, void *dst, size_t ldd);
    /* tiny networks, see fnn_tiny */
    fnn_input_forward *input_forward;
    fnn_input_gradient *input_gradient;
    fnn_tiny_step *tiny_step;
    fnn_lanes_step *lanes_step;
    /* out[r][0..n) = x[index[r]][0..n) (index NULL: x[r]); the return value is 1 if anything was NaN or infinite */
    int (*gather)(size_t rows, size_t n, const int64_t *index, const void *x, size_t ldx, void *out,
                  size_t ldo);
    /* the same into columns: out[j][r] = x[index[r]][j] */
    int (*gather_columns)(size_t rows, size_t n, const int64_t *index, const void *x, size_t ldx, void *out,
                          size_t ldo);
    /* a[i] += b[i] */
    void (*accumulate)(size_t n, const void *b, void *a);
    /* out[i] = a * x[i] + b * y[i] (y NULL: a * x[i]), the second product rounded, the first fused; n a multiple of the lanes */
    void (*blend)(size_t n, double a, const void *x, double b, const void *y, void *out);
    /* x[r][j] /= sqrt(row[r * ldr] * factor * column[j]), whose argument is at least the smallest normal number */
    void (*over_roots)(size_t rows, size_t n, void *x, size_t ldx, const void *row, size_t ldr, double factor,
                       const void *column);
    /* lanes16[i % 16] += value[i] in double */
    void (*sum_lanes)(size_t n, const void *value, double *lanes16);
    int (*all_finite)(size_t n, const void *x);
    /* Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): word w of counter (first + i, stream)
       at out[w * n + i] */
    void (*philox)(uint64_t key, uint32_t first, const uint32_t *stream, size_t n, uint32_t *out);
    /* Fisher-Yates over 0..n-1, a function of (key, epoch) alone */
    void (*permutation)(uint64_t key, uint64_t epoch, int64_t n, int64_t *out);
    /* the same for 16 epochs from `epoch` on: out (16, n); n at most FNN_FEW_ROWS */
    void (*permutations16)(uint64_t key, uint64_t epoch, int64_t n, int64_t *out);
    /* 2 * lanes * 16 * iterations floating-point operations that depend on nothing in memory; consume the result */
    double (*fma_peak)(size_t iterations);
    size_t fma_peak_chains;
    /* by vectors and panels; NULL where there are no such panels */
    fnn_row *row[FNN_PANEL_VECTORS_MAX + 1][FNN_ROW_VECTORS_MAX / 2 + 1];
    /* out[j] = x . w[j] over 16 virtual lanes, as dot_rows; w: units rows of `stride` */
    void (*dot_units)(size_t units, size_t depth, const void *w, size_t stride, const void *x, void *out);
    /* by rows and words; NULL in float64, and where registers do not suffice */
    fnn_words *words[FNN_WORDS_ROWS_MAX + 1][FNN_WORDS_MAX + 1];
    fnn_pairwise *add_rows, *multiply_rows;
    fnn_pairwise *prelu_forward; /* x where x > 0, else y * x; y: one row, ldy 0 */
    fnn_pairwise *negative_part; /* min(0, x), whatever y */
    void (*prelu_backward)(size_t rows, size_t n, const void *x, size_t ldx, const void *alpha, const void *d,
                           size_t ldd, void *out, size_t ldo);
    /* out[r][j] = x[r][j] * scale[j] + offset[j] (NULL: 0) */
    void (*scale_columns)(size_t rows, size_t n, const void *x, size_t ldx, const void *scale,
                          const void *offset, void *out, size_t ldo);
    /* out[r][j] = x[r][j] * scale[j] + (y[r][j] * other[j] + offset[j]) */
    void (*combine_columns)(size_t rows, size_t n, const void *x, size_t ldx, const void *scale,
                            const void *y, size_t ldy, const void *other, const void *offset, void *out,
                            size_t ldo);
    /* out[j] = (add: out[j]) + sum over the rows, in their order, of x[r][j] * y[r][j] (y NULL: x[r][j]) */
    void (*column_sums)(size_t rows, size_t n, const void *x, size_t ldx, const void *y, size_t ldy,
                        void *out, int add);
    /* out = (x - its row's mean, if center) * inverse, inverse[r] = 1 / sqrt(mean square + epsilon) */
    void (*normalize_rows)(size_t rows, size_t n, const void *x, size_t ldx, double epsilon, int center,
                           void *out, size_t ldo, void *inverse);
    void (*normalize_rows_backward)(size_t rows, size_t n, const void *normal, size_t ldn,
                                    const void *inverse, int center, const void *d, size_t ldd, void *out,
                                    size_t ldo);
    /* The penalty of x is p[0] |x| + p[1] x^2: out = d + its derivative; its sums over each column's rows, in their order; its sums over
       each row, through 16 virtual lanes as dot_rows, stored or added. */
    void (*add_slopes)(size_t rows, size_t n, const void *x, size_t ldx, const double *p, const void *d,
                       size_t ldd, void *out, size_t ldo);
    void (*penalty_columns)(size_t rows, size_t n, const void *x, size_t ldx, const double *p, void *sums);
    void (*penalty_rows)(size_t rows, size_t n, const void *x, size_t ldx, const double *p, int add,
                         void *sums);
    /* x (IN and OUT) = min(max(x, low), high); NaN stays */
    void (*limit)(size_t rows, size_t n, void *x, size_t ldx, double low, double high);
    /* out = p[3] with probability p[0], else x * p[1] + p[2]; factor: d out / d x. Row r is at `place` + r of its epoch; stream: epoch
       and layer; words: room for 4 * fnn_row_counters(n) */
    void (*drop)(size_t rows, size_t n, const void *x, size_t ldx, void *factor, size_t ldf, void *out,
                 size_t ldo, uint64_t key, uint64_t place, const uint32_t *stream, const double *p,
                 uint32_t *words);
    /* normal numbers, numbered likewise */
    void (*normals)(size_t rows, size_t n, void *out, size_t ldo, uint64_t key, uint64_t place,
                    const uint32_t *stream, double mean, double deviation, uint32_t *words);
    /* reads n values, a multiple of 8 * lanes, as fast as they come; consume the result */
    double (*read_stream)(size_t n, const void *x);
} fnn_kernels;

/* Instruction sets compiled in and usable on this processor, best first; names[i] == NULL ends the list. */
const char *const *fnn_instruction_sets(void);
/* NULL for a name that is not in that list. */
const fnn_kernels *fnn_kernels_for(const char *isa, enum fnn_dtype dtype);
void fnn_cpu_name(char *buffer, size_t size);

/* Flush-to-zero and denormals-are-zero for the calling thread; returns what fnn_float_restore takes. */
uint64_t fnn_float_flush(void);
void fnn_float_restore(uint64_t state);

#endif
