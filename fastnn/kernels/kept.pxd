from fastnn.kernels.schedule cimport Run

cdef tuple step_outputs(const Run *run, str dtype)
cdef results_so_far(const Run *run)
