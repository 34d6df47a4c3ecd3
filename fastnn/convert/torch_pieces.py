"""Modules of PyTorch for what fastnn has and PyTorch has not; imported where PyTorch is used alone.

`to_torch` puts them into the networks that it returns, and `from_torch` knows them. They are pickled by this
module's name: whoever loads a network with one of them needs fastnn, unless only its ``state_dict`` is kept.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def _relu_general(x: Tensor, slope: float, low: float, high: float, threshold: float) -> Tensor:
    return torch.where(x > threshold, x.clamp(low, high), slope * (x - threshold))


def _squareplus(x: Tensor, b: float) -> Tensor:
    larger = (x.abs() + torch.sqrt(x * x + b)) / 2
    return torch.where(x < 0, b / 4 / larger, larger)  # without cancellation below 0


def _sparse_plus(x: Tensor) -> Tensor:
    return torch.maximum(((x + 1).clamp(0, 2) / 2) ** 2, x)


def _sparse_sigmoid(x: Tensor) -> Tensor:
    return (x + 1).clamp(0, 2) / 2


def _sparsemax(x: Tensor) -> Tensor:
    down = x.sort(dim=-1, descending=True).values
    sums = down.cumsum(-1) - 1
    counts = torch.arange(1, x.shape[-1] + 1, dtype=x.dtype, device=x.device)
    size = (counts * down > sums).sum(-1, keepdim=True).clamp(min=1)  # 0 in a row with NaN
    return (x - sums.gather(-1, size - 1) / size).clamp(min=0)


# by the names of fastnn.activations.FORMS
FORMULAS: dict[str, Callable[..., Tensor]] = {
    "exponential": torch.exp,
    "relu_general": _relu_general,
    "sparse_plus": _sparse_plus,
    "sparse_sigmoid": _sparse_sigmoid,
    "sparsemax": _sparsemax,
    "squareplus": _squareplus,
}


class Formula(nn.Module):
    """An activation of `FORMULAS`, with its parameters.

    Parameters
    ----------
    name : str
    *parameters : float
    """

    def __init__(self, name: str, *parameters: float):
        super().__init__()
        self.name, self.parameters_ = name, parameters

    def forward(self, x: Tensor) -> Tensor:
        return FORMULAS[self.name](x, *self.parameters_)

    def extra_repr(self) -> str:
        return ", ".join([self.name, *(f"{p:g}" for p in self.parameters_)])


class Affine(nn.Module):
    """``x * factor + offset``, constants: Rescaling and Normalization.

    Parameters
    ----------
    factor, offset : Tensor, (columns,)
    """

    factor: Tensor
    offset: Tensor

    def __init__(self, factor: Tensor, offset: Tensor):
        super().__init__()
        self.register_buffer("factor", factor)
        self.register_buffer("offset", offset)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor + self.offset


class Residual(nn.Sequential):
    """``x + f(x)``, where f are the modules in it, one after the other."""

    def forward(self, input: Tensor) -> Tensor:
        return input + super().forward(input)


class GaussianNoise(nn.Module):
    """In training, normal numbers of mean 0 are added.

    Parameters
    ----------
    stddev : float
    """

    def __init__(self, stddev: float):
        super().__init__()
        self.stddev = stddev

    def forward(self, x: Tensor) -> Tensor:
        return x + self.stddev * torch.randn_like(x) if self.training else x

    def extra_repr(self) -> str:
        return f"stddev={self.stddev:g}"


class GaussianDropout(nn.Module):
    """In training, each element is multiplied by a normal number of mean 1.

    Parameters
    ----------
    rate : float
        The numbers' standard deviation is ``sqrt(rate / (1 - rate))``.
    """

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return x * (1 + (self.rate / (1 - self.rate)) ** 0.5 * torch.randn_like(x))

    def extra_repr(self) -> str:
        return f"rate={self.rate:g}"
