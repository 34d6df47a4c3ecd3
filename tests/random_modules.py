"""Random networks of PyTorch's modules, for `from_torch`; see random_networks.py."""

import numpy as np
import torch
from random_networks import COLUMNS, UNITS, Deck
from torch import nn

ACTIVATIONS = [
    nn.CELU,
    lambda: nn.CELU(0.4),
    nn.ELU,
    lambda: nn.ELU(0.7),
    nn.GELU,
    lambda: nn.GELU("tanh"),
    nn.Hardshrink,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,
    lambda: nn.Hardtanh(0.0, 2.0),
    nn.LeakyReLU,
    nn.LogSigmoid,
    lambda: nn.LogSoftmax(1),
    nn.Mish,
    nn.PReLU,
    nn.ReLU,
    nn.ReLU6,
    nn.SELU,
    nn.SiLU,
    nn.Sigmoid,
    lambda: nn.Softmax(-1),
    nn.Softplus,
    nn.Softshrink,
    nn.Softsign,
    nn.Tanh,
    nn.Tanhshrink,
    lambda: nn.Threshold(0.2, -0.3),
]
# of so many columns
BEHIND = [
    nn.BatchNorm1d,
    lambda n: nn.BatchNorm1d(n, eps=1e-3, momentum=0.2, affine=False),
    nn.LayerNorm,
    lambda n: nn.LayerNorm(n, elementwise_affine=False),
    lambda n: nn.LayerNorm(n, eps=1e-3, bias=False),
    nn.RMSNorm,
    lambda n: nn.RMSNorm(n, eps=1e-3, elementwise_affine=False),
    lambda n: nn.PReLU(n),
    lambda n: nn.Dropout(0.3),
    lambda n: nn.AlphaDropout(0.2),
    lambda n: nn.Identity(),
    lambda n: nn.Softmax(-1),
    lambda n: nn.Tanh(),
]


def modules(count: int, seed: int) -> list[nn.Sequential]:
    """Return so many networks, of one to five Linear modules each, with random weights and statistics."""
    rng = np.random.default_rng(seed)
    activations, behind = Deck(ACTIVATIONS, rng), Deck(BEHIND, rng)
    found = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for i in range(count):
            network: list[nn.Module] = [nn.Flatten()] if i % 7 == 0 else []
            columns = COLUMNS
            for _ in range(int(rng.integers(1, 6))):
                units = int(rng.choice(UNITS))
                block = [nn.Linear(columns, units, bias=bool(rng.random() < 0.7)), activations.deal()()]
                if rng.random() < 0.5:
                    block.append(behind.deal()(units))
                network += [nn.Sequential(*block)] if rng.random() < 0.3 else block
                columns = units
            found.append(nn.Sequential(*network))
            set_weights(found[-1])
    return found


def set_weights(module: nn.Module) -> None:
    """Give normalizations and biases random numbers, which are ones and zeros at first."""
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.BatchNorm1d):
                part.running_mean.normal_(0, 0.2)
                part.running_var.uniform_(0.5, 1.5)
            if isinstance(part, nn.BatchNorm1d | nn.LayerNorm | nn.RMSNorm) and part.weight is not None:
                part.weight.uniform_(0.5, 1.5)
            if getattr(part, "bias", None) is not None:
                part.bias.normal_(0, 0.2)
            if isinstance(part, nn.PReLU):
                part.weight.uniform_(-0.3, 0.5)
