# How fast a training goes on one thread and on all: the choice between them, from measurements.
cdef struct Pace:
    int most                  # threads that the workspace has room for
    bint fixed                # the caller said how many
    bint long_steps
    double rate_one           # work a second, as last measured; 0: not yet
    double rate_most
    double next_probe         # when the other choice is measured again
    int probing               # threads to measure in the next slice; 0: none

cdef void start_pace(Pace *pace, int most, bint fixed, double operations) noexcept nogil
cdef int choose(Pace *pace, double now) noexcept nogil
cdef double slice_seconds(const Pace *pace) noexcept nogil
cdef void record(Pace *pace, int threads, double work, double seconds) noexcept nogil
