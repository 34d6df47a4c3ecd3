"""Which kernels run: the instruction set in use, how bfloat16 is multiplied, the state of floating point, clocks.

The only extension that links ``csrc/``; the others reach its kernel tables by ``cimport``.
"""
import os

from fastnn.kernels.threads import openmp

from fastnn.kernels.csrc cimport (
    FNN_BF16_KINDS,
    FNN_F32,
    FNN_F64,
    fnn_activation_parameters,
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
    fnn_optimizer_line,
    fnn_optimizer_table,
    fnn_optimizer_variant,
)

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec *t)
    int CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID

cdef extern from *:
    """
    #ifndef FASTNN_BUILD_FLAGS
    #define FASTNN_BUILD_FLAGS "unknown"
    #endif
    """
    const char *FASTNN_BUILD_FLAGS
    const char *__VERSION__

cdef const fnn_kernels *table_f32 = NULL
cdef const fnn_kernels *table_f64 = NULL
cdef bytes bf16_kind = None       # the kind of bfloat16 products asked for; None: automatic


cdef const fnn_kernels *kernels_for(size_t itemsize) noexcept nogil:
    return table_f32 if itemsize == 4 else table_f64

cdef const fnn_operation *activation_table() noexcept nogil:
    return fnn_activation_table

cdef int activation_parameters(int activation) noexcept nogil:
    return fnn_activation_parameters[activation]

cdef const fnn_operation *loss_table() noexcept nogil:
    return fnn_loss_table

cdef const fnn_operation *metric_table() noexcept nogil:
    return fnn_metric_table

cdef const fnn_optimizer_line *optimizer_table() noexcept nogil:
    return fnn_optimizer_table


cdef int optimizer_variant(int optimizer, const double *p) noexcept nogil:
    return fnn_optimizer_variant(optimizer, p)

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
        _pays_here = bf16_peak(instruction, 500, 20) >= 0.9 * bf16_peak(emulated, 500, 20)
    return _pays_here


cdef double bf16_peak(const fnn_bf16_kernels *k, size_t iterations, int rounds) noexcept nogil:
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


# ---- this build ----

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
        "openmp": "yes" if openmp() else "no",
    }


def _initialise():
    name = os.environ.get("FASTNN_ISA", "").strip().lower() or instruction_sets()[0]
    try:
        use_instruction_set(name)
    except ValueError as error:
        raise ImportError(f"environment variable FASTNN_ISA: {error}") from None


_initialise()
