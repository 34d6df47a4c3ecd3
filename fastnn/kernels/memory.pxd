cdef enum:
    MOST_ELEMENTS = <Py_ssize_t>1 << 46    # of one block


cdef inline Py_ssize_t room(Py_ssize_t at, Py_ssize_t count, Py_ssize_t size) noexcept nogil:
    # the place behind `count` times `size` elements from `at` on; beyond MOST_ELEMENTS where it cannot be, however far
    if <double>at + <double>count * <double>size > <double>MOST_ELEMENTS:
        return MOST_ELEMENTS + 1
    return at + count * size


cdef class Arena:
    """One aligned block of memory, zeroed; freed with the object."""
    cdef void *base
    cdef void *block
    cdef size_t nbytes
