from fastnn.kernels.plan cimport Plan

cdef void list_variables(Plan *plan) noexcept
cdef void cut_tiles(Plan *plan) noexcept
