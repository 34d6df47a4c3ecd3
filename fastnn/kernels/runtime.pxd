from libc.stdint cimport uint64_t

from fastnn.kernels.csrc cimport fnn_bf16_kernels, fnn_kernels, fnn_operation, fnn_optimizer_line

ctypedef fused real:
    float
    double

# The table in use for an element size of 4 or 8 bytes.
cdef const fnn_kernels *kernels_for(size_t itemsize) noexcept nogil

# The table of bfloat16 products that goes with a table of kernels.
cdef const fnn_bf16_kernels *bf16_for(const fnn_kernels *kernels) except NULL
cdef double bf16_peak(const fnn_bf16_kernels *k, size_t iterations, int rounds) noexcept nogil

# The tables of operations, in the order of their indices.
cdef const fnn_operation *activation_table() noexcept nogil
cdef int activation_parameters(int activation) noexcept nogil  # how many it has
cdef const fnn_operation *loss_table() noexcept nogil
cdef const fnn_operation *metric_table() noexcept nogil
cdef const fnn_optimizer_line *optimizer_table() noexcept nogil
cdef int optimizer_variant(int optimizer, const double *p) noexcept nogil

cdef uint64_t float_flush() noexcept nogil
cdef void float_restore(uint64_t state) noexcept nogil
cdef double clock() noexcept nogil
# Seconds that the calling thread has had the processor.
cdef double processor_clock() noexcept nogil
