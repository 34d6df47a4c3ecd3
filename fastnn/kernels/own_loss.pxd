from fastnn.kernels.plan cimport Objective, Plan, Space
from fastnn.kernels.runtime cimport real


cdef class OwnLoss:
    cdef readonly object loss
    cdef readonly object gradient
    cdef readonly object name
    cdef readonly bint classes
    cdef readonly Py_ssize_t targets
    cdef dict errors          # by thread: several may be in a call

    cdef int again(self) except -1

cdef int own_loss(void *own, const Plan *plan, const Space *space, const Objective *objective, real *work, bint weighted,
                  Py_ssize_t rows, double scale) noexcept nogil
