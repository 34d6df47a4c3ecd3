from libc.stdint cimport int64_t

from fastnn.kernels.plan cimport Move, Optimizer

cdef void coefficients(Optimizer *optimizer, int64_t step, double *h) noexcept nogil
cdef void coefficients_at(Optimizer *optimizer, int64_t step, int64_t batches, double *h) noexcept nogil
cdef void next_move(Optimizer *optimizer, int64_t batches, double *h, Move *move) noexcept nogil
cdef Optimizer make_optimizer(str name, dict hyper, size_t itemsize) except *
cdef void fill_slots(const Optimizer *optimizer, void *parameters, Py_ssize_t count, size_t itemsize) noexcept nogil
cdef int set_hyper(Optimizer *optimizer, str name, double value) except -1
