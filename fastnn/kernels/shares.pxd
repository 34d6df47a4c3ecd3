from fastnn.kernels.plan cimport Objective, Plan, Source, Space

cdef int set_share(Objective *objective, str reduction, factors, bint shared_penalties) except -1
cdef double batch_share(const Objective *objective, const Source *source, Py_ssize_t start, Py_ssize_t rows,
                        Py_ssize_t itemsize) noexcept nogil
cdef double penalty_share(const Objective *objective, const Source *source, Py_ssize_t start, Py_ssize_t rows,
                          Py_ssize_t itemsize) noexcept nogil
cdef void share_losses(const Plan *plan, const Space *space, const Objective *objective, const Source *source, void *work,
                       Py_ssize_t start, Py_ssize_t rows, Py_ssize_t batch) noexcept nogil
