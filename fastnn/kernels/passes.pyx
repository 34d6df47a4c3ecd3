"""Steps of training that Python takes apart: rows forward, gradients back, the optimizer's step.

The same phases as in an epoch (``epoch.pyx``), on the same memory layout, so the same bits; but each call returns after its part. Passes
read the state published last and leave it alone; a step of the optimizer is taken on a copy, which is then published.
"""
cimport numpy as cnp

import numpy as np

from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from fastnn.kernels.csrc cimport fnn_barrier_init, fnn_share
from fastnn.kernels.dense cimport refresh_transposed
from fastnn.kernels.epoch cimport prepare, step_team
from fastnn.kernels.gradients cimport Gradients
from fastnn.kernels.matrices cimport new_matrix, require_matrix, require_vector
from fastnn.kernels.memory cimport Arena
from fastnn.kernels.network cimport Network, State
from fastnn.kernels.operations cimport only_in_training
from fastnn.kernels.optimizers cimport Optimizer, next_move
from fastnn.kernels.own cimport raise_calls
from fastnn.kernels.own_calls cimport own_calls
from fastnn.kernels.penalties cimport has_penalties, penalty_of
from fastnn.kernels.phases cimport apart_phases, backward_phases, forward_phases, rows_phases
from fastnn.kernels.plan cimport (
    COLUMN_ALIGN,
    ENDING_LOSS,
    ENDING_OUTPUT,
    ENDING_UPSTREAM,
    PHASE_GRADIENTS,
    SUM_LANES,
    Ending,
    Layer,
    Plan,
    round_up,
)
from fastnn.kernels.runtime cimport clock
from fastnn.kernels.schedule cimport ACTION_TRAIN, TINY_NOT, Run, add_values
from fastnn.kernels.scores cimport finish_all
from fastnn.kernels.shares cimport batch_share, penalty_share, share_losses
from fastnn.kernels.step_phases cimport optimizer_phases, penalty_phases
from fastnn.kernels.threads cimport threads_for
from fastnn.kernels.workspace cimport Workspace

cnp.import_array()

NAMES = {1: "x", 2: "y", 4: "sample_weight", 8: "upstream"}


cdef class Pass:
    """Memory for rows on their way through a network and back.

    Parameters
    ----------
    network : Network
    own : bool, default False
        Whether it is for the network's own loss and optimizer; products are then in bfloat16 where the network is trained so. Gradients
        with respect to the rows are for passes in full precision.
    """

    def __init__(self, Network network not None, bint own=False):
        cdef Run *run = &self.run_state
        memset(run, 0, sizeof(Run))
        fnn_barrier_init(&run.barrier)
        self.own = own
        self.reduced = own and network.plan.bf16 != NULL
        self.objective = network.objective
        self.objective.columns = self.objective.results = 1  # no metrics
        self.objective.metrics = 0
        self.objective.weights = 0
        self.objective.state = SUM_LANES
        run.objective = &self.objective
        run.tiny = TINY_NOT
        run.next.action = ACTION_TRAIN
        run.next.batches = 1
        run.next.move.update = True

    cdef int make_room(self, Network network, Py_ssize_t rows, int num_threads) except -1:
        # for so many rows, with something to spare where they grow, and as many threads as they are worth
        cdef Run *run = &self.run_state
        cdef Plan plan = network.plan
        cdef Py_ssize_t capacity = 0 if self.space is None else self.space.space.capacity
        cdef Py_ssize_t targets = network.objective.targets if network.compiled else 1, most
        self.threads = threads_for(plan.training_operations * rows, (rows + 15) // 16, num_threads)
        run.next.rows = run.train.rows = rows
        if rows <= capacity and self.threads <= self.space.threads and self.cuts == network.cuts:
            return 0
        if capacity > 0:
            rows = max(rows, capacity if rows <= capacity else capacity + capacity // 2)
        if not self.reduced:
            plan.bf16 = NULL
        self.cuts = -1  # what an allocation below leaves unfinished is laid out anew
        memset(&run.optimizer, 0, sizeof(Optimizer))
        self.kept = False
        self.state = self.copied = self.entered = None
        self.bad = np.zeros(2 * self.threads, np.intc)
        self.space = Workspace(network.tables, self.threads)
        self.space.lay_out(&plan, rows, rows, 1, targets, 1, &network.optimizer if self.own else &run.optimizer, not self.reduced)
        most = 4 * plan.ops + 10  # phases of rows, and those before what is shared, at most
        self.shares = Arena(self.threads * most * sizeof(fnn_share) + (self.threads + 1) * sizeof(Py_ssize_t))
        run.threads = self.threads
        run.share = <fnn_share *>self.shares.base
        run.tile_bound = <Py_ssize_t *>(run.share + self.threads * most)
        run.plan = &self.space.plan
        run.space = &self.space.space
        run.work = self.space.arena.base
        run.bad = &self.bad[0]
        run.own_loss = run.own_penalties = run.own_constraints = NULL
        self.calls = own_calls(network, run)
        self.cuts = network.cuts
        return 0

    cdef int go(self, Network network, State state, bint back) except -1:
        # the phases that are set, at the weights of a state
        cdef Run *run = &self.run_state
        cdef int bad
        run.parameters = state.arena.base
        if back and self.copied is not state:
            self.copied = None
            if network.itemsize == 4:
                prepare[float](run, <float *>run.parameters)
            else:
                prepare[double](run, <double *>run.parameters)
            self.copied = state
        run.checked = clock()
        if network.itemsize == 4:
            bad = step_team[float](run, <float *>run.parameters, self.threads)
        else:
            bad = step_team[double](run, <double *>run.parameters, self.threads)
        raise_calls(self.space.calls)
        if bad:
            raise ValueError(f"{NAMES[bad & -bad]} contains NaN or infinity")
        return 0

    cdef int go_in_training(self, Network network, bint back) except -1:
        # the same at the weights published last; of what training changes, nothing does where the pass fails
        cdef Run *run = &self.run_state
        cdef Py_ssize_t drawn = run.train.rows if not run.train.still and not self.quiet and draws(&network.plan) else 0
        run.train.epoch = network.published().epochs
        run.train.shift = network.rows_drawn
        network.rows_drawn += drawn
        try:
            self.go_and_move(network, back)
        except BaseException:
            if network.rows_drawn == run.train.shift + drawn:  # no other thread has drawn since
                network.rows_drawn = run.train.shift
            raise
        return 0

    cdef int go_and_move(self, Network network, bint back) except -1:
        # moving moments of batches move, and are published
        cdef Run *run = &self.run_state
        cdef State state
        if run.train.still or network.plan.coupled == 0:
            self.state = network.published()
            return self.go(network, self.state, back)
        if self.quiet:
            self.state = network.copy_state(network.published())
            return self.go(network, self.state, back)
        with network.changing:
            network.require_rest()
            state = network.copy_state(network.published())
            network.running = True
            try:
                self.go(network, state, back)
            finally:
                network.running = False
            self.state = state
            network.publish(state)
        return 0

    @property
    def rows(self):
        """How many rows came last."""
        return self.run_state.train.rows

    def forward(self, Network network not None, x, bint training, seed, int num_threads=0):
        """Outputs of the network as last published, and what a way back needs, which is kept until the next call.

        Parameters
        ----------
        network : Network
            That the pass was made for, as in all calls.
        x : ndarray, shape (rows, inputs)
            C-contiguous, aligned, of the network's dtype, as all arrays here.
        training : bool
            Whether there is chance, and batches are normalised by their own moments (which also moves the moving ones).
        seed : int
            Of the random numbers.
        num_threads : int, default 0
            0 chooses by the cost.

        Returns
        -------
        ndarray, shape (rows, outputs)

        Raises
        ------
        ValueError
            If x has another shape, or holds NaN or infinity.
        """
        cdef Run *run = &self.run_state
        self.begin(network, x, None, None, training, seed, num_threads)
        out = new_matrix(network.itemsize, run.train.rows, network.plan.outputs)
        run.train.output = cnp.PyArray_DATA(<cnp.ndarray>out)
        run.phases = forward_phases(run.plan, run.train.still, run.phase, run.stretch)
        self.go_in_training(network, False)
        self.kept = True
        return out

    def backward(self, Network network not None, upstream, bint weights=True, bint slopes=False):
        """Gradients at the weights that `forward` met; any number of times after it.

        Parameters
        ----------
        network : Network
        upstream : ndarray, shape (rows, outputs)
            Gradient of a loss with respect to the outputs that `forward` returned.
        weights, slopes : bool
            Whether gradients with respect to weights and rows are wanted.

        Returns
        -------
        tuple of (Gradients or None, ndarray of shape (rows, inputs) or None)

        Raises
        ------
        RuntimeError
            If no rows were kept.
        ValueError
            If upstream has another shape, or holds NaN or infinity.
        """
        cdef Run *run = &self.run_state
        if not self.kept:
            raise RuntimeError("backward() needs a forward() before it")
        if self.cuts != network.cuts:
            raise RuntimeError("the network was compiled anew, or other weights are to be trained, since forward(): call that again")
        require_matrix(network.itemsize, upstream, "upstream", run.train.rows, network.plan.outputs)
        run.train.upstream = cnp.PyArray_DATA(<cnp.ndarray>upstream)
        return self.back(network, ENDING_UPSTREAM, False, weights, slopes)

    def through(self, Network network not None, x, upstream, bint training, seed, bint weights=False, bint slopes=True,
                int num_threads=0):
        """`forward` and `backward` at once, without the outputs."""
        cdef Run *run = &self.run_state
        self.begin(network, x, None, None, training, seed, num_threads)
        require_matrix(network.itemsize, upstream, "upstream", run.train.rows, network.plan.outputs)
        run.train.output = NULL
        run.train.upstream = cnp.PyArray_DATA(<cnp.ndarray>upstream)
        return self.back(network, <Ending>(ENDING_OUTPUT | ENDING_UPSTREAM), True, weights, slopes)

    cdef int begin(self, Network network, x, y, weight, bint training, seed, int num_threads) except -1:
        # the rows of a new pass
        cdef Run *run = &self.run_state
        cdef Py_ssize_t rows = len(x)
        self.kept = False
        require_matrix(network.itemsize, x, "x", rows, network.plan.inputs)
        if rows == 0:
            raise ValueError("x has no rows")
        self.make_room(network, rows, num_threads)
        run.train.x = cnp.PyArray_DATA(<cnp.ndarray>x)
        run.train.y = run.train.weight = NULL
        run.train.key = <uint64_t>(int(seed) & 0xFFFFFFFFFFFFFFFF)
        run.train.still = not training
        if y is not None:
            require_matrix(network.itemsize, y, "y", rows, self.objective.targets)
            run.train.y = cnp.PyArray_DATA(<cnp.ndarray>y)
        if weight is not None:
            require_vector(network.itemsize, weight, "sample_weight", rows)
            run.train.weight = cnp.PyArray_DATA(<cnp.ndarray>weight)
        if y is not None:
            run.next.scale = self.objective.factor * batch_share(&self.objective, &run.train, 0, rows, network.itemsize)
            run.next.move.penalty = penalty_share(&self.objective, &run.train, 0, rows, network.itemsize)
        return 0

    cdef tuple back(self, Network network, Ending ending, bint forward, bint weights, bint slopes):
        # from the output on, or, `forward`, there and back
        cdef Run *run = &self.run_state
        cdef Gradients gradients = None
        cdef Py_ssize_t lowest = self.space.plan.lowest
        out = None
        # penalties are of the loss, and no part of gradients that somebody has of the outputs
        self.space.space.bare = not ending & ENDING_LOSS
        run.train.slopes = NULL
        if slopes:
            if self.reduced:
                raise ValueError("a pass in bfloat16 has no gradients with respect to its rows")
            out = new_matrix(network.itemsize, run.train.rows, network.plan.inputs)
            run.train.slopes = cnp.PyArray_DATA(<cnp.ndarray>out)
            self.open_entry(network, network.published() if forward else self.state)
        try:
            if ending == ENDING_LOSS and self.objective.apart:
                run.phases = apart_phases(run.plan, run.train.still, run.phase, run.stretch)
            elif forward:
                run.phases = rows_phases(run.plan, run.train.still, ending, run.phase, run.stretch)
            else:
                run.phases = backward_phases(run.plan, run.train.still, run.phase, run.stretch)
            if weights:
                gradients = Gradients.of(network)
                # a place in the gradients' own memory, as a distance from the workspace
                self.space.space.partials = (<char *>gradients.arena.base - <char *>run.work) // <Py_ssize_t>network.itemsize
                if ending & ENDING_LOSS:
                    penalty_phases(run, run.plan)
                run.phase[run.phases] = PHASE_GRADIENTS
                run.phases += 1
            if forward:
                self.go_in_training(network, True)
            else:
                self.go(network, self.state, True)
        finally:
            self.space.plan.lowest = lowest
            if slopes:
                self.close_entry()
        return gradients, out

    cdef list idle(self):
        # of each dense layer, how many units the gradient of no row reached; None where there are no deltas
        cdef Py_ssize_t i, n, r, j
        cdef const Layer *layer
        found = []
        for i in range(self.space.plan.nodes):
            layer = self.space.plan.node[i].layer
            if self.space.plan.node[i].op != NULL:
                continue
            if i < self.space.plan.lowest:
                found.append(None)
                continue
            n = 0
            for j in range(layer.units):
                r = 0
                while r < self.run_state.train.rows and self.is_zero(layer.d.offset + r * layer.d.row + j * layer.d.step):
                    r += 1
                n += r == self.run_state.train.rows
            found.append(n)
        return found

    cdef bint is_zero(self, Py_ssize_t place) noexcept:
        if self.space.plan.kernels.itemsize == 4:
            return (<float *>self.run_state.work)[place] == 0
        return (<double *>self.run_state.work)[place] == 0

    cdef double loss(self):
        # of the rows that came last, as a fit reports it
        cdef double value
        cdef double[SUM_LANES] lanes
        memset(lanes, 0, sizeof(lanes))
        self.run_state.state = lanes
        share_losses(self.run_state.plan, self.run_state.space, &self.objective, &self.run_state.train, self.run_state.work, 0,
                     self.run_state.train.rows, 0)
        add_values(&self.run_state, self.run_state.train.rows)
        finish_all(&self.objective, lanes, self.run_state.train.rows, &value)
        return value + self.penalty()

    cdef double penalty(self):
        # of weights, in the gradients that came last
        cdef double found = 0.0
        if has_penalties(&self.space.plan):
            found += penalty_of(&self.space.plan, &self.space.space, self.run_state.work, self.run_state.next.move.penalty)
        if self.run_state.own_penalties != NULL:
            found += self.run_state.own_penalty
        return found

    cdef int open_entry(self, Network network, State state) except -1:
        # a way through the first layers, which have no transposed copy of their weights otherwise
        cdef Plan *plan = &self.space.plan
        cdef Layer *layer
        cdef Py_ssize_t i, p, at = self.space.space.entry
        plan.lowest = -1
        for i in range(plan.layers):
            layer = &plan.layer[i]
            if layer.transposed >= 0 or layer.narrow:
                continue
            layer.transposed = at
            at += round_up(layer.units * round_up(layer.inputs, <Py_ssize_t>plan.kernels.lanes), COLUMN_ALIGN)
            if self.entered is state:
                continue
            for p in range(layer.panels):
                if network.itemsize == 4:
                    refresh_transposed[float](plan.kernels, layer, <float *>state.arena.base,
                                              <float *>self.run_state.work + self.space.space.transposed, p, 0, layer.inputs)
                else:
                    refresh_transposed[double](plan.kernels, layer, <double *>state.arena.base,
                                               <double *>self.run_state.work + self.space.space.transposed, p, 0, layer.inputs)
        self.entered = state
        return 0

    cdef int close_entry(self) except -1:
        cdef Py_ssize_t i
        for i in range(self.space.plan.layers):
            if self.space.plan.layer[i].transposed >= self.space.space.entry:
                self.space.plan.layer[i].transposed = -1
        return 0

    cdef int step(self, Network network, Gradients gradients, State state) except -1:
        # one step of the optimizer on the parameters and slots of a state of the caller's own
        cdef Run *run = &self.run_state
        cdef Gradients own
        self.make_room(network, 1, 0)
        self.threads = threads_for(<double>network.plan.parameters, (network.plan.parameters + 15) // 16, 0)
        self.threads = min(self.threads, self.space.threads)
        if network.rates is not None and network.rates.function is not None:
            network.rates.fill(state.iterations)
            network.optimizer.schedule = network.rates.schedule
        next_move(&network.optimizer, state.iterations, run.next.h, &run.next.move)
        run.optimizer = network.optimizer
        if network.optimizer.stored:  # whose phases work in the gradients' place
            own = Gradients.of(network)
            memcpy(own.arena.base, gradients.arena.base, own.arena.nbytes)
            gradients = own
        self.space.space.partials = (<char *>gradients.arena.base - <char *>run.work) // <Py_ssize_t>network.itemsize
        self.space.space.bare = True  # what penalties add is in the gradients
        run.phases = 0
        optimizer_phases(run, run.plan, &network.optimizer, True)  # the gradients are those of one block
        try:
            self.go(network, state, False)
        finally:
            run.next.move.update = True
            memset(&run.optimizer, 0, sizeof(Optimizer))
        state.iterations += 1
        return 0


cdef bint draws(const Plan *plan) noexcept:
    # whether training takes random numbers
    cdef Py_ssize_t i
    for i in range(plan.ops):
        if only_in_training(&plan.op[i]):
            return True
    return False
