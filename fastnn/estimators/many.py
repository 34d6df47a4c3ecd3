"""Many estimators fitted at once: what search and ensembles train with."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils._param_validation import validate_parameter_constraints

from fastnn.estimators.base import BaseMLP
from fastnn.estimators.fitting import SLICE, Fitting
from fastnn.kernels import many
from fastnn.kernels.threads import get_num_threads
from fastnn.many import AT_ONCE

__all__ = ["fit_many"]


def fit_many(
    estimators: Sequence[BaseMLP],
    X: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    rows: Any = None,
    num_threads: int | None = None,
    on_error: str = "raise",
) -> list[Exception | None]:
    """Fit estimators at once, in native calls that spread them over all cores.

    Each ends as its own `fit` would, to the bit. "lbfgs", which is SciPy's, is fitted one after the other.

    Parameters
    ----------
    estimators : list of MLPClassifier or MLPRegressor
        Which may differ in everything.
    X, y, sample_weight : array-like, or lists of arrays
        As `fit` takes them, for all; or lists with as many arrays (frames, sparse matrices) as there are
        estimators.
    rows : list of array of int, optional
        For each estimator the rows of its data to train on; None as an item takes all.
    num_threads : int, optional
        By default as many as this process may use.
    on_error : {"raise", "return"}
        Raise the first error, after all others have been trained, or return the errors.

    Returns
    -------
    list
        For each estimator None, or what its `fit` raised.

    Raises
    ------
    ValueError
        For arguments that do not go together.
    KeyboardInterrupt
        All estimators have what they had learned up to then.
    """
    if on_error not in ("raise", "return"):
        raise ValueError(f"on_error={on_error!r}: must be 'raise' or 'return'.")
    if not isinstance(estimators, Iterable):
        raise TypeError(f"fit_many takes a list of estimators, got {estimators!r}.")
    estimators = list(estimators)
    count = len(estimators)
    for i, estimator in enumerate(estimators):
        if not isinstance(estimator, BaseMLP):
            raise TypeError(f"estimators[{i}] is {estimator!r}, not an MLPClassifier or MLPRegressor.")
    if len({id(estimator) for estimator in estimators}) < count:
        raise ValueError("The same estimator is in the list more than once; sklearn.base.clone makes others.")
    arrays = [
        _one_each(given, count, name, least)
        for given, name, least in ((X, "X", 2), (y, "y", 1), (sample_weight, "sample_weight", 1))
    ]
    if rows is not None and len(rows) != count:
        raise ValueError(f"rows has {len(rows)} items for {count} estimators.")
    run = _Run(num_threads or 0)
    for i, estimator in enumerate(estimators):
        part = [array[i] for array in arrays]
        run.begin(i, estimator, part, None if rows is None else rows[i])
    run.train()
    errors = [run.errors.get(i) for i in range(count)]
    if on_error == "raise":
        for error in errors:
            if error is not None:
                raise error
    return errors


# What `_validate_input` leaves in an estimator.
_LEARNED = ("n_features_in_", "feature_names_in_", "classes_", "_label_binarizer")


def _learned(estimator: BaseMLP) -> dict[str, Any]:
    return {name: vars(estimator)[name] for name in _LEARNED if name in vars(estimator)}


def threads_of(n_jobs: int | None) -> int | None:
    """Return the number of threads that joblib's ``n_jobs`` asks for; None leaves it to fastnn."""
    if n_jobs is None or n_jobs == -1:
        return None
    if n_jobs == 0:
        raise ValueError("n_jobs must be None, -1, or a number of threads, got 0.")
    return n_jobs if n_jobs > 0 else max(1, get_num_threads() + 1 + n_jobs)


class _Run:
    """Fits under way, by their numbers."""

    def __init__(self, threads: int):
        self.threads = threads
        self.fittings: dict[int, Fitting] = {}
        self.estimators: dict[int, BaseMLP] = {}
        self.errors: dict[int, Exception] = {}
        self._checked: set[Any] = set()
        self._seeded = np.random.RandomState(0)
        self._taken: dict[Any, Any] = {}
        self._validated: dict[Any, Any] = {}

    def begin(self, i: int, estimator: BaseMLP, part: list[Any], rows: Any) -> None:
        """Get ready to train one estimator; what is wrong with it is its error."""

        def act() -> None:
            self._check(estimator)
            X, y, sample_weight = [self._rows(array, rows) for array in part]
            key = (type(estimator), id(X), id(y))

            def validate(*given: Any, reset: bool) -> Any:
                return self._validate(key, estimator, given, reset)

            generator = self._generator(estimator.random_state)
            fitting = estimator._begin(X, y, sample_weight, validate=validate, generator=generator)
            if fitting is None:
                estimator._require_finite()
            else:
                self.fittings[i] = fitting

        self.estimators[i] = estimator
        self._guarded(i, act)

    def _check(self, estimator: BaseMLP) -> None:
        # each argument is checked by itself, and a value that was right once is so again
        cls, new = type(estimator), {}
        for name in cls._get_param_names():
            value = getattr(estimator, name)
            try:
                if (cls, name, type(value), value) in self._checked:
                    continue
            except TypeError:  # not hashable
                pass
            new[name] = value
        if not new:
            return
        validate_parameter_constraints(estimator._parameter_constraints, new, caller_name=cls.__name__)
        for name, value in new.items():
            with contextlib.suppress(TypeError):
                self._checked.add((cls, name, type(value), value))

    def _generator(self, random_state: Any) -> Any:
        # for a seed, one that all use in turn: to make one takes longer than all that is drawn from it
        if not isinstance(random_state, Integral):
            return None
        self._seeded.seed(int(random_state))
        return self._seeded

    def _rows(self, array: Any, rows: Any) -> Any:
        # what several estimators use is selected once
        if array is None or rows is None:
            return array
        key = id(array), id(rows)
        if key not in self._taken:
            index = np.asarray(rows)
            if issparse(array):
                found = array.tocsr()[index]
            elif hasattr(array, "iloc"):
                found = array.iloc[index]
            elif hasattr(array, "columns") or hasattr(array, "to_numpy"):
                found = array[index]
            else:
                found = np.asarray(array)[index]
            self._taken[key] = found, array, rows  # whose identities must stay theirs
        return self._taken[key][0]

    def _validate(self, key: Any, estimator: BaseMLP, given: Any, reset: bool) -> Any:
        # estimators that begin anew learn the same from the same data, which are validated once
        if not reset:
            return estimator._validate_input(*given, reset=reset)
        if key not in self._validated:
            found = estimator._validate_input(*given, reset=reset)
            self._validated[key] = found, _learned(estimator), given
        found, learned, _ = self._validated[key]
        for name in _LEARNED:
            estimator.__dict__.pop(name, None)
        estimator.__dict__.update(learned)
        return found

    def train(self) -> None:
        """Train to the end."""
        try:
            for i, fitting in self.fittings.items():
                if fitting.alone:
                    self._guarded(i, fitting.train)
            others = {i: f for i, f in self.fittings.items() if not f.alone}
            for by_epoch in (False, True):
                self._together([i for i, f in others.items() if f.by_epoch == by_epoch], by_epoch)
        finally:
            for i, fitting in self.fittings.items():
                fitting.end()
                self._guarded(i, self.estimators[i]._require_finite)

    def _together(self, active: list[int], by_epoch: bool) -> None:
        while active:
            fittings = [self.fittings[i] for i in active[:AT_ONCE]]
            found = many.run_many([f.training for f in fittings], SLICE, self.threads, by_epoch)
            for at, error in found:
                self._guarded(active[at], fittings[at].look, error)
            active = [i for i in active if not (self.fittings[i].done or i in self.errors)]

    def _guarded(self, i: int, act: Callable[..., Any], *arguments: Any) -> None:
        """Do something for an estimator; what it raises is its error."""
        try:
            act(*arguments)
        except Exception as error:
            self.errors.setdefault(i, error)


def _one_each(given: Any, count: int, name: str, least: int) -> list[Any]:
    """Return a list with an array for each estimator."""
    each = isinstance(given, list | tuple) and len(given) == count
    if each and all(len(getattr(item, "shape", ())) >= least for item in given):  # polars has no ndim
        return list(given)
    return [given] * count
