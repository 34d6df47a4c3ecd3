from cpython.object cimport PyObject
from numpy cimport ndarray

from fastnn.kernels.forward cimport Forward, Space
from fastnn.kernels.habit cimport Habit
from fastnn.kernels.memory cimport Arena


cdef class Inference:
    cdef Forward forward
    cdef Arena parameters
    cdef size_t size              # of the parameters, in bytes
    cdef Space space
    cdef object idle
    cdef Habit habit
    cdef double operations        # of a row
    cdef Py_ssize_t inputs
    cdef Py_ssize_t outputs
    cdef readonly Py_ssize_t batch_size
    cdef readonly bint bfloat16
    cdef readonly object specification   # of the network
    cdef int typenum
    cdef int taken                # whether a call is using `space`
    cdef bint beyond_cache

    cdef int threads(self, Py_ssize_t rows) noexcept nogil
    cdef Py_ssize_t rows_of(self, PyObject *x) noexcept
    cdef bint fits(self, ndarray x, PyObject *out) noexcept
    cdef int refuse(self, x, out) except -1
    cdef int compute(self, const void *x, void *out, Py_ssize_t rows) except -1
    cdef int compute_long(self, const void *x, void *out, Py_ssize_t rows) except -1
    cdef int run(self, Space space, const void *x, void *out, Py_ssize_t rows, int threads, bint shared) except -1
    cdef void run_on(self, Space space, const void *x, void *out, Py_ssize_t rows, int threads, bint shared) noexcept nogil
    cdef Space take(self, int parts)
    cdef int give(self, Space space) except -1
