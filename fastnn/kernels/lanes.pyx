"""Tiny networks that share vectors: as many models as a vector has lanes take their steps together (``csrc/lanes.h``).

A tiny network's step is a chain of latencies, and of a narrow layer some lanes are empty; with a model in each lane neither is so. Models
share where they are of one shape, with one optimizer, and about to begin the same kind of epoch; they may differ in weights, data and
the order of rows. Parameters are brought into lanes when a slice begins, and back at its end. Every bit is the one of a model alone.
"""
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcmp, memset

from fastnn.kernels.csrc cimport FNN_HYPER_MAX, FNN_LANES_MAX, FNN_SLOTS_MAX, fnn_kernels, fnn_lanes, fnn_tiny
from fastnn.kernels.optimizers cimport Optimizer, coefficients
from fastnn.kernels.plan cimport TILE_BLOCK, Layer, Panel, Plan, Variable, round_up, tree_sum
from fastnn.kernels.runtime cimport clock, float_flush, float_restore
from fastnn.kernels.scores cimport finish_all
from fastnn.kernels.schedule cimport STATUS_RUNNING, Run, draw_order, end_epoch
from fastnn.kernels.tiny cimport describe, ends_tiny, is_tiny

cdef enum:
    MOST_UNITS = 8             # of the hidden layer, for which sharing is faster
    MOST_WORK = 1 << 22        # products of an epoch, between whose steps nobody looks at the clock


cdef inline Py_ssize_t numbers(const Plan *plan) noexcept nogil:
    # parameters of a model, without what packing adds
    return (plan.inputs + 1) * plan.layer[0].units + plan.outputs * (plan.layer[0].units + 1)


cdef const Variable *kernel_of(const Plan *plan, Py_ssize_t layer) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(plan.variables):
        if plan.variable[i].layer == layer and plan.variable[i].vector == 0:
            return &plan.variable[i]
    return NULL


cdef bint kernels_penalised(const Plan *plan) noexcept nogil:
    # whether penalties are those of kernels, of few enough inputs for one sum a column
    cdef Py_ssize_t i
    for i in range(plan.variables):
        if plan.variable[i].vector != 0 and (plan.variable[i].penalty[0] != 0 or plan.variable[i].penalty[1] != 0):
            return False
    return plan.inputs <= TILE_BLOCK


cdef bint same_kernels(const Plan *a, const Plan *b) noexcept nogil:
    cdef Py_ssize_t i
    if a.plain != b.plain:
        return False
    for i in range(2 if a.penalised or b.penalised else 0):
        if memcmp(kernel_of(a, i).penalty, kernel_of(b, i).penalty, sizeof(kernel_of(a, i).penalty)) != 0:
            return False
    return True


cdef bint may_share(const Run *run) noexcept nogil:
    """Whether a training, at the beginning of a call, can be a lane, and gains by it."""
    cdef const Plan *plan = run.plan
    return (is_tiny(plan, run.objective, &run.optimizer, run.batch) and ends_tiny(plan, run.objective)
            and (plan.plain or kernels_penalised(plan)) and plan.layer[0].units <= MOST_UNITS
            and not (plan.layer[1].rowwise and not run.objective.fused)
            and run.objective.metrics == 0 and run.log_columns == run.objective.results and not run.stopping.restore
            and not run.stream and run.epoch_steps == 0 and run.position == 0 and not run.begun and not run.optimizer.scheduled
            and run.status == STATUS_RUNNING and run.epoch < run.epochs_wanted
            and run.train.rows * numbers(plan) <= <Py_ssize_t>MOST_WORK)


cdef bint same_layer(const Layer *a, const Layer *b) noexcept nogil:
    return (a.inputs == b.inputs and a.units == b.units and a.activation == b.activation and a.bias == b.bias
            and memcmp(a.parameters, b.parameters, sizeof(a.parameters)) == 0)


cdef bint same_optimizer(const Optimizer *a, const Optimizer *b) noexcept nogil:
    return (a.kind == b.kind and a.before == b.before and a.weight_decay == b.weight_decay and a.clipvalue == b.clipvalue
            and memcmp(a.hyper, b.hyper, sizeof(a.hyper)) == 0)


cdef bint alike(const Run *a, const Run *b) noexcept nogil:
    """Whether two that may share can share with each other."""
    return (a.plan.kernels == b.plan.kernels and a.batch == b.batch and a.train.rows == b.train.rows and a.iterations == b.iterations
            and (a.train.weight == NULL) == (b.train.weight == NULL) and (a.order == NULL) == (b.order == NULL)
            and same_layer(&a.plan.layer[0], &b.plan.layer[0]) and same_layer(&a.plan.layer[1], &b.plan.layer[1])
            and a.objective.loss.index == b.objective.loss.index and a.objective.fused == b.objective.fused
            and memcmp(a.objective.loss.p, b.objective.loss.p, sizeof(a.objective.loss.p)) == 0
            and a.objective.factor == b.objective.factor and a.objective.recorded == b.objective.recorded
            and a.objective.shared_penalties == b.objective.shared_penalties and same_kernels(a.plan, b.plan)
            and same_optimizer(&a.optimizer, &b.optimizer))


# ---- the memory of a slice ----

cdef char *place(char **at, Py_ssize_t elements, Py_ssize_t item) noexcept nogil:
    # the next block (without memory: only its size is counted)
    cdef char *found = at[0]
    at[0] += round_up(elements * item, 64)
    return found


cdef char *lay_out(const Run *run, fnn_lanes *g, char *base) noexcept nogil:
    """g (OUT): blocks from `base` on, and behind them the parameters, which are returned."""
    cdef const Plan *plan = run.plan
    cdef Py_ssize_t lanes = <Py_ssize_t>plan.kernels.lanes, item = <Py_ssize_t>plan.kernels.itemsize
    cdef Py_ssize_t hidden = run.batch * plan.layer[0].units * lanes, ld = round_up(run.batch * lanes, 16)
    cdef char *at = base
    memset(g, 0, sizeof(fnn_lanes))
    g.ld = ld
    g.x = place(&at, run.batch * plan.inputs * lanes, item)
    g.a = place(&at, hidden, item)
    g.d = place(&at, hidden, item)
    g.kept = place(&at, hidden, item)
    g.z = place(&at, ld * plan.outputs, item)
    g.y = place(&at, ld * run.objective.targets, item)
    g.weight = place(&at, ld, item)
    g.delta = place(&at, ld * plan.outputs, item)
    g.values = place(&at, ld, item)
    g.gradients = place(&at, numbers(plan) * lanes, item)
    return at


cdef Py_ssize_t lanes_size(const Run *run) noexcept nogil:
    """Bytes that `run_lanes` works in."""
    cdef fnn_lanes g
    cdef Py_ssize_t lanes = <Py_ssize_t>run.plan.kernels.lanes, item = <Py_ssize_t>run.plan.kernels.itemsize
    return (lay_out(run, &g, NULL) - <char *>NULL) + (1 + FNN_SLOTS_MAX) * numbers(run.plan) * lanes * item


# ---- parameters in lanes ----

cdef inline void move_one(const char *source, char *target, Py_ssize_t item) noexcept nogil:
    if item == 4:
        (<float *>target)[0] = (<const float *>source)[0]
    else:
        (<double *>target)[0] = (<const double *>source)[0]


cdef void move(Run *run, char *w, Py_ssize_t lane, bint back) noexcept nogil:
    # one model's parameters and slots between its packed buffer and its lane
    cdef const Plan *plan = run.plan
    cdef const Layer *first = &plan.layer[0]
    cdef const Layer *last = &plan.layer[1]
    cdef Py_ssize_t lanes = <Py_ssize_t>plan.kernels.lanes, item = <Py_ssize_t>plan.kernels.itemsize, k, u, p, at, _slot
    cdef const Panel *panel
    cdef char *packed = <char *>run.parameters
    cdef char *to = w + lane * item
    cdef Py_ssize_t step = lanes * item
    for _slot in range(1 + run.optimizer.slots):
        for k in range(first.inputs + 1):
            for p in range(first.panels):
                panel = &first.panel[p]
                at = first.weights + (first.inputs + 1) * panel.start + k * panel.width
                for u in range(panel.columns):
                    exchange(packed + (at + u) * item, to, item, back)
                    to += step
        for k in range(last.units):
            for u in range(first.units + 1):
                exchange(packed + (last.weights + k * last.stride + u) * item, to, item, back)
                to += step
        packed += plan.parameters * item


cdef inline void exchange(char *packed, char *lane, Py_ssize_t item, bint back) noexcept nogil:
    if back:
        move_one(lane, packed, item)
    else:
        move_one(packed, lane, item)


# ---- the epochs ----

cdef void run_lanes(Lanes *lanes, void *work, double deadline) noexcept nogil:
    """Whole epochs of all until one of them is at an end, or time is; work: as `lanes_size` says, aligned. One thread's."""
    cdef Run *run = lanes.run[0]
    cdef Run *one
    cdef const fnn_kernels *kernels = run.plan.kernels
    cdef Py_ssize_t all = <Py_ssize_t>kernels.lanes, m
    cdef fnn_lanes g
    cdef fnn_tiny t
    cdef uint64_t state = float_flush()
    cdef char *w = lay_out(run, &g, <char *>work)
    cdef double spare[16]
    cdef double *sums[FNN_LANES_MAX]
    cdef bint over = False
    describe(&t, run)
    for m in range(all):  # a lane without a model of its own does what the first one's does
        move(lanes.run[m if m < lanes.count else 0], w, m, False)
        sums[m] = lanes.run[m].state if m < lanes.count else &spare[0]
    memset(&spare[0], 0, sizeof(spare))
    while not over:
        for m in range(lanes.count):
            one = lanes.run[m]
            memset(one.state, 0, one.objective.state * sizeof(double))
            if one.order != NULL:
                draw_order(one)
        epoch_of_all(lanes, &g, &t, w, sums)
        for m in range(lanes.count):
            one = lanes.run[m]
            finish_all(one.objective, one.state, one.train.rows, one.training_results)
            one.resume = 0
            end_epoch(one)
            over |= one.status != STATUS_RUNNING or one.epoch >= one.epochs_wanted or one.iterations >= one.iterations_wanted
        over |= clock() >= deadline
    for m in range(lanes.count):
        lanes.run[m].team = 1
        lanes.run[m].pending = False
        move(lanes.run[m], w, m, True)
    float_restore(state)


cdef void epoch_of_all(Lanes *lanes, fnn_lanes *g, fnn_tiny *t, char *w, double **sums) noexcept nogil:
    cdef Run *run = lanes.run[0]
    cdef Run *one
    cdef const fnn_kernels *kernels = run.plan.kernels
    cdef Py_ssize_t all = <Py_ssize_t>kernels.lanes, item = <Py_ssize_t>kernels.itemsize, rows = run.train.rows, start = 0, n, m, at
    cdef const int64_t *index[FNN_LANES_MAX]
    cdef const void *x[FNN_LANES_MAX]
    cdef const void *y[FNN_LANES_MAX]
    cdef const void *weight[FNN_LANES_MAX]
    cdef double h[FNN_HYPER_MAX]
    cdef double[FNN_LANES_MAX][16] penalties
    cdef double share
    cdef int64_t steps = 0
    memset(h, 0, sizeof(h))
    g.penalised = run.plan.penalised
    for m in range(2 if g.penalised else 0):
        g.penalty[m][0] = kernel_of(run.plan, m).penalty[0]
        g.penalty[m][1] = kernel_of(run.plan, m).penalty[1]
    while start < rows:
        n = min(run.batch, rows - start)
        for m in range(all):
            one = lanes.run[m if m < lanes.count else 0]
            at = 0 if one.train.order != NULL else start
            index[m] = one.train.order + start if one.train.order != NULL else NULL
            x[m] = <const char *>one.train.x + at * one.plan.inputs * item
            y[m] = <const char *>one.train.y + at * one.objective.targets * item
            weight[m] = <const char *>one.train.weight + at * item if one.train.weight != NULL else NULL
        steps += 1
        share = 1.0 / <double>n
        g.shared = share if run.objective.shared_penalties else 1.0
        g.recorded = run.objective.recorded * <double>n * share if run.objective.recorded != 1.0 else 1.0
        coefficients(&run.optimizer, run.iterations + steps, h)
        kernels.lanes_step(g, t, n, index, x, y, weight if run.train.weight != NULL else NULL, w, share * run.objective.factor, h, sums,
                           penalties)
        for m in range(lanes.count if g.penalised else 0):
            lanes.run[m].state[0] += g.shared * tree_sum(&penalties[m][0]) * <double>n
        start += n
    for m in range(lanes.count):
        one = lanes.run[m]
        one.iterations += steps
        one.work_done += 3 * rows
