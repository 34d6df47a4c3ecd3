from libc.stdint cimport int64_t

from fastnn.kernels.plan cimport Schedule


cdef class Rates:
    cdef Schedule schedule
    cdef readonly object function
    cdef double[::1] boundaries
    cdef double[::1] values
    cdef bint filled

    cdef int64_t fill(self, int64_t step) except -1

cdef double real_power(double base, double exponent) noexcept nogil
cdef double scheduled_rate(Schedule *s, int64_t step) noexcept nogil
cdef void logarithm(double x, double *high, double *low) noexcept nogil
