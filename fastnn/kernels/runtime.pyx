"""What the machine offers and what of it is used: instruction sets, thread counts, memory.

The only extension that links ``csrc/``; the others reach its kernel tables by ``cimport``.
"""
import os

from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free

from fastnn.kernels.csrc cimport (
    FNN_BF16_KINDS,
    FNN_F32,
    FNN_F64,
    fnn_activation_table,
    fnn_bf16_kernels,
    fnn_bf16_kernels_for,
    fnn_cpu_name,
    fnn_float_flush,
    fnn_float_restore,
    fnn_instruction_sets,
    fnn_kernels_for,
    fnn_loss_table,
    fnn_metric_table,
    fnn_operation,
    fnn_optimizer_table,
)

cdef extern from "pthread.h" nogil:
    int pthread_atfork(void (*prepare)() noexcept nogil, void (*parent)() noexcept nogil, void (*child)() noexcept nogil)

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec *t)
    int CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID

cdef extern from "<sys/mman.h>" nogil:
    int madvise(void *address, size_t length, int advice)

cdef extern from *:
    """
    #ifdef _OPENMP
    #define FASTNN_OPENMP 1
    #else
    #define FASTNN_OPENMP 0
    #endif
    #ifdef MADV_HUGEPAGE
    #define FASTNN_HUGEPAGE MADV_HUGEPAGE
    #else
    #define FASTNN_HUGEPAGE -1
    #endif
    #ifndef FASTNN_BUILD_FLAGS
    #define FASTNN_BUILD_FLAGS "unknown"
    #endif
    """
    int FASTNN_OPENMP
    int FASTNN_HUGEPAGE
    const char *FASTNN_BUILD_FLAGS
    const char *__VERSION__

cdef enum:
    ALIGNMENT = 64
    HUGE_PAGE = 2 << 20

cdef const fnn_kernels *table_f32 = NULL
cdef const fnn_kernels *table_f64 = NULL
cdef bytes bf16_kind = None       # the kind of bfloat16 products asked for; None: automatic
cdef int explicit_threads = 0     # 0: automatic
cdef int allowed_cores = 1        # by affinity and the control group's quota
cdef int environment_threads = 0  # OMP_NUM_THREADS, 0 if it says nothing
cdef bint forked = False


cdef const fnn_kernels *kernels_for(size_t itemsize) noexcept nogil:
    return table_f32 if itemsize == 4 else table_f64

cdef const fnn_operation *activation_table() noexcept nogil:
    return fnn_activation_table

cdef const fnn_operation *loss_table() noexcept nogil:
    return fnn_loss_table

cdef const fnn_operation *metric_table() noexcept nogil:
    return fnn_metric_table

cdef const fnn_operation *optimizer_table() noexcept nogil:
    return fnn_optimizer_table

cdef uint64_t float_flush() noexcept nogil:
    return fnn_float_flush()

cdef void float_restore(uint64_t state) noexcept nogil:
    fnn_float_restore(state)

cdef double clock() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <double>t.tv_sec + 1e-9 * <double>t.tv_nsec

cdef double processor_clock() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t)
    return <double>t.tv_sec + 1e-9 * <double>t.tv_nsec


# ---- instruction sets ----

def instruction_sets():
    """Names of the instruction sets that this processor can use, best first.

    Returns
    -------
    list of str
        Out of ``"avx512"``, ``"avx2"``, ``"neon"`` and ``"generic"``; the last is always there.
    """
    cdef const char *const *name = fnn_instruction_sets()
    found = []
    while name[0] != NULL:
        found.append((<bytes>name[0]).decode())
        name += 1
    return found


def instruction_set():
    """Name of the instruction set in use."""
    return (<bytes>table_f32.isa).decode()


def use_instruction_set(str name not None):
    """Use another instruction set from now on, in networks made afterwards and in the functions of ``fastnn.kernels``.

    Meant for tests and benchmarks; the environment variable ``FASTNN_ISA`` sets it for a whole process. Results do not depend on it.

    Parameters
    ----------
    name : str
        One of :func:`instruction_sets`.

    Raises
    ------
    ValueError
        For any other name.
    """
    global table_f32, table_f64
    cdef bytes key = name.encode()
    if name not in instruction_sets():
        raise ValueError(f"instruction set {name!r} cannot be used here; this processor has {', '.join(instruction_sets())}")
    table_f32 = fnn_kernels_for(key, FNN_F32)
    table_f64 = fnn_kernels_for(key, FNN_F64)


# ---- products in bfloat16 ----

def bfloat16_kinds():
    """How products in bfloat16 can be computed here, with the instruction set in use.

    Returns
    -------
    list of str
        Out of ``"amx"``, ``"vdpbf16ps"`` and ``"emulated"``, best first; the last is always there.
    """
    return [(<bytes>name).decode() for name in _bf16_names(table_f32)]


def bfloat16_kind():
    """How products in bfloat16 are computed in networks compiled from now on."""
    return (<bytes>bf16_for(table_f32).name).decode()


def use_bfloat16(kind=None):
    """Compute products in bfloat16 in another way, in networks compiled afterwards. Meant for tests and benchmarks.

    Parameters
    ----------
    kind : str or None
        One of :func:`bfloat16_kinds`; ``None`` (the default state) chooses: AMX where there is one, else the faster of the other two.

    Raises
    ------
    ValueError
        For any other name.
    """
    global bf16_kind
    if kind is not None and kind not in bfloat16_kinds():
        raise ValueError(f"bfloat16 products cannot be computed as {kind!r} here; there is {', '.join(bfloat16_kinds())}")
    bf16_kind = None if kind is None else kind.encode()


cdef list _bf16_names(const fnn_kernels *kernels):
    cdef const fnn_bf16_kernels *found[FNN_BF16_KINDS]
    cdef int i = 0
    names = []
    fnn_bf16_kernels_for(kernels.isa, found)
    while found[i] != NULL:
        names.append(<bytes>found[i].name)
        i += 1
    return names


cdef const fnn_bf16_kernels *bf16_for(const fnn_kernels *kernels) except NULL:
    cdef const fnn_bf16_kernels *found[FNN_BF16_KINDS]
    cdef int i = 0
    fnn_bf16_kernels_for(kernels.isa, found)
    while bf16_kind is not None and found[i] != NULL:
        if <bytes>found[i].name == bf16_kind:
            return found[i]
        i += 1
    if found[1] != NULL and <bytes>found[0].name == b"vdpbf16ps" and not _pays(found[0], found[1]):
        return found[1]
    return found[0]


cdef object _pays_here = None

cdef bint _pays(const fnn_bf16_kernels *instruction, const fnn_bf16_kernels *emulated):
    # Whether vdpbf16ps is faster than its emulation (it is not everywhere), which takes its halves apart besides what its peak
    # counts; measured once, in about 0.2 ms. Both have the same bits.
    global _pays_here
    if _pays_here is None:
        _pays_here = _bf16_peak(instruction, 500, 20) >= 0.9 * _bf16_peak(emulated, 500, 20)
    return _pays_here


cdef double _bf16_peak(const fnn_bf16_kernels *k, size_t iterations, int rounds) noexcept nogil:
    # operations a second, times an unknown number of lanes / 4: the best round
    cdef double best = 0, t, consumed = 0
    cdef int _i
    for _i in range(rounds):
        t = clock()
        consumed += k.peak(iterations)
        best = max(best, <double>(k.peak_chains * iterations) / (clock() - t))
    return best if consumed == consumed else 0.0


def cpu_name():
    """The processor's own name."""
    cdef char buffer[64]
    fnn_cpu_name(buffer, sizeof(buffer))
    return (<bytes>buffer).decode("ascii", "replace").strip()


def measure_peak(str dtype="float32", double seconds=0.1, int num_threads=1):
    """Measure the fused multiply-add peak of the instruction set in use.

    Parameters
    ----------
    dtype : {"float32", "float64", "bfloat16"}
        The last measures products of bfloat16 pairs added in float32, as :func:`bfloat16_kind` says.
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
        futures = [pool.submit(_measure_peak, dtype, seconds) for _ in range(num_threads)]
        return sum(f.result() for f in futures)


def _measure_peak(str dtype, double seconds):
    cdef const fnn_kernels *k = kernels_for(8 if dtype == "float64" else 4)
    cdef double start = clock(), best = 0, elapsed, t, consumed = 0
    cdef size_t rounds = 20000
    cdef const fnn_bf16_kernels *bf16
    if dtype == "bfloat16":
        bf16 = bf16_for(k)
        with nogil:
            while True:
                best = max(best, 4.0 * k.lanes * _bf16_peak(bf16, rounds, 1))
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


# ---- threads ----

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

cdef int cores_allowed() noexcept nogil:
    return allowed_cores

# A second thread pays when its share of a call outlasts waking it: about 50 us at 50 GFLOP/s.
cdef double OPERATIONS_A_THREAD = 2e6

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

cdef int spins_for(int team) noexcept nogil:
    return 0 if team > allowed_cores else 5000


cdef void after_fork() noexcept nogil:
    # libgomp's workers do not exist in the child, and a region would wait for them for ever
    global forked
    forked = True


def _cores():
    """Cores that this process may use: affinity, and the control group's quota rounded up."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 1
    quotas = [
        ("/sys/fs/cgroup/cpu.max", None),
        ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
    ]
    for quota_file, period_file in quotas:
        try:
            with open(quota_file) as f:
                words = f.read().split()
            if period_file:
                with open(period_file) as f:
                    words += f.read().split()
            quota, period = int(words[0]), int(words[1])
        except (OSError, ValueError, IndexError):
            continue  # no such group, or "max"
        if quota > 0 and period > 0:
            cores = min(cores, max(1, -(-quota // period)))
    return cores


# ---- memory ----

cdef class Arena:
    """One block of zeroed memory, aligned to a cache line (large ones to a huge page), freed with the object.

    Parameters
    ----------
    nbytes : int
    """

    def __cinit__(self, size_t nbytes):
        cdef size_t alignment = HUGE_PAGE if nbytes >= 2 * HUGE_PAGE else ALIGNMENT
        if nbytes > (<size_t>-1) // 2:
            raise MemoryError("the network and this batch size need more memory than can be addressed")
        self.nbytes = nbytes
        self.block = calloc(nbytes + alignment, 1)
        if self.block == NULL:
            raise MemoryError(f"could not allocate {nbytes} bytes")
        self.base = <void *>((<uintptr_t>self.block + alignment - 1) & ~<uintptr_t>(alignment - 1))
        if alignment == HUGE_PAGE and FASTNN_HUGEPAGE >= 0:
            madvise(self.base, nbytes & ~<size_t>(HUGE_PAGE - 1), FASTNN_HUGEPAGE)

    def __dealloc__(self):
        free(self.block)


def build_info():
    """How this package was compiled.

    Returns
    -------
    dict
        ``compiler``, ``flags``, ``openmp``.
    """
    return {
        "compiler": (<bytes>__VERSION__).decode(),
        "flags": (<bytes>FASTNN_BUILD_FLAGS).decode(),
        "openmp": "yes" if FASTNN_OPENMP else "no",
    }


def _initialise():
    global allowed_cores, environment_threads
    allowed_cores = _cores()
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    environment_threads = int(first) if first.isdigit() else 0
    pthread_atfork(NULL, NULL, after_fork)
    name = os.environ.get("FASTNN_ISA", "").strip().lower() or instruction_sets()[0]
    try:
        use_instruction_set(name)
    except ValueError as error:
        raise ImportError(f"environment variable FASTNN_ISA: {error}") from None


_initialise()
