from fastnn.kernels.csrc cimport fnn_tiny
from fastnn.kernels.optimizers cimport Optimizer
from fastnn.kernels.plan cimport Objective, Plan, Space
from fastnn.kernels.runtime cimport real
from fastnn.kernels.schedule cimport Run, Step, TinyKind

cdef TinyKind tiny_kind(const Plan *plan, const Space *space, const Objective *objective, const Optimizer *optimizer,
                        Py_ssize_t batch) noexcept nogil
cdef bint is_tiny(const Plan *plan, const Objective *objective, const Optimizer *optimizer, Py_ssize_t batch) noexcept nogil
cdef bint ends_tiny(const Plan *plan, const Objective *objective) noexcept nogil
cdef void describe(fnn_tiny *t, const Run *run) noexcept nogil
cdef void fused_batches(Run *run, const Step *step, real *parameters) noexcept nogil
cdef void fused_epochs(Run *run, Py_ssize_t epochs, real *parameters) noexcept nogil
cdef int layers_batches(Run *run, const Step *step, real *parameters) noexcept nogil
