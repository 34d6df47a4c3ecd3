"""Orthogonal directions: a kernel's direction with all its singular values brought near one, by Newton and Schulz's iteration.

Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024). Of a direction with more columns than rows, or as many,
the transpose is worked on, else the direction itself: a tall matrix T, brought to norm 1. Each turn is ``G = T' T``,
``P = a I + b G + c G G``, ``T = T P``, by the register tiles of the dense layers, whose sums run in index order. G and P are symmetric
to the last bit, since the products of numbers are.
"""
from libc.string cimport memcpy

from fastnn.kernels.dense cimport multiply
from fastnn.kernels.pieces cimport pieces_of
from fastnn.kernels.plan cimport (
    COLUMN_ALIGN,
    PHASE_GRAM,
    PHASE_NORMALIZE,
    PHASE_POLYNOMIAL,
    PhaseKind,
    Piece,
    Plan,
    Space,
    Tile,
    Variable,
    round_up,
    share,
)
from fastnn.kernels.runtime cimport real

cdef double SAFE = 1e-7  # added to a norm, as in Keras


cdef inline Py_ssize_t tall(const Variable *v) noexcept nogil:
    return max(v.rows, v.columns)


cdef inline Py_ssize_t stride_of(const Variable *v) noexcept nogil:
    return round_up(min(v.rows, v.columns), COLUMN_ALIGN)


cdef Py_ssize_t matrix_elements(const Variable *v) noexcept:
    """Room that a kernel needs: T and the next one, each row padded with zeros, then G and P likewise."""
    return 2 * (tall(v) + min(v.rows, v.columns)) * stride_of(v)


cdef inline Py_ssize_t place_of(const Space *space, const Variable *v, Py_ssize_t turn) noexcept nogil:
    # T before a turn
    return space.matrices + v.matrix + turn % 2 * tall(v) * stride_of(v)


cdef void orthogonal_put(const Plan *plan, const Space *space, const Tile *tile, const real *directions, real *work) noexcept nogil:
    """What of a kernel lies in the tile, from the directions (laid out as the parameters) to its T."""
    copy(plan, space, tile, work, 0, <real *>directions, True)


cdef void orthogonal_take(const Plan *plan, const Space *space, const Tile *tile, const real *work, Py_ssize_t turns,
                          real *directions) noexcept nogil:
    """The same back, after so many turns."""
    copy(plan, space, tile, <real *>work, turns, directions, False)


cdef void copy(const Plan *plan, const Space *space, const Tile *tile, real *work, Py_ssize_t turn, real *directions,
               bint put) noexcept nogil:
    cdef Piece piece[2]
    cdef const Variable *v = &plan.variable[tile.variable]
    cdef Py_ssize_t ld = stride_of(v), r, start
    cdef real *t = work + place_of(space, v, turn)
    cdef real *d
    if tile.layer < 0 or not v.orthogonal or pieces_of(plan, tile, piece) == 0 or piece[0].variable != tile.variable \
            or not piece[0].trained:
        return
    d = directions + piece[0].place
    start = plan.layer[tile.layer].panel[tile.panel].start
    if plan.layer[tile.layer].narrow:  # a column of the kernel a run; more rows than columns
        t += start * ld
    elif v.rows <= v.columns:
        t += start * ld + tile.begin
    else:
        t += tile.begin * ld + start
        for r in range(piece[0].rows):
            if put:
                memcpy(t + r * ld, d + r * piece[0].stride, piece[0].columns * sizeof(real))
            else:
                memcpy(d + r * piece[0].stride, t + r * ld, piece[0].columns * sizeof(real))
        return
    if put:
        plan.kernels.transpose(piece[0].rows, piece[0].columns, d, piece[0].stride, t, ld)
    else:
        plan.kernels.transpose(piece[0].columns, piece[0].rows, t, ld, d, piece[0].stride)


cdef void orthogonal_share(PhaseKind kind, const Plan *plan, const Space *space, real *work, const double *norm, const double *polynomial,
                           Py_ssize_t turn, int thread, int team) noexcept nogil:
    """This thread's rows of each kernel's matrices in one phase of a turn. norm: of each variable's direction; polynomial: a, b, c."""
    cdef const Variable *v
    cdef Py_ssize_t i, r, n, ld, rows, first, last
    cdef real *t
    cdef real *out
    cdef real *gram
    cdef real *p
    for i in range(plan.variables):
        v = &plan.variable[i]
        if not (v.orthogonal and v.trained):
            continue
        n = min(v.rows, v.columns)
        ld = stride_of(v)
        t = work + place_of(space, v, turn)
        out = work + place_of(space, v, turn + 1)
        gram = work + place_of(space, v, 0) + 2 * tall(v) * ld
        p = gram + n * ld
        rows = n if kind == PHASE_GRAM or kind == PHASE_POLYNOMIAL else tall(v)
        first = share(rows, thread, team, 1)
        last = share(rows, thread + 1, team, 1)
        if first == last:
            continue
        if kind == PHASE_NORMALIZE:
            plan.kernels.blend((last - first) * ld, 1.0 / (norm[i] + SAFE), t + first * ld, 0.0, NULL, t + first * ld)
        elif kind == PHASE_GRAM:
            multiply(plan.kernels, n, t + first, 1, ld, t, ld, gram + first * ld, ld, tall(v), last - first)
        elif kind == PHASE_POLYNOMIAL:
            multiply(plan.kernels, n, gram + first * ld, ld, 1, gram, ld, p + first * ld, ld, n, last - first)
            plan.kernels.blend((last - first) * ld, polynomial[1], gram + first * ld, polynomial[2], p + first * ld, p + first * ld)
            for r in range(first, last):
                p[r * ld + r] += <real>polynomial[0]
        else:
            multiply(plan.kernels, n, t + first * ld, ld, 1, p, ld, out + first * ld, ld, n, last - first)
