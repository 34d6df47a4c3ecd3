"""Training: the epochs of a network, in native calls that hold as many of them as nobody has to look between."""
import weakref

import numpy as np

from fastnn.kernels.arrays import require_finite_rows

from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from libc.string cimport memcpy, memset

from fastnn.kernels.csrc cimport FNN_FEW_ROWS, FNN_ORDERS, fnn_barrier_init, fnn_kernels
from fastnn.kernels.epoch cimport prepare, run_team
from fastnn.kernels.kept cimport results_so_far, step_outputs
from fastnn.kernels.layout cimport lay_out
from fastnn.kernels.memory cimport Arena
from fastnn.kernels.network cimport Network, State
from fastnn.kernels.own cimport raise_calls
from fastnn.kernels.own_calls cimport own_calls
from fastnn.kernels.pace cimport choose, record, slice_seconds, start_pace
from fastnn.kernels.plan cimport Source
from fastnn.kernels.runtime cimport clock
from fastnn.kernels.scores cimport finish_all
from fastnn.kernels.schedule cimport (
    STATUS_BAD_DATA,
    STATUS_DIVERGED,
    STATUS_PAUSED,
    STATUS_REACHED,
    STATUS_RUNNING,
    STATUS_STOPPED,
    TINY_FUSED,
    end_epoch,
    set_reaching,
    set_stopping,
    starved,
    start_call,
)
from fastnn.kernels.threads cimport begin_call, end_call, fair_share, threads_are_set, threads_for

cdef extern from "Python.h":
    int raise_signals "PyErr_CheckSignals"() except -1

cdef double ON_A_CORE = 0.75    # share of the time for which a thread that is not held up has the processor

cdef enum:
    LOG_ROWS = 1 << 12         # epochs that the first record of the history has room for
    STEP_ADVANTAGE = 4         # a step pays for threads sooner than a lone call: the team is awake, and its pace is measured
    PUBLISHING_SHARE = 50      # within an epoch, publishing may take one in so many seconds


cdef class Training:
    """One ``fit``: data, schedule and the working copy of a network's parameters.

    Parameters
    ----------
    network : Network
        Compiled.
    x : ndarray, shape (rows, inputs)
        C-contiguous, aligned, of the network's dtype, as everything below.
    y : ndarray, shape (rows, outputs), or (rows, 1) class numbers for a sparse loss
    batch_size : int
        Rows of a step.
    shuffle : bool
        Whether each epoch draws a new order, a function of `seed` and the network's lifetime epoch.
    seed : int
    epochs : int
        Epochs in all.
    sample_weight : ndarray, shape (rows,), optional
    validation : tuple (x, y, sample_weight or None), optional
        Evaluated after each epoch.
    num_threads : int, default 0
        0 chooses by the cost.
    stopping : dict, optional
        Early stopping on a column of `logs`: ``column``, ``mode`` ("min" or "max"), ``min_delta``, ``patience``, ``baseline``,
        ``start_from_epoch``, ``restore_best_weights``, with Keras's meaning. With ``rule="tolerance"``, scikit-learn's: an epoch counts
        that is not better than the best by more than ``min_delta``, and after more than ``patience`` of them in a row `run` returns, with
        `paused`; the next `run` goes on, counting anew. ``best`` and ``wait`` are then what to begin with.
    reaching : tuple (column, threshold, mode), optional
        Stop once this column of `logs` is at most the threshold (``mode="min"``) or at least (``"max"``).
    initial_epoch : int, default 0
        Number of the first epoch, as early stopping counts.
    epoch_steps : int, default 0
        Steps after which an epoch ends even where rows are left, with which the next one goes on; 0 is all rows. A pass over the rows
        ends an epoch always.
    stream : bool, default False
        `x`, `y` and `sample_weight` are one batch: `run` takes one step on it, `feed` brings the next one, and `end_epoch` ends an epoch.
        Without `shuffle` and `validation`.
    keep_outputs : bool, default False
        Whether `outputs` is to be asked for, after calls of one step each.
    validation_batch : int, default 0
        Rows of a batch of the validation data, where that matters to the loss; 0 is `batch_size`.

    Raises
    ------
    RuntimeError
        If the network is not compiled, or is being trained by another call.
    ValueError
        For shapes that do not fit the network.
    """

    def __init__(self, Network network not None, x, y, *, Py_ssize_t batch_size, bint shuffle, seed, Py_ssize_t epochs,
                 sample_weight=None, validation=None, int num_threads=0, stopping=None, reaching=None,
                 Py_ssize_t initial_epoch=0, Py_ssize_t epoch_steps=0, bint stream=False, bint keep_outputs=False,
                 Py_ssize_t validation_batch=0):
        cdef Run *run = &self.run_state
        cdef Py_ssize_t rows
        cdef int threads
        if network.compiled is None:
            raise RuntimeError("compile the network before training it")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        if epochs < 0:
            raise ValueError(f"epochs must be at least 0, not {epochs}")
        if epoch_steps < 0:
            raise ValueError(f"epoch_steps must be at least 0, not {epoch_steps}")
        if stream and (shuffle or validation is not None):
            raise ValueError("a stream of batches is neither shuffled nor validated here")
        memset(run, 0, sizeof(Run))
        self.network = network
        self.arrays = (x, y, sample_weight, validation)
        self.set_source(&run.train, x, y, sample_weight, "")
        if validation is not None:
            self.set_source(&run.validation, validation[0], validation[1], validation[2], "validation ")
        rows = run.train.rows
        run.batch = min(batch_size, rows)
        threads = threads_for(network.plan.training_operations * run.batch * STEP_ADVANTAGE, (run.batch + 15) // 16, num_threads)
        run.stream = stream
        run.keeps_outputs = keep_outputs
        run.validation_batch = validation_batch if validation_batch > 0 else run.batch
        run.epoch_steps = epoch_steps
        self.layout = lay_out(run, network, threads)
        self.state = network.copy_state(network.published())
        self.state.epochs += network.rows_drawn > 0  # a loop of Python's own took random numbers of this epoch
        self.version = network.version
        columns = network.objective.results * (2 if validation is not None else 1)
        self.state_array = np.zeros(network.objective.state + network.objective.results)
        self.log_array = np.zeros((min(max(epochs, 1), <Py_ssize_t>LOG_ROWS), columns))
        self.bad = np.zeros(2 * threads, np.intc)
        self.processor = np.zeros(threads)
        if shuffle and rows > 1:
            self.order = Arena(rows * sizeof(int64_t) * (FNN_ORDERS if rows <= FNN_FEW_ROWS else 2))
            run.drawn = -1
            run.order = <int64_t *>self.order.base
            run.train.order = run.order
        self.own = own_calls(network, run)
        run.objective = &network.objective
        run.state = &self.state_array[0]
        run.training_results = run.state + network.objective.state
        run.parameters = self.state.arena.base
        run.bad = &self.bad[0]
        run.processor = &self.processor[0]
        run.seed = run.train.key = <uint64_t>(int(seed) & 0xFFFFFFFFFFFFFFFF)
        start_pace(&self.pace, threads, num_threads > 0 or threads_are_set(), network.plan.training_operations * run.batch,
                   3.0 * run.batch, clock())
        run.epochs = epochs
        run.first_epoch = initial_epoch
        run.iterations = self.state.iterations
        run.lifetime = self.state.epochs
        run.log_columns = self.log_array.shape[1]
        run.logs = &self.log_array[0, 0]
        fnn_barrier_init(&run.barrier)
        if stopping is not None:
            set_stopping(run, stopping)
            if run.stopping.restore:
                self.best_parameters = Arena(network.plan.parameters * network.itemsize)
                run.best_parameters = self.best_parameters.base
        if reaching is not None:
            set_reaching(run, reaching)
        with network.changing:
            network.begin_training(weakref.ref(self))
        network.rows_drawn = 0
        self.refresh()

    cdef int refresh(self) except -1:
        # the transposed copies of the weights
        cdef Run *run = &self.run_state
        if self.network.dtype == "float32":
            prepare[float](run, <float *>run.parameters)
        else:
            prepare[double](run, <double *>run.parameters)
        return 0

    def feed(self, x, y, sample_weight=None):
        """Take the next batch of a stream; of any number of rows.

        Parameters
        ----------
        x, y, sample_weight
            As `Training` takes them.

        Raises
        ------
        RuntimeError
            If this is no stream, or the batch before was not trained on.
        ValueError
            For shapes that do not fit the network; the batch before stays.
        """
        cdef Run *run = &self.run_state
        if not run.stream:
            raise RuntimeError("this training has its rows already; make it with stream=True to feed it batches")
        if not starved(run):
            raise RuntimeError("run() has not trained on the batch before this one")
        self.set_source(&run.train, x, y, sample_weight, "")
        self.arrays = (x, y, sample_weight, None)
        run.position = 0
        self.looked = False
        if run.train.rows > run.batch:
            run.batch = run.train.rows
            try:
                self.layout = lay_out(run, self.network, run.threads)
            except BaseException:
                self.close()
                raise
            self.refresh()

    def end_epoch(self):
        """End a stream's epoch: `logs` gets the means over its batches' rows. Publishes.

        Raises
        ------
        RuntimeError
            If this is no stream, or the epoch has no steps.
        FloatingPointError
            If the epoch's loss is not finite; what was published last stays.
        """
        cdef Run *run = &self.run_state
        if not run.stream or run.step == 0:
            raise RuntimeError("only a stream's epoch is ended from outside, and only after a step")
        self.log_room()
        finish_all(run.objective, run.state, run.seen, run.training_results)
        run.resume = run.position
        end_epoch(run)
        if run.status == STATUS_DIVERGED:
            self.close()
            self.raise_status()
        self.publish()

    cdef int log_room(self) except -1:
        cdef Run *run = &self.run_state
        if run.epoch == self.log_array.shape[0]:
            self.log_array = np.concatenate([self.log_array, np.zeros_like(self.log_array)])
            run.logs = &self.log_array[0, 0]
        return 0

    cdef set_source(self, Source *source, x, y, weight, str label):
        # pointers only; `arrays` keeps the arrays alive
        cdef Network network = self.network
        for name, array, shape in ((label + "x", x, (len(x), network.plan.inputs)), (label + "y", y, (len(x), network.objective.targets)),
                                   (label + "sample_weight", weight, (len(x),))):
            if array is None and array is weight:
                continue
            if array.shape != shape or array.dtype != network.dtype or not (array.flags.c_contiguous and array.flags.aligned):
                raise ValueError(f"{name} has shape {array.shape} and dtype {array.dtype}; expected a C-contiguous, aligned array of shape "
                                 f"{shape} and dtype {network.dtype}")
        if len(x) == 0:
            raise ValueError(f"{label}x has no rows")
        source.rows = len(x)
        source.x = <const void *><size_t>x.ctypes.data
        source.y = <const void *><size_t>y.ctypes.data
        source.weight = <const void *><size_t>weight.ctypes.data if weight is not None else NULL
        source.order = NULL

    def run(self, Py_ssize_t max_epochs, double seconds):
        """Train on, without the GIL, and publish: at the ends of epochs, after a single step, before what a signal handler raises; else
        as often as costs little.

        Parameters
        ----------
        max_epochs : int
            Return after so many further epochs at the latest.
        seconds : float
            Return at the first step's end after so many seconds; 0 means after one step.

        Returns
        -------
        int
            Epochs completed in this call.

        Raises
        ------
        ValueError
            If NaN or infinity is found in the data; nothing of this training is published from then on.
        FloatingPointError
            If the loss of an epoch, or a weight, is not finite; what was published last stays.
        KeyboardInterrupt
            Or whatever a signal handler raises; a step's end is published first where there is one.
        """
        cdef Run *run = &self.run_state
        cdef Py_ssize_t before = run.epoch
        cdef double deadline = clock() + seconds
        if self.finished:
            return 0
        self.enter(max_epochs)
        begin_call()
        try:
            while self.goes_on():
                self.run_slice(deadline)
                if clock() >= deadline:
                    break
        except BaseException:
            self.close()
            raise
        finally:
            end_call()
            self.network.running = False
        self.leave(seconds == 0)
        try:
            raise_signals()
        except BaseException:
            self.break_off()
            raise
        return run.epoch - before

    cdef int enter(self, Py_ssize_t max_epochs) except -1:
        # what comes before the native calls of a `run`
        cdef Run *run = &self.run_state
        self.entered = run.epoch
        self.wanted = run.epoch + min(max_epochs, run.epochs - run.epoch)
        if run.status == STATUS_PAUSED:
            run.status = STATUS_RUNNING
            run.stopping.wait = 0
        run.optimizer = self.network.optimizer
        self.rates = self.network.rates
        run.iterations_wanted = INT64_MAX
        self.adopt()
        if run.tiny == TINY_FUSED:
            self.look_at_targets()
        start_call(run)
        self.network.running = True
        return 0

    cdef bint goes_on(self) noexcept:
        cdef Run *run = &self.run_state
        return run.status == STATUS_RUNNING and run.epoch < self.wanted and not starved(run)

    cdef int leave(self, bint at_once) except -1:
        # what comes after them: the end, if it is one, and what is published
        cdef Run *run = &self.run_state
        if run.status == STATUS_BAD_DATA or run.status == STATUS_DIVERGED:
            self.close()
            self.raise_status()
        if run.epoch >= run.epochs or run.status == STATUS_STOPPED or run.status == STATUS_REACHED:
            self.finished = True
            self.take_best()
        if self.finished or run.stream or run.epoch > self.entered or at_once or (
                clock() - self.published_at >= PUBLISHING_SHARE * self.publishing):
            self.publish()
        if self.finished:
            self.close()
        return 0

    cdef int break_off(self) except -1:
        # a signal's handler has raised
        if not self.finished:
            self.publish()
            self.close()
        return 0

    cdef int take_best(self) except -1:
        cdef Run *run = &self.run_state
        if run.stopping.restore and run.stopping.saved:
            memcpy(run.parameters, run.best_parameters, run.plan.parameters * run.plan.kernels.itemsize)
            self.restored = True
        return 0

    def finish(self):
        """End this training before its last epoch, as early stopping does: with the best weights, where it is to restore them."""
        self.finished = True
        self.take_best()
        self.publish()
        self.close()

    cdef int look_at_targets(self) except -1:
        # once; neither the fused step of tiny networks nor their lanes do
        cdef Run *run = &self.run_state
        cdef const fnn_kernels *k = run.plan.kernels
        if self.looked:
            return 0
        self.looked = True
        if not (k.all_finite(run.train.rows * run.objective.targets, run.train.y) and (
                run.train.weight == NULL or k.all_finite(run.train.rows, run.train.weight))):
            run.status = STATUS_BAD_DATA
        return 0

    cdef int adopt(self) except -1:
        # go on with weights, or with an optimizer's state, that somebody set between two calls
        cdef Run *run = &self.run_state
        cdef State published
        if self.version == self.network.version:
            return 0
        published = self.network.published()
        memcpy(run.parameters, published.arena.base, self.state.arena.nbytes)
        run.iterations = published.iterations
        self.refresh()
        return 0

    cdef int begin_slice(self) except -1:
        # room for the history, and the rates of a table
        cdef Run *run = &self.run_state
        self.log_room()
        run.epochs_wanted = min(self.wanted, self.log_array.shape[0])
        if self.rates is not None and self.rates.function is not None:
            run.iterations_wanted = self.rates.fill(run.iterations)
            run.optimizer.schedule = self.rates.schedule
        return 0

    cdef int run_slice(self, double deadline) except -1:
        # one native call; where the number of threads is ours to choose, also one measurement
        cdef Run *run = &self.run_state
        self.begin_slice()
        cdef double begun = clock(), work = run.work_done, now
        cdef int threads = choose(&self.pace, begun), thread, fair = fair_share()
        cdef bint squeezed = False, shares = threads > fair and not self.pace.fixed
        threads = fair if shares else threads  # other calls are under way
        run.deadline = min(deadline, begun + slice_seconds(&self.pace, threads))
        if self.network.dtype == "float32":
            run_team[float](run, <float *>run.parameters, threads)
        else:
            run_team[double](run, <double *>run.parameters, threads)
        now = clock()
        for thread in range(run.team):
            squeezed |= self.processor[thread] < ON_A_CORE * (now - begun)
        if not shares:
            record(&self.pace, threads, run.work_done - work, now - begun, squeezed, now)
        return 0

    def raise_status(self):
        """Raise what ended this training: NaN or infinity in the data, or a loss that is not finite."""
        cdef Run *run = &self.run_state
        raise_calls(self.layout.space.calls)
        self.look_for_bad_data()
        if run.status == STATUS_BAD_DATA:
            raise ValueError("the data contained NaN or infinity while it was read")
        loss = self.log_array[run.epoch - 1, 0]
        raise FloatingPointError(
            f"the loss became {loss} in epoch {run.first_epoch + run.epoch}; the model keeps its last finite weights. "
            "Try a smaller learning rate, scaled inputs, or gradient clipping")

    cdef look_for_bad_data(self):
        # the one-thread path of tiny networks does not look at x before it trains, so a result that is not finite may come from there
        x, y, weight, validation = self.arrays
        if self.run_state.validating:
            require_finite_rows(*validation, "validation ")
        else:
            require_finite_rows(x, y, weight)

    def publish(self):
        """Make the parameters as they are now what everybody sees.

        Raises
        ------
        FloatingPointError
            If a parameter is not finite; nothing is published then.
        """
        cdef Run *run = &self.run_state
        cdef State published
        cdef double begun = clock()
        if not run.plan.kernels.all_finite(run.plan.parameters, run.parameters):
            self.close()
            raise_calls(self.layout.space.calls)
            self.look_for_bad_data()
            before = f" (the last epoch's loss was {self.log_array[run.epoch - 1, 0]})" if run.epoch > 0 else ""
            raise FloatingPointError(
                f"a weight is no longer finite in epoch {run.first_epoch + run.epoch + run.begun}{before}; the model keeps its last "
                "finite weights. Try a smaller learning rate, scaled inputs, or gradient clipping")
        self.state.iterations = run.iterations
        self.state.epochs = run.lifetime
        if self.finished:
            self.network.publish(self.state)
        else:
            published = self.network.copy_state(self.state, self.spare)
            self.spare = self.network.published() if self.version == self.network.version else None
            self.network.publish(published)
        self.version = self.network.version
        self.published_at = clock()
        self.publishing = self.published_at - begun

    def close(self):
        """End this training; the network may be trained by another call from now on."""
        self.finished = True
        self.network.end_training(self)

    def partial_logs(self):
        """Running means of loss and metrics over the rows of the current epoch."""
        return results_so_far(&self.run_state)

    def outputs(self):
        """What the last step saw, with ``keep_outputs``: its targets, outputs and rows' weights (None without), copied.

        Returns
        -------
        tuple (ndarray (rows, targets), ndarray (rows, outputs), ndarray (rows,) or None)
            In the order in which the step took the rows; outputs from before it.
        """
        return step_outputs(&self.run_state, self.network.dtype)

    @property
    def logs(self):
        """History so far, shape (epochs completed, columns): loss, metrics, and the same of the validation data."""
        return np.asarray(self.log_array)[:self.run_state.epoch]

    @property
    def epoch(self):
        """Epochs completed."""
        return self.run_state.epoch

    @property
    def step(self):
        """Steps done in the current epoch."""
        return self.steps if self.run_state.validating else self.run_state.step

    @property
    def steps(self):
        """Steps of an epoch."""
        cdef Py_ssize_t steps = (self.run_state.train.rows + self.run_state.batch - 1) // self.run_state.batch
        return min(steps, self.run_state.epoch_steps) if self.run_state.epoch_steps else steps

    @property
    def threads(self):
        """Threads that really ran, in the last call."""
        return self.run_state.team

    @property
    def stopped(self):
        """Whether early stopping ended the training."""
        return self.run_state.status == STATUS_STOPPED

    @property
    def wait(self):
        """Epochs since the last improvement, as early stopping counts them."""
        return self.run_state.stopping.wait

    @property
    def paused(self):
        """Whether the rule of tolerance ended the last `run`."""
        return self.run_state.status == STATUS_PAUSED

    @property
    def calls_python(self):
        """Whether steps call Python: somebody's own loss, regularizer or constraint."""
        return len(self.own) > 0

    @property
    def reached(self):
        """Whether the value waited for ended the training."""
        return self.run_state.status == STATUS_REACHED

    @property
    def best_epoch(self):
        """Number of the epoch with the best monitored value."""
        return self.run_state.stopping.best_epoch

    @property
    def best(self):
        """The best monitored value."""
        return self.run_state.stopping.best
