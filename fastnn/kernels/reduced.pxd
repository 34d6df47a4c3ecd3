from fastnn.kernels.csrc cimport fnn_bf16_kernels
from fastnn.kernels.plan cimport Layer, Plan, Source, Space, Tile

cdef bint is_reduced(Py_ssize_t inputs, Py_ssize_t units) noexcept nogil
cdef Py_ssize_t lay_out_reduced(Plan *plan, Py_ssize_t capacity, Py_ssize_t at) noexcept
cdef void set_reduced_ones(const Plan *plan, Py_ssize_t capacity, float *work) noexcept
cdef int reduced_gather(const Plan *plan, float *work, const Source *source, Py_ssize_t start, Py_ssize_t begin,
                        Py_ssize_t n) noexcept nogil
cdef void reduced_input(const Plan *plan, Py_ssize_t i, float *work, Py_ssize_t begin, Py_ssize_t n) noexcept nogil
cdef void reduced_forward(const Plan *plan, Py_ssize_t i, const float *weights, float *work, Py_ssize_t begin, Py_ssize_t rows,
                          float *scratch) noexcept nogil
cdef void reduced_deltas(const Plan *plan, Py_ssize_t i, float *work, Py_ssize_t begin, Py_ssize_t n) noexcept nogil
cdef void reduced_backward(const Plan *plan, Py_ssize_t i, const Layer *below, float *work, Py_ssize_t begin, Py_ssize_t rows,
                           float *scratch) noexcept nogil
cdef void reduced_gradient(const Plan *plan, const Tile *tile, const float *work, Py_ssize_t begin, Py_ssize_t rows, float *gradient,
                           bint add) noexcept nogil
cdef void reduced_refresh(const Plan *plan, const Tile *tile, const float *parameters, float *work, float *scratch) noexcept nogil
cdef void reduced_refresh_all(const Plan *plan, const Space *space, const float *parameters, float *work) noexcept nogil

cdef inline void reduced_enter(const Plan *plan) noexcept nogil:
    # what this thread's processor needs before its first tile
    if plan.reduced != NULL and plan.bf16.enter != NULL:
        plan.bf16.enter()

cdef inline void reduced_leave(const Plan *plan) noexcept nogil:
    if plan.reduced != NULL and plan.bf16.leave != NULL:
        plan.bf16.leave()
