from fastnn.kernels.csrc cimport FNN_LANES_MAX
from fastnn.kernels.schedule cimport Run

# Trainings of tiny networks of one shape, each a lane of all vectors.
cdef struct Lanes:
    Run *run[FNN_LANES_MAX]
    Py_ssize_t count          # those that are there; the other lanes go along with the first

cdef bint may_share(const Run *run) noexcept nogil
cdef bint alike(const Run *a, const Run *b) noexcept nogil
cdef Py_ssize_t lanes_size(const Run *run) noexcept nogil
cdef void run_lanes(Lanes *lanes, void *work, double deadline) noexcept nogil
