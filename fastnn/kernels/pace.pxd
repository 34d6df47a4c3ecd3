# How fast a training goes on one thread and on all: the choice between them, from measurements.
cdef struct Pace:
    int most                  # threads that the workspace has room for
    bint fixed                # the caller said how many
    double operations         # of a step
    double step_work          # as work is counted below
    bint wary                 # all threads lost lately
    bint all_first            # start with all threads
    bint fresh                # all were not measured twice yet
    double rate_one           # work a second, as last measured; 0: not yet
    double rate_most
    double slice              # seconds that all threads are trusted for
    double wait               # seconds until all get another chance, where one leads
    double next_probe
    int probing               # threads to measure in the next slice; 0: none
    bint settling             # the next slice is not to be recorded

cdef void start_pace(Pace *pace, int most, bint fixed, double operations, double step_work, double now) noexcept
cdef int choose(Pace *pace, double now) noexcept nogil
cdef double slice_seconds(const Pace *pace, int threads) noexcept nogil
cdef void record(Pace *pace, int threads, double work, double seconds, bint squeezed, double now) noexcept
