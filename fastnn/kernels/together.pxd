from fastnn.kernels.plan cimport Objective, Plan, Space
from fastnn.kernels.runtime cimport real

cdef void tversky_of_batch(const Plan *plan, const Space *space, const Objective *objective, real *work, bint weighted, Py_ssize_t rows,
                           double scale) noexcept nogil
