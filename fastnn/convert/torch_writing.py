"""From layers to the modules of an ``nn.Sequential``; imported where PyTorch is used alone."""

from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fastnn.convert import torch_pieces as pieces
from fastnn.convert.common import Names, blaming, describe, rest
from fastnn.convert.torch_activations import as_torchs
from fastnn.layers import LAYERS, BatchNormalization, Dense, Layer, PReLU, RMSNormalization
from fastnn.variables import Variable


def modules(layers: list[Layer], trained: bool, dtype: torch.dtype) -> "OrderedDict[str, nn.Module]":
    """Return the modules of these layers by their names.

    Parameters
    ----------
    layers : list of Layer
        Built.
    trained : bool
        Whether all around them is trained.
    dtype : torch.dtype

    Raises
    ------
    ValueError
        For a layer that PyTorch cannot have; it names the layer.
    """
    names = Names(dir(nn.Sequential()))
    found: OrderedDict[str, nn.Module] = OrderedDict()
    for layer in layers:
        name = layer.name.replace(".", "_")
        with blaming(f"{describe(layer)} cannot be taken"):
            if LAYERS.entries.get(type(layer).__name__) is not type(layer):
                raise ValueError(f"it is of {type(layer).__module__}, not one of fastnn's layers.")
            inside = trained and layer.trainable
            if isinstance(layer, Dense):
                found[names.unique(name)] = _linear(layer, inside, dtype)
                if layer.activation.name != "linear":
                    found[names.unique(f"{name}_activation")] = as_torchs(layer.activation)
            else:
                found[names.unique(name)] = _module(layer, inside, dtype)
    return found


def _module(layer: Any, trained: bool, dtype: torch.dtype) -> nn.Module:
    """Return the module of a layer that is no Dense."""
    kind = type(layer).__name__
    if kind == "Residual":
        return pieces.Residual(modules(layer.layers, trained, dtype))
    if kind in ("BatchNormalization", "LayerNormalization", "RMSNormalization", "PReLU"):
        return _vectors(layer, trained)
    if kind in ("Rescaling", "Normalization"):
        pair = layer.constants(layer.columns(layer.input_shape))
        return pieces.Affine(*(torch.tensor(v.reshape(layer.input_shape[1:]), dtype=dtype) for v in pair))
    if kind in ("Dropout", "AlphaDropout"):
        return getattr(nn, kind)(layer.rate)
    if kind == "GaussianDropout":
        return pieces.GaussianDropout(layer.rate)
    if kind == "GaussianNoise":
        return pieces.GaussianNoise(layer.stddev)
    if kind == "Flatten":
        return nn.Flatten()
    if kind == "ActivityRegularization":
        return nn.Identity()
    if kind == "Softmax":
        return nn.Softmax(-1)
    return as_torchs(layer.activation if kind == "Activation" else layer.as_activation())


def _tensor(variable: Variable) -> Tensor:
    """Return a copy; of a kernel, (units, inputs)."""
    return torch.tensor(np.ascontiguousarray(variable.value.T))


def _parameter(variable: Variable | None, trained: bool) -> nn.Parameter | None:
    if variable is None:
        return None
    return nn.Parameter(_tensor(variable), requires_grad=trained and variable.trainable)


def _linear(layer: Dense, trained: bool, dtype: torch.dtype) -> nn.Module:
    inputs, units = layer.kernel.shape
    # without first weights, for which the caller's random numbers would be drawn
    made: Any = nn.utils.skip_init(nn.Linear, inputs, units, layer.use_bias, dtype=dtype)
    made.weight, made.bias = _parameter(layer.kernel, trained), _parameter(layer.bias, trained)
    return made


def _vectors(layer: Any, trained: bool) -> nn.Module:
    """Return the module of a layer whose weights are vectors, one number a column."""
    columns = layer.columns(layer.input_shape)
    made: Any
    if isinstance(layer, PReLU):
        made = nn.PReLU(columns)
        made.weight = _parameter(layer.alpha, trained)
        return made
    if isinstance(layer, RMSNormalization):
        made = nn.RMSNorm(columns, layer.epsilon)
        made.weight = _parameter(layer.scale, trained)
        return made
    if isinstance(layer, BatchNormalization):
        made = nn.BatchNorm1d(columns, layer.epsilon, rest(layer.momentum))
        assert layer.moving_mean is not None
        assert layer.moving_variance is not None
        made.running_mean, made.running_var = _tensor(layer.moving_mean), _tensor(layer.moving_variance)
    else:
        made = nn.LayerNorm(columns, layer.epsilon)
    made.weight, made.bias = _parameter(layer.gamma, trained), _parameter(layer.beta, trained)
    return made
