"""Training in bfloat16: the products of wide layers on operands of 16 bits, everything else in float32.

Operands are pairs (``csrc/bf16.h``): two numbers that follow one another in depth, in the place of one float. Each product wants its own
direction of pairs, so there are two copies of every matrix of rows and of the weights, made once where the numbers arise:

* forward: ``x`` row-major against the weights, pairs along the inputs;
* deltas: ``d`` row-major against the transposed weights, pairs along the units;
* gradients: ``across`` (an input a row) against ``paired`` (a unit a column), pairs along the rows of the batch.

The second operand of each lies a vector of columns after the other, so that a product reads it in one stream.

Sums are float32, as are weights, biases, activations, losses and the optimizer. The copies of the weights are made from the float32 ones
after every step of the optimizer. Which layers take part, ``is_reduced`` says.
"""
import numpy as np

from libc.stdint cimport int64_t, uint64_t

from fastnn.kernels.csrc cimport (
    FNN_ADD,
    FNN_RELU,
    FNN_RELU_SLOPE,
    FNN_STORE,
    FNN_ACTIVATION_relu,
    fnn_bf16_kernels,
    fnn_kernels,
    fnn_pair,
)
from fastnn.kernels.dense cimport activate, slope
from fastnn.kernels.memory cimport room
from fastnn.kernels.plan cimport (
    COLUMN_ALIGN,
    TILE_BLOCK,
    Layer,
    Matrix,
    Operand,
    Panel,
    Plan,
    Reduced,
    Source,
    Space,
    Tile,
    panel_at,
    panel_count,
    round_up,
)
from fastnn.kernels.runtime cimport bf16_for, float_flush, float_restore, kernels_for

cdef enum:
    # from which a product in bfloat16 pays: inputs, units, and both multiplied
    LEAST = 16
    LEAST_WEIGHTS = 1024


cdef bint is_reduced(Py_ssize_t inputs, Py_ssize_t units) noexcept nogil:
    """Whether a layer's products are in bfloat16; decides bits, so it may depend on the layer's shape only."""
    return inputs >= LEAST and units >= LEAST and inputs * units >= LEAST_WEIGHTS


cdef inline Py_ssize_t pairs(Py_ssize_t n) noexcept nogil:
    return (n + 1) // 2


cdef Py_ssize_t stride(Py_ssize_t n) noexcept nogil:
    # whole vectors; not a multiple of 512 bytes, or rows share their place in the cache
    cdef Py_ssize_t ld = round_up(n, COLUMN_ALIGN)
    return ld + COLUMN_ALIGN if ld % 128 == 0 else ld


# ---- memory ----

cdef Matrix place(Py_ssize_t *at, Py_ssize_t rows, Py_ssize_t columns) noexcept:
    cdef Matrix m
    m.offset = at[0]
    m.row = stride(columns)
    m.step = 1
    at[0] = room(at[0], rows, m.row)
    return m


cdef Operand place_operand(Py_ssize_t *at, Py_ssize_t rows, Py_ssize_t columns) noexcept:
    cdef Operand o
    o.offset = at[0]
    o.height = rows | 1  # of a power of two, all vectors would share their places in the cache
    at[0] = room(at[0], columns, o.height)
    return o


cdef inline fnn_pair *column(const Plan *plan, const float *work, const Operand *o, Py_ssize_t start, Py_ssize_t row) noexcept nogil:
    # where the vector from column `start` on has its `row`
    return <fnn_pair *>work + o.offset + o.height * start + row * <Py_ssize_t>plan.kernels.lanes


cdef Py_ssize_t lay_out_reduced(Plan *plan, Py_ssize_t capacity, Py_ssize_t at) noexcept:
    """Fill ``plan.reduced`` for `capacity` rows from place `at` of the workspace on; return the place behind.

    Layers that are reduced lose their transposed float32 copy. Without any, ``plan.reduced`` becomes NULL.
    """
    cdef bint found = False
    cdef Py_ssize_t i, lanes = <Py_ssize_t>plan.kernels.lanes
    cdef Layer *layer
    cdef Reduced *r
    at = round_up(at, COLUMN_ALIGN)
    for i in range(plan.layers):
        layer = &plan.layer[i]
        r = &plan.reduced[i]
        r.on = is_reduced(layer.inputs, layer.units)
        if not r.on:
            continue
        found = True
        r.x = place(&at, capacity, pairs(layer.inputs))
        r.across = place(&at, layer.inputs + 1, pairs(capacity))
        r.d = place(&at, capacity, pairs(layer.units))
        r.paired = place_operand(&at, pairs(capacity), round_up(layer.units, lanes))
        r.weights = place_operand(&at, pairs(layer.inputs), round_up(layer.units, lanes))
        r.transposed.offset = -1
        if layer.transposed >= 0:
            layer.transposed = -1
            r.transposed = place_operand(&at, pairs(layer.units), round_up(layer.inputs, lanes))
    if not found:
        plan.reduced = NULL
    return at


cdef void set_reduced_ones(const Plan *plan, Py_ssize_t capacity, float *work) noexcept:
    # what multiplies the bias; never written again
    cdef Py_ssize_t i, p
    cdef const Matrix *m
    for i in range(plan.layers):
        if plan.reduced[i].on:
            m = &plan.reduced[i].across
            for p in range(pairs(capacity)):
                (<fnn_pair *>work)[m.offset + plan.layer[i].inputs * m.row + p] = 0x3f803f80


# ---- rows ----

cdef inline void cross(const Plan *plan, Py_ssize_t i, fnn_pair *work, Py_ssize_t begin, Py_ssize_t n) noexcept nogil:
    # `across` of rows [begin, begin + n) of a layer's input, begin even, from its rows: for its gradients
    cdef const Reduced *r = &plan.reduced[i]
    if not plan.layer[i].trained:
        return
    plan.bf16.transpose(n, plan.layer[i].inputs, work + r.x.offset + begin * r.x.row, r.x.row,
                        work + r.across.offset + begin // 2, r.across.row)


cdef int reduced_gather(const Plan *plan, float *work, const Source *source, Py_ssize_t start, Py_ssize_t begin,
                        Py_ssize_t n) noexcept nogil:
    """Rows [begin, begin + n) of the first layer's input (OUT), from place `start` of the epoch. Returns 1 if anything was not finite."""
    cdef const Reduced *r = &plan.reduced[0]
    cdef const int64_t *order = source.order + start if source.order != NULL else NULL
    cdef Py_ssize_t offset = 0 if source.order != NULL else start
    cdef int bad = plan.bf16.narrow(n, plan.inputs, order, <const float *>source.x + offset * plan.inputs, plan.inputs,
                                    <fnn_pair *>work + r.x.offset + begin * r.x.row, r.x.row)
    cross(plan, 0, <fnn_pair *>work, begin, n)
    return bad


cdef void reduced_input(const Plan *plan, Py_ssize_t i, float *work, Py_ssize_t begin, Py_ssize_t n) noexcept nogil:
    """Rows [begin, begin + n) of the input (OUT) of a layer but the first, from the float32 output of the layer below."""
    cdef const Reduced *r = &plan.reduced[i]
    cdef const Matrix *x = &plan.layer[i].x
    plan.bf16.narrow(n, plan.layer[i].inputs, NULL, work + x.offset + begin * x.row, x.row,
                     <fnn_pair *>work + r.x.offset + begin * r.x.row, r.x.row)
    cross(plan, i, <fnn_pair *>work, begin, n)


cdef void reduced_deltas(const Plan *plan, Py_ssize_t i, float *work, Py_ssize_t begin, Py_ssize_t n) noexcept nogil:
    """Rows [begin, begin + n) of the deltas (OUT) of a layer, from its float32 ones."""
    cdef const Reduced *r = &plan.reduced[i]
    cdef const Layer *layer = &plan.layer[i]
    cdef fnn_pair *d = <fnn_pair *>work + r.d.offset + begin * r.d.row
    plan.bf16.narrow(n, layer.units, NULL, work + layer.d.offset + begin * layer.d.row, layer.d.row, d, r.d.row)
    if layer.trained:
        plan.bf16.interleave(n, layer.units, d, r.d.row, column(plan, work, &r.paired, 0, begin // 2),
                             r.paired.height * plan.kernels.lanes)


# ---- products ----

cdef inline void product(const Plan *plan, const Panel *panel, Py_ssize_t last, const fnn_pair *a, Py_ssize_t a_row, const float *work,
                         const Operand *b, Py_ssize_t first, const float *init, float *c, Py_ssize_t c_row, Py_ssize_t depth,
                         Py_ssize_t rows, int finish, const float *other, Py_ssize_t other_row) noexcept nogil:
    # c (OUT: rows x panel, at c) = a (rows x depth pairs) @ the panel's columns of b's rows [first, first + depth)
    plan.bf16.product(rows, panel.vectors, depth, a, a_row, column(plan, work, b, panel.start, first), plan.kernels.lanes,
                      b.height * plan.kernels.lanes, init, c, c_row, last, finish, other, other_row)


cdef void reduced_forward(const Plan *plan, Py_ssize_t i, const float *weights, float *work, Py_ssize_t begin, Py_ssize_t rows,
                          float *scratch) noexcept nogil:
    """Rows [begin, begin + rows) of a layer's z and a (OUT, float32), as ``layer_forward``."""
    cdef const Layer *layer = &plan.layer[i]
    cdef const Reduced *r = &plan.reduced[i]
    cdef const fnn_pair *x = <const fnn_pair *>work + r.x.offset + begin * r.x.row
    cdef float *z = work + layer.z.offset + begin * layer.z.row
    cdef float *out = work + layer.d.offset + begin * layer.d.row if layer.last else z
    cdef Py_ssize_t ld = layer.d.row if layer.last else layer.z.row, p
    cdef int finish = FNN_RELU if layer.activation == FNN_ACTIVATION_relu and not layer.last else FNN_STORE
    cdef const Panel *panel
    for p in range(layer.panels):
        panel = &layer.panel[p]
        product(plan, panel, panel.last, x, r.x.row, work, &r.weights, 0,
                weights + layer.weights + (layer.inputs + 1) * panel.start + layer.inputs * panel.width,
                out + panel.start, ld, pairs(layer.inputs), rows, finish, NULL, 0)
    activate(plan.kernels, layer, out, ld, z, work + layer.a.offset + begin * layer.a.row, rows, finish, scratch)


cdef void reduced_backward(const Plan *plan, Py_ssize_t i, const Layer *below, float *work, Py_ssize_t begin, Py_ssize_t rows,
                           float *scratch) noexcept nogil:
    """Rows of the layer below's d (OUT, float32) from this layer's d, as ``layer_backward``; the layer below is wide."""
    cdef const Layer *layer = &plan.layer[i]
    cdef const Reduced *r = &plan.reduced[i]
    cdef const fnn_pair *d = <const fnn_pair *>work + r.d.offset + begin * r.d.row
    cdef float *out = work + below.d.offset + begin * below.d.row
    cdef const float *read = work + (below.z.offset if below.reads_input else below.a.offset) + begin * below.a.row
    cdef int finish = FNN_RELU_SLOPE if below.activation == FNN_ACTIVATION_relu else FNN_STORE
    cdef const Panel *panel
    cdef Py_ssize_t p
    for p in range(layer.belows):
        panel = &layer.below[p]
        product(plan, panel, panel.last, d, r.d.row, work, &r.transposed, 0, NULL, out + panel.start, below.d.row,
                pairs(layer.units), rows, finish, read + panel.start if finish != FNN_STORE else NULL, below.a.row)
    slope(plan.kernels, below, read, out, below.d.row, rows, finish, scratch)


cdef void reduced_gradient(const Plan *plan, const Tile *tile, const float *work, Py_ssize_t begin, Py_ssize_t rows, float *gradient,
                           bint add) noexcept nogil:
    """gradient (OUT or add: contiguous) of one tile over rows [begin, begin + rows) of the batch, begin even."""
    cdef const Reduced *r = &plan.reduced[tile.layer]
    cdef const Panel *panel = &plan.layer[tile.layer].panel[tile.panel]
    # whole vectors: lanes without a unit have zero deltas
    product(plan, panel, plan.kernels.lanes, <const fnn_pair *>work + r.across.offset + tile.begin * r.across.row + begin // 2,
            r.across.row, work, &r.paired, begin // 2, NULL, gradient, panel.width, pairs(rows), tile.end - tile.begin,
            FNN_ADD if add else FNN_STORE, NULL, 0)


# ---- copies of the weights ----

cdef void reduced_refresh(const Plan *plan, const Tile *tile, const float *parameters, float *work, float *scratch) noexcept nogil:
    """Both copies (OUT, in work) of one tile of the weights; scratch: half as many floats as the tile has."""
    cdef const Layer *layer = &plan.layer[tile.layer]
    cdef const Reduced *r = &plan.reduced[tile.layer]
    cdef const Panel *at = &layer.panel[tile.panel]
    cdef fnn_pair *copy = <fnn_pair *>scratch
    cdef Py_ssize_t begin = tile.begin, ld = at.width // 2, last = min(tile.end, layer.inputs), lanes = <Py_ssize_t>plan.kernels.lanes
    if last <= begin:
        return  # the bias alone
    plan.bf16.narrow(last - begin, at.width, NULL, parameters + tile.place, at.width, copy, ld)
    plan.bf16.interleave(last - begin, at.width, copy, ld, column(plan, work, &r.weights, at.start, begin // 2),
                         r.weights.height * lanes)
    if r.transposed.offset < 0:
        return
    while begin < last:  # TILE_BLOCK is a multiple of a vector
        plan.kernels.transpose(min(lanes, last - begin), pairs(at.columns), copy + (begin - tile.begin) * ld, ld,
                               column(plan, work, &r.transposed, begin, at.start // 2), lanes)
        begin += lanes


cdef void reduced_refresh_all(const Plan *plan, const Space *space, const float *parameters, float *work) noexcept nogil:
    """All copies of the weights, through the first thread's scratch."""
    cdef Py_ssize_t i
    cdef const Layer *layer
    cdef Tile tile
    for i in range(plan.layers):
        if not plan.reduced[i].on:
            continue
        layer = &plan.layer[i]
        tile.layer = i
        for tile.panel in range(layer.panels):
            tile.begin = 0
            while tile.begin < layer.inputs:
                tile.end = min(tile.begin + TILE_BLOCK, layer.inputs)
                tile.place = (layer.weights + (layer.inputs + 1) * layer.panel[tile.panel].start
                              + tile.begin * layer.panel[tile.panel].width)
                reduced_refresh(plan, &tile, parameters, work, work + space.scratch)
                tile.begin = tile.end


# ---- the same, for Python ----

def bfloat16_round(x):
    """Round to bfloat16, to nearest with ties to even, subnormal numbers to zero.

    Parameters
    ----------
    x : array-like
        Taken as float32.

    Returns
    -------
    ndarray of float32, of the shape of `x`
        Every value is one that bfloat16 has.
    """
    cdef const float[:, ::1] rows
    cdef fnn_pair[::1] out
    x = np.require(x, np.float32, "CA")
    if x.size == 0:
        return x.copy()
    rows = x.reshape(1, -1)
    result = np.zeros(pairs(rows.shape[1]), np.uint32)
    out = result
    bf16_for(kernels_for(4)).narrow(1, rows.shape[1], NULL, &rows[0, 0], rows.shape[1], &out[0], out.shape[0])
    halves = result.view(np.uint16)[:x.size]
    return (halves.astype(np.uint32) << 16).view(np.float32).reshape(x.shape)


def bfloat16_matmul(a, b, init=None):
    """``init + a @ b`` of operands rounded to bfloat16, summed in float32, by the tiles that training runs.

    Parameters
    ----------
    a : array-like, (rows, depth)
    b : array-like, (depth, columns)
    init : array-like, (columns,), optional
        What the sums start from: 0 by default.

    Returns
    -------
    ndarray of float32, (rows, columns)

    Raises
    ------
    ValueError
        For arrays of other shapes, or with a side of 0.
    """
    cdef const fnn_kernels *k = kernels_for(4)
    cdef const fnn_bf16_kernels *bf16 = bf16_for(k)
    cdef Py_ssize_t p, rows, depth, columns
    cdef Panel panel
    cdef uint64_t state
    a, b = np.require(a, np.float32, "CA"), np.require(b, np.float32, "CA")
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0] or not a.size or not b.size:
        raise ValueError(f"bfloat16_matmul takes (rows, depth) and (depth, columns), got {a.shape} and {b.shape}")
    rows, depth, columns = a.shape[0], a.shape[1], b.shape[1]
    wide = round_up(columns, <Py_ssize_t>k.lanes)
    padded = np.zeros((depth, wide), np.float32)
    padded[:, :columns] = b
    start = np.zeros(wide, np.float32)
    if init is not None:
        start[:columns] = np.broadcast_to(np.asarray(init, np.float32), columns)
    cdef const float[:, ::1] x = a, w = padded
    cdef const float[::1] bias = start
    cdef fnn_pair[:, ::1] xs = np.zeros((rows, pairs(depth)), np.uint32), ws = np.zeros((depth, wide // 2), np.uint32)
    cdef fnn_pair[:, ::1] packed = np.zeros((wide // k.lanes, pairs(depth) * k.lanes), np.uint32)
    result = np.empty((rows, columns), np.float32)
    cdef float[:, ::1] c = result
    with nogil:
        state = float_flush()
        if bf16.enter != NULL:
            bf16.enter()
        bf16.narrow(rows, depth, NULL, &x[0, 0], depth, &xs[0, 0], xs.shape[1])
        bf16.narrow(depth, ws.shape[1] * 2, NULL, &w[0, 0], w.shape[1], &ws[0, 0], ws.shape[1])
        bf16.interleave(depth, columns, &ws[0, 0], ws.shape[1], &packed[0, 0], packed.shape[1])
        for p in range(panel_count(columns, k)):
            panel = panel_at(columns, p, k)
            bf16.product(rows, panel.vectors, pairs(depth), &xs[0, 0], xs.shape[1], &packed[panel.start // k.lanes, 0], k.lanes,
                         packed.shape[1], &bias[panel.start], &c[0, panel.start], columns, panel.last, FNN_STORE, NULL, 0)
        if bf16.leave != NULL:
            bf16.leave()
        float_restore(state)
    return result
