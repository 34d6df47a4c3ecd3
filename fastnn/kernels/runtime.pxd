from libc.stdint cimport uint64_t

from fastnn.kernels.csrc cimport fnn_bf16_kernels, fnn_kernels, fnn_operation

ctypedef fused real:
    float
    double

# The table in use for an element size of 4 or 8 bytes.
cdef const fnn_kernels *kernels_for(size_t itemsize) noexcept nogil

# The table of bfloat16 products that goes with a table of kernels.
cdef const fnn_bf16_kernels *bf16_for(const fnn_kernels *kernels) except NULL

# The tables of operations, in the order of their indices.
cdef const fnn_operation *activation_table() noexcept nogil
cdef const fnn_operation *loss_table() noexcept nogil
cdef const fnn_operation *metric_table() noexcept nogil
cdef const fnn_operation *optimizer_table() noexcept nogil

# How many threads a piece of work gets: `requested` if positive, else what its cost in floating-point operations deserves.
cdef int threads_for(double operations, Py_ssize_t shares, int requested) noexcept nogil
cdef bint threads_are_set() noexcept nogil
# Spins before a waiting thread yields its core: none where the team exceeds the cores.
cdef int spins_for(int team) noexcept nogil
cdef int cores_allowed() noexcept nogil

cdef uint64_t float_flush() noexcept nogil
cdef void float_restore(uint64_t state) noexcept nogil
cdef double clock() noexcept nogil
# Seconds that the calling thread has had the processor.
cdef double processor_clock() noexcept nogil


cdef class Arena:
    """One aligned block of memory, zeroed; freed with the object."""
    cdef void *base
    cdef void *block
    cdef size_t nbytes
