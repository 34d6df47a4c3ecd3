"""Activations of PyTorch as ours, and ours as PyTorch's: one line each.

Imported where PyTorch is used alone.
"""

import math
from collections.abc import Callable
from typing import Any

from torch import nn

from fastnn import activations
from fastnn.activations import Activation
from fastnn.convert.common import refuse_own
from fastnn.convert.torch_pieces import Formula


def _unless(wrong: bool, found: Activation, reason: str) -> Activation:
    if wrong:
        raise ValueError(reason)
    return found


def _rowwise(function: Activation) -> Callable[[Any], Activation]:
    # dim=None is 1 for rows
    return lambda m: _unless(
        m.dim not in (None, 1, -1), function, f"dim={m.dim}; fastnn works along the columns, dim=-1."
    )


def _hardtanh(m: Any) -> Activation:
    if m.min_val == 0 and m.max_val >= 0:
        return activations.relu.with_arguments(max_value=m.max_val)
    return _unless(
        (m.min_val, m.max_val) != (-1, 1),
        activations.hard_tanh,
        f"limits {m.min_val} and {m.max_val}; fastnn has -1 and 1, or 0 and any other.",
    )


def _softplus(m: Any) -> Activation:
    # above a threshold of 20 x itself is softplus to 1e-10
    return _unless(
        m.beta != 1 or m.threshold < 20,
        activations.softplus,
        f"beta={m.beta} and threshold={m.threshold}; fastnn's softplus has beta=1 and no threshold (20 or "
        "more counts as none).",
    )


def _formula(m: Any) -> Activation:
    if m.name == "squareplus":
        return activations.squareplus.with_arguments(b=m.parameters_[0])
    if m.name == "relu_general":
        slope, _, high, threshold = m.parameters_
        high = None if high == math.inf else high
        return activations.relu.with_arguments(negative_slope=slope, max_value=high, threshold=threshold)
    return activations.get(m.name)


OURS: dict[type[nn.Module], Callable[[Any], Activation]] = {
    nn.CELU: lambda m: activations.celu.with_arguments(alpha=m.alpha),
    nn.ELU: lambda m: activations.elu.with_arguments(alpha=m.alpha),
    nn.GELU: lambda m: activations.gelu.with_arguments(approximate=m.approximate == "tanh"),
    nn.Hardshrink: lambda m: activations.hard_shrink.with_arguments(threshold=m.lambd),
    nn.Hardsigmoid: lambda m: activations.hard_sigmoid,
    nn.Hardswish: lambda m: activations.hard_silu,
    nn.Hardtanh: _hardtanh,
    nn.LeakyReLU: lambda m: activations.leaky_relu.with_arguments(negative_slope=m.negative_slope),
    nn.LogSigmoid: lambda m: activations.log_sigmoid,
    nn.LogSoftmax: _rowwise(activations.log_softmax),
    nn.Mish: lambda m: activations.mish,
    nn.ReLU: lambda m: activations.relu,
    nn.ReLU6: lambda m: activations.relu6,
    nn.SELU: lambda m: activations.selu,
    nn.SiLU: lambda m: activations.silu,
    nn.Sigmoid: lambda m: activations.sigmoid,
    nn.Softmax: _rowwise(activations.softmax),
    nn.Softplus: _softplus,
    nn.Softshrink: lambda m: activations.soft_shrink.with_arguments(threshold=m.lambd),
    nn.Softsign: lambda m: activations.softsign,
    nn.Tanh: lambda m: activations.tanh,
    nn.Tanhshrink: lambda m: activations.tanh_shrink,
    nn.Threshold: lambda m: activations.threshold.with_arguments(
        threshold=m.threshold, default_value=m.value
    ),
    Formula: _formula,
}

# by the names of fastnn.activations.FORMS; what is not here is a Formula
THEIRS: dict[str, Callable[..., nn.Module]] = {
    "celu": nn.CELU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU("tanh"),
    "hard_shrink": nn.Hardshrink,
    "hard_sigmoid": nn.Hardsigmoid,
    "hard_silu": nn.Hardswish,
    "hard_tanh": nn.Hardtanh,
    "leaky_relu": nn.LeakyReLU,
    "linear": nn.Identity,
    "log_sigmoid": nn.LogSigmoid,
    "log_softmax": lambda: nn.LogSoftmax(-1),
    "mish": nn.Mish,
    "relu": nn.ReLU,
    "relu_max": lambda high: (
        nn.ReLU6()
        if high == 6
        else nn.Hardtanh(0, high)
        if high > 0  # it wants limits that differ
        else Formula("relu_general", 0.0, 0.0, high, 0.0)
    ),
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "soft_shrink": nn.Softshrink,
    "softmax": lambda: nn.Softmax(-1),
    "softplus": nn.Softplus,
    "softsign": nn.Softsign,
    "tanh": nn.Tanh,
    "tanh_shrink": nn.Tanhshrink,
    "threshold": nn.Threshold,
}


def as_torchs(given: Activation) -> nn.Module:
    """Return the module that computes an activation.

    Raises
    ------
    ValueError
        For one of the user's own.
    """
    refuse_own(given, "PyTorch")
    return THEIRS.get(given.name, lambda *p: Formula(given.name, *p))(*given.parameters)
