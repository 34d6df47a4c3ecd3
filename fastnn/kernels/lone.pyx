"""One dense layer by itself, on arrays: for training loops of one's own.

Each call lays its arrays out as a network would (packed weights, padded rows), runs the same loops, and copies the result out.
"""
import numpy as np

from fastnn.kernels.arrays import as_matrix, as_output, as_threads, as_vector

from cython.parallel cimport parallel, threadid
from libc.stdint cimport uint64_t
from libc.string cimport memset

from fastnn.kernels.activations cimport set_activation
from fastnn.kernels.csrc cimport fnn_kernels
from fastnn.kernels.dense cimport (
    layer_backward,
    layer_forward,
    narrow_gradient,
    pack,
    refresh_transposed,
    unpack,
    wide_gradient,
)
from fastnn.kernels.memory cimport Arena
from fastnn.kernels.plan cimport COLUMN_ALIGN, SUM_ROWS, Layer, Panel, is_narrow, panel_at, panel_count, round_up, share
from fastnn.kernels.runtime cimport float_flush, float_restore, kernels_for, real
from fastnn.kernels.team cimport team_size
from fastnn.kernels.threads cimport threads_for


cdef class LoneLayer:
    """One dense layer between row-major matrices, laid out in an arena of its own."""
    cdef Layer layer
    cdef Layer below          # what layer_backward writes to: the input's gradient
    cdef const fnn_kernels *kernels
    cdef Arena arena
    cdef Arena panels
    cdef Py_ssize_t weights
    cdef Py_ssize_t transposed
    cdef Py_ssize_t scratch
    cdef Py_ssize_t scratch_size
    cdef int threads

    def __cinit__(self, Py_ssize_t rows, Py_ssize_t inputs, Py_ssize_t units, activation, size_t itemsize, int threads):
        cdef Layer *layer = &self.layer
        cdef Py_ssize_t capacity = round_up(max(rows, <Py_ssize_t>1), COLUMN_ALIGN), at = 0, r, i
        cdef Py_ssize_t x_ld = round_up(inputs + 1, COLUMN_ALIGN), z_ld = round_up(units + 1, COLUMN_ALIGN)
        memset(layer, 0, sizeof(Layer))
        memset(&self.below, 0, sizeof(Layer))
        self.kernels = kernels_for(itemsize)
        self.threads = threads
        layer.inputs = inputs
        layer.units = units
        set_activation(layer, activation)
        layer.bias = True
        layer.narrow = is_narrow(inputs, units)
        layer.stride = x_ld
        layer.rows_x.offset = -1
        layer.panels = panel_count(layer.stride if layer.narrow else units, self.kernels)
        layer.belows = panel_count(inputs, self.kernels)
        self.panels = Arena((layer.panels + layer.belows) * sizeof(Panel))
        layer.panel = <Panel *>self.panels.base
        layer.below = layer.panel + layer.panels
        for i in range(layer.panels):
            layer.panel[i] = panel_at(layer.stride if layer.narrow else units, i, self.kernels)
        for i in range(layer.belows):
            layer.below[i] = panel_at(inputs, i, self.kernels)
        layer.x = [at, x_ld, 1]
        at += capacity * x_ld
        layer.z = [at, 1, capacity] if layer.narrow else [at, z_ld, 1]
        at += capacity * (units if layer.narrow else z_ld)
        layer.a = layer.z
        layer.d = [at, 1, capacity] if layer.narrow else [at, z_ld, 1]
        at += capacity * (units if layer.narrow else z_ld)
        self.below.units = inputs
        set_activation(&self.below, "linear")
        self.below.d = [at, x_ld, 1]
        self.below.a = self.below.d
        self.below.z = self.below.d
        at += capacity * x_ld
        self.weights = at
        at += units * layer.stride if layer.narrow else (inputs + 1) * round_up(units, COLUMN_ALIGN)
        self.transposed = at
        at += units * x_ld
        self.scratch = at
        self.scratch_size = max(2 * units * COLUMN_ALIGN, COLUMN_ALIGN * 64)
        at += threads * self.scratch_size
        self.arena = Arena(at * itemsize)
        for r in range(capacity):
            i = layer.x.offset + r * layer.x.row + inputs
            if itemsize == 4:
                (<float *>self.arena.base)[i] = 1
            else:
                (<double *>self.arena.base)[i] = 1


cdef void forward_rows(LoneLayer call, const real *x, real *out, Py_ssize_t rows, int thread, int team) noexcept nogil:
    cdef const fnn_kernels *k = call.kernels
    cdef const Layer *layer = &call.layer
    cdef real *work = <real *>call.arena.base
    cdef real *a
    cdef Py_ssize_t begin = share(rows, thread, team, COLUMN_ALIGN), n = share(rows, thread + 1, team, COLUMN_ALIGN) - begin
    cdef uint64_t state = float_flush()
    if n > 0:
        k.gather(n, layer.inputs, NULL, x + begin * layer.inputs, layer.inputs, work + layer.x.offset + begin * layer.x.row, layer.x.row)
        layer_forward(k, layer, work + call.weights, work, begin, n, work + call.scratch + thread * call.scratch_size)
        a = work + layer.a.offset + begin * layer.a.row
        if layer.narrow:
            k.transpose(layer.units, n, a, layer.a.step, out + begin * layer.units, layer.units)
        else:
            k.gather(n, layer.units, NULL, a, layer.a.row, out + begin * layer.units, layer.units)
    float_restore(state)


cdef void backward_rows(LoneLayer call, const real *x, const real *dz, real *dx, bint need_dx, Py_ssize_t rows, int thread,
                        int team) noexcept nogil:
    # the rows phase: lay x and dz out, and dx
    cdef const fnn_kernels *k = call.kernels
    cdef const Layer *layer = &call.layer
    cdef real *work = <real *>call.arena.base
    cdef real *d
    cdef Py_ssize_t begin = share(rows, thread, team, COLUMN_ALIGN), n = share(rows, thread + 1, team, COLUMN_ALIGN) - begin
    cdef uint64_t state = float_flush()
    if n > 0:
        k.gather(n, layer.inputs, NULL, x + begin * layer.inputs, layer.inputs, work + layer.x.offset + begin * layer.x.row, layer.x.row)
        d = work + layer.d.offset + begin * layer.d.row
        if layer.narrow:
            k.gather_columns(n, layer.units, NULL, dz + begin * layer.units, layer.units, d, layer.d.step)
        else:
            k.gather(n, layer.units, NULL, dz + begin * layer.units, layer.units, d, layer.d.row)
        if need_dx:
            layer_backward(k, layer, &call.below, work + call.weights, work + call.transposed, work, begin, n,
                           work + call.scratch + thread * call.scratch_size)
            k.gather(n, layer.inputs, NULL, work + call.below.d.offset + begin * call.below.d.row, call.below.d.row,
                     dx + begin * layer.inputs, layer.inputs)
    float_restore(state)


cdef void backward_panels(LoneLayer call, real *gradient, Py_ssize_t rows, int thread, int team) noexcept nogil:
    # the tiles phase: weight gradients as the weights lie, panels shared by threads
    cdef const fnn_kernels *k = call.kernels
    cdef const Layer *layer = &call.layer
    cdef real *work = <real *>call.arena.base
    cdef Py_ssize_t p, begin, n
    cdef const Panel *panel
    cdef uint64_t state = float_flush()
    for p in range(share(layer.panels, thread, team, 1), share(layer.panels, thread + 1, team, 1)):
        panel = &layer.panel[p]
        begin = 0
        while begin < rows:
            n = min(<Py_ssize_t>SUM_ROWS, rows - begin)
            if layer.narrow:
                narrow_gradient(k, layer, work, begin, n, p, gradient + panel.start, layer.stride, begin > 0)
            else:
                wide_gradient(k, layer, work, begin, n, p, 0, layer.inputs + 1, gradient + (layer.inputs + 1) * panel.start, begin > 0)
            begin += n
    float_restore(state)


cdef int dense_forward_of(const real[:, ::1] x, const real[:, ::1] w, const real[::1] b, activation, real[:, ::1] out,
                          int num_threads) except -1:
    cdef Py_ssize_t rows = x.shape[0]
    cdef int threads = threads_for(2.0 * rows * w.shape[0] * w.shape[1], (rows + 15) // 16, num_threads)
    cdef LoneLayer call = LoneLayer(rows, w.shape[0], w.shape[1], activation, sizeof(real), threads)
    if rows == 0:
        return 0
    pack(&call.layer, &w[0, 0], &b[0], <real *>call.arena.base + call.weights)
    if threads == 1:
        with nogil:
            forward_rows(call, &x[0, 0], &out[0, 0], rows, 0, 1)
    else:
        with nogil, parallel(num_threads=threads):
            forward_rows(call, &x[0, 0], &out[0, 0], rows, threadid(), team_size())
    return 0


cdef int dense_backward_of(const real[:, ::1] x, const real[:, ::1] w, const real[:, ::1] dz, real[:, ::1] dx, real[:, ::1] dw,
                           real[::1] db, int num_threads) except -1:
    cdef Py_ssize_t rows = x.shape[0], p
    cdef bint need_dx = dx is not None
    cdef int threads = threads_for(4.0 * rows * w.shape[0] * w.shape[1], (rows + 15) // 16, num_threads)
    cdef LoneLayer call = LoneLayer(rows, w.shape[0], w.shape[1], "linear", sizeof(real), threads)
    cdef real *work = <real *>call.arena.base
    cdef Arena gradients = Arena((call.transposed - call.weights) * sizeof(real))
    cdef real *gradient = <real *>gradients.base
    cdef real *dx_start = &dx[0, 0] if need_dx and rows > 0 else NULL
    if rows > 0:
        pack(&call.layer, &w[0, 0], <real *>NULL, work + call.weights)
        if not call.layer.narrow:
            for p in range(call.layer.panels):
                refresh_transposed(call.kernels, &call.layer, work + call.weights, work + call.transposed, p, 0, call.layer.inputs)
        if threads == 1:
            with nogil:
                backward_rows(call, &x[0, 0], &dz[0, 0], dx_start, need_dx, rows, 0, 1)
                backward_panels(call, gradient, rows, 0, 1)
        else:
            with nogil, parallel(num_threads=threads):
                backward_rows(call, &x[0, 0], &dz[0, 0], dx_start, need_dx, rows, threadid(), team_size())
            with nogil, parallel(num_threads=threads):
                backward_panels(call, gradient, rows, threadid(), team_size())
    unpack(&call.layer, gradient, &dw[0, 0], &db[0])
    return 0


# ---- what Python calls ----

def dense_forward(x, w, b=None, activation="linear", *, out=None, num_threads=None):
    """Outputs of a dense layer: ``f(x @ w + b)``.

    Parameters
    ----------
    x : array_like, shape (rows, inputs)
        float64 stays float64, everything else is taken as float32.
    w : array_like, shape (inputs, units)
        Kernel, cast to the dtype of `x`.
    b : array_like, shape (units,), optional
        Bias; zero if not given.
    activation : str or (str, tuple of float), default "linear"
        One of ``fastnn.kernels.ACTIVATIONS``, and its parameters if it has any.
    out : ndarray, shape (rows, units), optional
        Where the result goes: C-contiguous, of the dtype of `x`. May not overlap the arguments.
    num_threads : int, optional
        Obeyed if given; otherwise chosen by the cost. The result does not depend on it.

    Returns
    -------
    ndarray, shape (rows, units)
        `out`, or a new array.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was expected.
    """
    x = as_matrix(x, "x")
    w = as_matrix(w, "w", x.dtype)
    if x.shape[1] != w.shape[0] or 0 in w.shape:
        raise ValueError(f"x has shape {x.shape} and w {w.shape}; the columns of x must match the rows of w, and w must not be empty")
    b = as_vector(b, "b", w.shape[1], x.dtype)
    out = as_output(out, "out", (x.shape[0], w.shape[1]), x.dtype)
    if x.dtype == np.float32:
        dense_forward_of[float](x, w, b, activation, out, as_threads(num_threads))
    else:
        dense_forward_of[double](x, w, b, activation, out, as_threads(num_threads))
    return out


def dense_backward(x, w, dz, *, dx=None, dw=None, db=None, bint need_dx=True, num_threads=None):
    """Gradients of a dense layer ``z = x @ w + b`` from the gradient with respect to ``z``.

    Parameters
    ----------
    x : array_like, shape (rows, inputs)
        The layer's input.
    w : array_like, shape (inputs, units)
        Its kernel.
    dz : array_like, shape (rows, units)
        Gradient of the loss with respect to ``x @ w + b``.
    dx, dw, db : ndarray, optional
        Where the results go: C-contiguous, of the dtype of `x`.
    need_dx : bool, default True
        Whether to compute the gradient of the input; a first layer needs none.
    num_threads : int, optional
        Obeyed if given; otherwise chosen by the cost. The results do not depend on it.

    Returns
    -------
    dx : ndarray, shape (rows, inputs), or None
        ``dz @ w.T``
    dw : ndarray, shape (inputs, units)
        ``x.T @ dz``, a sum over the rows.
    db : ndarray, shape (units,)
        ``dz.sum(axis=0)``

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what came and what was expected.
    """
    x = as_matrix(x, "x")
    w = as_matrix(w, "w", x.dtype)
    dz = as_matrix(dz, "dz", x.dtype)
    if x.shape[1] != w.shape[0] or 0 in w.shape:
        raise ValueError(f"x has shape {x.shape} and w {w.shape}; the columns of x must match the rows of w, and w must not be empty")
    if dz.shape != (x.shape[0], w.shape[1]):
        raise ValueError(f"dz has shape {dz.shape}; expected {(x.shape[0], w.shape[1])}, the shape of x @ w")
    dx = as_output(dx, "dx", x.shape, x.dtype) if need_dx else None
    dw = as_output(dw, "dw", w.shape, x.dtype)
    db = as_output(db, "db", (w.shape[1],), x.dtype)
    if x.dtype == np.float32:
        dense_backward_of[float](x, w, dz, dx, dw, db, as_threads(num_threads))
    else:
        dense_backward_of[double](x, w, dz, dx, dw, db, as_threads(num_threads))
    return dx, dw, db
