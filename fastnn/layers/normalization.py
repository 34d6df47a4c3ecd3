"""Layers that scale: rows, by their own mean and variance; columns, by constants."""

from typing import Any

import numpy as np

from fastnn import config, constraints, data, initializers, regularizers
from fastnn.layers.layer import Layer
from fastnn.variables import Variable


def require_last_axis(axis: Any, kind: str) -> None:
    """Raise for an axis that is not the columns'."""
    if axis not in (-1, 1, [-1], (-1,), [1], (1,)):
        raise NotImplementedError(f"{kind}: axis={axis!r} is not supported; the columns are axis -1.")


def require_epsilon(epsilon: float, kind: str) -> None:
    """Raise for an epsilon below zero."""
    if not epsilon >= 0:
        raise ValueError(f"{kind}: epsilon must be at least 0, got {epsilon!r}.")


def _module_of(setting: str) -> Any:
    """Return the module that knows what a setting such as ``"gamma_initializer"`` can be."""
    modules = {"regularizer": regularizers, "constraint": constraints, "initializer": initializers}
    return modules[setting.rpartition("_")[2]]


class Standardized(Layer):
    """What layer and batch normalisation share: a trained scale and offset for each column.

    Parameters
    ----------
    axis, epsilon, center, scale, settings
        As for `LayerNormalization`; settings are the initializers, regularizers and constraints by name.
    **kwargs
        As for `Activation`.
    """

    def __init__(self, axis, epsilon, center, scale, settings: dict[str, Any], **kwargs):
        super().__init__(**kwargs)
        kind = type(self).__name__
        require_last_axis(axis, kind)
        require_epsilon(epsilon, kind)
        for name, value in settings.items():
            settings[name] = _module_of(name).get(value, f"{kind}: {name}")
            setattr(self, name, settings[name])
        self.axis = axis
        self.epsilon = float(epsilon)
        self.center, self.scale = bool(center), bool(scale)
        self._settings = settings
        self.gamma: Variable | None = None
        self.beta: Variable | None = None

    def check_input(self, input_shape):
        self.require_columns(input_shape)

    def build(self, input_shape):
        self.gamma = self._vector(input_shape[-1], "gamma") if self.scale else None
        self.beta = self._vector(input_shape[-1], "beta") if self.center else None

    def _vector(self, columns: int, name: str) -> Variable:
        return self.add_weight(
            (columns,),
            self._settings[f"{name}_initializer"],
            name,
            self._trainable,
            self._settings[f"{name}_regularizer"],
            self._settings[f"{name}_constraint"],
        )

    def scaled(self, normal: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """Return ``gamma * normal + beta``."""
        if self.gamma is not None:
            normal = normal * self.gamma.value
        return (normal if self.beta is None else normal + self.beta.value).astype(dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "axis": self.axis,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            **{name: _module_of(name).serialize(value) for name, value in self._settings.items()},
        }


class LayerNormalization(Standardized):
    """Each row to mean 0 and variance 1 over its columns, then ``gamma * x + beta``.

    ``(x - mean) / sqrt(variance + epsilon) * gamma + beta``.

    Parameters
    ----------
    axis : int
        -1, the columns.
    epsilon : float
    center, scale : bool
        Whether there is a ``beta``, and a ``gamma``.
    beta_initializer, gamma_initializer : str, Initializer or array
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
    beta_constraint, gamma_constraint : str, Constraint or function, optional
    rms_scaling : False
        See `RMSNormalization`.
    **kwargs
        As for `Activation`.

    Attributes
    ----------
    gamma, beta : Variable, (columns,), or None

    References
    ----------
    Ba, Kiros and Hinton, "Layer normalization" (2016).
    """

    def __init__(
        self,
        axis=-1,
        epsilon=1e-3,
        center=True,
        scale=True,
        beta_initializer="zeros",
        gamma_initializer="ones",
        beta_regularizer=None,
        gamma_regularizer=None,
        beta_constraint=None,
        gamma_constraint=None,
        rms_scaling=False,
        **kwargs,
    ):
        if rms_scaling:
            raise NotImplementedError(
                "LayerNormalization: rms_scaling=True is no longer Keras's; take RMSNormalization."
            )
        settings = {
            "beta_initializer": beta_initializer,
            "gamma_initializer": gamma_initializer,
            "beta_regularizer": beta_regularizer,
            "gamma_regularizer": gamma_regularizer,
            "beta_constraint": beta_constraint,
            "gamma_constraint": gamma_constraint,
        }
        super().__init__(axis, epsilon, center, scale, settings, **kwargs)

    def plan(self):
        return [("layer_norm", (self.epsilon, 1.0), (self.scale, self.center))]

    def call(self, x):
        rest = x - x.mean(axis=-1, keepdims=True)
        normal = rest / np.sqrt((rest * rest).mean(axis=-1, keepdims=True) + self.epsilon)
        return self.scaled(normal, x.dtype)

    def get_config(self):
        return {**super().get_config(), "rms_scaling": False}


class RMSNormalization(Layer):
    """Each row divided by the root of its mean square: ``x / sqrt(mean(x**2) + epsilon) * scale``.

    Parameters
    ----------
    axis : int
        -1, the columns.
    epsilon : float
    **kwargs
        As for `Activation`.

    Attributes
    ----------
    scale : Variable, (columns,)

    References
    ----------
    Zhang and Sennrich, "Root mean square layer normalization" (2019).
    """

    def __init__(self, axis=-1, epsilon=1e-6, **kwargs):
        super().__init__(**kwargs)
        require_last_axis(axis, "RMSNormalization")
        require_epsilon(epsilon, "RMSNormalization")
        self.axis = axis
        self.epsilon = float(epsilon)
        self.scale: Variable | None = None

    def check_input(self, input_shape):
        self.require_columns(input_shape)

    def build(self, input_shape):
        self.scale = self.add_weight((input_shape[-1],), "ones", "scale", self._trainable)

    def plan(self):
        return [("layer_norm", (self.epsilon, 0.0), (True, False))]

    def call(self, x):
        assert self.scale is not None
        root = np.sqrt((x * x).mean(axis=-1, keepdims=True) + self.epsilon)
        return (x / root * self.scale.value).astype(x.dtype)

    def get_config(self):
        return {**super().get_config(), "axis": self.axis, "epsilon": self.epsilon}


class BatchNormalization(Standardized):
    """Each column to mean 0 and variance 1, then ``gamma * x + beta``.

    In training the mean and variance are the batch's, ``(x - mean) / sqrt(variance + epsilon)``. They also
    move ``moving_mean`` and ``moving_variance``, ``moving * momentum + batch * (1 - momentum)``, which take
    their place elsewhere, and in training too once ``trainable`` is False.

    Parameters
    ----------
    axis : int
        -1, the columns.
    momentum : float
        In [0, 1].
    epsilon : float
    center, scale : bool
        Whether there is a ``beta``, and a ``gamma``.
    beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer
        Names, initializers or arrays.
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
    beta_constraint, gamma_constraint : str, Constraint or function, optional
    renorm, renorm_clipping, renorm_momentum
        Keras's batch renormalisation, which is not supported: only the defaults pass.
    synchronized : bool
        Accepted for Keras's sake.
    **kwargs
        As for `Activation`.

    Attributes
    ----------
    gamma, beta, moving_mean, moving_variance : Variable, (columns,), or None

    References
    ----------
    Ioffe and Szegedy, "Batch normalization" (2015).
    """

    def __init__(
        self,
        axis=-1,
        momentum=0.99,
        epsilon=1e-3,
        center=True,
        scale=True,
        beta_initializer="zeros",
        gamma_initializer="ones",
        moving_mean_initializer="zeros",
        moving_variance_initializer="ones",
        beta_regularizer=None,
        gamma_regularizer=None,
        beta_constraint=None,
        gamma_constraint=None,
        renorm=False,
        renorm_clipping=None,
        renorm_momentum=0.99,
        synchronized=False,
        **kwargs,
    ):
        if renorm or renorm_clipping is not None:
            raise NotImplementedError("BatchNormalization: renorm is not supported; leave it at False.")
        settings = {
            "beta_initializer": beta_initializer,
            "gamma_initializer": gamma_initializer,
            "moving_mean_initializer": moving_mean_initializer,
            "moving_variance_initializer": moving_variance_initializer,
            "beta_regularizer": beta_regularizer,
            "gamma_regularizer": gamma_regularizer,
            "beta_constraint": beta_constraint,
            "gamma_constraint": gamma_constraint,
        }
        super().__init__(axis, epsilon, center, scale, settings, **kwargs)
        if not 0 <= momentum <= 1:
            raise ValueError(f"BatchNormalization: momentum must be in [0, 1], got {momentum!r}.")
        self.momentum = float(momentum)
        self.renorm_momentum = renorm_momentum
        self.synchronized = bool(synchronized)
        self.moving_mean: Variable | None = None
        self.moving_variance: Variable | None = None

    def build(self, input_shape):
        super().build(input_shape)
        shape = (input_shape[-1],)
        self.moving_mean = self.add_weight(
            shape, self._settings["moving_mean_initializer"], "moving_mean", False
        )
        self.moving_variance = self.add_weight(
            shape, self._settings["moving_variance_initializer"], "moving_variance", False
        )

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for variable in (self.gamma, self.beta):
            if variable is not None:
                variable.trainable = self._trainable

    def asked(self, trainable=True):
        *found, _, _ = super().asked(trainable)
        return [*found, {"trained": self._trainable}, {"trained": self._trainable}]

    def plan(self):
        return [("batch_norm", (self.epsilon, self.momentum), (self.scale, self.center))]

    def call(self, x):
        assert self.moving_mean is not None
        assert self.moving_variance is not None
        normal = (x - self.moving_mean.value) / np.sqrt(self.moving_variance.value + self.epsilon)
        return self.scaled(normal, x.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "renorm": False,
            "renorm_clipping": None,
            "renorm_momentum": self.renorm_momentum,
            "synchronized": self.synchronized,
        }


class Rescaling(Layer):
    """``x * scale + offset``, as for pixels: ``Rescaling(1 / 255)``.

    Parameters
    ----------
    scale, offset : float, or array of one number a column
    **kwargs
        As for `Activation`.
    """

    def __init__(self, scale, offset=0.0, **kwargs):
        super().__init__(**kwargs)
        self.scale, self.offset = scale, offset

    def constants(self, columns: int) -> list[np.ndarray]:
        """Return factors and offsets, (columns,) each."""
        try:
            return [
                np.broadcast_to(np.asarray(v, np.float64).reshape(-1), (columns,))
                for v in (self.scale, self.offset)
            ]
        except ValueError:
            raise ValueError(
                f"Layer {self.name!r} (Rescaling) has scale {self.scale!r} and offset {self.offset!r}, which "
                f"do not fit {columns} columns."
            ) from None

    def build(self, input_shape):
        self.constants(self.columns(input_shape))

    def plan(self):
        assert self._input_shape is not None
        return [("affine", *self.constants(self.columns(self._input_shape)))]

    def call(self, x):
        scale, offset = self.constants(x.shape[-1])
        return (x * scale + offset).astype(x.dtype)

    def get_config(self):
        plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(self).items()}
        return {**super().get_config(), "scale": plain["scale"], "offset": plain["offset"]}


class Normalization(Layer):
    """Each column to mean 0 and variance 1, by a mean and a variance that are given or taken from data.

    ``(x - mean) / max(sqrt(variance), config.epsilon())``.

    Parameters
    ----------
    axis : int or None
        -1, a mean and variance for each column; None, one for all.
    mean, variance : float or array, optional
        Both or neither; without them call `adapt` before the model is used.
    invert : bool
        Go the other way: ``x * max(sqrt(variance), config.epsilon()) + mean``.
    **kwargs
        As for `Activation`.

    Attributes
    ----------
    mean, variance : ndarray or None
    """

    def __init__(self, axis=-1, mean=None, variance=None, invert=False, **kwargs):
        super().__init__(**kwargs)
        if axis not in (-1, 1, None, (-1,), [-1], (1,), [1]):
            raise NotImplementedError(
                f"Normalization: axis={axis!r} is not supported; take -1 (each column) or None (all)."
            )
        if (mean is None) != (variance is None):
            raise ValueError("Normalization: give both mean and variance, or neither and call adapt(data).")
        self.axis = axis
        self.invert = bool(invert)
        self.input_mean, self.input_variance = mean, variance
        self.mean = self.variance = None
        self.version = 0  # of the constants: networks made with older ones are made again
        if mean is not None:
            self.mean, self.variance = np.asarray(mean, np.float64), np.asarray(variance, np.float64)

    def adapt(self, data_: Any, batch_size: Any = None, steps: Any = None) -> None:
        """Take mean and variance from data.

        Parameters
        ----------
        data_ : array-like, (rows, columns)
        batch_size, steps : None
            Accepted for Keras's sake.
        """
        x = data.array(data_, "data")
        if x.ndim < 2 or len(x) == 0:
            raise ValueError(f"Normalization.adapt takes rows, shape (rows, columns), got shape {x.shape}.")
        x = x.reshape(len(x), -1).astype(np.float64)
        axis = None if self.axis is None else 0
        self.mean, self.variance = x.mean(axis=axis), x.var(axis=axis)
        if not (np.isfinite(self.mean).all() and np.isfinite(self.variance).all()):
            raise ValueError("Normalization.adapt: the data contain NaN or infinity; remove them first.")
        self.version += 1

    def constants(self, columns: int) -> list[np.ndarray]:
        """Return factors and offsets, (columns,) each."""
        if self.mean is None or self.variance is None:
            raise ValueError(
                f"Layer {self.name!r} (Normalization) knows no mean and variance yet: call adapt(data) first."
            )
        try:
            mean = np.broadcast_to(self.mean.reshape(-1), (columns,))
            deviation = np.broadcast_to(np.sqrt(self.variance.reshape(-1)), (columns,))
        except ValueError:
            raise ValueError(
                f"Layer {self.name!r} (Normalization) has {self.mean.size} means for {columns} columns."
            ) from None
        deviation = np.maximum(deviation, config.epsilon())
        return [deviation, mean] if self.invert else [1 / deviation, -mean / deviation]

    def plan(self):
        assert self._input_shape is not None
        return [("affine", *self.constants(self.columns(self._input_shape)))]

    def call(self, x):
        scale, offset = self.constants(x.shape[-1])
        return (x * scale + offset).astype(x.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "axis": self.axis,
            "invert": self.invert,
            "mean": None if self.mean is None else self.mean.tolist(),
            "variance": None if self.variance is None else self.variance.tolist(),
        }
