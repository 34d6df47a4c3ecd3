from fastnn.kernels.plan cimport Objective, Term

cdef int make_objective(Objective *objective, loss, bint from_logits, metrics, int last_activation, Py_ssize_t units) except -1
cdef int activation_index(str name) except -1
cdef int set_term(Term *term, str kind, specification, bint from_logits, Py_ssize_t units) except -1
cdef int set_apart(Objective *objective, own, Py_ssize_t targets, bint together) except -1
