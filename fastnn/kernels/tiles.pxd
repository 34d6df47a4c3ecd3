from fastnn.kernels.optimizers cimport Move, Optimizer
from fastnn.kernels.plan cimport Plan, Space, Tile
from fastnn.kernels.runtime cimport real

cdef void block_gradients(const Plan *plan, const real *work, Py_ssize_t begin, Py_ssize_t rows, real *gradients) noexcept nogil
cdef void step_run(const Plan *plan, const Optimizer *optimizer, Py_ssize_t n, real *g, real *parameters, Py_ssize_t at,
                   const real *h) noexcept nogil
cdef void batch_gradient(const Plan *plan, const Space *space, const Tile *tile, real *work, Py_ssize_t rows, Py_ssize_t blocks,
                         real *gradient, Py_ssize_t stride) noexcept nogil
cdef void refresh_tile(const Plan *plan, const Tile *tile, real *work, const real *parameters, real *transposed,
                       real *scratch) noexcept nogil
cdef void tiles_pass(const Plan *plan, const Space *space, const Optimizer *optimizer, const Move *move, real *work, real *parameters,
                     real *transposed, const real *h, Py_ssize_t rows, Py_ssize_t blocks, Py_ssize_t first, Py_ssize_t last,
                     int thread) noexcept nogil
cdef void finish_tile(const Plan *plan, const Tile *tile, real *work, real *parameters, real *transposed, real *scratch) noexcept nogil
cdef void refresh_pass(const Plan *plan, const Space *space, real *work, const real *parameters, real *transposed, Py_ssize_t first,
                       Py_ssize_t last, int thread) noexcept nogil
cdef void refresh_all(const Plan *plan, const real *weights, real *transposed) noexcept nogil
cdef double tile_cost(const Plan *plan, Py_ssize_t index) noexcept nogil
cdef void tile_gradient(const Plan *plan, const Tile *tile, const real *work, Py_ssize_t begin, Py_ssize_t rows, real *gradient,
                        Py_ssize_t stride, bint add) noexcept nogil
