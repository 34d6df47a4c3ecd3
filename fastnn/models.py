"""Models: ``Sequential``, a stack of layers that is compiled, trained, evaluated and asked."""

import math
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from fastnn import (
    class_weights,
    cloning,
    data,
    files,
    judging,
    losses,
    optimizers,
    preparing,
    progress,
    resuming,
    seeds,
)
from fastnn.batch_loop import BatchFit
from fastnn.batches import are_batches
from fastnn.callbacks import Monitor, check_callbacks
from fastnn.cloning import clone_model, model_from_json
from fastnn.compiling import Compiled, Native
from fastnn.engine import Engine
from fastnn.errors import warn
from fastnn.exporting import export
from fastnn.files import load_model, save_model
from fastnn.frames import column_names, require_names
from fastnn.history import History
from fastnn.inference import Predictor
from fastnn.layers.layer import KerasTensor
from fastnn.loops import Loops
from fastnn.losses.checking import first_use
from fastnn.range_test import RangeTest, find_learning_rate
from fastnn.stack import Stack
from fastnn.summary import summary
from fastnn.training_loop import (
    BATCH_SIZE,
    Data,
    Fit,
    Settings,
    evaluate,
    settings,
    steps as checked_steps,
    whole,
)

__all__ = ["Model", "Sequential", "clone_model", "load_model", "model_from_json", "save_model"]


class Model(Loops, Stack):
    """Base class of the models; of itself it cannot be made, since graphs of layers are not supported."""

    def __new__(cls, *args, **kwargs):
        if not issubclass(cls, Sequential):
            raise NotImplementedError(
                "Models of your own and functional ones, Model(inputs, outputs), are not supported: use "
                "Sequential."
            )
        return super().__new__(cls)


class Sequential(Model):
    """A stack of layers, each of which takes what the one before it returns.

    Parameters
    ----------
    layers : list of Layer, optional
        May begin with ``Input(shape=(columns,))``; otherwise the first layer's ``input_dim=`` or the first
        data decide the number of columns.
    trainable : bool
    name : str, optional
        By default ``sequential``, ``sequential_1``, ...

    Attributes
    ----------
    layers : list of Layer
        Without ``Input``.
    optimizer : Optimizer or None
    loss : str, function or Loss
        As `compile` was told.
    history : History or None
        Of the last `fit`.
    stop_training : bool
        Set by a callback, or from another thread, to end `fit`.
    seed : int
        Drawn when the model was made; shuffles follow it.
    column_names : list of str or None
        Of the data frame that the model was trained on; frames given later must have the same.
    metadata : anything JSON can hold, or None
        Yours: it goes into the model's file, and comes back with `load_model`.

    Notes
    -----
    `predict` and `evaluate` may be called from any thread, also during `fit`: they see the weights as they
    last were at the end of an epoch or of a slice of 0.05 s. A second `fit` of the same model raises
    RuntimeError.
    """

    def __init__(self, layers: Iterable[Any] | None = None, trainable: bool = True, name: str | None = None):
        self.seed = seeds.draw()
        self.optimizer: Any = None
        self.loss: Any = None
        self.history: History | None = None
        self.stop_training = self.stop_evaluating = self.stop_predicting = False
        self.column_names: list[str] | None = None
        self.metadata: Any = None
        self.initial_epoch: int | None = None  # that a callback wants the `fit` under way to begin with
        self._compiled: Compiled | None = None
        self._constants: tuple[tuple[Any, int], ...] = ()  # layers whose settings the network holds a copy of
        self._engine: Engine | None = None
        self._lock_up()
        super().__init__(layers, trainable, name)

    def _lock_up(self) -> None:
        self._making = threading.Lock()
        self._training = threading.Lock()

    # Compiling ----------------------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
        precision: str | None = None,
    ) -> None:
        """Say how the model is trained and judged; on an error the earlier settings stay.

        Parameters
        ----------
        optimizer : str or Optimizer
        loss : str, function or Loss
        loss_weights : None
            Not supported yet.
        metrics, weighted_metrics : list of str, function or Metric
            Without and with the rows' weights. ``"accuracy"`` is the binary, categorical or sparse
            categorical one, by output and loss. A function or a `Metric` of your own sees every batch in
            Python, which is slower; see docs/metrics.md.
        run_eagerly, steps_per_execution, jit_compile, auto_scale_loss
            Hints about Keras's execution, accepted and ignored.
        precision : {None, "bfloat16"}
            Of the matrix products of training. None is the model's dtype. "bfloat16", for float32 models,
            rounds what the products of wide layers multiply to bfloat16, and is faster where the processor
            has instructions for it (`fastnn info` says). Sums, weights, the optimizer's state, `evaluate`,
            `predict` and validation stay float32.
        """
        self._require_idle("compile")
        hints = {
            "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution,
            "jit_compile": jit_compile,
        }
        compiled = Compiled(optimizer, loss, loss_weights, metrics, weighted_metrics, hints, precision)
        if self._stack:
            compiled.require_precision(self.dtype)
        if self._stack and loss is not None and not (compiled.by_targets and self._units() > 1):
            compiled.resolve(self._units(), self._last())
        self._compiled = compiled
        self.optimizer = compiled.optimizer
        self.loss = loss

    @property
    def compiled(self) -> bool:
        """Whether `compile` has been called."""
        return self._compiled is not None

    @property
    def precision(self) -> str:
        """Precision of the products of training: ``"bfloat16"`` if so compiled, else the model's dtype."""
        return (self._compiled and self._compiled.precision) or self.dtype

    @property
    def metrics_names(self) -> list[str]:
        """The names of what `evaluate` returns: ``"loss"`` and the metrics."""
        return list(self._native("metrics_names").keys)

    @property
    def metrics(self) -> list[Any]:
        """One Metric object for each metric that the model was compiled with."""
        native = self._native("metrics")
        return [judge.metric for judge in native.judges]

    def metric_direction(self, name: str) -> str | None:
        """Return whether small ("min") or large ("max") values of a metric are good, None if unknown."""
        if name == "loss":
            return "min"
        native = self._native("metric_direction")
        found = next((judge.metric for judge in native.judges if judge.key == name), None)
        return {"up": "max", "down": "min"}.get(getattr(found, "_direction", ""))

    def get_compile_config(self) -> dict[str, Any] | None:
        """Return what `compile_from_config` compiles a model with."""
        return None if self._compiled is None else self._compiled.config()

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile with what `get_compile_config` returned."""
        given = dict(config)
        given["optimizer"] = optimizers.get(given["optimizer"])
        given["loss"] = losses.get(given["loss"]) if isinstance(given["loss"], dict) else given["loss"]
        self.compile(**given)

    def reset_metrics(self) -> None:
        """Do nothing: metrics start anew in each call."""

    def _native(self, what: str, y: Any = None) -> Native:
        """Return what the network is compiled for, or raise that `compile` must be called first.

        ``y`` are targets, by which a loss may be chosen.
        """
        compiled = self._compiled
        if compiled is None:
            raise ValueError(
                f"Compile model {self.name!r} before {what}: model.compile(optimizer='adam', loss='mse')."
            )
        compiled.require_precision(self.dtype)
        if compiled.by_targets:
            compiled.decide(self._units(), y)
        return compiled.native or compiled.resolve(self._units(), self._last())

    # Training -----------------------------------------------------------------------------------------------

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
    ) -> History:
        """Train the model, from where it stands: the optimizer goes on with its state.

        Parameters
        ----------
        x : array-like, (rows, columns), or iterable of batches
            A NumPy array or memory map, a list of rows, a data frame, or anything that converts to an array;
            or batches, ``(x, y)`` or ``(x, y, sample_weight)``, each one step: a generator, a
            `utils.PyDataset`, an object with ``__len__`` and ``__getitem__``, or another iterable.
        y : array-like, (rows,) or (rows, units)
            Targets; class numbers for sparse_categorical_crossentropy. Not where ``x`` brings batches.
        batch_size : int, optional
            Rows of a step, 32 by default. The last batch of an epoch is smaller where they do not divide.
            Ignored where ``x`` brings batches.
        epochs : int
            Number of the epoch to stop before.
        verbose : {"auto", 0, 1, 2}
            0 prints nothing, 1 draws a bar, 2 prints when an epoch is done. "auto" is 1 on a terminal and in
            a notebook, else 2. Of epochs that pass faster than can be read, 1 prints a selection; the history
            has all.
        callbacks : list of Callback, optional
        validation_split : float
            Share of the rows, in [0, 1), to keep for validation: the last ones, before shuffling.
        validation_data : tuple or iterable of batches, optional
            ``(x, y)`` or ``(x, y, sample_weight)``, or batches as for ``x``; overrides ``validation_split``.
        shuffle : bool
            Whether each epoch takes the rows in another order.
        sample_weight : array-like, (rows,), optional
            Factors of the rows' losses; the loss is their weighted sum divided by the number of rows.
        class_weight : dict or "balanced", optional
            Factors of the rows' losses by class number, 1 for classes that are not in it; the class is the
            largest of several targets. "balanced" gives all classes the same sum of weights. Multiplied with
            ``sample_weight``.
        initial_epoch : int
            Number of the epoch to start with.
        steps_per_epoch : int, optional
            Steps of an epoch; the next epoch goes on where it ended. Without ``batch_size``, the rows are
            divided into so many batches. Needed for batches without end.
        validation_steps : int, optional
            Batches of ``validation_batch_size`` rows to validate on, the first ones; of an iterable, so many.
        validation_batch_size : int, optional
            Rows of a batch for ``validation_steps``, for losses and metrics that are means over batches, and
            for callbacks that look at batches.
        validation_freq : int or list of int
            Validate after each so many epochs, or after these, counted from 1.

        Returns
        -------
        History

        Raises
        ------
        ValueError, TypeError
            For wrong arguments; the model is as it was.
        FloatingPointError
            Where the loss becomes infinite or NaN; the model keeps its last finite weights.
        RuntimeError
            Where the model is being trained already.
        """
        self._native("fit", y)
        chosen = settings(
            batch_size,
            epochs,
            verbose,
            shuffle,
            initial_epoch,
            steps_per_epoch,
            validation_batch_size,
            validation_steps,
            validation_freq,
        )
        weights = class_weights.check(class_weight)
        calls = check_callbacks(callbacks)
        for call in calls:
            if isinstance(call, Monitor):
                call.direction(self)  # raises where that cannot be told
        with self._alone("fit"):
            run = self._fit(x, y, sample_weight, weights, validation_split, validation_data, chosen, calls)
            return run.run()

    def _fit(
        self,
        x: Any,
        y: Any,
        sample_weight: Any,
        weights: Any,
        validation_split: Any,
        validation_data: Any,
        chosen: Settings,
        calls: list[Any],
    ) -> Fit:
        """Return a fit on these data, nothing of which has begun; for whoever holds `_alone`."""
        native = self._native("fit", y)
        if are_batches(x, y is None):
            judging.require_alone(y, sample_weight, validation_split, weights)
            batches, frames = preparing.batches(
                self, native, x, "x", chosen.steps, chosen.shuffle, class_weight=weights
            )
            rest = batches.epoch()
            train = judging.first_of(rest, "x")
            names = (frames and frames[0]) or self.column_names
            kind: Any = partial(BatchFit, batches, rest)
        else:
            names = column_names(x) or self.column_names
            train = self._data(native, x, y, sample_weight)
            kind = Fit
        validation = None
        if validation_data is not None:
            columns = train.x.shape[1]
            validation = preparing.validation(self, native, validation_data, columns, chosen, names)
        elif validation_split:
            first, last = data.split(_share(validation_split), *train)
            train, validation = Data(*first), Data(*last)
        if weights is not None and kind is Fit:
            weight = class_weights.sample_weight(weights, train.y, train.sample_weight)
            train = train._replace(sample_weight=weight)
        if native.loss in ("binary_crossentropy", "binary_focal_crossentropy"):
            data.warn_outside_unit_interval(train.y, "y", native.loss)
        engine = self._ready(train.x.shape[1], True)
        if not self.trainable_weights:
            warn(f"Model {self.name!r} has no trainable weights: nothing is learned.", UserWarning)
        first_use(native, engine.net, train)
        run = kind(self, engine, train, validation, chosen, calls)
        self.column_names = names
        return run

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Take one step on these rows; return their loss and metrics from before it, as `evaluate` does.

        ``sample_weight`` and ``class_weight`` are those of `fit`.
        """
        native = self._native("train_on_batch", y)
        weights = class_weights.check(class_weight)
        with self._alone("train_on_batch"):
            part = self._data(native, x, y, sample_weight)
            if weights is not None:
                weight = class_weights.sample_weight(weights, part.y, part.sample_weight)
                part = part._replace(sample_weight=weight)
            engine = self._ready(part.x.shape[1], True)
            first_use(native, engine.net, part)
            engine.begin()
            found = engine.step(part, self.seed)
            engine.published()
        return _result(native, found, return_dict)

    # Judging and asking -------------------------------------------------------------------------------------

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Return the loss and the metrics over these rows.

        Parameters
        ----------
        x, y, sample_weight
            As for `fit`; ``x`` may bring batches.
        batch_size : int, optional
            Matters only for ``steps``, for losses and metrics that are means over batches, and for callbacks
            that look at batches.
        verbose : {"auto", 0, 1, 2}
            As for `fit`.
        steps : int, optional
            Batches to look at, the first ones.
        callbacks : list of Callback, optional
        return_dict : bool
            Return a dict instead.

        Returns
        -------
        float, list of float or dict
            The loss alone where there are no metrics, else loss and metrics in the order of `compile`.
        """
        native = self._native("evaluate", y)
        size = None if batch_size is None else whole(batch_size, "batch_size", 1, BATCH_SIZE)
        level, count = progress.level(verbose), checked_steps(steps, "steps")
        judge: Any
        if are_batches(x, y is None):
            judging.require_alone(y, sample_weight)
            batches, _ = preparing.batches(self, native, x, "x", count)
            judge = judging.OfBatches(self, batches, callbacks, level)
        else:
            part = self._data(native, x, y, sample_weight)
            judge = judging.OfArrays(self, part, size, count, callbacks, level)
        found = judge.evaluate()
        return _result(native, found, return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Return the loss and the metrics over these rows, as `evaluate` does, without printing."""
        native = self._native("test_on_batch", y)
        part = self._data(native, x, y, sample_weight)
        found = evaluate(self._ready(part.x.shape[1], True), part, len(part.x), None, self)
        if not math.isfinite(found["loss"]):
            part.require_finite()
        return _result(native, found, return_dict)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> np.ndarray:
        """Return the model's outputs for rows ``x``, shape (rows, units).

        Parameters
        ----------
        x : array-like, (rows, columns), or iterable of batches
            NaN in a row gives NaN, in this row only. Of batches ``(x, y)``, as `fit` takes them, x is used.
        batch_size : int, optional
            Matters only for ``steps``, and for callbacks that look at batches; the result is the same.
        verbose : {"auto", 0, 1, 2}
            "auto" prints nothing, since predictions are fast and frequent; 1 and 2 print a line as Keras
            does.
        steps : int, optional
            Batches to look at, the first ones.
        callbacks : list of Callback, optional
        """
        plain = batch_size is None and steps is None and callbacks is None and type(x) is np.ndarray
        if plain and (verbose == "auto" or verbose == 0):
            rows = self._features(x, "x")
            return self._ready(rows.shape[1]).net.predict(rows)
        size = None if batch_size is None else whole(batch_size, "batch_size", 1, BATCH_SIZE)
        level = 0 if verbose == "auto" else progress.level(verbose)
        count = checked_steps(steps, "steps")
        judge: Any
        if are_batches(x):
            batches, _ = preparing.batches(self, None, x, "x", count)
            judge = judging.OfBatches(self, batches, callbacks, level)
        else:
            part = Data(self._features(x, "x"), data.NOTHING, None)
            judge = judging.OfArrays(self, part, size, count, callbacks, level)
        return judge.predict()

    def predict_on_batch(self, x: Any) -> np.ndarray:
        """Return the model's outputs for rows ``x``."""
        rows = self._features(x, "x")
        return self._ready(rows.shape[1]).net.predict(rows)

    def predictor(self, batch_size: int = 1, precision: str | None = None) -> Predictor:
        """Return a snapshot that gives this model's outputs fast, whatever becomes of the model.

        Parameters
        ----------
        batch_size : int
            Rows that a call usually has; a call may have fewer or more.
        precision : {None, "bfloat16"}
            "bfloat16" keeps the kernels of a float32 model in 16 bits: for models whose weights outgrow the
            caches, in about half the time. None gives the same bits as `predict`.

        Returns
        -------
        Predictor
            ``predictor(x, out=None)``; may be called from many threads at once.
        """
        if not self._stack:
            raise ValueError(f"Model {self.name!r} has no layers; add some first.")
        columns = self._columns()
        if columns is None:
            raise ValueError(
                f"Model {self.name!r} does not know its number of columns yet: give it "
                "Input(shape=(columns,)), build() it, or fit it first."
            )
        return Predictor(self._ready(columns).net, batch_size, precision)

    def __call__(self, x: Any, training: bool | None = None, mask: None = None) -> np.ndarray:
        """Return the model's outputs for rows ``x``, as `predict` does; ``training=True``: as `forward`."""
        if isinstance(x, KerasTensor):
            raise NotImplementedError("Functional graphs of layers are not supported: use Sequential([...]).")
        return self.forward(x) if training else self.predict_on_batch(x)

    def call(self, x: Any, training: bool | None = None, mask: None = None) -> np.ndarray:
        """Return the model's outputs, as calling it does."""
        return self(x, training)

    def find_learning_rate(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        lowest: float = 1e-6,
        highest: float = 1.0,
        steps: int = 100,
        batch_size: int = 32,
    ) -> RangeTest:
        """Find a learning rate by a range test: steps at rising rates, on a copy of the model.

        The model, its weights and its optimizer stay as they are. See `RangeTest` for the method.

        Parameters
        ----------
        x, y, sample_weight
            As for `fit`, arrays.
        lowest, highest : float
            The first and the last rate.
        steps : int
            At least 10.
        batch_size : int
            Rows of a step.

        Returns
        -------
        RangeTest
            With ``rates``, ``losses``, ``suggestion`` and ``plot()``.
        """
        native = self._native("find_learning_rate", y)
        self._require_idle("find_learning_rate")
        part = self._data(native, x, y, sample_weight)
        part.require_finite()
        return find_learning_rate(self, part, lowest, highest, steps, batch_size)

    # Data and network ---------------------------------------------------------------------------------------

    def _features(self, x: Any, argument: str, columns: int | None = None) -> np.ndarray:
        if not self._stack:
            raise ValueError(f"Model {self.name!r} has no layers; add some first.")
        if self.column_names is not None and type(x) is not np.ndarray:
            names = column_names(x)
            if names is not None:
                require_names(self.column_names, names, argument)
        if self._input is not None:
            columns = self._columns()
            if len(self._input.batch_shape) > 2:
                x = data.flattened(x, argument, self._input.batch_shape[1:])
        return data.rows(x, argument, _DTYPES[self._stack[0].dtype], columns, self._stack[0])

    def _data(
        self, native: Native, x: Any, y: Any, sample_weight: Any, prefix: str = "", columns: int | None = None
    ) -> Data:
        """Return checked arrays for training or evaluation."""
        rows = self._features(x, f"{prefix}x", columns)
        if y is None:
            raise ValueError(f"{prefix}y is missing: training and evaluation need x and y.")
        last = self._stack[-1]
        y = data.targets(
            y,
            f"{prefix}y",
            rows.dtype,
            self._units(),
            native.kind,
            native.loss,
            last,
            native.targets,
            native.resolved.ignored,
        )
        if native.loss in ("hinge", "squared_hinge"):
            data.require_sides(y, f"{prefix}y", native.loss)
        if len(y) != len(rows):
            data.same_rows(rows, y, f"{prefix}x", f"{prefix}y")
        if sample_weight is not None:
            sample_weight = data.weights(sample_weight, f"{prefix}sample_weight", rows.dtype, len(rows))
        return Data(rows, y, sample_weight)

    def _units(self) -> int:
        """Return the number of outputs, whether the model is built or not."""
        if not self._stack:
            raise ValueError(f"Model {self.name!r} has no layers; add some first.")
        units = self._shape_above()[-1]
        assert units is not None
        return units

    def _last(self) -> str:
        return f"layer {self._stack[-1].name!r}"

    def _ready(self, columns: int, train: bool = False) -> Engine:
        """Return the network, built for ``columns`` and up to date; ``train``: compiled too."""
        engine = self._engine
        if self._constants and any(layer.version != version for layer, version in self._constants):
            self._engine = engine = None
        if engine is None:
            engine = self._make(columns)
        if engine.stale:
            engine.sync()
        if train:
            with self._making:
                engine.compile(self._compiled)
                engine.ask(self.asked())
        return engine

    def _make(self, columns: int) -> Engine:
        with self._making:
            if self._engine is None:
                if not self.built:
                    self.build((None, columns))
                plan = [operation for layer in self._stack for operation in layer.operations()]
                if all(isinstance(operation[0], str) for operation in plan):
                    raise NotImplementedError(
                        f"Model {self.name!r} has no Dense layer; models without any are not supported."
                    )
                self._engine = Engine(columns, plan, self.weights, self.dtype)
                self._constants = tuple(
                    (layer, layer.version) for layer in self._stack if hasattr(layer, "version")
                )
            return self._engine

    @contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        if not self._training.acquire(blocking=False):
            raise RuntimeError(
                f"Model {self.name!r} is being trained by another call; {what} has to wait for its end."
            )
        try:
            yield
        finally:
            self._training.release()

    def _require_idle(self, what: str) -> None:
        if self._training.locked():
            raise RuntimeError(f"Model {self.name!r} is being trained; {what} has to wait for its end.")

    def _changed(self) -> None:
        self._engine = None
        if self._compiled is not None:
            self._compiled.native = None

    def to_json(self, **kwargs: Any) -> str:
        """Return the architecture and the arguments of `compile` as JSON, which `model_from_json` reads.

        Parameters
        ----------
        **kwargs
            Passed on to ``json.dumps``.
        """
        return cloning.to_json(self, **kwargs)

    # Files --------------------------------------------------------------------------------------------------

    def save(self, filepath: Any, overwrite: bool = True, zipped: Any = None, **kwargs: Any) -> None:
        """Write all of the model to a file, from which `models.load_model` makes it again.

        Layers, weights, the arguments of `compile`, the optimizer's state, counters, the history of the last
        `fit`, ``column_names`` and ``metadata``: the loaded model predicts and trains on with the same bits.
        At every moment, whatever fails, either the old or the new file is there.

        Parameters
        ----------
        filepath : str or path-like
            ``"model.safetensors"``; any other ending does too.
        overwrite : bool
            False: a file that is there is an error.
        zipped
            Accepted for Keras's sake.

        Raises
        ------
        FileExistsError, OSError
            Where the file is there, or cannot be written; the old one is then as it was.
        ValueError
            Where a setting cannot be written as JSON.
        """
        files.save_model(self, filepath, overwrite, zipped, **kwargs)

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the weights alone, for `load_weights`; arguments and errors as for `save`."""
        files.save_weights(self, filepath, overwrite)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
        """Replace the weights by those of a file of `save_weights` or `save`, or none of them.

        Parameters
        ----------
        filepath : str or path-like
        skip_mismatch : bool
            False: the file's weights are this model's, in order and shape. True: those whose layer has the
            same name and shape are taken, and a warning names the others.

        Raises
        ------
        FormatError
            For a file that is damaged, cut off, hostile or of another kind.
        ValueError
            Where number or shapes of the weights differ, or this model is not built.
        RuntimeError
            While the model is being trained.
        """
        if kwargs:
            raise TypeError(f"load_weights takes no argument {', '.join(map(repr, kwargs))}.")
        files.load_weights(self, filepath, skip_mismatch)

    def export(
        self,
        filepath: Any,
        format: str | None = None,
        verbose: Any = None,
        input_signature: None = None,
        **kwargs: Any,
    ) -> None:
        """Write what `predict` computes to a file that needs no fastnn; see docs/export.md.

        Parameters
        ----------
        filepath : str or path-like
            ``"model.onnx"``: an ONNX graph (needs the package onnx). ``"model.c"``: one C99 file without
            dependencies, and its header, ``"model.h"``, beside it.
        format : {None, "onnx", "c"}
            By default as the file's name ends.
        verbose, input_signature
            Accepted for Keras's sake.

        Raises
        ------
        ValueError
            For a model that is not built, an activation of one's own in Python, or another format.
        ImportError
            Without the package that writes the format.
        OSError
            Where the file cannot be written; the old one is then as it was.
        """
        if kwargs:
            raise TypeError(f"export takes no argument {', '.join(map(repr, kwargs))}.")
        export(self, filepath, format)

    # Summary and copies -------------------------------------------------------------------------------------

    def summary(
        self,
        line_length: int | None = None,
        positions: None = None,
        print_fn: Any = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Any = None,
    ) -> None:
        """Print a table of the layers, their output shapes and numbers of parameters.

        Parameters
        ----------
        line_length : int, optional
        print_fn : callable, optional
            Called with each line, instead of ``print``.
        show_trainable : bool
        layer_range : (str, str), optional
            Names, or regular expressions, of the first and the last layer to show.
        positions, expand_nested
            Accepted for Keras's sake.
        """
        lines = summary(self, line_length, show_trainable, layer_range)
        if print_fn is None:
            progress.write("\n".join([*lines, ""]))
            return
        for line in lines:
            print_fn(line)

    def optimizer_size(self) -> tuple[int, int] | None:
        """Return how many numbers the optimizer keeps, and their bytes; None before training."""
        engine = self._engine
        if engine is None or self._compiled is None or engine.compiled is not self._compiled:
            return None
        count = len(self._compiled.optimizer.slots_used()) * sum(v.size for v in self.trainable_weights)
        itemsize = engine.dtype.itemsize
        return count + 2, (count + 1) * itemsize + 4  # and the rate, and the number of steps

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        for key in ("_engine", "_making", "_training"):
            del state[key]
        state["_kept"] = resuming.kept(self)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        weights, progress = state.pop("_kept")
        self.__dict__.update(state)
        self._engine = None
        self._lock_up()
        self.set_weights(weights)
        if progress is not None:
            resuming.resume(self, progress)


cloning.register(Sequential)

_DTYPES = {name: np.dtype(name) for name in ("float32", "float64")}


def _share(value: Any) -> float:
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"validation_split must be a number, got {value!r} of type {type(value).__name__}.")
    if not 0 <= value < 1:
        raise ValueError(f"validation_split must be at least 0 and below 1, got {value!r}.")
    return float(value)


def _result(native: Native, values: dict[str, Any], return_dict: bool) -> Any:
    if return_dict:
        return dict(sorted(values.items()))
    # a metric whose result is a dict brings keys of its own
    order = [key for key in native.keys if key in values]
    order += sorted(values.keys() - set(order))
    return [values[key] for key in order] if len(order) > 1 else values["loss"]
