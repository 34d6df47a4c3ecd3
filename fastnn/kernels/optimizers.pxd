from libc.stdint cimport int64_t

from fastnn.kernels.plan cimport Optimizer

cdef void coefficients(Optimizer *optimizer, int64_t step, double *h) noexcept nogil
cdef Optimizer make_optimizer(str name, dict hyper) except *
cdef int set_hyper(Optimizer *optimizer, str name, double value) except -1
