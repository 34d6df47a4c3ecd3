# The C side of the house: nothing but its declarations.
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "fastnn.h" nogil:
    ctypedef enum fnn_dtype:
        FNN_F32
        FNN_F64
    int FNN_ACTIVATIONS, FNN_LOSSES, FNN_METRICS, FNN_OPTIMIZERS
    int FNN_READS_OUTPUT, FNN_READS_INPUT, FNN_TARGETS_UNITS, FNN_TARGETS_CLASS, FNN_TARGETS_REPEATED, FNN_TARGETS_ANY
    int FNN_ACTIVATION_linear, FNN_ACTIVATION_relu
    int FNN_STEP_ELEMENTS, FNN_STEP_TRUST, FNN_STEP_FACTORED, FNN_STEP_ORTHOGONAL
    int FNN_OPTIMIZER_adam, FNN_OPTIMIZER_sgd
    int FNN_STORE, FNN_ADD, FNN_RELU, FNN_RELU_SLOPE
    int FNN_TILE_ROWS_MAX, FNN_PANEL_VECTORS_MAX, FNN_FEW_UNITS, FNN_TINY_VECTORS
    enum:
        FNN_HYPER_MAX
        FNN_PARAMETERS_MAX
        FNN_TERM_PARAMETERS_MAX
        FNN_DEFAULTS_MAX
        FNN_HYPER_DECAY
        FNN_HYPER_LIMIT
        FNN_SLOTS_MAX
        FNN_FEW_ROWS
        FNN_ORDERS

    ctypedef struct fnn_operation:
        const char *name
        int property
        int rowwise
        int fused_from
        int fused_with
        int parameters
        double defaults[8]
    const fnn_operation fnn_activation_table[]
    const int fnn_activation_parameters[]
    const fnn_operation fnn_loss_table[]
    const fnn_operation fnn_metric_table[]
    ctypedef struct fnn_memory:
        double smallest
        double (*real_power)(double, double) noexcept nogil
    ctypedef void (*fnn_coefficients)(const double *p, double rate, int64_t t, fnn_memory *m, double *h) noexcept nogil
    ctypedef struct fnn_optimizer_line:
        const char *name
        int slots
        int step
        int of
        const char *numbers
        double (*first)(const double *p) noexcept nogil
        fnn_coefficients coefficients
    const fnn_optimizer_line fnn_optimizer_table[]
    int fnn_optimizer_variant(int optimizer, const double *p)

    ctypedef void (*tile_function)(
        size_t depth, const void *a, Py_ssize_t a_row, Py_ssize_t a_step, const void *b, Py_ssize_t b_step,
        const void *init, void *c, Py_ssize_t c_row, size_t last, int finish, const void *other,
        Py_ssize_t other_row) noexcept nogil
    ctypedef void (*dot_rows_function)(
        size_t rows, size_t depth, const void *a, size_t lda, const void *w, void *out) noexcept nogil
    ctypedef void fnn_activation_forward(
        size_t rows, size_t n, const void *z, size_t ldz, void *out, size_t ldo, const double *p) noexcept nogil
    ctypedef void (*activation_backward_function)(
        size_t rows, size_t n, const void *a, size_t lda, void *d, size_t ldd, const double *p) noexcept nogil
    ctypedef void (*loss_function)(
        size_t rows, size_t units, void *out, size_t ldo, const void *y, size_t ldy, const void *weight,
        double scale, void *delta, size_t ldd, void *row_loss, const double *p) noexcept nogil
    ctypedef struct fnn_metric_settings:
        const double *p
        size_t first, count
        size_t thresholds
        const double *threshold
    ctypedef void (*metric_function)(
        const fnn_metric_settings *m, size_t rows, size_t units, const void *out, size_t ldo, const void *y, size_t ldy, void *value,
        size_t ldv) noexcept nogil
    ctypedef void (*optimizer_function)(
        size_t n, const void *g, void *w, void *s0, void *s1, void *s2, const void *h) noexcept nogil
    ctypedef void fnn_clip_and_decay(size_t n, void *g, void *w, const void *h) noexcept nogil

    ctypedef struct fnn_tiny:
        size_t inputs, units, vectors
        size_t first
        size_t lda, ldd
        int relu, first_bias
        fnn_activation_forward *forward
        const double *p
        void *a
        void *d
        void *kept
        void *gradients
        activation_backward_function backward
        size_t outputs, targets
        size_t last, stride, parameters
        size_t ld
        int last_bias
        fnn_activation_forward *last_forward
        activation_backward_function last_backward
        const double *last_p
        loss_function loss
        const double *loss_p
        fnn_clip_and_decay *clip_and_decay
        optimizer_function optimizer
        void *z
        void *y
        void *weight
        void *delta
        void *values
    ctypedef void (*input_forward_function)(
        const fnn_tiny *t, size_t rows, const int64_t *index, const void *x, const void *w) noexcept nogil
    ctypedef void (*input_gradient_function)(const fnn_tiny *t, size_t rows, const int64_t *index, const void *x) noexcept nogil
    ctypedef void (*tiny_step_function)(
        const fnn_tiny *t, size_t rows, const int64_t *index, const void *x, const void *y, const void *weight, void *w, double scale,
        const double *hyper, double *lanes16) noexcept nogil
    ctypedef struct fnn_lanes:
        void *x
        void *a
        void *d
        void *kept
        void *z
        void *y
        void *weight
        void *delta
        void *values
        void *gradients
        size_t ld
        int penalised
        double penalty[2][2]
        double shared
        double recorded
    enum:
        FNN_LANES_MAX
    ctypedef void (*lanes_step_function)(
        const fnn_lanes *g, const fnn_tiny *t, size_t rows, const int64_t *const *index, const void *const *x, const void *const *y,
        const void *const *weight, void *w, double scale, const double *hyper, double *const *lanes16,
        double (*penalties16)[16]) noexcept nogil
    enum:
        FNN_ROW_VECTORS_MAX
        FNN_WORDS_MAX
        FNN_WORDS_ROWS_MAX
    ctypedef void (*row_function)(
        size_t depth, const void *a, const void *b, void *c, size_t last, int finish) noexcept nogil
    ctypedef void (*words_function)(
        size_t depth, const void *a, Py_ssize_t a_row, const void *b, Py_ssize_t b_step, const void *init, void *c,
        Py_ssize_t c_row, size_t valid, int finish) noexcept nogil

    ctypedef void (*pairwise_function)(
        size_t rows, size_t n, const void *x, size_t ldx, const void *y, size_t ldy, void *out, size_t ldo) noexcept nogil
    size_t fnn_row_counters(size_t n)

    ctypedef struct fnn_kernels:
        const char *isa
        size_t itemsize
        size_t lanes
        size_t panel_vectors
        size_t tile_rows[5]
        tile_function tile[5][15]
        dot_rows_function dot_rows
        fnn_activation_forward *activation_forward[1]
        activation_backward_function activation_backward[1]
        loss_function loss[1]
        metric_function metric[1]
        optimizer_function optimizer[1]
        fnn_clip_and_decay *clip_and_decay
        void (*transpose)(size_t rows, size_t cols, const void *src, size_t lds, void *dst, size_t ldd) noexcept nogil
        input_forward_function input_forward
        input_gradient_function input_gradient
        tiny_step_function tiny_step
        lanes_step_function lanes_step
        int (*gather)(size_t rows, size_t n, const int64_t *index, const void *x, size_t ldx, void *out,
                      size_t ldo) noexcept nogil
        int (*gather_columns)(size_t rows, size_t n, const int64_t *index, const void *x, size_t ldx, void *out,
                              size_t ldo) noexcept nogil
        void (*accumulate)(size_t n, const void *b, void *a) noexcept nogil
        void (*over_roots)(size_t rows, size_t n, void *x, size_t ldx, const void *row, size_t ldr, double factor,
                           const void *column) noexcept nogil
        void (*blend)(size_t n, double a, const void *x, double b, const void *y, void *out) noexcept nogil
        void (*sum_lanes)(size_t n, const void *value, double *lanes16) noexcept nogil
        int (*all_finite)(size_t n, const void *x) noexcept nogil
        void (*philox)(uint64_t key, uint32_t first, const uint32_t *stream, size_t n, uint32_t *out) noexcept nogil
        void (*permutation)(uint64_t key, uint64_t epoch, int64_t n, int64_t *out) noexcept nogil
        void (*permutations16)(uint64_t key, uint64_t epoch, int64_t n, int64_t *out) noexcept nogil
        double (*fma_peak)(size_t iterations) noexcept nogil
        size_t fma_peak_chains
        row_function row[5][5]
        void (*dot_units)(size_t units, size_t depth, const void *w, size_t stride, const void *x, void *out) noexcept nogil
        words_function words[7][5]
        pairwise_function add_rows
        pairwise_function multiply_rows
        pairwise_function prelu_forward
        pairwise_function negative_part
        void (*prelu_backward)(size_t rows, size_t n, const void *x, size_t ldx, const void *alpha, const void *d, size_t ldd,
                               void *out, size_t ldo) noexcept nogil
        void (*scale_columns)(size_t rows, size_t n, const void *x, size_t ldx, const void *scale, const void *offset, void *out,
                              size_t ldo) noexcept nogil
        void (*combine_columns)(size_t rows, size_t n, const void *x, size_t ldx, const void *scale, const void *y, size_t ldy,
                                const void *other, const void *offset, void *out, size_t ldo) noexcept nogil
        void (*column_sums)(size_t rows, size_t n, const void *x, size_t ldx, const void *y, size_t ldy, void *out,
                            int add) noexcept nogil
        void (*normalize_rows)(size_t rows, size_t n, const void *x, size_t ldx, double epsilon, int center, void *out, size_t ldo,
                               void *inverse) noexcept nogil
        void (*normalize_rows_backward)(size_t rows, size_t n, const void *normal, size_t ldn, const void *inverse, int center,
                                        const void *d, size_t ldd, void *out, size_t ldo) noexcept nogil
        void (*add_slopes)(size_t rows, size_t n, const void *x, size_t ldx, const double *p, const void *d, size_t ldd, void *out,
                           size_t ldo) noexcept nogil
        void (*penalty_columns)(size_t rows, size_t n, const void *x, size_t ldx, const double *p, void *sums) noexcept nogil
        void (*penalty_rows)(size_t rows, size_t n, const void *x, size_t ldx, const double *p, int add, void *sums) noexcept nogil
        void (*limit)(size_t rows, size_t n, void *x, size_t ldx, double low, double high) noexcept nogil
        void (*drop)(size_t rows, size_t n, const void *x, size_t ldx, void *factor, size_t ldf, void *out, size_t ldo, uint64_t key,
                     uint64_t place, const uint32_t *stream, const double *p, uint32_t *words) noexcept nogil
        void (*normals)(size_t rows, size_t n, void *out, size_t ldo, uint64_t key, uint64_t place, const uint32_t *stream, double mean,
                        double deviation, uint32_t *words) noexcept nogil
        double (*read_stream)(size_t n, const void *x) noexcept nogil

    const char *const *fnn_instruction_sets()
    const fnn_kernels *fnn_kernels_for(const char *isa, fnn_dtype dtype)
    void fnn_cpu_name(char *buffer, size_t size)
    uint64_t fnn_float_flush()
    void fnn_float_restore(uint64_t state)

cdef extern from "bf16.h" nogil:
    ctypedef uint32_t fnn_pair
    ctypedef struct fnn_bf16_kernels:
        const char *name
        void (*product)(size_t rows, size_t vectors, size_t depth, const fnn_pair *a, Py_ssize_t a_row, const fnn_pair *b,
                        Py_ssize_t b_step, Py_ssize_t b_vector, const float *init, float *c, Py_ssize_t c_row, size_t last,
                        int finish, const float *other, Py_ssize_t other_row) noexcept nogil
        int (*narrow)(size_t rows, size_t n, const int64_t *index, const float *x, size_t ldx, fnn_pair *out,
                      size_t ldo) noexcept nogil
        void (*interleave)(size_t rows, size_t n, const fnn_pair *src, size_t lds, fnn_pair *dst, size_t d_vector) noexcept nogil
        void (*transpose)(size_t rows, size_t n, const fnn_pair *src, size_t lds, fnn_pair *dst, size_t ldd) noexcept nogil
        void (*enter)() noexcept nogil
        void (*leave)() noexcept nogil
        double (*peak)(size_t iterations) noexcept nogil
        size_t peak_chains
    enum:
        FNN_BF16_KINDS

    void fnn_bf16_kernels_for(const char *isa, const fnn_bf16_kernels **list)

cdef extern from "barrier.h" nogil:
    ctypedef struct fnn_barrier:
        pass
    void fnn_barrier_init(fnn_barrier *b)
    void fnn_barrier_wait(fnn_barrier *b, int team, int spins)
    void fnn_flag_set(fnn_barrier *b, int value)
    int fnn_flag_get(fnn_barrier *b)
    void fnn_jobs_reset(fnn_barrier *b)
    size_t fnn_jobs_take(fnn_barrier *b)
    ctypedef struct fnn_share:
        size_t end
    void fnn_share_set(fnn_share *s, size_t first, size_t end)
    size_t fnn_share_take(fnn_share *s, size_t piece)
