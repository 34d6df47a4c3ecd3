"""The team: what every thread does in a native call of training.

A step is copied, its phases are worked through with a barrier after each, and thread 0 decides the next (``schedule.pyx``). A step
trains on a batch (rows, then tiles) or evaluates a round of validation rows. In the rows and the tiles phase a thread begins with a
share of its own, so that what it needs stays in its cache, and then helps those that are slower: neighbours on a machine take time from
one core or the other, and whoever does a strip or a tile, its bits are the same.
"""
from cython.parallel cimport parallel, threadid
from libc.stdint cimport uint64_t

from fastnn.kernels.angles cimport angle_slopes, direct_lines
from fastnn.kernels.csrc cimport fnn_barrier_wait, fnn_flag_get, fnn_flag_set, fnn_jobs_take, fnn_share, fnn_share_take
from fastnn.kernels.coupling cimport batch_moments, batch_slopes
from fastnn.kernels.norms cimport constrain_norms
from fastnn.kernels.own_calls cimport call_own
from fastnn.kernels.pieces cimport COEFFICIENTS, fill_coefficients
from fastnn.kernels.plan cimport (
    COLUMN_ALIGN,
    PHASE_ANGLES,
    PHASE_DIRECTED,
    PHASE_LOSS,
    PHASE_MOMENTS,
    PHASE_NORMS,
    PHASE_OWN_PENALTIES,
    PHASE_REFRESH,
    PHASE_ROWS,
    PHASE_ROWS_SUMS,
    PHASE_SLOPES,
    PHASE_SUMS_GRADIENTS,
    PHASE_SUMS_TILES,
    PHASE_TILES,
    SUM_ROWS,
    PhaseKind,
    Plan,
    Stretch,
    share,
    whole_way,
)
from fastnn.kernels.reduced cimport reduced_enter, reduced_leave, reduced_refresh_all
from fastnn.kernels.rows cimport rows_pass
from fastnn.kernels.runtime cimport clock, float_flush, float_restore, processor_clock, real
from fastnn.kernels.schedule cimport ACTION_RETURN, ACTION_TRAIN, TINY_FUSED, TINY_NOT, Run, Step, bad_of, decide, draw_ahead, set_shares
from fastnn.kernels.team cimport team_size
from fastnn.kernels.threads cimport spins_for
from fastnn.kernels.tiles cimport block_gradients, refresh_all, refresh_pass, tile_cost, tiles_pass
from fastnn.kernels.tiling cimport continues
from fastnn.kernels.tiny cimport describe, fused_batches, fused_epochs, layers_batches
from fastnn.kernels.together cimport tversky_of_batch
from fastnn.kernels.whole cimport whole_begin, whole_pass, whole_share

cdef extern from "Python.h":
    int look_for_signals "PyErr_CheckSignals"() noexcept  # leaves the handler's exception set

cdef enum:
    TILES_A_LOOK = 16
    PIECES = 16       # of a thread's tiles, about: the smaller, the less it waits for a slower one

cdef double LOOK_SECONDS = 0.04  # between two looks for signals within one long step


cdef bint interrupted(Run *run, int thread, int phase) noexcept nogil:
    # A look for signals in the middle of a long step; Python runs only if one has come, with the processor's flags as it knows them. The
    # flag says in which phase it was found, so that a thread that is still entering that phase does not leave the step before the others.
    cdef double now
    cdef bint raised
    if fnn_flag_get(&run.barrier):
        return True
    if thread != 0:
        return False
    now = clock()
    if now - run.checked < LOOK_SECONDS:
        return False
    run.checked = now
    float_restore(run.float_state)
    with gil:
        raised = look_for_signals() != 0
    float_flush()
    reduced_enter(run.plan)  # a handler may have left the processor's tiles otherwise
    if raised:
        fnn_flag_set(&run.barrier, phase + 1)
    return raised


cdef inline double penalty_scale(const Run *run, const Step *step) noexcept nogil:
    # penalties of outputs are means over the batch's rows, whatever the loss's reduction
    return 0.0 if run.space.bare else 1.0 / <double>step.rows


cdef void rows_share(Run *run, const Step *step, int phase, real *work, real *weights, real *transposed, int *bad, int thread,
                     int team) noexcept nogil:
    # strips of this thread's rows of a batch, then of those that others have not come to
    cdef Py_ssize_t piece = min(<Py_ssize_t>SUM_ROWS, run.space.strip), first
    cdef fnn_share *jobs
    cdef int other
    for other in range(team):
        jobs = &run.share[phase * run.threads + (thread + other) % team]
        while True:
            first = <Py_ssize_t>fnn_share_take(jobs, piece)
            if first >= <Py_ssize_t>jobs.end:
                break
            bad[0] |= rows_pass(run.plan, run.space, run.objective, work, weights, transposed, &run.train, step.start + first, first,
                                min(piece, <Py_ssize_t>jobs.end - first), first, step.scale, penalty_scale(run, step), True,
                                &run.stretch[phase], thread)
            if first + piece < <Py_ssize_t>jobs.end and interrupted(run, thread, phase):
                return


cdef void validation_share(Run *run, const Step *step, real *work, real *weights, real *transposed, int *bad, int thread,
                           int team) noexcept nogil:
    # this thread's rows of a round of validation, in its own rows of the workspace
    cdef Py_ssize_t first = share(step.rows, thread, team, COLUMN_ALIGN), last = share(step.rows, thread + 1, team, COLUMN_ALIGN), n
    cdef Stretch way = whole_way(run.plan)
    while first < last:
        n = min(<Py_ssize_t>SUM_ROWS, run.block, last - first)
        bad[0] |= rows_pass(run.plan, run.space, run.objective, work, weights, transposed, &run.validation, step.start + first,
                            thread * run.block, n, first, step.scale, 0.0, False, &way, thread)
        first += n
        if first < last and interrupted(run, thread, 0):
            return


cdef void blocks_share(Run *run, const Step *step, int phase, real *work, real *weights, real *transposed, int *bad, int thread,
                       int team) noexcept nogil:
    # blocks of SUM_ROWS rows, each by whoever is free, and their gradients; it does not matter to the sums who that is
    cdef Py_ssize_t blocks = (step.rows + SUM_ROWS - 1) // SUM_ROWS, block, first, n, at = thread * run.block
    if thread == team - 1:
        draw_ahead(run, step)
    while True:
        block = <Py_ssize_t>fnn_jobs_take(&run.barrier)
        if block >= blocks:
            return
        first = block * SUM_ROWS
        n = min(<Py_ssize_t>SUM_ROWS, step.rows - first)
        bad[0] |= rows_pass(run.plan, run.space, run.objective, work, weights, transposed, &run.train, step.start + first, at, n,
                            first, step.scale, penalty_scale(run, step), True, &run.stretch[phase], thread)
        block_gradients(run.plan, work, at, n, work + run.space.partials + block * run.plan.parameters)
        if interrupted(run, thread, phase):
            return


cdef void tiles_share(Run *run, const Step *step, int phase, real *work, real *parameters, real *transposed, int thread,
                      int team) noexcept nogil:
    # a few of this thread's tiles after the other, then of those that others have not come to
    cdef real h[COEFFICIENTS]
    cdef Py_ssize_t blocks = (step.rows + SUM_ROWS - 1) // SUM_ROWS if run.phase[phase] == PHASE_SUMS_TILES else 0, first, last
    cdef Py_ssize_t piece = <Py_ssize_t>TILES_A_LOOK if team == 1 else min(<Py_ssize_t>TILES_A_LOOK, 1 + run.plan.tiles // (PIECES * team))
    cdef fnn_share *jobs
    cdef int other, owner
    cdef bint more
    fill_coefficients(step.h, &step.move, h)
    for other in range(team):
        owner = (thread + other) % team
        jobs = &run.share[phase * run.threads + owner]
        while True:
            first = <Py_ssize_t>fnn_share_take(jobs, piece)
            if first >= <Py_ssize_t>jobs.end:
                break
            more = first + piece < <Py_ssize_t>jobs.end
            last = min(first + piece, <Py_ssize_t>jobs.end)
            # of a share, tiles that belong together are all of the piece that has the first of them
            while run.tile_bound[owner] < first < last and continues(run.plan, first):
                first += 1
            while first < last < <Py_ssize_t>jobs.end and continues(run.plan, last):
                last += 1
            tiles_pass(run.plan, run.space, &run.optimizer, &step.move, work, parameters, transposed, h, step.rows, blocks, first, last,
                       thread)
            if more and interrupted(run, thread, phase):
                return


cdef void variables_share(Run *run, const Step *step, int phase, real *work, real *parameters, real *transposed, int thread,
                          int team) noexcept nogil:
    # this thread's tiles, or its rows of variables, in a phase that sees whole variables
    cdef PhaseKind kind = run.phase[phase]
    cdef real h[COEFFICIENTS]
    cdef Py_ssize_t blocks = (step.rows + SUM_ROWS - 1) // SUM_ROWS if kind == PHASE_SUMS_GRADIENTS else 0, n
    cdef Py_ssize_t first = run.tile_bound[thread], last = run.tile_bound[thread + 1]
    fill_coefficients(step.h, &step.move, h)
    whole_begin(kind, run.plan, run.space, &run.optimizer, &step.move, work, parameters, thread)
    if whole_share(kind, run.plan, run.space, &run.optimizer, work, parameters, h, run.stretch[phase].first, thread, team):
        return
    while first < last:
        n = min(<Py_ssize_t>TILES_A_LOOK, last - first)
        whole_pass(kind, run.plan, run.space, &run.optimizer, &step.move, work, parameters, transposed, h, step.rows, blocks, first,
                   first + n, run.stretch[phase].first, thread)
        first += n
        if first < last and interrupted(run, thread, phase):
            return


cdef void batch_loss(Run *run, const Step *step, int phase, real *work) noexcept nogil:
    # the loss of all rows, and their first deltas
    if run.objective.together:
        tversky_of_batch(run.plan, run.space, run.objective, work, run.train.weight != NULL, step.rows, step.scale)
    else:
        call_own(run, run.own_loss, phase)


cdef void looks_share(Run *run, int phase, real *parameters, int thread, int team) noexcept nogil:
    # penalties and constraints that look at whole variables
    cdef PhaseKind kind = run.phase[phase]
    cdef real *work = <real *>run.work
    cdef real *scratch = work + run.space.scratch + thread * run.space.scratch_size
    if kind == PHASE_DIRECTED:
        direct_lines(run.plan, run.space, work, parameters, thread, team)
    elif kind == PHASE_ANGLES:
        angle_slopes(run.plan, run.space, work, thread, team, True)
    elif kind == PHASE_NORMS:
        constrain_norms(run.plan, parameters, scratch, thread, team)
    elif kind == PHASE_REFRESH:
        refresh_pass(run.plan, run.space, work, parameters, work + run.space.transposed, run.tile_bound[thread],
                     run.tile_bound[thread + 1], thread)
    elif thread == 0:
        call_own(run, run.own_penalties if kind == PHASE_OWN_PENALTIES else run.own_constraints, phase)


cdef inline int phases_of(const Run *run, const Step *step) noexcept nogil:
    # as in Keras, constraints act also where gradients are only gathered
    return run.phases if step.move.update or run.plan.normed or run.plan.own_constraints else run.gathered


cdef bint cut_short(Run *run, int phase, const int *found, int team) noexcept nogil:
    # after a barrier: whether the step ends with this phase, for all threads alike; found: by each thread, in the last rows
    cdef int other, bad = 0
    for other in range(team):
        bad |= found[other]
    return bad != 0 or fnn_flag_get(&run.barrier) == phase + 1


cdef void work_phases(Run *run, const Step *step, int phases, real *parameters, int thread, int team, int spins) noexcept nogil:
    # this thread's part of a step
    cdef real *work = <real *>run.work
    cdef real *transposed = work + run.space.transposed
    cdef PhaseKind kind
    cdef int phase
    # A thread may be in its next rows while another one still reads what was found in the last: they write to two places in turn.
    cdef int *found = run.bad + run.threads
    run.bad[thread] = found[thread] = 0
    for phase in range(phases):
        if phase > 0:
            fnn_barrier_wait(&run.barrier, team, spins)
            if cut_short(run, phase - 1, found, team):
                break
        if thread == 0 and phase + 1 < phases:
            set_shares(run, phase + 1, step.rows)
        kind = run.phase[phase]
        if step.action != ACTION_TRAIN or kind == PHASE_ROWS or kind == PHASE_ROWS_SUMS:
            found = run.bad + (run.threads if found == run.bad else 0)
        if step.action != ACTION_TRAIN:
            validation_share(run, step, work, parameters, transposed, found + thread, thread, team)
        elif kind == PHASE_ROWS:
            rows_share(run, step, phase, work, parameters, transposed, found + thread, thread, team)
        elif kind == PHASE_MOMENTS:
            batch_moments(run.plan, work, parameters, step.rows, run.stretch[phase].first, thread, team)
        elif kind == PHASE_SLOPES:
            batch_slopes(run.plan, work, parameters, step.rows, run.stretch[phase].first, thread, team)
        elif kind == PHASE_LOSS:
            if thread == 0:
                batch_loss(run, step, phase, work)
        elif kind == PHASE_ROWS_SUMS:
            blocks_share(run, step, phase, work, parameters, transposed, found + thread, thread, team)
        elif kind == PHASE_TILES or kind == PHASE_SUMS_TILES:
            tiles_share(run, step, phase, work, parameters, transposed, thread, team)
        elif kind >= PHASE_DIRECTED:
            looks_share(run, phase, parameters, thread, team)
        elif step.move.update or phase < run.gathered:
            variables_share(run, step, phase, work, parameters, transposed, thread, team)


cdef void run_thread(Run *run, real *parameters, int thread, int team) noexcept nogil:
    cdef Step step
    cdef int spins = spins_for(team), phases
    cdef uint64_t state = float_flush()
    cdef double processor = processor_clock() if team > 1 else 0
    reduced_enter(run.plan)
    if thread == 0:
        run.team = team
        bound_tiles(run.plan, team, run.tile_bound)
        run.float_state = state
    while True:
        if thread == 0:
            decide(run)
        fnn_barrier_wait(&run.barrier, team, spins)
        step = run.next
        if step.action == ACTION_RETURN:
            break
        if run.tiny and team == 1 and step.action == ACTION_TRAIN:
            if step.epochs > 0:
                fused_epochs(run, step.epochs, parameters)
            elif run.tiny == TINY_FUSED:
                fused_batches(run, &step, parameters)
            else:
                run.bad[0] = layers_batches(run, &step, parameters)
            continue
        phases = 1
        if step.action == ACTION_TRAIN:
            phases = phases_of(run, &step)
        work_phases(run, &step, phases, parameters, thread, team, spins)
        if phases == 1 or run.plan.penalised:
            fnn_barrier_wait(&run.barrier, team, spins)  # thread 0 reads what all left of their rows or tiles next
    reduced_leave(run.plan)
    run.processor[thread] = processor_clock() - processor if team > 1 else 0
    float_restore(state)


cdef void bound_tiles(const Plan *plan, int team, Py_ssize_t *bound) noexcept nogil:
    # bound (OUT: team + 1): a tile belongs to the thread in whose share of the total cost its middle lies
    cdef double total = 0, before = 0, cost
    cdef Py_ssize_t i
    cdef int owner = 0
    for i in range(plan.tiles):
        total += tile_cost(plan, i)
    bound[0] = 0
    for i in range(plan.tiles):
        cost = tile_cost(plan, i)
        while owner < <int>((before + cost / 2) / total * team):
            owner += 1
            bound[owner] = i
        before += cost
    while owner < team:
        owner += 1
        bound[owner] = plan.tiles


cdef void step_thread(Run *run, real *parameters, int thread, int team) noexcept nogil:
    # `run.next` alone: whoever calls decides
    cdef uint64_t state = float_flush()
    cdef int spins = spins_for(team)
    reduced_enter(run.plan)
    if thread == 0:
        run.team = team
        run.float_state = state
        bound_tiles(run.plan, team, run.tile_bound)
        set_shares(run, 0, run.next.rows)
    fnn_barrier_wait(&run.barrier, team, spins)
    work_phases(run, &run.next, phases_of(run, &run.next), parameters, thread, team, spins)
    reduced_leave(run.plan)
    float_restore(state)


cdef void prepare(Run *run, real *parameters) noexcept nogil:
    """The transposed copies of the weights that a training starts from."""
    cdef uint64_t state = float_flush()
    refresh_all(run.plan, parameters, <real *>run.work + run.space.transposed)
    if real is float:
        if run.plan.reduced != NULL:
            reduced_refresh_all(run.plan, run.space, parameters, <float *>run.work)
    float_restore(state)


cdef int work_team(Run *run, real *parameters, int threads, bint one_step) except -1:
    if threads == 1:
        with nogil:
            enter(run, parameters, one_step, 0, 1)
    else:
        with nogil, parallel(num_threads=threads):
            enter(run, parameters, one_step, threadid(), team_size())
    if fnn_flag_get(&run.barrier):
        fnn_flag_set(&run.barrier, 0)  # the next call of this run begins anew
        return -1  # an exception is set: a signal handler's, or of somebody's own Python
    return 0


cdef inline void enter(Run *run, real *parameters, bint one_step, int thread, int team) noexcept nogil:
    if one_step:
        step_thread(run, parameters, thread, team)
    else:
        run_thread(run, parameters, thread, team)


cdef int step_team(Run *run, real *parameters, int threads) except -1:
    """The phases of one step, ``run.next``, on so many threads; what was not finite among the rows (``rows_pass``) is returned."""
    work_team(run, parameters, threads, True)
    return bad_of(run)


cdef void run_alone(Run *run, real *parameters) noexcept nogil:
    """The same on the calling thread alone. Where ``run.barrier``'s flag is set then, a signal's handler has raised."""
    if run.tiny != TINY_NOT:
        describe(&run.tiny_network, run)
    run_thread(run, parameters, 0, 1)


cdef int run_team(Run *run, real *parameters, int threads) except -1:
    """One native call: steps until the schedule says return, on so many threads."""
    if run.tiny != TINY_NOT:  # a team may be granted one thread only
        describe(&run.tiny_network, run)
    return work_team(run, parameters, threads, False)
