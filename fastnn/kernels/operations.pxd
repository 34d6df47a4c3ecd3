from libc.stdint cimport int64_t, uint64_t

from fastnn.kernels.csrc cimport fnn_kernels
from fastnn.kernels.plan cimport Layer, Node, Op, Plan, Space, Tile
from fastnn.kernels.runtime cimport real

# How the rows of a strip pass, and which random numbers they take; `train` alone lets anything be drawn.
cdef struct Draw:
    bint train
    bint keep                 # a way back follows
    double scale              # one over the rows of the batch; 0 where the way back is not that of the loss
    uint64_t key
    int64_t epoch
    Py_ssize_t place          # of the strip's first row in the epoch

cdef bint only_in_training(const Op *op) noexcept nogil
cdef bint passes_rows(const Op *op) noexcept nogil
cdef void operation_forward(const Plan *plan, const Space *space, const Node *node, const real *weights, real *work, Py_ssize_t begin,
                            Py_ssize_t rows, const Draw *draw, real *scratch) noexcept nogil
cdef void operation_rows(const fnn_kernels *k, const Op *op, const real *w, const real *x, Py_ssize_t ldx, const real *added,
                         Py_ssize_t ldd, real *out, Py_ssize_t ldo, Py_ssize_t rows, real *scratch) noexcept nogil
cdef void operation_backward(const Plan *plan, const Node *node, const Layer *below, const real *weights, real *work, Py_ssize_t begin,
                             Py_ssize_t rows, const Draw *draw, real *scratch) noexcept nogil
cdef void operation_gradient(const Plan *plan, const Tile *tile, const real *work, Py_ssize_t begin, Py_ssize_t rows, real *gradient,
                             bint add) noexcept nogil
cdef void first_parameters(const Plan *plan, real *weights) noexcept nogil
