"""The rows phase: a strip of rows through all layers, forward, loss and backward, while it sits in the cache.

Rows do not depend on one another, so nothing here knows of threads: a caller hands each thread rows of its own.
"""
from libc.stdint cimport int64_t

from fastnn.kernels.csrc cimport FNN_ACTIVATION_linear, fnn_kernels
from fastnn.kernels.dense cimport layer_backward, layer_forward
from fastnn.kernels.plan cimport Layer, Objective, Plan, Source, Space
from fastnn.kernels.reduced cimport reduced_backward, reduced_deltas, reduced_forward, reduced_gather, reduced_input
from fastnn.kernels.runtime cimport real


cdef int rows_pass(const Plan *plan, const Space *space, const Objective *objective, real *work, const real *weights,
                   const real *transposed, const Source *source, Py_ssize_t start, Py_ssize_t begin, Py_ssize_t rows,
                   Py_ssize_t value_at, double scale, bint train, int thread) noexcept nogil:
    """`rows` rows of the source from place `start` of the epoch on, through workspace rows from `begin` on.

    Leaves the row values (loss, metrics) at `value_at` and, if `train`, the deltas of all layers. Returns what was not finite:
    1 x, 2 y, 4 weight.
    """
    cdef const fnn_kernels *k = plan.kernels
    cdef real *scratch = work + space.scratch + thread * space.scratch_size
    cdef Py_ssize_t done = 0, n, i
    cdef int bad = 0
    if real is float:
        if train and plan.reduced != NULL:
            return reduced_pass(plan, space, objective, work, weights, transposed, source, start, begin, rows, value_at, scale, thread)
    while done < rows:
        n = min(space.strip, rows - done)
        bad |= gather_rows(plan, space, objective, work, source, start + done, begin + done, n)
        for i in range(plan.layers):
            layer_forward(k, &plan.layer[i], weights, work, begin + done, n, scratch)
        output_pass(plan, space, objective, work, source.weight != NULL, begin + done, n, value_at + done, scale, train)
        if train:
            for i in range(plan.layers - 1, 0, -1):
                layer_backward(k, &plan.layer[i], &plan.layer[i - 1], weights, transposed, work, begin + done, n, scratch)
        done += n
    return bad


cdef int reduced_pass(const Plan *plan, const Space *space, const Objective *objective, float *work, const float *weights,
                      const float *transposed, const Source *source, Py_ssize_t start, Py_ssize_t begin, Py_ssize_t rows,
                      Py_ssize_t value_at, double scale, int thread) noexcept nogil:
    """The same in a training in bfloat16: layers whose products are reduced, and the others, each by its own routine."""
    cdef const fnn_kernels *k = plan.kernels
    cdef float *scratch = work + space.scratch + thread * space.scratch_size
    cdef Py_ssize_t done = 0, n, i
    cdef int bad = 0
    while done < rows:
        n = min(space.strip, rows - done)
        if plan.reduced[0].on:
            bad |= reduced_gather(plan, work, source, start + done, begin + done, n)
            bad |= gather_targets(space, objective, work, source, start + done, begin + done, n, k)
        else:
            bad |= gather_rows(plan, space, objective, work, source, start + done, begin + done, n)
        for i in range(plan.layers):
            if plan.reduced[i].on:
                if i > 0:
                    reduced_input(plan, i, work, begin + done, n)
                reduced_forward(plan, i, weights, work, begin + done, n, scratch)
            else:
                layer_forward(k, &plan.layer[i], weights, work, begin + done, n, scratch)
        output_pass(plan, space, objective, work, source.weight != NULL, begin + done, n, value_at + done, scale, True)
        for i in range(plan.layers - 1, -1, -1):
            if plan.reduced[i].on:
                reduced_deltas(plan, i, work, begin + done, n)
                if i > 0:
                    reduced_backward(plan, i, work, begin + done, n, scratch)
            elif i > 0:
                layer_backward(k, &plan.layer[i], &plan.layer[i - 1], weights, transposed, work, begin + done, n, scratch)
        done += n
    return bad


cdef inline int gather_rows(const Plan *plan, const Space *space, const Objective *objective, real *work, const Source *source,
                            Py_ssize_t start, Py_ssize_t begin, Py_ssize_t n) noexcept nogil:
    cdef const fnn_kernels *k = plan.kernels
    cdef const int64_t *order = source.order + start if source.order != NULL else NULL
    cdef Py_ssize_t offset = 0 if source.order != NULL else start
    cdef const Layer *first = &plan.layer[0]
    cdef int bad = k.gather(n, plan.inputs, order, <const real *>source.x + offset * plan.inputs, plan.inputs,
                            work + first.x.offset + begin * first.x.row, first.x.row)
    return bad | gather_targets(space, objective, work, source, start, begin, n, k)


cdef int gather_targets(const Space *space, const Objective *objective, real *work, const Source *source, Py_ssize_t start,
                        Py_ssize_t begin, Py_ssize_t n, const fnn_kernels *k) noexcept nogil:
    """Targets and weights of rows from place `start` of the epoch on, as columns; returns what was not finite: 2 y, 4 weight."""
    cdef const int64_t *order = source.order + start if source.order != NULL else NULL
    cdef Py_ssize_t offset = 0 if source.order != NULL else start
    cdef int bad = 2 * k.gather_columns(n, objective.targets, order, <const real *>source.y + offset * objective.targets,
                                        objective.targets, work + space.y + begin, space.capacity)
    if source.weight != NULL:
        bad |= 4 * k.gather_columns(n, 1, order, <const real *>source.weight + offset, 1, work + space.weight + begin, space.capacity)
    return bad


cdef void output_pass(const Plan *plan, const Space *space, const Objective *objective, real *work, bint weighted,
                      Py_ssize_t begin, Py_ssize_t n, Py_ssize_t value_at, double scale, bint train) noexcept nogil:
    """The last activation, loss, metrics and first delta of rows [begin, begin + n), all on columns."""
    cdef const fnn_kernels *k = plan.kernels
    cdef const Layer *last = &plan.layer[plan.layers - 1]
    cdef real *z = work + last.z.offset + begin
    cdef real *out = work + last.a.offset + begin
    cdef real *y = work + space.y + begin
    cdef real *value = work + space.values + value_at
    # a narrow layer's deltas are columns for good; a wide one's are turned into rows below
    cdef real *delta = work + (last.d.offset if last.narrow else space.delta) + begin
    cdef Py_ssize_t ld = space.capacity
    cdef int i
    if not objective.fused and (last.activation != FNN_ACTIVATION_linear):
        k.activation_forward[last.activation](last.units, n, z, ld, out, ld)
    k.loss[objective.loss](n, last.units, out, ld, y, ld, work + space.weight + begin if weighted else NULL, scale,
                           delta if train else NULL, ld, value)
    for i in range(1, objective.columns):
        if objective.metric_is_loss[i]:
            k.loss[objective.metric[i]](n, last.units, out, ld, y, ld, NULL, 1.0, NULL, ld, value + i * space.value_rows)
        else:
            k.metric[objective.metric[i]](n, last.units, out, ld, y, ld, value + i * space.value_rows)
    if not train:
        return
    if not objective.fused and (last.activation != FNN_ACTIVATION_linear):
        k.activation_backward[last.activation](last.units, n, z if last.reads_input else out, ld, delta, ld)
    if not last.narrow:
        k.transpose(last.units, n, delta, ld, work + last.d.offset + begin * last.d.row, last.d.row)
