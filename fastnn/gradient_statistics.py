"""Statistics of gradients: how large they are in each layer, and which units none of them reaches."""

from typing import Any, NamedTuple

from fastnn.kernels.loops import idle_units


class OfWeight(NamedTuple):
    """Of the gradient of one array of weights."""

    path: str
    shape: tuple[int, ...]
    norm: float
    mean: float
    largest: float  # absolute value
    zeros: float  # share of elements that are 0


class OfLayer(NamedTuple):
    """Of one dense layer."""

    path: str
    units: int
    idle: int | None  # units that the gradient of no row reaches; None where the layers up to it are frozen


class GradientStatistics:
    """What ``model.gradient_statistics`` found; prints as a table.

    Attributes
    ----------
    loss : float
    weights : list of OfWeight
        ``path``, ``shape``, ``norm`` (Euclidean), ``mean``, ``largest`` (absolute value) and ``zeros`` (share
        of elements that are 0) of the gradient of each trainable weight, in order.
    layers : list of OfLayer
        ``path``, ``units`` and ``idle`` of each dense layer: how many of its units the gradient of no row
        reaches, as with relu units that are 0 for all rows (dead ones).
    """

    def __init__(self, loss: float, weights: list[OfWeight], layers: list[OfLayer]):
        self.loss = loss
        self.weights = weights
        self.layers = layers

    @property
    def norm(self) -> float:
        """Euclidean norm of all gradients together."""
        return sum(w.norm**2 for w in self.weights) ** 0.5

    def __str__(self) -> str:
        width = max([len(w.path) for w in self.weights] + [len(layer.path) for layer in self.layers] + [8])
        lines = [f"{'gradient':{width}}       norm       mean    largest  zeros"]
        lines += [
            f"{w.path:{width}} {w.norm:10.3g} {w.mean:10.3g} {w.largest:10.3g} {w.zeros:6.1%}"
            for w in self.weights
        ]
        lines += [
            f"{layer.path:{width}} {layer.idle} of {layer.units} units are reached by no gradient"
            for layer in self.layers
            if layer.idle
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<GradientStatistics of {len(self.weights)} weights, norm {self.norm:.3g}>"


def gradient_statistics(engine: Any, part: Any, seed: int, training: bool) -> GradientStatistics:
    """Return those of the network of an engine; see ``Sequential.gradient_statistics``."""
    try:
        loss, gradients, idle = idle_units(engine.net, part.x, part.y, part.sample_weight, training, seed)
    except ValueError:
        part.require_finite()
        raise
    weights = [
        OfWeight(v.path, v.shape, *numbers)
        for v, numbers in zip(engine.trained(), gradients.statistics(), strict=True)
    ]
    kernels = [v for v in engine.variables() if len(v.shape) == 2]
    layers = [OfLayer(v.path.rpartition("/")[0], v.shape[1], n) for v, n in zip(kernels, idle, strict=True)]
    return GradientStatistics(loss, weights, layers)
