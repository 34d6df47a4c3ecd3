# What a network compiles to: layers with their places in memory, and the phases of a training step.
#
# A step runs phase after phase, with a barrier after each; within a phase, threads share rows or tiles and never wait. A plain
# network has two phases (rows, tiles); whatever couples rows or tiles adds phases, so the executor only ever sees this list.
from libc.stdint cimport int64_t, uint64_t

from fastnn.kernels.csrc cimport (
    FNN_PARAMETERS_MAX,
    FNN_TERM_PARAMETERS_MAX,
    fnn_bf16_kernels,
    fnn_kernels,
    fnn_metric_settings,
)

cdef enum:
    SUM_LANES = 16        # of a sum over row values
    FINISH_OPTIONS = 3
    SUM_ROWS = 256        # sums over rows are taken in blocks of so many
    TILE_BLOCK = 48       # rows of a weight panel in one tile of the tile phase: a multiple of every register tile and vector
    COLUMN_ALIGN = 16
    MAX_PHASES = 256
    MAX_COUPLED = 14      # operations that couple a batch's rows: four phases each
    SUM_SETS = 4              # sums over whole variables that a step may need at a time, see Variable

cdef enum PhaseKind:
    PHASE_ROWS            # each thread: strips of rows, forward, loss, backward
    PHASE_ROWS_SUMS       # each thread: blocks of SUM_ROWS rows, and at once the weight gradients of each block
    PHASE_TILES           # each thread: gradients of weight tiles over the batch, and the optimizer
    PHASE_MOMENTS         # each thread: columns of the batch, what an operation that couples rows must know of them: forward,
    PHASE_SLOPES          # and backward
    PHASE_LOSS            # one thread: the loss of a batch's rows together, and their first deltas
    PHASE_SUMS_TILES      # each thread: adds the blocks' gradients of its tiles, and the optimizer
    # Where the step looks at whole variables, the phase of the tiles is cut into several (whole.pyx):
    PHASE_GRADIENTS       # each thread: gradients of its tiles over the batch, stored as the parameters lie,
    PHASE_SUMS_GRADIENTS  # or the sums of the blocks' gradients
    PHASE_DIRECTIONS      # each thread: what the optimizer makes of its tiles' gradients, in their place
    PHASE_FACTORS         # each thread: some rows and columns of each kernel: their mean squares (factored.pyx)
    PHASE_FACTORED        # each thread: its tiles' directions from those
    PHASE_NORMALIZE       # each thread: some rows of each kernel's direction, which becomes orthogonal (orthogonal.pyx): to norm 1,
    PHASE_GRAM            # and so many times: the products of its columns,
    PHASE_POLYNOMIAL      # a polynomial of these,
    PHASE_PRODUCT         # and the direction times that
    PHASE_STEPS           # each thread: the step of its tiles
    # Where penalties and constraints look at whole variables:
    PHASE_DIRECTED        # each thread: lines of weights divided by their norms (angles.pyx),
    PHASE_ANGLES          # the slopes of penalties on the angles between them
    PHASE_OWN_PENALTIES   # one thread: somebody's own Python
    PHASE_NORMS           # each thread: norms of weights that are constrained
    PHASE_OWN_CONSTRAINTS  # one thread: somebody's own Python
    PHASE_REFRESH         # each thread: copies of its tiles' weights where a phase after the optimizer changed them

# A matrix of activations or deltas in the workspace: element (r, j) at offset + r * row + j * step.
# Row-major (step 1) behind a wide layer: column `units` holds 1, which multiplies the bias, the rest of the row 0.
# Unit-major (row 1) behind a narrow layer and at the output.
cdef struct Matrix:
    Py_ssize_t offset
    Py_ssize_t row
    Py_ssize_t step

# One panel of a matrix of weights, cut into panels of about equal width.
cdef struct Panel:
    Py_ssize_t start          # first column
    Py_ssize_t columns
    Py_ssize_t vectors
    Py_ssize_t width          # vectors * lanes
    Py_ssize_t last           # valid lanes of the last vector

cdef struct Layer:
    Py_ssize_t inputs
    Py_ssize_t units
    int activation
    double parameters[FNN_PARAMETERS_MAX]  # of the activation
    bint rowwise              # the activation couples a row's units
    bint reads_input          # its derivative reads the pre-activation
    bint bias
    # Few units for many inputs: sums over the inputs go through 16 virtual lanes, and weights lie unit by unit.
    bint narrow
    bint last
    bint trained              # there are gradients to compute
    # parameters, in elements from the start of a parameter buffer: `inputs` + 1 rows (the last one the bias) of each panel, or a
    # row of `stride` elements for each unit of a narrow layer, whose element `inputs` is the bias
    Py_ssize_t weights
    Py_ssize_t stride
    Py_ssize_t size
    Py_ssize_t transposed     # wide layers but the first: the transposed copy, from the start of its own buffer; else -1
    Panel *panel              # of the units; of a narrow layer, of its inputs and bias
    Py_ssize_t panels
    Panel *below              # of the inputs: the panels of the deltas of the layer below
    Py_ssize_t belows
    # workspace
    Matrix x                  # input: the output of the layer before
    Matrix z                  # pre-activation; the same as `a` unless the derivative reads it
    Matrix a
    Matrix d                  # gradient of the loss w.r.t. z
    Matrix rows_x             # a narrow layer behind a narrow layer: its input once more, row-major; else offset -1

# What stands between dense layers.
cdef enum OpKind:
    OP_ACTIVATION         # an activation by itself
    OP_AFFINE             # x * scale + offset, constants of each column
    OP_DROP               # in training, elements drawn by chance are replaced and the others scaled: dropout, alpha dropout
    OP_NOISE              # in training, normal numbers are added
    OP_SCALE              # in training, elements are multiplied by normal numbers
    OP_PRELU              # max(0, x) + alpha * min(0, x)
    OP_BATCH_NORM         # columns to mean 0 and variance 1: of the batch in training, else of what batches had; then scale and offset
    OP_LAYER_NORM         # rows to mean 0 and variance 1, then scale and offset
    OP_SPLIT              # the input of a residual block, as it is,
    OP_ADD                # which is added to the block's output
    OP_OWN                # an activation of the user's own, in Python (own.pyx)
    OP_PENALTY            # rows as they are, whose elements add to the loss: [0] |x| + [1] x^2

cdef enum:
    OP_PARAMETERS = 4
    OP_VECTORS = 4

# An operation on the rows that one node gives, as `layer` of its node shows them to the next: row-major, `units` columns.
cdef struct Op:
    OpKind kind
    Py_ssize_t units
    int activation
    bint rowwise
    bint reads_input
    double parameters[OP_PARAMETERS]  # also of the activation
    Py_ssize_t stream         # number of its random numbers among all of the network's
    Py_ssize_t partner        # of OP_ADD: the node of its OP_SPLIT; of that: the node of its OP_ADD
    void *function            # OP_OWN: an OwnFunction, which the network's specification keeps; laid out, an OwnCall,
    const int *failed         # and whether that has raised anything
    const double *constants   # OP_AFFINE: scale, then offset, `units` each
    # vectors of `units` parameters; those that are not used keep their first value
    int vectors
    bint used[OP_VECTORS]
    int trained               # the first so many can be trained, where used
    bint frozen               # OP_BATCH_NORM: training too takes what batches had
    Py_ssize_t weights        # the first, in elements from the start of a parameter buffer
    Py_ssize_t stride         # from one to the next
    # workspace
    Matrix x                  # input, row-major
    bint copied               # `x` is a copy of the columns of a narrow layer, which makes it
    Matrix m                  # what backward needs besides: factors, or normalised rows; offset -1: nothing
    Py_ssize_t inverse        # OP_LAYER_NORM: (capacity,)
    Py_ssize_t moments        # OP_BATCH_NORM: six vectors of `stride`, see batch_moments

# One step of the way from input to output.
cdef struct Node:
    Layer *layer              # a dense layer, or how an operation's output looks to the nodes around it: a wide, linear layer
    Op *op                    # NULL: dense
    Py_ssize_t index          # of the layer, or of the operation
    Py_ssize_t variable       # the first of its arrays of weights

# What is done at the end of the way, on columns.
cdef struct Output:
    Py_ssize_t units
    int activation            # behind an operation; of a dense layer, its own
    double parameters[FNN_PARAMETERS_MAX]
    bint rowwise
    bint reads_input
    bint columns              # deltas stay columns (a narrow last layer)
    Matrix z
    Matrix a
    Matrix d                  # where the first deltas go

# The second operand of a product in bfloat16: a vector of columns after the other, each `height` rows of pairs (reduced.pyx).
cdef struct Operand:
    Py_ssize_t offset         # -1: there is none
    Py_ssize_t height

# What a layer of a training in bfloat16 has beside its float32 matrices (reduced.pyx); offsets and strides in pairs, each in the
# place of a float. `on` is a function of the layer's shape alone.
cdef struct Reduced:
    bint on
    Matrix x                  # its input, row-major: a row is ceil(inputs / 2) pairs
    Matrix across             # the same, an input a row, pairs of rows of the batch along it; row `inputs` is ones, for the bias
    Matrix d                  # deltas, row-major
    Operand paired            # the same, a pair of rows of the batch a row, a unit a column
    Operand weights           # copies of the weights: a pair of inputs a row, and
    Operand transposed        # a pair of units a row, an input a column; none in the first layer

# What is done to an array of weights after each step of the optimizer.
cdef enum ConstraintKind:
    CONSTRAINT_NONE
    CONSTRAINT_LIMITS         # elements are kept between two numbers
    CONSTRAINT_NORMS          # norms of columns, of rows or of the whole are moved between two numbers
    CONSTRAINT_OWN            # somebody's own Python function

# One array of weights, in the order of `Network.weights`, and what is asked of its training.
cdef struct Variable:
    Py_ssize_t layer          # -1: of an operation
    Py_ssize_t op
    Py_ssize_t vector         # of a layer: 0 its kernel, 1 its bias; of an operation: which
    Py_ssize_t rows           # of its matrix; of a vector 1
    Py_ssize_t columns
    bint trained              # of a batch normalisation's moving vectors: whether they move
    bint decays               # weight decay acts on it
    bint orthogonal           # an optimizer of orthogonal directions does not take another step for it
    Py_ssize_t matrix         # then: place among the matrices of a workspace
    double penalty[2]         # of the loss: [0] times the sum of absolute values, [1] times that of squares,
    double angles             # this times the mean of |cos| over all pairs of rows, or
    int angles_axis           # 0: of columns; 1: of rows
    Py_ssize_t angles_at      # what that takes, in elements from `Space.angles`
    bint own_penalty          # and what somebody's own Python says
    ConstraintKind constraint
    double least
    double most
    double rate               # share of the way that norms are moved
    int axis                  # of norms: 0 along columns, 1 along rows, -1 of all elements
    # A sum over it is made of `parts` partial sums, by its shape alone: of each column in blocks of TILE_BLOCK rows (of a narrow kernel, of
    # each row), in order. They lie one behind the other, from place `sums` of a set on.
    Py_ssize_t sums
    Py_ssize_t parts

# One job of the tile phase: rows [begin, end) of a panel of a wide layer, a panel of columns of a narrow one, or a vector of an
# operation. There are none for what is not trained.
cdef struct Tile:
    Py_ssize_t variable       # whose elements lie at places [0, split) of each run; those from there on are the next one's
    Py_ssize_t split
    bint plain                # nothing is asked of either but a step of the optimizer
    bint penalised            # penalties of one of them add to its gradients, and
    bint sloped               # slopes that a phase before computed
    bint limited
    bint unfinished           # a later phase changes its weights
    Py_ssize_t layer          # -1: of an operation
    Py_ssize_t op
    Py_ssize_t panel          # of an operation's vector: which
    Py_ssize_t begin
    Py_ssize_t end
    # its parameters: `runs` runs of `length` elements, the first at `place`, each `stride` after the one before
    Py_ssize_t place
    Py_ssize_t runs
    Py_ssize_t length
    Py_ssize_t stride

# What of one variable lies in a tile: `rows` runs of `width` elements, the first at `place`, each `stride` after the one before.
cdef struct Piece:
    Py_ssize_t variable
    Py_ssize_t place
    Py_ssize_t rows
    Py_ssize_t width          # whole vectors, but of a scattered piece
    Py_ssize_t stride
    Py_ssize_t columns        # with an element of the variable
    Py_ssize_t sums           # place of their partial sums
    bint scattered            # the bias of a narrow layer, an element in each run of the kernel before it
    bint trained

cdef struct Plan:
    const fnn_kernels *kernels
    Py_ssize_t layers
    Layer *layer
    Py_ssize_t ops
    Op *op
    Py_ssize_t nodes
    Node *node
    Py_ssize_t coupled        # operations that couple a batch's rows
    Py_ssize_t owns           # activations of the user's own
    Py_ssize_t lowest         # the first node with something to train: no deltas are needed below it
    Py_ssize_t variables
    Variable *variable
    Matrix x                  # the rows of a batch
    Layer entry               # how they look to the first node where their own gradients are wanted: a wide, linear layer
    Output output
    Py_ssize_t tiles
    Tile *tile
    bint plain                # nothing is asked of any variable but to be trained
    bint penalised            # somewhere elements, or
    bint sloped               # whole variables,
    Py_ssize_t angles         # elements that penalties of angles take, of those
    bint own_penalties
    bint normed               # norms of some are constrained
    bint own_constraints
    bint activity             # penalties of outputs are added to the rows' losses
    Py_ssize_t sums           # elements of one set of partial sums over variables
    Py_ssize_t matrices       # elements of what orthogonal directions are made in
    Py_ssize_t parameters     # elements of one parameter buffer (weights, or one optimizer slot)
    Py_ssize_t transposed     # elements of the transposed copies
    Py_ssize_t inputs
    Py_ssize_t outputs
    const fnn_bf16_kernels *bf16  # trained in bfloat16; else NULL
    Reduced *reduced          # a training's, if it is in bfloat16; else NULL
    double operations         # floating-point operations of the three products, a row
    double training_operations  # those of them that training does
    double *constants         # where the next operation's go

# What is made of a row's output and targets: a loss, or the row values of a metric.
cdef struct Term:
    bint is_loss              # `index` is of the table of losses, else of metrics
    int index
    double p[FNN_TERM_PARAMETERS_MAX]  # its parameters

# What becomes of a metric's sums or counts, in the order of measures.FINISHES.
cdef enum FinishKind:
    FINISH_MEAN
    FINISH_ROOT_MEAN
    FINISH_THRESHOLDS         # a quantity of the confusion at each threshold
    FINISH_BEST               # the largest one quantity where another one is large enough
    FINISH_AUC
    FINISH_F_SCORE
    FINISH_R2
    FINISH_IOU
    FINISH_BATCHES            # the mean over batches of their means

# One metric: row values that a rows phase leaves, state that they are added to, and results of that (metrics.pyx).
cdef struct Metric:
    Term term
    fnn_metric_settings settings
    Py_ssize_t column         # its first column of row values,
    Py_ssize_t columns        # and how many
    bint weighted             # by the rows' weights
    bint whole                # by their whole part
    Py_ssize_t state          # place in the epoch's state
    Py_ssize_t counts         # so many counts for each group; 0: sums of the columns, SUM_LANES each
    Py_ssize_t groups         # each unit's own, or 1
    FinishKind finish
    double option[FINISH_OPTIONS]
    const double *vector      # places of thresholds, weights of labels, or classes; NULL: none
    Py_ssize_t vector_size
    Py_ssize_t result         # place among the results,
    Py_ssize_t width          # and how many they are
    Py_ssize_t units          # of the output

# What the weighted sum of a batch's losses is divided by (shares.pyx).
cdef enum Share:
    SHARE_ROWS            # their number
    SHARE_ONE             # nothing
    SHARE_WEIGHTS         # the sum of their weights
    SHARE_COUNTED         # the number of those that count

# What a step computes at the output: a column of losses, then the metrics' row values.
cdef struct Objective:
    Term loss
    bint fused                # the loss takes the pre-activation and leaves the output
    int kind                  # of targets: fnn_targets
    Py_ssize_t targets        # columns of y
    Py_ssize_t columns        # of row values
    Py_ssize_t weights        # the column of rows' weights, where a metric wants them; else 0
    int metrics
    const Metric *metric
    Py_ssize_t state          # numbers that an epoch keeps: SUM_LANES of the loss, of the weights if there are, then the metrics'
    Py_ssize_t results        # the loss, then the metrics'
    Share share
    double factor             # what the loss is multiplied by for its slopes,
    double recorded           # and where it is reported
    bint shared_penalties     # penalties of single weights are divided as the weighted sum is
    double ignored            # class number of rows that count for nothing; NaN: none
    # The loss and the first deltas come between rows forward and rows backward: `apart`, of all rows `together` by a formula, else by
    # functions of the user's own.
    bint apart
    bint together

# Where the rows of a batch come from. x: (n, inputs), y: (n, targets), weight: (n,) or NULL, all contiguous.
cdef struct Source:
    const void *x
    const void *y
    const void *weight
    const int64_t *order      # row of the data at each place of the epoch; NULL: as they come
    uint64_t key              # of random numbers in training, besides
    int64_t epoch             # the network's lifetime epoch, and the rows seen in it:
    Py_ssize_t shift          # added to the place
    Py_ssize_t rows
    bint still                # deltas are wanted, but the rows pass as outside training: without chance or the batch's own moments
    # what passes between the rows and whoever has the loss in hand, all (rows, units) or (rows, inputs) and contiguous
    void *output              # where outputs go; NULL: nowhere
    const void *upstream      # gradients with respect to them
    void *slopes              # where gradients with respect to x go; NULL: nowhere

# What a rows phase does at the output, between its way forward and its way back; OUTPUT and UPSTREAM may come together.
cdef enum Ending:
    ENDING_NONE = 0
    ENDING_LOSS = 1       # last activation, loss, metrics and first deltas; of a loss that is apart, activation and metrics only
    ENDING_OUTPUT = 2     # last activation; the output goes to whom it may concern
    ENDING_UPSTREAM = 4   # first deltas from gradients that came from there
    ENDING_APART = 8      # first deltas from gradients that a loss that is apart left

# What a rows phase does: nodes [first, last) forward; the ending; and nodes back to `until` backward, from `back` on.
cdef struct Stretch:
    Py_ssize_t first
    Py_ssize_t last
    Py_ssize_t back
    Py_ssize_t until
    Ending ending

# The rest of a workspace, in elements: columns for y, weights, deltas and values, each of `capacity` rows.
cdef struct Space:
    Py_ssize_t capacity       # rows; the leading dimension of everything unit-major
    Py_ssize_t strip          # rows that a thread takes through all layers at once
    Py_ssize_t y
    Py_ssize_t weight
    Py_ssize_t delta
    Py_ssize_t values         # (columns, value_rows)
    Py_ssize_t value_rows
    Py_ssize_t scratch        # `scratch_size` for each thread
    Py_ssize_t scratch_size
    Py_ssize_t partials       # gradients of each block of SUM_ROWS rows, `parameters` elements each; the first also of the batch
    Py_ssize_t sums           # SUM_SETS sets of partial sums
    Py_ssize_t totals         # for each thread, `totals_size`: SUM_SETS numbers in double for each variable
    Py_ssize_t totals_size
    Py_ssize_t matrices
    Py_ssize_t penalties      # sums of elements' penalties: one set of partial sums
    Py_ssize_t slopes         # of penalties that look at whole variables, laid out as the parameters
    Py_ssize_t angles
    Py_ssize_t activity       # a column: penalties of the rows' outputs
    bint bare                 # gradients are not those of the loss: penalties of weights stay out
    Py_ssize_t transposed
    Py_ssize_t entry          # from there on: copies for layers that have none, where gradients go through them to the rows
    Py_ssize_t size

cdef inline bint is_kernel(const Variable *v) noexcept nogil:
    return v.layer >= 0 and v.vector == 0

cdef inline Stretch whole_way(const Plan *plan) noexcept nogil:
    # from the input to the output and back
    cdef Stretch s
    s.first = s.until = 0
    s.last = plan.nodes
    s.back = plan.nodes - 1
    s.ending = ENDING_LOSS
    return s

cdef inline Py_ssize_t panel_count(Py_ssize_t columns, const fnn_kernels *k) noexcept nogil:
    cdef Py_ssize_t lanes = <Py_ssize_t>k.lanes, widest = <Py_ssize_t>k.panel_vectors
    return ((columns + lanes - 1) // lanes + widest - 1) // widest

cdef inline Panel panel_at(Py_ssize_t columns, Py_ssize_t index, const fnn_kernels *k) noexcept nogil:
    cdef Py_ssize_t lanes = <Py_ssize_t>k.lanes, vectors = (columns + lanes - 1) // lanes
    cdef Py_ssize_t panels = panel_count(columns, k)
    cdef Py_ssize_t base = vectors // panels, extra = vectors % panels
    cdef Panel p
    p.vectors = base + (1 if index < extra else 0)
    p.width = p.vectors * lanes
    p.start = (index * base + (index if index < extra else extra)) * lanes
    p.columns = p.width if p.start + p.width <= columns else columns - p.start
    p.last = p.columns - (p.vectors - 1) * lanes
    return p

cdef inline Py_ssize_t round_up(Py_ssize_t n, Py_ssize_t multiple) noexcept nogil:
    return (n + multiple - 1) // multiple * multiple

cdef inline bint is_narrow(Py_ssize_t inputs, Py_ssize_t units) noexcept nogil:
    # decides the order of sums, so it may depend on the layer's shape only
    return units < 16 and inputs >= 4 * units

# Sum of 16 lanes in a fixed order.
cdef inline double tree_sum(const double *lanes) noexcept nogil:
    cdef double s[8]
    cdef int i
    for i in range(8):
        s[i] = lanes[i] + lanes[i + 8]
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))

# Share `index` of `shares` of n things, in groups of `group`.
cdef inline Py_ssize_t share(Py_ssize_t n, Py_ssize_t index, Py_ssize_t shares, Py_ssize_t group) noexcept nogil:
    cdef Py_ssize_t groups = (n + group - 1) // group, at = groups * index // shares * group
    return at if at < n else n
