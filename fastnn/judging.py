"""``evaluate`` and ``predict``: on arrays at once, or by batches where callbacks or the data ask for it."""

import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnn import progress
from fastnn.batches import Batches
from fastnn.callbacks import CallbackList, check_callbacks
from fastnn.errors import warn
from fastnn.hooks import PREDICT_HOOKS
from fastnn.training_loop import Data, Settings, batch_rows, evaluate, evaluate_batches


def require_alone(y: Any, sample_weight: Any, validation_split: Any = 0.0, class_weight: Any = None) -> None:
    """Raise where something was given beside batches that can only be a part of them."""
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise ValueError(
                f"x brings batches, so {name} must not be given beside it; let each batch be (x, y) or "
                "(x, y, sample_weight)."
            )
    if validation_split:
        raise ValueError(
            "validation_split is a share of the rows of arrays, but x brings batches; pass validation_data."
        )
    if isinstance(class_weight, str):
        raise ValueError(
            "class_weight='balanced' has to see all targets first, but x brings batches; pass a dict of "
            "class numbers and weights."
        )


def first_of(batches: Iterator[Any], argument: str) -> Any:
    """Return the first of some batches, or raise that there is none."""
    first = next(batches, None)
    if first is None:
        raise ValueError(f"{argument} yields no batches.")
    return first


def require_enough(batches: Batches, chosen: Settings) -> None:
    """Raise where batches that can be run through once are to serve for several validations."""
    wanted = sum(chosen.validates(epoch) for epoch in range(chosen.first, min(chosen.last, chosen.first + 2)))
    if batches.once and batches.steps is None and wanted > 1:
        raise ValueError(
            "validation_data is a generator, which can be run through once, but is needed after several "
            "epochs; pass arrays or a utils.PyDataset, or validation_steps."
        )


class _Judge:
    """One call of ``evaluate`` or ``predict``."""

    def __init__(self, model: Any, callbacks: Any, level: int):
        self.model = model
        self.level = level
        self.began = time.perf_counter()
        self.callbacks = None if callbacks is None else CallbackList(check_callbacks(callbacks), model=model)

    def _told(self, steps: int | None) -> None:
        if self.callbacks is not None:
            self.callbacks.set_params({"verbose": self.level, "epochs": 1, "steps": steps})

    def _shown(self, steps: int, logs: dict[str, float]) -> None:
        if self.level:
            bar = progress.Progress(self.level, 1, steps)
            bar.end(0, time.perf_counter() - self.began, dict(sorted(logs.items())))

    def _batch_by_batch(self, pieces: Any) -> list[np.ndarray]:
        """Return the outputs of ``pieces`` of rows, calling the hooks."""
        model, calls = self.model, self.callbacks
        if calls is not None and not calls.overridden(*PREDICT_HOOKS):
            calls = None
        model.stop_predicting = False
        outputs = []
        if calls is not None:
            calls.on_predict_begin({})
        for batch, rows in enumerate(pieces):
            if calls is not None:
                calls.on_predict_batch_begin(batch, {})
            outputs.append(model._ready(rows.shape[1]).net.predict(rows))
            if calls is not None:
                calls.on_predict_batch_end(batch, {"outputs": outputs[-1]})
            if model.stop_predicting:
                break
        if calls is not None:
            calls.on_predict_end({})
        return outputs


class OfArrays(_Judge):
    """On arrays.

    Parameters
    ----------
    model : Sequential
    part : Data
        For ``predict``, of x alone.
    batch_size, steps : int or None
    callbacks : list of Callback, or None
    level : int
        Of progress, 0 to 2.
    """

    def __init__(
        self, model: Any, part: Data, batch_size: int | None, steps: int | None, callbacks: Any, level: int
    ):
        super().__init__(model, callbacks, level)
        rows = len(part.x)
        self.size = batch_rows(batch_size, steps, rows)
        if steps is not None:
            have = -(-rows // self.size)
            if steps > have:
                warn(
                    f"Your input ran out of data: steps={steps}, but {rows} rows give {have} batches of "
                    f"{self.size}.",
                    UserWarning,
                )
            part = part.slice(0, steps * self.size)
        self.part = part
        self.steps = -(-len(part.x) // self.size)
        self._told(self.steps)

    def evaluate(self) -> dict[str, float]:
        """Return loss and metrics by name."""
        part = self.part
        engine = self.model._ready(part.x.shape[1], True)
        found = evaluate(engine, part, self.size, self.callbacks, self.model)
        if not math.isfinite(found["loss"]):
            part.require_finite()
        self._shown(self.steps, found)
        return found

    def predict(self) -> np.ndarray:
        """Return the outputs."""
        x = self.part.x
        if self.callbacks is not None and self.callbacks.overridden(*PREDICT_HOOKS):
            pieces = (x[start : start + self.size] for start in range(0, len(x), self.size))
            out = np.concatenate(self._batch_by_batch(pieces))
        else:
            out = self.model._ready(x.shape[1]).net.predict(x)
        self._shown(self.steps, {})
        return out


class OfBatches(_Judge):
    """On an iterable of batches.

    Parameters
    ----------
    model : Sequential
    batches : Batches
        Whose items are `Data`.
    callbacks : list of Callback, or None
    level : int
    """

    def __init__(self, model: Any, batches: Batches, callbacks: Any, level: int):
        super().__init__(model, callbacks, level)
        self.batches = batches
        self.steps = 0
        self._told(batches.epoch_length)

    def _counted(self) -> Iterator[Data]:
        for part in self.batches.epoch():
            self.steps += 1
            yield part

    def evaluate(self) -> dict[str, float]:
        """Return loss and metrics by name."""
        pieces = self._counted()
        first = first_of(pieces, self.batches.argument)
        engine = self.model._ready(first.x.shape[1], True)
        found = evaluate_batches(engine, first, pieces, self.callbacks, self.model)
        self._shown(self.steps, found)
        return found

    def predict(self) -> np.ndarray:
        """Return the outputs of all batches, one after the other."""
        pieces = self._counted()
        first = first_of(pieces, self.batches.argument)
        out = self._batch_by_batch(_chained(first.x, (part.x for part in pieces)))
        self._shown(self.steps, {})
        return np.concatenate(out)


def _chained(first: np.ndarray, others: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from others
