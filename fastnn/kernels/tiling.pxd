from fastnn.kernels.plan cimport TILE_BLOCK, Layer, Plan, Tile

cdef enum:
    BAND = 8 * TILE_BLOCK
    LONGEST_BAND = 12 * TILE_BLOCK

cdef void list_variables(Plan *plan) noexcept
cdef void cut_tiles(Plan *plan) noexcept

cdef inline Py_ssize_t bands(const Layer *layer) noexcept nogil:
    # Into how many bands of rows a layer's weights are cut, each BAND rows but the last. The tiles of a band follow one another through
    # all panels, so that what their gradients read of the rows' activations stays in the second-level cache meanwhile.
    return max(<Py_ssize_t>1, (layer.inputs + layer.bias + LONGEST_BAND - BAND) // BAND)

cdef inline Py_ssize_t band_of(const Layer *layer, Py_ssize_t row) noexcept nogil:
    return min(row // BAND, bands(layer) - 1)

cdef inline bint continues(const Plan *plan, Py_ssize_t i) noexcept nogil:
    # Whether tile i's gradient is taken together with the one's before. In bfloat16 products are so fast that reading what they need from
    # the second-level cache anew for each tile would cost more.
    cdef const Tile *tile = &plan.tile[i]
    cdef const Tile *before
    if i == 0 or plan.reduced == NULL or tile.layer < 0 or not plan.reduced[tile.layer].on:
        return False
    before = tile - 1
    return (before.layer == tile.layer and before.panel == tile.panel and before.end == tile.begin
            and band_of(&plan.layer[tile.layer], before.begin) == band_of(&plan.layer[tile.layer], tile.begin))
