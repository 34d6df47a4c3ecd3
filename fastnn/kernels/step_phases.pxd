from fastnn.kernels.optimizers cimport Optimizer
from fastnn.kernels.plan cimport Plan
from fastnn.kernels.schedule cimport Run

cdef int require_phases(const Plan *plan, const Optimizer *optimizer) except -1
cdef void list_phases(Run *run, const Plan *plan, const Optimizer *optimizer, bint sums, bint apart) noexcept
cdef void penalty_phases(Run *run, const Plan *plan) noexcept
cdef void optimizer_phases(Run *run, const Plan *plan, const Optimizer *optimizer, bint sums) noexcept
