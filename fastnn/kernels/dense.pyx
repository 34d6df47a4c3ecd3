"""Dense layers: matmul plus bias and activation, deltas back through the weights, weight gradients.

All three products run the same register tile (``csrc/gemm_tile.h``) with other strides:

* forward: ``z[r, j] = b[j] + sum_k x[r, k] w[k, j]``, ``x`` broadcast against a panel of packed weights;
* deltas: ``d[r, k] = sum_j d[r, j] w[k, j]``, against a panel of the transposed copy (of a narrow layer: of its own weights);
* gradients: ``g[k, j] = sum_r x[r, k] d[r, j]``, with the rows of the batch as depth (of a narrow layer: ``sum_r d[r, j] x[r, k]``).

Sums over inputs and units run in index order by fma, except the forward sums of a narrow layer (16 virtual lanes, see
``dot_rows`` in ``csrc/fastnn.h``). Here stand the loops over panels and tiles of one layer; which rows and which layers, say others.
"""
from fastnn.kernels.csrc cimport FNN_ACTIVATION_linear, fnn_kernels
from fastnn.kernels.plan cimport COLUMN_ALIGN, Layer, Panel, panel_at, panel_count, round_up
from fastnn.kernels.runtime cimport real


cdef void product(const fnn_kernels *k, real *c, Py_ssize_t c_row, const real *a, Py_ssize_t a_row, Py_ssize_t a_step, const real *b,
                  Py_ssize_t columns, Py_ssize_t depth, Py_ssize_t rows, bint bias_row) noexcept nogil:
    """c (OUT: rows x columns, row-major) = a (rows x depth, two strides) @ b (panels of packed rows, with or without a bias row)."""
    cdef Py_ssize_t p
    for p in range(panel_count(columns, k)):
        panel_product(k, c, c_row, a, a_row, a_step, b, columns, depth, rows, bias_row, p, FNN_ACTIVATION_linear, <real *>NULL, 0)


cdef inline void panel_product(const fnn_kernels *k, real *c, Py_ssize_t c_row, const real *a, Py_ssize_t a_row, Py_ssize_t a_step,
                               const real *b, Py_ssize_t columns, Py_ssize_t depth, Py_ssize_t rows, bint bias_row, Py_ssize_t p,
                               int activation, real *out, Py_ssize_t out_row) noexcept nogil:
    # One panel for all rows; the activation is applied to each tile while it is in the first-level cache.
    cdef Panel panel = panel_at(columns, p, k)
    cdef Py_ssize_t width = panel.vectors * <Py_ssize_t>k.lanes
    cdef Py_ssize_t largest = <Py_ssize_t>k.tile_rows[panel.vectors]
    cdef Py_ssize_t tiles = (rows + largest - 1) // largest, i, first = 0, size
    cdef const real *weights = b + (depth + (1 if bias_row else 0)) * panel.start
    cdef const real *bias = weights + depth * width if bias_row else NULL
    for i in range(tiles):
        size = (rows - first + tiles - i - 1) // (tiles - i)
        k.tile[panel.vectors][size](depth, a + first * a_row, a_row, a_step, weights, width, bias, c + first * c_row + panel.start,
                                    c_row, panel.last, 0)
        if activation != FNN_ACTIVATION_linear:
            k.activation_forward[activation](size, panel.columns, c + first * c_row + panel.start, c_row,
                                             out + first * out_row + panel.start, out_row)
        first += size


cdef void layer_forward(const fnn_kernels *k, const Layer *layer, const real *weights, real *work, Py_ssize_t begin,
                        Py_ssize_t rows, real *scratch) noexcept nogil:
    """Rows [begin, begin + rows) of a layer's z and a (OUT). The last layer leaves z alone, as columns: its activation belongs to the loss."""
    cdef const real *w = weights + layer.weights
    cdef const real *x = work + layer.x.offset + begin * layer.x.row
    cdef real *z = work + layer.z.offset + begin * layer.z.row
    cdef real *a = work + layer.a.offset + begin * layer.a.row
    cdef real *copy
    cdef Py_ssize_t p, j, ld = layer.x.row
    cdef int fused
    if layer.narrow:
        if layer.rows_x.offset >= 0:
            ld = layer.rows_x.row
            copy = work + layer.rows_x.offset + begin * ld
            k.transpose(layer.inputs, rows, x, layer.x.step, copy, ld)
            x = copy
        for j in range(layer.units):
            k.dot_rows(rows, round_up(layer.inputs + 1, COLUMN_ALIGN), x, ld, w + j * layer.stride, z + j * layer.z.step)
        if not layer.last and (layer.activation != FNN_ACTIVATION_linear):
            k.activation_forward[layer.activation](layer.units, rows, z, layer.z.step, a, layer.a.step)
        return
    if layer.last:
        # a wide last layer: row-major products in `d`, then columns
        copy = work + layer.d.offset + begin * layer.d.row
        product(k, copy, layer.d.row, x, layer.x.row, layer.x.step, w, layer.units, layer.inputs, rows, True)
        k.transpose(rows, layer.units, copy, layer.d.row, z, layer.z.step)
        return
    fused = FNN_ACTIVATION_linear if layer.rowwise else layer.activation
    for p in range(panel_count(layer.units, k)):
        panel_product(k, z, layer.z.row, x, layer.x.row, layer.x.step, w, layer.units, layer.inputs, rows, True, p, fused, a, layer.a.row)
    if layer.rowwise:
        rowwise_forward(k, layer.activation, rows, layer.units, z, layer.z.row, a, layer.a.row, scratch)


cdef void layer_backward(const fnn_kernels *k, const Layer *layer, const Layer *below, const real *weights,
                         const real *transposed, real *work, Py_ssize_t begin, Py_ssize_t rows, real *scratch) noexcept nogil:
    """Rows of the layer below's d (OUT) from this layer's d, through the weights and the activation below."""
    cdef const real *d = work + layer.d.offset + begin * layer.d.row
    cdef real *out = work + below.d.offset + begin * below.d.row
    cdef Py_ssize_t ld = below.d.row
    cdef const real *read = work + (below.z.offset if below.reads_input else below.a.offset) + begin * below.a.row
    if below.narrow:
        out = scratch
        ld = round_up(layer.inputs, COLUMN_ALIGN)
    if layer.narrow:
        narrow_product(k, layer, d, weights + layer.weights, out, ld, rows)
    else:
        product(k, out, ld, d, layer.d.row, layer.d.step, transposed + layer.transposed, layer.inputs, layer.units, rows, False)
    if below.narrow:
        k.transpose(rows, layer.inputs, out, ld, work + below.d.offset + begin, below.d.step)
        k.activation_backward[below.activation](below.units, rows, read, below.a.step, work + below.d.offset + begin, below.d.step)
    elif below.rowwise:
        rowwise_backward(k, below.activation, rows, below.units, read, below.a.row, out, ld, scratch)
    elif below.activation != FNN_ACTIVATION_linear:
        k.activation_backward[below.activation](rows, below.units, read, below.a.row, out, ld)


cdef inline void narrow_product(const fnn_kernels *k, const Layer *layer, const real *d, const real *w, real *out, Py_ssize_t ld,
                                Py_ssize_t rows) noexcept nogil:
    # out[r, i] = sum_j d[r, j] w[j, i]: the weights of a narrow layer already lie as the product wants them
    cdef Py_ssize_t p, i, tiles, first, size, largest
    cdef Panel panel
    for p in range(panel_count(layer.inputs, k)):
        panel = panel_at(layer.inputs, p, k)
        largest = <Py_ssize_t>k.tile_rows[panel.vectors]
        tiles = (rows + largest - 1) // largest
        first = 0
        for i in range(tiles):
            size = (rows - first + tiles - i - 1) // (tiles - i)
            k.tile[panel.vectors][size](layer.units, d + first * layer.d.row, layer.d.row, layer.d.step, w + panel.start, layer.stride,
                                        NULL, out + first * ld + panel.start, ld, panel.last, 0)
            first += size


cdef void wide_gradient(const fnn_kernels *k, const Layer *layer, const real *work, Py_ssize_t begin, Py_ssize_t rows,
                        Py_ssize_t panel, Py_ssize_t first, Py_ssize_t last, real *gradient, bint add) noexcept nogil:
    """gradient (OUT or add: (last - first) x panel width, contiguous) of input rows [first, last) of a wide layer's panel, over rows
    [begin, begin + rows) of the batch; row `inputs` is the bias."""
    cdef Panel at = panel_at(layer.units, panel, k)
    cdef Py_ssize_t width = at.vectors * <Py_ssize_t>k.lanes, largest = <Py_ssize_t>k.tile_rows[at.vectors]
    cdef Py_ssize_t tiles = (last - first + largest - 1) // largest, i, size
    cdef const real *x = work + layer.x.offset + begin * layer.x.row
    cdef const real *d = work + layer.d.offset + begin * layer.d.row + at.start
    for i in range(tiles):
        size = (last - first + tiles - i - 1) // (tiles - i)
        k.tile[at.vectors][size](rows, x + first * layer.x.step, layer.x.step, layer.x.row, d, layer.d.row, NULL, gradient, width,
                                 k.lanes, add)
        gradient += size * width
        first += size


cdef void narrow_gradient(const fnn_kernels *k, const Layer *layer, const real *work, Py_ssize_t begin, Py_ssize_t rows,
                          Py_ssize_t panel, real *gradient, Py_ssize_t stride, bint add) noexcept nogil:
    """gradient (OUT or add: units x panel width, of row stride `stride`) of a panel of a narrow layer's inputs (and bias)."""
    cdef Panel at = panel_at(layer.stride, panel, k)
    cdef bint copied = layer.rows_x.offset >= 0
    cdef Py_ssize_t ld = layer.rows_x.row if copied else layer.x.row
    cdef const real *x = work + (layer.rows_x.offset if copied else layer.x.offset) + begin * ld + at.start
    cdef const real *d = work + layer.d.offset + begin * layer.d.row
    cdef Py_ssize_t largest = <Py_ssize_t>k.tile_rows[at.vectors], tiles = (layer.units + largest - 1) // largest
    cdef Py_ssize_t i, size, first = 0, j
    for i in range(tiles):
        size = (layer.units - first + tiles - i - 1) // (tiles - i)
        k.tile[at.vectors][size](rows, d + first * layer.d.step, layer.d.step, layer.d.row, x, ld, NULL, gradient + first * stride,
                                 stride, k.lanes, add)
        first += size
    if not layer.bias and at.start <= layer.inputs < at.start + at.columns:
        for j in range(layer.units):
            gradient[j * stride + layer.inputs - at.start] = 0


# ---- packed weights ----

cdef void pack(const fnn_kernels *k, const Layer *layer, const real *kernel, const real *bias, real *weights) noexcept nogil:
    """weights (OUT: the network's packed parameters) from kernel (inputs x units) and bias (units, or NULL)."""
    cdef real *w = weights + layer.weights
    cdef Py_ssize_t p, i, j, width
    cdef Panel panel
    if layer.narrow:
        for j in range(layer.units):
            for i in range(layer.inputs):
                w[j * layer.stride + i] = kernel[i * layer.units + j]
            w[j * layer.stride + layer.inputs] = bias[j] if bias != NULL else <real>0
        return
    for p in range(panel_count(layer.units, k)):
        panel = panel_at(layer.units, p, k)
        width = panel.vectors * <Py_ssize_t>k.lanes
        for i in range(layer.inputs):
            for j in range(panel.columns):
                w[i * width + j] = kernel[i * layer.units + panel.start + j]
        for j in range(panel.columns):
            w[layer.inputs * width + j] = bias[panel.start + j] if bias != NULL else <real>0
        w += (layer.inputs + 1) * width


cdef void unpack(const fnn_kernels *k, const Layer *layer, const real *weights, real *kernel, real *bias) noexcept nogil:
    """kernel and bias (OUT, or NULL) from the network's packed parameters."""
    cdef const real *w = weights + layer.weights
    cdef Py_ssize_t p, i, j, width
    cdef Panel panel
    if layer.narrow:
        for j in range(layer.units):
            for i in range(layer.inputs):
                kernel[i * layer.units + j] = w[j * layer.stride + i]
            if bias != NULL:
                bias[j] = w[j * layer.stride + layer.inputs]
        return
    for p in range(panel_count(layer.units, k)):
        panel = panel_at(layer.units, p, k)
        width = panel.vectors * <Py_ssize_t>k.lanes
        for i in range(layer.inputs):
            for j in range(panel.columns):
                kernel[i * layer.units + panel.start + j] = w[i * width + j]
        if bias != NULL:
            for j in range(panel.columns):
                bias[panel.start + j] = w[layer.inputs * width + j]
        w += (layer.inputs + 1) * width


cdef void refresh_transposed(const fnn_kernels *k, const Layer *layer, const real *weights, real *transposed, Py_ssize_t panel,
                             Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Input rows [first, last) of one panel of the weights into the transposed copy (OUT): panels over the inputs, a row a unit."""
    cdef Panel at = panel_at(layer.units, panel, k), to
    cdef Py_ssize_t width = at.vectors * <Py_ssize_t>k.lanes, q, begin, end, to_width
    cdef const real *w = weights + layer.weights + (layer.inputs + 1) * at.start
    cdef real *out
    if last > layer.inputs:
        last = layer.inputs
    for q in range(panel_count(layer.inputs, k)):
        to = panel_at(layer.inputs, q, k)
        begin = max(first, to.start)
        end = min(last, to.start + to.columns)
        if begin >= end:
            continue
        to_width = to.vectors * <Py_ssize_t>k.lanes
        out = transposed + layer.transposed + layer.units * to.start + at.start * to_width + begin - to.start
        k.transpose(end - begin, at.columns, w + begin * width, width, out, to_width)


# ---- activations over whole rows, on row-major matrices ----

cdef void rowwise_forward(const fnn_kernels *k, int activation, Py_ssize_t rows, Py_ssize_t units, const real *z, Py_ssize_t ldz,
                          real *a, Py_ssize_t lda, real *scratch) noexcept nogil:
    """a (OUT) = f(z), through columns in scratch (units x 16), 16 rows at a time."""
    cdef Py_ssize_t r = 0, n
    while r < rows:
        n = min(<Py_ssize_t>COLUMN_ALIGN, rows - r)
        k.transpose(n, units, z + r * ldz, ldz, scratch, COLUMN_ALIGN)
        k.activation_forward[activation](units, n, scratch, COLUMN_ALIGN, scratch, COLUMN_ALIGN)
        k.transpose(units, n, scratch, COLUMN_ALIGN, a + r * lda, lda)
        r += n


cdef void rowwise_backward(const fnn_kernels *k, int activation, Py_ssize_t rows, Py_ssize_t units, const real *a, Py_ssize_t lda,
                           real *d, Py_ssize_t ldd, real *scratch) noexcept nogil:
    """d (IN and OUT) through the derivative at a, through columns in scratch (2 x units x 16)."""
    cdef Py_ssize_t r = 0, n
    cdef real *columns = scratch + units * COLUMN_ALIGN
    while r < rows:
        n = min(<Py_ssize_t>COLUMN_ALIGN, rows - r)
        k.transpose(n, units, a + r * lda, lda, scratch, COLUMN_ALIGN)
        k.transpose(n, units, d + r * ldd, ldd, columns, COLUMN_ALIGN)
        k.activation_backward[activation](units, n, scratch, COLUMN_ALIGN, columns, COLUMN_ALIGN)
        k.transpose(units, n, columns, COLUMN_ALIGN, d + r * ldd, ldd)
        r += n
