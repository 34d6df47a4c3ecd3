cdef class Arena:
    """One aligned block of memory, zeroed; freed with the object."""
    cdef void *base
    cdef void *block
    cdef size_t nbytes
