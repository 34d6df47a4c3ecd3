from fastnn.kernels.plan cimport Layer

cdef int set_activation(Layer *layer, specification) except -1
