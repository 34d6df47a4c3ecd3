from fastnn.kernels.memory cimport Arena
from fastnn.kernels.network cimport Network


cdef class Gradients:
    """Gradients of a network's trained weights, as its parameters lie; converted when somebody looks."""
    cdef Arena arena
    cdef Network network
    cdef public object home   # who made it, for Python
    cdef list arrays          # what was looked at, and may have been changed since; None: nothing yet

    @staticmethod
    cdef Gradients of(Network network)
    cdef int settle(self) except -1
    cdef list read(self)
