"""Where all native memory comes from: aligned, zeroed blocks that belong to an object."""
from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free

cdef extern from "<sys/mman.h>" nogil:
    int madvise(void *address, size_t length, int advice)

cdef extern from *:
    """
    #ifdef MADV_HUGEPAGE
    #define FASTNN_HUGEPAGE MADV_HUGEPAGE
    #else
    #define FASTNN_HUGEPAGE -1
    #endif
    """
    int FASTNN_HUGEPAGE

cdef enum:
    ALIGNMENT = 64
    HUGE_PAGE = 2 << 20


cdef class Arena:
    """One block of zeroed memory, aligned to a cache line (large ones to a huge page), freed with the object.

    Parameters
    ----------
    nbytes : int
    """

    def __cinit__(self, size_t nbytes):
        cdef size_t alignment = HUGE_PAGE if nbytes >= 2 * HUGE_PAGE else ALIGNMENT
        if nbytes > (<size_t>-1) // 2:
            raise MemoryError("the network and this batch size need more memory than can be addressed")
        self.nbytes = nbytes
        self.block = calloc(nbytes + alignment, 1)
        if self.block == NULL:
            raise MemoryError(f"could not allocate {nbytes} bytes")
        self.base = <void *>((<uintptr_t>self.block + alignment - 1) & ~<uintptr_t>(alignment - 1))
        if alignment == HUGE_PAGE and FASTNN_HUGEPAGE >= 0:
            madvise(self.base, nbytes & ~<size_t>(HUGE_PAGE - 1), FASTNN_HUGEPAGE)

    def __dealloc__(self):
        free(self.block)
