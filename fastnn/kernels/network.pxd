from fastnn.kernels.forward cimport Forward, Space
from fastnn.kernels.optimizers cimport Optimizer
from fastnn.kernels.plan cimport Objective, Plan
from fastnn.kernels.memory cimport Arena
from fastnn.kernels.metrics cimport Metrics
from fastnn.kernels.own_loss cimport OwnLoss
from fastnn.kernels.rates cimport Rates
from fastnn.kernels.workspace cimport Workspace


cdef class State:
    """Parameters and optimizer slots of a network at one moment."""
    cdef Arena arena
    cdef public long long iterations
    cdef public long long epochs


cdef class Network:
    cdef Plan plan
    cdef Objective objective
    cdef Metrics metrics          # what the objective points into
    cdef Optimizer optimizer
    cdef OwnLoss own              # a loss of the user's own, or None
    cdef Rates rates              # the schedule of its learning rate, or None
    cdef readonly list asked      # of each array in training, see `set_variables`
    cdef Arena tables
    cdef readonly str dtype
    cdef readonly object compiled
    cdef readonly str precision
    cdef readonly Py_ssize_t outputs  # units of the last layer
    cdef object training          # a weak reference to who trains it, while `changing` is held
    cdef readonly long long version
    cdef State state              # take it by `published`
    cdef public bint running         # inside a training call
    cdef object idle
    cdef Forward forward             # how predictions go
    cdef object spaces               # memory of predictions, kept for the next
    # Training loops of Python's own (passes.pyx)
    cdef long long cuts              # how often its jobs were cut anew: memory laid out before is of no use
    cdef list passes                 # memory of passes with its own loss, kept for the next,
    cdef list ways                   # and of others
    cdef object changing             # a lock: who begins or ends a training, or publishes what follows from the state published last
    cdef State spare                 # a state that was published before
    cdef long long rows_drawn        # rows whose random numbers were drawn since the network's last epoch
    cdef readonly object specification  # what a network of the same shape is made with
    cdef size_t itemsize

    cdef int require_rest(self) except -1
    cdef int require_end(self) except -1
    cdef int begin_training(self, training) except -1
    cdef int end_training(self, training) except -1
    cdef State new_state(self)
    cdef int put(self, State state, Py_ssize_t slot, list arrays) except -1
    cdef list checked(self, arrays, str what)
    cdef State copy_state(self, State source, State spare=*)
    cdef State published(self)
    cdef int publish(self, State state) except -1
    cdef Workspace workspace(self, Py_ssize_t rows, int threads, Py_ssize_t value_rows, Py_ssize_t blocks, bint train)
    cdef int require_rows(self, x, out) except -1
    cdef Space take_space(self, int threads)
    cdef Workspace take_workspace(self, Py_ssize_t rows, int threads)
    cdef list canonical(self, State state, Py_ssize_t slot)
    cpdef list trained(self)
    cdef results(self, Tally tally)


cdef class Tally:
    cdef Metrics metrics
    cdef double[::1] state
    cdef readonly long long rows
    cdef public double apart
