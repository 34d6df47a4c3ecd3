from fastnn.kernels.plan cimport Op
from fastnn.kernels.runtime cimport real

# of `failed`, which other threads may be setting
cdef extern from *:
    """
    #define FASTNN_HAS_FAILED(flag) __atomic_load_n(flag, __ATOMIC_RELAXED)
    #define FASTNN_FAIL(flag) __atomic_store_n(flag, 1, __ATOMIC_RELAXED)
    """
    int has_failed "FASTNN_HAS_FAILED"(const int *flag) noexcept nogil
    void fail "FASTNN_FAIL"(int *flag) noexcept nogil


cdef class OwnFunction:
    cdef object f
    cdef object df
    cdef object look
    cdef bint reads_output
    cdef readonly str name

    cdef object call(self, function, str what, x)
    cdef int forward(self, x, out) except -1
    cdef int backward(self, x, deltas) except -1


cdef class OwnCall:
    cdef OwnFunction own
    cdef object error         # what was raised first
    cdef int failed           # whether anything was raised; read without the GIL

cdef list own_calls_of(Op *ops, Py_ssize_t n)
cdef int raise_calls(list calls) except -1
cdef void own_forward(const Op *op, const real *x, Py_ssize_t ldx, real *out, Py_ssize_t ldo, Py_ssize_t rows) noexcept nogil
cdef void own_backward(const Op *op, const real *x, Py_ssize_t ldx, const real *a, Py_ssize_t lda, real *d, Py_ssize_t ldd,
                       Py_ssize_t rows) noexcept nogil
