"""From the modules of an ``nn.Sequential`` to layers; imported where PyTorch is used alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from fastnn import config
from fastnn.convert import torch_pieces as pieces
from fastnn.convert.common import Names, blaming, copy_trainable, rest
from fastnn.convert.torch_activations import OURS
from fastnn.layers import (
    Activation,
    AlphaDropout,
    BatchNormalization,
    Dense,
    Dropout,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    Layer,
    LayerNormalization,
    PReLU,
    Rescaling,
    Residual,
    RMSNormalization,
)
from fastnn.layers.layer import standard_shape


class Place(NamedTuple):
    """A module, its path, and of a Residual what is inside."""

    path: str
    module: Any
    inside: list[Place]

    def __str__(self) -> str:
        kind = type(self.module).__name__
        return f"{self.path}: {kind}" if self.path else kind


def flat(module: Any, path: str = "") -> list[Place]:
    """Return the modules in order, sequences taken apart; ``path`` is the module's.

    Raises
    ------
    ValueError
        For a module with hooks, parametrizations or a ``forward`` of its own.
    """
    place = Place(path, module, [])
    _require_plain(place)
    if not isinstance(module, nn.Sequential):
        if type(module) not in OURS and type(module) not in _KINDS:
            raise ValueError(
                f"{place}: fastnn has no layer for it; docs/convert.md lists the modules that from_torch "
                "takes (a class that is derived from one of them may compute anything, and is not taken)."
            )
        return [place]
    if type(module).forward not in (nn.Sequential.forward, pieces.Residual.forward):
        raise ValueError(f"{place} has a forward() of its own, which nobody can read; take an nn.Sequential.")
    below = f"{path}." if path else ""
    # named_children() leaves out a module's second place
    found = [one for name, child in module._modules.items() for one in flat(child, below + name)]
    return [place._replace(inside=found)] if isinstance(module, pieces.Residual) else found


def _require_plain(place: Place) -> None:
    """Raise for a module without weights, or whose weights or outputs are changed in each call."""
    module = place.module
    if any(is_lazy(parameter) for parameter in module.parameters(recurse=False)):
        raise ValueError(f"{place} has no weights yet: call the module with a row first.")
    if parametrize.is_parametrized(module):
        kind = type(module).__bases__[0].__name__
        names = ", ".join(module.parametrizations)
        raise ValueError(
            f"{place.path}: {kind} has a parametrization of its {names}: make it permanent first, "
            f"torch.nn.utils.parametrize.remove_parametrizations(module, {names.partition(',')[0]!r})."
        )
    if module._forward_hooks or module._forward_pre_hooks:
        raise ValueError(
            f"{place} has hooks, which may change what it computes (torch.nn.utils.weight_norm and "
            "spectral_norm are such): remove them first."
        )


def _leaves(places: list[Place]) -> list[Place]:
    return [leaf for place in places for leaf in (_leaves(place.inside) if place.inside else [place])]


def dtype_of(places: list[Place]) -> str:
    """Return the dtype of all parameters, or raise which module has another."""
    found, first = "", None
    seen: set[int] = set()
    for place in _leaves(places):
        parameters = list(place.module.parameters())
        for tensor in (*parameters, *place.module.buffers()):
            dtype = str(tensor.dtype).removeprefix("torch.")
            if not tensor.is_floating_point() or dtype == found:
                continue
            if dtype not in config.DTYPES or found:
                other = f", but {first} {found}" if found else ""
                raise ValueError(
                    f"{place} has {dtype} parameters{other}: fastnn's models are float32 or float64 "
                    "throughout. Call module.float() first."
                )
            found, first = dtype, place
        if seen & {id(p) for p in parameters}:
            raise ValueError(f"{place} shares its parameters with a module before it; here, none are shared.")
        seen |= {id(p) for p in parameters}
    return found or config.floatx()


def shape_of_rows(places: list[Place], input_dim: Any, input_shape: Any) -> tuple[int, ...]:
    """Return the shape of a row: as given, or what the first module that knows says."""
    if input_dim is not None and input_shape is not None:
        raise ValueError("give one of input_dim and input_shape.")
    if input_dim is not None:
        input_shape = (input_dim,)
    if input_shape is not None:
        return tuple(standard_shape(input_shape, "input_shape"))  # type: ignore[arg-type]
    for place in _leaves(places):
        module = place.module
        sizes = getattr(module, "in_features", None) or getattr(module, "num_features", None)
        sizes = sizes or getattr(module, "normalized_shape", None)
        if sizes is not None:
            return (math.prod(np.atleast_1d(sizes).tolist()),)
    raise ValueError("no module says how many columns a row has: pass input_dim=.")


class Reader:
    """Makes layers of modules, for rows of so many columns."""

    def __init__(self, dtype: str, columns: int):
        self.dtype, self.columns = dtype, columns
        self._names = Names()
        self._weights: list[tuple[Layer, list[tuple[Any, bool]]]] = []

    def layers(self, places: list[Place]) -> list[Layer]:
        """Return the layers of these modules; an activation goes into the Dense before it."""
        found: list[Layer] = []
        for place in places:
            with blaming(str(place)):
                layer = self._layer(place)
            if layer is None:
                continue
            before = found[-1] if found else None
            if (
                isinstance(layer, Activation)
                and isinstance(before, Dense)
                and before.activation.name == "linear"
            ):
                before.activation = layer.activation
            else:
                found.append(layer)
        return found

    def copy_weights(self) -> None:
        """Copy all weights, and which of them are trained."""
        for layer, parts in self._weights:
            # one alpha for all columns becomes one for each
            shapes = [v.shape for v in layer.weights]
            layer.set_weights([np.broadcast_to(a, s) for (a, _), s in zip(parts, shapes, strict=True)])
            trained = [trained for _, trained in parts]
            if parts and not any(trained) and not isinstance(layer, BatchNormalization):
                layer.trainable = False  # a frozen BatchNormalization would no longer look at batches
            copy_trainable(layer, trained)

    def _layer(self, place: Place) -> Layer | None:
        kind = type(place.module)
        if kind in OURS:
            return Activation(OURS[kind](place.module), **self._own(place))
        return _KINDS[kind](self, place, self._own(place))

    def _own(self, place: Place) -> dict[str, Any]:
        """Return dtype and name: that of the module where somebody gave it one, not a number."""
        last = place.path.rpartition(".")[2]
        if not last or last.isdigit():
            return {"dtype": self.dtype}
        return {"dtype": self.dtype, "name": self._names.unique(last.replace("/", "_"))}

    def _require(self, columns: int) -> None:
        if columns != self.columns:
            raise ValueError(f"it takes {columns} columns, but gets {self.columns}.")

    def _keep(self, layer: Layer, *tensors: Any) -> Layer:
        """Remember a layer's weights, in its order; None are those that it does not have."""
        parts = []
        for tensor in tensors:
            if tensor is not None:
                array = tensor.detach().cpu().numpy()
                parts.append((array.T if array.ndim == 2 else array, bool(tensor.requires_grad)))
        self._weights.append((layer, parts))
        return layer

    # the modules with weights, see _KINDS

    def linear(self, place: Place, own: dict[str, Any]) -> Layer:
        module = place.module
        self._require(module.in_features)
        self.columns = module.out_features
        layer = Dense(module.out_features, use_bias=module.bias is not None, **own)
        return self._keep(layer, module.weight, module.bias)

    def batch_norm(self, place: Place, own: dict[str, Any]) -> Layer:
        module = place.module
        self._require(module.num_features)
        if module.running_mean is None or module.running_var is None:
            raise ValueError("track_running_stats=False: it has no statistics to predict with.")
        if module.momentum is None:
            raise ValueError(
                "momentum=None, a cumulative average, is not supported: set module.momentum = 0.1."
            )
        vectors = module.weight, module.bias, module.running_mean, module.running_var
        layer = BatchNormalization(
            momentum=rest(module.momentum),
            epsilon=module.eps,
            center=module.bias is not None,
            scale=module.weight is not None,
            **own,
        )
        return self._keep(layer, *vectors)

    def layer_norm(self, place: Place, own: dict[str, Any]) -> Layer:
        module = place.module
        self._require_row(module)
        scale, center = module.weight is not None, module.bias is not None
        layer = LayerNormalization(epsilon=module.eps, center=center, scale=scale, **own)
        return self._keep(layer, module.weight, module.bias)

    def rms_norm(self, place: Place, own: dict[str, Any]) -> Layer:
        module = place.module
        self._require_row(module)
        epsilon = torch.finfo(getattr(torch, self.dtype)).eps if module.eps is None else module.eps
        weight = torch.ones(self.columns) if module.weight is None else module.weight
        return self._keep(RMSNormalization(epsilon=epsilon, **own), weight)

    def _require_row(self, module: Any) -> None:
        if len(module.normalized_shape) != 1:
            raise ValueError(f"normalized_shape={tuple(module.normalized_shape)}: only rows are normalized.")
        self._require(module.normalized_shape[0])

    def prelu(self, place: Place, own: dict[str, Any]) -> Layer:
        module = place.module
        if module.num_parameters != 1:
            self._require(module.num_parameters)
        return self._keep(PReLU(**own), module.weight)


def _flatten(reader: Reader, place: Place, own: dict[str, Any]) -> Layer:
    first, last = place.module.start_dim, place.module.end_dim
    if (first, last) != (1, -1):
        raise ValueError(f"start_dim={first} and end_dim={last}, not 1 and -1.")
    return Flatten(**own)


def _rescaling(reader: Reader, place: Place, own: dict[str, Any]) -> Layer:
    pair = (place.module.factor, place.module.offset)
    return Rescaling(*(t.detach().cpu().double().numpy().reshape(-1) for t in pair), **own)


_KINDS: dict[type[nn.Module], Callable[[Reader, Place, dict[str, Any]], Layer | None]] = {
    nn.AlphaDropout: lambda reader, place, own: AlphaDropout(place.module.p, **own),
    nn.BatchNorm1d: Reader.batch_norm,
    nn.Dropout: lambda reader, place, own: Dropout(place.module.p, **own),
    nn.Flatten: _flatten,
    nn.Identity: lambda reader, place, own: None,
    nn.LayerNorm: Reader.layer_norm,
    nn.Linear: Reader.linear,
    nn.PReLU: Reader.prelu,
    nn.RMSNorm: Reader.rms_norm,
    pieces.Affine: _rescaling,
    pieces.GaussianDropout: lambda reader, place, own: GaussianDropout(place.module.rate, **own),
    pieces.GaussianNoise: lambda reader, place, own: GaussianNoise(place.module.stddev, **own),
    pieces.Residual: lambda reader, place, own: Residual(reader.layers(place.inside), **own),
}
