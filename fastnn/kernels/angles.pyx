"""Penalties on the angles between the rows, or the columns, of a kernel (``regularizers.OrthogonalRegularizer``).

With h[i] the lines divided by their norms, the penalty is factor / pairs * sum over i < j of abs(h[i] . h[j]), and its derivative with
respect to h[i] is factor / pairs * sum over j of sign(h[i] . h[j]) h[j]; through the division, what of that is not along h[i], over the
norm. Each thread divides its lines, and after a barrier takes the products of its lines with all: sums are nobody's to share. Products
run in 16 virtual lanes, sums over lines in index order.
"""
from libc.math cimport fabs, sqrt
from libc.string cimport memset

from fastnn.kernels.csrc cimport FNN_STORE, fnn_kernels
from fastnn.kernels.lines cimport get_line, line_count, line_length, put_line
from fastnn.kernels.plan cimport COLUMN_ALIGN, Plan, Space, Variable, round_up, share
from fastnn.kernels.runtime cimport real

cdef double LARGEST = 1e7  # of one over a norm, as in Keras

# Where the lines of a variable, one over their norms, and their sums lie in the workspace.
cdef struct Lines:
    Py_ssize_t count
    Py_ssize_t length
    Py_ssize_t stride
    Py_ssize_t inverse
    Py_ssize_t sums
    double scale              # factor / pairs

cdef Lines lines_of(const Variable *v) noexcept nogil:
    cdef Lines own
    own.count = line_count(v, v.angles_axis)
    own.length = line_length(v, v.angles_axis)
    own.stride = round_up(own.length, COLUMN_ALIGN)
    own.inverse = v.angles_at + own.count * own.stride
    own.sums = own.inverse + round_up(own.count, COLUMN_ALIGN)
    own.scale = v.angles / (<double>own.count * <double>(own.count - 1) / 2.0) if own.count > 1 else 0.0
    return own


cdef void direct_lines(const Plan *plan, const Space *space, real *work, const real *parameters, int thread, int team) noexcept nogil:
    """This thread's share of all lines: divided by their norms (OUT, in the workspace), and one over those."""
    cdef Py_ssize_t i, j, r
    cdef const Variable *v
    cdef Lines own
    cdef real *line
    cdef real squares
    for i in range(plan.variables):
        v = &plan.variable[i]
        if not v.trained or v.angles == 0:
            continue
        own = lines_of(v)
        for r in range(share(own.count, thread, team, 1), share(own.count, thread + 1, team, 1)):
            line = work + space.angles + v.angles_at + r * own.stride
            get_line(plan, v, v.angles_axis, r, parameters, line)
            memset(line + own.length, 0, (own.stride - own.length) * sizeof(real))
            plan.kernels.dot_rows(1, own.stride, line, own.stride, line, &squares)
            squares = min(1 / <real>sqrt(squares), <real>LARGEST)
            work[space.angles + own.inverse + r] = squares
            for j in range(own.length):
                line[j] *= squares


cdef void angle_slopes(const Plan *plan, const Space *space, real *work, int thread, int team, bint slopes) noexcept nogil:
    """This thread's share of the lines: the sums of their products' absolute values, and, if `slopes`, the slopes (OUT, in the
    workspace)."""
    cdef Py_ssize_t i, j, r
    cdef const Variable *v
    cdef Lines own
    cdef real *all
    cdef real *products
    cdef real *out
    cdef real total, along
    for i in range(plan.variables):
        v = &plan.variable[i]
        if not v.trained or v.angles == 0:
            continue
        own = lines_of(v)
        all = work + space.angles + v.angles_at
        products = work + space.scratch + thread * space.scratch_size
        out = products + round_up(own.count, COLUMN_ALIGN)
        for r in range(share(own.count, thread, team, 1), share(own.count, thread + 1, team, 1)):
            plan.kernels.dot_rows(own.count, own.stride, all, own.stride, all + r * own.stride, products)
            products[r] = 0
            total = 0
            for j in range(own.count):
                total += <real>fabs(products[j])
                products[j] = (products[j] > 0) - (products[j] < 0)
            work[space.angles + own.sums + r] = total
            if not slopes:
                continue
            signed_sum(plan.kernels, own, products, all, out)
            plan.kernels.dot_rows(1, own.stride, out, own.stride, all + r * own.stride, &along)
            for j in range(own.length):
                out[j] = (<real>own.scale * work[space.angles + own.inverse + r]) * (out[j] - all[r * own.stride + j] * along)
            put_line(plan, v, v.angles_axis, r, out, work + space.slopes)


cdef inline void signed_sum(const fnn_kernels *k, Lines own, const real *signs, const real *all, real *out) noexcept nogil:
    # out (OUT: stride) = sum over the lines of their sign times the line
    cdef Py_ssize_t lanes = <Py_ssize_t>k.lanes, widest = <Py_ssize_t>k.panel_vectors, at = 0, vectors
    while at < own.stride:
        vectors = min((own.stride - at) // lanes, widest)
        k.tile[vectors][1](own.count, signs, 0, 1, all + at, own.stride, NULL, out + at, 0, lanes, FNN_STORE, NULL, 0)
        at += vectors * lanes


cdef double angles_penalty(const Plan *plan, const Space *space, const void *work) noexcept nogil:
    """The penalty, from the sums that all threads left."""
    cdef double found = 0.0, total
    cdef Py_ssize_t i, r, at
    cdef const Variable *v
    cdef Lines own
    if plan.angles == 0:
        return found
    for i in range(plan.variables):
        v = &plan.variable[i]
        if not v.trained or v.angles == 0:
            continue
        own = lines_of(v)
        total = 0.0
        at = space.angles + own.sums
        for r in range(own.count):
            total += (<const float *>work)[at + r] if plan.kernels.itemsize == 4 else (<const double *>work)[at + r]
        found += own.scale * 0.5 * total
    return found


cdef void angles_now(const Plan *plan, const Space *space, void *work, const void *parameters) noexcept nogil:
    """The sums for these weights, by one thread."""
    if plan.angles == 0:
        return
    if plan.kernels.itemsize == 4:
        direct_lines[float](plan, space, <float *>work, <const float *>parameters, 0, 1)
        angle_slopes[float](plan, space, <float *>work, 0, 1, False)
    else:
        direct_lines[double](plan, space, <double *>work, <const double *>parameters, 0, 1)
        angle_slopes[double](plan, space, <double *>work, 0, 1, False)
