from fastnn.kernels.memory cimport Arena
from fastnn.kernels.network cimport Network
from fastnn.kernels.schedule cimport Run
from fastnn.kernels.workspace cimport Workspace


cdef class Layout:
    """What a training's steps work in; freed with the object."""
    cdef Workspace space
    cdef Arena shares         # of each phase of a step, for each thread

cdef Layout lay_out(Run *run, Network network, int threads)
