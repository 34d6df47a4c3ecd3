from fastnn.kernels.memory cimport Arena
from fastnn.kernels.plan cimport Metric, Objective, Plan, Source, Space
from fastnn.kernels.runtime cimport real


cdef class Metrics:
    """The metrics of a compiled network, and the arrays that they read."""
    cdef Arena table
    cdef object arrays
    cdef readonly tuple widths    # results of each

    cdef int add(self, Metric *m, Objective *objective, measure) except -1
    cdef const double *keep(self, values) except? NULL


cdef Metrics make_metrics(Objective *objective, measures, Py_ssize_t units)
cdef void measure_rows(const Plan *plan, const Space *space, const Objective *objective, real *work, bint weighted, Py_ssize_t begin,
                       Py_ssize_t n, Py_ssize_t value_at) noexcept nogil
cdef void fold_rows(const Plan *plan, const Space *space, const Objective *objective, const Source *source, const void *work,
                    Py_ssize_t start, Py_ssize_t rows, Py_ssize_t batch, double *state) noexcept nogil
