"""The step of a tiny network: one thread, no gathering of rows, one flat run of parameters for the optimizer.

A network whose first layer is one or two vectors wide spends its time between the products, not in them. So the first layer reads
its rows where the data lies, and all gradients lie as the parameters do, so that one call of the optimizer does them all. With one
hidden layer and a narrow last one, the whole step is one call (``csrc/tiny.h``); otherwise the other layers run as elsewhere. All sums
are the same as elsewhere. NaN or infinity in x shows in the loss or the weights, and is looked for then; in y and in the weights of
rows, which could hide it, before the training starts.
"""
from libc.math cimport isfinite
from libc.stdint cimport int64_t
from libc.string cimport memset

from fastnn.kernels.csrc cimport (
    FNN_FEW_UNITS,
    FNN_HYPER_MAX,
    FNN_TINY_VECTORS,
    FNN_ACTIVATION_linear,
    FNN_ACTIVATION_relu,
    fnn_kernels,
    fnn_tiny,
)
from fastnn.kernels.dense cimport layer_backward, layer_forward, refresh_transposed
from fastnn.kernels.optimizers cimport Optimizer, coefficients
from fastnn.kernels.metrics cimport measure_rows
from fastnn.kernels.penalties cimport penalize_tile, penalty_of
from fastnn.kernels.plan cimport CONSTRAINT_NONE, SHARE_ROWS, SUM_LANES, SUM_ROWS, Layer, Objective, Plan, Source, Space, tree_sum
from fastnn.kernels.rows cimport gather_targets, output_pass
from fastnn.kernels.runtime cimport real
from fastnn.kernels.scores cimport finish_all
from fastnn.kernels.schedule cimport STATUS_DIVERGED, TINY_FUSED, TINY_LAYERS, TINY_NOT, Run, Step, TinyKind, add_values, draw_order
from fastnn.kernels.shares cimport batch_share, share_losses
from fastnn.kernels.tiles cimport step_run, tile_gradient

cdef enum:
    TINY_INPUTS = 64


cdef bint only_penalised(const Plan *plan, const Optimizer *optimizer) noexcept nogil:
    """Whether all variables are trained, and no more is asked than penalties of single weights."""
    cdef Py_ssize_t i
    if plan.sloped or plan.angles > 0 or plan.own_penalties or plan.normed or plan.own_constraints or plan.activity or optimizer.before:
        return False
    for i in range(plan.variables):
        if not plan.variable[i].trained or plan.variable[i].constraint != CONSTRAINT_NONE:
            return False
    return True


cdef bint is_tiny(const Plan *plan, const Objective *objective, const Optimizer *optimizer, Py_ssize_t batch) noexcept nogil:
    """Whether all parameters are stepped on alike, by a plain optimizer, after a batch of few rows and few columns."""
    cdef const Layer *first = &plan.layer[0]
    return (plan.reduced == NULL and (plan.plain or only_penalised(plan, optimizer)) and plan.ops == 0 and plan.layers > 1
            and not first.narrow and not first.rowwise and first.inputs <= TINY_INPUTS and batch <= SUM_ROWS
            and not optimizer.by_variable and not objective.apart)


cdef bint ends_tiny(const Plan *plan, const Objective *objective) noexcept nogil:
    """Whether one hidden layer and a last one of few units are all."""
    cdef const Layer *last = &plan.layer[plan.layers - 1]
    return (plan.layers == 2 and last.narrow and last.units <= FNN_FEW_UNITS and not last.reads_input
            and objective.share == SHARE_ROWS)


cdef TinyKind tiny_kind(const Plan *plan, const Space *space, const Objective *objective, const Optimizer *optimizer,
                        Py_ssize_t batch) noexcept nogil:
    """The path that such batches can take on one thread."""
    cdef const Layer *first = &plan.layer[0]
    # the first layer reads its rows where the data lies
    if not is_tiny(plan, objective, optimizer, batch) or first.panels > 1 or first.panel.vectors > FNN_TINY_VECTORS \
            or batch > space.strip:
        return TINY_NOT
    if ends_tiny(plan, objective) and plan.plain and objective.factor == 1.0 and objective.recorded == 1.0:
        return TINY_FUSED
    return TINY_LAYERS


cdef void describe(fnn_tiny *t, const Run *run) noexcept nogil:
    """t (OUT): what the kernels of ``csrc/tiny.h`` must know of the network and its workspace."""
    cdef const Plan *plan = run.plan
    cdef const fnn_kernels *k = plan.kernels
    cdef const Layer *first = &plan.layer[0]
    cdef char *work = <char *>run.work
    cdef Py_ssize_t item = <Py_ssize_t>k.itemsize
    memset(t, 0, sizeof(fnn_tiny))
    t.inputs = first.inputs
    t.units = first.units
    t.vectors = first.panel.vectors
    t.first = first.weights
    t.lda = first.a.row
    t.ldd = first.d.row
    t.relu = first.activation == FNN_ACTIVATION_relu
    t.first_bias = first.bias
    if not t.relu and (first.activation != FNN_ACTIVATION_linear):
        t.forward = k.activation_forward[first.activation]
        t.backward = k.activation_backward[first.activation]
        t.p = &first.parameters[0]
    t.a = work + first.a.offset * item
    t.d = work + first.d.offset * item
    t.kept = work + first.z.offset * item if first.reads_input else NULL
    t.gradients = work + run.space.partials * item
    if ends_tiny(plan, run.objective):
        describe_last(t, run, work, item)


cdef void describe_last(fnn_tiny *t, const Run *run, char *work, Py_ssize_t item) noexcept nogil:
    cdef const Space *space = run.space
    cdef const fnn_kernels *k = run.plan.kernels
    cdef const Layer *last = &run.plan.layer[1]
    t.outputs = last.units
    t.targets = run.objective.targets
    t.last = last.weights
    t.stride = last.stride
    t.parameters = run.plan.parameters
    t.ld = space.capacity
    t.last_bias = last.bias
    if not run.objective.fused and (last.activation != FNN_ACTIVATION_linear):
        t.last_forward = k.activation_forward[last.activation]
        t.last_backward = k.activation_backward[last.activation]
        t.last_p = &last.parameters[0]
    t.loss = k.loss[run.objective.loss.index]
    t.loss_p = &run.objective.loss.p[0]
    if run.optimizer.before:
        t.clip_and_decay = k.clip_and_decay
    t.optimizer = k.optimizer[run.optimizer.kind]
    t.z = work + last.z.offset * item
    t.y = work + space.y * item
    t.weight = work + space.weight * item
    t.delta = work + last.d.offset * item
    t.values = work + space.values * item


cdef inline double *loss_lanes(Run *run, double *sums) noexcept nogil:
    # where the fused step adds the losses: with metrics, `add_values` does that
    return sums if run.objective.metrics > 0 else run.state


cdef inline void add_metrics(Run *run, Py_ssize_t rows, real *work) noexcept nogil:
    # of the fused step just done, whose outputs, targets and weights lie where others leave them
    measure_rows(run.plan, run.space, run.objective, work, run.train.weight != NULL, 0, rows, 0)
    add_values(run, rows)


cdef void fused_batches(Run *run, const Step *step, real *parameters) noexcept nogil:
    """Consecutive batches of an epoch, each in one call."""
    cdef const fnn_kernels *k = run.plan.kernels
    cdef const Source *source = &run.train
    cdef Py_ssize_t done = 0, batch, n, start, at
    cdef double h[FNN_HYPER_MAX]
    cdef double sums[SUM_LANES]
    memset(h, 0, sizeof(h))
    for batch in range(step.batches):
        n = min(run.batch, step.rows - done)
        start = step.start + done
        at = 0 if source.order != NULL else start
        coefficients(&run.optimizer, run.iterations + 1 + batch, h)
        k.tiny_step(
            &run.tiny_network, n, source.order + start if source.order != NULL else NULL, <const real *>source.x + at * run.plan.inputs,
            <const real *>source.y + at * run.objective.targets, <const real *>source.weight + at if source.weight != NULL else NULL,
            parameters, 1.0 / <double>n, h, loss_lanes(run, sums))
        if run.objective.metrics > 0:
            add_metrics(run, n, <real *>run.work)
        done += n


cdef void fused_epochs(Run *run, Py_ssize_t epochs, real *parameters) noexcept nogil:
    """Whole epochs of one batch, with what the schedule otherwise does between two: an epoch of a few rows costs no more than that."""
    cdef const fnn_kernels *k = run.plan.kernels
    cdef double *log = run.logs + run.epoch * run.log_columns
    cdef double h[FNN_HYPER_MAX]
    cdef double sums[SUM_LANES]
    cdef double scale = 1.0 / <double>run.batch
    cdef Py_ssize_t last = run.epoch + epochs, i
    memset(h, 0, sizeof(h))
    while run.epoch < last:
        if run.order != NULL:
            draw_order(run)
        for i in range(run.objective.state):
            run.state[i] = 0.0
        run.iterations += 1
        coefficients(&run.optimizer, run.iterations, h)
        k.tiny_step(&run.tiny_network, run.batch, run.train.order, run.train.x, run.train.y, run.train.weight, parameters, scale, h,
                    loss_lanes(run, sums))
        if run.objective.metrics == 0:
            log[0] = tree_sum(run.state) / <double>run.batch  # what finish_all does for the loss alone
        else:
            add_metrics(run, run.batch, <real *>run.work)
            finish_all(run.objective, run.state, run.batch, log)
        run.lifetime += 1
        run.epoch += 1
        run.work_done += 3 * run.batch
        if not isfinite(log[0]):
            run.status = STATUS_DIVERGED
            return
        log += run.log_columns


cdef int layers_batches(Run *run, const Step *step, real *parameters) noexcept nogil:
    """The same for networks of more layers, or a wider last one."""
    cdef Py_ssize_t done = 0, batch, n
    cdef double h[FNN_HYPER_MAX]
    cdef double share, penalty
    cdef int bad = 0
    memset(h, 0, sizeof(h))
    for batch in range(step.batches):
        n = min(run.batch, step.rows - done)
        coefficients(&run.optimizer, run.iterations + 1 + batch, h)
        share = batch_share(run.objective, &run.train, step.start + done, n, sizeof(real))
        penalty = share if run.objective.shared_penalties else 1.0
        bad |= layers_step(run, parameters, step.start + done, n, share * run.objective.factor, penalty, h)
        share_losses(run.plan, run.space, run.objective, &run.train, run.work, step.start + done, n, 0)
        add_values(run, n)
        if run.plan.penalised:
            run.state[0] += penalty_of(run.plan, run.space, run.work, penalty) * <double>n
        done += n
    return bad


cdef int layers_step(Run *run, real *parameters, Py_ssize_t start, Py_ssize_t rows, double scale, double penalty,
                     const double *coefficient) noexcept nogil:
    # leaves the row values; returns what was not finite, as `rows_pass`: 2 y, 4 weight
    cdef const Plan *plan = run.plan
    cdef const Space *space = run.space
    cdef const fnn_kernels *k = plan.kernels
    cdef const Source *source = &run.train
    cdef real *work = <real *>run.work
    cdef real *transposed = work + space.transposed
    cdef real *scratch = work + space.scratch
    cdef real *gradients = work + space.partials
    cdef const int64_t *order = source.order + start if source.order != NULL else NULL
    cdef const real *x = <const real *>source.x + (0 if source.order != NULL else start * plan.inputs)
    cdef real h[FNN_HYPER_MAX]
    cdef Py_ssize_t i, t = 0
    cdef int bad = gather_targets(space, run.objective, work, source, start, 0, rows, k)
    k.input_forward(&run.tiny_network, rows, order, x, parameters)
    for i in range(1, plan.layers):
        layer_forward(k, &plan.layer[i], parameters, work, 0, rows, scratch)
    output_pass(plan, space, run.objective, work, source.weight != NULL, 0, rows, 0, scale, True)
    for i in range(plan.layers - 1, 0, -1):
        layer_backward(k, &plan.layer[i], &plan.layer[i - 1], parameters, transposed, work, 0, rows, scratch)
    for t in range(plan.tiles):
        if plan.tile[t].layer > 0:
            tile_gradient(plan, &plan.tile[t], work, 0, rows, gradients + plan.tile[t].place, plan.tile[t].stride, False)
    k.input_gradient(&run.tiny_network, rows, order, x)
    for t in range(plan.tiles if plan.penalised else 0):
        if plan.tile[t].penalised:
            penalize_tile(plan, space, &plan.tile[t], work, parameters, gradients + plan.tile[t].place, plan.tile[t].stride, penalty)
    for i in range(FNN_HYPER_MAX):
        h[i] = <real>coefficient[i]
    step_run(plan, &run.optimizer, plan.parameters, gradients, parameters, 0, h)
    for i in range(1, plan.layers):
        if plan.layer[i].transposed >= 0:
            for t in range(plan.layer[i].panels):
                refresh_transposed(k, &plan.layer[i], parameters, transposed, t, 0, plan.layer[i].inputs)
    return bad
