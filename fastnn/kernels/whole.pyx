"""Steps that look at whole variables: the phases into which that of the tiles is cut, with a barrier after each.

First all gradients are stored, laid out as the parameters, with the partial sums of their squares. Every thread then adds those up for
itself, always in the same order, and steps its tiles: with gradients shortened to a norm. An optimizer whose step is a direction times
a number for each variable puts the directions in the gradients' place before, with the sums which that number takes.
"""
from libc.math cimport sqrt

from fastnn.kernels.penalties cimport penalize_tile
from fastnn.kernels.pieces cimport AVERAGE, GATHER, ROOM, SHORTEN, STEP, add_squares, tile_stages
from fastnn.kernels.plan cimport (
    PHASE_GRADIENTS,
    PHASE_STEPS,
    PHASE_SUMS_GRADIENTS,
    PHASE_SUMS_TILES,
    PHASE_TILES,
    Move,
    Optimizer,
    PhaseKind,
    Plan,
    Space,
    Tile,
    tree_sum,
)
from fastnn.kernels.runtime cimport real
from fastnn.kernels.tiles cimport batch_gradient, finish_tile

cdef enum:  # sets of sums
    GRADIENTS


cdef inline bint shortens(const Optimizer *optimizer) noexcept nogil:
    return optimizer.clipnorm > 0.0 or optimizer.global_clipnorm > 0.0


cdef int step_phases(const Optimizer *optimizer, bint sums, PhaseKind *kind) noexcept:
    """kind (OUT): the phases from a batch's deltas to the next weights; sums: blocks of rows have their gradients. Returns how many."""
    if not optimizer.stored:
        kind[0] = PHASE_SUMS_TILES if sums else PHASE_TILES
        return 1
    kind[0] = PHASE_SUMS_GRADIENTS if sums else PHASE_GRADIENTS
    kind[1] = PHASE_STEPS
    return 2


cdef inline real *sums_of(const Space *space, const Plan *plan, real *work, int which) noexcept nogil:
    return work + space.sums + which * plan.sums


cdef inline double *totals_of(const Space *space, const Plan *plan, real *work, int thread, int which) noexcept nogil:
    return <double *>(work + space.totals + thread * space.totals_size) + which * plan.variables


cdef void add_up(const Plan *plan, const Space *space, real *work, int which, int thread) noexcept nogil:
    # this thread's totals of a set of sums
    cdef double *totals = totals_of(space, plan, work, thread, which)
    cdef const real *sums = sums_of(space, plan, work, which)
    cdef double lanes[16]
    cdef Py_ssize_t i, j
    for i in range(plan.variables):
        for j in range(16):
            lanes[j] = 0.0
        plan.kernels.sum_lanes(plan.variable[i].parts, sums + plan.variable[i].sums, lanes)
        totals[i] = tree_sum(lanes)


cdef void shares_of_gradients(const Plan *plan, const Optimizer *optimizer, double *totals) noexcept nogil:
    # totals (IN: sums of squares of gradients; OUT: what each gradient is multiplied by)
    cdef double limit = optimizer.clipnorm if optimizer.clipnorm > 0.0 else optimizer.global_clipnorm, norm, everything = 0.0
    cdef Py_ssize_t i
    for i in range(plan.variables):
        everything += totals[i]
    for i in range(plan.variables):
        norm = sqrt(totals[i] if optimizer.clipnorm > 0.0 else everything)
        totals[i] = 1.0 if norm <= limit else limit / norm


cdef void whole_begin(PhaseKind kind, const Plan *plan, const Space *space, const Optimizer *optimizer, const Move *move, real *work,
                      int thread) noexcept nogil:
    """What a thread must know of whole variables in a phase, from the sums of the phases before."""
    if kind == PHASE_STEPS and shortens(optimizer):
        add_up(plan, space, work, GRADIENTS, thread)
        shares_of_gradients(plan, optimizer, totals_of(space, plan, work, thread, GRADIENTS))


cdef void whole_pass(PhaseKind kind, const Plan *plan, const Space *space, const Optimizer *optimizer, const Move *move, real *work,
                     real *parameters, real *transposed, const real *h, Py_ssize_t rows, Py_ssize_t blocks, Py_ssize_t first,
                     Py_ssize_t last, int thread) noexcept nogil:
    """Tiles [first, last) in one of the phases; arguments as of ``tiles_pass``."""
    cdef real *scratch = work + space.scratch + thread * space.scratch_size
    cdef real *room = scratch + space.scratch_size - ROOM
    cdef real *gradients = work + space.partials
    cdef const double *factor = totals_of(space, plan, work, thread, GRADIENTS)
    cdef const Tile *tile
    cdef real *g
    cdef Py_ssize_t i
    cdef int stages
    for i in range(first, last):
        tile = &plan.tile[i]
        g = gradients + tile.place
        if kind == PHASE_GRADIENTS or kind == PHASE_SUMS_GRADIENTS:
            batch_gradient(plan, space, tile, work, rows, blocks, g, tile.stride)
            if tile.penalised or tile.sloped:
                penalize_tile(plan, space, tile, work, parameters, g, tile.stride)
            if optimizer.accumulated > 0:
                stages = GATHER if move.update else GATHER | AVERAGE
                tile_stages(stages, plan, optimizer, move, NULL, tile, g, tile.stride, parameters, h, scratch, room)
                if not move.update and (move.overwrite or tile.limited):
                    finish_tile(plan, tile, work, parameters, transposed, scratch)
            if shortens(optimizer) and move.update:
                add_squares(plan, tile, gradients, sums_of(space, plan, work, GRADIENTS))
        elif kind == PHASE_STEPS:
            stages = SHORTEN | STEP | AVERAGE if shortens(optimizer) else STEP | AVERAGE
            tile_stages(stages, plan, optimizer, move, factor, tile, g, tile.stride, parameters, h, scratch, room)
            finish_tile(plan, tile, work, parameters, transposed, scratch)
