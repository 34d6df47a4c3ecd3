from fastnn.kernels.optimizers cimport Move, Optimizer
from fastnn.kernels.plan cimport PhaseKind, Plan, Space, Stretch
from fastnn.kernels.runtime cimport real

cdef int step_phases(const Optimizer *optimizer, bint sums, PhaseKind *kind, Stretch *stretch) noexcept
cdef double most_step_phases(const Optimizer *optimizer) noexcept
cdef void whole_begin(PhaseKind kind, const Plan *plan, const Space *space, const Optimizer *optimizer, const Move *move, real *work,
                      const real *parameters, int thread) noexcept nogil
cdef bint whole_share(PhaseKind kind, const Plan *plan, const Space *space, const Optimizer *optimizer, real *work, real *parameters,
                      const real *h, Py_ssize_t turn, int thread, int team) noexcept nogil
cdef void whole_pass(PhaseKind kind, const Plan *plan, const Space *space, const Optimizer *optimizer, const Move *move, real *work,
                     real *parameters, real *transposed, const real *h, Py_ssize_t rows, Py_ssize_t blocks, Py_ssize_t first,
                     Py_ssize_t last, Py_ssize_t turn, int thread) noexcept nogil
