"""Limits of the machine: its multiply-add peak, how fast memory is read, and what a barrier of the team costs.

For benchmarks only; nothing in training asks for it.
"""
from cython.parallel cimport parallel, threadid

from fastnn.kernels.csrc cimport fnn_barrier, fnn_barrier_init, fnn_barrier_wait, fnn_bf16_kernels, fnn_kernels
from fastnn.kernels.memory cimport Arena
from fastnn.kernels.runtime cimport bf16_for, bf16_peak, clock, kernels_for
from fastnn.kernels.team cimport team_size
from fastnn.kernels.threads cimport spins_for, threads_for

cdef enum:
    LINE = 64            # bytes from one thread's results to the next's
    STEP = 8 * 64        # read_stream takes whole blocks: eight of the longest vectors
    BARRIERS = 2000      # of one round

cdef double ROUND_SECONDS = 2e-3  # of one round of reading


cdef struct Measurement:
    fnn_barrier barrier
    const fnn_kernels *kernels
    char *buffers       # one for each thread, `nbytes` each
    double *results     # LINE bytes for each thread
    size_t nbytes
    double seconds      # to go on for
    double best
    int granted


cdef inline double *result(Measurement *m, int thread) noexcept nogil:
    return m.results + thread * (LINE // sizeof(double))


cdef void read_thread(Measurement *m, int thread, int team) noexcept nogil:
    """Rounds in which all read their own buffers at once; a round counts with the sum of what they reach."""
    cdef float *x = <float *>(m.buffers + thread * m.nbytes)
    cdef size_t n = m.nbytes // sizeof(float), i, passes = 1, _done
    cdef int spins = spins_for(team), other
    cdef double start = clock(), began, took, rate, consumed = 0
    for i in range(n):  # by its reader, and not zero pages that are all one
        x[i] = 1
    consumed += m.kernels.read_stream(n, x)
    began = clock()
    consumed += m.kernels.read_stream(n, x)
    took = clock() - began
    if took < ROUND_SECONDS:
        passes = <size_t>(ROUND_SECONDS / max(took, 1e-8)) + 1
    while True:
        fnn_barrier_wait(&m.barrier, team, spins)
        began = clock()
        for _done in range(passes):
            consumed += m.kernels.read_stream(n, x)
        took = clock() - began
        result(m, thread)[0] = <double>m.nbytes * passes / max(took, 1e-9) if consumed > 0 else 0
        fnn_barrier_wait(&m.barrier, team, spins)
        if thread == 0:
            rate = 0
            for other in range(team):
                rate += result(m, other)[0]
            m.best = max(m.best, rate)
            m.granted = team if clock() - start < m.seconds else 0  # 0: enough
        fnn_barrier_wait(&m.barrier, team, spins)
        if m.granted == 0:
            break


cdef void barrier_thread(Measurement *m, int thread, int team) noexcept nogil:
    """Rounds of barriers with nothing between them."""
    cdef int spins = spins_for(team), _i
    cdef double start = clock(), began, took
    while True:
        fnn_barrier_wait(&m.barrier, team, spins)
        began = clock()
        for _i in range(BARRIERS):
            fnn_barrier_wait(&m.barrier, team, spins)
        took = (clock() - began) / BARRIERS
        if thread == 0:
            m.best = min(m.best, took) if m.best > 0 else took
            m.granted = team if clock() - start < m.seconds else 0
        fnn_barrier_wait(&m.barrier, team, spins)
        if m.granted == 0:
            break


cdef int checked_threads(num_threads) except -1:
    if isinstance(num_threads, bool) or not hasattr(num_threads, "__index__"):
        raise TypeError(f"num_threads must be a positive integer, not {num_threads!r}")
    if not 1 <= num_threads <= 1024:
        raise ValueError(f"num_threads must be between 1 and 1024, not {num_threads!r}")
    return threads_for(0, 0, num_threads)  # 1 without OpenMP, and in a forked child


def measure_peak(str dtype="float32", double seconds=0.1, int num_threads=1):
    """Measure the fused multiply-add peak of the instruction set in use.

    Parameters
    ----------
    dtype : {"float32", "float64", "bfloat16"}
        The last measures products of bfloat16 pairs added in float32, as ``runtime.bfloat16_kind`` says.
    seconds : float
        Time to spend, at least one round.
    num_threads : int
        Threads that multiply at the same time.

    Returns
    -------
    float
        Floating-point operations a second, a fused multiply-add counting as two; the best round.
    """
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(num_threads) as pool:
        futures = [pool.submit(peak_of_a_core, dtype, seconds) for _ in range(num_threads)]
        return sum(f.result() for f in futures)


def peak_of_a_core(str dtype, double seconds):
    cdef const fnn_kernels *k = kernels_for(8 if dtype == "float64" else 4)
    cdef double start = clock(), best = 0, elapsed, t, consumed = 0
    cdef size_t rounds = 20000
    cdef const fnn_bf16_kernels *bf16
    if dtype == "bfloat16":
        bf16 = bf16_for(k)
        with nogil:
            while True:
                best = max(best, 4.0 * k.lanes * bf16_peak(bf16, rounds, 1))
                if clock() - start > seconds:
                    break
        return best
    with nogil:
        while True:
            t = clock()
            consumed += k.fma_peak(rounds)
            elapsed = clock() - t
            best = max(best, 2.0 * k.lanes * k.fma_peak_chains * rounds / elapsed)
            if clock() - start > seconds:
                break
    return best if consumed == consumed else 0.0


def read_bandwidth(size_t nbytes, double seconds=0.05, num_threads=1):
    """Measure how fast vectors are read, over and over, from a buffer of so many bytes.

    Parameters
    ----------
    nbytes : int
        Of each thread's own buffer, rounded up to 512. Where it fits into a cache, that cache is measured.
    seconds : float
        Time to spend, at least one round of two milliseconds.
    num_threads : int
        Threads that read at the same time.

    Returns
    -------
    float
        Bytes a second of all threads together, in the best round.

    Raises
    ------
    TypeError, ValueError
        If `num_threads` is no positive integer, or `nbytes` is 0.
    MemoryError
        If there is no room for the buffers.
    """
    cdef int threads = checked_threads(num_threads)
    cdef Measurement m
    cdef Arena buffers, results
    if nbytes == 0:
        raise ValueError("nbytes must be positive")
    if nbytes > (<size_t>-1) // 4 // <size_t>threads:
        raise MemoryError("the buffers are larger than what can be addressed")
    m.nbytes = (nbytes + STEP - 1) // STEP * STEP
    buffers, results = Arena(m.nbytes * threads), Arena(LINE * threads)
    m.buffers, m.results = <char *>buffers.base, <double *>results.base
    m.kernels = kernels_for(sizeof(float))
    m.seconds, m.best, m.granted = seconds, 0, 0
    fnn_barrier_init(&m.barrier)
    if threads == 1:
        with nogil:
            read_thread(&m, 0, 1)
    else:
        with nogil, parallel(num_threads=threads):
            read_thread(&m, threadid(), team_size())
    return m.best


def barrier_seconds(num_threads, double seconds=0.02):
    """Measure what one barrier of a team costs, the barrier that training uses, where all arrive at once.

    Parameters
    ----------
    num_threads : int
    seconds : float
        Time to spend, at least one round of 2000 barriers.

    Returns
    -------
    float
        Seconds of one barrier in the best round; next to nothing for one thread.

    Raises
    ------
    TypeError, ValueError
        If `num_threads` is no positive integer.
    """
    cdef int threads = checked_threads(num_threads)
    cdef Measurement m
    m.seconds, m.best, m.granted = seconds, 0, 0
    fnn_barrier_init(&m.barrier)
    if threads == 1:
        with nogil:
            barrier_thread(&m, 0, 1)
    else:
        with nogil, parallel(num_threads=threads):
            barrier_thread(&m, threadid(), team_size())
    return m.best
