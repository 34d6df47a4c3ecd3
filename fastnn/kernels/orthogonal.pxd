from fastnn.kernels.plan cimport PhaseKind, Piece, Plan, Space, Tile, Variable
from fastnn.kernels.runtime cimport real

cdef Py_ssize_t matrix_elements(const Variable *v) noexcept
cdef void orthogonal_put(const Plan *plan, const Space *space, const Tile *tile, const real *directions, real *work) noexcept nogil
cdef void orthogonal_take(const Plan *plan, const Space *space, const Tile *tile, const real *work, Py_ssize_t turns,
                          real *directions) noexcept nogil
cdef void orthogonal_share(PhaseKind kind, const Plan *plan, const Space *space, real *work, const double *norm, const double *polynomial,
                           Py_ssize_t turn, int thread, int team) noexcept nogil
