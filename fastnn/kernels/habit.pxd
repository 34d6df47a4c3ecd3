# What a predictor has seen of its calls, and so how many threads the next one gets: seconds a call on one thread and on all.
cdef struct Habit:
    double last        # when the last call ended
    double one         # recent seconds a call; 0: not known
    double all
    int trial          # calls on all threads left to try
    double retry       # when all get another chance
    double wait

cdef void start_habit(Habit *h) noexcept nogil
cdef bint use_all(Habit *h, double now) noexcept nogil
cdef void called(Habit *h, bint all_threads, double began, double ended) noexcept nogil
