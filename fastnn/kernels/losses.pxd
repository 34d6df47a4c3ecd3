from fastnn.kernels.csrc cimport fnn_operation
from fastnn.kernels.plan cimport Objective, Term

cdef int make_objective(Objective *objective, loss, bint from_logits, int last_activation, Py_ssize_t units) except -1
cdef Py_ssize_t target_columns(const Term *term, const fnn_operation *operation, Py_ssize_t units) noexcept
cdef int activation_index(str name) except -1
cdef int set_term(Term *term, str kind, specification, bint from_logits, Py_ssize_t units) except -1
cdef int set_apart(Objective *objective, own, Py_ssize_t targets, bint together, Py_ssize_t units) except -1
