from fastnn.kernels.plan cimport Plan, Space, Tile
from fastnn.kernels.runtime cimport real

cdef void penalize_tile(const Plan *plan, const Space *space, const Tile *tile, real *work, const real *parameters, real *gradient,
                        Py_ssize_t row, double scale) noexcept nogil
cdef void limit_tile(const Plan *plan, const Tile *tile, real *parameters) noexcept nogil
cdef bint has_penalties(const Plan *plan) noexcept nogil
cdef double penalty_of(const Plan *plan, const Space *space, const void *work, double scale) noexcept nogil
cdef double penalty_now(const Plan *plan, const Space *space, void *work, const void *parameters, double scale) noexcept nogil
