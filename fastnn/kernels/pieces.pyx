"""What an optimizer does to the pieces of variables in a tile, where it treats variables one by one.

A tile may hold a kernel and its bias, which may differ: in whether they are trained, whether they decay, and what their gradients are
multiplied by. The bias of a narrow layer lies scattered among the kernel's runs of whole vectors. It is copied out first, and copied
back when the runs are done.

Tiles and panels differ from one instruction set to the next, so a sum over a variable goes by its own rows and columns: the squares of
each column are added by fma in index order, in blocks of ``TILE_BLOCK`` rows, which no tile crosses; of a narrow kernel, whose runs
are its columns, those of each row. The partial sums lie in the order of the variable's own indices and are added in double, in 16
virtual lanes and one tree (``whole.pyx``).
"""
from libc.string cimport memcpy, memset

from fastnn.kernels.csrc cimport (
    FNN_HYPER_DECAY,
    FNN_HYPER_MAX,
    FNN_STEP_FACTORED,
    FNN_STEP_ORTHOGONAL,
    FNN_OPTIMIZER_adam,
    fnn_kernels,
)
from fastnn.kernels.optimizers cimport Move, Optimizer, slots_in_all
from fastnn.kernels.plan cimport COLUMN_ALIGN, TILE_BLOCK, Layer, Piece, Plan, Tile, Variable, is_kernel
from fastnn.kernels.runtime cimport real


cdef int pieces_of(const Plan *plan, const Tile *tile, Piece *piece) noexcept nogil:
    """piece (OUT, room for two): the pieces of a tile, of a kernel before that of its bias; returns how many there are."""
    cdef const Variable *v = &plan.variable[tile.variable]
    cdef const Layer *layer = &plan.layer[tile.layer]
    cdef Py_ssize_t n, start, width
    cdef int found = 0
    if tile.layer < 0:
        piece[0] = Piece(tile.variable, tile.place, 1, tile.length, tile.length, v.columns, v.sums, False, v.trained)
        return 1
    start = layer.panel[tile.panel].start
    width = layer.panel[tile.panel].width
    if layer.narrow:
        n = min(width, layer.inputs - start)
        if n > 0:
            piece[0] = Piece(tile.variable, tile.place, tile.runs, width, tile.stride, n, v.sums + start, False, v.trained)
            found = 1
        if layer.bias and 0 <= layer.inputs - start < width:
            v += 1
            piece[found] = Piece(tile.variable + 1, tile.place + layer.inputs - start, tile.runs, 1, tile.stride, 1, v.sums, True,
                                 v.trained)
            found += 1
        return found
    n = min(tile.end, layer.inputs) - tile.begin
    if n > 0:
        piece[0] = Piece(tile.variable, tile.place, n, width, width, layer.panel[tile.panel].columns,
                         v.sums + tile.begin // TILE_BLOCK * layer.units + start, False, v.trained)
        found = 1
    if tile.end > layer.inputs:
        v += 1
        piece[found] = Piece(tile.variable + 1, tile.place + n * width, 1, width, width, layer.panel[tile.panel].columns, v.sums + start,
                             False, v.trained)
        found += 1
    return found


cdef void add_squares(const Plan *plan, const Tile *tile, const real *x, real *sums) noexcept nogil:
    """Of the squares of a tile of x (laid out as the parameters): the partial sums (OUT, a set of them)."""
    cdef Piece piece[2]
    cdef int i
    for i in range(pieces_of(plan, tile, piece)):
        if piece[i].trained:
            plan.kernels.column_sums(piece[i].rows, piece[i].columns, x + piece[i].place, piece[i].stride, x + piece[i].place,
                                     piece[i].stride, sums + piece[i].sums, False)


cdef void fill_coefficients(const double *h, const Move *move, real *coefficient) noexcept nogil:
    """coefficient (OUT: four sets of FNN_HYPER_MAX): those of a step, the same without decay, and both of ``move.other``."""
    cdef int i, spared
    for spared in range(2):
        for i in range(FNN_HYPER_MAX):
            coefficient[spared * FNN_HYPER_MAX + i] = <real>0 if spared and i == FNN_HYPER_DECAY else <real>h[i]
            coefficient[(2 + spared) * FNN_HYPER_MAX + i] = <real>0 if spared and i == FNN_HYPER_DECAY else <real>move.other[i]


cdef void piece_stages(int stages, const Plan *plan, const Optimizer *optimizer, const Move *move, const double *factor,
                       Py_ssize_t variable, Py_ssize_t n, real **at, const real *h, real *scratch) noexcept nogil:
    # at: gradient, weights, slots, n whole vectors each; factor: of each variable, where a stage needs it; scratch: room for n
    cdef const fnn_kernels *k = plan.kernels
    cdef real *average = at[2 + optimizer.slots]
    cdef real *waiting = at[2 + optimizer.slots + (1 if optimizer.averages else 0)]
    cdef const Variable *v = &plan.variable[variable]
    cdef int kind = optimizer.kind
    if not v.decays:
        h += FNN_HYPER_MAX
    if optimizer.step == FNN_STEP_ORTHOGONAL and not v.orthogonal:
        kind = FNN_OPTIMIZER_adam
        h += 2 * FNN_HYPER_MAX
        stages = stages & ~(DIRECT | MOVE) | (STEP if stages & DIRECT else 0)
    if stages & GATHER and optimizer.accumulated > 0:
        if move.update:
            k.blend(n, move.share, at[0], move.share, waiting, at[0])
            memset(waiting, 0, n * sizeof(real))
        else:
            k.accumulate(n, at[0], waiting)
    if stages & SHORTEN and factor[variable] != 1.0:
        k.blend(n, factor[variable], at[0], 0.0, NULL, at[0])
    if stages & (STEP | DIRECT) and optimizer.before:
        k.clip_and_decay(n, at[0], at[1], h)
    if stages & STEP:
        k.optimizer[kind](n, at[0], at[1], at[2], at[3], at[4], h)
    if stages & DIRECT and not (optimizer.step == FNN_STEP_FACTORED and is_kernel(v)):
        memset(scratch, 0, n * sizeof(real))
        k.optimizer[kind](n, at[0], scratch, at[2], at[3], at[4], h)
        memcpy(at[0], scratch, n * sizeof(real))
    if stages & MOVE:
        k.blend(n, -factor[variable], at[0], 1.0, at[1], at[1])
    if stages & AVERAGE and optimizer.averages:
        k.blend(n, move.keep, average, 1.0 - move.keep, at[1], average)
        if move.overwrite:
            memcpy(at[1], average, n * sizeof(real))


cdef void tile_stages(int stages, const Plan *plan, const Optimizer *optimizer, const Move *move, const double *factor, const Tile *tile,
                      real *g, Py_ssize_t row, real *parameters, const real *h, real *scratch, real *room) noexcept nogil:
    """Do what `stages` says to a tile.

    g (IN and OUT): its gradient, runs `row` apart; parameters (IN and OUT): weights, then the slots; h: what `fill_coefficients` gives;
    scratch: room for a tile, where directions are asked for; room: ROOM elements.
    """
    cdef Piece piece[2]
    cdef const Piece *p
    cdef real *at[BUFFERS]
    cdef Py_ssize_t buffers = 1 + slots_in_all(optimizer), b, r, base
    cdef int pieces = pieces_of(plan, tile, piece), i
    memset(at, 0, sizeof(at))
    for i in range(pieces):
        p = &piece[i]
        if not p.scattered:
            continue
        memset(room, 0, ROOM * sizeof(real))
        for r in range(p.rows):
            room[r] = g[p.place - tile.place + r * row]
            for b in range(buffers):
                room[(1 + b) * COLUMN_ALIGN + r] = parameters[b * plan.parameters + p.place + r * p.stride]
    for i in range(pieces):
        p = &piece[i]
        if p.scattered:
            for b in range(1 + buffers):
                at[b] = room + b * COLUMN_ALIGN
            if p.trained:
                piece_stages(stages, plan, optimizer, move, factor, p.variable, COLUMN_ALIGN, at, h, scratch)
            for r in range(p.rows):
                g[p.place - tile.place + r * row] = room[r]
                for b in range(buffers):
                    parameters[b * plan.parameters + p.place + r * p.stride] = room[(1 + b) * COLUMN_ALIGN + r]
            continue
        if not p.trained:
            continue
        base = p.rows if p.stride == p.width else 1  # runs that lie one behind the other go at once
        r = 0
        while r < p.rows:
            at[0] = g + (p.place - tile.place) + r * row
            for b in range(buffers):
                at[1 + b] = parameters + b * plan.parameters + p.place + r * p.stride
            piece_stages(stages, plan, optimizer, move, factor, p.variable, base * p.width, at, h, scratch)
            r += base
