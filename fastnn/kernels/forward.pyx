"""Rows through all layers, and nothing else: what predictions run.

Against the forward half of a training step: the first layer reads the caller's rows where they lie, nothing is kept for a backward
pass, a row alone has kernels of its own (``csrc/inference.h``), and everything is row-major. The order of all sums is the same, and
so are the bits. Threads share rows, or, where few rows meet many weights, the panels of each layer.
"""
from cython.parallel cimport parallel, threadid
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from fastnn.kernels.csrc cimport (
    FNN_RELU,
    FNN_ROW_VECTORS_MAX,
    FNN_STORE,
    FNN_WORDS_MAX,
    FNN_WORDS_ROWS_MAX,
    FNN_ACTIVATION_linear,
    FNN_ACTIVATION_relu,
    fnn_barrier,
    fnn_barrier_init,
    fnn_barrier_wait,
    fnn_kernels,
)
from fastnn.kernels.dense cimport rowwise_forward
from fastnn.kernels.memory cimport Arena
from fastnn.kernels.operations cimport operation_rows, passes_rows
from fastnn.kernels.own cimport own_calls_of
from fastnn.kernels.plan cimport COLUMN_ALIGN, OP_ADD, OP_SPLIT, Layer, Op, Panel, Plan, round_up, share
from fastnn.kernels.runtime cimport float_flush, float_restore, real
from fastnn.kernels.team cimport team_size
from fastnn.kernels.threads cimport spins_for

cdef enum:
    BLOCK_ROWS = 48


cdef class Forward:
    def __init__(self, Arena tables):
        self.network_tables = tables  # the plan's layers stay there

    @staticmethod
    cdef Forward of(const Plan *plan, Arena tables, bint bfloat16):
        cdef Forward f = Forward(tables)
        cdef Py_ssize_t i, at = 0, scratch = 0
        cdef const Layer *layer
        cdef Stage *s
        f.plan = plan[0]
        f.table = Arena(plan.layers * sizeof(Stage) + plan.ops * sizeof(Between))
        f.stage = <Stage *>f.table.base
        f.between = <Between *>&f.stage[plan.layers]
        f.block = BLOCK_ROWS
        f.bfloat16 = bfloat16
        f.parameters = plan.parameters
        for i in range(plan.layers):
            layer = &plan.layer[i]
            s = &f.stage[i]
            s.layer = layer
            s.place = layer.weights
            s.x = -1
            s.ld = layer.inputs
            # a narrow layer reads a 1 behind its inputs, for the bias, and zeros up to whole vectors
            if i > 0 or layer.narrow or plan.node[0].op != NULL:
                s.x = at
                s.ld = round_up(layer.inputs + 1, COLUMN_ALIGN)
                if s.ld * plan.kernels.itemsize % 512 == 0:  # rows must not share their place in the cache
                    s.ld += COLUMN_ALIGN
                at += f.block * s.ld
            if layer.narrow:
                scratch = max(scratch, layer.units * f.block)
            elif layer.rowwise:
                scratch = max(scratch, layer.units * COLUMN_ALIGN)
        for i in range(plan.ops):
            f.between[i].place = plan.op[i].weights
            if plan.op[i].kind == OP_SPLIT:
                f.between[i].kept = at
                at += f.block * round_up(plan.op[i].units, COLUMN_ALIGN)
            scratch = max(scratch, plan.op[i].units * COLUMN_ALIGN + f.block)
        if plan.output.rowwise:
            scratch = max(scratch, plan.outputs * COLUMN_ALIGN)
        f.scratch = at
        f.part = round_up(at + scratch, 64) + 64
        if bfloat16:
            f.place_words()
        return f

    cdef place_words(self):
        cdef Py_ssize_t i, at = 0, lanes = <Py_ssize_t>self.plan.kernels.lanes
        cdef Stage *s
        for i in range(self.plan.layers):
            s = &self.stage[i]
            s.place = at
            if s.layer.narrow:
                at += s.layer.size
            else:
                s.words = (s.layer.units + 2 * lanes - 1) // (2 * lanes)
                at += round_up(s.layer.inputs * s.words * lanes, COLUMN_ALIGN)
                s.bias = at
                at += s.words * 2 * lanes
            at = round_up(at, COLUMN_ALIGN)
        for i in range(self.plan.ops):
            self.between[i].place = at
            at += self.plan.op[i].vectors * self.plan.op[i].stride
        self.parameters = at


cdef class Space:
    @staticmethod
    cdef Space of(Forward f, int parts):
        cdef Space space = Space()
        cdef Py_ssize_t i, r, at, part
        cdef Op *op
        space.parts = parts
        space.table = Arena(max(f.plan.ops, <Py_ssize_t>1) * sizeof(Op))
        op = <Op *>space.table.base
        memcpy(op, f.plan.op, f.plan.ops * sizeof(Op))
        space.calls = own_calls_of(op, f.plan.ops)
        space.op = op
        space.arena = Arena(parts * f.part * f.plan.kernels.itemsize)
        for part in range(parts):
            for i in range(f.plan.layers):
                if f.stage[i].layer.narrow:
                    for r in range(f.block):
                        at = part * f.part + f.stage[i].x + r * f.stage[i].ld + f.stage[i].layer.inputs
                        if f.plan.kernels.itemsize == 4:
                            (<float *>space.arena.base)[at] = 1
                        else:
                            (<double *>space.arena.base)[at] = 1
        return space


# ---- one layer ----

cdef inline void wide_row(const fnn_kernels *k, const Layer *layer, const real *w, const real *a, real *c, int finish, Py_ssize_t first,
                          Py_ssize_t last) noexcept nogil:
    # one row through panels [first, last), as many of equal width at once as there are registers for
    cdef Py_ssize_t p = first, n
    cdef const Panel *panel
    while p < last:
        panel = &layer.panel[p]
        n = 1
        while p + n < last and (n + 1) * panel.vectors <= FNN_ROW_VECTORS_MAX and layer.panel[p + n].vectors == panel.vectors:
            n += 1
        k.row[panel.vectors][n](layer.inputs, a, w + (layer.inputs + 1) * panel.start, c + panel.start, layer.panel[p + n - 1].last, finish)
        p += n


cdef inline void wide_rows(const fnn_kernels *k, const Layer *layer, const real *w, const real *a, Py_ssize_t lda, real *c, Py_ssize_t ldc,
                           Py_ssize_t rows, int finish, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t p, r, size
    cdef const Panel *panel
    cdef const real *b
    for p in range(first, last):
        panel = &layer.panel[p]
        b = w + (layer.inputs + 1) * panel.start
        r = 0
        while r < rows:
            size = min(<Py_ssize_t>k.tile_rows[panel.vectors], rows - r)
            k.tile[panel.vectors][size](layer.inputs, a + r * lda, lda, 1, b, panel.width, b + layer.inputs * panel.width,
                                        c + r * ldc + panel.start, ldc, panel.last, finish, NULL, 0)
            r += size


cdef inline void words_rows(const fnn_kernels *k, const Stage *s, const real *weights, const real *a, Py_ssize_t lda, real *c,
                            Py_ssize_t ldc, Py_ssize_t rows, int finish, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    # the same through weights in bfloat16, panels [first, last) of words
    cdef Py_ssize_t lanes = <Py_ssize_t>k.lanes, inputs = s.layer.inputs, p, r, size, words, at, n, most
    for p in range(first, last):
        words = min(<Py_ssize_t>FNN_WORDS_MAX, s.words - p * FNN_WORDS_MAX)
        r = 0
        while r < rows:
            size = min(<Py_ssize_t>FNN_WORDS_ROWS_MAX, rows - r)
            most = words if size == 1 else <Py_ssize_t>k.panel_vectors // 2
            at = 0
            while at < words:
                n = min(most, words - at)
                k.words[size][n](inputs, a + r * lda, lda, weights + s.place + (p * FNN_WORDS_MAX * inputs + at) * lanes, words * lanes,
                                 weights + s.bias + (p * FNN_WORDS_MAX + at) * 2 * lanes,
                                 c + r * ldc + (p * FNN_WORDS_MAX + at) * 2 * lanes, ldc,
                                 s.layer.units - (p * FNN_WORDS_MAX + at) * 2 * lanes, finish)
                at += n
            r += size


cdef inline Py_ssize_t panels_of(const Stage *s) noexcept nogil:
    return (s.words + FNN_WORDS_MAX - 1) // FNN_WORDS_MAX if s.words else s.layer.panels


cdef inline Py_ssize_t panel_start(const fnn_kernels *k, const Stage *s, Py_ssize_t p) noexcept nogil:
    # the first unit of a panel; of the one behind the last, the number of units
    if p == panels_of(s):
        return s.layer.units
    return p * FNN_WORDS_MAX * 2 * <Py_ssize_t>k.lanes if s.words else s.layer.panel[p].start


cdef void wide_stage(const fnn_kernels *k, const Stage *s, const real *weights, const real *a, Py_ssize_t lda, real *c, Py_ssize_t ldc,
                     Py_ssize_t rows, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Panels [first, last) of a wide layer, its activation included unless that couples units."""
    cdef int activation = s.layer.activation, finish = FNN_RELU if activation == FNN_ACTIVATION_relu else FNN_STORE
    cdef Py_ssize_t start
    if s.words:
        words_rows(k, s, weights, a, lda, c, ldc, rows, finish, first, last)
    elif rows == 1:
        wide_row(k, s.layer, weights + s.place, a, c, finish, first, last)
    else:
        wide_rows(k, s.layer, weights + s.place, a, lda, c, ldc, rows, finish, first, last)
    if finish == FNN_STORE and activation != FNN_ACTIVATION_linear and not s.layer.rowwise:
        start = panel_start(k, s, first)
        k.activation_forward[activation](rows, panel_start(k, s, last) - start, c + start, ldc, c + start, ldc, s.layer.parameters)


cdef void narrow_stage(const fnn_kernels *k, const Stage *s, Py_ssize_t block, const real *weights, const real *a, Py_ssize_t lda, real *c,
                       Py_ssize_t ldc, Py_ssize_t rows, real *scratch) noexcept nogil:
    cdef const Layer *layer = s.layer
    cdef const real *w = weights + s.place
    cdef Py_ssize_t j, depth = round_up(layer.inputs + 1, COLUMN_ALIGN), ld = block
    cdef real *columns = scratch
    if rows == 1:
        k.dot_units(layer.units, depth, w, layer.stride, a, c)
        if layer.rowwise:
            rowwise_forward(k, layer.activation, layer.parameters, 1, layer.units, c, ldc, c, ldc, scratch)
        elif layer.activation != FNN_ACTIVATION_linear:  # all units in one vector
            k.activation_forward[layer.activation](1, layer.units, c, 1, c, 1, layer.parameters)
        return
    if layer.units == 1 and ldc == 1 and not layer.rowwise:
        columns = c
    for j in range(layer.units):
        k.dot_rows(rows, depth, a, lda, w + j * layer.stride, columns + j * ld)
    if layer.activation != FNN_ACTIVATION_linear:
        k.activation_forward[layer.activation](layer.units, rows, columns, ld, columns, ld, layer.parameters)
    if columns != c:
        k.transpose(layer.units, rows, columns, ld, c, ldc)


# ---- all layers ----

cdef inline void stage_output(Forward f, Py_ssize_t i, real *work, real *out, real **c, Py_ssize_t *ldc) noexcept nogil:
    # where stage i leaves its rows: in the next one's input, or with the caller
    if i + 1 < f.plan.layers:
        c[0] = work + f.stage[i + 1].x
        ldc[0] = f.stage[i + 1].ld
    else:
        c[0] = out
        ldc[0] = f.plan.outputs


cdef void forward_block(Forward f, const Op *op, const real *weights, real *work, const real *x, real *out, Py_ssize_t rows) noexcept nogil:
    """out (OUT: rows x outputs) for x (rows x inputs), both contiguous; at most f.block rows."""
    cdef const fnn_kernels *k = f.plan.kernels
    cdef const Stage *s
    cdef const real *a = x
    cdef real *c
    cdef real *scratch = work + f.scratch
    cdef Py_ssize_t i, n, lda = f.plan.inputs, ldc
    if f.stage[0].x >= 0:
        lda = f.stage[0].ld
        k.gather(rows, f.plan.inputs, NULL, x, f.plan.inputs, work + f.stage[0].x, lda)
        a = work + f.stage[0].x
    c = work + f.stage[0].x
    for n in range(f.plan.nodes):
        if f.plan.node[n].op != NULL:
            between_block(f, &op[f.plan.node[n].index], weights, work, c, lda, rows)
            continue
        i = f.plan.node[n].index
        s = &f.stage[i]
        stage_output(f, i, work, out, &c, &ldc)
        if s.layer.narrow:
            narrow_stage(k, s, f.block, weights, a, lda, c, ldc, rows, scratch)
        else:
            wide_stage(k, s, weights, a, lda, c, ldc, rows, 0, panels_of(s))
            if s.layer.rowwise:
                rowwise_forward(k, s.layer.activation, s.layer.parameters, rows, s.layer.units, c, ldc, c, ldc, scratch)
        a = c
        lda = ldc
    if f.plan.node[f.plan.nodes - 1].op != NULL and f.plan.output.rowwise:
        rowwise_forward(k, f.plan.output.activation, f.plan.output.parameters, rows, f.plan.outputs, c, lda, c, lda, scratch)
    elif f.plan.node[f.plan.nodes - 1].op != NULL and f.plan.output.activation != FNN_ACTIVATION_linear:
        k.activation_forward[f.plan.output.activation](rows, f.plan.outputs, c, lda, c, lda, f.plan.output.parameters)


cdef void between_block(Forward f, const Op *op, const real *weights, real *work, real *c, Py_ssize_t ldc, Py_ssize_t rows) noexcept nogil:
    """An operation on rows c (IN and OUT)."""
    cdef const fnn_kernels *k = f.plan.kernels
    cdef Py_ssize_t ld = round_up(op.units, COLUMN_ALIGN)
    if passes_rows(op):
        return
    if op.kind == OP_SPLIT:
        k.gather(rows, op.units, NULL, c, ldc, work + f.between[f.plan.node[op.stream].index].kept, ld)
        return
    operation_rows(k, op, weights + f.between[f.plan.node[op.stream].index].place, c, ldc,
                   work + f.between[f.plan.node[op.partner].index].kept if op.kind == OP_ADD else NULL, ld, c, ldc, rows, work + f.scratch)


cdef void rows_thread(Forward f, Space space, const real *weights, const real *x, real *out, Py_ssize_t rows, int thread,
                      int team) noexcept nogil:
    cdef Py_ssize_t at = share(rows, thread, team, COLUMN_ALIGN), end = share(rows, thread + 1, team, COLUMN_ALIGN), n
    cdef real *work = <real *>space.arena.base + thread * f.part
    cdef uint64_t state = float_flush()
    while at < end:
        n = min(f.block, end - at)
        forward_block(f, space.op, weights, work, x + at * f.plan.inputs, out + at * f.plan.outputs, n)
        at += n
    float_restore(state)


cdef void forward_rows(Forward f, Space space, const real *weights, const real *x, real *out, Py_ssize_t rows,
                       int threads) noexcept nogil:
    """out (OUT: rows x outputs) for x (rows x inputs), both contiguous; threads, at most space.parts, share the rows."""
    if threads == 1:
        rows_thread(f, space, weights, x, out, rows, 0, 1)
        return
    with parallel(num_threads=threads):
        rows_thread(f, space, weights, x, out, rows, threadid(), team_size())


cdef void shared_thread(Forward f, const real *weights, real *work, const real *x, real *out, Py_ssize_t rows, fnn_barrier *barrier,
                        int thread, int team) noexcept nogil:
    cdef const fnn_kernels *k = f.plan.kernels
    cdef const Stage *s
    cdef const real *a = x
    cdef real *c
    cdef Py_ssize_t i, lda = f.plan.inputs, ldc, panels
    cdef int spins = spins_for(team)
    cdef uint64_t state = float_flush()
    if f.stage[0].x >= 0:
        lda = f.stage[0].ld
        a = work + f.stage[0].x
        if thread == 0:
            k.gather(rows, f.plan.inputs, NULL, x, f.plan.inputs, work + f.stage[0].x, lda)
    for i in range(f.plan.layers):
        s = &f.stage[i]
        stage_output(f, i, work, out, &c, &ldc)
        if not s.layer.narrow:
            panels = panels_of(s)
            if panels * thread // team < panels * (thread + 1) // team:
                wide_stage(k, s, weights, a, lda, c, ldc, rows, panels * thread // team, panels * (thread + 1) // team)
            if s.layer.rowwise:
                fnn_barrier_wait(barrier, team, spins)
        if thread == 0 and s.layer.narrow:
            narrow_stage(k, s, f.block, weights, a, lda, c, ldc, rows, work + f.scratch)
        elif thread == 0 and s.layer.rowwise:
            rowwise_forward(k, s.layer.activation, s.layer.parameters, rows, s.layer.units, c, ldc, c, ldc, work + f.scratch)
        if i + 1 < f.plan.layers and not (f.stage[i + 1].layer.narrow and s.layer.narrow):
            fnn_barrier_wait(barrier, team, spins)
        a = c
        lda = ldc
    float_restore(state)


cdef void forward_shared(Forward f, Space space, const real *weights, const real *x, real *out, Py_ssize_t rows,
                         int threads) noexcept nogil:
    """The same for at most f.block rows; threads share the panels of each wide layer."""
    cdef fnn_barrier barrier
    fnn_barrier_init(&barrier)
    with parallel(num_threads=threads):
        shared_thread(f, weights, <real *>space.arena.base, x, out, rows, &barrier, threadid(), team_size())
