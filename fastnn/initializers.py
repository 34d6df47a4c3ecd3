"""Initializers: what weights are before training (Keras 3's names, arguments and distributions).

A random initializer is a function of its seed and the shape: called twice it returns the same values. Without
a seed it draws one when it is made. Values are computed in float64 and rounded once, so a float32 and a
float64 model of one seed start from the same point.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import seeds
from fastnn.config import standard_dtype
from fastnn.names import snake_case
from fastnn.registry import Configured, Registry, serialize as _serialize

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "deserialize",
    "get",
    "serialize",
]


class Initializer(Configured):
    """Base class; one of your own defines ``__call__(shape, dtype=None)`` and ``get_config``."""

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> np.ndarray:
        """Return an array of ``shape``."""
        raise NotImplementedError("An initializer must define __call__(self, shape, dtype=None).")

    def clone(self) -> "Initializer":
        """Return another initializer of the same config (and a seed of its own, where none was given)."""
        return self.from_config(self.get_config())

    def __repr__(self) -> str:
        arguments = ", ".join(f"{k}={v!r}" for k, v in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


class Zeros(Initializer):
    """All 0."""

    def __call__(self, shape, dtype=None):
        return np.zeros(shape, standard_dtype(dtype))


class Ones(Initializer):
    """All 1."""

    def __call__(self, shape, dtype=None):
        return np.ones(shape, standard_dtype(dtype))


class Constant(Initializer):
    """All ``value``.

    Parameters
    ----------
    value : float
        A number, or an array that broadcasts to the shape asked for.
    """

    def __init__(self, value: float = 0.0):
        self.value = value

    def __call__(self, shape, dtype=None):
        return np.full(shape, self.value, standard_dtype(dtype))

    def get_config(self):
        return {"value": self.value}


class Identity(Initializer):
    """``gain`` on the diagonal, 0 elsewhere; for kernels only.

    Parameters
    ----------
    gain : float
    """

    def __init__(self, gain: float = 1.0):
        self.gain = gain

    def __call__(self, shape, dtype=None):
        if len(shape) != 2:
            raise ValueError(f"Identity is for matrices, but the weight has shape {tuple(shape)}.")
        return (self.gain * np.eye(*shape)).astype(standard_dtype(dtype))

    def get_config(self):
        return {"gain": self.gain}


class FromArray(Initializer):
    """The values of an array, whose shape must be the weight's."""

    def __init__(self, value):
        self.value = np.asarray(value)

    def __call__(self, shape, dtype=None):
        if self.value.shape != tuple(shape):
            raise ValueError(
                f"An initial value of shape {self.value.shape} was given for a weight of shape "
                f"{tuple(shape)}."
            )
        return self.value.astype(standard_dtype(dtype))

    def get_config(self):
        return {"value": self.value.tolist()}


class RandomInitializer(Initializer):
    """Base of those that draw: ``seed`` is an int >= 0, or None for one of its own."""

    def __init__(self, seed: int | None = None):
        if seed is not None and (isinstance(seed, bool) or not hasattr(seed, "__index__")):
            raise TypeError(f"seed must be an int or None, got {seed!r} of type {type(seed).__name__}.")
        if seed is not None and seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}.")
        self._given = seed
        self.seed = seeds.draw() if seed is None else int(seed)

    def __call__(self, shape, dtype=None):
        return self.draw(seeds.generator(self.seed), tuple(shape)).astype(standard_dtype(dtype))

    def draw(self, rng: Any, shape: tuple[int, ...]) -> np.ndarray:
        raise NotImplementedError

    def get_config(self):
        return {"seed": self._given}


class RandomNormal(RandomInitializer):
    """Normal distribution of mean ``mean`` and standard deviation ``stddev``."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None):
        super().__init__(seed)
        self.mean = mean
        self.stddev = stddev

    def draw(self, rng, shape):
        return self.mean + self.stddev * rng.standard_normal(shape)

    def get_config(self):
        return {**super().get_config(), "mean": self.mean, "stddev": self.stddev}


class TruncatedNormal(RandomNormal):
    """Normal distribution, what is further than two ``stddev`` from ``mean`` drawn again."""

    def draw(self, rng, shape):
        return self.mean + self.stddev * _truncated(rng, shape)


class RandomUniform(RandomInitializer):
    """Uniform distribution over [``minval``, ``maxval``)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None):
        super().__init__(seed)
        self.minval = minval
        self.maxval = maxval

    def draw(self, rng, shape):
        return self.minval + (self.maxval - self.minval) * rng.random(shape)

    def get_config(self):
        return {**super().get_config(), "minval": self.minval, "maxval": self.maxval}


# The standard deviation of a standard normal truncated to [-2, 2].
_TRUNCATED_STDDEV = 0.87962566103423978
_MODES: dict[str, Callable[[int, int], float]] = {
    "fan_in": lambda fan_in, fan_out: fan_in,
    "fan_out": lambda fan_in, fan_out: fan_out,
    "fan_avg": lambda fan_in, fan_out: (fan_in + fan_out) / 2,
}
_DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "uniform")


class VarianceScaling(RandomInitializer):
    """Values of variance ``scale / n``, so that signals neither grow nor fade from layer to layer.

    Parameters
    ----------
    scale : float
        Positive.
    mode : {"fan_in", "fan_out", "fan_avg"}
        ``n``: inputs of a unit, units fed by an input, or the mean of both.
    distribution : {"truncated_normal", "untruncated_normal", "uniform"}
        Uniform ones run over [-limit, limit) with ``limit = sqrt(3 * scale / n)``.
    seed : int, optional
        Without it, one of its own.
    input_axes, output_axes : None
        For kernels of other layers than Dense.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
        input_axes: None = None,
        output_axes: None = None,
    ):
        if not scale > 0:
            raise ValueError(f"scale must be positive, got {scale!r}.")
        mode = str(mode).lower()
        distribution = str(distribution).lower()
        distribution = "truncated_normal" if distribution == "normal" else distribution
        if mode not in _MODES:
            raise ValueError(f"mode={mode!r}: must be one of {', '.join(_MODES)}.")
        if distribution not in _DISTRIBUTIONS:
            raise ValueError(f"distribution={distribution!r}: must be one of {', '.join(_DISTRIBUTIONS)}.")
        if input_axes is not None or output_axes is not None:
            raise NotImplementedError(
                "input_axes and output_axes are not supported; kernels are (inputs, units)."
            )
        super().__init__(seed)
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.input_axes = input_axes
        self.output_axes = output_axes

    def draw(self, rng, shape):
        variance = self.scale / max(1.0, _MODES[self.mode](*fans(shape)))
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return limit * (2 * rng.random(shape) - 1)
        if self.distribution == "untruncated_normal":
            return math.sqrt(variance) * rng.standard_normal(shape)
        return math.sqrt(variance) / _TRUNCATED_STDDEV * _truncated(rng, shape)

    def get_config(self):
        axes = {"input_axes": self.input_axes, "output_axes": self.output_axes}
        if type(self) is not VarianceScaling:  # the named ones take nothing else
            return {**super().get_config(), **axes}
        own = {"scale": self.scale, "mode": self.mode, "distribution": self.distribution}
        return {**super().get_config(), **own, **axes}


def _named(name: str, scale: float, mode: str, distribution: str, doc: str) -> type[VarianceScaling]:
    def __init__(self, seed=None, input_axes=None, output_axes=None):
        VarianceScaling.__init__(self, scale, mode, distribution, seed, input_axes, output_axes)

    return type(name, (VarianceScaling,), {"__init__": __init__, "__doc__": doc, "__module__": __name__})


GlorotUniform = _named(
    "GlorotUniform",
    1.0,
    "fan_avg",
    "uniform",
    "Uniform over [-l, l), l = sqrt(6 / (fan_in + fan_out)): Dense's default.",
)
GlorotNormal = _named(
    "GlorotNormal",
    1.0,
    "fan_avg",
    "truncated_normal",
    "Truncated normal, stddev sqrt(2 / (fan_in + fan_out)).",
)
HeUniform = _named(
    "HeUniform", 2.0, "fan_in", "uniform", "Uniform over [-l, l), l = sqrt(6 / fan_in): for relu."
)
HeNormal = _named(
    "HeNormal", 2.0, "fan_in", "truncated_normal", "Truncated normal, stddev sqrt(2 / fan_in): for relu."
)
LecunUniform = _named("LecunUniform", 1.0, "fan_in", "uniform", "Uniform over [-l, l), l = sqrt(3 / fan_in).")
LecunNormal = _named(
    "LecunNormal", 1.0, "fan_in", "truncated_normal", "Truncated normal, stddev sqrt(1 / fan_in)."
)


class Orthogonal(RandomInitializer):
    """``gain`` times a matrix with orthonormal columns (rows, where it has fewer of these).

    The Q of a QR decomposition of normal values, its columns' signs those of R's diagonal, which makes it
    uniform over such matrices (Saxe, McClelland and Ganguli, 2014). More than two dimensions are taken as
    (all but the last, last).

    Parameters
    ----------
    gain : float
    seed : int, optional
        Without it, one of its own.
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None):
        super().__init__(seed)
        self.gain = gain

    def draw(self, rng, shape):
        if len(shape) < 2:
            raise ValueError(f"Orthogonal is for matrices, but the weight has shape {shape}.")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
        q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
        return self.gain * (q.T if rows < columns else q).reshape(shape)

    def get_config(self):
        return {**super().get_config(), "gain": self.gain}


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (inputs of a unit, units fed by an input) of a weight's shape."""
    if len(shape) < 2:
        n = shape[0] if shape else 1
        return n, n
    field = math.prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field


def _truncated(rng: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return standard normal values, those beyond +-2 drawn again."""
    values = rng.standard_normal(shape)
    flat = values.reshape(-1)
    outside = np.flatnonzero(np.abs(flat) > 2)
    while outside.size:
        flat[outside] = rng.standard_normal(outside.size)
        outside = outside[np.abs(flat[outside]) > 2]
    return values


_CLASSES = (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    LecunNormal,
    LecunUniform,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    Zeros,
)
INITIALIZERS = Registry(
    "initializer",
    "keras.initializers",
    {
        **{snake_case(c.__name__): c for c in _CLASSES},
        **{c.__name__: c for c in _CLASSES},
        "zero": Zeros,
        "one": Ones,
        "normal": RandomNormal,
        "uniform": RandomUniform,
        "IdentityInitializer": Identity,
        "OrthogonalInitializer": Orthogonal,
    },
    later="stft STFT STFTInitializer",
)
# Keras has each class under its snake_case name too, and two under a longer one.
globals().update({snake_case(c.__name__): c for c in _CLASSES})
IdentityInitializer, OrthogonalInitializer = Identity, Orthogonal


def get(identifier: Any, argument: str = "initializer") -> Any:
    """Return the initializer that a name, class, config, array or callable ``(shape, dtype)`` stands for."""
    if identifier is None or isinstance(identifier, Initializer):
        return identifier
    if isinstance(identifier, str | dict):
        return INITIALIZERS.make(identifier, argument)
    if isinstance(identifier, type) and issubclass(identifier, Initializer):
        return identifier()
    if isinstance(identifier, np.ndarray | np.generic):
        return FromArray(identifier)
    if callable(identifier):
        return identifier
    raise TypeError(f"{argument} must be a name, an initializer or an array, got {identifier!r}.")


def serialize(initializer: Any) -> Any:
    """Return Keras's serialised form of an initializer."""
    if isinstance(initializer, FromArray):
        initializer = Constant(initializer.value.tolist())
    return _serialize(initializer, INITIALIZERS)


def deserialize(config: Any, custom_objects: dict | None = None) -> Any:
    """Return the initializer of a serialised form."""
    return config if config is None else INITIALIZERS.make(config, "initializer", custom_objects)
