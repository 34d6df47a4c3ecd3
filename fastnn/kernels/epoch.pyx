"""The team: what every thread does in a native call of training.

A step is copied, its phases are worked through with a barrier after each, and thread 0 decides the next (``schedule.pyx``). A step
trains on a batch (rows, then tiles) or evaluates a round of validation rows.
"""
from cython.parallel cimport parallel, threadid
from libc.stdint cimport uint64_t

from fastnn.kernels.csrc cimport FNN_HYPER_MAX, fnn_barrier_wait, fnn_flag_get, fnn_flag_set
from fastnn.kernels.plan cimport COLUMN_ALIGN, SUM_ROWS, Plan, Source, share
from fastnn.kernels.rows cimport rows_pass
from fastnn.kernels.runtime cimport clock, float_flush, float_restore, real, spins_for
from fastnn.kernels.schedule cimport ACTION_RETURN, ACTION_TRAIN, Run, Step, decide
from fastnn.kernels.team cimport team_size
from fastnn.kernels.tiles cimport block_gradients, refresh_all, tile_cost, tiles_pass

cdef extern from "Python.h":
    int look_for_signals "PyErr_CheckSignals"() noexcept  # leaves the handler's exception set

cdef enum:
    TILES_A_LOOK = 16
    IN_ROWS = 1                # in which phase a step was interrupted: the value of the barrier's flag
    IN_TILES = 2

cdef double LOOK_SECONDS = 0.04  # between two looks for signals within one long step


cdef bint interrupted(Run *run, int thread, int phase) noexcept nogil:
    # A look for signals in the middle of a long step; Python runs only if one has come.
    cdef double now
    if fnn_flag_get(&run.barrier):
        return True
    if thread != 0:
        return False
    now = clock()
    if now - run.checked < LOOK_SECONDS:
        return False
    run.checked = now
    with gil:
        if look_for_signals() == 0:
            return False
    fnn_flag_set(&run.barrier, phase)
    return True


cdef void rows_share(Run *run, const Step *step, real *work, real *weights, real *transposed, int thread, int team) noexcept nogil:
    # PHASE_ROWS or PHASE_ROWS_SUMS: this thread's rows, at most SUM_ROWS between two looks for signals
    cdef bint train = step.action == ACTION_TRAIN, by_block = run.sums and train
    cdef const Source *source = &run.train if train else &run.validation
    cdef Py_ssize_t first, last, n, at, group
    group = SUM_ROWS if by_block else COLUMN_ALIGN
    first = share(step.rows, thread, team, group)
    last = share(step.rows, thread + 1, team, group)
    run.bad[thread] = 0
    while first < last:
        n = min(<Py_ssize_t>SUM_ROWS, last - first)
        if not train:
            n = min(n, run.block)
        at = first if train and not by_block else thread * run.block
        run.bad[thread] |= rows_pass(run.plan, run.space, run.objective, work, weights, transposed, source, step.start + first, at, n,
                                     first, step.scale, train, thread)
        if by_block:
            block_gradients(run.plan, work, at, n, work + run.space.partials + first // SUM_ROWS * run.plan.parameters)
        first += n
        if first < last and interrupted(run, thread, IN_ROWS):
            return


cdef void tiles_share(Run *run, const Step *step, real *work, real *parameters, real *transposed, Py_ssize_t first, Py_ssize_t last,
                      int thread) noexcept nogil:
    # PHASE_TILES or PHASE_SUMS_TILES: this thread's tiles
    cdef real h[FNN_HYPER_MAX]
    cdef Py_ssize_t blocks = (step.rows + SUM_ROWS - 1) // SUM_ROWS if run.sums else 0, n
    cdef int i
    for i in range(FNN_HYPER_MAX):
        h[i] = <real>step.h[i]
    while first < last:
        n = min(<Py_ssize_t>TILES_A_LOOK, last - first)
        tiles_pass(run.plan, run.space, &run.optimizer, work, parameters, transposed, h, step.rows, blocks, first, first + n, thread)
        first += n
        if first < last and interrupted(run, thread, IN_TILES):
            return


cdef void run_thread(Run *run, real *parameters, int thread, int team) noexcept nogil:
    cdef real *work = <real *>run.work
    cdef real *transposed = work + run.space.transposed
    cdef Py_ssize_t first, last
    cdef Step step
    cdef int spins = spins_for(team), other, bad
    cdef uint64_t state = float_flush()
    tile_range(run.plan, thread, team, &first, &last)
    if thread == 0:
        run.team = team
    while True:
        if thread == 0:
            decide(run)
        fnn_barrier_wait(&run.barrier, team, spins)
        step = run.next
        if step.action == ACTION_RETURN:
            break
        rows_share(run, &step, work, parameters, transposed, thread, team)
        fnn_barrier_wait(&run.barrier, team, spins)
        if fnn_flag_get(&run.barrier) == IN_ROWS:  # set before the barrier, so all see it; IN_TILES waits for the next step
            break
        if step.action == ACTION_TRAIN:
            bad = 0
            for other in range(team):
                bad |= run.bad[other]
            if bad == 0:
                tiles_share(run, &step, work, parameters, transposed, first, last, thread)
    float_restore(state)


cdef void tile_range(const Plan *plan, int thread, int team, Py_ssize_t *first, Py_ssize_t *last) noexcept nogil:
    # tiles [first, last) (OUT) of one thread: a tile belongs to the thread in whose share of the total cost its middle lies
    cdef double total = 0, before = 0, cost
    cdef Py_ssize_t i
    cdef int owner
    first[0] = plan.tiles
    last[0] = plan.tiles
    for i in range(plan.tiles):
        total += tile_cost(plan, i)
    for i in range(plan.tiles):
        cost = tile_cost(plan, i)
        owner = <int>((before + cost / 2) / total * team)
        if owner >= thread and first[0] == plan.tiles:
            first[0] = i
        if owner > thread:
            last[0] = i
            break
        before += cost


cdef void prepare(Run *run, real *parameters) noexcept nogil:
    """The transposed copies of the weights that a training starts from."""
    cdef uint64_t state = float_flush()
    refresh_all(run.plan, parameters, <real *>run.work + run.space.transposed)
    float_restore(state)


cdef int run_team(Run *run, real *parameters, int threads) except -1:
    """One native call: steps until the schedule says return, on so many threads."""
    if threads == 1:
        with nogil:
            run_thread(run, parameters, 0, 1)
    else:
        with nogil, parallel(num_threads=threads):
            run_thread(run, parameters, threadid(), team_size())
    if fnn_flag_get(&run.barrier):
        return -1  # the handler's exception is set
    return 0
