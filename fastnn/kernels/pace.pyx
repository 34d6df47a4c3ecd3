"""How many threads a training gets while it runs: what was faster when last measured.

A cost model cannot know whether the other cores are free. So a training starts on one thread (one with long steps, on all), measures
a short slice of each choice, goes on with the faster, and measures the other again now and then. The results do not depend on it.
"""
from fastnn.kernels.pace cimport Pace

cdef double PROBE_SECONDS = 1.5e-3     # a slice that measures; a step is never cut
cdef double SLICE_SECONDS = 50e-3
cdef double PROBE_EVERY = 0.25
cdef double LONG_STEP = 5e7            # operations, about a millisecond: too long to try on one thread at the start


cdef void start_pace(Pace *pace, int most, bint fixed, double operations) noexcept nogil:
    """pace (OUT) of a training with so many threads at most and operations a step."""
    pace.most = most
    pace.fixed = fixed or most == 1
    pace.long_steps = operations > LONG_STEP
    pace.rate_one = 0
    pace.rate_most = 0
    pace.next_probe = 0
    pace.probing = 0


cdef int choose(Pace *pace, double now) noexcept nogil:
    """Threads of the next slice."""
    pace.probing = 0
    if pace.fixed:
        return pace.most
    if pace.rate_one == 0 and pace.rate_most == 0:
        pace.next_probe = now + (PROBE_EVERY if pace.long_steps else 0)
        pace.probing = pace.most if pace.long_steps else 1
        return pace.probing
    if now >= pace.next_probe:
        pace.next_probe = now + PROBE_EVERY
        pace.probing = pace.most if pace.rate_one >= pace.rate_most else 1
        return pace.probing
    return 1 if pace.rate_one >= pace.rate_most else pace.most


cdef double slice_seconds(const Pace *pace) noexcept nogil:
    """Length of the next slice."""
    if pace.fixed:
        return 1e9
    return PROBE_SECONDS if pace.probing else SLICE_SECONDS


cdef void record(Pace *pace, int threads, double work, double seconds) noexcept nogil:
    """What the slice did."""
    cdef double rate = work / seconds if seconds > 0 else 0
    if pace.fixed or work == 0:
        return
    if threads == 1:
        pace.rate_one = rate
    else:
        pace.rate_most = rate
