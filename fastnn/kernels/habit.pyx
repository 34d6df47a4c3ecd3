"""How many threads a predictor's next call gets, where its weights are more than one core's cache holds: what was faster of late.

Threads that share the reading of weights gain a factor of two at best, and lose far more where the other core is busy or its thread
asleep. So calls that come rarely run on one thread; among calls that follow one another, some are tried on all. The results do not
depend on any of this.
"""
from fastnn.kernels.habit cimport Habit

cdef enum:
    TRIAL_CALLS = 8

cdef double IDLE = 1e-3             # OpenMP's workers spin for longer than that, then they sleep and are slow to wake
cdef double SHORTEST = 10e-3
cdef double LONGEST = 2.0
cdef double LEAD = 1.1              # of all threads over one, or they are not worth their cores
cdef double HOPELESS = 8.0          # times one thread's time: waking a thread takes less, waiting for a busy core more


cdef void start_habit(Habit *h) noexcept nogil:
    h.last = h.one = h.all = h.retry = 0
    h.trial = 0
    h.wait = SHORTEST


cdef bint use_all(Habit *h, double now) noexcept nogil:
    """Whether the call that starts now is one for all threads."""
    if now - h.last > IDLE or h.one == 0:
        h.trial = 0
        return False
    if h.trial > 0:
        return True
    if now >= h.retry and (h.all == 0 or h.all * LEAD >= h.one):
        h.trial = TRIAL_CALLS
        h.all = 0
        return True
    return h.all > 0 and h.all * LEAD < h.one


cdef void lost(Habit *h, double now) noexcept nogil:
    if h.all * LEAD < h.one:
        h.wait = SHORTEST
    else:
        h.retry = now + h.wait
        h.wait = min(2 * h.wait, LONGEST)


cdef void called(Habit *h, bint all_threads, double began, double ended) noexcept nogil:
    """Take note of a call. The best of a trial counts, as its first calls wake the threads; later the mean of recent calls."""
    cdef double seconds = ended - began
    if not all_threads:
        if began - h.last <= IDLE:  # after a pause, caches are cold
            h.one = seconds if h.one == 0 or seconds < h.one else 0.9 * h.one + 0.1 * min(seconds, 4 * h.one)
    elif h.trial > 0:
        h.trial = h.trial - 1 if seconds < HOPELESS * h.one else 0
        h.all = seconds if h.all == 0 or seconds < h.all else h.all
        if h.trial == 0:
            lost(h, ended)
    else:
        h.all = 0.9 * h.all + 0.1 * seconds
        lost(h, ended)
    h.last = ended
