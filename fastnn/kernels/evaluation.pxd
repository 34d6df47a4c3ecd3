from fastnn.kernels.plan cimport Objective
from fastnn.kernels.runtime cimport real
from fastnn.kernels.workspace cimport Workspace

cdef int evaluate_rows(Workspace space, const Objective *objective, const real *weights, const real[:, ::1] x, const real[:, ::1] y,
                       weight, double[::1] state, Py_ssize_t batch, real[:, ::1] outputs) except -1
