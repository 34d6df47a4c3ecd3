from fastnn.kernels.csrc cimport fnn_kernels
from fastnn.kernels.plan cimport Objective, Plan, Source, Space, Stretch
from fastnn.kernels.runtime cimport real

cdef int rows_pass(const Plan *plan, const Space *space, const Objective *objective, real *work, const real *weights,
                   const real *transposed, const Source *source, Py_ssize_t start, Py_ssize_t begin, Py_ssize_t rows,
                   Py_ssize_t value_at, double scale, double penalty, bint train, const Stretch *stretch, int thread) noexcept nogil
cdef void first_deltas(const Plan *plan, const Space *space, real *work, bint fused, Py_ssize_t begin, Py_ssize_t n) noexcept nogil
cdef int gather_targets(const Space *space, const Objective *objective, real *work, const Source *source, Py_ssize_t start,
                        Py_ssize_t begin, Py_ssize_t n, const fnn_kernels *k) noexcept nogil
cdef void output_pass(const Plan *plan, const Space *space, const Objective *objective, real *work, bint weighted, Py_ssize_t begin,
                      Py_ssize_t n, Py_ssize_t value_at, double scale, bint train) noexcept nogil
