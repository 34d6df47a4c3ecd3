# How many threads a piece of work gets: `requested` if positive, else what its cost in floating-point operations deserves.
cdef int threads_for(double operations, Py_ssize_t shares, int requested) noexcept nogil
cdef bint threads_are_set() noexcept nogil
# Spins before a waiting thread yields its core: none where the team exceeds the cores.
cdef int spins_for(int team) noexcept nogil
# Training calls that are under way share the cores between them.
cdef void begin_call() noexcept
cdef void end_call() noexcept
cdef int fair_share() noexcept nogil
# Threads for so many networks, on each of which one works alone; `requested` as above.
cdef int team_for(Py_ssize_t jobs, int requested) noexcept nogil
