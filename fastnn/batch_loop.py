"""``fit`` on batches that Python brings, one after the other: generators, `PyDataset` and other iterables."""

import itertools
import math
import time
from collections.abc import Iterator
from typing import Any

from fastnn.batches import Batches
from fastnn.engine import Engine
from fastnn.hooks import Callback
from fastnn.kernels.training import Training
from fastnn.training_loop import SLICE, Data, Fit, Settings


class BatchFit(Fit):
    """One call of ``fit`` on batches.

    Parameters
    ----------
    batches : Batches
        Whose items are `Data`.
    rest : iterator
        Those of the first epoch after the first.
    model, engine, train, validation, settings, callbacks
        As for `Fit`; ``train`` is the first batch.
    """

    by_batches = True

    def __init__(
        self,
        batches: Batches,
        rest: Iterator[Data],
        model: Any,
        engine: Engine,
        train: Data,
        validation: Any,
        settings: Settings,
        callbacks: list[Callback],
    ):
        self.batches = batches
        self._ahead: Iterator[Data] | None = itertools.chain([train], rest)
        super().__init__(model, engine, train, validation, settings, callbacks)

    def _count_steps(self):
        return self.batches.epoch_length

    def _start(self, epoch):
        self.engine.begin()
        self.training = Training(
            self.engine.net,
            self.train.x,
            self.train.y,
            batch_size=len(self.train.x),
            shuffle=False,
            seed=self.model.seed,
            epochs=self.settings.last - epoch,
            sample_weight=self.train.sample_weight,
            initial_epoch=epoch,
            stream=True,
            keep_outputs=bool(self.own),
        )
        self.engine.owner = self
        self.first = epoch
        self._fed = True  # the first batch came with the training

    def _where(self):
        return f"batch {self._step}: "

    def _more(self):
        if self._ahead is not None:
            return True
        following = self.batches.epoch()
        first = next(following, None)
        if first is None:
            self.batches.warn()
            return False
        self._ahead = itertools.chain([first], following)
        return True

    def _one_epoch(self, epoch, began):
        return self._steps(epoch, began)

    def _steps(self, epoch, began):
        callbacks, model, training, bar, drawn = self.callbacks, self.model, self.training, self.bar, began
        logs: dict[str, float] = {}
        assert self._ahead is not None
        pieces, self._ahead, done = self._ahead, None, 0
        self.own.reset()
        for step, part in enumerate(pieces):
            if self.by_step:
                callbacks.on_train_batch_begin(step, {})
            self.train, self._step = part, step
            if not self._fed:
                training.feed(*part)
            self._fed = False
            self._call(1, math.inf)
            self._show()
            done = step + 1
            if self.by_step:
                logs = self._invalid() if self.diverged else self._partial()
                callbacks.on_train_batch_end(step, dict(logs))
            now = time.perf_counter()
            if bar is not None and now - drawn > SLICE:
                bar.begin(epoch)
                if self.steps is not None:
                    bar.step(done, now - began, self._partial())
                drawn = now
            if model.stop_training or self.diverged:
                break
        if bar is not None:
            bar.steps = done if self.steps is None else self.steps
        if self.diverged:
            return self._invalid()
        try:
            training.end_epoch()
        except FloatingPointError as error:
            self._diverge(error)
        self.engine.published()
        return self._named(training.logs[-1])
