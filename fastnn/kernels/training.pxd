from fastnn.kernels.layout cimport Layout
from fastnn.kernels.memory cimport Arena
from fastnn.kernels.network cimport Network, State
from fastnn.kernels.pace cimport Pace
from fastnn.kernels.plan cimport Source
from fastnn.kernels.rates cimport Rates
from fastnn.kernels.schedule cimport Run

cdef class Training:
    cdef object __weakref__
    cdef Network network
    cdef Layout layout
    cdef State state
    cdef Run run_state
    cdef Pace pace
    cdef long long version     # of the network's weights that this training last saw
    cdef State spare           # published by this training before, and perhaps still read by somebody
    cdef double published_at
    cdef double publishing     # seconds that it took last
    cdef Py_ssize_t entered    # epochs when the present `run` began,
    cdef Py_ssize_t wanted     # and when it is to end
    cdef object arrays
    cdef Rates rates           # the schedule of learning rates that the run reads
    cdef object own            # the calls of Python in a step
    cdef Arena order
    cdef Arena best_parameters
    cdef int[::1] bad
    cdef double[::1] processor
    cdef double[:, ::1] log_array
    cdef double[::1] state_array  # the epoch's, then the results of its training
    cdef bint looked           # at the targets of a tiny network
    cdef readonly bint finished
    cdef readonly bint restored

    cdef int refresh(self) except -1
    cdef int log_room(self) except -1
    cdef set_source(self, Source *source, x, y, weight, str label)
    cdef int enter(self, Py_ssize_t max_epochs) except -1
    cdef bint goes_on(self) noexcept
    cdef int begin_slice(self) except -1
    cdef int run_slice(self, double deadline) except -1
    cdef int leave(self, bint at_once) except -1
    cdef int break_off(self) except -1
    cdef int take_best(self) except -1
    cdef int look_at_targets(self) except -1
    cdef int adopt(self) except -1
    cdef look_for_bad_data(self)
