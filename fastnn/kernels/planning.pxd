from fastnn.kernels.memory cimport Arena
from fastnn.kernels.plan cimport PhaseKind, Plan, Stretch

cdef Arena make_plan(Plan *plan, input_dim, layers)
cdef int rows_phases(const Plan *plan, PhaseKind *kind, Stretch *stretch) noexcept
cdef int with_loss(const Plan *plan, PhaseKind *kind, Stretch *stretch, int n) noexcept
cdef int link_nodes(Plan *plan) except -1
