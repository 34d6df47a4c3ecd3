from fastnn.kernels.plan cimport Plan, Space
from fastnn.kernels.runtime cimport real

cdef void direct_lines(const Plan *plan, const Space *space, real *work, const real *parameters, int thread, int team) noexcept nogil
cdef void angle_slopes(const Plan *plan, const Space *space, real *work, int thread, int team, bint slopes) noexcept nogil
cdef double angles_penalty(const Plan *plan, const Space *space, const void *work) noexcept nogil
cdef void angles_now(const Plan *plan, const Space *space, void *work, const void *parameters) noexcept nogil
