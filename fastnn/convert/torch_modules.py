"""``from_torch`` and ``to_torch``: an ``nn.Sequential`` as a model, and a model as an ``nn.Sequential``.

Modules and layers correspond one to one, but for activations, which PyTorch has by themselves, and for what
stands in `torch_pieces`. Kernels are (inputs, units) here and (units, inputs) there.
"""

import math
from typing import Any

from fastnn.convert.common import blaming, require, require_built
from fastnn.layers import InputLayer
from fastnn.models import Sequential


def from_torch(
    module: Any, input_dim: int | None = None, input_shape: tuple[int, ...] | None = None
) -> Sequential:
    """Return a model with the layers and weights of a PyTorch ``nn.Sequential``.

    It computes what the module does in eval mode; it is not compiled.

    Parameters
    ----------
    module : torch.nn.Sequential
        Those in it are taken apart. docs/convert.md lists the modules; a single one of them is taken, too.
    input_dim : int, optional
        Columns of a row, by default those of the first Linear or normalization.
    input_shape : tuple of int, optional
        Of a row, instead: for an ``nn.Flatten`` before the first Linear.

    Returns
    -------
    Sequential
        Of float32 or float64, as the module's parameters are; which shares nothing with the module.

    Raises
    ------
    ValueError
        For a module that cannot be taken: it gives its path, as in ``"2.1: Conv2d"``, and the reason.
    TypeError
        For something else than a module.
    ImportError
        Where PyTorch is not installed.

    Examples
    --------
    >>> model = fastnn.convert.from_torch(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)))
    """
    torch = require("torch", "torch", "from_torch")
    from fastnn.convert.torch_reading import Reader, dtype_of, flat, shape_of_rows

    if not isinstance(module, torch.nn.Module):
        raise TypeError(
            f"from_torch takes a torch.nn.Sequential, got {type(module).__module__}."
            f"{type(module).__qualname__}."
        )
    with blaming("from_torch"):
        places = flat(module)
        shape = shape_of_rows(places, input_dim, input_shape)
        reader = Reader(dtype_of(places), math.prod(shape))
        layers = reader.layers(places)
        if not layers:
            raise ValueError("the module holds no layers.")
        made = Sequential([InputLayer(shape, dtype=reader.dtype), *layers])
        reader.copy_weights()
    return made


def to_torch(model: Any) -> Any:
    """Return an ``nn.Sequential`` with the layers and weights of a model, in eval mode.

    Parameters
    ----------
    model : Sequential
        Built. docs/convert.md lists the layers.

    Returns
    -------
    torch.nn.Sequential
        Its modules have the layers' names; ``requires_grad`` is set where the weights are trained.

    Raises
    ------
    ValueError
        For a model that is not built, or a layer with an activation of one's own: it names the layer.
    TypeError
        For something else than a fastnn model.
    ImportError
        Where PyTorch is not installed.
    """
    torch = require("torch", "torch", "to_torch")
    from fastnn.convert.torch_writing import modules

    require_built(model, "to_torch")
    with blaming("to_torch"):
        found = modules(model.layers, model.trainable, getattr(torch, model.dtype))
    return torch.nn.Sequential(found).eval()
