from fastnn.kernels.plan cimport Plan
from fastnn.kernels.runtime cimport real

cdef void constrain_norms(const Plan *plan, real *parameters, real *scratch, int thread, int team) noexcept nogil
