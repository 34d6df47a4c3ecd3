from fastnn.kernels.forward cimport Forward

cdef int pack_words(Forward f, list arrays, float *weights) except -1
cdef int unpack_words(Forward f, list arrays, float *weights) except -1
