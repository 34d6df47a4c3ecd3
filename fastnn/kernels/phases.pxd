from fastnn.kernels.plan cimport Ending, PhaseKind, Plan, Stretch

cdef int forward_phases(const Plan *plan, bint still, PhaseKind *kind, Stretch *stretch) noexcept
cdef int backward_phases(const Plan *plan, bint still, PhaseKind *kind, Stretch *stretch) noexcept
cdef int apart_phases(const Plan *plan, bint still, PhaseKind *kind, Stretch *stretch) noexcept
cdef int rows_phases(const Plan *plan, bint still, Ending ending, PhaseKind *kind, Stretch *stretch) noexcept
