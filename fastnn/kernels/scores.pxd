from fastnn.kernels.plan cimport Objective

cdef void finish_all(const Objective *objective, const double *state, Py_ssize_t rows, double *result) noexcept nogil
