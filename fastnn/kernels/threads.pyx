"""How many threads a piece of work gets: what the caller, the environment, the machine and the work itself say."""
import os

from fastnn.kernels.cores import usable_cores

cdef extern from "pthread.h" nogil:
    int pthread_atfork(void (*prepare)() noexcept nogil, void (*parent)() noexcept nogil, void (*child)() noexcept nogil)

cdef extern from *:
    """
    #ifdef _OPENMP
    #define FASTNN_OPENMP 1
    #else
    #define FASTNN_OPENMP 0
    #endif
    """
    int FASTNN_OPENMP

cdef extern from *:
    """
    #define FASTNN_ADD(counter, n) __atomic_add_fetch(counter, n, __ATOMIC_RELAXED)
    """
    int add "FASTNN_ADD"(int *counter, int n) noexcept nogil

cdef int explicit_threads = 0     # 0: automatic
cdef int allowed_cores = 1        # by affinity and the control group's quota
cdef int environment_threads = 0  # OMP_NUM_THREADS, 0 if it says nothing
cdef bint forked = False
cdef int callers = 0              # training calls under way; with or without the interpreter's lock


def openmp():
    """Whether this build has OpenMP; without it everything runs on one thread."""
    return bool(FASTNN_OPENMP)


def set_num_threads(n=None):
    """Set how many threads a training or prediction call uses.

    Parameters
    ----------
    n : int or None
        A count is obeyed even where fewer would be faster. ``None`` (the default state) chooses automatically, by the cost of the
        work, at most as many as ``OMP_NUM_THREADS``, the processor affinity and the control group's quota allow.

    Raises
    ------
    TypeError, ValueError
        If `n` is no integer, or not positive.
    """
    global explicit_threads
    if n is None:
        explicit_threads = 0
        return
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"num_threads must be a positive integer or None, not {n!r}")
    if n < 1 or n > 1024:
        raise ValueError(f"num_threads must be between 1 and 1024, or None for automatic, not {n!r}")
    explicit_threads = n


def get_num_threads():
    """Number of threads set by :func:`set_num_threads`, or else the most that the automatic choice may use."""
    return explicit_threads or automatic_limit()


def thread_reason():
    """A sentence on how the number of threads is chosen at present."""
    if not FASTNN_OPENMP:
        return "1, as this build has no OpenMP"
    if forked:
        return "1, as this process was forked from one that had imported fastnn"
    if explicit_threads:
        return f"{explicit_threads}, as set by set_num_threads"
    if environment_threads:
        return f"up to {automatic_limit()}, chosen by the cost of the work; OMP_NUM_THREADS is {environment_threads}, cores {allowed_cores}"
    return f"up to {automatic_limit()}, chosen by the cost of the work; cores that this process may use: {allowed_cores}"


cdef int automatic_limit() noexcept nogil:
    if not FASTNN_OPENMP or forked:
        return 1
    if environment_threads > 0 and environment_threads < allowed_cores:
        return environment_threads
    return allowed_cores

# A second thread pays when its share of a call outlasts waking it: about 50 us at 50 GFLOP/s.
cdef double OPERATIONS_A_THREAD = 2e6
cdef double MUCH = 1e18           # operations: enough for as many threads as there may be

cdef bint threads_are_set() noexcept nogil:
    return explicit_threads > 0

cdef int threads_for(double operations, Py_ssize_t shares, int requested) noexcept nogil:
    cdef int n = requested if requested > 0 else explicit_threads
    if not FASTNN_OPENMP or forked:
        return 1
    if n > 0:
        return n
    n = automatic_limit()
    if operations < OPERATIONS_A_THREAD * n:
        n = <int>(operations / OPERATIONS_A_THREAD)
    if n > shares:
        n = <int>shares
    return n if n > 1 else 1

cdef void begin_call() noexcept:
    """A training call begins; `end_call` follows."""
    add(&callers, 1)


cdef void end_call() noexcept:
    add(&callers, -1)


cdef int fair_share() noexcept nogil:
    """Threads that one of the training calls under way may use where their number is ours to choose."""
    cdef int calls = add(&callers, 0), share = automatic_limit() // calls if calls > 1 else automatic_limit()
    return share if share > 1 else 1


def get_fair_share():
    """Return how many threads one of the training calls under way may use where it may choose.

    Returns
    -------
    int
        At least 1: the automatic limit, divided by the calls where there are several.
    """
    return fair_share()


cdef int team_for(Py_ssize_t jobs, int requested) noexcept nogil:
    """Threads for so many networks, on each of which one works alone."""
    cdef int n = threads_for(MUCH, jobs, requested)
    if requested <= 0 and explicit_threads == 0:
        n = min(n, fair_share())
    return <int>min(<Py_ssize_t>n, jobs)


cdef int spins_for(int team) noexcept nogil:
    return 0 if team > allowed_cores else 5000


cdef void after_fork() noexcept nogil:
    # libgomp's workers do not exist in the child, and a region would wait for them for ever
    global forked
    forked = True


def _initialise():
    global allowed_cores, environment_threads
    allowed_cores = usable_cores()
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    environment_threads = int(first) if first.isdigit() else 0
    pthread_atfork(NULL, NULL, after_fork)


_initialise()
