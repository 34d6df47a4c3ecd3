"""A compiled network: its plan, its parameters, and what it says of rows.

Parameters live packed, in the order in which the kernels read them, and are converted only on the way in and out. A ``State`` is
immutable once published: readers keep the one they took, and a training call publishes another.
"""
import threading

cimport cython
cimport numpy as cnp

import numpy as np

from fastnn.kernels.planning import folded

from cpython.ref cimport Py_REFCNT
from libc.string cimport memcpy

from fastnn.kernels.evaluation cimport evaluate_rows
from fastnn.kernels.forward cimport Forward, Space, forward_rows
from fastnn.kernels.losses cimport make_objective, set_apart
from fastnn.kernels.matrices cimport new_matrix, require_matrix
from fastnn.kernels.memory cimport Arena
from fastnn.kernels.metrics cimport Metrics, make_metrics
from fastnn.kernels.own cimport raise_calls
from fastnn.kernels.own_loss cimport OwnLoss
from fastnn.kernels.optimizers cimport fill_slots, make_optimizer, set_hyper, slots_in_all
from fastnn.kernels.operations cimport first_parameters
from fastnn.kernels.packing cimport packed, shapes_of, unpacked
from fastnn.kernels.pieces cimport pieces_of
from fastnn.kernels.plan cimport COLUMN_ALIGN, SUM_ROWS, Piece, Variable, round_up
from fastnn.kernels.planning cimport make_plan
from fastnn.kernels.rates cimport Rates
from fastnn.kernels.variables cimport ask, ask_decay, ask_orthogonal
from fastnn.kernels.runtime cimport bf16_for, kernels_for
from fastnn.kernels.scores cimport finish_all
from fastnn.kernels.step_phases cimport require_phases
from fastnn.kernels.shares cimport set_share
from fastnn.kernels.threads cimport threads_for

cnp.import_array()

cdef enum:
    OWN_REFERENCES = 3  # that `copy_state` sees of a spare which nobody else has: the caller's, its own, and the argument's


cdef class State:
    pass


cdef class Network:
    """A network of dense layers, ready to run.

    Parameters
    ----------
    input_dim : int
        Features of a row.
    layers : list of tuple
        Of a dense layer: units, name of the activation, and whether there is a bias. Of what stands between them: a name out of
        ``planning.OPERATIONS`` and its settings.
    dtype : {"float32", "float64"}

    Raises
    ------
    ValueError
        For sizes below 1 or beyond what can be addressed, unknown names, or no layers.
    """

    def __init__(self, input_dim, layers, str dtype):
        if dtype not in ("float32", "float64"):
            raise ValueError(f"dtype must be 'float32' or 'float64', not {dtype!r}")
        self.dtype = dtype
        self.precision = dtype
        self.itemsize = 4 if dtype == "float32" else 8
        self.plan.kernels = kernels_for(self.itemsize)
        self.specification = (input_dim, folded(layers), dtype)
        self.tables = make_plan(&self.plan, input_dim, self.specification[1])
        self.outputs = self.plan.outputs
        self.idle = []
        self.asked = []
        self.state = self.new_state()
        if dtype == "float32":
            first_parameters(&self.plan, <float *>self.state.arena.base)
        else:
            first_parameters(&self.plan, <double *>self.state.arena.base)
        self.forward = Forward.of(&self.plan, self.tables, False)
        self.spaces = []
        self.passes = []
        self.ways = []
        self.changing = threading.Lock()

    # ---- states ----

    cdef State new_state(self):
        cdef State state = State()
        state.arena = Arena((1 + (slots_in_all(&self.optimizer) if self.compiled else 0)) * self.plan.parameters * self.itemsize)
        if self.compiled:
            fill_slots(&self.optimizer, state.arena.base, self.plan.parameters, self.itemsize)
        return state

    cdef State copy_state(self, State source, State spare=None):
        """A copy of `source`, in `spare` where nobody but the caller has that."""
        cdef State state = spare
        if state is None or Py_REFCNT(state) > OWN_REFERENCES or state.arena.nbytes != source.arena.nbytes:
            state = State()
            state.arena = Arena(source.arena.nbytes)
        memcpy(state.arena.base, source.arena.base, source.arena.nbytes)
        state.iterations = source.iterations
        state.epochs = source.epochs
        return state

    cdef State published(self):
        """What everybody sees now; nobody writes to it as long as somebody has it."""
        cdef State state
        with cython.critical_section(self):  # where there is no GIL, `publish` could free it between the look and the reference
            state = self.state
        return state

    cdef int publish(self, State state) except -1:
        """Make `state` what everybody sees from now on; the caller must not write to it any more."""
        cdef State _before  # freed after the lock
        with cython.critical_section(self):
            _before = self.state
            self.state = state
            self.version += 1
        return 0

    cdef Workspace workspace(self, Py_ssize_t rows, int threads, Py_ssize_t value_rows, Py_ssize_t blocks, bint train):
        cdef Workspace space = Workspace(self.tables, threads)
        space.lay_out(&self.plan, rows, value_rows, self.objective.columns if self.compiled else 1,
                      self.objective.targets if self.compiled else 1, blocks, &self.optimizer if train else NULL)
        return space

    def weights(self):
        """Copies of all kernels (inputs, units) and biases (units,), layer after layer, as last published."""
        return self.canonical(self.published(), 0)

    def optimizer_slots(self):
        """For each slot of the optimizer, copies shaped and ordered as :meth:`weights`: its own, then averages of the weights and
        gradients that wait for a step, where there are any."""
        cdef State state = self.published()
        return [self.canonical(state, slot) for slot in range(1, 1 + (slots_in_all(&self.optimizer) if self.compiled else 0))]

    def snapshot(self):
        """All that was published last, of one moment: :meth:`weights`, :meth:`optimizer_slots`, ``iterations``, ``lifetime_epochs``."""
        cdef State state = self.published()
        slots = [self.canonical(state, slot) for slot in range(1, 1 + (slots_in_all(&self.optimizer) if self.compiled else 0))]
        return self.canonical(state, 0), slots, state.iterations, state.epochs

    cdef list canonical(self, State state, Py_ssize_t slot):
        return unpacked(&self.plan, <char *>state.arena.base + slot * self.plan.parameters * self.itemsize)

    cdef int put(self, State state, Py_ssize_t slot, list arrays) except -1:
        return packed(&self.plan, arrays, <char *>state.arena.base + slot * self.plan.parameters * self.itemsize)

    cpdef list trained(self):
        """Whether the optimizer moves each array of :meth:`weights`."""
        cdef Py_ssize_t i
        cdef const Variable *v
        found = []
        for i in range(self.plan.variables):
            v = &self.plan.variable[i]
            found.append(bool(v.trained and (v.layer >= 0 or v.vector < self.plan.op[v.op].trained)))
        return found

    def set_weights(self, weights):
        """Set and publish all weights; the optimizer keeps what it remembers.

        Parameters
        ----------
        weights : list of ndarray
            Of the shapes and in the order of :meth:`weights`.

        Raises
        ------
        ValueError
            For another number of arrays, or another shape.
        RuntimeError
            While a training call runs; between two, the training goes on with the new weights.
        """
        cdef State state
        self.require_rest()
        arrays = self.checked(weights, "weights")
        state = self.copy_state(self.published())
        self.put(state, 0, arrays)
        self.publish(state)

    def set_optimizer_state(self, slots, iterations, epochs=None):
        """Set and publish what the optimizer remembers, as :meth:`optimizer_slots` and ``iterations`` gave it.

        Parameters
        ----------
        slots : list of list of ndarray
        iterations : int
        epochs : int, optional
            ``lifetime_epochs``; by default those that the network has.

        Raises
        ------
        ValueError
            For another number of slots or arrays, another shape, or a negative count.
        RuntimeError
            If the network is not compiled, or while a training call runs.
        """
        cdef State state
        self.require_rest()
        if self.compiled is None:
            raise RuntimeError("compile the network before setting what its optimizer remembers")
        if len(slots) != slots_in_all(&self.optimizer):
            raise ValueError(
                f"optimizer {self.compiled[2]!r} with its settings has {slots_in_all(&self.optimizer)} slots; got {len(slots)}")
        if iterations < 0 or (epochs is not None and epochs < 0):
            raise ValueError(f"iterations and epochs must be at least 0, not {iterations} and {epochs}")
        found = [self.checked(slot, f"slots[{i}]") for i, slot in enumerate(slots)]
        state = self.copy_state(self.published())
        for i, arrays in enumerate(found, 1):
            self.put(state, i, arrays)
        state.iterations = iterations
        if epochs is not None:
            state.epochs = epochs
        self.publish(state)

    cdef list checked(self, arrays, str what):
        # arrays that can be packed, or an error
        shapes = self.shapes()
        arrays = [np.require(a, self.dtype, ["C", "A"]) for a in arrays]
        if [a.shape for a in arrays] != shapes:
            raise ValueError(f"{what} have shapes {[a.shape for a in arrays]}; expected {shapes}")
        return arrays

    cdef int require_rest(self) except -1:
        """Raise while a training call runs; between two calls of a training, its weights may be changed."""
        if self.running:
            raise RuntimeError("this network is being trained by another call; wait for it to end")
        return 0

    cdef int require_end(self) except -1:
        """Raise while a training is under way; one that was dropped without its end is not."""
        with self.changing:
            self.begin_training(None)
        return 0

    cdef int begin_training(self, training) except -1:
        """The same, while `changing` is held; then `training`, a weak reference, if not None, is under way."""
        if self.training is not None and self.training() is not None:
            raise RuntimeError("this network is being trained by another call; wait for it to end")
        if training is not None:
            self.training = training
        return 0

    cdef int end_training(self, training) except -1:
        """A training is not under way any more."""
        with self.changing:
            if self.training is not None and self.training() is training:
                self.training = None
        return 0

    def shapes(self):
        """Shapes of all weights, in the order of :meth:`weights`."""
        return shapes_of(&self.plan)

    @property
    def moves(self):
        """Whether a pass in training changes weights: the moving moments of batch normalisations."""
        return self.plan.coupled > 0

    # ---- settings ----

    def compile(self, loss not None, bint from_logits, str optimizer not None, dict hyper not None, metrics, precision=None, *,
                Rates rates=None, decay=None, orthogonal=None, bint keep_optimizer=False, str reduction="mean", OwnLoss own=None,
                bint together=False, factors=(1.0, 1.0), bint shared_penalties=False):
        """Set loss, optimizer and metrics; the optimizer forgets what it remembered.

        Parameters
        ----------
        loss : str, or (str, parameters)
            One of ``fastnn.kernels.LOSSES``.
        optimizer : str
            One of ``fastnn.kernels.OPTIMIZERS``.
        from_logits : bool
            Whether the loss takes what comes before the sigmoid or softmax.
        hyper : dict
            Hyper-parameters of the optimizer by name; what is missing takes Keras's default.
        metrics : list of Measure, str, or (str, parameters)
            A name out of ``fastnn.kernels.METRICS`` and ``LOSSES`` stands for its mean, without weights.
        precision : {None, "bfloat16"} or the network's dtype
            Of the products of wide layers in training; ``None`` and the dtype are the same.
        rates : Rates, optional
            Schedule of the learning rate, in the place of ``hyper["learning_rate"]``.
        decay : list of bool, optional
            Whether ``hyper["weight_decay"]`` acts on each array of :meth:`weights`; by default on all.
        orthogonal : list of bool, optional
            Of ``"muon"``: whether it makes the direction of each array orthogonal; by default, of all matrices.
        keep_optimizer : bool, default False
            Whether the optimizer goes on with what it remembers, if it is of the same kind.
        reduction : {"mean", "sum", "mean_with_sample_weight"}
            What the weighted sum of a batch's losses is divided by: the rows, nothing, or the weights.
        own : OwnLoss, optional
            In the place of `loss`, which then says nothing. `evaluate` gives a loss of 0 with it.
        together : bool, default False
            Whether the loss, "tversky", is of all rows of a batch together; `evaluate` gives a loss of 0 then.
        factors : tuple of float, default (1.0, 1.0)
            What the loss is multiplied by for its gradients, and where it is reported.
        shared_penalties : bool, default False
            Whether the ``penalty`` of :meth:`set_variables` is divided as `reduction` says of the losses, batch by batch; a training's
            validation, which has no batches, is then without it.
        """
        cdef State state, present
        cdef Optimizer before = self.optimizer
        self.require_end()
        if precision is not None and precision != self.dtype and (precision != "bfloat16" or self.dtype != "float32"):
            raise ValueError(f"precision={precision!r} with dtype {self.dtype}: expected None, {self.dtype!r}, or 'bfloat16' with float32")
        if precision == "bfloat16" and self.plan.owns > 0:
            raise NotImplementedError(
                "precision='bfloat16' is not for networks with an activation of the user's own: compile without precision, or "
                "with one of fastnn's activations")
        cdef Optimizer made = make_optimizer(optimizer, hyper, self.itemsize)
        require_phases(&self.plan, &made)
        cdef Objective objective
        cdef Metrics made_metrics
        make_objective(&objective, loss, from_logits, self.plan.output.activation, self.plan.outputs)
        set_apart(&objective, own, own.targets if own is not None else 0, together, self.plan.outputs)
        set_share(&objective, reduction, factors, shared_penalties)
        made_metrics = make_metrics(&objective, metrics, self.plan.outputs)
        keep = (keep_optimizer and self.compiled is not None and before.kind == made.kind and before.averages == made.averages
                and (before.accumulated > 0) == (made.accumulated > 0))
        ask_decay(&self.plan, decay)
        ask_orthogonal(&self.plan, orthogonal)
        self.optimizer = made
        self.set_rates(rates)
        self.objective = objective
        self.metrics = made_metrics
        self.own = own
        self.precision = precision or self.dtype
        self.plan.bf16 = bf16_for(self.plan.kernels) if self.precision == "bfloat16" else NULL
        self.compiled = (loss, bool(from_logits), optimizer, dict(hyper), list(metrics))
        self.idle.clear()
        self.passes.clear()
        self.ways.clear()
        self.cuts += 1
        if keep:
            return
        state = self.new_state()
        present = self.published()
        memcpy(state.arena.base, present.arena.base, self.plan.parameters * self.itemsize)
        state.epochs = present.epochs
        self.publish(state)

    def set_hyper(self, str name, double value):
        """Change one hyper-parameter of the optimizer; what it remembers stays. A learning rate ends a schedule."""
        cdef Optimizer changed = self.optimizer
        set_hyper(&changed, name, value)
        require_phases(&self.plan, &changed)
        self.optimizer = changed
        if not self.optimizer.scheduled:
            self.rates = None

    def set_variables(self, asked):
        """Set what is asked of each array of weights in training, from the next training on.

        Parameters
        ----------
        asked : list of dict
            One for each array of :meth:`weights`; what a dict does not have keeps its default:

            * ``trained`` (True): of the moving vectors of a batch normalisation, whether they move; if they do not, they
              also count in the place of the batch's.
            * ``penalty`` (0, 0): the loss gets [0] times the sum of absolute values and [1] times that of squares, where trained.
            * ``orthogonal`` (None): (factor, "rows" or "columns"); the loss gets factor times the mean of abs(cos) over their pairs.
            * ``own_penalty`` (None): an object with ``__call__(w)`` and ``gradient(w)``, which Python calls in each step.
            * ``limits`` (None): a least and a largest value; elements are kept between them after each step.
            * ``norms`` (None): (least, largest, rate, axis). After each step weights are multiplied by
              ``(rate * clip(norm, least, largest) + (1 - rate) * norm) / (1e-7 + norm)``; norms are taken along axis 0, 1, or None (all).
            * ``own_constraint`` (None): a function that returns what takes the weights' place, which Python calls after each step.

        Raises
        ------
        ValueError
            For another number of dicts, keys that there are not, or numbers out of their range.
        RuntimeError
            While the network is being trained.
        """
        self.require_end()
        ask(&self.plan, asked)
        self.asked = [dict(settings) for settings in asked]
        self.idle.clear()
        self.passes.clear()
        self.ways.clear()
        self.cuts += 1

    def take_averages(self):
        """Publish the averages of the weights in the place of the weights that the optimizer moves; it goes on from there.

        Raises
        ------
        RuntimeError
            If the optimizer keeps none, or while a training call runs.
        """
        cdef State state
        cdef Piece piece[2]
        cdef Py_ssize_t tile, row, at, average
        cdef int i
        if self.compiled is None or not self.optimizer.averages:
            raise RuntimeError("the optimizer keeps no averages of the weights; compile the network with use_ema")
        with self.changing:
            self.require_rest()
            state = self.copy_state(self.published())
            if state.iterations == 0:
                return
            average = (1 + self.optimizer.slots) * self.plan.parameters
            for tile in range(self.plan.tiles):
                for i in range(pieces_of(&self.plan, &self.plan.tile[tile], piece)):
                    for row in range(piece[i].rows if piece[i].trained else 0):
                        at = piece[i].place + row * piece[i].stride
                        memcpy(<char *>state.arena.base + at * self.itemsize, <char *>state.arena.base + (average + at) * self.itemsize,
                               piece[i].columns * self.itemsize)
            self.publish(state)

    def set_rates(self, Rates rates):
        """Set the schedule of the learning rate, or None."""
        self.rates = rates
        self.optimizer.scheduled = rates is not None
        if rates is not None:
            self.optimizer.schedule = rates.schedule

    @property
    def iterations(self):
        """Optimizer steps done since the network was compiled."""
        return self.published().iterations

    @property
    def lifetime_epochs(self):
        """Epochs that this network has been trained in all."""
        return self.published().epochs

    # ---- rows ----

    cdef Workspace take_workspace(self, Py_ssize_t rows, int threads):
        # one for blocks of rows on each thread; kept for the next call
        cdef Workspace space
        try:
            space = self.idle.pop()  # atomic: whoever gets it, has it alone
            if space.threads == threads and space.space.capacity >= rows:
                return space
        except IndexError:
            pass
        return self.workspace(rows, threads, rows, 0, False)

    cdef int require_rows(self, x, out) except -1:
        # that predictions can read x and write out
        require_matrix(self.itemsize, x, "x", len(x), self.plan.inputs)
        require_matrix(self.itemsize, out, "out", len(x), self.plan.outputs)
        if not cnp.PyArray_ISWRITEABLE(<cnp.ndarray>out):
            raise ValueError("out must be writeable")
        return 0

    cdef Space take_space(self, int threads):
        # memory of a prediction; give it back
        cdef Space space = None
        if self.spaces:
            try:
                space = self.spaces.pop()  # atomic: whoever gets it, has it alone
            except IndexError:
                pass
        if space is None or space.parts < threads:
            space = Space.of(self.forward, threads)
        return space

    def predict(self, x, out=None, int num_threads=0):
        """Outputs of the network as last published, from any thread.

        Parameters
        ----------
        x : ndarray, shape (rows, inputs)
            C-contiguous, aligned, of the network's dtype.
        out : ndarray, shape (rows, outputs), optional
            Where the result goes: C-contiguous, of the network's dtype.
        num_threads : int, default 0
            0 chooses by the cost.

        Returns
        -------
        ndarray, shape (rows, outputs)
        """
        cdef State state = self.published()
        cdef Py_ssize_t rows = len(x)
        cdef int threads = threads_for(self.plan.operations / 3 * rows, (rows + 15) // 16, num_threads)
        cdef Space space
        cdef void *from_x
        cdef void *to
        if out is None:
            out = new_matrix(self.itemsize, rows, self.plan.outputs)
        self.require_rows(x, out)
        space = self.take_space(threads)
        from_x = cnp.PyArray_DATA(<cnp.ndarray>x)
        to = cnp.PyArray_DATA(<cnp.ndarray>out)
        with nogil:
            if self.itemsize == 4:
                forward_rows[float](self.forward, space, <float *>state.arena.base, <float *>from_x, <float *>to, rows, threads)
            else:
                forward_rows[double](self.forward, space, <double *>state.arena.base, <double *>from_x, <double *>to, rows, threads)
        raise_calls(space.calls)
        self.spaces.append(space)
        return out

    def evaluate(self, x, y, sample_weight=None, int num_threads=0, Tally tally=None, Py_ssize_t batch_size=0, outputs=None):
        """Loss and metrics of the network as last published, from any thread.

        Parameters
        ----------
        x : ndarray, shape (rows, inputs)
        y : ndarray, shape (rows, outputs), or (rows, 1) class numbers for a sparse loss
        sample_weight : ndarray, shape (rows,), optional
            Multiplies the rows' losses; their sum is divided as the reduction says.
        num_threads : int, default 0
            0 chooses by the cost.
        tally : Tally, optional
            What earlier calls saw; these rows are added to it.
        batch_size : int, default 0
            Rows of a batch, where loss or metrics are of batches; 0 is all rows.
        outputs : ndarray, shape (rows, outputs), optional
            Where the network's outputs go: C-contiguous, of the network's dtype.

        Returns
        -------
        ndarray of float64
            Loss, then metrics; with `tally`, over all rows that it has seen.
        """
        cdef State state = self.published()
        cdef Py_ssize_t rows = x.shape[0]
        cdef int threads = threads_for(self.plan.operations / 3 * rows, (rows + 15) // 16, num_threads)
        cdef Py_ssize_t block = min(<Py_ssize_t>SUM_ROWS, round_up((rows + threads - 1) // threads, COLUMN_ALIGN))
        cdef Workspace space
        if self.compiled is None:
            raise RuntimeError("compile the network before evaluating it")
        space = self.take_workspace(threads * max(block, <Py_ssize_t>COLUMN_ALIGN), threads)
        if tally is None:
            tally = Tally(self)
        elif tally.metrics is not self.metrics:
            raise ValueError("this tally was begun before the network was compiled as it is now; begin another")
        if self.dtype == "float32":
            evaluate_rows[float](space, &self.objective, <float *>state.arena.base, x, y, sample_weight, tally.state, batch_size,
                                 outputs)
        else:
            evaluate_rows[double](space, &self.objective, <double *>state.arena.base, x, y, sample_weight, tally.state, batch_size,
                                  outputs)
        for w, settings in zip(self.weights(), self.asked, strict=True) if self.plan.own_penalties else ():
            if settings.get("trained", True) and settings.get("own_penalty") is not None:
                tally.state[0] += settings["own_penalty"](w) * rows
        raise_calls(space.calls)
        self.idle.append(space)
        tally.rows += rows
        return self.results(tally)

    cdef results(self, Tally tally):
        cdef double[::1] found = np.zeros(self.objective.results)
        finish_all(&self.objective, &tally.state[0], tally.rows, &found[0])
        return np.asarray(found)

    @property
    def widths(self):
        """How many results each metric has, in their order; the loss, which comes before them, has one."""
        return self.metrics.widths


cdef class Tally:
    """What evaluations of a compiled network, one after the other, have seen.

    Parameters
    ----------
    network : Network

    Attributes
    ----------
    rows : int
    apart : float
        For whoever computes a loss that is apart: the sum over the rows.
    """

    def __init__(self, Network network not None):
        if network.compiled is None:
            raise RuntimeError("compile the network before evaluating it")
        self.metrics = network.metrics
        self.state = np.zeros(network.objective.state)
        self.rows = 0
        self.apart = 0.0
