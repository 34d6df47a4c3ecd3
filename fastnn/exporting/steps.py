"""A model as the steps that a prediction takes: what every format that it is exported to is written from."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastnn.variables import values


class Multiply(NamedTuple):
    """``x @ kernel + bias``: kernel (inputs, units), bias (units,) or None."""

    kernel: np.ndarray
    bias: np.ndarray | None


class Activate(NamedTuple):
    """An activation of ``fastnn.activations.FORMS``, by its compiled name, with its parameters."""

    name: str
    parameters: tuple[float, ...]


class Standardize(NamedTuple):
    """``(x - mean) * factor + offset``, all (columns,): batch normalization after training."""

    mean: np.ndarray
    factor: np.ndarray
    offset: np.ndarray


class Scale(NamedTuple):
    """``x * factor + offset``, both (columns,)."""

    factor: np.ndarray
    offset: np.ndarray


class NormalizeRows(NamedTuple):
    """``(x - mean) / sqrt(variance + epsilon) * gamma + beta`` over the columns of each row.

    Without ``centered`` the mean is taken for 0: RMS normalization. gamma and beta are (columns,) or None.
    """

    epsilon: float
    centered: bool
    gamma: np.ndarray | None
    beta: np.ndarray | None


class Slope(NamedTuple):
    """``max(x, 0) + alpha * min(x, 0)``, alpha (columns,): PReLU."""

    alpha: np.ndarray


class Split(NamedTuple):
    """Remember x, for the `Add` that closes it; they nest."""


class Add(NamedTuple):
    """Add what the last open `Split` remembered."""


Step = Multiply | Activate | Standardize | Scale | NormalizeRows | Slope | Split | Add

# What acts in training alone.
_TRAINING = ("drop", "noise", "scale", "penalty")


class Program(NamedTuple):
    """The steps of a model.

    Attributes
    ----------
    steps : list of Step
        Their arrays are float64 copies, or the model's own; cast them to ``dtype`` where they are written.
    inputs, outputs : int
        Columns of a row, before and after.
    dtype : numpy.dtype
        float32 or float64.
    name : str
        The model's.
    input_names : list of str or None
        Of the data frame that it was trained on.
    """

    steps: list[Any]
    inputs: int
    outputs: int
    dtype: np.dtype
    name: str
    input_names: list[str] | None


def program(model: Any) -> Program:
    """Return the steps of a built model.

    Raises
    ------
    ValueError
        For a model without layers or not built yet, or an activation of one's own in Python.
    """
    if not model.layers or not model.built:
        raise ValueError(
            f"Model {model.name!r} has no weights yet: give it Input(shape=(columns,)), build() it, or fit "
            "it first."
        )
    weights = values(model.weights)
    inputs = int(np.prod(model.input_shape[1:]))
    found: list[Any] = []
    for layer in model.layers:
        for operation in layer.operations():
            found += _steps(operation, weights, layer.name)
    assert not weights
    return Program(
        found, inputs, int(model.output_shape[-1]), np.dtype(model.dtype), model.name, model.column_names
    )


def _steps(operation: tuple, weights: list[np.ndarray], owner: str) -> list[Any]:
    """Return the steps of one operation of a plan, taking its weights from the front of the list."""

    def take(wanted: Any) -> np.ndarray | None:
        return weights.pop(0) if wanted else None

    kind = operation[0]
    if not isinstance(kind, str):
        _, activation, use_bias = operation
        return [Multiply(weights.pop(0), take(use_bias)), *_activation(activation)]
    if kind == "activation":
        return _activation(operation[1])
    if kind == "batch_norm":
        (epsilon, _), (scale, center) = operation[1:]
        gamma, beta = take(scale), take(center)
        mean, variance = (weights.pop(0).astype(np.float64) for _ in range(2))
        factor = 1 / np.sqrt(variance + epsilon)
        factor = factor if gamma is None else factor * gamma
        return [Standardize(mean, factor, np.zeros_like(mean) if beta is None else beta)]
    if kind == "layer_norm":
        (epsilon, centered), (scale, center) = operation[1:]
        return [NormalizeRows(epsilon, bool(centered), take(scale), take(center))]
    if kind == "affine":
        return [Scale(*operation[1:])]
    if kind == "prelu":
        return [Slope(weights.pop(0))]
    if kind in ("split", "add"):
        return [Split() if kind == "split" else Add()]
    if kind == "own":
        raise ValueError(
            f"Layer {owner!r} has an activation of your own, a function in Python: it cannot be written to a "
            "file. Use one of fastnn.activations."
        )
    assert kind in _TRAINING, kind
    return []


def _activation(specification: Any) -> list[Any]:
    name, parameters = (specification, ()) if isinstance(specification, str) else specification
    return [] if name == "linear" else [Activate(name, tuple(float(p) for p in parameters))]
