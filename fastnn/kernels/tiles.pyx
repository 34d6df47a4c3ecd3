"""The tiles phase: gradients of weight tiles summed over the batch, and the optimizer at once on each.

Elements of a gradient do not depend on one another, so a caller hands each thread tiles of its own. Sums over rows are taken in
blocks of ``SUM_ROWS`` rows in index order, then the blocks' sums in order, so that they do not depend on who computed the blocks.
"""
from libc.string cimport memcpy

from fastnn.kernels.csrc cimport FNN_HYPER_DECAY, FNN_HYPER_MAX, FNN_SLOTS_MAX
from fastnn.kernels.dense cimport narrow_gradient, refresh_transposed, wide_gradient
from fastnn.kernels.operations cimport operation_gradient
from fastnn.kernels.optimizers cimport Move, Optimizer
from fastnn.kernels.penalties cimport limit_tile, penalize_tile
from fastnn.kernels.pieces cimport AVERAGE, GATHER, ROOM, STEP, tile_stages
from fastnn.kernels.plan cimport SUM_ROWS, Layer, Plan, Space, Tile, Variable
from fastnn.kernels.reduced cimport reduced_gradient, reduced_refresh
from fastnn.kernels.runtime cimport real
from fastnn.kernels.tiling cimport continues

cdef enum:
    NARROW_RUN = 64  # elements of a run of a narrow layer's tile, at most: a panel's width


cdef void tile_gradient(const Plan *plan, const Tile *tile, const real *work, Py_ssize_t begin, Py_ssize_t rows, real *gradient,
                        Py_ssize_t stride, bint add) noexcept nogil:
    cdef const Layer *layer = &plan.layer[tile.layer]
    if tile.layer < 0:
        operation_gradient(plan, tile, work, begin, rows, gradient, add)
        return
    if real is float:
        if plan.reduced != NULL and plan.reduced[tile.layer].on:
            reduced_gradient(plan, tile, work, begin, rows, gradient, add)
            return
    if layer.narrow:
        narrow_gradient(plan.kernels, layer, work, begin, rows, tile.panel, gradient, stride, add)
    else:
        wide_gradient(plan.kernels, layer, work, begin, rows, tile.panel, tile.begin, tile.end, gradient, add)


cdef double tile_cost(const Plan *plan, Py_ssize_t index) noexcept nogil:
    """Elements of a tile, which its cost is proportional to."""
    return <double>plan.tile[index].runs * <double>plan.tile[index].length


cdef void block_gradients(const Plan *plan, const real *work, Py_ssize_t begin, Py_ssize_t rows, real *gradients) noexcept nogil:
    """gradients (OUT: as the parameters lie) over at most SUM_ROWS rows."""
    cdef Py_ssize_t i
    for i in range(plan.tiles):
        tile_gradient(plan, &plan.tile[i], work, begin, rows, gradients + plan.tile[i].place, plan.tile[i].stride, False)


cdef void batch_gradient(const Plan *plan, const Space *space, const Tile *tile, real *work, Py_ssize_t rows, Py_ssize_t blocks,
                         real *gradient, Py_ssize_t stride) noexcept nogil:
    """gradient (OUT: the tile's runs, `stride` apart) over the batch's `rows` rows, or, if `blocks`, the sum of so many blocks', which may
    take the place of the first block's."""
    cdef Py_ssize_t begin = 0, run, b
    cdef const real *block
    if blocks == 0:
        while begin < rows:
            tile_gradient(plan, tile, work, begin, min(<Py_ssize_t>SUM_ROWS, rows - begin), gradient, stride, begin > 0)
            begin += SUM_ROWS
        return
    for run in range(tile.runs):
        block = work + space.partials + tile.place + run * tile.stride
        if block != gradient + run * stride:
            memcpy(gradient + run * stride, block, tile.length * sizeof(real))
        for b in range(1, blocks):
            plan.kernels.accumulate(tile.length, block + b * plan.parameters, gradient + run * stride)


cdef void step_run(const Plan *plan, const Optimizer *optimizer, Py_ssize_t n, real *g, real *parameters, Py_ssize_t at,
                   const real *h) noexcept nogil:
    """One optimizer step on n parameters from place `at` on. g (IN, may be clipped): their gradient; parameters (IN and OUT): all
    weights, then the slots."""
    cdef real *w = parameters + at
    if optimizer.before:
        plan.kernels.clip_and_decay(n, g, w, h)
    plan.kernels.optimizer[optimizer.kind](n, g, w, w + plan.parameters, w + 2 * plan.parameters, w + 3 * plan.parameters, h)


cdef void step_parts(const Plan *plan, const Tile *tile, const Optimizer *optimizer, real *g, real *parameters, Py_ssize_t at,
                     const real *h) noexcept nogil:
    """The same for a run of a tile of whose variables more is asked."""
    cdef real[FNN_HYPER_MAX] own
    cdef real[(1 + FNN_SLOTS_MAX) * NARROW_RUN] kept
    cdef Py_ssize_t first = 0, n, slot
    cdef int part, i
    cdef const Variable *v
    cdef real *w = parameters + at
    for i in range(FNN_HYPER_MAX):
        own[i] = h[i]
    for part in range(2):
        n = tile.split if part == 0 else tile.length - tile.split
        if n > 0:
            v = &plan.variable[tile.variable + part]
            if v.trained and optimizer.before:
                own[FNN_HYPER_DECAY] = h[FNN_HYPER_DECAY] if v.decays else <real>0
                plan.kernels.clip_and_decay(n, g + first, w + first, own)
            elif not v.trained:  # only where it shares vectors with what is: on the runs of narrow layers
                for slot in range(1 + optimizer.slots):
                    memcpy(kept + slot * NARROW_RUN + first, w + slot * plan.parameters + first, n * sizeof(real))
        first += n
    plan.kernels.optimizer[optimizer.kind](tile.length, g, w, w + plan.parameters, w + 2 * plan.parameters, w + 3 * plan.parameters, h)
    first = 0
    for part in range(2):
        n = tile.split if part == 0 else tile.length - tile.split
        if n > 0 and not plan.variable[tile.variable + part].trained:
            for slot in range(1 + optimizer.slots):
                memcpy(w + slot * plan.parameters + first, kept + slot * NARROW_RUN + first, n * sizeof(real))
        first += n


cdef void step_tile(const Plan *plan, const Tile *tile, const Optimizer *optimizer, real *gradient, real *parameters,
                    const real *h) noexcept nogil:
    """One optimizer step with coefficients `h` on one tile. gradient (IN, may be clipped: runs x length); parameters (IN and OUT)."""
    cdef Py_ssize_t run
    for run in range(tile.runs):
        if tile.plain:
            step_run(plan, optimizer, tile.length, gradient + run * tile.length, parameters, tile.place + run * tile.stride, h)
        else:
            step_parts(plan, tile, optimizer, gradient + run * tile.length, parameters, tile.place + run * tile.stride, h)


cdef void refresh_tile(const Plan *plan, const Tile *tile, real *work, const real *parameters, real *transposed,
                       real *scratch) noexcept nogil:
    """What a training keeps of one tile's weights besides (OUT): the transposed copy, and the copies in bfloat16. scratch: half a tile."""
    if tile.layer < 0:
        return
    if plan.layer[tile.layer].transposed >= 0:
        refresh_transposed(plan.kernels, &plan.layer[tile.layer], parameters, transposed, tile.panel, tile.begin, tile.end)
    if real is float:
        if plan.reduced != NULL and plan.reduced[tile.layer].on:
            reduced_refresh(plan, tile, parameters, work, scratch)


cdef void tiles_pass(const Plan *plan, const Space *space, const Optimizer *optimizer, const Move *move, real *work, real *parameters,
                     real *transposed, const real *h, Py_ssize_t rows, Py_ssize_t blocks, Py_ssize_t first, Py_ssize_t last,
                     int thread) noexcept nogil:
    """Tiles [first, last): gradient over the batch (see ``batch_gradient``), then one optimizer step with coefficients `h` on parameters
    (IN and OUT: weights, then the slots), then what is kept of them besides."""
    cdef real *scratch = work + space.scratch + thread * space.scratch_size
    cdef real *gradient
    cdef Py_ssize_t i, joined
    cdef const Tile *tile
    cdef Tile joint
    while first < last:
        joint = plan.tile[first]
        joined = 1
        while blocks == 0 and first + joined < last and continues(plan, first + joined):
            joint.end = plan.tile[first + joined].end
            joint.length += plan.tile[first + joined].length
            joined += 1
        batch_gradient(plan, space, &joint, work, rows, blocks, scratch, joint.length)
        gradient = scratch
        for i in range(first, first + joined):
            tile = &plan.tile[i]
            if (tile.penalised or tile.sloped) and not space.bare:
                penalize_tile(plan, space, tile, work, parameters, gradient, tile.length, move.penalty)
            if optimizer.by_variable:
                tile_stages(GATHER | STEP | AVERAGE if move.update else GATHER | AVERAGE, plan, optimizer, move, NULL, tile, gradient,
                            tile.length, parameters, h, gradient, scratch + space.scratch_size - ROOM)
            else:
                step_tile(plan, tile, optimizer, gradient, parameters, h)
            finish_tile(plan, tile, work, parameters, transposed, gradient)
            gradient += tile.length
        first += joined


cdef void finish_tile(const Plan *plan, const Tile *tile, real *work, real *parameters, real *transposed, real *scratch) noexcept nogil:
    """What comes after a step of one tile: limits of its weights, and what is kept of them besides, unless a later phase changes them."""
    if tile.limited:
        limit_tile(plan, tile, parameters)
    if not tile.unfinished:
        refresh_tile(plan, tile, work, parameters, transposed, scratch)


cdef void refresh_pass(const Plan *plan, const Space *space, real *work, const real *parameters, real *transposed, Py_ssize_t first,
                       Py_ssize_t last, int thread) noexcept nogil:
    """What is kept of the weights of tiles [first, last) besides (OUT), where a later phase changed them."""
    cdef real *scratch = work + space.scratch + thread * space.scratch_size
    cdef Py_ssize_t i
    for i in range(first, last):
        if plan.tile[i].unfinished:
            refresh_tile(plan, &plan.tile[i], work, parameters, transposed, scratch)


cdef void refresh_all(const Plan *plan, const real *weights, real *transposed) noexcept nogil:
    """The transposed copies (OUT) of all layers that have one."""
    cdef Py_ssize_t i, p
    for i in range(plan.layers):
        if plan.layer[i].transposed >= 0:
            for p in range(plan.layer[i].panels):
                refresh_transposed(plan.kernels, &plan.layer[i], weights, transposed, p, 0, plan.layer[i].inputs)
