from fastnn.kernels.optimizers cimport Move, Optimizer
from fastnn.kernels.plan cimport Piece, Plan, Tile
from fastnn.kernels.runtime cimport real

# What is done to pieces of variables, one after the other.
cdef enum Stage:
    GATHER = 1                # the gradient becomes the mean over batches, or waits for more
    SHORTEN = 2               # the gradient is multiplied by its variable's factor
    STEP = 4                  # clipping by value, decay, and the optimizer's step
    DIRECT = 8                # the same, but the optimizer's direction takes the gradient's place
    MOVE = 16                 # weights go by their variable's factor along the direction
    AVERAGE = 32              # the averages of the weights, and weights overwritten by them

cdef enum:
    BUFFERS = 8               # gradient, weights, slots, at most
    ROOM = 16 * BUFFERS       # elements that the scattered pieces of a tile need
    COEFFICIENTS = 32         # room for the coefficients of a step

cdef int pieces_of(const Plan *plan, const Tile *tile, Piece *piece) noexcept nogil
cdef void add_squares(const Plan *plan, const Tile *tile, const real *x, real *sums) noexcept nogil
cdef void fill_coefficients(const double *h, const Move *move, real *coefficient) noexcept nogil
cdef void tile_stages(int stages, const Plan *plan, const Optimizer *optimizer, const Move *move, const double *factor, const Tile *tile,
                      real *g, Py_ssize_t row, real *parameters, const real *h, real *scratch, real *room) noexcept nogil
