from fastnn.kernels.plan cimport Plan

cdef int ask(Plan *plan, asked) except -1
cdef int ask_decay(Plan *plan, decay) except -1
cdef int ask_orthogonal(Plan *plan, orthogonal) except -1
