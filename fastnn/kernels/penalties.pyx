"""Penalties on weights: their slopes, which go into the gradients tile by tile, and their sums, which go into the loss.

The loss of a batch has the penalty of the weights before its step, so a tile leaves its part where it adds the slopes. Sums run over the
partial sums of ``Variable`` and then in 16 lanes of float64: an order that neither tiles nor threads change. Of penalties that look at
whole variables, phases before that of the tiles have left the slopes (``angles.pyx``, ``own_calls.pyx``). Limits of weights, which
tiles keep after their step, stand here too.
"""
from libc.string cimport memset

from fastnn.kernels.angles cimport angles_now, angles_penalty
from fastnn.kernels.pieces cimport pieces_of
from fastnn.kernels.plan cimport CONSTRAINT_LIMITS, Piece, Plan, Space, Tile, Variable, tree_sum
from fastnn.kernels.runtime cimport real


cdef void penalize_tile(const Plan *plan, const Space *space, const Tile *tile, real *work, const real *parameters, real *gradient,
                        Py_ssize_t row, double scale) noexcept nogil:
    """Add `scale` times the slopes of the penalties to one tile's gradient (IN and OUT: its runs, `row` apart; or NULL), and leave their
    sums, as they are."""
    cdef Piece piece[2]
    cdef const Piece *p
    cdef const Variable *v
    cdef Py_ssize_t run, step
    cdef real *sums = work + space.penalties
    cdef real *g
    cdef double scaled[2]
    cdef int i
    for i in range(pieces_of(plan, tile, piece)):
        p = &piece[i]
        v = &plan.variable[p.variable]
        if not v.trained or (v.penalty[0] == 0 and v.penalty[1] == 0):
            continue
        plan.kernels.penalty_columns(p.rows, p.columns, parameters + p.place, p.stride, v.penalty, sums + p.sums)
        if gradient != NULL:
            g = gradient + (p.place - tile.place)
            step = p.stride if tile.runs == 1 else row
            scaled[0] = scale * v.penalty[0]
            scaled[1] = scale * v.penalty[1]
            plan.kernels.add_slopes(p.rows, p.columns, parameters + p.place, p.stride, scaled, g, step, g, step)
    if tile.sloped and gradient != NULL:
        for run in range(tile.runs):
            plan.kernels.accumulate(tile.length, work + space.slopes + tile.place + run * tile.stride, gradient + run * row)


cdef void limit_tile(const Plan *plan, const Tile *tile, real *parameters) noexcept nogil:
    """Keep one tile's weights (IN and OUT) between the numbers that are asked for."""
    cdef Piece piece[2]
    cdef const Variable *v
    cdef int i
    for i in range(pieces_of(plan, tile, piece)):
        v = &plan.variable[piece[i].variable]
        if v.trained and v.constraint == CONSTRAINT_LIMITS:
            plan.kernels.limit(piece[i].rows, piece[i].columns, parameters + piece[i].place, piece[i].stride, v.least, v.most)


cdef bint has_penalties(const Plan *plan) noexcept nogil:
    """Whether there are any whose value native code computes."""
    return plan.penalised or plan.angles > 0


cdef double penalty_of(const Plan *plan, const Space *space, const void *work, double scale) noexcept nogil:
    """The penalty, from the sums that all tiles and phases left; that of single weights `scale` times; without that of somebody's own."""
    cdef double lanes[16]
    cdef Py_ssize_t i, itemsize = <Py_ssize_t>plan.kernels.itemsize
    cdef const Variable *v
    memset(lanes, 0, sizeof(lanes))
    for i in range(plan.variables):
        v = &plan.variable[i]
        if v.trained and (v.penalty[0] != 0 or v.penalty[1] != 0):
            plan.kernels.sum_lanes(v.parts, <const char *>work + (space.penalties + v.sums) * itemsize, lanes)
    return scale * tree_sum(lanes) + angles_penalty(plan, space, work)


cdef double penalty_now(const Plan *plan, const Space *space, void *work, const void *parameters, double scale) noexcept nogil:
    """The same of these weights, by one thread."""
    cdef Py_ssize_t i
    for i in range(plan.tiles):
        if not plan.tile[i].penalised:
            continue
        if plan.kernels.itemsize == 4:
            penalize_tile[float](plan, space, &plan.tile[i], <float *>work, <const float *>parameters, NULL, 0, 1.0)
        else:
            penalize_tile[double](plan, space, &plan.tile[i], <double *>work, <const double *>parameters, NULL, 0, 1.0)
    angles_now(plan, space, work, parameters)
    return penalty_of(plan, space, work, scale)
