"""What a training loop of one's own is made of: gradients, ways forward and back.

The optimizer's step is ``optimizer.apply`` (``optimizers/applying.py``). All of it runs the compiled
phases of ``fit``, so a loop over the same batches gives the same bits.
"""

from typing import Any

import numpy as np

from fastnn import data
from fastnn.gradient_statistics import GradientStatistics, gradient_statistics
from fastnn.kernels.gradients import Gradients


class Loops:
    """The methods that models have for training loops of their users' own."""

    # What a model is, for what stands here.
    name: str
    seed: int
    loss: Any
    _native: Any
    _data: Any
    _features: Any
    _ready: Any
    _units: Any
    _engine: Any
    _compiled: Any
    asked: Any

    def gradients(
        self, x: Any, y: Any, sample_weight: Any = None, training: bool = True
    ) -> tuple[float, Gradients]:
        """Return the loss of some rows, and its gradients with respect to the trainable weights.

        ``optimizer.apply(gradients)`` then takes a step: together they do what `fit` does with one batch, to
        the bit.

        Parameters
        ----------
        x, y, sample_weight
            As for `fit`, arrays.
        training : bool
            Whether rows pass as in `fit`: dropout draws, and batch normalisation takes the batch's own
            moments, which also moves its moving ones. False: as in `evaluate`.

        Returns
        -------
        loss : float
            As `fit` reports it for a batch: the (weighted) sum of the rows' losses, divided by their number
            or as its ``reduction`` says.
        gradients : Gradients
            A sequence of arrays, in the order and of the shapes of ``trainable_weights``. The arrays are made
            when first looked at, and may be changed in place.

        Raises
        ------
        ValueError
            For wrong arrays, and for NaN or infinity in them.
        FloatingPointError
            Where the loss is infinite or NaN.

        Notes
        -----
        Weights stay as they are. May be called from any thread. A model compiled with
        ``precision="bfloat16"`` has the gradients that `fit` follows.
        """
        part = self._data(self._native("gradients", y), x, y, sample_weight)
        return self._ready(part.x.shape[1], True).gradients(part, self.seed, bool(training))

    def forward(self, x: Any, training: bool = True) -> np.ndarray:
        """Return the outputs for rows ``x``, and keep what `backward` needs.

        Parameters
        ----------
        x : array-like, (rows, columns)
        training : bool
            As for `gradients`. False gives the same bits as `predict`.

        Returns
        -------
        ndarray, (rows, units)

        Notes
        -----
        ``model(x, training=True)`` is the same. What is kept belongs to the calling thread, until its next
        `forward`. The model need not be compiled.
        """
        rows = self._features(x, "x")
        return self._prepared(rows.shape[1]).forward(rows, self.seed, bool(training))

    def backward(self, dloss_dy: Any, inputs: bool = False) -> Any:
        """Return gradients of a loss of one's own, from its gradient with respect to the outputs.

        Parameters
        ----------
        dloss_dy : array-like, (rows, units)
            Of a loss, with respect to what the last `forward` of this thread returned. The gradients are of
            that loss as it stands: for a mean over rows, divide by their number.
        inputs : bool
            Whether the gradient with respect to ``x`` is wanted too.

        Returns
        -------
        gradients : Gradients
            As those of `gradients`, at the weights that `forward` met. Without the terms of regularizers.
        input_gradients : ndarray, (rows, columns)
            Only where ``inputs=True``.

        Raises
        ------
        RuntimeError
            Without a `forward` before, or where the model was compiled, or other layers frozen, since.
        ValueError
            For another shape, and for NaN or infinity.

        Notes
        -----
        May be called several times after one `forward`, for instance once for each output.
        """
        engine = self._engine
        if engine is None or engine.kept_rows() is None:
            raise RuntimeError(
                f"Model {self.name!r} has kept no rows in this thread: call forward(x) before backward()."
            )
        upstream = _outputs(dloss_dy, "dloss_dy", engine.kept_rows(), self._units(), engine.dtype)
        gradients, slopes = engine.backward(upstream, inputs)
        return (gradients, slopes) if inputs else gradients

    def input_gradients(
        self, x: Any, output: int | str | None = None, *, upstream: Any = None, training: bool = False
    ) -> np.ndarray:
        """Return the derivatives of the outputs with respect to the inputs, for each row.

        Parameters
        ----------
        x : array-like, (rows, columns)
        output : int or "all", optional
            Which unit's output. "all" gives the Jacobian of each row. May be left out where there is one.
        upstream : array-like, (units,) or (rows, units), optional
            Weights of the outputs, instead of ``output``: of their weighted sum.
        training : bool
            As for `gradients`.

        Returns
        -------
        ndarray, (rows, columns)
            For ``output="all"``, (rows, units, columns).

        Raises
        ------
        ValueError
            For wrong arrays, NaN or infinity in them, an output that there is not, or none or two of
            ``output`` and ``upstream`` where one is needed.
        """
        rows = self._features(x, "x")
        units, count = self._units(), len(rows)
        if output is not None and upstream is not None:
            raise ValueError("input_gradients takes one of output= and upstream=, not both.")
        if output is None and upstream is None:
            if units > 1:
                raise ValueError(
                    f"Model {self.name!r} has {units} outputs: choose one with output=0 to {units - 1}, "
                    "weigh them with upstream=, or take all with output='all'."
                )
            output = 0
        engine = self._prepared(rows.shape[1])
        if upstream is not None:
            weights = np.asarray(upstream)
            if weights.shape == (units,):
                upstream = np.broadcast_to(weights, (count, units))
            weights = _outputs(upstream, "upstream", count, units, engine.dtype)
            return engine.slopes(rows, weights, self.seed, bool(training))
        if isinstance(output, str):
            if output != "all":
                raise ValueError(f"output must be a unit's number or 'all', got {output!r}.")
            return engine.jacobian(rows, self.seed, bool(training))
        number = _unit(output, units)
        weights = np.zeros((count, units), engine.dtype)
        weights[:, number] = 1
        return engine.slopes(rows, weights, self.seed, bool(training))

    def gradient_statistics(
        self, x: Any, y: Any, sample_weight: Any = None, training: bool = True
    ) -> GradientStatistics:
        """Return statistics of the gradients of the loss of some rows, and which units none of them reaches.

        Norms that shrink, or grow, by orders of magnitude from layer to layer say that gradients vanish or
        explode; units that no gradient reaches do not learn from these rows.

        Parameters
        ----------
        x, y, sample_weight, training
            As for `gradients`; but nothing of the model changes.

        Returns
        -------
        GradientStatistics
            With ``loss``, ``weights`` (``path``, ``shape``, ``norm``, ``mean``, ``largest`` and ``zeros`` of
            each gradient) and ``layers`` (``path``, ``units`` and ``idle`` of each dense layer); prints as a
            table.

        Raises
        ------
        ValueError
            For wrong arrays, and for NaN or infinity in them.
        """
        part = self._data(self._native("gradient_statistics", y), x, y, sample_weight)
        return gradient_statistics(self._ready(part.x.shape[1], True), part, self.seed, bool(training))

    def _prepared(self, columns: int) -> Any:
        """Return the network as it is trained; where the model is compiled, compiled too."""
        if self.loss is not None and not self._compiled.by_targets:
            self._native("this")
            return self._ready(columns, True)
        engine = self._ready(columns)
        engine.ask(self.asked())
        return engine


def _outputs(value: Any, argument: str, rows: int, units: int, dtype: np.dtype) -> np.ndarray:
    """Return an array of the outputs' shape and dtype that the kernels can read."""
    a = data.array(value, argument)
    if a.ndim == 1 and units == 1:
        a = a.reshape(-1, 1)
    if a.shape != (rows, units):
        raise ValueError(f"{argument} has shape {a.shape}, but the outputs have shape {(rows, units)}.")
    return data.contiguous(a, dtype)


def _unit(output: Any, units: int) -> int:
    if isinstance(output, bool | np.bool_) or not hasattr(output, "__index__"):
        raise TypeError(f"output must be a unit's number or 'all', got {output!r}.")
    if not -units <= output < units:
        raise ValueError(f"output={output}: there are {units} outputs, numbered from 0.")
    return int(output.__index__())
