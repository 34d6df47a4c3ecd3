"""Rows without training: loss and metrics."""
from cython.parallel cimport parallel, threadid
from libc.stdint cimport uint64_t

from fastnn.kernels.csrc cimport fnn_barrier, fnn_barrier_init, fnn_barrier_wait
from fastnn.kernels.metrics cimport fold_rows
from fastnn.kernels.penalties cimport has_penalties, penalty_now
from fastnn.kernels.plan cimport COLUMN_ALIGN, SUM_ROWS, Objective, Source, Stretch, whole_way
from fastnn.kernels.rows cimport rows_pass
from fastnn.kernels.runtime cimport float_flush, float_restore, real
from fastnn.kernels.shares cimport penalty_share, share_losses
from fastnn.kernels.team cimport team_size
from fastnn.kernels.threads cimport spins_for
from fastnn.kernels.workspace cimport Workspace


cdef inline Py_ssize_t thread_rows(Workspace space) noexcept nogil:
    # rows of the workspace that belong to each thread
    cdef Py_ssize_t rows = space.space.capacity // space.threads // COLUMN_ALIGN * COLUMN_ALIGN
    return min(rows, <Py_ssize_t>SUM_ROWS)


cdef void evaluate_thread(Workspace space, const Objective *objective, const real *weights, const Source *source, fnn_barrier *barrier,
                          double *state, Py_ssize_t batch, int thread, int team) noexcept nogil:
    # in rounds of one block a thread; thread 0 adds the row values in the order of the rows
    cdef Py_ssize_t block = thread_rows(space), begin, n, done = 0
    cdef real *work = <real *>space.arena.base
    cdef uint64_t modes = float_flush()
    cdef int spins = spins_for(team)
    cdef Stretch way = whole_way(&space.plan)
    while done < source.rows:
        begin = done + thread * block
        n = min(block, source.rows - begin)
        if n > 0:
            rows_pass(&space.plan, &space.space, objective, work, weights, <const real *>NULL, source, begin, thread * block, n,
                      thread * block, 1.0, 0.0, False, &way, thread)
            if source.output != NULL:
                space.plan.kernels.transpose(space.plan.outputs, n, work + space.plan.output.a.offset + thread * block,
                                             space.space.capacity, <real *>source.output + begin * space.plan.outputs,
                                             space.plan.outputs)
        fnn_barrier_wait(barrier, team, spins)
        if thread == 0:
            n = min(block * team, source.rows - done)
            share_losses(&space.plan, &space.space, objective, source, work, done, n, batch)
            fold_rows(&space.plan, &space.space, objective, source, work, done, n, batch, state)
        fnn_barrier_wait(barrier, team, spins)
        done += block * team
    float_restore(modes)


cdef int evaluate_rows(Workspace space, const Objective *objective, const real *weights, const real[:, ::1] x, const real[:, ::1] y,
                       weight, double[::1] state, Py_ssize_t batch, real[:, ::1] outputs) except -1:
    """state (IN and OUT): what `finish_all` makes loss and metrics of, with these rows added to it, in batches of `batch` rows where
    that matters (0: all are one). outputs (OUT): of the network, None where nobody wants them."""
    cdef Source source
    cdef const real[::1] w
    cdef fnn_barrier barrier
    cdef uint64_t flushed
    if x.shape[1] != space.plan.inputs or y.shape[0] != x.shape[0] or y.shape[1] != objective.targets:
        raise ValueError(f"x has shape {(x.shape[0], x.shape[1])} and y {(y.shape[0], y.shape[1])}; the network takes "
                         f"{space.plan.inputs} features and {objective.targets} targets a row")
    if x.shape[0] == 0:
        raise ValueError("x has no rows")
    source.rows = x.shape[0]
    source.x = &x[0, 0]
    source.y = &y[0, 0]
    source.weight = NULL
    source.order = NULL
    source.key = 0
    source.epoch = 0
    source.shift = 0
    source.still = False
    source.output = source.slopes = NULL
    if outputs is not None:
        if outputs.shape[0] != source.rows or outputs.shape[1] != space.plan.outputs:
            raise ValueError(f"outputs has shape {(outputs.shape[0], outputs.shape[1])}; expected {(source.rows, space.plan.outputs)}")
        source.output = &outputs[0, 0]
    source.upstream = NULL
    if batch <= 0:
        batch = source.rows
    if weight is not None:
        w = weight
        if w.shape[0] != source.rows:
            raise ValueError(f"sample_weight has {w.shape[0]} entries for {source.rows} rows")
        source.weight = &w[0]
    fnn_barrier_init(&barrier)
    if space.threads == 1:
        with nogil:
            evaluate_thread(space, objective, weights, &source, &barrier, &state[0], batch, 0, 1)
    else:
        with nogil, parallel(num_threads=space.threads):
            evaluate_thread(space, objective, weights, &source, &barrier, &state[0], batch, threadid(), team_size())
    if has_penalties(&space.plan):
        flushed = float_flush()
        state[0] += <double>source.rows * penalty_now(&space.plan, &space.space, space.arena.base, weights,
                                                      penalty_share(objective, &source, 0, source.rows, sizeof(real)))
        float_restore(flushed)
    return 0
