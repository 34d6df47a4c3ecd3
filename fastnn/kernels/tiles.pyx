"""The tiles phase: gradients of weight tiles summed over the batch, and the optimizer at once on each.

Elements of a gradient do not depend on one another, so a caller hands each thread tiles of its own. Sums over rows are taken in
blocks of ``SUM_ROWS`` rows in index order, then the blocks' sums in order, so that they do not depend on who computed the blocks.
"""
from libc.string cimport memcpy

from fastnn.kernels.csrc cimport fnn_kernels
from fastnn.kernels.dense cimport narrow_gradient, refresh_transposed, wide_gradient
from fastnn.kernels.plan cimport SUM_ROWS, Layer, Optimizer, Panel, Plan, Space, Tile, panel_at, panel_count
from fastnn.kernels.runtime cimport real


cdef void tile_gradient(const Plan *plan, const Tile *tile, const real *work, Py_ssize_t begin, Py_ssize_t rows, real *gradient,
                        Py_ssize_t stride, bint add) noexcept nogil:
    cdef const Layer *layer = &plan.layer[tile.layer]
    if layer.narrow:
        narrow_gradient(plan.kernels, layer, work, begin, rows, tile.panel, gradient, stride, add)
    else:
        wide_gradient(plan.kernels, layer, work, begin, rows, tile.panel, tile.begin, tile.end, gradient, add)


cdef inline Py_ssize_t tile_place(const Plan *plan, const Tile *tile, Py_ssize_t *width) noexcept nogil:
    # offset of a tile's first parameter; the width of its panel
    cdef const Layer *layer = &plan.layer[tile.layer]
    cdef Panel panel = panel_at(layer.stride if layer.narrow else layer.units, tile.panel, plan.kernels)
    width[0] = panel.vectors * <Py_ssize_t>plan.kernels.lanes
    if layer.narrow:
        return layer.weights + panel.start
    return layer.weights + (layer.inputs + 1) * panel.start + tile.begin * width[0]


cdef double tile_cost(const Plan *plan, Py_ssize_t index) noexcept nogil:
    """Elements of a tile, which its cost is proportional to."""
    cdef const Tile *tile = &plan.tile[index]
    cdef Py_ssize_t width
    tile_place(plan, tile, &width)
    return <double>width * (plan.layer[tile.layer].units if plan.layer[tile.layer].narrow else tile.end - tile.begin)


cdef void block_gradients(const Plan *plan, const real *work, Py_ssize_t begin, Py_ssize_t rows, real *gradients) noexcept nogil:
    """gradients (OUT: as the parameters lie) over at most SUM_ROWS rows."""
    cdef Py_ssize_t i, width, at
    for i in range(plan.tiles):
        at = tile_place(plan, &plan.tile[i], &width)
        tile_gradient(plan, &plan.tile[i], work, begin, rows, gradients + at, plan.layer[plan.tile[i].layer].stride, False)


cdef void tiles_pass(const Plan *plan, const Space *space, const Optimizer *optimizer, real *work, real *parameters, real *transposed,
                     const real *h, Py_ssize_t rows, Py_ssize_t blocks, Py_ssize_t first, Py_ssize_t last, int thread) noexcept nogil:
    """Tiles [first, last): gradient over the batch's `rows` rows (or, if `blocks`, the sum of so many blocks' gradients), then one
    optimizer step with coefficients `h` on parameters (IN and OUT: weights, then the slots), then the transposed copy."""
    cdef const fnn_kernels *k = plan.kernels
    cdef real *gradient = work + space.scratch + thread * space.scratch_size
    cdef real *partials = work + space.partials
    cdef Py_ssize_t i, at, width, row, begin, stride, b, units, step
    cdef const Tile *tile
    cdef const Layer *layer
    for i in range(first, last):
        tile = &plan.tile[i]
        layer = &plan.layer[tile.layer]
        at = tile_place(plan, tile, &width)
        # runs of contiguous parameters: the whole tile of a wide layer, a row for each unit of a narrow one
        units = layer.units if layer.narrow else 1
        step = width if layer.narrow else (tile.end - tile.begin) * width
        stride = layer.stride if layer.narrow else 0
        if blocks == 0:
            begin = 0
            while begin < rows:
                tile_gradient(plan, tile, work, begin, min(<Py_ssize_t>SUM_ROWS, rows - begin), gradient, width, begin > 0)
                begin += SUM_ROWS
        for row in range(units):
            if blocks > 0:
                memcpy(gradient + row * step, partials + at + row * stride, step * sizeof(real))
                for b in range(1, blocks):
                    k.accumulate(step, partials + b * plan.parameters + at + row * stride, gradient + row * step)
            k.optimizer[optimizer.kind](
                step, gradient + row * step, parameters + at + row * stride, parameters + plan.parameters + at + row * stride,
                parameters + 2 * plan.parameters + at + row * stride, h)
        if layer.transposed >= 0:
            refresh_transposed(k, layer, parameters, transposed, tile.panel, tile.begin, tile.end)


cdef void refresh_all(const Plan *plan, const real *weights, real *transposed) noexcept nogil:
    """The transposed copies (OUT) of all layers that have one."""
    cdef Py_ssize_t i, p
    for i in range(plan.layers):
        if plan.layer[i].transposed >= 0:
            for p in range(panel_count(plan.layer[i].units, plan.kernels)):
                refresh_transposed(plan.kernels, &plan.layer[i], weights, transposed, p, 0, plan.layer[i].inputs)
