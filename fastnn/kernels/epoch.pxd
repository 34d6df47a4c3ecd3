from fastnn.kernels.runtime cimport real
from fastnn.kernels.schedule cimport Run

cdef void prepare(Run *run, real *parameters) noexcept nogil
cdef void run_alone(Run *run, real *parameters) noexcept nogil
cdef int run_team(Run *run, real *parameters, int threads) except -1
cdef int step_team(Run *run, real *parameters, int threads) except -1
