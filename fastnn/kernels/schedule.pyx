"""The schedule of a training call: one thread decides between two steps what all do next.

``decide`` accounts for the step that was done (row values, epoch's end, history, early stopping), and prepares the next: a batch to
train on, a round of validation rows, or the return to Python. It is the only writer of the ``Run``; a ``Step`` is what others see.
"""
from libc.math cimport INFINITY, isfinite
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from fastnn.kernels.csrc cimport FNN_FEW_ROWS, FNN_ORDERS, fnn_flag_get, fnn_jobs_reset, fnn_share, fnn_share_set
from fastnn.kernels.metrics cimport fold_rows
from fastnn.kernels.optimizers cimport next_move
from fastnn.kernels.own_calls cimport call_own
from fastnn.kernels.penalties cimport has_penalties, penalty_now, penalty_of
from fastnn.kernels.plan cimport COLUMN_ALIGN, PHASE_ROWS, PHASE_SUMS_TILES, PHASE_TILES, Source, share
from fastnn.kernels.runtime cimport clock
from fastnn.kernels.scores cimport finish_all
from fastnn.kernels.shares cimport batch_share, share_losses
from fastnn.kernels.schedule cimport (
    ACTION_EVALUATE,
    ACTION_RETURN,
    ACTION_TRAIN,
    STATUS_BAD_DATA,
    STATUS_DIVERGED,
    STATUS_PAUSED,
    STATUS_REACHED,
    STATUS_RUNNING,
    STATUS_STOPPED,
    TINY_FUSED,
    Run,
    Stopping,
)


cdef int set_stopping(Run *run, stopping) except -1:
    """Take over `Training`'s argument; room for the best parameters is the caller's to make."""
    cdef Stopping *s = &run.stopping
    s.active = True
    s.column = stopping["column"]
    if not 0 <= s.column < run.log_columns:
        raise ValueError(f"stopping column {stopping['column']} is not one of the {run.log_columns} columns recorded")
    s.larger_is_better = stopping["mode"] == "max"
    s.min_delta = abs(stopping.get("min_delta", 0.0))
    s.patience = stopping.get("patience", 0)
    s.has_baseline = stopping.get("baseline") is not None
    s.baseline = stopping["baseline"] if s.has_baseline else 0.0
    s.start_from_epoch = stopping.get("start_from_epoch", 0)
    s.restore = stopping.get("restore_best_weights", False)
    s.best = stopping.get("best", -INFINITY if s.larger_is_better else INFINITY)
    s.by_tolerance = stopping.get("rule") == "tolerance"
    s.wait = stopping.get("wait", 0)
    return 0


cdef int set_reaching(Run *run, reaching) except -1:
    """The same of the value that is waited for: (column, threshold, mode)."""
    column, threshold, mode = reaching
    if not 0 <= column < run.log_columns:
        raise ValueError(f"reaching column {column} is not one of the {run.log_columns} columns recorded")
    run.stopping.waits = True
    run.stopping.waits_column = column
    run.stopping.threshold = threshold
    run.stopping.waits_for_more = mode == "max"
    return 0


cdef void start_call(Run *run) noexcept nogil:
    """Prepare for a call; ``run.epochs_wanted`` and ``run.deadline`` are the caller's to set."""
    run.checked = clock()
    run.check_every = 1
    run.check_in = 1
    run.pending = False


cdef void add_values(Run *run, Py_ssize_t rows) noexcept nogil:
    """Add what a batch left as row values."""
    cdef const Source *source = &run.validation if run.validating else &run.train
    fold_rows(run.plan, run.space, run.objective, source, run.work, run.next.start, rows,
              run.validation_batch if run.validating else 0, run.state)


cdef inline bint better(const Stopping *s, double value, double reference) noexcept nogil:
    if s.larger_is_better:
        return value - s.min_delta > reference
    return value + s.min_delta < reference


cdef void remember_best(Run *run) noexcept nogil:
    memcpy(run.best_parameters, run.parameters, run.plan.parameters * run.plan.kernels.itemsize)
    run.stopping.saved = True


cdef bint should_stop(Run *run, Py_ssize_t epoch, double value) noexcept nogil:
    cdef Stopping *s = &run.stopping
    if epoch < s.start_from_epoch:
        return False
    if s.restore and not s.saved:
        remember_best(run)
        s.best_epoch = epoch
    s.wait += 1
    if better(s, value, s.best):
        s.best = value
        s.best_epoch = epoch
        if s.restore:
            remember_best(run)
        if not s.has_baseline or better(s, value, s.baseline):
            s.wait = 0
        return False
    return s.wait >= s.patience and epoch > 0


cdef bint past_tolerance(Run *run, Py_ssize_t epoch, double value) noexcept nogil:
    # An epoch within the tolerance of the best one, or worse, counts; any improvement is the best from then on.
    cdef Stopping *s = &run.stopping
    if (value < s.best + s.min_delta) if s.larger_is_better else (value > s.best - s.min_delta):
        s.wait += 1
    else:
        s.wait = 0
    if (value > s.best) if s.larger_is_better else (value < s.best):
        s.best = value
        s.best_epoch = epoch
        if s.restore:
            remember_best(run)
    return s.wait > s.patience


cdef inline bint reached(const Stopping *s, double value) noexcept nogil:
    return value >= s.threshold if s.waits_for_more else value <= s.threshold


cdef void end_epoch(Run *run) noexcept nogil:
    """Record an epoch; its training's results are known, and its validation's state is complete."""
    cdef double *log = run.logs + run.epoch * run.log_columns
    cdef Py_ssize_t results = run.objective.results
    memcpy(log, run.training_results, results * sizeof(double))
    if run.log_columns > results:
        finish_all(run.objective, run.state, run.validation.rows, log + results)
    run.validating = False
    run.begun = False
    run.position = run.resume
    run.seen = 0
    run.step = 0
    run.lifetime += 1
    run.epoch += 1
    if not isfinite(log[0]):
        run.status = STATUS_DIVERGED
    elif run.stopping.by_tolerance:
        if past_tolerance(run, run.first_epoch + run.epoch - 1, log[run.stopping.column]):
            run.status = STATUS_PAUSED
    elif run.stopping.active and should_stop(run, run.first_epoch + run.epoch - 1, log[run.stopping.column]):
        run.status = STATUS_STOPPED
    elif run.stopping.waits and reached(&run.stopping, log[run.stopping.waits_column]):
        run.status = STATUS_REACHED


cdef int bad_of(const Run *run) noexcept nogil:
    """What all threads found not finite in the step that is done."""
    cdef int thread, bad = 0
    for thread in range(run.team):
        bad |= run.bad[thread] | run.bad[run.threads + thread]
    return bad


cdef void account(Run *run) noexcept nogil:
    # the step that was just done
    if run.next.epochs > 0:
        return
    run.bad_found |= bad_of(run)
    if run.bad_found:
        run.status = STATUS_BAD_DATA
        return
    if run.validating:
        share_losses(run.plan, run.space, run.objective, &run.validation, run.work, run.next.start, run.next.rows, run.validation_batch)
        add_values(run, run.next.rows)
    elif not (run.tiny and run.team == 1):
        share_losses(run.plan, run.space, run.objective, &run.train, run.work, run.next.start, run.next.rows, 0)
        add_values(run, run.next.rows)
    run.position += run.next.rows
    run.work_done += run.next.rows if run.validating else 3 * run.next.rows
    if run.validating:
        if run.position == run.validation.rows:
            if has_penalties(run.plan) and not run.objective.shared_penalties:
                run.state[0] += <double>run.validation.rows * penalty_now(run.plan, run.space, run.work, run.parameters, 1.0)
            if run.own_penalties != NULL:
                call_own(run, run.own_penalties, 0)
                run.state[0] += run.own_penalty * <double>run.validation.rows
            end_epoch(run)
        return
    if has_penalties(run.plan) and not (run.tiny and run.team == 1):
        run.state[0] += penalty_of(run.plan, run.space, run.work, run.next.move.penalty) * <double>run.next.rows
    if run.own_penalties != NULL:
        run.state[0] += run.own_penalty * <double>run.next.rows
    run.iterations += run.next.batches
    run.step += run.next.batches
    run.seen += run.next.rows
    if run.stream or (run.position < run.train.rows and (run.epoch_steps == 0 or run.step < run.epoch_steps)):
        return
    finish_all(run.objective, run.state, run.seen, run.training_results)
    run.resume = run.position if run.position < run.train.rows else 0
    if run.log_columns == run.objective.results:
        end_epoch(run)
    else:
        run.validating = True
        run.position = 0
        memset(run.state, 0, run.objective.state * sizeof(double))


cdef bint out_of_time(Run *run) noexcept nogil:
    # looking at the clock costs as much as a tiny step, so steps are counted in between
    cdef double now
    run.check_in -= run.next.batches
    if run.check_in > 0:
        return False
    now = clock()
    if now - run.checked < 0.5e-3 and run.check_every < 4096:
        run.check_every *= 2
    elif now - run.checked > 5e-3 and run.check_every > 1:
        run.check_every //= 2
    if run.deadline - now < 1e-3:
        run.check_every = 1
    run.check_in = run.check_every
    run.checked = now
    return now >= run.deadline


cdef inline bint by_epochs(const Run *run) noexcept nogil:
    # epochs of one fused step, between which nothing is to be decided
    return (run.tiny == TINY_FUSED and run.team == 1 and run.batch == run.train.rows and run.log_columns == run.objective.results
            and not run.stopping.active and not run.stopping.waits and not run.stream)


cdef void draw_order(Run *run) noexcept nogil:
    # of few rows, the orders of 16 epochs are drawn at once; others may have been drawn ahead
    cdef int64_t rows = run.train.rows, ahead = run.lifetime - run.drawn
    if rows > FNN_FEW_ROWS:
        if ahead != 0:
            run.drawn = run.lifetime
            run.plan.kernels.permutation(run.seed, run.drawn, rows, run.order + run.drawn % 2 * rows)
        run.train.order = run.order + run.drawn % 2 * rows
        return
    if run.drawn < 0 or not 0 <= ahead < FNN_ORDERS:
        run.plan.kernels.permutations16(run.seed, run.lifetime, rows, run.order)
        run.drawn = run.lifetime
        ahead = 0
    run.train.order = run.order + ahead * rows


cdef void draw_ahead(Run *run, const Step *step) noexcept nogil:
    """The next epoch's order, where this is the epoch's last step and orders are long: by one thread, while others train."""
    cdef int64_t rows = run.train.rows
    if run.order == NULL or rows <= FNN_FEW_ROWS or step.start + step.rows < rows:
        return
    if (run.lifetime + 1 - run.drawn) % 2 == 0:  # after a pass of several epochs: its own order lies there, and is in use
        return
    run.drawn = run.lifetime + 1
    run.plan.kernels.permutation(run.seed, run.drawn, rows, run.order + run.drawn % 2 * rows)


cdef bint starved(const Run *run) noexcept nogil:
    """Whether the batch that was fed is done."""
    return run.stream and run.position == run.train.rows


cdef void set_shares(Run *run, int phase, Py_ssize_t rows) noexcept nogil:
    """What each thread does first in a phase of a training step on so many rows; while the phase before runs, or a step before that."""
    cdef fnn_share *s = run.share + phase * run.threads
    cdef int t
    for t in range(run.team):
        if run.phase[phase] == PHASE_ROWS:
            fnn_share_set(s + t, share(rows, t, run.team, COLUMN_ALIGN), share(rows, t + 1, run.team, COLUMN_ALIGN))
        elif run.phase[phase] == PHASE_TILES or run.phase[phase] == PHASE_SUMS_TILES:
            fnn_share_set(s + t, run.tile_bound[t], run.tile_bound[t + 1])


cdef int decide(Run *run) noexcept nogil:
    """Account for the step done, and set ``run.next``."""
    if fnn_flag_get(&run.barrier):  # interrupted in the middle of a step
        run.next.action = ACTION_RETURN
        return 0
    if run.pending:
        run.pending = False
        account(run)
        if run.status != STATUS_RUNNING or run.epoch >= run.epochs_wanted or run.iterations >= run.iterations_wanted \
                or starved(run) or fnn_flag_get(&run.barrier) or out_of_time(run):
            run.next.action = ACTION_RETURN
            return 0
    elif run.status != STATUS_RUNNING or run.epoch >= run.epochs_wanted or starved(run):
        run.next.action = ACTION_RETURN
        return 0
    run.next.epochs = 0
    if by_epochs(run):
        run.next.action = ACTION_TRAIN
        run.next.epochs = min(run.check_in, run.epochs_wanted - run.epoch, run.iterations_wanted - run.iterations)
        run.next.batches = run.next.epochs
        run.pending = True
        return 0
    if not run.begun:
        run.begun = True
        run.train.epoch = run.lifetime
        run.seen = 0
        memset(run.state, 0, run.objective.state * sizeof(double))
        if run.order != NULL and run.position == 0:
            draw_order(run)
    run.next.start = run.position
    if run.validating:
        run.next.action = ACTION_EVALUATE
        run.next.batches = 1
        run.next.rows = min(run.block * run.team, run.validation.rows - run.position)
    else:
        run.next.action = ACTION_TRAIN
        fnn_jobs_reset(&run.barrier)
        run.next.batches = 1
        run.next.rows = min(run.batch, run.train.rows - run.position)
        run.train.shift = run.seen - run.position
        if run.tiny and run.team == 1:
            if run.next.rows < run.train.rows - run.position:
                run.next.batches = min(run.check_in, (run.train.rows - run.position + run.batch - 1) // run.batch,
                                       run.iterations_wanted - run.iterations)
                if run.epoch_steps > 0:
                    run.next.batches = min(run.next.batches, run.epoch_steps - run.step)
                run.next.rows = min(run.next.batches * run.batch, run.train.rows - run.position)
        else:
            run.next.scale = batch_share(run.objective, &run.train, run.next.start, run.next.rows, <Py_ssize_t>run.plan.kernels.itemsize)
            run.next.move.penalty = run.next.scale if run.objective.shared_penalties else 1.0
            run.next.scale *= run.objective.factor
            next_move(&run.optimizer, run.iterations, run.next.h, &run.next.move)
            set_shares(run, 0, run.next.rows)
    run.pending = True
    return 0
