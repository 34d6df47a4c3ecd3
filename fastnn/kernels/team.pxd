# The number of threads that OpenMP really granted, with or without OpenMP.
cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    #define FASTNN_TEAM_SIZE() omp_get_num_threads()
    #else
    #define FASTNN_TEAM_SIZE() 1
    #endif
    """
    int team_size "FASTNN_TEAM_SIZE"() noexcept nogil
