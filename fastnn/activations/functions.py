"""The activations of Keras 3, one entry each: arguments, formula, derivative.

An entry and a line of ``csrc/activations.def`` make an activation. The formulas are what the documentation
shows and what tests hold the compiled routines against. A function whose arguments change what has to be
computed has several lines (`relu`); then its entry says which one arguments lead to.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.activations.activation import Activation, Array, Form

FORMS: dict[str, Form] = {}
FUNCTIONS: dict[str, Activation] = {}

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def form(name: str, function: Callable, derivative: Callable | None = None, **more: Any) -> None:
    """Add a line that no function of Keras's is named after."""
    FORMS[name] = Form(name, function, derivative, **more)


def entry(
    function: Callable | None, derivative: Callable | None = None, **more: Any
) -> Callable[..., Activation]:
    """Make an `Activation` of a function that checks Keras's arguments, and add the line of its name.

    It returns the name and parameters of a line, or None: that of its own name, without parameters.
    """

    def made(choose: Callable) -> Activation:
        def chosen(*args: Any, **kwargs: Any) -> tuple[str, tuple[float, ...]]:
            return choose(*args, **kwargs) or (choose.__name__, ())

        chosen.__name__, chosen.__doc__ = choose.__name__, choose.__doc__
        chosen.__wrapped__ = choose  # type: ignore[attr-defined]  # whose signature counts
        if function is not None:
            form(choose.__name__, function, derivative, **more)
        FUNCTIONS[choose.__name__] = Activation(chosen, FORMS)
        return FUNCTIONS[choose.__name__]

    return made


# ---- checking arguments --------------------------------------------------------------------------------


def number(what: str, value: Any) -> float:
    """Return ``value`` as a float, if it is a number that is not NaN."""
    if isinstance(value, bool | np.bool_ | str) or not hasattr(value, "__float__"):
        raise TypeError(f"{what} must be a number, got {value!r} of type {type(value).__name__}.")
    if math.isnan(float(value)):
        raise ValueError(f"{what} must be a number, got nan.")
    return float(value)


def not_negative(what: str, value: Any) -> float:
    """The same for a number that must not be negative."""
    if number(what, value) < 0:
        raise ValueError(f"{what} must not be negative, got {value!r}.")
    return float(value)


def positive(what: str, value: Any) -> float:
    """The same for a number that must be positive and finite."""
    if not 0 < number(what, value) < math.inf:
        raise ValueError(f"{what} must be a positive number, got {value!r}.")
    return float(value)


def whole(what: str, value: Any) -> int:
    """Return the number of an axis."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{what} must be a whole number, got {value!r} of type {type(value).__name__}.")
    return int(value)


# ---- formulas of more than a line ----------------------------------------------------------------------


def _sigmoid(z: Array) -> Array:
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, e) / (1 + e)


def _sigmoid_slope(z: Array) -> Array:
    e = np.exp(-np.abs(z))
    return e / (1 + e) ** 2


def _softplus(z: Array) -> Array:
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def _normal(z: Array) -> Array:
    """The normal distribution, erfc(-z / sqrt 2) / 2."""
    return np.asarray(np.frompyfunc(math.erfc, 1, 1)(-z / math.sqrt(2)) / 2, dtype=z.dtype)


def _gelu_inner(z: Array) -> Array:
    return math.sqrt(8 / math.pi) * (z + 0.044715 * z**3)


def _gelu_tanh_slope(z: Array) -> Array:
    w, dw = _gelu_inner(z), math.sqrt(8 / math.pi) * (1 + 3 * 0.044715 * z * z)
    return _sigmoid(w) + z * dw * _sigmoid_slope(w)


def _mish_slope(z: Array) -> Array:
    t = np.tanh(_softplus(z))
    return t + z * (1 - t * t) * _sigmoid(z)


def _squareplus(z: Array, b: float) -> Array:
    r = (np.abs(z) + np.sqrt(z * z + b)) / 2
    return np.where(z < 0, b / 4 / r, r)


def _softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _log_softmax(z: Array) -> Array:
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def _sparsemax(z: Array) -> Array:
    down = -np.sort(-z, axis=-1)
    sums, k = down.cumsum(axis=-1), np.arange(1, z.shape[-1] + 1)
    support = (k * down > sums - 1).sum(axis=-1, keepdims=True)
    tau = (np.take_along_axis(sums, support - 1, axis=-1) - 1) / support
    return np.maximum(z - tau, 0).astype(z.dtype)


def _sparsemax_gradient(a: Array, da: Array) -> Array:
    inside = a > 0
    mean = (da * inside).sum(axis=-1, keepdims=True) / inside.sum(axis=-1, keepdims=True)
    return np.where(inside, da - mean, 0).astype(da.dtype)


def _halves(z: Array) -> tuple[Array, Array]:
    if z.shape[-1] % 2:
        raise ValueError(f"glu halves its axis, which must have an even size: got {z.shape[-1]}.")
    return z[..., : z.shape[-1] // 2], z[..., z.shape[-1] // 2 :]


def _glu(z: Array) -> Array:
    a, b = _halves(z)
    return a * _sigmoid(b)


def _glu_gradient(z: Array, da: Array) -> Array:
    a, b = _halves(z)
    return np.concatenate([da * _sigmoid(b), da * a * _sigmoid_slope(b)], axis=-1)


def _inside(a: Array, low: float, high: float) -> Array:
    return ((low < a) & (a < high)).astype(a.dtype)


def _general_slope(z: Array, slope: float, low: float, high: float, threshold: float) -> Array:
    above = (low < z) & (z < high)
    return np.where(z > threshold, above, np.where(z < threshold, slope, 0)).astype(z.dtype)


# ---- the entries ---------------------------------------------------------------------------------------


@entry(lambda z: z, np.ones_like)
def linear():
    """Identity: ``f(x) = x``."""


form(
    "relu_max",
    lambda z, high: np.minimum(np.maximum(z, 0), high),
    lambda a, high: _inside(a, 0, high),
)
form(
    "relu_general",
    lambda z, slope, low, high, threshold: np.where(
        z > threshold, np.minimum(np.maximum(z, low), high), slope * (z - threshold)
    ),
    _general_slope,
    reads="input",
)


@entry(lambda z: np.maximum(z, 0), lambda a: (a > 0).astype(a.dtype))
def relu(negative_slope=0.0, max_value=None, threshold=0.0):
    """Rectified linear unit: ``f(x) = max(x, 0)``, with ``f'(0) = 0``.

    With arguments, ``f(x) = min(x, max_value)`` above the threshold (and not below 0, if there is a largest
    value), else ``negative_slope * (x - threshold)``.

    Parameters
    ----------
    x : array_like
    negative_slope : float, default 0
        Slope below the threshold.
    max_value : float, optional
        The largest value, not negative; by default there is none.
    threshold : float, default 0

    Returns
    -------
    ndarray
        Of the shape of ``x``.

    Raises
    ------
    TypeError, ValueError
        For arguments that are no numbers, or a negative ``max_value``.
    """
    slope, threshold = number("relu: negative_slope", negative_slope), number("relu: threshold", threshold)
    high = math.inf if max_value is None else not_negative("relu: max_value", max_value)
    if threshold == 0 and slope == 0:
        return ("relu", ()) if max_value is None else ("relu_max", (high,))
    if threshold == 0 and slope > 0 and max_value is None:
        return "leaky_relu", (slope,)
    return "relu_general", (slope, -math.inf if max_value is None else 0.0, high, threshold)


@entry(
    lambda z, slope: np.where(z < 0, slope * z, z),
    lambda a, slope: np.where(a < 0, slope, 1).astype(a.dtype),
)
def leaky_relu(negative_slope=0.2):
    """``f(x) = x`` from 0 on, ``negative_slope * x`` below.

    Parameters
    ----------
    x : array_like
    negative_slope : float, default 0.2

    Returns
    -------
    ndarray
        Of the shape of ``x``.

    Raises
    ------
    TypeError, ValueError
        Where ``negative_slope`` is no number.
    """
    slope = number("leaky_relu: negative_slope", negative_slope)
    return relu.with_arguments(negative_slope=slope)._choice()


@entry(None)
def relu6():
    """``f(x) = min(max(x, 0), 6)``."""
    return "relu_max", (6.0,)


@entry(_sigmoid, lambda a: a * (1 - a))
def sigmoid():
    """Logistic function: ``f(x) = 1 / (1 + exp(-x))``, between 0 and 1."""


@entry(np.tanh, lambda a: 1 - a * a)
def tanh():
    """Hyperbolic tangent, between -1 and 1."""


@entry(
    lambda z, alpha: np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0))),
    lambda a, alpha: np.where(a > 0, 1, a + alpha).astype(a.dtype),
)
def elu(alpha=1.0):
    """Exponential linear unit: ``f(x) = x`` above 0, ``alpha * (exp(x) - 1)`` below.

    Parameters
    ----------
    x : array_like
    alpha : float, default 1
        Not negative.

    Returns
    -------
    ndarray
        Of the shape of ``x``.

    Raises
    ------
    TypeError, ValueError
        Where ``alpha`` is no number, or negative.

    References
    ----------
    Clevert, Unterthiner, Hochreiter, "Fast and accurate deep network learning by exponential
    linear units", 2016.
    """
    return "elu", (not_negative("elu: alpha", alpha),)


@entry(
    lambda z: SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(np.minimum(z, 0))),
    lambda a: np.where(a > 0, SELU_SCALE, a + SELU_SCALE * SELU_ALPHA).astype(a.dtype),
)
def selu():
    """``f(x) = 1.0507 * elu(x, 1.67326)``: outputs keep mean 0 and variance 1 from layer to layer.

    That holds with ``kernel_initializer="lecun_normal"``.

    References
    ----------
    Klambauer, Unterthiner, Mayr, Hochreiter, "Self-normalizing neural networks", 2017.
    """


@entry(
    lambda z, alpha: np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0) / alpha)),
    lambda a, alpha: np.where(a > 0, 1, a / alpha + 1).astype(a.dtype),
)
def celu(alpha=1.0):
    """``f(x) = x`` above 0, ``alpha * (exp(x / alpha) - 1)`` below; f' has no jump.

    Parameters
    ----------
    x : array_like
    alpha : float, default 1
        Positive.

    Returns
    -------
    ndarray
        Of the shape of ``x``.

    Raises
    ------
    TypeError, ValueError
        Where ``alpha`` is not a positive number.

    References
    ----------
    Barron, "Continuously differentiable exponential linear units", 2017.
    """
    return "celu", (positive("celu: alpha", alpha),)


form("gelu_tanh", lambda z: z * _sigmoid(_gelu_inner(z)), _gelu_tanh_slope, reads="input")


@entry(
    lambda z: z * _normal(z),
    lambda z: _normal(z) + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi),
    reads="input",
)
def gelu(approximate=False):
    """Gaussian error linear unit: ``f(x) = x * N(x)``, N the normal distribution.

    ``N(x) = (1 + erf(x / sqrt(2))) / 2``. Approximately, ``f(x) = x / 2 * (1 + tanh(u))`` with
    ``u = sqrt(2 / pi) * (x + 0.044715 * x**3)``.

    Parameters
    ----------
    x : array_like
    approximate : bool, default False
        Whether to take the second formula.

    Returns
    -------
    ndarray
        Of the shape of ``x``.

    Raises
    ------
    TypeError
        Where ``approximate`` is neither True nor False.

    References
    ----------
    Hendrycks, Gimpel, "Gaussian error linear units", 2016.
    """
    if not isinstance(approximate, bool | np.bool_):
        raise TypeError(f"gelu: approximate must be True or False, got {approximate!r}.")
    return ("gelu_tanh" if approximate else "gelu"), ()


@entry(lambda z: z * _sigmoid(z), lambda z: _sigmoid(z) + z * _sigmoid_slope(z), reads="input")
def silu():
    """``f(x) = x * sigmoid(x)``, also called swish.

    References
    ----------
    Ramachandran, Zoph, Le, "Searching for activation functions", 2017.
    """


@entry(lambda z: z * np.tanh(_softplus(z)), _mish_slope, reads="input")
def mish():
    """``f(x) = x * tanh(softplus(x))``.

    References
    ----------
    Misra, "Mish: a self regularized non-monotonic activation function", 2019.
    """


@entry(_softplus, lambda a: -np.expm1(-a))
def softplus():
    """``f(x) = log(1 + exp(x))``."""


@entry(lambda z: -_softplus(-z), lambda a: -np.expm1(a))
def log_sigmoid():
    """``f(x) = log(sigmoid(x)) = -log(1 + exp(-x))``."""


@entry(lambda z: z / (1 + np.abs(z)), lambda a: (1 - np.abs(a)) ** 2)
def softsign():
    """``f(x) = x / (1 + abs(x))``, between -1 and 1."""


@entry(_squareplus, lambda a, b: a * a / (a * a + b / 4))
def squareplus(b=4):
    """``f(x) = (x + sqrt(x**2 + b)) / 2``.

    Parameters
    ----------
    x : array_like
    b : float, default 4
        Positive; the smaller, the nearer to relu.

    Returns
    -------
    ndarray
        Of the shape of ``x``.

    Raises
    ------
    TypeError, ValueError
        Where ``b`` is not a positive number.

    References
    ----------
    Barron, "Squareplus: a softplus-like algebraic rectifier", 2021.
    """
    return "squareplus", (positive("squareplus: b", b),)


@entry(np.exp, lambda a: a)
def exponential():
    """``f(x) = exp(x)``."""


@entry(lambda z: np.clip(z + 3, 0, 6) / 6, lambda a: _inside(a, 0, 1) / 6)
def hard_sigmoid():
    """``f(x) = x / 6 + 1 / 2``, kept between 0 and 1."""


@entry(
    lambda z: z * np.clip(z + 3, 0, 6) / 6,
    lambda z: np.clip(z + 3, 0, 6) / 6 + z * _inside(z, -3, 3) / 6,
    reads="input",
)
def hard_silu():
    """``f(x) = x * hard_sigmoid(x)``, also called hard swish.

    References
    ----------
    Howard et al., "Searching for MobileNetV3", 2019.
    """


@entry(lambda z: np.clip(z, -1, 1), lambda a: _inside(a, -1, 1))
def hard_tanh():
    """``f(x) = x``, kept between -1 and 1."""


@entry(lambda z: z - np.tanh(z), lambda z: np.tanh(z) ** 2, reads="input")
def tanh_shrink():
    """``f(x) = x - tanh(x)``; small values are as exact as that difference is."""


@entry(lambda z, t: z - np.clip(z, -t, t), lambda a, t: (a != 0).astype(a.dtype))
def soft_shrink(threshold=0.5):
    """``f(x) = x - threshold`` above the threshold, ``x + threshold`` below minus the threshold, else 0.

    Parameters
    ----------
    x : array_like
    threshold : float, default 0.5
        Not negative.

    Returns
    -------
    ndarray
        Of the shape of ``x``.

    Raises
    ------
    TypeError, ValueError
        Where ``threshold`` is no number, or negative.
    """
    return "soft_shrink", (not_negative("soft_shrink: threshold", threshold),)


@entry(lambda z, t: np.where(np.abs(z) <= t, 0, z), lambda a, t: (a != 0).astype(a.dtype))
def hard_shrink(threshold=0.5):
    """``f(x) = x`` where ``abs(x) > threshold``, else 0.

    Parameters
    ----------
    x : array_like
    threshold : float, default 0.5
        Not negative.

    Returns
    -------
    ndarray
        Of the shape of ``x``.

    Raises
    ------
    TypeError, ValueError
        Where ``threshold`` is no number, or negative.
    """
    return "hard_shrink", (not_negative("hard_shrink: threshold", threshold),)


@entry(
    lambda z, t, value: np.where(z <= t, value, z),
    lambda z, t, value: (z > t).astype(z.dtype),
    reads="input",
)
def threshold(threshold, default_value):
    """``f(x) = x`` above the threshold, else ``default_value``.

    Parameters
    ----------
    x : array_like
    threshold, default_value : float

    Returns
    -------
    ndarray
        Of the shape of ``x``.

    Raises
    ------
    TypeError, ValueError
        Where one of them is no number.
    """
    return "threshold", (
        number("threshold: threshold", threshold),
        number("threshold: default_value", default_value),
    )


@entry(
    lambda z: np.maximum((np.clip(z + 1, 0, 2) / 2) ** 2, z),
    lambda a: np.minimum(np.sqrt(a), 1),
)
def sparse_plus():
    """``f(x) = 0`` up to -1, ``(x + 1)**2 / 4`` up to 1, ``x`` from there on."""


@entry(lambda z: np.clip(z + 1, 0, 2) / 2, lambda a: _inside(a, 0, 1) / 2)
def sparse_sigmoid():
    """``f(x) = (x + 1) / 2``, kept between 0 and 1: the derivative of sparse_plus.

    References
    ----------
    Blondel, Martins, Niculae, "Learning classifiers with Fenchel-Young losses", 2019.
    """


@entry(_softmax, rowwise=lambda a, da: a * (da - (a * da).sum(axis=-1, keepdims=True)))
def softmax(axis=-1):
    """``f(x)_j = exp(x_j) / sum_k exp(x_k)``: each row becomes probabilities that sum to 1.

    Parameters
    ----------
    x : array_like
    axis : int, default -1
        Along which the sum runs; in a layer, the last.

    Returns
    -------
    ndarray
        Of the shape of ``x``.

    Raises
    ------
    TypeError
        Where ``axis`` is not a whole number.
    """
    whole("softmax: axis", axis)


@entry(_log_softmax, rowwise=lambda a, da: da - np.exp(a) * da.sum(axis=-1, keepdims=True))
def log_softmax(axis=-1):
    """``f(x)_j = x_j - log(sum_k exp(x_k))``, the logarithm of softmax.

    Parameters
    ----------
    x : array_like
    axis : int, default -1
        Along which the sum runs; in a layer, the last.

    Returns
    -------
    ndarray
        Of the shape of ``x``.

    Raises
    ------
    TypeError
        Where ``axis`` is not a whole number.
    """
    whole("log_softmax: axis", axis)


@entry(_sparsemax, rowwise=_sparsemax_gradient)
def sparsemax(axis=-1):
    """``f(x)_j = max(x_j - tau, 0)``, tau so that each row sums to 1: probabilities of which many are 0.

    Parameters
    ----------
    x : array_like
    axis : int, default -1
        Along which the sum runs; in a layer, the last.

    Returns
    -------
    ndarray
        Of the shape of ``x``.

    Raises
    ------
    TypeError
        Where ``axis`` is not a whole number.

    References
    ----------
    Martins, Astudillo, "From softmax to sparsemax", 2016.
    """
    whole("sparsemax: axis", axis)


@entry(_glu, reads="input", rowwise=_glu_gradient, compiled=False)
def glu(axis=-1):
    """Gated linear unit: ``f(x) = a * sigmoid(b)``, a and b the halves of ``x`` along an axis.

    On arrays only: a layer's units would be twice its columns, so layers refuse it.

    Parameters
    ----------
    x : array_like
    axis : int, default -1
        Of even size.

    Returns
    -------
    ndarray
        Half as long as ``x`` along the axis.

    Raises
    ------
    TypeError, ValueError
        Where ``axis`` is not a whole number, or its size is odd.

    References
    ----------
    Dauphin, Fan, Auli, Grangier, "Language modeling with gated convolutional networks", 2017.
    """
    whole("glu: axis", axis)


swish = silu
hard_swish = hard_silu
