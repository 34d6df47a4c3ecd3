"""The candidates of a search: the networks that they end in, copies of these, and what comes before them."""

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from fastnn.estimators import MLPClassifier, MLPRegressor

FITS = (MLPClassifier.fit, MLPRegressor.fit)
PLAIN = (bool, int, float, str, type(None), np.generic)


def network_of(estimator: Any) -> Any:
    """Return the network that an estimator is, or a pipeline ends in; None where it is another estimator.

    Subclasses with a way of their own to fit are other estimators.
    """
    if type(estimator) is Pipeline:
        estimator = estimator.steps[-1][1] if estimator.steps else None
    return estimator if getattr(type(estimator), "fit", None) in FITS else None


def is_plain(value: Any) -> bool:
    """Whether a value cannot be changed, so that a copy of it may as well be itself."""
    return isinstance(value, PLAIN) or (isinstance(value, tuple) and all(map(is_plain, value)))


class Copier:
    """Makes unfitted copies of an estimator, as ``clone`` does, which takes longer than a small fit.

    Parameters
    ----------
    estimator : estimator
        Never fitted.
    """

    def __init__(self, estimator: Any):
        self.estimator = estimator
        found = vars(estimator)
        # of estimators that also carry requests for metadata, or what else there may be, clone knows
        self._known = set(found) == set(estimator._get_param_names())
        self._fixed = {name: value for name, value in found.items() if is_plain(value)}
        self._rest = {name: value for name, value in found.items() if name not in self._fixed}

    def __call__(self) -> Any:
        """Return one more copy."""
        if not self._known:
            return clone(self.estimator)
        made = object.__new__(type(self.estimator))
        vars(made).update(self._fixed)
        for name, value in self._rest.items():
            setattr(made, name, clone(value, safe=False))
        return made


class Candidate:
    """One setting of the parameters.

    Parameters
    ----------
    index : int
        Its place among the candidates.
    params : dict
    estimator : estimator
        With these parameters, never fitted.

    Attributes
    ----------
    network : estimator or None
        That it is or ends in; None where scikit-learn has to fit it.
    last : str or None
        The name of a pipeline's last step.
    head_key : tuple
        Equal where the steps before the network are the same.
    """

    def __init__(self, index: int, params: dict[str, Any], estimator: Any):
        self.index, self.params, self.estimator = index, params, estimator
        self.network = network_of(estimator)
        self.last: str | None = None
        self.head_key: tuple[Any, ...] = ()
        if self.network is None:
            return
        self.fresh = Copier(self.network)
        if self.network is not estimator:
            self.last = last = estimator.steps[-1][0]
            before = {k: v for k, v in params.items() if k != last and not k.startswith(f"{last}__")}
            self.head_key = tuple(sorted((name, *_token(value)) for name, value in before.items()))

    def weights(self, inputs: int, outputs: int) -> int:
        """Return about how many weights the network will have."""
        try:
            hidden = [int(size) for size in np.atleast_1d(self.network.hidden_layer_sizes)]
        except (TypeError, ValueError):  # `fit` will say what is wrong with them
            return 0
        sizes = [inputs, *hidden, outputs]
        return sum(abs(a * b) for a, b in pairwise(sizes))

    def head(self) -> Any:
        """Return the steps before the network: an unfitted pipeline that passes their rows through."""
        return clone(self.estimator).set_params(**{str(self.last): "passthrough"})

    def assembled(self, head: Any, network: Any) -> Any:
        """Return the fitted pipeline of a fitted `head` and network."""
        made = copy.copy(self.estimator)
        made.steps = [*head.steps[:-1], (self.last, network)]
        return made


def _token(value: Any) -> tuple[str, Any]:
    """Return what is equal for equal values, as far as that can be told."""
    if is_plain(value):
        return type(value).__name__, value
    return "object", id(value)


def candidates_of(base: Any, settings: Sequence[dict[str, Any]]) -> list[Candidate]:
    """Return the candidates of an unfitted estimator, one for each setting of its parameters."""
    fresh = Copier(base) if network_of(base) is base else lambda: clone(base)
    return [
        # parameters may be estimators themselves, which candidates must not share
        Candidate(i, params, fresh().set_params(**clone(params, safe=False)))
        for i, params in enumerate(settings)
    ]
