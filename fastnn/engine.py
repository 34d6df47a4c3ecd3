"""An `Engine` is a model's compiled network, and the go-between of the network and the model's Variables."""

import math
import threading
import weakref
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from fastnn.data import require_finite
from fastnn.kernels.gradients import Gradients
from fastnn.kernels.loops import apply_gradients, loss_gradients, pass_through
from fastnn.kernels.network import Network, Tally
from fastnn.kernels.passes import Pass
from fastnn.kernels.training import Training
from fastnn.results import Layout, Own
from fastnn.variables import STATE, Variable, values


class Engine:
    """A compiled network over a list of variables.

    Holds its variables weakly, and they hold it: the weights live here after training, and nothing forms a
    cycle that would keep a dropped model's memory until the garbage collector comes by.

    Parameters
    ----------
    input_dim : int
    plan : list
        What ``Network`` takes: the layers, in order.
    variables : sequence of Variable
        In the order of ``Network.weights()``.
    dtype : str
    """

    def __init__(self, input_dim: int, plan: list, variables: Sequence[Variable], dtype: str):
        self.net = Network(input_dim, plan, dtype)
        self.dtype = np.dtype(dtype)
        self.input_dim = input_dim
        self.compiled: Any = None  # the Compiled that the network was last compiled for,
        self.layout: Any = None  # and the Layout of what it then reports
        self.optimizer: Any = None
        self.choices = 0  # of the optimizer, when the network was compiled with it
        self.averages = False  # whether it then averaged the weights
        self.stale = True  # whether variables have values that the network does not
        self.asked: list = []  # of each variable in training, as the network was last told
        self.owner: Any = None  # the Fit under way
        self.trainer = 0  # the thread that runs it
        self._variables = [weakref.ref(v) for v in variables]
        self._pulled = -1
        self._pushing = threading.Lock()
        self._changes = 0  # how often the network became stale
        self.at_home = False  # all variables are at home here, and in no other network
        self._kept = threading.local()  # each thread's Pass
        for v in variables:
            v.add_user(self)

    def sync(self) -> None:
        """Bring values assigned elsewhere into the network; call before using it if ``stale``."""
        if self.owner is not None and self.trainer != threading.get_ident():
            return  # between two native calls, only the thread that trains may
        with self._pushing:
            if not self.stale:
                return  # another thread has just done it
            changes = self._changes
            self.at_home = False
            self.net.set_weights(values(self._alive()))
            with STATE:
                if changes == self._changes:  # else it is for the next time
                    self.stale = False

    def outdate(self) -> None:
        """Note that variables have values that the network does not; called with STATE held."""
        self._changes += 1
        self.stale = True

    def begin(self) -> None:
        """Make the network the home of its variables: it is about to train."""
        for v in self._alive():
            for user in v.users():
                if user.owner is not None:
                    raise RuntimeError(
                        f"{v.path} is being trained by another model that shares it; wait for that to end."
                    )
        if self.stale:
            self.sync()
        self.trainer = threading.get_ident()
        with STATE:
            for v in self._alive():
                v.move(self)

    def published(self) -> None:
        """Tell the other networks that share variables with this one that it has trained."""
        if self.at_home:
            return
        with STATE:
            for v in self._alive():
                if v.home is self:  # else it was assigned meanwhile, and this network is stale
                    v.move(self)

    def pull(self) -> None:
        """Bring the network's published weights into the variables that are at home here."""
        while self._pulled != self.net.version:
            version = self.net.version
            values = self.net.weights()
            with STATE:
                if version != self.net.version:
                    continue
                for ref, value in zip(self._variables, values, strict=True):
                    v = ref()
                    if v is not None and v.home is self:
                        v.fetch(value)
                self._pulled = version

    def _alive(self) -> list[Variable]:
        return [v for v in (ref() for ref in self._variables) if v is not None]

    def compile(self, compiled: Any) -> None:
        """Prepare the network for training and evaluation as ``compiled`` (see compiling.py) says."""
        same = (
            self.choices == compiled.optimizer.choices or self.owner is not None
        )  # a fit goes on as it began
        if self.compiled is compiled and same:
            return
        self._compile(compiled.native, compiled.optimizer, compiled.precision)
        self.compiled = compiled

    def use(self, optimizer: Any) -> None:
        """Prepare the network for steps of an optimizer that it need not be compiled with."""
        if self.optimizer is optimizer and self.choices == optimizer.choices:
            return
        spec = self.compiled.native if self.compiled is not None else _ANY_LOSS
        self._compile(spec, optimizer, None if self.compiled is None else self.compiled.precision)
        self.compiled = None

    def _compile(self, spec: Any, optimizer: Any, precision: str | None) -> None:
        before = self.optimizer
        if before is not None and before is not optimizer:
            before.park(self)
        self.net.compile(
            spec.specification,
            spec.from_logits,
            optimizer.native,
            optimizer.native_hypers(),
            [judge.measure for judge in spec.judges if judge.measure is not None],
            precision,
            rates=optimizer.native_rates(),
            decay=[optimizer.uses_weight_decay(v) for v in self._alive()],
            orthogonal=[optimizer.orthogonalises(v) for v in self._alive()],
            keep_optimizer=before is optimizer,
            reduction={"sum_over_batch_size": "mean"}.get(spec.resolved.reduction, spec.resolved.reduction),
            own=spec.own,
            together=spec.resolved.together,
        )
        kept = None if before is optimizer else optimizer.unpark(self)
        if kept is not None:
            self.net.set_optimizer_state(*kept)
        self.optimizer = optimizer
        self.choices, self.averages = optimizer.choices, optimizer.use_ema
        optimizer.bind(self)
        keys = [judge.key for judge in spec.judges if judge.measure is not None]
        self.layout = Layout(keys, self.net.widths)

    def ask(self, asked: list) -> None:
        """Tell the network what is asked of each variable in training; not while it trains."""
        if self.asked != asked and self.owner is None:
            self.net.set_variables(asked)
            self.asked = asked

    def judge(
        self, part: Any, batch_size: int = 0, tally: Tally | None = None, outputs: np.ndarray | None = None
    ) -> np.ndarray:
        """Return loss and metrics of rows, as last published.

        Parameters
        ----------
        part : Data
        batch_size : int
            Where loss or metrics are of batches, their rows; 0 is all of them.
        tally : Tally, optional
            What earlier calls saw; these rows are added to it.
        outputs : ndarray, optional
            As `outputs_of` makes it: where the outputs go.
        """
        loss = self.compiled.native.resolved
        if loss.apart and outputs is None:
            outputs = self.outputs_of(part)
        tally = tally or Tally(self.net)
        values = self.net.evaluate(
            part.x, part.y, part.sample_weight, tally=tally, batch_size=batch_size, outputs=outputs
        )
        if loss.apart:
            assert outputs is not None
            tally.apart += loss.judged(part.y, outputs, part.sample_weight, batch_size) * len(outputs)
            values[0] += tally.apart / tally.rows  # to the penalties
        return values

    def outputs_of(self, part: Any) -> np.ndarray:
        """Return an array for the outputs of rows, its values anything."""
        return np.empty((len(part.x), self.net.outputs), self.dtype)

    def set_hyper(self, name: str, value: float) -> None:
        self.net.set_hyper(name, value)

    def finish(self) -> None:
        """End a fit: where the optimizer averages the weights, the averages take their place."""
        if self.averages:
            self.net.take_averages()

    def own(self) -> Own:
        """Return the metrics that Python computes."""
        native = self.compiled.native
        return Own(native.judges, native.kind)

    def step(self, part: Any, seed: int) -> dict[str, Any]:
        """Take one training step on all of ``part``; return loss and metrics."""
        own = self.own()
        training = Training(
            self.net,
            part.x,
            part.y,
            batch_size=len(part.x),
            shuffle=False,
            seed=seed,
            epochs=1,
            sample_weight=part.sample_weight,
            keep_outputs=bool(own),
        )
        try:
            training.run(1, math.inf)
        except ValueError:
            part.require_finite()
            raise
        finally:
            training.close()
        found = self.layout.named(training.logs[0])
        if own:
            own.reset()
            own.update(*training.outputs())
            found.update(own.results())
        return found

    # Training loops of the caller's own ---------------------------------------------------------------------

    def variables(self) -> list[Variable]:
        """Return all variables, in order."""
        return self._alive()

    def trained(self) -> list[Variable]:
        """Return the variables that an optimizer moves, in order."""
        return [v for v, moves in zip(self._alive(), self.net.trained(), strict=True) if moves]

    def gradients(self, part: Any, seed: int, training: bool) -> tuple[float, Gradients]:
        """Return the loss of ``part``, and its gradients."""
        moves = training and self.net.moves
        if moves:
            self._enter()
        try:
            loss, found = loss_gradients(self.net, part.x, part.y, part.sample_weight, training, seed)
        except ValueError:
            part.require_finite()
            raise
        if moves:
            self.published()
        found.home = self
        return loss, found

    def apply(self, gradients: Gradients) -> None:
        """Take one step of the optimizer."""
        self._enter()
        apply_gradients(self.net, gradients)
        self.published()

    def finalize(self) -> None:
        """`finish`, after a loop of the caller's own."""
        self._enter()
        self.finish()
        self.published()

    def forward(self, x: np.ndarray, seed: int, training: bool) -> np.ndarray:
        """Return the outputs of rows, which are kept for `backward`."""
        kept = getattr(self._kept, "way", None)
        if kept is None:
            kept = self._kept.way = Pass(self.net)
        moves = training and self.net.moves
        if moves:
            self._enter()
        try:
            out = kept.forward(self.net, x, training, seed)
        except ValueError:
            require_finite(x, "x")
            raise
        if moves:
            self.published()
        return out

    def kept_rows(self) -> int | None:
        """Return how many rows `forward` has kept in this thread, None where it has not."""
        kept = getattr(self._kept, "way", None)
        return kept.rows if kept is not None and kept.kept else None

    def backward(self, upstream: np.ndarray, slopes: bool) -> tuple[Gradients, np.ndarray | None]:
        """Return gradients with respect to weights and, if asked for, the kept rows."""
        try:
            gradients, found = self._kept.way.backward(self.net, upstream, True, slopes)
        except ValueError:
            require_finite(upstream, "dloss_dy")
            raise
        assert gradients is not None
        gradients.home = self
        return gradients, found

    def slopes(self, x: np.ndarray, upstream: np.ndarray, seed: int, training: bool) -> np.ndarray:
        """Return gradients of weighted outputs with respect to rows."""
        moves = training and self.net.moves
        if moves:
            self._enter()
        try:
            _, found = pass_through(self.net, x, upstream, training, seed)
        except ValueError:
            require_finite(x, "x")
            require_finite(upstream, "upstream")
            raise
        if moves:
            self.published()
        return found

    def jacobian(self, x: np.ndarray, seed: int, training: bool) -> np.ndarray:
        """Return derivatives of all outputs with respect to rows, (rows, units, columns)."""
        moves = training and self.net.moves
        if moves:
            self._enter()
        way = Pass(self.net)
        try:
            units = way.forward(self.net, x, training, seed).shape[1]
        except ValueError:
            require_finite(x, "x")
            raise
        if moves:
            self.published()
        out = np.empty((len(x), units, x.shape[1]), self.dtype)
        for unit in range(units):
            upstream = np.zeros((len(x), units), self.dtype)
            upstream[:, unit] = 1
            out[:, unit] = way.backward(self.net, upstream, False, True)[1]
        return out

    def _enter(self) -> None:
        """Get ready to publish weights outside ``fit``."""
        if self.owner is not None:
            if self.trainer != threading.get_ident():
                raise RuntimeError("The model is being trained in another thread; wait for its end.")
            if self.stale:
                self.sync()
            return
        if self.stale:
            self.sync()
        if not self.at_home:
            self.begin()
            self.at_home = all(len(v.users()) == 1 for v in self._alive())


# What a network is compiled for that only an optimizer is wanted of.
_ANY_LOSS = SimpleNamespace(
    specification="mean_squared_error",
    from_logits=False,
    judges=(),
    own=None,
    resolved=SimpleNamespace(reduction="mean", together=False),
)
