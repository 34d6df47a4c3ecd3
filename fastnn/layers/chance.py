"""Layers that work by chance in training, and pass rows on as they are elsewhere.

What is drawn is a function of the model's seed, its lifetime epoch, the row's place in the epoch, the layer
and the column: the same whatever the number of threads, another in each epoch.
"""

import math
from typing import Any

import numpy as np

from fastnn import seeds
from fastnn.layers.layer import Layer

# Klambauer et al., "Self-normalizing neural networks" (2017): what selu tends to far below zero.
SELU_LIMIT = -1.7580993408473766


class Chance(Layer):
    """Base class: a share or a standard deviation, and a seed.

    Parameters
    ----------
    seed : int, optional
        Of calls of the layer itself with ``training=True``. In a model's training, the model's seed counts.
    **kwargs
        As for `Activation`.
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self._generator = seeds.generator(seeds.draw() if seed is None else seed)

    def __call__(self, x: Any, training: bool | None = None) -> np.ndarray:
        """Return the rows as they are, or with ``training=True`` as training changes them."""
        rows = super().__call__(x)
        return self.changed(rows) if training else rows

    def changed(self, x: np.ndarray) -> np.ndarray:
        """Return rows as training changes them."""
        raise NotImplementedError

    def call(self, x):
        return x

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


def share(rate: Any, kind: str, largest: bool = True) -> float:
    """Return ``rate`` as a float in [0, 1], or [0, 1), or raise what is wrong with it."""
    if isinstance(rate, bool) or not isinstance(rate, int | float | np.number):
        raise TypeError(f"{kind}: rate must be a number, got {rate!r} of type {type(rate).__name__}.")
    if not (0 <= rate <= 1 if largest else 0 <= rate < 1):
        raise ValueError(f"{kind}: rate must be in [0, 1{']' if largest else ')'}, got {rate!r}.")
    return float(rate)


def refuse_shape(noise_shape: Any, kind: str) -> None:
    """Raise for a noise shape: elements are drawn one by one."""
    if noise_shape is not None:
        raise NotImplementedError(f"{kind}: noise_shape={noise_shape!r} is not supported; leave it at None.")


class Dropout(Chance):
    """In training, each element is 0 with probability ``rate``, else multiplied by ``1 / (1 - rate)``.

    Parameters
    ----------
    rate : float
        In [0, 1].
    noise_shape : None
        Not supported.
    seed : int, optional
    **kwargs
        As for `Activation`.

    References
    ----------
    Srivastava et al., "Dropout" (2014).
    """

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        refuse_shape(noise_shape, "Dropout")
        self.rate = share(rate, "Dropout")

    def _scale(self) -> float:
        return 1 / (1 - self.rate) if self.rate < 1 else 0.0

    def plan(self):
        return [("drop", (self.rate, self._scale(), 0.0, 0.0))] if self.rate else []

    def changed(self, x):
        kept = self._generator.random(x.shape) >= self.rate
        return np.where(kept, x * np.asarray(self._scale(), x.dtype), np.asarray(0, x.dtype))

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "noise_shape": None}


class AlphaDropout(Chance):
    """In training, elements become ``selu``'s lower limit by chance; mean and variance of the rows stay.

    Parameters
    ----------
    rate : float
        Probability of that, in [0, 1).
    noise_shape : None
        Not supported.
    seed : int, optional
    **kwargs
        As for `Activation`.

    References
    ----------
    Klambauer et al., "Self-normalizing neural networks" (2017).
    """

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        refuse_shape(noise_shape, "AlphaDropout")
        self.rate = share(rate, "AlphaDropout", largest=False)

    def _affine(self) -> tuple[float, float]:
        scale = ((1 - self.rate) * (1 + self.rate * SELU_LIMIT**2)) ** -0.5
        return scale, -scale * SELU_LIMIT * self.rate

    def plan(self):
        scale, offset = self._affine()
        return [("drop", (self.rate, scale, offset, scale * SELU_LIMIT + offset))] if self.rate else []

    def changed(self, x):
        scale, offset = self._affine()
        kept = self._generator.random(x.shape) >= self.rate
        return (scale * np.where(kept, x, SELU_LIMIT) + offset).astype(x.dtype)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "noise_shape": None}


class GaussianNoise(Chance):
    """In training, normal numbers of mean 0 are added.

    Parameters
    ----------
    stddev : float
        Their standard deviation, at least 0.
    seed : int, optional
    **kwargs
        As for `Activation`.
    """

    def __init__(self, stddev, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        if isinstance(stddev, bool) or not isinstance(stddev, int | float | np.number):
            raise TypeError(f"GaussianNoise: stddev must be a number, got {stddev!r}.")
        if not 0 <= stddev < math.inf:
            raise ValueError(f"GaussianNoise: stddev must be at least 0 and finite, got {stddev!r}.")
        self.stddev = float(stddev)

    def plan(self):
        return [("noise", (0.0, self.stddev))] if self.stddev else []

    def changed(self, x):
        return (x + self._generator.normal(0.0, self.stddev, x.shape)).astype(x.dtype)

    def get_config(self):
        return {**super().get_config(), "stddev": self.stddev}


class GaussianDropout(Chance):
    """In training, each element is multiplied by a normal number of mean 1.

    Parameters
    ----------
    rate : float
        In [0, 1); the numbers' standard deviation is ``sqrt(rate / (1 - rate))``.
    seed : int, optional
    **kwargs
        As for `Activation`.

    References
    ----------
    Srivastava et al., "Dropout" (2014), section 10.
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        self.rate = share(rate, "GaussianDropout", largest=False)

    def _deviation(self) -> float:
        return math.sqrt(self.rate / (1 - self.rate))

    def plan(self):
        return [("scale", (1.0, self._deviation()))] if self.rate else []

    def changed(self, x):
        return (x * self._generator.normal(1.0, self._deviation(), x.shape)).astype(x.dtype)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}
