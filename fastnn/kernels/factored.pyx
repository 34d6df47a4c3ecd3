"""Directions of matrices from the mean squares of their rows and columns alone.

Shazeer and Stern, "Adafactor: adaptive learning rates with sublinear memory cost" (2018), algorithm 4. A row's mean lies in the first
slot at the row's first element, a column's in the second slot at the column's first. Sums over a column are those of its partial sums;
over a row, whose elements lie in several panels, in 16 virtual lanes and one tree, in double (of a narrow kernel the two change places).
"""
from libc.string cimport memset

from fastnn.kernels.csrc cimport fnn_kernels
from fastnn.kernels.pieces cimport pieces_of
from fastnn.kernels.plan cimport TILE_BLOCK, Layer, Panel, Piece, Plan, Tile, Variable, is_kernel, share, tree_sum
from fastnn.kernels.runtime cimport real


cdef inline Py_ssize_t row_step(const Layer *layer) noexcept nogil:
    # from the first element of a row to that of the next
    return 1 if layer.narrow else layer.panel[0].width


cdef inline Py_ssize_t column_place(const Layer *layer, Py_ssize_t j, const Panel *panel) noexcept nogil:
    # of the first element of a column, in the panel given if the layer is wide
    if layer.narrow:
        return layer.weights + j * layer.stride
    return layer.weights + (layer.inputs + 1) * panel.start + j - panel.start


cdef inline double squares(const fnn_kernels *k, Py_ssize_t n, const real *x, real *scratch) noexcept nogil:
    cdef double lanes[16]
    memset(lanes, 0, sizeof(lanes))
    k.multiply_rows(1, n, x, 0, x, 0, scratch, 0)
    k.sum_lanes(n, scratch, lanes)
    return tree_sum(lanes)


cdef double row_squares(const fnn_kernels *k, const Layer *layer, Py_ssize_t i, const real *gradients, real *scratch) noexcept nogil:
    # of a wide layer's row
    cdef double lanes[16]
    cdef Py_ssize_t p
    cdef const Panel *panel
    cdef const real *g
    memset(lanes, 0, sizeof(lanes))
    for p in range(layer.panels):
        panel = &layer.panel[p]
        g = gradients + layer.weights + (layer.inputs + 1) * panel.start + i * panel.width
        k.multiply_rows(1, panel.columns, g, 0, g, 0, scratch + panel.start, 0)
    k.sum_lanes(layer.units, scratch, lanes)
    return tree_sum(lanes)


cdef double column_squares(const Layer *layer, Py_ssize_t j, const real *partial) noexcept nogil:
    # of a wide layer's column, from its partial sums: one for each block of rows
    cdef double found = 0.0
    cdef Py_ssize_t b
    for b in range((layer.inputs + TILE_BLOCK - 1) // TILE_BLOCK):
        found += <double>partial[b * layer.units + j]
    return found


cdef inline void mix(real *slot, double mean, const real *h) noexcept nogil:
    slot[0] = <real>(<double>h[1] * <double>slot[0] + <double>h[2] * (mean + <double>h[3]))


cdef void factors_share(const Plan *plan, const real *gradients, const real *sums, real *parameters, const real *h, real *scratch,
                        int thread, int team) noexcept nogil:
    """This thread's rows and columns of all kernels: their mean squares (OUT, in the slots). sums: the partial sums of the gradients'
    squares; h: coefficients of the optimizer's line; scratch: room for a row."""
    cdef const Layer *layer
    cdef const Variable *v
    cdef real *rows = parameters + plan.parameters
    cdef real *columns = parameters + 2 * plan.parameters
    cdef Py_ssize_t i, j, p
    cdef double found
    for i in range(plan.variables):
        v = &plan.variable[i]
        if not (is_kernel(v) and v.trained):
            continue
        layer = &plan.layer[v.layer]
        for j in range(share(v.rows, thread, team, 1), share(v.rows, thread + 1, team, 1)):
            found = <double>sums[v.sums + j] if layer.narrow else row_squares(plan.kernels, layer, j, gradients, scratch)
            mix(rows + layer.weights + j * row_step(layer), found / <double>v.columns, h)
        p = 0
        for j in range(share(v.columns, thread, team, 1), share(v.columns, thread + 1, team, 1)):
            while not layer.narrow and j >= layer.panel[p].start + layer.panel[p].columns:
                p += 1
            if layer.narrow:
                found = squares(plan.kernels, v.rows, gradients + column_place(layer, j, NULL), scratch)
            else:
                found = column_squares(layer, j, sums + v.sums)
            mix(columns + column_place(layer, j, &layer.panel[p]), found / <double>v.rows, h)


cdef void row_means(const Plan *plan, const real *parameters, double *means) noexcept nogil:
    """means (OUT: of each kernel): the mean of its rows' mean squares."""
    cdef const Layer *layer
    cdef const real *rows
    cdef double lanes[16]
    cdef Py_ssize_t i, j
    for i in range(plan.variables):
        if not is_kernel(&plan.variable[i]):
            continue
        layer = &plan.layer[plan.variable[i].layer]
        rows = parameters + plan.parameters + layer.weights
        memset(lanes, 0, sizeof(lanes))
        for j in range(layer.inputs):
            lanes[j % 16] += <double>rows[j * row_step(layer)]
        means[i] = tree_sum(lanes) / <double>layer.inputs


cdef void factored_tile(const Plan *plan, const Tile *tile, const real *parameters, const double *means, real *gradients) noexcept nogil:
    """The direction (OUT, in the gradients' place) of what of a kernel lies in the tile."""
    cdef Piece piece[2]
    cdef const Layer *layer = &plan.layer[tile.layer]
    cdef const real *rows = parameters + plan.parameters
    cdef const real *columns = parameters + 2 * plan.parameters
    cdef Py_ssize_t start
    if tile.layer < 0 or pieces_of(plan, tile, piece) == 0 or piece[0].variable != tile.variable or not piece[0].trained:
        return
    start = layer.panel[tile.panel].start
    if layer.narrow:
        plan.kernels.over_roots(piece[0].rows, piece[0].columns, gradients + piece[0].place, piece[0].stride, columns + layer.weights,
                                layer.stride, 1.0 / means[tile.variable], rows + layer.weights + start)
    else:
        plan.kernels.over_roots(piece[0].rows, piece[0].columns, gradients + piece[0].place, piece[0].stride,
                                rows + layer.weights + tile.begin * row_step(layer), row_step(layer), 1.0 / means[tile.variable],
                                columns + column_place(layer, start, &layer.panel[tile.panel]))
