# What a training call does next: the words between the thread that decides and the threads that work.
from libc.stdint cimport int64_t, uint64_t

from fastnn.kernels.csrc cimport FNN_HYPER_MAX, fnn_barrier, fnn_share, fnn_tiny
from fastnn.kernels.optimizers cimport Move, Optimizer
from fastnn.kernels.plan cimport MAX_PHASES, Objective, PhaseKind, Plan, Source, Space, Stretch

cdef enum Action:
    ACTION_TRAIN
    ACTION_EVALUATE
    ACTION_RETURN

cdef enum Status:
    STATUS_RUNNING
    STATUS_BAD_DATA       # NaN or infinity among the inputs
    STATUS_DIVERGED       # the loss of an epoch is not finite
    STATUS_STOPPED        # early stopping
    STATUS_REACHED        # a value that was waited for
    STATUS_PAUSED         # the rule of tolerance: whoever called decides how to go on

# How one thread trains a tiny network (tiny.pyx).
cdef enum TinyKind:
    TINY_NOT
    TINY_LAYERS
    TINY_FUSED

# One step, as every thread copies it at its start.
cdef struct Step:
    Action action
    Py_ssize_t start          # place in the epoch (or in the validation data)
    Py_ssize_t rows           # of all its batches
    Py_ssize_t batches        # 1, but on one thread a tiny network trains on many in a row
    Py_ssize_t epochs         # 0; or so many whole ones, of one batch each, recorded by whoever trains them
    double scale              # of the deltas: one over the rows
    double h[FNN_HYPER_MAX]
    Move move

# Early stopping as in Keras 3 (keras.callbacks.EarlyStopping), or `by_tolerance`, as scikit-learn's networks do.
cdef struct Stopping:
    bint active
    bint by_tolerance
    int column
    bint larger_is_better
    double min_delta
    Py_ssize_t patience
    bint has_baseline
    double baseline
    Py_ssize_t start_from_epoch
    bint restore
    double best
    Py_ssize_t best_epoch
    Py_ssize_t wait
    bint saved                # `best_parameters` holds something
    # and stopping once a value is reached
    bint waits
    int waits_column
    bint waits_for_more       # whether large values are good
    double threshold

cdef struct Run:
    const Plan *plan
    const Space *space
    const Objective *objective
    Optimizer optimizer
    void *work
    void *parameters
    void *best_parameters
    Source train
    Source validation
    int64_t *order            # the epoch's order of rows, where shuffling: of two epochs, in turn; of few rows, of FNN_ORDERS
    int64_t drawn             # number of the epoch drawn last (of few rows: that comes first)
    uint64_t seed
    fnn_barrier barrier
    int *bad                  # (2, threads): what each thread found not finite in its rows, phases of rows in turn
    void *own_loss            # Python functions without arguments, or NULL: what Own.judge, Own.penalize and Own.constrain do
    void *own_penalties
    void *own_constraints
    double own_penalty        # what the second one found last
    uint64_t float_state      # of the first thread, before it came here
    double *processor         # seconds that each thread had the processor in this call
    bint keeps_outputs        # of a whole batch, for `step_outputs`
    int team
    int threads               # at most, of a team
    Py_ssize_t *tile_bound    # thread t owns tiles [tile_bound[t], tile_bound[t + 1])
    fnn_share *share          # (phases, threads): rows, or tiles, of a training step
    PhaseKind phase[MAX_PHASES]  # of a training step; an evaluation is one PHASE_ROWS
    Stretch stretch[MAX_PHASES]  # of rows phases; of PHASE_MOMENTS and PHASE_SLOPES: the operation's node is `first`
    int phases
    int gathered              # phases until the batch's gradients are known; the others are left out where they are only added
    TinyKind tiny             # how one thread trains
    fnn_tiny tiny_network
    Py_ssize_t batch
    Py_ssize_t validation_batch  # rows of a batch of the validation data, where losses are of batches
    Py_ssize_t block          # rows of the workspace that belong to each thread where it works by blocks
    # progress
    Py_ssize_t first_epoch    # number of the first epoch, as history counts
    Py_ssize_t epochs
    Py_ssize_t epoch          # completed
    Py_ssize_t position       # in the rows, of this pass over them or of the validation
    Py_ssize_t seen           # rows trained on in the epoch
    Py_ssize_t epoch_steps    # steps after which an epoch ends though rows are left; 0: it takes all rows
    Py_ssize_t resume         # where in the rows the next epoch begins
    bint stream               # `train` is one batch, after which another one is fed; whoever feeds ends the epochs
    Py_ssize_t step
    bint validating
    bint begun                # the epoch's order is drawn
    int64_t iterations
    int64_t lifetime
    double *state             # of the epoch, or of the validation under way: what its rows were added to (metrics.pyx)
    double *training_results  # loss and metrics of an epoch that is validated next
    double *logs
    Py_ssize_t log_columns
    Stopping stopping
    # this call
    Step next
    bint pending              # `next` was worked on and is to be accounted for
    Status status
    int bad_found
    Py_ssize_t epochs_wanted
    int64_t iterations_wanted  # the learning rates of a table end here
    double work_done          # rows, a trained one counting as three
    double deadline
    double checked
    Py_ssize_t check_every
    Py_ssize_t check_in

cdef int set_stopping(Run *run, stopping) except -1
cdef int set_reaching(Run *run, reaching) except -1
cdef int decide(Run *run) noexcept nogil
cdef void set_shares(Run *run, int phase, Py_ssize_t rows) noexcept nogil
cdef int bad_of(const Run *run) noexcept nogil
cdef void end_epoch(Run *run) noexcept nogil
cdef bint starved(const Run *run) noexcept nogil
cdef void draw_order(Run *run) noexcept nogil
cdef void draw_ahead(Run *run, const Step *step) noexcept nogil
cdef void start_call(Run *run) noexcept nogil
cdef void add_values(Run *run, Py_ssize_t rows) noexcept nogil
