"""From an estimator's ``loss`` to what its network is trained for."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn.kernels.network import Network
from fastnn.losses.checking import ROWS, check_gradient
from fastnn.losses.resolving import Resolved, Together, resolve


class Objective(NamedTuple):
    """A loss, and what scikit-learn's sums over the outputs make of it.

    ``factors``: what the gradient, and the loss where it is reported, are multiplied by.
    """

    resolved: Resolved
    specification: Any
    factors: tuple[float, float] = (1.0, 1.0)

    def compile(
        self,
        net: Network,
        solver: str,
        hyper: dict[str, float],
        weighted: bool,
        metrics: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        """Compile a network for it; what is further given goes to ``Network.compile``."""
        reduction = "mean_with_sample_weight" if weighted else "mean"
        net.compile(
            self.specification,
            False,
            solver,
            hyper,
            list(metrics),
            reduction="sum" if self.resolved.reduction == "sum" else reduction,
            own=self.resolved.native_own(net.outputs),
            together=self.resolved.together,
            factors=self.factors,
            shared_penalties=True,
            **settings,
        )

    def targets(self, y: np.ndarray, dtype: Any) -> np.ndarray:
        """Return targets as the loss takes them, from (rows, outputs); of several classes, one-hot."""
        if self.resolved.targets == "class":
            y = y.argmax(axis=1).reshape(-1, 1)
        return np.require(y, dtype, ["C", "A"])

    def look(self, net: Network, x: np.ndarray, y: np.ndarray) -> None:
        """Look at the gradient of a loss of the user's own, once in the life of the loss."""
        loss = self.resolved.own
        if loss is None or getattr(loss, "_gradient_checked", False):
            return
        check_gradient(self.resolved.native_own(net.outputs), loss.name, y[:ROWS], net.predict(x[:ROWS]))
        loss._gradient_checked = True

    def apart(self, y: np.ndarray, p: np.ndarray, sample_weight: np.ndarray | None) -> float:
        """Return the loss of rows, where `Network.evaluate` does not know it; 0 elsewhere."""
        found = self.resolved
        if not found.apart:
            return 0.0
        loss = found.own or Together(found.declaration.function, found.arguments, found.reduction)
        if found.targets == "class":
            y = y[:, 0].astype(np.int64)
        rows = np.asarray(loss.call(y, p), np.float64)
        if rows.ndim == 0:
            return float(rows)
        if sample_weight is not None:
            rows = rows * sample_weight
        if found.reduction == "sum":
            return float(rows.sum())
        total = len(rows) if sample_weight is None else float(sample_weight.sum(dtype=np.float64))
        return float(rows.sum()) / total if total else 0.0


def of_classifier(loss: Any, out_activation: str, outputs: int, gamma: float) -> Objective:
    """Return the objective of a classifier.

    Parameters
    ----------
    loss : str, Loss or function
    out_activation : {"softmax", "logistic"}
    outputs : int
    gamma : float
        Of "focal".
    """
    several = out_activation == "softmax"
    summed = (1.0, 1.0) if several else (float(outputs), float(outputs))  # over the labels
    if isinstance(loss, str) and loss == "log_loss":
        name = "sparse_categorical_crossentropy" if several else "binary_crossentropy"
        return Objective(Resolved(name), name, summed)
    if isinstance(loss, str) and loss == "focal":
        name = "categorical_focal_crossentropy" if several else "binary_focal_crossentropy"
        options = {"gamma": float(gamma), **({"alpha": 1.0} if several else {})}
        found = Resolved(name, options=options)
        return Objective(found, found.specification(outputs), summed)
    found = _resolved(loss, outputs)
    if found.targets == "class" and not several:
        raise ValueError(
            f"loss {found.name!r} takes class numbers and an output for each class, but y has two classes or "
            f"several labels, for which there are {outputs} logistic outputs; binary losses take those, as "
            "losses.BinaryCrossentropy()."
        )
    return Objective(found, found.specification(outputs))


def of_regressor(loss: Any, outputs: int, dtype: Any, quantile: float) -> Objective:
    """Return the objective of a regressor.

    Parameters
    ----------
    loss : str, Loss or function
    outputs : int
    dtype : dtype
    quantile : float
        Of "quantile".
    """
    if isinstance(loss, str) and loss == "squared_error":
        # scikit-learn's gradient is that of the sum over the outputs, its loss the mean
        return Objective(Resolved("mean_squared_error"), "mean_squared_error", (outputs / 2, 0.5))
    if isinstance(loss, str) and loss == "poisson":
        tiny = float(np.finfo(dtype).tiny)
        return Objective(Resolved("poisson"), ("poisson", (tiny,)), (float(outputs), float(outputs)))
    if isinstance(loss, str):
        name = {"absolute_error": "mean_absolute_error"}.get(loss, loss)
        found = Resolved(name, options={"quantiles": float(quantile)} if loss == "quantile" else {})
    else:
        found = _resolved(loss, outputs)
    return Objective(found, found.specification(outputs))


def _resolved(loss: Any, outputs: int) -> Resolved:
    found = resolve(loss)
    assert found is not None
    if found.from_logits:
        raise ValueError(
            f"loss {found.name!r}: from_logits=True, but the outputs here are probabilities; make it with "
            "from_logits=False."
        )
    if found.targets != "class" and found.columns(outputs) != outputs:
        raise ValueError(
            f"loss {found.name!r} takes {found.columns(outputs)} targets for {outputs} outputs; an estimator "
            "has as many outputs as y has columns. For several quantiles, fit an estimator for each."
        )
    return found


def has_exponential_outputs(loss: Any) -> bool:
    """Whether a regressor's outputs must be positive."""
    if isinstance(loss, str):
        return loss == "poisson"
    found = resolve(loss)
    return found is not None and found.name == "poisson" and found.own is None
