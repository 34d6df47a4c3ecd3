"""Layers to be, read out of a graph one operator after the other, and how they are put together."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastnn import activations, layers
from fastnn.activations import FUNCTIONS, Activation
from fastnn.names import automatic

Number = float | np.ndarray  # one for all columns, or one for each


class Piece(NamedTuple):
    """A layer's class, its arguments, its weights, and the name of the node that it comes from."""

    kind: Any
    options: dict[str, Any]
    weights: list[np.ndarray]
    name: str = ""


def activation(name: str, *parameters: float) -> Piece:
    """Return an activation by its compiled name and parameters."""
    return Piece(layers.Activation, {"activation": _activation(name, parameters)}, [])


def _activation(name: str, parameters: tuple[float, ...]) -> Activation:
    if name == "relu_max":
        (high,) = parameters
        return activations.relu6 if high == 6 else activations.relu.with_arguments(max_value=high)
    if name == "relu_general":
        slope, _, high, threshold = parameters
        return activations.relu.with_arguments(
            negative_slope=slope, max_value=None if math.isinf(high) else high, threshold=threshold
        )
    if name == "gelu_tanh":
        return activations.gelu.with_arguments(approximate=True)
    function = FUNCTIONS[name]
    if not parameters:
        return function
    names = [n for n in inspect.signature(function).parameters if n != "x"]
    found = function.with_arguments(**dict(zip(names, parameters, strict=True)))
    return found if found.given() else function


def rescaling(scale: Number, offset: Number = 0.0) -> Piece:
    """Return ``x * scale + offset``."""
    return Piece(layers.Rescaling, {"scale": scale, "offset": offset}, [])


def dense(kernel: np.ndarray, bias: np.ndarray | None) -> Piece:
    """Return a linear layer."""
    options = {"units": kernel.shape[1], "use_bias": bias is not None}
    return Piece(layers.Dense, options, [kernel] if bias is None else [kernel, bias])


def clip(low: float, high: float) -> list[Piece]:
    """Return ``min(max(x, low), high)``; bounds may be infinite."""
    if (low, high) == (-1, 1):
        return [activation("hard_tanh")]
    if low == -math.inf and high == math.inf:
        return []
    if low == -math.inf:
        return [rescaling(-1.0, high), activation("relu"), rescaling(-1.0, high)]
    bounded = activation("relu") if high == math.inf else activation("relu_max", high - low)
    return [bounded] if low == 0 else [rescaling(1.0, -low), bounded, rescaling(1.0, low)]


def tidied(pieces: list[Piece]) -> list[Piece]:
    """Return fewer pieces that compute the same: biases and activations go into their dense layers."""
    found: list[Piece] = []
    for piece in pieces:
        found.append(piece)
        while True:
            for count, rule in RULES:
                joined = rule(*found[-count:]) if len(found) >= count else None
                if joined is not None:
                    found[-count:] = [joined._replace(name=found[-count].name or found[-1].name)]
                    break
            else:
                break
    return found


def _affine(piece: Piece) -> tuple[Number, Number] | None:
    return (piece.options["scale"], piece.options["offset"]) if piece.kind is layers.Rescaling else None


def _all(value: Number, number: float) -> bool:
    return bool(np.all(np.equal(value, number)))


def _moved_in_two(first: Piece, second: Piece, third: Piece) -> Piece | None:
    """What is moved by a number in two parts, then scaled: as `exporting` writes one Rescaling."""
    one, two, three = _affine(first), _affine(second), _affine(third)
    if one is None or two is None or three is None or not (_all(one[0], 1) and _all(two[0], 1)):
        return None
    if not (np.abs(two[1]) <= 1e-6 * np.abs(one[1])).all():
        return None
    return rescaling(three[0], np.multiply(three[0], np.add(one[1], two[1])) + three[1])


def _scaled_and_moved(first: Piece, second: Piece) -> Piece | None:
    one, two = _affine(first), _affine(second)
    if one is None or two is None or not _all(one[1], 0) or not _all(two[0], 1):
        return None
    return rescaling(one[0], two[1])


def _bias(first: Piece, second: Piece) -> Piece | None:
    two = _affine(second)
    if first.kind is not layers.Dense or "activation" in first.options or two is None or not _all(two[0], 1):
        return None
    kernel, *before = first.weights
    bias = np.broadcast_to(np.add(two[1], before[0].astype(np.float64) if before else 0.0), kernel.shape[1:])
    return dense(kernel, bias.astype(kernel.dtype))


def _activated(first: Piece, second: Piece) -> Piece | None:
    if first.kind is not layers.Dense or "activation" in first.options:
        return None
    if second.kind is not layers.Activation:
        return None
    return first._replace(options={**first.options, **second.options})


def _scaled_rows(first: Piece, second: Piece) -> Piece | None:
    """The gamma, then the beta, of a normalisation of rows that were nodes of their own."""
    two = _affine(second)
    if two is None or first.kind not in (layers.LayerNormalization, layers.RMSNormalization):
        return None
    scale, offset = two
    rms = first.kind is layers.RMSNormalization
    if isinstance(scale, np.ndarray) and _all(offset, 0):
        if rms and _all(first.weights[0], 1):
            return first._replace(weights=[scale])
        if not rms and not first.weights:
            return first._replace(options={**first.options, "scale": True}, weights=[scale])
    if isinstance(offset, np.ndarray) and _all(scale, 1) and not rms and not first.options["center"]:
        options = {**first.options, "center": True}
        return first._replace(options=options, weights=[*first.weights, offset])
    return None


# how many pieces each looks at
RULES: tuple[tuple[int, Callable[..., Piece | None]], ...] = (
    (3, _moved_in_two),
    (2, _scaled_rows),
    (2, _scaled_and_moved),
    (2, _bias),
    (2, _activated),
)


def stack(pieces: list[Piece], dtype: np.dtype) -> list[layers.Layer]:
    """Return the layers, named after their nodes where those have names that layers can have."""
    wanted = _names(pieces)
    return _stack(pieces, dtype, wanted, set())


def _names(pieces: list[Piece]) -> set[str]:
    inner = [p.options["layers"] for p in pieces if p.kind is layers.Residual]
    return {p.name for p in pieces}.union(*map(_names, inner))


def _stack(pieces: list[Piece], dtype: np.dtype, wanted: set[str], taken: set[str]) -> list[layers.Layer]:
    found = []
    for kind, options, _, name in pieces:
        if not name or "/" in name or name in taken:
            name = automatic(kind.__name__)
            while name in wanted:
                name = automatic(kind.__name__)
        taken.add(name)
        if kind is layers.Residual:
            options = {**options, "layers": _stack(options["layers"], dtype, wanted, taken)}
        found.append(kind(**options, name=name, dtype=dtype.name))
    return found


def weights(pieces: list[Piece]) -> list[np.ndarray]:
    """Return the weights of all layers, in their order."""
    found: list[np.ndarray] = []
    for piece in pieces:
        found += weights(piece.options["layers"]) if piece.kind is layers.Residual else piece.weights
    return found
