"""From a list of layers to a plan: their shapes, where their parameters lie, and the jobs of the tile phase."""
from fastnn.kernels.activations cimport set_activation
from fastnn.kernels.csrc cimport FNN_PARAMETERS_MAX, FNN_ACTIVATION_linear
from fastnn.kernels.memory cimport Arena
from fastnn.kernels.own cimport OwnFunction
from fastnn.kernels.plan cimport (
    COLUMN_ALIGN,
    MAX_COUPLED,
    OP_ACTIVATION,
    OP_ADD,
    OP_AFFINE,
    OP_BATCH_NORM,
    OP_DROP,
    OP_LAYER_NORM,
    OP_NOISE,
    OP_OWN,
    OP_PARAMETERS,
    OP_PENALTY,
    OP_PRELU,
    OP_SCALE,
    OP_SPLIT,
    OP_VECTORS,
    TILE_BLOCK,
    Layer,
    Node,
    Op,
    Panel,
    Plan,
    Tile,
    Variable,
    is_narrow,
    panel_at,
    panel_count,
    round_up,
)
from fastnn.kernels.tiling cimport cut_tiles, list_variables

cdef enum:
    MAX_DIMENSION = 1 << 30

# name of an operation: its kind, how many vectors of parameters it has, and how many of them the optimizer moves
OPERATIONS = {
    "activation": (OP_ACTIVATION, 0, 0),
    "affine": (OP_AFFINE, 0, 0),
    "drop": (OP_DROP, 0, 0),
    "noise": (OP_NOISE, 0, 0),
    "scale": (OP_SCALE, 0, 0),
    "prelu": (OP_PRELU, 1, 1),
    "layer_norm": (OP_LAYER_NORM, 2, 2),
    "batch_norm": (OP_BATCH_NORM, 4, 2),
    "split": (OP_SPLIT, 0, 0),
    "add": (OP_ADD, 0, 0),
    "own": (OP_OWN, 0, 0),
    "penalty": (OP_PENALTY, 0, 0),
}


def is_dense(specification):
    """Whether an entry of a network's specification is a dense layer, and not an operation."""
    return not isinstance(specification[0], str)


def folded(layers):
    """The specification with each activation that follows a linear dense layer made that layer's own."""
    found, before = [], None
    for entry in layers:
        if entry[0] == "activation" and before is not None and is_dense(before) and before[1] == "linear":
            found.pop()
            before = (before[0], entry[1], before[2])
        else:
            before = tuple(entry)
        found.append(before)
    return found


cdef Py_ssize_t checked_size(size) except -1:
    if not 1 <= size <= MAX_DIMENSION:
        raise ValueError(f"a layer's size must be between 1 and {MAX_DIMENSION}, not {size}")
    return size


cdef Arena make_plan(Plan *plan, input_dim, layers):
    """plan (OUT), whose kernels are set, of a specification; the tables that it points at are returned.

    layers: (units, activation, bias) of each dense layer, and between them (name, numbers, vectors used) of operations, or
    ("activation", its name), ("affine", scale, offset); folded.
    """
    cdef Py_ssize_t i, at = 0, below, tiles = 0, panels = 0, cells = 0, widest
    cdef Arena tables
    cdef Panel *panel
    cdef Layer *last
    cdef Layer own
    behind = None
    *others, final = layers or [("nothing",)]
    # on columns, where the loss may absorb it; a dense layer before it has an activation of its own, else the two were folded
    if others and final[0] == "activation" and not is_dense(others[len(others) - 1]):
        behind = final[1]
        layers = others
    dense = [entry for entry in layers if is_dense(entry)]
    if not dense:
        raise ValueError("a network needs at least one dense layer")
    below = widest = checked_size(input_dim)
    for entry in dense:
        cells += (below + 1) * round_up(checked_size(entry[0]), 64)
        if cells > <Py_ssize_t>1 << 40:
            raise MemoryError(f"the network has about {cells} parameters, more than can be held")
        below = entry[0]
        widest = max(widest, below)
    plan.layers = len(dense)
    plan.ops = len(layers) - len(dense)
    plan.nodes = len(layers)
    plan.inputs = input_dim
    below = input_dim
    for entry in dense:
        panels += panel_count(below + COLUMN_ALIGN, plan.kernels) + panel_count(entry[0], plan.kernels) + panel_count(below, plan.kernels)
        tiles += panel_count(below + COLUMN_ALIGN, plan.kernels) + panel_count(entry[0], plan.kernels) * ((below + 1) // TILE_BLOCK + 2)
        below = entry[0]
    tiles += 2 * plan.ops
    plan.variables = 2 * plan.layers + OP_VECTORS * plan.ops + 1  # at most, and one for tiles without a second
    tables = Arena(plan.layers * sizeof(Layer) + plan.ops * (sizeof(Op) + sizeof(Layer) + 2 * widest * sizeof(double))
                   + plan.nodes * sizeof(Node) + plan.variables * sizeof(Variable) + tiles * sizeof(Tile) + panels * sizeof(Panel))
    # dense layers first, then how operations look from outside
    plan.layer = <Layer *>tables.base
    plan.op = <Op *>&plan.layer[plan.layers + plan.ops]
    plan.node = <Node *>&plan.op[plan.ops]
    plan.variable = <Variable *>&plan.node[plan.nodes]
    plan.tile = <Tile *>&plan.variable[plan.variables]
    panel = <Panel *>&plan.tile[tiles]
    plan.constants = <double *>&panel[panels]
    add_nodes(plan, layers)
    link_nodes(plan)
    list_variables(plan)
    for i in range(plan.nodes):
        if plan.node[i].op == NULL:
            panel = add_layer(plan, plan.node[i].index, i == plan.lowest, panel, &at)
        else:
            add_vectors(plan, plan.node[i].index, &at)
    plan.parameters = at
    cut_tiles(plan)
    last = plan.node[plan.nodes - 1].layer
    plan.outputs = plan.output.units = last.units
    own = last[0]
    if behind is not None:
        set_activation(&own, behind)
    plan.output.activation = own.activation
    plan.output.rowwise = own.rowwise
    plan.output.reads_input = own.reads_input
    for i in range(FNN_PARAMETERS_MAX):
        plan.output.parameters[i] = own.parameters[i]
    return tables


cdef int add_nodes(Plan *plan, layers) except -1:
    # kinds, sizes and settings, in the order of the specification
    cdef Py_ssize_t i, dense = 0, ops = 0, below = plan.inputs
    cdef Layer *layer
    cdef Op *op
    splits = []
    for i, entry in enumerate(layers):
        if is_dense(entry):
            plan.node[i].index = dense
            layer = &plan.layer[dense]
            dense += 1
            layer.inputs = below
            layer.units, activation, layer.bias = entry
            set_activation(layer, activation)
            layer.last = i == plan.nodes - 1
            layer.narrow = is_narrow(layer.inputs, layer.units)
            below = layer.units
            continue
        op = &plan.op[ops]
        plan.node[i].index = ops
        layer = &plan.layer[plan.layers + ops]
        ops += 1
        layer.inputs = layer.units = op.units = below
        layer.activation = FNN_ACTIVATION_linear
        op.stream = i
        add_operation(plan, op, entry, i, splits)
    if splits:
        raise ValueError("a residual block was begun and not ended")
    return 0


cdef int add_operation(Plan *plan, Op *op, tuple entry, Py_ssize_t node, list splits) except -1:
    # settings of one operation
    cdef Py_ssize_t j
    cdef Layer own
    cdef OwnFunction own_function
    name, *settings = entry
    if name not in OPERATIONS:
        raise ValueError(f"there is no operation {name!r}; there are {', '.join(OPERATIONS)}")
    op.kind, op.vectors, op.trained = OPERATIONS[name]
    for j in range(op.vectors):
        op.used[j] = True
    op.partner = -1
    if op.kind == OP_BATCH_NORM:
        plan.coupled += 1
        if plan.coupled > MAX_COUPLED:
            raise NotImplementedError(f"a network can have {MAX_COUPLED} batch normalisations at most")
    if op.kind == OP_ACTIVATION:
        set_activation(&own, settings[0])
        op.activation = own.activation
        op.rowwise = own.rowwise
        op.reads_input = own.reads_input
        for j in range(FNN_PARAMETERS_MAX):
            op.parameters[j] = own.parameters[j]
    elif op.kind == OP_AFFINE:
        op.constants = plan.constants
        for values in settings:
            if len(values) != op.units:
                raise ValueError(f"operation 'affine' has {len(values)} constants for {op.units} columns")
            for j in range(op.units):
                plan.constants[j] = values[j]
            plan.constants += op.units
    elif op.kind == OP_OWN:
        own_function = settings[0]
        op.function = <void *>own_function
        op.reads_input = not own_function.reads_output
        plan.owns += 1
    elif op.kind == OP_SPLIT:
        splits.append(node)
    elif op.kind == OP_ADD:
        if not splits:
            raise ValueError("a residual block was ended and not begun")
        op.partner = splits.pop()
        if plan.op[plan.node[op.partner].index].units != op.units:
            raise ValueError(f"a residual block takes {plan.op[plan.node[op.partner].index].units} columns and returns {op.units}: they "
                             "must be as many, since they are added")
        plan.op[plan.node[op.partner].index].partner = node
    else:
        numbers = settings[0] if settings else ()
        for j in range(min(<Py_ssize_t>OP_PARAMETERS, <Py_ssize_t>len(numbers))):
            op.parameters[j] = numbers[j]
        if op.kind == OP_PENALTY:  # the first one stores what the others add to
            op.parameters[2] = plan.activity
            plan.activity = True
        for j, used in enumerate(settings[1] if len(settings) > 1 else ()):
            op.used[j] = used
    return 0


cdef int link_nodes(Plan *plan) except -1:
    """Point the nodes at the plan's tables, wherever those lie."""
    cdef Py_ssize_t i, dense = 0, ops = 0
    for i in range(plan.nodes):
        if dense < plan.layers and not is_op(plan, i, ops):
            plan.node[i].layer = &plan.layer[dense]
            plan.node[i].op = NULL
            dense += 1
        else:
            plan.node[i].layer = &plan.layer[plan.layers + ops]
            plan.node[i].op = &plan.op[ops]
            ops += 1
    return 0


cdef inline bint is_op(const Plan *plan, Py_ssize_t node, Py_ssize_t ops) noexcept nogil:
    return ops < plan.ops and plan.op[ops].stream == node


cdef Panel *add_layer(Plan *plan, Py_ssize_t i, bint first, Panel *panel, Py_ssize_t *at) noexcept:
    # panels of a dense layer and the place of its parameters; returns where the next layer's panels go
    cdef Layer *layer = &plan.layer[i]
    cdef Py_ssize_t p, lanes = <Py_ssize_t>plan.kernels.lanes
    layer.stride = round_up(layer.inputs + 1, COLUMN_ALIGN)
    layer.panels = panel_count(layer.stride if layer.narrow else layer.units, plan.kernels)
    layer.panel = panel
    for p in range(layer.panels):
        layer.panel[p] = panel_at(layer.stride if layer.narrow else layer.units, p, plan.kernels)
    panel += layer.panels
    layer.belows = panel_count(layer.inputs, plan.kernels)
    layer.below = panel
    for p in range(layer.belows):
        layer.below[p] = panel_at(layer.inputs, p, plan.kernels)
    panel += layer.belows
    layer.weights = at[0]
    layer.size = layer.units * layer.stride if layer.narrow else (layer.inputs + 1) * round_up(layer.units, lanes)
    at[0] = round_up(at[0] + layer.size, COLUMN_ALIGN)
    layer.transposed = -1
    if not first and not layer.narrow:
        layer.transposed = plan.transposed
        plan.transposed = round_up(plan.transposed + layer.units * round_up(layer.inputs, lanes), COLUMN_ALIGN)
    plan.operations += (4 if first else 6) * layer.inputs * layer.units
    return panel


cdef void add_vectors(Plan *plan, Py_ssize_t i, Py_ssize_t *at) noexcept:
    # the place of an operation's parameters
    cdef Op *op = &plan.op[i]
    op.weights = at[0]
    op.stride = round_up(op.units, COLUMN_ALIGN)
    at[0] += op.vectors * op.stride
