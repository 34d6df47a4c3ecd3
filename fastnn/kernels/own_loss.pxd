from fastnn.kernels.runtime cimport real
from fastnn.kernels.schedule cimport Run


cdef class OwnLoss:
    cdef readonly object loss
    cdef readonly object gradient
    cdef readonly object name
    cdef readonly bint classes
    cdef readonly Py_ssize_t targets

cdef int judge(OwnLoss own, const Run *run, real *work) except -1
