"""Dense layers: matmul plus bias and activation, deltas back through the weights, weight gradients.

All three products run the same register tile (``csrc/gemm_tile.h``) with other strides:

* forward: ``z[r, j] = b[j] + sum_k x[r, k] w[k, j]``, ``x`` broadcast against a panel of packed weights;
* deltas: ``d[r, k] = sum_j d[r, j] w[k, j]``, against a panel of the transposed copy (of a narrow layer: of its own weights);
* gradients: ``g[k, j] = sum_r x[r, k] d[r, j]``, with the rows of the batch as depth (of a narrow layer: ``sum_r d[r, j] x[r, k]``).

Sums over inputs and units run in index order by fma, except the forward sums of a narrow layer (16 virtual lanes, see
``dot_rows`` in ``csrc/fastnn.h``). Here stand the loops over panels and tiles of one layer; which rows and which layers, say others.
"""
from fastnn.kernels.csrc cimport (
    FNN_ADD,
    FNN_RELU,
    FNN_RELU_SLOPE,
    FNN_STORE,
    FNN_ACTIVATION_linear,
    FNN_ACTIVATION_relu,
    fnn_kernels,
)
from fastnn.kernels.plan cimport COLUMN_ALIGN, Layer, Panel, panel_at, panel_count, round_up
from fastnn.kernels.runtime cimport real


cdef inline void tile_rows(const fnn_kernels *k, const Panel *panel, Py_ssize_t last, const real *a, Py_ssize_t a_row,
                           Py_ssize_t a_step, const real *b, Py_ssize_t b_step, const real *init, real *c, Py_ssize_t c_row,
                           Py_ssize_t depth, Py_ssize_t rows, int finish,
                           const real *other, Py_ssize_t other_row) noexcept nogil:
    # c (OUT: rows x panel, at c) = a (rows x depth) @ b (depth x panel), tile by tile
    cdef Py_ssize_t size = <Py_ssize_t>k.tile_rows[panel.vectors]
    while rows > 0:
        if size > rows:
            size = rows
        k.tile[panel.vectors][size](depth, a, a_row, a_step, b, b_step, init, c, c_row, last, finish, other, other_row)
        a += size * a_row
        c += size * c_row
        if other != NULL:
            other += size * other_row
        rows -= size


cdef void multiply(const fnn_kernels *k, Py_ssize_t columns, const real *a, Py_ssize_t a_row, Py_ssize_t a_step, const real *b,
                   Py_ssize_t b_step, real *c, Py_ssize_t c_row, Py_ssize_t depth, Py_ssize_t rows) noexcept nogil:
    """c (OUT: rows x columns) = a (rows x depth) @ b (depth x columns, row-major, whole vectors readable), sums in the order of depth."""
    cdef Py_ssize_t p
    cdef Panel panel
    for p in range(panel_count(columns, k)):
        panel = panel_at(columns, p, k)
        tile_rows(k, &panel, panel.last, a, a_row, a_step, b + panel.start, b_step, <real *>NULL, c + panel.start, c_row, depth, rows,
                  FNN_STORE, <real *>NULL, 0)


cdef void layer_forward(const fnn_kernels *k, const Layer *layer, const real *weights, real *work, Py_ssize_t begin,
                        Py_ssize_t rows, real *scratch) noexcept nogil:
    """Rows [begin, begin + rows) of a layer's z and a (OUT). The last layer leaves z alone, as columns: its activation is the loss's."""
    cdef const real *w = weights + layer.weights
    cdef const real *x = work + layer.x.offset + begin * layer.x.row
    cdef real *z = work + layer.z.offset + begin * layer.z.row
    cdef real *a = work + layer.a.offset + begin * layer.a.row
    cdef real *copy
    cdef real *out
    cdef Py_ssize_t p, j, ld = layer.x.row
    cdef int finish
    cdef const Panel *panel
    if layer.narrow:
        if layer.rows_x.offset >= 0:
            ld = layer.rows_x.row
            copy = work + layer.rows_x.offset + begin * ld
            k.transpose(layer.inputs, rows, x, layer.x.step, copy, ld)
            x = copy
        for j in range(layer.units):
            k.dot_rows(rows, round_up(layer.inputs + 1, COLUMN_ALIGN), x, ld, w + j * layer.stride, z + j * layer.z.step)
        if not layer.last and (layer.activation != FNN_ACTIVATION_linear):
            k.activation_forward[layer.activation](layer.units, rows, z, layer.z.step, a, layer.a.step, layer.parameters)
        return
    # a wide last layer: row-major products in `d`, then columns
    out = work + layer.d.offset + begin * layer.d.row if layer.last else z
    ld = layer.d.row if layer.last else layer.z.row
    finish = FNN_RELU if layer.activation == FNN_ACTIVATION_relu and not layer.last else FNN_STORE
    for p in range(layer.panels):
        panel = &layer.panel[p]
        w = weights + layer.weights + (layer.inputs + 1) * panel.start
        tile_rows(k, panel, panel.last, x, layer.x.row, layer.x.step, w, panel.width, w + layer.inputs * panel.width,
                  out + panel.start, ld, layer.inputs, rows, finish, <real *>NULL, 0)
    activate(k, layer, out, ld, z, a, rows, finish, scratch)


cdef void activate(const fnn_kernels *k, const Layer *layer, const real *out, Py_ssize_t ld, real *z, real *a, Py_ssize_t rows,
                   int finish, real *scratch) noexcept nogil:
    """a (OUT) of a wide layer from its product in `out`; of the last layer, z (OUT: columns)."""
    if layer.last:
        k.transpose(rows, layer.units, out, ld, z, layer.z.step)
    elif layer.rowwise:
        rowwise_forward(k, layer.activation, layer.parameters, rows, layer.units, z, ld, a, ld, scratch)
    elif finish == FNN_STORE and (layer.activation != FNN_ACTIVATION_linear):
        k.activation_forward[layer.activation](rows, layer.units, z, ld, a, ld, layer.parameters)


cdef void layer_backward(const fnn_kernels *k, const Layer *layer, const Layer *below, const real *weights,
                         const real *transposed, real *work, Py_ssize_t begin, Py_ssize_t rows, real *scratch) noexcept nogil:
    """Rows of the layer below's d (OUT) from this layer's d, through the weights and the activation below."""
    cdef const real *d = work + layer.d.offset + begin * layer.d.row
    cdef real *out = work + below.d.offset + begin * below.d.row
    cdef Py_ssize_t ld = below.d.row, p
    cdef const real *read = work + (below.z.offset if below.reads_input else below.a.offset) + begin * below.a.row
    cdef int finish = FNN_RELU_SLOPE if below.activation == FNN_ACTIVATION_relu and not below.narrow else FNN_STORE
    cdef const Panel *panel
    if below.narrow:
        out = scratch
        ld = round_up(layer.inputs, COLUMN_ALIGN)
    for p in range(layer.belows):
        panel = &layer.below[p]
        # the weights of a narrow layer already lie as this product wants them
        tile_rows(k, panel, panel.last, d, layer.d.row, layer.d.step,
                  weights + layer.weights + panel.start if layer.narrow else transposed + layer.transposed + layer.units * panel.start,
                  layer.stride if layer.narrow else panel.width, <real *>NULL, out + panel.start, ld, layer.units, rows, finish,
                  read + panel.start if finish != FNN_STORE else NULL, below.a.row)
    if below.narrow:
        k.transpose(rows, layer.inputs, out, ld, work + below.d.offset + begin, below.d.step)
        k.activation_backward[below.activation](below.units, rows, read, below.a.step, work + below.d.offset + begin, below.d.step,
                                                below.parameters)
    else:
        slope(k, below, read, out, ld, rows, finish, scratch)


cdef void slope(const fnn_kernels *k, const Layer *layer, const real *read, real *d, Py_ssize_t ld, Py_ssize_t rows, int finish,
                real *scratch) noexcept nogil:
    """d (IN and OUT) of a wide layer through the derivative of its activation at `read`."""
    if layer.rowwise:
        rowwise_backward(k, layer.activation, layer.parameters, rows, layer.units, read, layer.a.row, d, ld, scratch)
    elif finish == FNN_STORE and (layer.activation != FNN_ACTIVATION_linear):
        k.activation_backward[layer.activation](rows, layer.units, read, layer.a.row, d, ld, layer.parameters)


cdef void wide_gradient(const fnn_kernels *k, const Layer *layer, const real *work, Py_ssize_t begin, Py_ssize_t rows,
                        Py_ssize_t panel, Py_ssize_t first, Py_ssize_t last, real *gradient, bint add) noexcept nogil:
    """gradient (OUT or add: (last - first) x panel width, contiguous) of input rows [first, last) of a wide layer's panel, over rows
    [begin, begin + rows) of the batch; row `inputs` is the bias."""
    cdef const Panel *at = &layer.panel[panel]
    # whole vectors: lanes without a unit have zero deltas
    tile_rows(k, at, k.lanes, work + layer.x.offset + begin * layer.x.row + first * layer.x.step, layer.x.step, layer.x.row,
              work + layer.d.offset + begin * layer.d.row + at.start, layer.d.row, <real *>NULL, gradient, at.width, rows, last - first,
              FNN_ADD if add else FNN_STORE, <real *>NULL, 0)


cdef void narrow_gradient(const fnn_kernels *k, const Layer *layer, const real *work, Py_ssize_t begin, Py_ssize_t rows,
                          Py_ssize_t panel, real *gradient, Py_ssize_t stride, bint add) noexcept nogil:
    """gradient (OUT or add: units x panel width, of row stride `stride`) of a panel of a narrow layer's inputs (and bias)."""
    cdef const Panel *at = &layer.panel[panel]
    cdef bint copied = layer.rows_x.offset >= 0
    cdef Py_ssize_t ld = layer.rows_x.row if copied else layer.x.row
    cdef const real *x = work + (layer.rows_x.offset if copied else layer.x.offset) + begin * ld + at.start
    cdef const real *d = work + layer.d.offset + begin * layer.d.row
    cdef Py_ssize_t j
    tile_rows(k, at, k.lanes, d, layer.d.step, layer.d.row, x, ld, <real *>NULL, gradient, stride, rows, layer.units,
              FNN_ADD if add else FNN_STORE, <real *>NULL, 0)
    if not layer.bias and at.start <= layer.inputs < at.start + at.columns:
        for j in range(layer.units):
            gradient[j * stride + layer.inputs - at.start] = 0


# ---- packed weights ----

cdef void pack(const Layer *layer, const real *kernel, const real *bias, real *weights) noexcept nogil:
    """weights (OUT: the network's packed parameters) from kernel (inputs x units) and bias (units, or NULL)."""
    cdef real *w = weights + layer.weights
    cdef Py_ssize_t p, i, j
    cdef const Panel *panel
    if layer.narrow:
        for j in range(layer.units):
            for i in range(layer.inputs):
                w[j * layer.stride + i] = kernel[i * layer.units + j]
            w[j * layer.stride + layer.inputs] = bias[j] if bias != NULL else <real>0
        return
    for p in range(layer.panels):
        panel = &layer.panel[p]
        for i in range(layer.inputs):
            for j in range(panel.columns):
                w[i * panel.width + j] = kernel[i * layer.units + panel.start + j]
        for j in range(panel.columns):
            w[layer.inputs * panel.width + j] = bias[panel.start + j] if bias != NULL else <real>0
        w += (layer.inputs + 1) * panel.width


cdef void unpack(const Layer *layer, const real *weights, real *kernel, real *bias) noexcept nogil:
    """kernel and bias (OUT, or NULL) from the network's packed parameters."""
    cdef const real *w = weights + layer.weights
    cdef Py_ssize_t p, i, j
    cdef const Panel *panel
    if layer.narrow:
        for j in range(layer.units):
            for i in range(layer.inputs):
                kernel[i * layer.units + j] = w[j * layer.stride + i]
            if bias != NULL:
                bias[j] = w[j * layer.stride + layer.inputs]
        return
    for p in range(layer.panels):
        panel = &layer.panel[p]
        for i in range(layer.inputs):
            for j in range(panel.columns):
                kernel[i * layer.units + panel.start + j] = w[i * panel.width + j]
        if bias != NULL:
            for j in range(panel.columns):
                bias[panel.start + j] = w[layer.inputs * panel.width + j]
        w += (layer.inputs + 1) * panel.width


cdef void refresh_transposed(const fnn_kernels *k, const Layer *layer, const real *weights, real *transposed, Py_ssize_t panel,
                             Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Input rows [first, last) of one panel of the weights into the transposed copy (OUT): panels over the inputs, a row a unit."""
    cdef const Panel *at = &layer.panel[panel]
    cdef const Panel *to
    cdef Py_ssize_t q, begin, end
    cdef const real *w = weights + layer.weights + (layer.inputs + 1) * at.start
    if last > layer.inputs:
        last = layer.inputs
    for q in range(layer.belows):
        to = &layer.below[q]
        begin = max(first, to.start)
        end = min(last, to.start + to.columns)
        if begin < end:
            k.transpose(end - begin, at.columns, w + begin * at.width, at.width,
                        transposed + layer.transposed + layer.units * to.start + at.start * to.width + begin - to.start, to.width)


# ---- activations over whole rows, on row-major matrices ----

cdef void rowwise_forward(const fnn_kernels *k, int activation, const double *parameters, Py_ssize_t rows, Py_ssize_t units,
                          const real *z, Py_ssize_t ldz, real *a, Py_ssize_t lda, real *scratch) noexcept nogil:
    """a (OUT) = f(z), through columns in scratch (units x 16), 16 rows at a time."""
    cdef Py_ssize_t r = 0, n
    while r < rows:
        n = min(<Py_ssize_t>COLUMN_ALIGN, rows - r)
        k.transpose(n, units, z + r * ldz, ldz, scratch, COLUMN_ALIGN)
        k.activation_forward[activation](units, n, scratch, COLUMN_ALIGN, scratch, COLUMN_ALIGN, parameters)
        k.transpose(units, n, scratch, COLUMN_ALIGN, a + r * lda, lda)
        r += n


cdef void rowwise_backward(const fnn_kernels *k, int activation, const double *parameters, Py_ssize_t rows, Py_ssize_t units,
                           const real *a, Py_ssize_t lda, real *d, Py_ssize_t ldd, real *scratch) noexcept nogil:
    """d (IN and OUT) through the derivative at a, through columns in scratch (2 x units x 16)."""
    cdef Py_ssize_t r = 0, n
    cdef real *columns = scratch + units * COLUMN_ALIGN
    while r < rows:
        n = min(<Py_ssize_t>COLUMN_ALIGN, rows - r)
        k.transpose(n, units, a + r * lda, lda, scratch, COLUMN_ALIGN)
        k.transpose(n, units, d + r * ldd, ldd, columns, COLUMN_ALIGN)
        k.activation_backward[activation](units, n, scratch, COLUMN_ALIGN, columns, COLUMN_ALIGN, parameters)
        k.transpose(units, n, columns, COLUMN_ALIGN, d + r * ldd, ldd)
        r += n
