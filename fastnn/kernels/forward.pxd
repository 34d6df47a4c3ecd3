from fastnn.kernels.plan cimport Layer, Op, Plan
from fastnn.kernels.memory cimport Arena
from fastnn.kernels.runtime cimport real

# One layer of a forward pass.
cdef struct Stage:
    const Layer *layer
    Py_ssize_t place          # its weights, in elements from the start of the parameters
    Py_ssize_t bias           # weights in bfloat16: its biases
    Py_ssize_t words          # weights in bfloat16: panels of words; 0: packed as the network packs them
    Py_ssize_t x              # its input in a part of the workspace; -1: the caller's rows, as they are
    Py_ssize_t ld             # of that input

# What stands between dense layers in a forward pass.
cdef struct Between:
    Py_ssize_t place          # its vectors, in elements from the start of the parameters
    Py_ssize_t kept           # the input of a residual block, in a part of the workspace


cdef class Forward:
    """The stages that rows go through, and the memory that takes."""
    cdef Plan plan
    cdef Arena network_tables
    cdef Arena table
    cdef Stage *stage
    cdef Between *between        # for each operation
    cdef Py_ssize_t parameters   # elements
    cdef Py_ssize_t block        # rows that go through all stages at once
    cdef Py_ssize_t scratch      # in a part
    cdef Py_ssize_t part         # elements of a part, one for each thread
    cdef bint bfloat16

    @staticmethod
    cdef Forward of(const Plan *plan, Arena tables, bint bfloat16)
    cdef place_words(self)


cdef class Space:
    """Memory of one call: a part for each thread."""
    cdef Arena arena
    cdef Arena table
    cdef const Op *op         # the operations, with what functions of the user's own raise in this call
    cdef list calls
    cdef int parts

    @staticmethod
    cdef Space of(Forward f, int parts)


cdef void forward_rows(Forward f, Space space, const real *weights, const real *x, real *out, Py_ssize_t rows, int threads) noexcept nogil
cdef void forward_shared(Forward f, Space space, const real *weights, const real *x, real *out, Py_ssize_t rows, int threads) noexcept nogil
