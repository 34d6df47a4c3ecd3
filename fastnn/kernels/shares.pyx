"""How the rows' losses of a batch become one number: what their weighted sum is divided by.

By the number of rows, mostly, and then nothing here is called but `batch_share`, once a step. Otherwise an epoch's loss is, as in Keras,
the mean over its batches of the batches' losses, each counted with its rows; so what a row adds depends on its batch.
"""
from libc.math cimport isnan

from fastnn.kernels.names import check_name

from fastnn.kernels.plan cimport SHARE_COUNTED, SHARE_ONE, SHARE_ROWS, SHARE_WEIGHTS, Objective, Plan, Source, Space

REDUCTIONS = ("mean", "sum", "mean_with_sample_weight")


cdef int set_share(Objective *objective, str reduction, factors, bint shared_penalties) except -1:
    """share (OUT) of an objective whose loss is set, and what goes with it; rows of a class to be ignored count for nothing."""
    objective.factor, objective.recorded = factors
    objective.shared_penalties = shared_penalties
    check_name("reduction", reduction, REDUCTIONS)
    if reduction == "sum":
        objective.share = SHARE_ONE
    elif reduction == "mean_with_sample_weight":
        objective.share = SHARE_WEIGHTS
    else:
        objective.share = SHARE_ROWS if isnan(objective.ignored) else SHARE_COUNTED
    return 0


cdef inline double element(const void *array, Py_ssize_t i, Py_ssize_t itemsize) noexcept nogil:
    return <double>(<const float *>array)[i] if itemsize == 4 else (<const double *>array)[i]


cdef double batch_share(const Objective *objective, const Source *source, Py_ssize_t start, Py_ssize_t rows,
                        Py_ssize_t itemsize) noexcept nogil:
    """One over what the losses of rows [start, start + rows) of the epoch are divided by; 0 where that is 0."""
    cdef double total = 0.0
    cdef Py_ssize_t r, at
    # a loss of all rows together is one number, whatever becomes of it without weights
    if objective.share == SHARE_ROWS or (objective.together and source.weight == NULL):
        return 1.0 / <double>rows
    if objective.share == SHARE_ONE:
        return 1.0
    for r in range(rows):
        at = <Py_ssize_t>source.order[start + r] if source.order != NULL else start + r
        if element(source.y, at * objective.targets, itemsize) == objective.ignored:
            continue
        if objective.share == SHARE_COUNTED or source.weight == NULL:
            total += 1.0
        else:
            total += element(source.weight, at, itemsize)
    return 1.0 / total if total != 0.0 else 0.0


cdef double penalty_share(const Objective *objective, const Source *source, Py_ssize_t start, Py_ssize_t rows,
                          Py_ssize_t itemsize) noexcept nogil:
    """What penalties of single weights are multiplied by, where the loss is of these rows."""
    return batch_share(objective, source, start, rows, itemsize) if objective.shared_penalties else 1.0


cdef void share_losses(const Plan *plan, const Space *space, const Objective *objective, const Source *source, void *work,
                       Py_ssize_t start, Py_ssize_t rows, Py_ssize_t batch) noexcept nogil:
    """The losses of rows [start, start + rows) among the row values (IN and OUT), so that a mean over the rows is that over the batches of
    `batch` rows, the first of which begins at 0 (batch 0: these rows are one); and the rows' penalties of outputs with them."""
    cdef Py_ssize_t itemsize = <Py_ssize_t>plan.kernels.itemsize, r = 0, i, first, n, end
    cdef float *single = <float *>work + space.values
    cdef double *value = <double *>work + space.values
    cdef double factor
    while (objective.share != SHARE_ROWS or objective.recorded != 1.0) and r < rows:
        first = start if batch == 0 else (start + r) // batch * batch
        n = rows if batch == 0 else min(batch, source.rows - first)
        end = min(rows, first + n - start)
        factor = objective.recorded * <double>n * batch_share(objective, source, first, n, itemsize)
        for i in range(r, end):
            if itemsize == 4:
                single[i] = <float>(<double>single[i] * factor)
            else:
                value[i] = value[i] * factor
        r = end
    if plan.activity:
        plan.kernels.accumulate(rows, <char *>work + (space.activity + space.capacity) * itemsize, <char *>work + space.values * itemsize)
