"""An `Engine` is a model's compiled network, and the go-between of the network and the model's Variables."""

import math
import threading
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.kernels.network import Network
from fastnn.kernels.training import Training
from fastnn.variables import STATE, Variable


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
        self.compiled: Any = None  # the Compiled that the network was last compiled for
        self.optimizer: Any = None
        self.stale = True  # whether variables have values that the network does not
        self.asked: list = []  # of each variable in training, as the network was last told
        self.owner: Any = None  # the Fit under way
        self.trainer = 0  # the thread that runs it
        self._variables = [weakref.ref(v) for v in variables]
        self._pulled = -1
        self._pushing = threading.Lock()
        for v in variables:
            v.add_user(self)

    def sync(self) -> None:
        """Bring values assigned elsewhere into the network; call before using it if ``stale``."""
        if self.owner is not None and self.trainer != threading.get_ident():
            return  # between two native calls, only the thread that trains may
        with self._pushing:
            self.stale = False  # first: what changes from here on is for the next time
            self.net.set_weights([v.value for v in self._alive()])

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
        if self.compiled is compiled:
            return
        spec = compiled.native
        optimizer, before = compiled.optimizer, self.optimizer
        if before is not None and before is not optimizer:
            before.park(self)
        self.net.compile(
            spec.specification,
            spec.from_logits,
            optimizer.native,
            optimizer.native_hypers(),
            list(spec.metrics),
            compiled.precision,
            rates=optimizer.native_rates(),
            decay=[optimizer.uses_weight_decay(v) for v in self._alive()],
            keep_optimizer=before is optimizer,
            reduction={"sum_over_batch_size": "mean"}.get(spec.resolved.reduction, spec.resolved.reduction),
            own=spec.own,
            together=spec.resolved.together,
        )
        kept = None if before is optimizer else optimizer.unpark(self)
        if kept is not None:
            self.net.set_optimizer_state(*kept)
        self.optimizer = optimizer
        optimizer.bind(self)
        self.compiled = compiled

    def ask(self, asked: list) -> None:
        """Tell the network what is asked of each variable in training; not while it trains."""
        if self.asked != asked and self.owner is None:
            self.net.set_variables(asked)
            self.asked = asked

    def judge(self, part: Any, batch_size: int = 0) -> np.ndarray:
        """Return loss and metrics of rows, as last published.

        Parameters
        ----------
        part : Data
        batch_size : int
            Where the loss is of batches, their rows; 0 is all of them.
        """
        values = self.net.evaluate(part.x, part.y, part.sample_weight, batch_size=batch_size)
        loss = self.compiled.native.resolved
        if loss.apart:
            values[0] = loss.judged(part.y, self.net.predict(part.x), part.sample_weight, batch_size)
        return values

    def set_hyper(self, name: str, value: float) -> None:
        self.net.set_hyper(name, value)

    def finish(self) -> None:
        """End a fit: where the optimizer averages the weights, the averages take their place."""
        if self.optimizer.use_ema:
            self.net.take_averages()

    def step(self, part: Any, seed: int) -> list[float]:
        """Take one training step on all of ``part``; return loss and metrics."""
        training = Training(
            self.net,
            part.x,
            part.y,
            batch_size=len(part.x),
            shuffle=False,
            seed=seed,
            epochs=1,
            sample_weight=part.sample_weight,
        )
        try:
            training.run(1, math.inf)
        except ValueError:
            part.require_finite()
            raise
        finally:
            training.close()
        return training.logs[0].tolist()
