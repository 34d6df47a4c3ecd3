"""Steps that look at whole variables: the phases into which that of the tiles is cut, with a barrier after each.

First all gradients are stored, laid out as the parameters, with the partial sums of their squares. Every thread then adds those up for
itself, always in the same order, and steps its tiles: with gradients shortened to a norm. An optimizer whose step is a direction times
a number for each variable puts the directions in the gradients' place before, with the sums which that number takes.
"""
from libc.math cimport sqrt
from libc.string cimport memset

from fastnn.kernels.csrc cimport FNN_STEP_ELEMENTS, FNN_STEP_FACTORED, FNN_STEP_ORTHOGONAL, FNN_STEP_TRUST
from fastnn.kernels.factored cimport factored_tile, factors_share, row_means
from fastnn.kernels.optimizers cimport Move, Optimizer
from fastnn.kernels.orthogonal cimport orthogonal_put, orthogonal_share, orthogonal_take
from fastnn.kernels.penalties cimport penalize_tile
from fastnn.kernels.pieces cimport AVERAGE, DIRECT, GATHER, MOVE, ROOM, SHORTEN, STEP, add_squares, tile_stages
from fastnn.kernels.plan cimport (
    ENDING_NONE,
    PHASE_DIRECTIONS,
    PHASE_FACTORED,
    PHASE_FACTORS,
    PHASE_GRADIENTS,
    PHASE_GRAM,
    PHASE_NORMALIZE,
    PHASE_POLYNOMIAL,
    PHASE_PRODUCT,
    PHASE_STEPS,
    PHASE_SUMS_GRADIENTS,
    PHASE_SUMS_TILES,
    PHASE_TILES,
    PhaseKind,
    Plan,
    Space,
    Stretch,
    Tile,
    tree_sum,
)
from fastnn.kernels.runtime cimport real
from fastnn.kernels.tiles cimport batch_gradient, finish_tile

cdef enum:  # sets of sums: of the squares of
    GRADIENTS
    WEIGHTS
    DIRECTIONS
    SHORTENED     # gradients, where factors are made of them

cdef enum:  # the optimizers' own numbers, in their order in csrc/optimizers.def
    FACTORED_EPSILON = 3
    FACTORED_LIMIT = 4
    ORTHOGONAL_TURNS = 8
    ORTHOGONAL_POLYNOMIAL = 9
    ORTHOGONAL_RATE = 12


cdef inline bint shortens(const Optimizer *optimizer) noexcept nogil:
    return optimizer.clipnorm > 0.0 or optimizer.global_clipnorm > 0.0


cdef int step_phases(const Optimizer *optimizer, bint sums, PhaseKind *kind, Stretch *stretch) noexcept:
    """kind (OUT): the phases from a batch's deltas to the next weights; stretch (OUT): in `first`, the number of the turn, where there are
    turns; sums: blocks of rows have their gradients. Returns how many."""
    cdef int n = 0, turn, turns = 0
    if not optimizer.stored:
        kind[0] = PHASE_SUMS_TILES if sums else PHASE_TILES
        return 1
    kind[0] = PHASE_SUMS_GRADIENTS if sums else PHASE_GRADIENTS
    n = 1
    if optimizer.step != FNN_STEP_ELEMENTS:
        kind[n] = PHASE_DIRECTIONS
        n += 1
    if optimizer.step == FNN_STEP_FACTORED:
        kind[n] = PHASE_FACTORS
        kind[n + 1] = PHASE_FACTORED
        n += 2
    elif optimizer.step == FNN_STEP_ORTHOGONAL:
        turns = <int>optimizer.hyper[ORTHOGONAL_TURNS]
        kind[n] = PHASE_NORMALIZE
        stretch[n] = Stretch(0, 0, 0, 0, ENDING_NONE)
        n += 1
        for turn in range(turns):
            kind[n] = PHASE_GRAM
            kind[n + 1] = PHASE_POLYNOMIAL
            kind[n + 2] = PHASE_PRODUCT
            stretch[n] = stretch[n + 1] = stretch[n + 2] = Stretch(turn, 0, 0, 0, ENDING_NONE)
            n += 3
    kind[n] = PHASE_STEPS
    stretch[n] = Stretch(turns, 0, 0, 0, ENDING_NONE)
    return n + 1


cdef double most_step_phases(const Optimizer *optimizer) noexcept:
    """No fewer than `step_phases` lists; a number of turns may be anything still."""
    return 5.0 + (3.0 * optimizer.hyper[ORTHOGONAL_TURNS] if optimizer.step == FNN_STEP_ORTHOGONAL else 0.0)


cdef inline real *sums_of(const Space *space, const Plan *plan, real *work, int which) noexcept nogil:
    return work + space.sums + which * plan.sums


cdef inline double *totals_of(const Space *space, const Plan *plan, real *work, int thread, int which) noexcept nogil:
    return <double *>(work + space.totals + thread * space.totals_size) + which * plan.variables


cdef double *add_up(const Plan *plan, const Space *space, real *work, int which, int thread) noexcept nogil:
    # this thread's totals of a set of sums
    cdef double *totals = totals_of(space, plan, work, thread, which)
    cdef const real *sums = sums_of(space, plan, work, which)
    cdef double lanes[16]
    cdef Py_ssize_t i
    for i in range(plan.variables):
        memset(lanes, 0, sizeof(lanes))
        plan.kernels.sum_lanes(plan.variable[i].parts, sums + plan.variable[i].sums, lanes)
        totals[i] = tree_sum(lanes)
    return totals


cdef void shares_of_gradients(const Plan *plan, const Optimizer *optimizer, double *totals) noexcept nogil:
    # totals (IN: sums of squares of gradients; OUT: what each gradient is multiplied by)
    cdef double limit = optimizer.clipnorm if optimizer.clipnorm > 0.0 else optimizer.global_clipnorm, norm, everything = 0.0
    cdef Py_ssize_t i
    for i in range(plan.variables):
        everything += totals[i]
    for i in range(plan.variables):
        norm = sqrt(totals[i] if optimizer.clipnorm > 0.0 else everything)
        totals[i] = 1.0 if norm <= limit else limit / norm


cdef void lengths_of_steps(const Plan *plan, const Optimizer *optimizer, const Move *move, const double *weights,
                           double *totals) noexcept nogil:
    # totals (IN: sums of squares of directions; OUT: how far weights go along them); weights: sums of squares
    cdef const double *p = &optimizer.hyper[0]
    cdef double elements, spread
    cdef Py_ssize_t i
    for i in range(plan.variables):
        elements = <double>plan.variable[i].rows * <double>plan.variable[i].columns
        if optimizer.step == FNN_STEP_TRUST:
            # You et al., "Large batch optimization for deep learning" (2020), algorithm 2
            totals[i] = move.rate * (sqrt(weights[i]) / sqrt(totals[i]) if weights[i] > 0.0 and totals[i] > 0.0 else 1.0)
        elif optimizer.step == FNN_STEP_FACTORED:
            spread = sqrt(totals[i] / elements) / p[FACTORED_LIMIT]
            totals[i] = max(p[FACTORED_EPSILON], sqrt(weights[i] / elements)) * move.rate / (1.0 if spread <= 1.0 else spread)
        elif p[ORTHOGONAL_RATE] >= 0.0:
            totals[i] = move.rate * p[ORTHOGONAL_RATE] * sqrt(<double>max(plan.variable[i].rows, plan.variable[i].columns))
        else:
            totals[i] = move.rate


cdef void whole_begin(PhaseKind kind, const Plan *plan, const Space *space, const Optimizer *optimizer, const Move *move, real *work,
                      const real *parameters, int thread) noexcept nogil:
    """What a thread must know of whole variables in a phase, from what the phases before left."""
    cdef const double *weights
    if kind == (PHASE_STEPS if optimizer.step == FNN_STEP_ELEMENTS else PHASE_DIRECTIONS):
        if shortens(optimizer):
            shares_of_gradients(plan, optimizer, add_up(plan, space, work, GRADIENTS, thread))
    elif kind == PHASE_STEPS:
        weights = add_up(plan, space, work, WEIGHTS, thread)
        lengths_of_steps(plan, optimizer, move, weights, add_up(plan, space, work, DIRECTIONS, thread))
    elif kind == PHASE_NORMALIZE:
        add_up(plan, space, work, DIRECTIONS, thread)
    elif kind == PHASE_FACTORED:
        row_means(plan, parameters, totals_of(space, plan, work, thread, SHORTENED))


cdef bint whole_share(PhaseKind kind, const Plan *plan, const Space *space, const Optimizer *optimizer, real *work, real *parameters,
                      const real *h, Py_ssize_t turn, int thread, int team) noexcept nogil:
    """This thread's share of a phase that goes by rows and columns of variables; returns whether it is one."""
    cdef double *norms
    cdef Py_ssize_t i
    if kind == PHASE_FACTORS:
        factors_share(plan, work + space.partials, sums_of(space, plan, work, SHORTENED), parameters, h,
                      work + space.scratch + thread * space.scratch_size, thread, team)
    elif kind == PHASE_NORMALIZE or kind == PHASE_GRAM or kind == PHASE_POLYNOMIAL or kind == PHASE_PRODUCT:
        norms = totals_of(space, plan, work, thread, DIRECTIONS)
        if kind == PHASE_NORMALIZE:
            for i in range(plan.variables):
                norms[i] = sqrt(norms[i])
        orthogonal_share(kind, plan, space, work, norms, &optimizer.hyper[ORTHOGONAL_POLYNOMIAL], turn, thread, team)
    else:
        return False
    return True


cdef void whole_pass(PhaseKind kind, const Plan *plan, const Space *space, const Optimizer *optimizer, const Move *move, real *work,
                     real *parameters, real *transposed, const real *h, Py_ssize_t rows, Py_ssize_t blocks, Py_ssize_t first,
                     Py_ssize_t last, Py_ssize_t turn, int thread) noexcept nogil:
    """Tiles [first, last) in one of the other phases; arguments as of ``tiles_pass``; turn: how many there were."""
    cdef real *scratch = work + space.scratch + thread * space.scratch_size
    cdef real *room = scratch + space.scratch_size - ROOM
    cdef real *gradients = work + space.partials
    cdef const double *share = totals_of(space, plan, work, thread, GRADIENTS)
    cdef const Tile *tile
    cdef real *g
    cdef Py_ssize_t i
    cdef int shorten = SHORTEN if shortens(optimizer) else 0
    for i in range(first, last):
        tile = &plan.tile[i]
        g = gradients + tile.place
        if kind == PHASE_GRADIENTS or kind == PHASE_SUMS_GRADIENTS:
            batch_gradient(plan, space, tile, work, rows, blocks, g, tile.stride)
            if (tile.penalised or tile.sloped) and not space.bare:
                penalize_tile(plan, space, tile, work, parameters, g, tile.stride, move.penalty)
            if optimizer.accumulated > 0:
                tile_stages(GATHER if move.update else GATHER | AVERAGE, plan, optimizer, move, NULL, tile, g, tile.stride, parameters, h,
                            scratch, room)
                if not move.update and (move.overwrite or tile.limited):
                    finish_tile(plan, tile, work, parameters, transposed, scratch)
            if shorten and move.update:
                add_squares(plan, tile, gradients, sums_of(space, plan, work, GRADIENTS))
        elif kind == PHASE_DIRECTIONS:
            tile_stages(shorten | DIRECT, plan, optimizer, move, share, tile, g, tile.stride, parameters, h, scratch, room)
            add_squares(plan, tile, parameters, sums_of(space, plan, work, WEIGHTS))
            add_squares(plan, tile, gradients, sums_of(space, plan, work, DIRECTIONS))
            if optimizer.step == FNN_STEP_FACTORED:
                add_squares(plan, tile, gradients, sums_of(space, plan, work, SHORTENED))
            elif optimizer.step == FNN_STEP_ORTHOGONAL:
                orthogonal_put(plan, space, tile, gradients, work)
        elif kind == PHASE_FACTORED:
            factored_tile(plan, tile, parameters, totals_of(space, plan, work, thread, SHORTENED), gradients)
            add_squares(plan, tile, gradients, sums_of(space, plan, work, DIRECTIONS))
        else:
            if optimizer.step == FNN_STEP_ORTHOGONAL:
                orthogonal_take(plan, space, tile, work, turn, gradients)
            if optimizer.step == FNN_STEP_ELEMENTS:
                tile_stages(shorten | STEP | AVERAGE, plan, optimizer, move, share, tile, g, tile.stride, parameters, h, scratch, room)
            else:
                tile_stages(MOVE | AVERAGE, plan, optimizer, move, totals_of(space, plan, work, thread, DIRECTIONS), tile, g, tile.stride,
                            parameters, h, scratch, room)
            finish_tile(plan, tile, work, parameters, transposed, scratch)
