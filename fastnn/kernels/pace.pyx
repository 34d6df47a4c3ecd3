"""How many threads a training gets while it runs: what was faster when last measured.

A cost model cannot know whether the other cores are free. So a training starts on one thread (one with long steps, on all), measures
a short slice of each choice, and goes on with the faster. All threads are trusted for longer and longer slices while they keep their
lead; where they lose it, as when another process takes a core, they are tried again more and more rarely. A thread that got less of
the processor than of the clock shows at once that there is no core for it. What the last training found, the next one starts from,
if it comes soon. Where a step is long, trying one thread takes a good part of a short training, so all must have worked for some time
before, in this training or in earlier ones. The results do not depend on any of this.
"""
from fastnn.kernels.pace cimport Pace

cdef double PROBE_SECONDS = 3e-3       # a slice that measures; a step is never cut
cdef double SETTLE_SECONDS = 4e-3      # for so long, OpenMP's idle workers spin, and would count against one thread
cdef double LONGEST_SLICE = 50e-3
cdef double SHORTEST_WAIT = 15e-3      # at first all get another chance soon, as what disturbed them may be brief
cdef double WARY_WAIT = 60e-3          # unless another training has just found so
cdef double LONGEST_WAIT = 8.0
cdef double CHECK_ONE = 0.5            # until one thread is measured again while all lead
cdef double LONG_STEP = 5e7            # operations, about a millisecond: too long to try on one thread at the start
cdef double LEAD = 1.05                # of all threads over one, or they are not worth their cores
cdef double TRIAL_SHARE = 0.1          # of all threads' time, that trying one thread may take
cdef double MEMORY = 2.0               # seconds for which another training's findings count

cdef extern from *:
    """
    static inline double fastnn_get(const double *x) { double v; __atomic_load(x, &v, __ATOMIC_RELAXED); return v; }
    static inline void fastnn_set(double *x, double v) { __atomic_store(x, &v, __ATOMIC_RELAXED); }
    """
    double get "fastnn_get"(const double *x) noexcept nogil
    void put "fastnn_set"(double *x, double value) noexcept nogil

# what trainings of this process found last; several may write at once where there is no GIL, and a lost finding does no harm
cdef double led_at = -1e9              # when all threads led one,
cdef double led_operations = 0         # with so many operations a step
cdef double lost_at = -1e9             # and when they lost
cdef double lost_operations = 0
cdef double unquestioned = 0           # seconds that all have worked for since one was last tried


cdef void start_pace(Pace *pace, int most, bint fixed, double operations, double step_work, double now) noexcept:
    """pace (OUT) of a training with so many threads at most, operations a step and work, as given to `record`."""
    pace.most = most
    pace.fixed = fixed or most == 1
    pace.operations = operations
    pace.step_work = step_work
    pace.wary = now - get(&lost_at) < MEMORY and get(&lost_at) > get(&led_at) and operations <= get(&lost_operations)
    pace.fresh = not pace.wary
    pace.all_first = not pace.wary and (operations > LONG_STEP or (now - get(&led_at) < MEMORY and operations >= get(&led_operations)))
    pace.rate_one = 0
    pace.rate_most = 0
    pace.slice = PROBE_SECONDS
    pace.wait = WARY_WAIT if pace.wary else SHORTEST_WAIT
    pace.next_probe = 0
    pace.probing = 0
    pace.settling = False


cdef inline bint all_lead(const Pace *pace) noexcept nogil:
    return pace.rate_most > LEAD * pace.rate_one


cdef inline bint may_try_one(const Pace *pace) noexcept nogil:
    # one step to settle and one to measure, each as long on one thread as all of them take for `most`
    return 2 * (pace.most - 1) * pace.step_work <= TRIAL_SHARE * get(&unquestioned) * pace.rate_most


cdef int choose(Pace *pace, double now) noexcept nogil:
    """Threads of the next slice."""
    if pace.fixed:
        return pace.most
    if pace.settling:  # one thread had time to be alone; now it is measured
        pace.settling = False
        return 1
    pace.probing = 0
    if pace.rate_one == 0 and pace.rate_most == 0:
        pace.next_probe = now + (CHECK_ONE if pace.all_first else pace.wait if pace.wary else 0)
        pace.probing = pace.most if pace.all_first else 1
    elif now >= pace.next_probe and (not all_lead(pace) or may_try_one(pace)):
        pace.next_probe = now + CHECK_ONE
        pace.probing = 1 if all_lead(pace) else pace.most
        pace.settling = pace.probing == 1
    if pace.probing:
        return pace.probing
    return pace.most if all_lead(pace) else 1


cdef double slice_seconds(const Pace *pace, int threads) noexcept nogil:
    """Length of the next slice."""
    if pace.fixed:
        return 1e9
    if pace.settling:
        return SETTLE_SECONDS
    if pace.probing:
        return PROBE_SECONDS
    return LONGEST_SLICE if threads == 1 else pace.slice


cdef void record(Pace *pace, int threads, double work, double seconds, bint squeezed, double now) noexcept:
    """What the slice did; `squeezed` if a thread of it had to wait for a core."""
    if pace.fixed or pace.settling or work == 0 or seconds <= 0:
        return
    if threads == 1:
        pace.rate_one = work / seconds
        put(&unquestioned, 0)
    else:
        pace.rate_most = work / seconds
        put(&unquestioned, get(&unquestioned) + seconds)
    if pace.rate_one > 0 and pace.rate_most > 0 and not all_lead(pace):
        pace.slice = PROBE_SECONDS
        if pace.fresh:  # workers that had to wake and warm their caches get a second trial at once
            pace.fresh = False
            pace.next_probe = now
        elif pace.probing or threads > 1:  # news: all have just lost
            pace.next_probe = now + pace.wait
            pace.wait = min(2 * pace.wait, LONGEST_WAIT)
            put(&lost_at, now)
            put(&lost_operations, pace.operations)
    elif threads > 1 and squeezed and seconds >= PROBE_SECONDS:
        pace.slice = PROBE_SECONDS
        if not pace.fresh:
            pace.next_probe = now  # how fast would one be?
        pace.fresh = False
    elif threads > 1:
        if pace.rate_one > 0:
            put(&led_at, now)
            put(&led_operations, pace.operations)
        pace.slice = min(2 * pace.slice, LONGEST_SLICE)
        if pace.slice == LONGEST_SLICE:
            pace.wait = SHORTEST_WAIT
