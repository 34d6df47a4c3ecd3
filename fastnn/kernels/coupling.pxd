from fastnn.kernels.plan cimport Layer, Node, Op, Plan
from fastnn.kernels.runtime cimport real

cdef void batch_moments(const Plan *plan, real *work, real *parameters, Py_ssize_t rows, Py_ssize_t node, int thread,
                        int team) noexcept nogil
cdef void batch_slopes(const Plan *plan, real *work, const real *parameters, Py_ssize_t rows, Py_ssize_t node, int thread,
                       int team) noexcept nogil
cdef void batch_forward(const Plan *plan, const Node *node, const real *weights, real *work, Py_ssize_t begin,
                        Py_ssize_t rows) noexcept nogil
cdef void batch_backward(const Plan *plan, const Node *node, real *work, Py_ssize_t begin, Py_ssize_t rows, real *out,
                         Py_ssize_t ld) noexcept nogil
cdef void normal_outside(const Plan *plan, const Op *op, const real *weights, real *work, Py_ssize_t begin, Py_ssize_t rows,
                         real *scratch) noexcept nogil
cdef void batch_outside(const Op *op, const real *w, real *scale) noexcept nogil
