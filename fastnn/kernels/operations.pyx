"""What stands between dense layers: activations by themselves, chance, normalisation, residual sums.

An operation reads rows where the node before it left them and writes rows for the node behind it, all row-major; its gradient likewise.
Columns (of a narrow layer before it) are turned into rows once. Random numbers are a function of the network's seed, its lifetime
epoch, the row's place in the epoch, the operation and the column, so they do not depend on threads or strips.
"""
from libc.stdint cimport uint32_t
from libc.string cimport memset

from fastnn.kernels.coupling cimport batch_backward, batch_forward, batch_outside, normal_outside
from fastnn.kernels.csrc cimport FNN_STORE, FNN_ACTIVATION_linear, fnn_kernels
from fastnn.kernels.dense cimport rowwise_backward, rowwise_forward, slope
from fastnn.kernels.own cimport own_backward, own_forward
from fastnn.kernels.plan cimport (
    COLUMN_ALIGN,
    OP_ACTIVATION,
    OP_ADD,
    OP_AFFINE,
    OP_BATCH_NORM,
    OP_DROP,
    OP_LAYER_NORM,
    OP_NOISE,
    OP_OWN,
    OP_PENALTY,
    OP_PRELU,
    OP_SCALE,
    OP_SPLIT,
    Layer,
    Node,
    Op,
    Plan,
    Space,
    Tile,
    round_up,
)
from fastnn.kernels.runtime cimport real

cdef enum:
    GAMMA
    BETA

cdef enum:
    LAYER_NORM_EPSILON
    LAYER_NORM_CENTER


cdef bint only_in_training(const Op *op) noexcept nogil:
    """Whether the operation passes rows on as they are, but in training."""
    return op.kind == OP_DROP or op.kind == OP_NOISE or op.kind == OP_SCALE


cdef bint passes_rows(const Op *op) noexcept nogil:
    """Whether predictions can do without it."""
    return only_in_training(op) or op.kind == OP_PENALTY


cdef void operation_forward(const Plan *plan, const Space *space, const Node *node, const real *weights, real *work, Py_ssize_t begin,
                            Py_ssize_t rows, const Draw *draw, real *scratch) noexcept nogil:
    """Rows [begin, begin + rows) of an operation's output (OUT) from its input, and what its backward pass needs."""
    cdef const fnn_kernels *k = plan.kernels
    cdef const Op *op = node.op
    cdef const Op *partner
    cdef real *x = work + op.x.offset + begin * op.x.row
    cdef real *a = work + node.layer.a.offset + begin * node.layer.a.row
    cdef real *m = work + op.m.offset + begin * op.m.row
    cdef Py_ssize_t lda = node.layer.a.row, n = op.units
    if draw.train and only_in_training(op):
        by_chance(k, op, x, m, a, lda, rows, draw, scratch)
    elif draw.train and op.kind == OP_BATCH_NORM and not op.frozen:
        batch_forward(plan, node, weights, work, begin, rows)
    elif op.kind == OP_LAYER_NORM:
        k.normalize_rows(rows, n, x, op.x.row, op.parameters[LAYER_NORM_EPSILON], <int>op.parameters[LAYER_NORM_CENTER], m,
                         op.m.row, work + op.inverse + begin)
        k.scale_columns(rows, n, m, op.m.row, weights + op.weights, weights + op.weights + op.stride, a, lda)
    elif op.kind == OP_PRELU and draw.keep:
        k.negative_part(rows, n, x, op.x.row, x, op.x.row, m, op.m.row)
        k.prelu_forward(rows, n, x, op.x.row, weights + op.weights, 0, a, lda)
    elif op.kind == OP_PENALTY:
        k.penalty_rows(rows, n, x, op.x.row, op.parameters, <int>op.parameters[2], work + space.activity + begin)
    elif op.kind == OP_ADD:
        partner = plan.node[op.partner].op
        operation_rows(k, op, weights + op.weights, x, op.x.row, work + partner.x.offset + begin * partner.x.row, partner.x.row, a, lda,
                       rows, scratch)
    else:
        if op.kind == OP_BATCH_NORM and draw.keep and not draw.train:
            normal_outside(plan, op, weights, work, begin, rows, scratch)
        operation_rows(k, op, weights + op.weights, x, op.x.row, <real *>NULL, 0, a, lda, rows, scratch)


cdef void operation_rows(const fnn_kernels *k, const Op *op, const real *w, const real *x, Py_ssize_t ldx, const real *added,
                         Py_ssize_t ldd, real *out, Py_ssize_t ldo, Py_ssize_t rows, real *scratch) noexcept nogil:
    """out (OUT: rows x units) of x outside training; w: the operation's vectors; added: the input of its residual block, or NULL.

    In place is fine.
    """
    cdef Py_ssize_t n = op.units, j
    if op.kind == OP_ACTIVATION:
        if op.rowwise:
            rowwise_forward(k, op.activation, op.parameters, rows, n, x, ldx, out, ldo, scratch)
        else:
            k.activation_forward[op.activation](rows, n, x, ldx, out, ldo, op.parameters)
    elif op.kind == OP_AFFINE:
        for j in range(n):
            scratch[j] = <real>op.constants[j]
            scratch[n + j] = <real>op.constants[n + j]
        k.scale_columns(rows, n, x, ldx, scratch, scratch + n, out, ldo)
    elif op.kind == OP_PRELU:
        k.prelu_forward(rows, n, x, ldx, w, 0, out, ldo)
    elif op.kind == OP_OWN:
        own_forward(op, x, ldx, out, ldo, rows)
    elif op.kind == OP_BATCH_NORM:
        batch_outside(op, w, scratch)
        k.scale_columns(rows, n, x, ldx, scratch, scratch + n, out, ldo)
    elif op.kind == OP_LAYER_NORM:
        k.normalize_rows(rows, n, x, ldx, op.parameters[LAYER_NORM_EPSILON], <int>op.parameters[LAYER_NORM_CENTER], out, ldo, scratch)
        k.scale_columns(rows, n, out, ldo, w, w + op.stride, out, ldo)
    elif op.kind == OP_ADD:
        k.add_rows(rows, n, x, ldx, added, ldd, out, ldo)
    elif x != out:
        k.gather(rows, n, NULL, x, ldx, out, ldo)


cdef void by_chance(const fnn_kernels *k, const Op *op, const real *x, real *m, real *a, Py_ssize_t lda, Py_ssize_t rows,
                    const Draw *draw, real *scratch) noexcept nogil:
    # a, m (OUT): output, and its derivative
    cdef uint32_t *words = <uint32_t *>scratch
    cdef uint32_t[2] stream = [<uint32_t>draw.epoch, <uint32_t>op.stream]
    cdef Py_ssize_t n = op.units
    if op.kind == OP_DROP:
        k.drop(rows, n, x, op.x.row, m, op.m.row, a, lda, draw.key, draw.place, stream, op.parameters, words)
        return
    k.normals(rows, n, m, op.m.row, draw.key, draw.place, stream, op.parameters[0], op.parameters[1], words)
    if op.kind == OP_NOISE:
        k.add_rows(rows, n, x, op.x.row, m, op.m.row, a, lda)
    else:
        k.multiply_rows(rows, n, x, op.x.row, m, op.m.row, a, lda)


cdef void operation_backward(const Plan *plan, const Node *node, const Layer *below, const real *weights, real *work, Py_ssize_t begin,
                             Py_ssize_t rows, const Draw *draw, real *scratch) noexcept nogil:
    """Rows of the deltas (OUT) of the node below from this operation's, through the operation and the activation below."""
    cdef double[2] slopes
    cdef const fnn_kernels *k = plan.kernels
    cdef const Op *op = node.op
    cdef const Layer *added
    cdef const real *d = work + node.layer.d.offset + begin * node.layer.d.row
    cdef const real *x = work + op.x.offset + begin * op.x.row
    cdef const real *a = work + node.layer.a.offset + begin * node.layer.a.row
    cdef const real *m = work + op.m.offset + begin * op.m.row
    cdef const real *read = work + (below.z.offset if below.reads_input else below.a.offset) + begin * below.a.row
    cdef real *out = work + below.d.offset + begin * below.d.row
    cdef Py_ssize_t ldd = node.layer.d.row, ld = below.d.row, n = op.units, j
    if below.narrow:
        out = scratch + 2 * COLUMN_ALIGN * n
        ld = round_up(n, COLUMN_ALIGN)
    if draw.train and (op.kind == OP_DROP or op.kind == OP_SCALE):
        k.multiply_rows(rows, n, d, ldd, m, op.m.row, out, ld)
    elif op.kind == OP_PRELU:
        k.prelu_backward(rows, n, x, op.x.row, weights + op.weights, d, ldd, out, ld)
    elif op.kind == OP_LAYER_NORM:
        k.scale_columns(rows, n, d, ldd, weights + op.weights, NULL, out, ld)
        k.normalize_rows_backward(rows, n, m, op.m.row, work + op.inverse + begin, <int>op.parameters[LAYER_NORM_CENTER], out, ld, out, ld)
    elif op.kind == OP_BATCH_NORM and draw.train and not op.frozen:
        batch_backward(plan, node, work, begin, rows, out, ld)
    elif op.kind == OP_BATCH_NORM:
        batch_outside(op, weights + op.weights, scratch)
        k.scale_columns(rows, n, d, ldd, scratch, NULL, out, ld)
    elif op.kind == OP_PENALTY:
        slopes = [op.parameters[0] * draw.scale, op.parameters[1] * draw.scale]
        k.add_slopes(rows, n, x, op.x.row, slopes, d, ldd, out, ld)
    elif op.kind == OP_AFFINE:
        for j in range(n):
            scratch[j] = <real>op.constants[j]
        k.scale_columns(rows, n, d, ldd, scratch, NULL, out, ld)
    elif op.kind == OP_SPLIT:  # what came through the block, and what came past it
        added = plan.node[op.partner].layer
        k.add_rows(rows, n, d, ldd, work + added.d.offset + begin * added.d.row, added.d.row, out, ld)
    else:
        k.gather(rows, n, NULL, d, ldd, out, ld)
    if op.kind == OP_OWN:
        own_backward(op, x, op.x.row, a, node.layer.a.row, out, ld, rows)
    if op.kind == OP_ACTIVATION:
        if op.rowwise:
            rowwise_backward(k, op.activation, op.parameters, rows, n, x if op.reads_input else a,
                             op.x.row if op.reads_input else node.layer.a.row, out, ld, scratch)
        else:
            k.activation_backward[op.activation](rows, n, x if op.reads_input else a, op.x.row if op.reads_input else node.layer.a.row,
                                                 out, ld, op.parameters)
    if below.narrow:
        k.transpose(rows, n, out, ld, work + below.d.offset + begin, below.d.step)
        k.activation_backward[below.activation](n, rows, read, below.a.step, work + below.d.offset + begin, below.d.step,
                                                below.parameters)
    elif below.activation != FNN_ACTIVATION_linear:
        slope(k, below, read, out, ld, rows, FNN_STORE, scratch)


cdef void operation_gradient(const Plan *plan, const Tile *tile, const real *work, Py_ssize_t begin, Py_ssize_t rows, real *gradient,
                             bint add) noexcept nogil:
    """gradient (OUT or add: the tile's length, of whole vectors) of one vector of an operation's parameters over rows
    [begin, begin + rows) of the batch."""
    cdef const fnn_kernels *k = plan.kernels
    cdef const Op *op = &plan.op[tile.op]
    cdef const Layer *layer = plan.node[op.stream].layer
    cdef const real *d = work + layer.d.offset + begin * layer.d.row
    cdef const real *m = work + op.m.offset + begin * op.m.row
    if (op.kind == OP_LAYER_NORM or op.kind == OP_BATCH_NORM) and tile.panel == GAMMA:
        k.column_sums(rows, op.units, d, layer.d.row, m, op.m.row, gradient, add)
    elif op.kind == OP_LAYER_NORM or op.kind == OP_BATCH_NORM:
        k.column_sums(rows, op.units, d, layer.d.row, NULL, 0, gradient, add)
    elif op.kind == OP_PRELU:
        k.column_sums(rows, op.units, d, layer.d.row, m, op.m.row, gradient, add)
    if not add:  # behind the last unit the optimizer moves what is no parameter: anything but zero, and it may end as infinity
        memset(gradient + op.units, 0, (op.stride - op.units) * sizeof(real))


cdef void first_parameters(const Plan *plan, real *weights) noexcept nogil:
    """What vectors hold that nobody sets (OUT): scales and variances of one."""
    cdef Py_ssize_t i, j
    for i in range(plan.ops):
        for j in range(plan.op[i].units):
            if plan.op[i].kind == OP_LAYER_NORM or plan.op[i].kind == OP_BATCH_NORM:
                weights[plan.op[i].weights + j] = 1
            if plan.op[i].kind == OP_BATCH_NORM:
                weights[plan.op[i].weights + 3 * plan.op[i].stride + j] = 1
