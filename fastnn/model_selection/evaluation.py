"""Candidates on folds: trained many at once, then scored."""

import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib.logger import short_format_time
from sklearn.base import clone, is_classifier
from sklearn.model_selection._validation import _fit_and_score
from sklearn.utils.parallel import Parallel, delayed

from fastnn.estimators.many import fit_many, threads_of
from fastnn.kernels.threads import get_num_threads
from fastnn.model_selection.candidates import Candidate
from fastnn.model_selection.folds import Fold, Folds
from fastnn.model_selection.scoring import Scoring

BATCH_BYTES = 1 << 28  # that fits of one native call may take, about
WEIGHT_BYTES = 64  # of a weight in training: itself, packed, the best so far, the optimizer's moments
WIDTH = 80  # of a line about a fit


@dataclass(frozen=True)
class Task:
    """A candidate to be trained on a split; ``head`` numbers its preprocessing."""

    candidate: Candidate
    split: int
    head: int


class Evaluation:
    """Trains and scores candidates.

    Parameters
    ----------
    search : BaseSearchCV
    folds : Folds
    scoring : Scoring
    """

    def __init__(self, search: Any, folds: Folds, scoring: Scoring):
        self.folds, self.scoring = folds, scoring
        self.train_scores = search.return_train_score
        self.error_score, self.verbose = search.error_score, search.verbose
        self.threads = threads_of(search.n_jobs)
        self.parallel = {"n_jobs": search.n_jobs, "pre_dispatch": search.pre_dispatch}
        self.count = 0  # of candidates
        self._made: dict[tuple[int, int], Fold] = {}

    def __call__(self, candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
        """Return results for each candidate, for each of its folds, as scikit-learn's searches keep them."""
        self.count = len(candidates)
        heads: dict[Any, int] = {}
        tasks = [
            Task(candidate, split, heads.setdefault(candidate.head_key, len(heads)))
            for candidate in candidates
            for split in range(len(self.folds))
        ]
        results: dict[Task, dict[str, Any]] = {}
        for batch in self._batches([task for task in tasks if task.candidate.network is not None]):
            needed = {(task.head, task.split) for task in batch}
            self._made = {key: fold for key, fold in self._made.items() if key in needed}
            results.update(zip(batch, self._run(batch), strict=True))
        self._made = {}
        others = [task for task in tasks if task.candidate.network is None]
        if others:
            results.update(zip(others, self._run_others(others), strict=True))
        return [results[task] for task in tasks]

    def _batches(self, tasks: list[Task]) -> Iterator[list[Task]]:
        """Part the tasks so that what a native call needs stays within `BATCH_BYTES`."""
        X, y = self.folds.X, self.folds.y
        inputs = X.shape[1] if len(X.shape) > 1 else 1
        outputs = y.shape[1] if len(y.shape) > 1 else 1
        if outputs == 1 and tasks and is_classifier(tasks[0].candidate.network):
            with suppress(TypeError):  # of classes without an order
                outputs = len(np.unique(np.asarray(y)))
        rows = 8 * X.shape[0] * inputs
        if len({(task.head, task.split) for task in tasks}) * rows > BATCH_BYTES:
            tasks = sorted(tasks, key=lambda task: (task.split, task.head))  # few folds at a time
        batch: list[Task] = []
        used: set[tuple[int, int]] = set()
        size = 0
        for task in tasks:
            key = task.head, task.split
            more = WEIGHT_BYTES * task.candidate.weights(inputs, outputs) + (0 if key in used else rows)
            if size + more > BATCH_BYTES and len(batch) >= get_num_threads():
                yield batch
                batch, used, size = [], set(), 0
            batch.append(task)
            used.add(key)
            size += more
        if batch:
            yield batch

    def _run(self, batch: list[Task]) -> Iterator[dict[str, Any]]:
        """Train a batch in one call, and give the results of its tasks."""
        for task in batch if self.verbose > 9 else ():
            start = f"[CV{self._progress(task)}] START {self._named(task)}"
            print(start + "." * (WIDTH - len(start)))
        folds = [self._fold(task) for task in batch]
        networks = [task.candidate.fresh() for task in batch]
        errors: list[Exception | None] = [fold.error for fold in folds]
        good = [i for i, error in enumerate(errors) if error is None]
        began = time.perf_counter()
        found = self._fit([networks[i] for i in good], [folds[i] for i in good])
        seconds = (time.perf_counter() - began) / max(1, len(good))
        for i, error in zip(good, found, strict=True):
            errors[i] = error
        sharing = Counter(map(id, folds))
        for task, fold, network, error in zip(batch, folds, networks, errors, strict=True):
            if error is not None and self.error_score == "raise":
                raise error
            spent = (seconds if fold.error is None else 0.0) + fold.seconds / sharing[id(fold)]
            result = self._result(task, fold, network, error, spent)
            if self.verbose > 1:
                print(self._line(task, result))
            yield result

    def _fold(self, task: Task) -> Fold:
        key = task.head, task.split
        if key not in self._made:
            self._made[key] = self.folds.make(task.candidate, task.split)
        return self._made[key]

    def _fit(self, networks: list[Any], folds: list[Fold]) -> list[Exception | None]:
        if not networks:
            return []
        weights = [fold.sample_weight for fold in folds]
        return fit_many(
            networks,
            [fold.train.for_network() for fold in folds],
            [fold.train.y for fold in folds],
            sample_weight=None if weights[0] is None else weights,
            num_threads=self.threads,
            on_error="return",
        )

    def _result(self, task: Task, fold: Fold, network: Any, error: Any, seconds: float) -> dict[str, Any]:
        result: dict[str, Any] = {"fit_error": None, "fit_time": seconds, "score_time": 0.0}
        result["n_test_samples"] = len(fold.test)
        if error is not None:
            result["fit_error"] = "".join(traceback.format_exception(error))
            result["test_scores"] = self.scoring.failed()
            if self.train_scores:
                result["train_scores"] = self.scoring.failed()
            return result
        began = time.perf_counter()
        result["test_scores"] = self.scoring(task.candidate, network, fold, fold.test)
        result["score_time"] = time.perf_counter() - began
        if self.train_scores:
            result["train_scores"] = self.scoring(task.candidate, network, fold, fold.train)
        return result

    def _run_others(self, tasks: list[Task]) -> list[dict[str, Any]]:
        """Let scikit-learn train candidates that end in something else than a network."""
        return Parallel(**self.parallel)(
            delayed(_fit_and_score)(
                clone(task.candidate.estimator),
                self.folds.X,
                self.folds.y,
                scorer=self.scoring.scorers,
                train=self.folds.splits[task.split][0],
                test=self.folds.splits[task.split][1],
                verbose=self.verbose,
                parameters=task.candidate.params,
                fit_params=self.folds.fit_params,
                score_params=self.folds.score_params,
                return_train_score=self.train_scores,
                return_n_test_samples=True,
                return_times=True,
                split_progress=(task.split, len(self.folds)),
                candidate_progress=(task.candidate.index, self.count),
                error_score=self.error_score,
            )
            for task in tasks
        )

    # Lines --------------------------------------------------------------------------------------------------

    def _progress(self, task: Task) -> str:
        told = f" {task.split + 1}/{len(self.folds)}" if self.verbose > 2 else ""
        return told + (f"; {task.candidate.index + 1}/{self.count}" if self.verbose > 9 else "")

    @staticmethod
    def _named(task: Task) -> str:
        return ", ".join(f"{name}={task.candidate.params[name]}" for name in sorted(task.candidate.params))

    def _line(self, task: Task, result: dict[str, Any]) -> str:
        """Return what is said of a fit that has been scored."""
        named = self._named(task)
        told = f"{named};" if named else ""
        test, train = result["test_scores"], result.get("train_scores")
        if self.verbose > 2 and isinstance(test, dict):
            for name in sorted(test):
                before = "" if train is None else f"train={train[name]:.3f}, "
                told += f" {name}: ({before}test={test[name]:.3f})"
        elif self.verbose > 2:
            told += ", score="
            told += f"{test:.3f}" if train is None else f"(train={train:.3f}, test={test:.3f})"
        told += f" total time={short_format_time(result['fit_time'] + result['score_time'])}"
        end = f"[CV{self._progress(task)}] END "
        return end + "." * (WIDTH - len(end) - len(told)) + told
