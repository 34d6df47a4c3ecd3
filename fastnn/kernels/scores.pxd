from fastnn.kernels.plan cimport Objective

cdef double tree_sum(const double *lanes) noexcept nogil
cdef void finish_all(const Objective *objective, const double *state, Py_ssize_t rows, double *result) noexcept nogil
