from fastnn.kernels.optimizers cimport Optimizer
from fastnn.kernels.plan cimport Layer, Matrix, Op, Plan, Space
from fastnn.kernels.memory cimport Arena


cdef class Workspace:
    """A plan laid out in memory for so many rows and threads."""
    cdef Plan plan
    cdef Space space
    cdef Arena arena
    cdef Arena tables
    cdef Arena network_tables
    cdef Arena reduced_tables
    cdef list calls           # of functions of the user's own
    cdef readonly int threads

    cdef int lay_out(self, const Plan *plan, Py_ssize_t rows, Py_ssize_t value_rows, Py_ssize_t columns, Py_ssize_t targets,
                     Py_ssize_t blocks, const Optimizer *optimizer, bint slopes=*) except -1
    cdef Py_ssize_t lay_out_operation(self, Op *op, Layer *layer, Matrix x, Py_ssize_t at, bint train) noexcept
    cdef Py_ssize_t lay_out_output(self, Py_ssize_t at) noexcept
    cdef Py_ssize_t lay_out_sums(self, Py_ssize_t at) noexcept
    cdef Py_ssize_t lay_out_penalties(self, Py_ssize_t at) noexcept
    cdef set_ones(self, Matrix m, Py_ssize_t column)
