from libc.stdint cimport int64_t

from fastnn.kernels.csrc cimport FNN_HYPER_MAX, FNN_SLOTS_MAX, fnn_coefficients, fnn_memory
from fastnn.kernels.rates cimport Schedule

cdef enum:
    OPTIMIZER_HYPERS = 16     # numbers of an optimizer's own

cdef struct Optimizer:
    int family                # its line of csrc/optimizers.def
    int kind                  # the line of its variant
    fnn_coefficients coefficients  # of that line
    int step                  # its fnn_step
    int slots
    bint before               # gradients are clipped, or weights decay
    bint scheduled            # the learning rate is `schedule`, else hyper[0]
    double hyper[OPTIMIZER_HYPERS]
    double weight_decay
    double clipvalue          # 0: none
    # What looks at whole variables, or treats them one by one (whole.pyx)
    bint by_variable          # anything of it
    bint stored               # gradients are stored before the step
    double clipnorm           # 0: none
    double global_clipnorm    # 0: none
    bint averages             # weights are averaged, in a slot behind the optimizer's own
    double ema_momentum
    int64_t ema_overwrite     # every so many steps weights become their averages; 0: never
    int64_t accumulated       # batches whose gradients are added, in a slot behind the others, before a step; 0: each is a step
    double initial[FNN_SLOTS_MAX]  # what slots hold before the first step
    fnn_memory memory         # of the last step's coefficients
    Schedule schedule

# What a step is beside the coefficients, where variables are treated one by one.
cdef struct Move:
    bint update               # else gradients are only added
    double share              # of the gradients added: one over their number
    double rate               # the learning rate
    double keep               # of the averages
    bint overwrite            # weights become their averages
    double other[FNN_HYPER_MAX]  # coefficients of variables without an orthogonal direction
    double penalty            # in all steps: what penalties of single weights are multiplied by

cdef inline int slots_in_all(const Optimizer *optimizer) noexcept nogil:
    return optimizer.slots + (1 if optimizer.averages else 0) + (1 if optimizer.accumulated > 0 else 0)

cdef void coefficients(Optimizer *optimizer, int64_t step, double *h) noexcept nogil
cdef void coefficients_at(Optimizer *optimizer, int64_t step, int64_t batches, double *h) noexcept nogil
cdef void next_move(Optimizer *optimizer, int64_t batches, double *h, Move *move) noexcept nogil
cdef Optimizer make_optimizer(str name, dict hyper, size_t itemsize) except *
cdef void fill_slots(const Optimizer *optimizer, void *parameters, Py_ssize_t count, size_t itemsize) noexcept nogil
cdef int set_hyper(Optimizer *optimizer, str name, double value) except -1
