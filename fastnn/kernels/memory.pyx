"""Where all native memory comes from: aligned, zeroed blocks that belong to an object, counted, and refused on demand."""
from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free

cdef extern from "<sys/mman.h>" nogil:
    int madvise(void *address, size_t length, int advice)

cdef extern from *:
    """
    #include <stdatomic.h>
    #include <stddef.h>
    #ifdef MADV_HUGEPAGE
    #define FASTNN_HUGEPAGE MADV_HUGEPAGE
    #else
    #define FASTNN_HUGEPAGE -1
    #endif

    /* AddressSanitizer knows the block that calloc gave; what alignment leaves over around the part in use is told to it. */
    #if defined(__SANITIZE_ADDRESS__)
    #define FASTNN_ASAN 1
    #elif defined(__has_feature)
    #if __has_feature(address_sanitizer)
    #define FASTNN_ASAN 1
    #endif
    #endif
    #ifdef FASTNN_ASAN
    #include <sanitizer/asan_interface.h>
    #define FASTNN_FORBID(address, bytes) __asan_poison_memory_region(address, bytes)
    #else
    #define FASTNN_FORBID(address, bytes) ((void)(address), (void)(bytes))
    #endif

    /* Atomic: interpreters without a global lock make arenas in several threads at once. */
    static atomic_size_t fastnn_blocks, fastnn_bytes, fastnn_made;
    static atomic_size_t fastnn_refuse_first = (size_t)-1, fastnn_refuse_end = (size_t)-1; /* by number */

    static inline void fastnn_count(size_t nbytes)
    {
        atomic_fetch_add(&fastnn_blocks, 1);
        atomic_fetch_add(&fastnn_bytes, nbytes);
    }
    static inline void fastnn_uncount(size_t nbytes)
    {
        atomic_fetch_sub(&fastnn_blocks, 1);
        atomic_fetch_sub(&fastnn_bytes, nbytes);
    }
    static inline int fastnn_refused(void)
    {
        size_t number = atomic_fetch_add(&fastnn_made, 1);
        return number >= atomic_load(&fastnn_refuse_first) && number < atomic_load(&fastnn_refuse_end);
    }
    static inline void fastnn_refuse(size_t first, size_t count)
    {
        size_t made = atomic_load(&fastnn_made);
        atomic_store(&fastnn_refuse_end, made + first + count);
        atomic_store(&fastnn_refuse_first, made + first);
    }
    static inline size_t fastnn_get(atomic_size_t *counter)
    {
        return atomic_load(counter);
    }
    """
    int FASTNN_HUGEPAGE
    ctypedef struct atomic_size_t:
        pass
    atomic_size_t fastnn_blocks
    atomic_size_t fastnn_bytes
    atomic_size_t fastnn_made
    void FASTNN_FORBID(void *address, size_t nbytes) nogil
    void fastnn_count(size_t nbytes) nogil
    void fastnn_uncount(size_t nbytes) nogil
    bint fastnn_refused() nogil
    void fastnn_refuse(size_t first, size_t count) nogil
    size_t fastnn_get(atomic_size_t *counter) nogil

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
        cdef size_t before
        if nbytes > (<size_t>-1) // 2:
            raise MemoryError("the network and this batch size need more memory than can be addressed")
        if not fastnn_refused():
            self.block = calloc(nbytes + alignment, 1)
        if self.block == NULL:
            raise MemoryError(f"could not allocate {nbytes} bytes")
        self.nbytes = nbytes
        fastnn_count(nbytes)
        self.base = <void *>((<uintptr_t>self.block + alignment - 1) & ~<uintptr_t>(alignment - 1))
        before = <size_t>(<char *>self.base - <char *>self.block)
        FASTNN_FORBID(self.block, before)
        FASTNN_FORBID(<char *>self.base + nbytes, alignment - before)
        if alignment == HUGE_PAGE and FASTNN_HUGEPAGE >= 0:
            madvise(self.base, nbytes & ~<size_t>(HUGE_PAGE - 1), FASTNN_HUGEPAGE)

    def __dealloc__(self):
        if self.block != NULL:
            fastnn_uncount(self.nbytes)
        free(self.block)


def live():
    """Blocks that are allocated at this moment.

    Returns
    -------
    tuple (int, int)
        How many, and their bytes.
    """
    return fastnn_get(&fastnn_blocks), fastnn_get(&fastnn_bytes)


def requests():
    """How many blocks were asked for in this process so far, refused ones included."""
    return fastnn_get(&fastnn_made)


def refuse(size_t first, size_t count=1):
    """Have allocations fail as if there were no memory left, to try what a program does then.

    Parameters
    ----------
    first : int
        How many still succeed, from now on.
    count : int, default 1
        How many fail behind them; 0 ends what an earlier call asked for.
    """
    fastnn_refuse(first, count)
