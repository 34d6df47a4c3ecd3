"""What a training moves: the arrays of weights with what is asked of each, and the jobs of the tile phase that follow from it.

Whatever is not trained has no jobs, and where all below a node is like that, no deltas are computed below it. The jobs are cut anew
whenever something else is asked (``Network.set_variables``); where parameters lie never changes.
"""
from fastnn.kernels.plan cimport (
    COLUMN_ALIGN,
    CONSTRAINT_LIMITS,
    CONSTRAINT_NONE,
    CONSTRAINT_NORMS,
    CONSTRAINT_OWN,
    OP_BATCH_NORM,
    TILE_BLOCK,
    Layer,
    Node,
    Op,
    Panel,
    Plan,
    Tile,
    Variable,
    round_up,
)


cdef void list_variables(Plan *plan) noexcept:
    """``plan.variable``, and the nodes' first ones; all that can be trained is, and nothing else is asked."""
    cdef Py_ssize_t i, v, n = 0
    cdef Node *node
    plan.lowest = plan.nodes
    plan.sums = 0
    for i in range(plan.nodes):
        node = &plan.node[i]
        node.variable = n
        if node.op == NULL:
            add_variable(plan, &n, node.index, -1, 0, node.layer.inputs, node.layer.units)
            if node.layer.bias:
                add_variable(plan, &n, node.index, -1, 1, 1, node.layer.units)
            plan.lowest = min(plan.lowest, i)
            continue
        for v in range(node.op.vectors):
            if node.op.used[v]:
                add_variable(plan, &n, -1, node.index, v, 1, node.op.units)
        if node.op.trained > 0:
            plan.lowest = min(plan.lowest, i)
    plan.variables = n


cdef void add_variable(Plan *plan, Py_ssize_t *n, Py_ssize_t layer, Py_ssize_t op, Py_ssize_t vector, Py_ssize_t rows,
                       Py_ssize_t columns) noexcept:
    cdef Variable *v = &plan.variable[n[0]]
    n[0] += 1
    v.layer = layer
    v.op = op
    v.vector = vector
    v.rows = rows
    v.columns = columns
    v.trained = True
    v.decays = True
    v.orthogonal = layer >= 0 and vector == 0
    v.constraint = CONSTRAINT_NONE
    v.sums = plan.sums
    if layer >= 0 and plan.layer[layer].narrow:
        v.parts = rows
    else:
        v.parts = (rows + TILE_BLOCK - 1) // TILE_BLOCK * columns
    plan.sums += v.parts


cdef inline bint penalised(const Variable *v) noexcept:
    return v.trained and (v.penalty[0] != 0 or v.penalty[1] != 0)


cdef inline bint sloped(const Variable *v) noexcept:
    return v.trained and (v.angles != 0 or v.own_penalty)


cdef inline bint constrained(const Variable *v, int kind) noexcept:
    return v.trained and v.constraint == kind


cdef bint asks(const Variable *v) noexcept:
    # whether a step of the optimizer is not all there is to it
    return not (v.trained and v.decays) or penalised(v) or sloped(v) or v.constraint != CONSTRAINT_NONE


cdef void ask_plan(Plan *plan) noexcept:
    # what is asked of any variable
    cdef Py_ssize_t i, lines, length
    cdef Variable *v
    plan.plain = True
    plan.penalised = plan.sloped = plan.own_penalties = plan.normed = plan.own_constraints = False
    plan.angles = 0
    for i in range(plan.variables):
        v = &plan.variable[i]
        plan.plain = plan.plain and not asks(v)
        plan.penalised = plan.penalised or penalised(v)
        plan.sloped = plan.sloped or sloped(v)
        plan.own_penalties = plan.own_penalties or (v.trained and v.own_penalty)
        plan.normed = plan.normed or constrained(v, CONSTRAINT_NORMS)
        plan.own_constraints = plan.own_constraints or constrained(v, CONSTRAINT_OWN)
        if v.trained and v.angles != 0:
            lines = v.columns if v.angles_axis == 0 else v.rows
            length = v.rows if v.angles_axis == 0 else v.columns
            v.angles_at = plan.angles
            plan.angles += lines * round_up(length, COLUMN_ALIGN) + 2 * round_up(lines, COLUMN_ALIGN)


cdef void cut_tiles(Plan *plan) noexcept:
    """The jobs of the tile phase, and what else follows from what is asked of the variables."""
    cdef Py_ssize_t i, v
    cdef bint trained
    cdef Node *node
    plan.tiles = 0
    plan.coupled = 0
    plan.lowest = plan.nodes
    plan.training_operations = 0
    ask_plan(plan)
    for i in range(plan.nodes):
        node = &plan.node[i]
        if node.op == NULL:
            trained = add_tiles(plan, node)
            node.layer.trained = trained
        else:
            trained = add_vector_tiles(plan, node)
            if node.op.kind == OP_BATCH_NORM:
                v = node.variable + node.op.used[0] + node.op.used[1]  # its moving mean
                node.op.frozen = not plan.variable[v].trained
                plan.coupled += not node.op.frozen
        if trained:
            plan.lowest = min(plan.lowest, i)
        if node.op == NULL:
            plan.training_operations += (2 + 2 * trained + 2 * (i > plan.lowest)) * node.layer.inputs * node.layer.units


cdef Tile *add_tile(Plan *plan, Py_ssize_t variable, Py_ssize_t split, Py_ssize_t length) noexcept:
    cdef Tile *tile = &plan.tile[plan.tiles]
    cdef const Variable *v
    cdef int part
    plan.tiles += 1
    tile.variable = variable
    tile.split = split
    tile.length = length
    tile.plain = True
    tile.penalised = tile.sloped = tile.limited = tile.unfinished = False
    for part in range(2):
        if (split > 0) if part == 0 else (split < length):
            v = &plan.variable[variable + part]
            tile.plain = tile.plain and not asks(v)
            tile.penalised = tile.penalised or penalised(v)
            tile.sloped = tile.sloped or sloped(v)
            tile.limited = tile.limited or constrained(v, CONSTRAINT_LIMITS)
            tile.unfinished = tile.unfinished or constrained(v, CONSTRAINT_NORMS) or constrained(v, CONSTRAINT_OWN)
    return tile


cdef bint add_tiles(Plan *plan, const Node *node) noexcept:
    # the jobs of a dense layer's parameters; returns whether there are any
    cdef const Layer *layer = node.layer
    cdef bint kernel = plan.variable[node.variable].trained, bias = layer.bias and plan.variable[node.variable + 1].trained
    cdef Py_ssize_t p, band, end, first = 0 if kernel else layer.inputs, last = layer.inputs + bias, before = plan.tiles
    if layer.narrow:
        for p in range(layer.panels):
            add_narrow_tile(plan, node, p, kernel, bias)
    else:
        for band in range(band_of(layer, first), bands(layer)):
            end = (band + 1) * BAND if band + 1 < bands(layer) else last
            for p in range(layer.panels):
                add_column_of_tiles(plan, node, p, max(first, band * <Py_ssize_t>BAND), end)
    return plan.tiles > before


cdef void add_narrow_tile(Plan *plan, const Node *node, Py_ssize_t p, bint kernel, bint bias) noexcept:
    # the bias is the lane behind the inputs, on the same run; what follows it is no weight
    cdef const Layer *layer = node.layer
    cdef const Panel *panel = &layer.panel[p]
    cdef Tile *tile
    cdef Py_ssize_t split
    if panel.start >= layer.inputs + layer.bias:
        return
    split = min(max(layer.inputs - panel.start, <Py_ssize_t>0), panel.width) if layer.bias else panel.width
    if (kernel and split > 0) or (bias and split < panel.width):
        tile = add_tile(plan, node.variable, split, panel.width)
        tile.begin = 0
        tile.end = layer.inputs + layer.bias
        tile.place = layer.weights + panel.start
        tile.runs = layer.units
        tile.stride = layer.stride
        tile.layer = node.index
        tile.panel = p


cdef void add_column_of_tiles(Plan *plan, const Node *node, Py_ssize_t p, Py_ssize_t first, Py_ssize_t last) noexcept:
    # rows [first, last) of a panel of a wide layer, its bias the row behind the inputs
    cdef const Layer *layer = node.layer
    cdef const Panel *panel = &layer.panel[p]
    cdef Tile *tile
    cdef Py_ssize_t end
    while first < last:
        end = min(first + TILE_BLOCK, last)
        tile = add_tile(plan, node.variable, (min(end, layer.inputs) - first) * panel.width, (end - first) * panel.width)
        tile.begin = first
        tile.end = end
        tile.place = layer.weights + (layer.inputs + 1) * panel.start + first * panel.width
        tile.runs = 1
        tile.stride = 0
        tile.layer = node.index
        tile.panel = p
        first = end


cdef bint add_vector_tiles(Plan *plan, const Node *node) noexcept:
    # the jobs of an operation's parameters; returns whether there are any
    cdef const Op *op = node.op
    cdef Tile *tile
    cdef Py_ssize_t v, variable = node.variable, before = plan.tiles
    for v in range(op.vectors):
        if not op.used[v]:
            continue
        if v < op.trained and plan.variable[variable].trained:
            tile = add_tile(plan, variable, op.stride, op.stride)
            tile.layer = -1
            tile.op = node.index
            tile.panel = v
            tile.begin = 0
            tile.end = op.units
            tile.place = op.weights + v * op.stride
            tile.runs = 1
            tile.stride = 0
        variable += 1
    return plan.tiles > before
