from fastnn.kernels.gradients cimport Gradients
from fastnn.kernels.memory cimport Arena
from fastnn.kernels.network cimport Network, State
from fastnn.kernels.plan cimport Ending, Objective
from fastnn.kernels.schedule cimport Run
from fastnn.kernels.workspace cimport Workspace


cdef class Pass:
    cdef Workspace space
    cdef Run run_state
    cdef Objective objective
    cdef State state          # at whose weights the rows passed
    cdef State copied         # of whose weights `transposed` holds copies
    cdef State entered        # the same of those copies that only gradients with respect to the rows need
    cdef int[::1] bad
    cdef Arena shares
    cdef tuple calls          # of somebody's own Python in a step
    cdef int threads
    cdef long long cuts       # of the network that the memory is laid out for
    cdef bint own
    cdef bint quiet           # nothing of the network changes: neither moving moments nor what is drawn next
    cdef readonly bint reduced
    cdef readonly bint kept   # rows have come to the output and can go back

    cdef int make_room(self, Network network, Py_ssize_t rows, int num_threads) except -1
    cdef int go(self, Network network, State state, bint back) except -1
    cdef int go_in_training(self, Network network, bint back) except -1
    cdef int go_and_move(self, Network network, bint back) except -1
    cdef int begin(self, Network network, x, y, weight, bint training, seed, int num_threads) except -1
    cdef tuple back(self, Network network, Ending ending, bint forward, bint weights, bint slopes)
    cdef list idle(self)
    cdef bint is_zero(self, Py_ssize_t place) noexcept
    cdef double loss(self)
    cdef double penalty(self)
    cdef int open_entry(self, Network network, State state) except -1
    cdef int close_entry(self) except -1
    cdef int step(self, Network network, Gradients gradients, State state) except -1
