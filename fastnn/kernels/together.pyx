"""The Tversky loss of all rows of a batch together: one number, whose gradient needs sums over the batch.

Between the rows phases forward and backward, by one thread: three sums and a line for each output. Formula: ``losses_vectors.h``.
"""
from fastnn.kernels.plan cimport SUM_ROWS, Objective, Plan, Space
from fastnn.kernels.runtime cimport real


cdef double column_sum(const real *x, const real *y, Py_ssize_t rows, Py_ssize_t units, Py_ssize_t ld) noexcept nogil:
    # of x, or of x * y: in blocks of SUM_ROWS rows, then over the blocks, unit by unit
    cdef double total = 0.0, block
    cdef Py_ssize_t j, r, first
    for j in range(units):
        first = 0
        while first < rows:
            block = 0.0
            for r in range(first, min(rows, first + SUM_ROWS)):
                block += <double>x[j * ld + r] * <double>y[j * ld + r] if y != NULL else <double>x[j * ld + r]
            total += block
            first += SUM_ROWS
    return total


cdef void tversky_of_batch(const Plan *plan, const Space *space, const Objective *objective, real *work, bint weighted, Py_ssize_t rows,
                           double scale) noexcept nogil:
    """Row values and deltas (OUT, with respect to the output) of the first `rows` rows of the workspace: each row has the loss of all,
    times its weight."""
    cdef Py_ssize_t ld = space.capacity, units = plan.outputs, r, j
    cdef const double *p = &objective.loss.p[0]
    cdef const real *y = work + space.y
    cdef const real *a = work + plan.output.a.offset
    cdef const real *weight = work + space.weight
    cdef real *value = work + space.values
    cdef real *delta = work + (plan.output.d.offset if plan.output.columns else space.delta)
    cdef double both = column_sum(a, y, rows, units, ld)
    cdef double yes = column_sum(y, <const real *>NULL, rows, units, ld), guess = column_sum(a, <const real *>NULL, rows, units, ld)
    cdef double all = both + p[0] * (yes - both) + p[1] * (guess - both) + p[2], part = both / all
    cdef double weights = column_sum(weight, <const real *>NULL, rows, 1, ld) if weighted else <double>rows
    cdef real loss = <real>(1.0 - part), steep = <real>((1.0 - p[0] - p[1]) * part - 1.0), level = <real>(p[1] * part)
    cdef real share = <real>(scale * weights / all)
    for r in range(rows):
        value[r] = loss * weight[r] if weighted else loss
    for j in range(units):
        for r in range(rows):
            delta[j * ld + r] = (steep * y[j * ld + r] + level) * share
