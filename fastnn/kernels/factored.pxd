from fastnn.kernels.plan cimport Plan, Space, Tile
from fastnn.kernels.runtime cimport real

cdef void factors_share(const Plan *plan, const real *gradients, const real *sums, real *parameters, const real *h, real *scratch,
                        int thread, int team) noexcept nogil
cdef void row_means(const Plan *plan, const real *parameters, double *means) noexcept nogil
cdef void factored_tile(const Plan *plan, const Tile *tile, const real *parameters, const double *means, real *gradients) noexcept nogil
