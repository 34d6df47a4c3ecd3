cdef object new_matrix(size_t itemsize, Py_ssize_t rows, Py_ssize_t columns)
cdef int require_matrix(size_t itemsize, a, str name, Py_ssize_t rows, Py_ssize_t columns) except -1
cdef int require_vector(size_t itemsize, a, str name, Py_ssize_t rows) except -1
