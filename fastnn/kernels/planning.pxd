from fastnn.kernels.memory cimport Arena
from fastnn.kernels.plan cimport Plan

cdef Arena make_plan(Plan *plan, input_dim, layers)
cdef int link_nodes(Plan *plan) except -1
