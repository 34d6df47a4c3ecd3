"""Where the matrices of a running network lie: one arena, laid out for so many rows and threads."""
from libc.string cimport memcpy

from fastnn.kernels.csrc cimport FNN_ACTIVATION_linear, FNN_STEP_ORTHOGONAL
from fastnn.kernels.memory cimport MOST_ELEMENTS, Arena, room
from fastnn.kernels.operations cimport only_in_training
from fastnn.kernels.optimizers cimport Optimizer
from fastnn.kernels.own cimport own_calls_of
from fastnn.kernels.pieces cimport ROOM
from fastnn.kernels.plan cimport (
    COLUMN_ALIGN,
    OP_BATCH_NORM,
    OP_LAYER_NORM,
    OP_PENALTY,
    OP_PRELU,
    OP_SPLIT,
    SUM_ROWS,
    SUM_SETS,
    TILE_BLOCK,
    SUM_ROWS,
    Layer,
    Matrix,
    Node,
    Op,
    Output,
    Plan,
    Reduced,
    round_up,
)
from fastnn.kernels.planning cimport link_nodes
from fastnn.kernels.reduced cimport lay_out_reduced, set_reduced_ones
from fastnn.kernels.tiling cimport LONGEST_BAND

cdef enum:
    STRIP_BYTES = 256 << 10   # what a strip's activations and deltas may take: a share of the second-level cache
    STRIP_ROWS = 48
    # Every strip reads all weights. Where they do not stay in the second-level cache, strips are as high as the widest layer's rows do.
    WEIGHTS_BYTES = 1 << 20
    WIDEST_BYTES = 768 << 10
    MOMENTS = 6               # vectors of an OP_BATCH_NORM


cdef Py_ssize_t leading_dimension(Py_ssize_t columns, Py_ssize_t itemsize) noexcept:
    # room for the column of ones and whole vectors; not a multiple of 512 bytes, or rows share their place in the cache
    cdef Py_ssize_t ld = round_up(columns + 1, COLUMN_ALIGN)
    if ld * itemsize % 512 == 0:
        ld += COLUMN_ALIGN
    return ld


cdef class Workspace:
    def __init__(self, Arena tables, int threads):
        self.network_tables = tables  # the plan's tiles stay there
        self.threads = threads

    cdef int lay_out(self, const Plan *plan, Py_ssize_t rows, Py_ssize_t value_rows, Py_ssize_t columns, Py_ssize_t targets,
                     Py_ssize_t blocks, const Optimizer *optimizer, bint slopes=False) except -1:
        """Sizes first, then one allocation: room for `rows` rows, `columns` values of `value_rows` rows, `blocks` partial gradients, and
        what `optimizer` needs (NULL: nothing is trained); with `slopes` also for gradients with respect to the rows."""
        cdef Py_ssize_t i, at = 0, ld, strips, capacity, deepest = 0, row_size = 0, itemsize = <Py_ssize_t>plan.kernels.itemsize
        cdef Layer *layer
        cdef Op *op
        cdef Matrix x
        cdef bint columns_major, train = optimizer != NULL
        self.plan = plan[0]
        self.tables = Arena((plan.layers + plan.ops) * sizeof(Layer) + plan.ops * sizeof(Op) + plan.nodes * sizeof(Node))
        self.plan.layer = <Layer *>self.tables.base
        self.plan.op = <Op *>&self.plan.layer[plan.layers + plan.ops]
        self.plan.node = <Node *>&self.plan.op[plan.ops]
        memcpy(self.plan.layer, plan.layer, (plan.layers + plan.ops) * sizeof(Layer))
        memcpy(self.plan.op, plan.op, plan.ops * sizeof(Op))
        memcpy(self.plan.node, plan.node, plan.nodes * sizeof(Node))
        self.calls = own_calls_of(self.plan.op, plan.ops)
        link_nodes(&self.plan)
        self.plan.reduced = NULL
        if train and self.plan.bf16 != NULL:
            self.reduced_tables = Arena(self.plan.layers * sizeof(Reduced))
            self.plan.reduced = <Reduced *>self.reduced_tables.base
        capacity = round_up(rows, COLUMN_ALIGN)
        self.space.capacity = capacity

        ld = leading_dimension(self.plan.inputs, itemsize)
        x = [at, ld, 1]
        at = room(at, capacity, ld)
        self.plan.x = x
        self.plan.entry.inputs = self.plan.entry.units = self.plan.inputs
        self.plan.entry.activation = FNN_ACTIVATION_linear
        self.plan.entry.x = self.plan.entry.z = self.plan.entry.a = x
        self.plan.entry.d = [at, ld, 1]
        if slopes:
            at = room(at, capacity, ld)
        row_size = ld
        for i in range(self.plan.nodes):
            layer = self.plan.node[i].layer
            op = self.plan.node[i].op
            if op != NULL:
                at = self.lay_out_operation(op, layer, x, at, train)
                row_size += 3 * leading_dimension(op.units, itemsize)
                x = layer.a
                continue
            layer.x = x
            layer.rows_x.offset = -1
            columns_major = layer.narrow or layer.last
            ld = leading_dimension(layer.units, itemsize)
            if layer.narrow and x.step != 1:
                layer.rows_x = [at, leading_dimension(layer.inputs, itemsize), 1]
                at = room(at, capacity, layer.rows_x.row)
            layer.a = [at, 1, capacity] if columns_major else [at, ld, 1]
            at = room(at, capacity, (layer.units + 1) if columns_major else ld)
            layer.z = layer.a
            if layer.reads_input:
                layer.z.offset = at
                at = room(at, capacity, layer.units if columns_major else ld)
            layer.d = [at, 1, capacity] if layer.narrow else [at, ld, 1]
            if train or (layer.last and not layer.narrow):  # a wide last layer's products pass through its deltas
                at = room(at, capacity, layer.units if layer.narrow else ld)
            row_size += 2 * ld
            deepest = max(deepest, layer.units, layer.inputs)
            x = layer.a
        at = self.lay_out_output(at)
        self.space.y = at
        at = room(at, capacity, targets)
        self.space.weight = at
        at += capacity
        self.space.delta = at
        at = room(at, capacity, self.plan.outputs)
        self.space.values = at
        self.space.value_rows = round_up(value_rows, COLUMN_ALIGN)
        at = round_up(room(at, self.space.value_rows, columns), COLUMN_ALIGN)
        self.space.strip = max(<Py_ssize_t>STRIP_ROWS, STRIP_BYTES // (row_size * itemsize) // STRIP_ROWS * STRIP_ROWS)
        if (self.plan.parameters + self.plan.transposed) * itemsize > WEIGHTS_BYTES:
            ld = leading_dimension(deepest, itemsize) * itemsize
            self.space.strip = max(self.space.strip, WIDEST_BYTES // ld // STRIP_ROWS * STRIP_ROWS)
        if self.plan.reduced != NULL:
            # AMX multiplies faster than the third-level cache delivers the weights that each strip reads: what a thread takes of a
            # batch is cut into as few strips as may be, of about equal height
            ld = round_up((capacity + self.threads - 1) // self.threads, COLUMN_ALIGN)
            strips = (ld + SUM_ROWS - 1) // SUM_ROWS
            self.space.strip = round_up((ld + strips - 1) // strips, 2 * COLUMN_ALIGN)
        self.space.strip = min(self.space.strip, capacity)
        self.space.scratch = at
        self.space.scratch_size = round_up(max(
            2 * deepest * COLUMN_ALIGN + self.space.strip * COLUMN_ALIGN,
            (LONGEST_BAND if self.plan.reduced != NULL else TILE_BLOCK)
            * <Py_ssize_t>(self.plan.kernels.lanes * self.plan.kernels.panel_vectors)), 64) + 64 + ROOM
        at = room(at, self.threads, self.space.scratch_size)
        self.space.partials = at
        at = room(at, blocks, self.plan.parameters)
        if train and optimizer.stored:
            at = self.lay_out_sums(at)
            self.space.matrices = at
            at += self.plan.matrices if optimizer.step == FNN_STEP_ORTHOGONAL else 0
        at = self.lay_out_penalties(at)
        if self.plan.reduced != NULL:
            at = lay_out_reduced(&self.plan, capacity, at)
        self.space.transposed = at
        at += self.plan.transposed if train else 0
        self.space.entry = at - self.space.transposed
        if slopes:
            for i in range(self.plan.layers):
                if self.plan.layer[i].transposed < 0 and not self.plan.layer[i].narrow:
                    at += round_up(self.plan.layer[i].units * round_up(self.plan.layer[i].inputs, <Py_ssize_t>self.plan.kernels.lanes),
                                   COLUMN_ALIGN)
        self.space.size = at
        if at > MOST_ELEMENTS:
            raise MemoryError("the network and this batch size need more memory than can be addressed")
        self.arena = Arena(at * itemsize)
        self.set_ones(self.plan.x, self.plan.inputs)
        for i in range(self.plan.nodes):
            layer = self.plan.node[i].layer
            if i + 1 < self.plan.nodes:
                self.set_ones(layer.a, layer.units)
            if self.plan.node[i].op != NULL:
                continue
            if layer.rows_x.offset >= 0:
                self.set_ones(layer.rows_x, layer.inputs)
        if self.plan.reduced != NULL:
            set_reduced_ones(&self.plan, capacity, <float *>self.arena.base)
        return 0

    cdef Py_ssize_t lay_out_operation(self, Op *op, Layer *layer, Matrix x, Py_ssize_t at, bint train) noexcept:
        # its input x, its output, deltas and what it keeps for them; returns the place behind
        cdef Py_ssize_t ld = leading_dimension(op.units, <Py_ssize_t>self.plan.kernels.itemsize), rows = self.space.capacity
        op.copied = x.step != 1
        op.x = x
        if op.copied:
            op.x = [at, ld, 1]
            at = room(at, rows, ld)
        layer.a = op.x
        if op.kind != OP_SPLIT and op.kind != OP_PENALTY:
            layer.a = [at, ld, 1]
            at = room(at, rows, ld)
        layer.z = layer.a
        layer.d = [at, ld, 1]
        op.m = [at, ld, 1]
        if train:
            at = room(at, rows, ld)
            op.m.offset = at
        if (train and (only_in_training(op) or op.kind == OP_PRELU or op.kind == OP_BATCH_NORM)) or op.kind == OP_LAYER_NORM:
            at = room(at, rows, ld)
        op.inverse = at
        if op.kind == OP_LAYER_NORM:
            at += self.space.capacity
        op.moments = at
        if train and op.kind == OP_BATCH_NORM:
            at += MOMENTS * op.stride
        return at

    cdef Py_ssize_t lay_out_output(self, Py_ssize_t at) noexcept:
        # the columns on which losses work: the last dense layer's own, or a copy of what an operation gives
        cdef Node *node = &self.plan.node[self.plan.nodes - 1]
        cdef Output *output = &self.plan.output
        output.columns = node.layer.narrow
        output.z = node.layer.z
        output.a = node.layer.a
        output.d = node.layer.d
        if node.op != NULL:
            output.z = output.a = [at, 1, self.space.capacity]
            at = room(at, self.space.capacity, output.units)
            if output.reads_input:
                output.a.offset = at
                at = room(at, self.space.capacity, output.units)
        return at

    cdef Py_ssize_t lay_out_sums(self, Py_ssize_t at) noexcept:
        # what is added up over whole variables; returns the place behind
        self.space.sums = at
        at = round_up(at + SUM_SETS * self.plan.sums, COLUMN_ALIGN)
        self.space.totals = at
        self.space.totals_size = round_up(SUM_SETS * self.plan.variables * 8 // <Py_ssize_t>self.plan.kernels.itemsize, COLUMN_ALIGN)
        return at + self.threads * self.space.totals_size

    cdef Py_ssize_t lay_out_penalties(self, Py_ssize_t at) noexcept:
        # what penalties of weights and outputs take; returns the place behind
        self.space.penalties = at
        at = round_up(at + (self.plan.sums if self.plan.penalised else 0), COLUMN_ALIGN)
        self.space.angles = at
        at += self.plan.angles
        self.space.slopes = at
        at += self.plan.parameters if self.plan.sloped else 0
        self.space.activity = at
        return at + (self.space.capacity + self.space.value_rows if self.plan.activity else 0)

    cdef set_ones(self, Matrix m, Py_ssize_t column):
        # what multiplies the bias; never written again
        cdef Py_ssize_t r
        for r in range(self.space.capacity):
            if self.plan.kernels.itemsize == 4:
                (<float *>self.arena.base)[m.offset + r * m.row + column * m.step] = 1
            else:
                (<double *>self.arena.base)[m.offset + r * m.row + column * m.step] = 1
