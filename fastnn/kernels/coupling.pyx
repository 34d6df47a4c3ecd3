"""Batch normalisation: what of it couples the rows of a batch, and what is done to each row once that is known.

Ioffe and Szegedy, "Batch normalization" (2015), with Keras's settings. Each thread takes columns of the whole batch, so sums over
rows are nobody's to share: they run in blocks of ``SUM_ROWS`` rows in index order, then over the blocks.
"""
from libc.math cimport sqrt

from fastnn.kernels.csrc cimport fnn_kernels
from fastnn.kernels.plan cimport COLUMN_ALIGN, SUM_ROWS, Layer, Node, Op, Plan, share
from fastnn.kernels.runtime cimport real

cdef enum:  # vectors of the parameters
    GAMMA
    BETA
    MOVING_MEAN
    MOVING_VARIANCE

cdef enum:  # vectors of the workspace
    SCALE              # 1 / sqrt(variance + epsilon)
    OFFSET             # -mean * scale: normal rows are x * scale + offset
    PASSED             # deltas below are d * passed + normal * bent + shifted
    BENT
    SHIFTED
    SUMS

cdef enum:  # settings
    EPSILON
    MOMENTUM


cdef void column_means(const fnn_kernels *k, Py_ssize_t rows, Py_ssize_t n, const real *x, Py_ssize_t ldx, const real *y, Py_ssize_t ldy,
                       real *block, real *out) noexcept nogil:
    # out (OUT: n) = mean over the rows of x (y NULL) or x * y; block: room for n
    cdef Py_ssize_t r = 0, j, m
    while r < rows:
        m = min(<Py_ssize_t>SUM_ROWS, rows - r)
        k.column_sums(m, n, x + r * ldx, ldx, y + r * ldy if y != NULL else NULL, ldy, block, False)
        for j in range(n):
            out[j] = block[j] if r == 0 else out[j] + block[j]
        r += m
    for j in range(n):
        out[j] /= <real>rows


cdef inline real *moment(const Op *op, real *work, int which) noexcept nogil:
    return work + op.moments + which * op.stride


cdef inline void columns_of(const Op *op, int thread, int team, Py_ssize_t *first, Py_ssize_t *n) noexcept nogil:
    first[0] = share(op.units, thread, team, COLUMN_ALIGN)
    n[0] = share(op.units, thread + 1, team, COLUMN_ALIGN) - first[0]


cdef void batch_moments(const Plan *plan, real *work, real *parameters, Py_ssize_t rows, Py_ssize_t node, int thread,
                        int team) noexcept nogil:
    """This thread's columns of the batch: mean and variance (OUT, as SCALE and OFFSET), and the moving ones among the parameters."""
    cdef const fnn_kernels *k = plan.kernels
    cdef const Op *op = plan.node[node].op
    cdef Py_ssize_t first, n, j, i
    cdef real *scale = moment(op, work, SCALE)
    cdef real *offset = moment(op, work, OFFSET)
    cdef real *ones = moment(op, work, PASSED)
    cdef real *sums = moment(op, work, SUMS)
    cdef real *w = parameters + op.weights
    cdef real momentum = <real>op.parameters[MOMENTUM], rest = <real>(1.0 - op.parameters[MOMENTUM]), mean, variance
    cdef real *x
    cdef real *m
    columns_of(op, thread, team, &first, &n)
    if n <= 0:
        return
    x = work + op.x.offset + first
    m = work + op.m.offset + first
    column_means(k, rows, n, x, op.x.row, <real *>NULL, 0, sums + first, offset + first)
    for j in range(first, first + n):
        offset[j] = -offset[j]
        ones[j] = 1
    k.scale_columns(rows, n, x, op.x.row, ones + first, offset + first, m, op.m.row)
    column_means(k, rows, n, m, op.m.row, m, op.m.row, sums + first, scale + first)
    for j in range(first, first + n):
        mean, variance = -offset[j], scale[j]
        i = MOVING_MEAN * op.stride + j
        w[i] = w[i] * momentum + mean * rest
        i = MOVING_VARIANCE * op.stride + j
        w[i] = w[i] * momentum + variance * rest
        scale[j] = 1 / <real>sqrt(variance + <real>op.parameters[EPSILON])
        offset[j] = -mean * scale[j]


cdef void batch_slopes(const Plan *plan, real *work, const real *parameters, Py_ssize_t rows, Py_ssize_t node, int thread,
                       int team) noexcept nogil:
    """This thread's columns of the batch: the means of the deltas that the rows' own deltas below need (OUT: PASSED, BENT, SHIFTED)."""
    cdef const fnn_kernels *k = plan.kernels
    cdef const Op *op = plan.node[node].op
    cdef const Layer *layer = plan.node[node].layer
    cdef Py_ssize_t first, n, j
    cdef real *passed = moment(op, work, PASSED)
    cdef real *bent = moment(op, work, BENT)
    cdef real *shifted = moment(op, work, SHIFTED)
    cdef real *sums = moment(op, work, SUMS)
    cdef const real *scale = moment(op, work, SCALE)
    cdef const real *gamma = parameters + op.weights
    cdef const real *d
    cdef const real *m
    columns_of(op, thread, team, &first, &n)
    if n <= 0:
        return
    d = work + layer.d.offset + first
    m = work + op.m.offset + first
    column_means(k, rows, n, d, layer.d.row, <real *>NULL, 0, sums + first, shifted + first)
    column_means(k, rows, n, d, layer.d.row, m, op.m.row, sums + first, bent + first)
    for j in range(first, first + n):
        passed[j] = gamma[j] * scale[j]
        bent[j] = -passed[j] * bent[j]
        shifted[j] = -passed[j] * shifted[j]


cdef void batch_forward(const Plan *plan, const Node *node, const real *weights, real *work, Py_ssize_t begin,
                        Py_ssize_t rows) noexcept nogil:
    """Normal rows, and the output (OUT), in training."""
    cdef const Op *op = node.op
    cdef real *m = work + op.m.offset + begin * op.m.row
    plan.kernels.scale_columns(rows, op.units, work + op.x.offset + begin * op.x.row, op.x.row, moment(op, work, SCALE),
                               moment(op, work, OFFSET), m, op.m.row)
    plan.kernels.scale_columns(rows, op.units, m, op.m.row, weights + op.weights, weights + op.weights + op.stride,
                               work + node.layer.a.offset + begin * node.layer.a.row, node.layer.a.row)


cdef void batch_backward(const Plan *plan, const Node *node, real *work, Py_ssize_t begin, Py_ssize_t rows, real *out,
                         Py_ssize_t ld) noexcept nogil:
    """out (OUT: rows x units): deltas of the rows that came in."""
    cdef const Op *op = node.op
    plan.kernels.combine_columns(rows, op.units, work + node.layer.d.offset + begin * node.layer.d.row, node.layer.d.row,
                                 moment(op, work, PASSED), work + op.m.offset + begin * op.m.row, op.m.row, moment(op, work, BENT),
                                 moment(op, work, SHIFTED), out, ld)


cdef void normal_outside(const Plan *plan, const Op *op, const real *weights, real *work, Py_ssize_t begin, Py_ssize_t rows,
                         real *scratch) noexcept nogil:
    """Normal rows (OUT), by what batches had: for the gradient of the scale."""
    cdef Py_ssize_t j
    cdef const real *w = weights + op.weights
    for j in range(op.units):
        scratch[j] = 1 / <real>sqrt(w[MOVING_VARIANCE * op.stride + j] + <real>op.parameters[EPSILON])
        scratch[op.units + j] = -w[MOVING_MEAN * op.stride + j] * scratch[j]
    plan.kernels.scale_columns(rows, op.units, work + op.x.offset + begin * op.x.row, op.x.row, scratch, scratch + op.units,
                               work + op.m.offset + begin * op.m.row, op.m.row)


cdef void batch_outside(const Op *op, const real *w, real *scale) noexcept nogil:
    """scale (OUT: units, then as many offsets): what rows outside training are multiplied by, and what is added."""
    cdef Py_ssize_t j
    for j in range(op.units):
        scale[j] = w[j] / <real>sqrt(w[MOVING_VARIANCE * op.stride + j] + <real>op.parameters[EPSILON])
        scale[op.units + j] = w[op.stride + j] - w[MOVING_MEAN * op.stride + j] * scale[j]
