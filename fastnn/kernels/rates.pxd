from libc.stdint cimport int64_t

cdef enum:
    SCHEDULE_PARAMETERS = 6

cdef enum ScheduleKind:       # in the order of SCHEDULES
    SCHEDULE_EXPONENTIAL
    SCHEDULE_INVERSE_TIME
    SCHEDULE_POLYNOMIAL
    SCHEDULE_PIECEWISE
    SCHEDULE_COSINE
    SCHEDULE_COSINE_RESTARTS
    SCHEDULE_ONE_CYCLE
    SCHEDULE_TABLE            # what somebody computed ahead

# A learning rate that is a function of the number of steps done; `Rates` owns the arrays.
cdef struct Schedule:
    ScheduleKind kind
    double p[SCHEDULE_PARAMETERS]
    double log_base[2]        # exponential: of the decay rate, as a sum of two
    Py_ssize_t count
    const double *boundaries  # piecewise: count - 1
    const double *values      # piecewise, table: count
    int64_t first             # table: the step of the first value
    double start              # restarts: where the last restart found began, its length and its height, in lengths of the first
    double length
    double height


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
