from fastnn.kernels.plan cimport Objective

cdef int make_objective(Objective *objective, str loss, bint from_logits, metrics, int last_activation) except -1
cdef int activation_index(str name) except -1
