from fastnn.kernels.plan cimport Plan, Variable
from fastnn.kernels.runtime cimport real

cdef Py_ssize_t line_length(const Variable *v, int axis) noexcept nogil
cdef Py_ssize_t line_count(const Variable *v, int axis) noexcept nogil
cdef void get_line(const Plan *plan, const Variable *v, int axis, Py_ssize_t i, const real *buffer, real *line) noexcept nogil
cdef void put_line(const Plan *plan, const Variable *v, int axis, Py_ssize_t i, const real *line, real *buffer) noexcept nogil
