from fastnn.kernels.plan cimport Plan

cdef list shapes_of(const Plan *plan)
cdef list unpacked(const Plan *plan, const void *parameters)
cdef int packed(const Plan *plan, list arrays, void *parameters) except -1
