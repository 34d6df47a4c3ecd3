"""Arrays at the door of a native call: ready to be read where they lie, or an error.

Through NumPy's C interface, since a small network's whole call takes about as long as a look at an array from Python.
"""
cimport numpy as cnp

cnp.import_array()


cdef object new_matrix(size_t itemsize, Py_ssize_t rows, Py_ssize_t columns):
    cdef cnp.npy_intp[2] shape = [rows, columns]
    return cnp.PyArray_EMPTY(2, shape, cnp.NPY_FLOAT if itemsize == 4 else cnp.NPY_DOUBLE, 0)


cdef int require_array(size_t itemsize, a, str name) except -1:
    if not cnp.PyArray_Check(a):
        raise TypeError(f"{name} must be an array")
    if cnp.PyArray_TYPE(<cnp.ndarray>a) != (cnp.NPY_FLOAT if itemsize == 4 else cnp.NPY_DOUBLE) \
            or not cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>a):
        raise ValueError(f"{name} must be a C-contiguous and aligned {'float32' if itemsize == 4 else 'float64'} array")
    return 0


cdef int require_matrix(size_t itemsize, a, str name, Py_ssize_t rows, Py_ssize_t columns) except -1:
    require_array(itemsize, a, name)
    if cnp.PyArray_NDIM(<cnp.ndarray>a) != 2 or cnp.PyArray_DIM(<cnp.ndarray>a, 0) != rows \
            or cnp.PyArray_DIM(<cnp.ndarray>a, 1) != columns:
        raise ValueError(f"{name} has shape {a.shape}; expected {(rows, columns)}")
    return 0


cdef int require_vector(size_t itemsize, a, str name, Py_ssize_t rows) except -1:
    require_array(itemsize, a, name)
    if cnp.PyArray_NDIM(<cnp.ndarray>a) != 1 or cnp.PyArray_DIM(<cnp.ndarray>a, 0) != rows:
        raise ValueError(f"{name} has shape {a.shape}; expected {(rows,)}")
    return 0
