from fastnn.kernels.network cimport Network
from fastnn.kernels.own_loss cimport OwnLoss
from fastnn.kernels.schedule cimport Run

cdef void call_own(Run *run, void *function, int phase) noexcept nogil
cdef tuple own_calls(Network network, Run *run)


cdef class Own:
    cdef Run *run
    cdef str dtype
    cdef OwnLoss loss         # or None
    cdef list regularizers    # (number of the array, object)
    cdef list constraints

    @staticmethod
    cdef Own of(Network network, Run *run)
    cdef fetch(self, Py_ssize_t i)
    cdef int store(self, Py_ssize_t i, array, void *buffer) except -1
