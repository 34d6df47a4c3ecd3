"""The rows phase: a strip of rows through all layers, forward, loss and backward, while it sits in the cache.

Rows do not depend on one another, so nothing here knows of threads: a caller hands each thread rows of its own.
"""
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from fastnn.kernels.csrc cimport FNN_ACTIVATION_linear, fnn_kernels
from fastnn.kernels.dense cimport layer_backward, layer_forward
from fastnn.kernels.metrics cimport measure_rows
from fastnn.kernels.operations cimport Draw, operation_backward, operation_forward
from fastnn.kernels.own cimport has_failed
from fastnn.kernels.plan cimport (
    ENDING_APART,
    ENDING_LOSS,
    ENDING_OUTPUT,
    ENDING_UPSTREAM,
    Layer,
    Matrix,
    Node,
    Objective,
    Output,
    Plan,
    Source,
    Space,
    Stretch,
)
from fastnn.kernels.reduced cimport reduced_backward, reduced_deltas, reduced_forward, reduced_gather, reduced_input
from fastnn.kernels.runtime cimport real


cdef int rows_pass(const Plan *plan, const Space *space, const Objective *objective, real *work, const real *weights,
                   const real *transposed, const Source *source, Py_ssize_t start, Py_ssize_t begin, Py_ssize_t rows,
                   Py_ssize_t value_at, double scale, double penalty, bint train, const Stretch *stretch, int thread) noexcept nogil:
    """`rows` rows of the source from place `start` of the epoch on, through workspace rows from `begin` on.

    The loss leaves the row values (loss, metrics) at `value_at`; scale, penalty: what deltas of the loss, and of penalties of outputs, are
    multiplied by; `train`: deltas are wanted. Returns what was not finite: 1 x, 2 y,
    4 weight, 8 upstream; 16: a function of the user's own has raised something.
    """
    cdef real *scratch = work + space.scratch + thread * space.scratch_size
    cdef Py_ssize_t done = 0, n, i
    cdef int bad = 0
    cdef Draw draw
    draw.train = train and not source.still
    draw.keep = train
    draw.scale = penalty
    draw.key = source.key
    draw.epoch = source.epoch
    while done < rows:
        n = min(space.strip, rows - done)
        draw.place = source.shift + start + done
        if stretch.first == 0:
            bad |= gather_rows(plan, space, objective, work, source, start + done, begin + done, n, draw.train)
        for i in range(stretch.first, stretch.last):
            node_forward(plan, space, i, weights, work, begin + done, n, &draw, scratch)
        if stretch.ending & ENDING_LOSS:
            output_pass(plan, space, objective, work, source.weight != NULL, begin + done, n, value_at + done, scale, train)
        if stretch.ending & ENDING_OUTPUT:
            hand_output(plan, space, work, source, start + done, begin + done, n)
        if stretch.ending & ENDING_UPSTREAM:
            bad |= take_upstream(plan, space, work, source, start + done, begin + done, n)
        if stretch.ending & ENDING_APART:
            first_deltas(plan, space, work, False, begin + done, n)
        if train:
            for i in range(stretch.back, stretch.until - 1, -1):
                node_backward(plan, i, weights, transposed, work, begin + done, n, &draw, scratch)
            if stretch.until == 0 and source.slopes != NULL:
                hand_slopes(plan, work, source, start + done, begin + done, n)
        done += n
    if plan.owns > 0:
        for i in range(plan.ops):
            if plan.op[i].failed != NULL and has_failed(plan.op[i].failed):
                bad |= 16
    return bad


cdef inline bint reduced(const Plan *plan, const Node *node, bint train) noexcept nogil:
    # whether a node is a dense layer whose products are in bfloat16
    return train and plan.reduced != NULL and node.op == NULL and plan.reduced[node.index].on


cdef inline const Layer *layer_below(const Plan *plan, Py_ssize_t i) noexcept nogil:
    # where the deltas go that come out of node i
    if i > 0:
        return plan.node[i - 1].layer
    return &plan.entry


cdef inline void node_forward(const Plan *plan, const Space *space, Py_ssize_t i, const real *weights, real *work, Py_ssize_t begin,
                              Py_ssize_t rows, const Draw *draw, real *scratch) noexcept nogil:
    """Rows of what node i gives, from what the one before it gave."""
    cdef const Node *node = &plan.node[i]
    cdef const Matrix *into
    if node.op != NULL:
        operation_forward(plan, space, node, weights, work, begin, rows, draw, scratch)
        return
    if real is float:
        if reduced(plan, node, draw.train):
            if i > 0:
                reduced_input(plan, node.index, work, begin, rows)
            reduced_forward(plan, node.index, weights, work, begin, rows, scratch)
            return
    layer_forward(plan.kernels, node.layer, weights, work, begin, rows, scratch)
    if i + 1 < plan.nodes and plan.node[i + 1].op != NULL and plan.node[i + 1].op.copied:
        into = &plan.node[i + 1].op.x
        plan.kernels.transpose(node.layer.units, rows, work + node.layer.a.offset + begin, node.layer.a.step,
                               work + into.offset + begin * into.row, into.row)


cdef inline void node_backward(const Plan *plan, Py_ssize_t i, const real *weights, const real *transposed, real *work, Py_ssize_t begin,
                               Py_ssize_t rows, const Draw *draw, real *scratch) noexcept nogil:
    """Rows of the deltas below node i, from its own."""
    cdef const Node *node = &plan.node[i]
    if i < plan.lowest:
        return
    if real is float:
        if reduced(plan, node, draw.train):
            reduced_deltas(plan, node.index, work, begin, rows)
            if i > plan.lowest:
                reduced_backward(plan, node.index, layer_below(plan, i), work, begin, rows, scratch)
            return
    if i == plan.lowest:
        return
    if node.op != NULL:
        operation_backward(plan, node, layer_below(plan, i), weights, work, begin, rows, draw, scratch)
    else:
        layer_backward(plan.kernels, node.layer, layer_below(plan, i), weights, transposed, work, begin, rows, scratch)


cdef inline int gather_rows(const Plan *plan, const Space *space, const Objective *objective, real *work, const Source *source,
                            Py_ssize_t start, Py_ssize_t begin, Py_ssize_t n, bint train) noexcept nogil:
    """The rows of a strip; of a pass without a loss of ours, without targets."""
    cdef const fnn_kernels *k = plan.kernels
    cdef const int64_t *order = source.order + start if source.order != NULL else NULL
    cdef Py_ssize_t offset = 0 if source.order != NULL else start
    cdef int bad
    if real is float:
        if reduced(plan, &plan.node[0], train):
            bad = reduced_gather(plan, work, source, start, begin, n)
            return bad | gather_targets(space, objective, work, source, start, begin, n, k)
    bad = k.gather(n, plan.inputs, order, <const real *>source.x + offset * plan.inputs, plan.inputs,
                   work + plan.x.offset + begin * plan.x.row, plan.x.row)
    return bad | gather_targets(space, objective, work, source, start, begin, n, k)


cdef int gather_targets(const Space *space, const Objective *objective, real *work, const Source *source, Py_ssize_t start,
                        Py_ssize_t begin, Py_ssize_t n, const fnn_kernels *k) noexcept nogil:
    """Targets and weights of rows from place `start` of the epoch on, as columns; returns what was not finite: 2 y, 4 weight."""
    cdef const int64_t *order = source.order + start if source.order != NULL else NULL
    cdef Py_ssize_t offset = 0 if source.order != NULL else start
    cdef int bad
    if source.y == NULL:
        return 0
    bad = 2 * k.gather_columns(n, objective.targets, order, <const real *>source.y + offset * objective.targets,
                               objective.targets, work + space.y + begin, space.capacity)
    if source.weight != NULL:
        bad |= 4 * k.gather_columns(n, 1, order, <const real *>source.weight + offset, 1, work + space.weight + begin, space.capacity)
    return bad


cdef void output_pass(const Plan *plan, const Space *space, const Objective *objective, real *work, bint weighted,
                      Py_ssize_t begin, Py_ssize_t n, Py_ssize_t value_at, double scale, bint train) noexcept nogil:
    """The last activation, loss, metrics and first delta of rows [begin, begin + n), all on columns."""
    cdef const fnn_kernels *k = plan.kernels
    cdef const Output *last = &plan.output
    cdef real *out = work + last.a.offset + begin
    cdef real *y = work + space.y + begin
    cdef real *value = work + space.values + value_at
    # a narrow layer's deltas are columns for good; others are turned into rows below
    cdef real *delta = work + (last.d.offset if last.columns else space.delta) + begin
    cdef Py_ssize_t ld = space.capacity
    last_activation(plan, space, work, objective.fused, begin, n)
    if objective.apart:
        memset(value, 0, n * sizeof(real))  # until the loss is known
    else:
        k.loss[objective.loss.index](n, last.units, out, ld, y, ld, work + space.weight + begin if weighted else NULL, scale,
                                     delta if train else NULL, ld, value, objective.loss.p)
    if plan.activity:
        # by the place among the batch's rows; `share_losses` adds them
        memcpy(work + space.activity + space.capacity + value_at, work + space.activity + begin, n * sizeof(real))
    if objective.metrics > 0:
        measure_rows(plan, space, objective, work, weighted, begin, n, value_at)
    if train and not objective.apart:
        first_deltas(plan, space, work, objective.fused, begin, n)


cdef void last_activation(const Plan *plan, const Space *space, real *work, bint fused, Py_ssize_t begin, Py_ssize_t n) noexcept nogil:
    """Columns of the output of rows [begin, begin + n); fused: of what comes before its activation."""
    cdef const fnn_kernels *k = plan.kernels
    cdef const Output *last = &plan.output
    cdef const Node *node = &plan.node[plan.nodes - 1]
    cdef real *z = work + last.z.offset + begin
    if node.op != NULL:
        k.transpose(n, last.units, work + node.layer.a.offset + begin * node.layer.a.row, node.layer.a.row, z, space.capacity)
    if not fused and (last.activation != FNN_ACTIVATION_linear):
        k.activation_forward[last.activation](last.units, n, z, space.capacity, work + last.a.offset + begin, space.capacity,
                                              last.parameters)


cdef void hand_output(const Plan *plan, const Space *space, real *work, const Source *source, Py_ssize_t start, Py_ssize_t begin,
                      Py_ssize_t n) noexcept nogil:
    """The output of rows [begin, begin + n), which begin at place `start` of the source."""
    last_activation(plan, space, work, False, begin, n)
    if source.output != NULL:
        plan.kernels.transpose(plan.outputs, n, work + plan.output.a.offset + begin, space.capacity,
                               <real *>source.output + start * plan.outputs, plan.outputs)


cdef int take_upstream(const Plan *plan, const Space *space, real *work, const Source *source, Py_ssize_t start, Py_ssize_t begin,
                       Py_ssize_t n) noexcept nogil:
    """The first deltas of the same rows from gradients with respect to the output; returns 8 if anything was not finite."""
    cdef real *delta = work + (plan.output.d.offset if plan.output.columns else space.delta) + begin
    cdef int bad = 8 * plan.kernels.gather_columns(n, plan.outputs, NULL, <const real *>source.upstream + start * plan.outputs,
                                                   plan.outputs, delta, space.capacity)
    first_deltas(plan, space, work, False, begin, n)
    return bad


cdef void hand_slopes(const Plan *plan, const real *work, const Source *source, Py_ssize_t start, Py_ssize_t begin,
                      Py_ssize_t n) noexcept nogil:
    """The gradients with respect to the same rows."""
    cdef const Matrix *d = &plan.entry.d
    plan.kernels.gather(n, plan.inputs, NULL, work + d.offset + begin * d.row, d.row, <real *>source.slopes + start * plan.inputs,
                        plan.inputs)


cdef void first_deltas(const Plan *plan, const Space *space, real *work, bint fused, Py_ssize_t begin, Py_ssize_t n) noexcept nogil:
    """The last node's deltas of rows [begin, begin + n), from the columns of the gradient with respect to the output; fused: to what
    comes before its activation."""
    cdef const fnn_kernels *k = plan.kernels
    cdef const Output *last = &plan.output
    cdef real *delta = work + (last.d.offset if last.columns else space.delta) + begin
    cdef Py_ssize_t ld = space.capacity
    if not fused and (last.activation != FNN_ACTIVATION_linear):
        k.activation_backward[last.activation](last.units, n, work + (last.z.offset if last.reads_input else last.a.offset) + begin, ld,
                                               delta, ld, last.parameters)
    if not last.columns:
        k.transpose(last.units, n, delta, ld, work + last.d.offset + begin * last.d.row, last.d.row)
