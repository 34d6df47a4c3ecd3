"""A plain NumPy float64 network: what the compiled one is held against.

Everything here is written from the formulas, a matrix at a time, with no care for speed, and shares no code
with fastnn.  ``test_oracle.py`` holds it against finite differences.

Losses follow Keras 3: one value a row, averaged over the outputs (cross-entropies over classes are summed); a
loss on probabilities clips them to [EPSILON, 1 - EPSILON], and no gradient passes where it clips.  A batch's
loss is ``sum(sample_weight * row loss) / rows``, an epoch's is the same over all its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

EPSILON = 1e-7


# ---- activations: (z, *parameters) -> a, and (z, dL/da, *parameters) -> dL/dz --------------------


def sigmoid(z):
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + e), e / (1 + e))


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_gradient(z, da):
    a = softmax(z)
    return a * (da - (a * da).sum(axis=-1, keepdims=True))


def log_softmax(z):
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def sparsemax(z):
    """The projection onto probabilities, row by row: the support is the longest run of the largest."""
    a = np.empty_like(z)
    for row, out in zip(z.reshape(-1, z.shape[-1]), a.reshape(-1, z.shape[-1]), strict=True):
        down = np.sort(row - row.max())[::-1]
        size = max(k for k in range(1, len(row) + 1) if 1 + k * down[k - 1] > down[:k].sum())
        out[...] = np.maximum(row - row.max() - (down[:size].sum() - 1) / size, 0)
    return a


def sparsemax_gradient(z, da):
    inside = sparsemax(z) > 0
    return inside * (da - (da * inside).sum(axis=-1, keepdims=True) / inside.sum(axis=-1, keepdims=True))


def normal_density(x):
    pi = 4 * np.arctan(np.ones((), x.dtype))  # as exact as x is
    return np.exp(-x * x / 2) / np.sqrt(2 * pi)


def normal(x):
    """The normal distribution, of float64 or wider: a series near 0, a continued fraction in the tails."""
    u = np.abs(x)
    near, far = np.minimum(u, 2), np.maximum(u, 2)
    term = total = near
    for k in range(1, 60):
        term = term * near * near / (2 * k + 1)
        total = total + term
    fraction = far
    for k in range(200, 0, -1):
        fraction = far + k / fraction
    tail = np.where(u < 2, x.dtype.type(0.5) - normal_density(near) * total, normal_density(far) / fraction)
    return np.where(x < 0, tail, 1 - tail)


def softplus(z):
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def softsign(z):
    return z / (1 + np.abs(z))


def squareplus(z, b):
    s = np.sqrt(z * z + b)
    return np.where(z < 0, b / (s + np.abs(z)), z + s) / 2


def relu_general(z, slope, low, high, threshold):
    return np.where(z > threshold, np.clip(z, low, high), slope * (z - threshold))


def relu_general_gradient(z, da, slope, low, high, threshold):
    return da * np.where(z > threshold, (z > low) & (z < high), slope * (z < threshold))


def expm1_below(z):
    return np.expm1(np.minimum(z, 0))


def selu(z):
    return SCALE * np.where(z > 0, z, ALPHA * expm1_below(z))


def gelu_inner(z):
    return np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)


def gelu_tanh_gradient(z, da):
    t = np.tanh(gelu_inner(z))
    inner = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * z**2)
    return da * ((1 + t) / 2 + z / 2 * (1 - t * t) * inner)


def mish_gradient(z, da):
    t = np.tanh(softplus(z))
    return da * (t + z * (1 - t * t) * sigmoid(z))


def hard_sigmoid(z):
    return np.clip(z + 3, 0, 6) / 6


ALPHA, SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946

ACTIVATIONS = {
    "linear": (lambda z: z, lambda z, da: da),
    "relu": (lambda z: np.maximum(z, 0.0), lambda z, da: da * (z > 0)),
    "leaky_relu": (lambda z, s: np.where(z < 0, s * z, z), lambda z, da, s: da * np.where(z < 0, s, 1)),
    "relu_max": (lambda z, high: np.clip(z, 0, high), lambda z, da, high: da * ((z > 0) & (z < high))),
    "relu_general": (relu_general, relu_general_gradient),
    "elu": (
        lambda z, alpha: np.where(z > 0, z, alpha * expm1_below(z)),
        lambda z, da, alpha: da * np.where(z > 0, 1, alpha * np.exp(np.minimum(z, 0))),
    ),
    "selu": (selu, lambda z, da: da * SCALE * np.where(z > 0, 1, ALPHA * np.exp(np.minimum(z, 0)))),
    "celu": (
        lambda z, alpha: np.where(z > 0, z, alpha * expm1_below(z / alpha)),
        lambda z, da, alpha: da * np.exp(np.minimum(z, 0) / alpha),
    ),
    "gelu": (lambda z: z * normal(z), lambda z, da: da * (normal(z) + z * normal_density(z))),
    "gelu_tanh": (lambda z: z * (1 + np.tanh(gelu_inner(z))) / 2, gelu_tanh_gradient),
    "silu": (lambda z: z * sigmoid(z), lambda z, da: da * sigmoid(z) * (1 + z * sigmoid(-z))),
    "mish": (lambda z: z * np.tanh(softplus(z)), mish_gradient),
    "softplus": (softplus, lambda z, da: da * sigmoid(z)),
    "log_sigmoid": (lambda z: -softplus(-z), lambda z, da: da * sigmoid(-z)),
    "softsign": (softsign, lambda z, da: da / (1 + np.abs(z)) ** 2),
    "squareplus": (squareplus, lambda z, da, b: da * squareplus(z, b) / np.sqrt(z * z + b)),
    "exponential": (np.exp, lambda z, da: da * np.exp(z)),
    "sigmoid": (sigmoid, lambda z, da: da * sigmoid(z) * sigmoid(-z)),
    "hard_sigmoid": (hard_sigmoid, lambda z, da: da * (np.abs(z) < 3) / 6),
    "hard_silu": (
        lambda z: z * hard_sigmoid(z),
        lambda z, da: da * np.where(np.abs(z) < 3, z / 3 + 0.5, z > 0),
    ),
    "tanh": (np.tanh, lambda z, da: da / np.cosh(np.clip(z, -300, 300)) ** 2),
    "hard_tanh": (lambda z: np.clip(z, -1, 1), lambda z, da: da * (np.abs(z) < 1)),
    "tanh_shrink": (lambda z: z - np.tanh(z), lambda z, da: da * np.tanh(z) ** 2),
    "soft_shrink": (
        lambda z, t: np.sign(z) * np.maximum(np.abs(z) - t, 0),
        lambda z, da, t: da * (np.abs(z) > t),
    ),
    "hard_shrink": (lambda z, t: z * (np.abs(z) > t), lambda z, da, t: da * (np.abs(z) > t)),
    "threshold": (lambda z, t, value: np.where(z > t, z, value), lambda z, da, t, value: da * (z > t)),
    "sparse_plus": (
        lambda z: np.where(z >= 1, z, np.where(z <= -1, 0, (z + 1) ** 2 / 4)),
        lambda z, da: da * np.clip(z + 1, 0, 2) / 2,
    ),
    "sparse_sigmoid": (lambda z: np.clip(z + 1, 0, 2) / 2, lambda z, da: da * (np.abs(z) < 1) / 2),
    "softmax": (softmax, softmax_gradient),
    "log_softmax": (log_softmax, lambda z, da: da - softmax(z) * da.sum(axis=-1, keepdims=True)),
    "sparsemax": (sparsemax, sparsemax_gradient),
}
# those that everything is tried with; the others are tried where activations are
COMMON = ("linear", "relu", "sigmoid", "softmax", "tanh")
PARAMETERS = {
    "leaky_relu": [(0.2,), (0.01,)],
    "relu_max": [(6.0,), (0.7,)],
    "relu_general": [(0.1, 0.0, 1.5, 0.25), (0.0, -np.inf, np.inf, -0.5), (-0.3, -np.inf, np.inf, 0.0)],
    "elu": [(1.0,), (0.3,)],
    "celu": [(1.0,), (0.4,)],
    "squareplus": [(4.0,), (0.01,)],
    "soft_shrink": [(0.5,)],
    "hard_shrink": [(0.5,)],
    "threshold": [(0.3, -1.2)],
}
# what a layer's specification says: a name, or a name and parameters
SPECIFICATIONS = [
    (name, p) if p else name for name in sorted(ACTIVATIONS) for p in PARAMETERS.get(name, [()])
]


def activation(specification):
    """(z -> a, (z, dL/da) -> dL/dz) of a name, or a name and parameters."""
    name, p = (specification, ()) if isinstance(specification, str) else specification
    forward, backward = ACTIVATIONS[name]
    return (lambda z: forward(z, *p)), (lambda z, da: backward(z, da, *p))


def kinks(specification):
    """The inputs at which the derivative, or the function itself, jumps."""
    name, p = (specification, ()) if isinstance(specification, str) else specification
    return {
        "relu": [0],
        "leaky_relu": [0],
        "relu_max": [0, *p],
        "relu_general": p[1:],
        "elu": [0],
        "selu": [0],
        "hard_sigmoid": [-3, 3],
        "hard_silu": [-3, 3],
        "hard_tanh": [-1, 1],
        "soft_shrink": [*p, *(-t for t in p)],
        "hard_shrink": [*p, *(-t for t in p)],
        "threshold": p[:1],
        "sparse_plus": [-1, 1],
        "sparse_sigmoid": [-1, 1],
    }.get(name, [])


# ---- losses: (y, a) -> one value a row, and its gradient with respect to a -----------------------


def one_hot(y, classes):
    return np.eye(classes)[np.asarray(y).reshape(-1).astype(int)]


def _clip(p):
    return np.clip(p, EPSILON, 1 - EPSILON), (p > EPSILON) & (p < 1 - EPSILON)


def mean_squared_error(y, a):
    return ((a - y) ** 2).mean(axis=-1), 2 * (a - y) / a.shape[-1]


def mean_absolute_error(y, a):
    return np.abs(a - y).mean(axis=-1), np.sign(a - y) / a.shape[-1]


def binary_crossentropy(y, a):
    p, inside = _clip(a)
    rows = -(y * np.log(p) + (1 - y) * np.log1p(-p)).mean(axis=-1)
    return rows, inside * ((1 - y) / (1 - p) - y / p) / a.shape[-1]


def binary_crossentropy_from_logits(y, z):
    rows = (np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))).mean(axis=-1)
    return rows, (sigmoid(z) - y) / z.shape[-1]


def categorical_crossentropy(y, a):
    total = a.sum(axis=-1, keepdims=True)
    share = a / total
    p, inside = _clip(share)
    d_share = -y / p * inside
    return -(y * np.log(p)).sum(axis=-1), (d_share - (d_share * share).sum(axis=-1, keepdims=True)) / total


def categorical_crossentropy_from_logits(y, z):
    shifted = z - z.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return -(y * log_p).sum(axis=-1), softmax(z) * y.sum(axis=-1, keepdims=True) - y


def _sparse(dense_loss):
    return lambda y, a, *p: dense_loss(one_hot(y, a.shape[-1]), a, *p)


def each_output(formula, slope, mean=True):
    """A loss that outputs add up to, each by itself."""

    def loss(y, a, *p):
        units = a.shape[-1] if mean else 1
        return formula(y, a, *p).sum(axis=-1) / units, slope(y, a, *p) / units

    return loss


def huber_rows(y, a, delta):
    e = np.abs(a - y)
    return np.where(e <= delta, e**2 / 2, delta * e - delta**2 / 2)


def log_ratio(y, a):
    return np.log(np.maximum(a, EPSILON) + 1) - np.log(np.maximum(y, EPSILON) + 1)


def distribution(p):
    return np.clip(p, EPSILON, 1)


def side(y):
    return np.where(y == 0, -1, y)


def margin(y, a):
    return np.maximum(1 - side(y) * a, 0)


def power_slope(x, gamma):
    return gamma * x ** (gamma - 1) if gamma else np.zeros_like(x)


def focal(y, a, keep, add, gamma, c, d):
    """Binary focal crossentropy of probabilities; targets become keep * y + add, outputs weigh c * y + d."""
    y = y * keep + add
    p, inside = _clip(a)
    bce, slope = -(y * np.log(p) + (1 - y) * np.log1p(-p)), inside * ((1 - y) / (1 - p) - y / p)
    off, turn = y * (1 - a) + (1 - y) * a, 1 - 2 * y
    rows = (c * y + d) * off**gamma * bce
    grown = power_slope(off, gamma) * turn * bce
    return rows.mean(axis=-1), (c * y + d) * (grown + off**gamma * slope) / a.shape[-1]


def focal_logits(y, z, keep, add, gamma, c, d):
    y = y * keep + add
    a = sigmoid(z)
    bce = np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))
    off, turn = y * sigmoid(-z) + (1 - y) * a, 1 - 2 * y
    rows = (c * y + d) * off**gamma * bce
    grown = power_slope(off, gamma) * turn * bce * a * sigmoid(-z)
    return rows.mean(axis=-1), (c * y + d) * (grown + off**gamma * (a - y)) / z.shape[-1]


def categorical_focal(y, a, keep, add, gamma, *alpha):
    y = y * keep + add / y.shape[-1]
    weight = np.tile(alpha, a.shape[-1] // len(alpha)) * y
    total = a.sum(axis=-1, keepdims=True)
    share = a / total
    p, inside = _clip(share)
    slope = inside * weight * (power_slope(1 - p, gamma) * np.log(p) - (1 - p) ** gamma / p)
    rows = -(weight * (1 - p) ** gamma * np.log(p)).sum(axis=-1)
    return rows, (slope - (slope * share).sum(axis=-1, keepdims=True)) / total


def categorical_focal_logits(y, z, keep, add, gamma, *alpha):
    y = y * keep + add / y.shape[-1]
    weight, p, log = np.tile(alpha, z.shape[-1] // len(alpha)) * y, softmax(z), log_softmax(z)
    h = weight * (power_slope(1 - p, gamma) * p * log - (1 - p) ** gamma)
    return -(weight * (1 - p) ** gamma * log).sum(axis=-1), h - p * h.sum(axis=-1, keepdims=True)


def generalized(y, a, q):
    right = (one_hot(y, a.shape[-1]) * a).sum(axis=-1, keepdims=True)
    return (1 - right[:, 0] ** q) / q, -one_hot(y, a.shape[-1]) * right ** (q - 1)


def categorical_hinge(y, a):
    wrong = (1 - y) * a
    rows = wrong.max(axis=-1) - (y * a).sum(axis=-1) + 1
    slope = one_hot(wrong.argmax(axis=-1), a.shape[-1]) * (1 - y) - y
    return np.maximum(rows, 0), slope * (rows > 0)[:, None]


def cosine_similarity(y, a):
    def length(v):
        return np.maximum(np.sqrt((v * v).sum(axis=-1, keepdims=True)), EPSILON)

    to, at = y / length(y), a / length(a)
    cosine = (to * at).sum(axis=-1, keepdims=True)
    return -cosine[:, 0], -(to - cosine * at * (length(a) > EPSILON)) / length(a)


def tversky(y, a, alpha, beta, epsilon):
    both, missed = (y * a).sum(axis=-1), ((1 - a) * y).sum(axis=-1)
    below = (both + alpha * missed + beta * (a * (1 - y)).sum(axis=-1) + epsilon)[:, None]
    moved = y - alpha * y + beta * (1 - y)
    return 1 - both / below[:, 0], -(y * below - both[:, None] * moved) / below**2


def quantile(y, a, *quantiles):
    e = np.repeat(y, len(quantiles), axis=-1) - a
    q = np.tile(quantiles, y.shape[-1])
    return np.maximum(q * e, (q - 1) * e).mean(axis=-1), np.where(e > 0, -q, 1 - q) * (e != 0) / a.shape[-1]


def smoothed(loss, shared):
    """The loss of targets keep * y + add; shared: add is divided among the units."""
    return lambda y, a, keep, add: loss(keep * y + add / (y.shape[-1] if shared else 1), a)


def ignoring(loss):
    def counted(y, a, ignored):
        counts = y.reshape(-1) != ignored
        rows, slope = loss(np.where(counts, y.reshape(-1), 0), a)
        return rows * counts, slope * counts[:, None]

    return counted


# (name, from_logits): loss of (y, a, *parameters of its line in csrc/losses.def), and sets of parameters, the
# defaults first
_BINARY, _FOCAL = [(1, 0), (0.8, 0.1)], [(1, 0, 2, 0, 1), (0.9, 0.05, 1.5, -0.5, 0.75), (1, 0, 0, 0, 1)]
_CATEGORICAL_FOCAL = [(1, 0, 2, 0.25), (0.9, 0.1, 1.3, 0.2, 0.7, 0.4), (1, 0, 0, 0.5)]
FORMS = {
    ("mean_squared_error", False): (mean_squared_error, [()]),
    ("mean_absolute_error", False): (mean_absolute_error, [()]),
    ("mean_absolute_percentage_error", False): (
        each_output(
            lambda y, a: 100 * np.abs(a - y) / np.maximum(np.abs(y), EPSILON),
            lambda y, a: 100 * np.sign(a - y) / np.maximum(np.abs(y), EPSILON),
        ),
        [()],
    ),
    ("mean_squared_logarithmic_error", False): (
        each_output(
            lambda y, a: log_ratio(y, a) ** 2,
            lambda y, a: 2 * log_ratio(y, a) / (a + 1) * (a > EPSILON),
        ),
        [()],
    ),
    ("huber", False): (
        each_output(huber_rows, lambda y, a, delta: np.clip(a - y, -delta, delta)),
        [(1.0,), (0.3,)],
    ),
    ("log_cosh", False): (
        each_output(
            lambda y, a: np.log1p(2 * np.sinh((a - y) / 2) ** 2),
            lambda y, a: np.tanh(a - y),
        ),
        [()],
    ),
    ("poisson", False): (
        each_output(lambda y, a, e: a - y * np.log(a + e), lambda y, a, e: 1 - y / (a + e)),
        [(EPSILON,), (0.1,)],
    ),
    ("kl_divergence", False): (
        each_output(
            lambda y, a: distribution(y) * np.log(distribution(y) / distribution(a)),
            lambda y, a: -distribution(y) / distribution(a) * (a >= EPSILON) * (a <= 1),
            mean=False,
        ),
        [()],
    ),
    ("hinge", False): (each_output(margin, lambda y, a: -side(y) * (margin(y, a) > 0)), [()]),
    ("squared_hinge", False): (
        each_output(lambda y, a: margin(y, a) ** 2, lambda y, a: -2 * side(y) * margin(y, a)),
        [()],
    ),
    ("binary_crossentropy", False): (smoothed(binary_crossentropy, False), _BINARY),
    ("binary_crossentropy", True): (smoothed(binary_crossentropy_from_logits, False), _BINARY),
    ("binary_focal_crossentropy", False): (focal, _FOCAL),
    ("binary_focal_crossentropy", True): (focal_logits, _FOCAL),
    ("categorical_crossentropy", False): (smoothed(categorical_crossentropy, True), _BINARY),
    ("categorical_crossentropy", True): (smoothed(categorical_crossentropy_from_logits, True), _BINARY),
    ("categorical_focal_crossentropy", False): (categorical_focal, _CATEGORICAL_FOCAL),
    ("categorical_focal_crossentropy", True): (categorical_focal_logits, _CATEGORICAL_FOCAL),
    ("sparse_categorical_crossentropy", False): (
        ignoring(_sparse(categorical_crossentropy)),
        [(np.nan,), (1.0,)],
    ),
    ("sparse_categorical_crossentropy", True): (
        ignoring(_sparse(categorical_crossentropy_from_logits)),
        [(np.nan,), (1.0,)],
    ),
    ("categorical_generalized_cross_entropy", False): (generalized, [(0.5,), (0.9,)]),
    ("categorical_hinge", False): (categorical_hinge, [()]),
    ("cosine_similarity", False): (cosine_similarity, [()]),
    ("tversky", False): (tversky, [(0.5, 0.5, 1e-7), (0.3, 0.9, 1e-7)]),
    ("quantile", False): (quantile, [(0.5,), (0.9,), (0.1, 0.5, 0.8)]),
}
# with their default parameters
LOSSES = {
    key: (lambda y, a, form=form, p=parameters[0]: form(y, a, *p))
    for key, (form, parameters) in FORMS.items()
}


def loss_kinks(loss, y, a, *p):
    """How far each output is from where its loss bends or jumps."""
    if loss in ("mean_absolute_error", "mean_absolute_percentage_error", "quantile"):
        return np.abs(a - np.repeat(y, a.shape[-1] // y.shape[-1], axis=-1))
    if loss == "huber":
        return np.abs(np.abs(a - y) - p[0] if p else np.abs(a - y) - 1)
    if loss in ("hinge", "squared_hinge"):
        return np.abs(1 - side(y) * a)
    if loss == "categorical_hinge":
        wrong = np.sort((1 - y) * a, axis=-1)
        return np.minimum(
            np.abs(categorical_hinge(y, a)[0]), wrong[:, -1] - wrong[:, :-1].max(axis=-1, initial=-9)
        )
    return np.ones_like(a)


# ---- metrics: (y, a) -> one value a row ----------------------------------------------------------

METRICS = {
    "binary_accuracy": lambda y, a: (y == (a > 0.5)).mean(axis=-1),
    "categorical_accuracy": lambda y, a: (y.argmax(axis=-1) == a.argmax(axis=-1)).astype(float),
    "sparse_categorical_accuracy": lambda y, a: (y.reshape(-1) == a.argmax(axis=-1)).astype(float),
    **{name: (lambda y, a, f=f: f(y, a)[0]) for (name, logits), f in LOSSES.items() if not logits},
}


# ---- optimizers: one object for all weights of a network -----------------------------------------


@dataclass(kw_only=True)
class Optimizer:
    """Clipping, decay of weights, `rule`, which changes w and what ``slots(i)`` returned in place, averages.

    ``learning_rate`` is a number, or a function of the number of batches seen. ``spared``, ``frozen``: which
    weights do not decay, and which are not trained.
    """

    learning_rate: float | Callable = field(default=0.001, kw_only=False)
    weight_decay: float = 0.0
    clipvalue: float = 0.0
    clipnorm: float = 0.0
    global_clipnorm: float = 0.0
    use_ema: bool = False
    ema_momentum: float = 0.99
    ema_overwrite_frequency: int = 0
    gradient_accumulation_steps: int = 0
    spared: tuple = ()
    frozen: tuple = ()
    slots: dict = field(default_factory=dict)
    averages: list = field(default_factory=list)
    waiting: list = field(default_factory=list)
    steps: int = 0
    batches: int = 0

    def step(self, weights, gradients):
        """Take a batch's gradients."""
        together = int(self.gradient_accumulation_steps) or 1
        rate = self.learning_rate(self.batches) if callable(self.learning_rate) else self.learning_rate
        before, self.batches = self.batches // together, self.batches + 1
        gradients = [0 * g if i in self.frozen else g for i, g in enumerate(gradients)]
        if together > 1:
            waiting = self.waiting or [0.0] * len(weights)
            self.waiting = [a + g for a, g in zip(waiting, gradients, strict=True)]
        if self.batches % together == 0:
            if together > 1:
                gradients, self.waiting = [a / together for a in self.waiting], []
            self.steps += 1
            self.update(weights, self.clipped(gradients), rate)
        if self.use_ema:
            keep = self.ema_momentum if before else 0.0
            old = self.averages or [0.0] * len(weights)
            self.averages = [keep * a + (1 - keep) * w for a, w in zip(old, weights, strict=True)]
            for i in self.frozen:
                self.averages[i] = weights[i].copy()
            if self.ema_overwrite_frequency and (before + 1) % self.ema_overwrite_frequency == 0:
                for w, a in zip(weights, self.averages, strict=True):
                    w[...] = a

    def clipped(self, gradients):
        if self.clipnorm:
            return [g * min(1.0, self.clipnorm / max(np.linalg.norm(g), 1e-300)) for g in gradients]
        if self.global_clipnorm:
            norm = np.sqrt(sum((g**2).sum() for g in gradients))
            return [g * min(1.0, self.global_clipnorm / max(norm, 1e-300)) for g in gradients]
        if self.clipvalue:
            return [np.clip(g, -self.clipvalue, self.clipvalue) for g in gradients]
        return gradients

    def update(self, weights, gradients, rate):
        for i, (w, g) in enumerate(zip(weights, gradients, strict=True)):
            if i not in self.slots:
                self.slots[i] = [np.full_like(w, first) for first in self.first()]
            if i in self.frozen:
                continue
            if i not in self.spared:
                w -= w * self.decay_of(i, w) * rate
            self.at = i
            self.rule(w, g, rate, *self.slots[i])

    def remembered(self, weights):
        """What a network keeps: for each slot, an array for each weight; averages; gradients that wait."""
        found = [[self.slots[i][slot] for i in range(len(weights))] for slot in range(len(self.slots[0]))]
        if self.use_ema:
            found.append(self.averages)
        if self.gradient_accumulation_steps:
            found.append(self.waiting or [np.zeros_like(w) for w in weights])
        return found

    def decay_of(self, i, w):
        return self.weight_decay

    def first(self):
        """The value of each slot before the first step."""
        raise NotImplementedError

    def rule(self, w, g, rate, *slots):
        raise NotImplementedError


@dataclass(kw_only=True)
class SGD(Optimizer):
    learning_rate: float | Callable = field(default=0.01, kw_only=False)
    momentum: float = 0.0
    nesterov: bool = False

    def first(self):
        return [0.0] if self.momentum else []

    def rule(self, w, g, rate, *slots):
        if not slots:
            w -= rate * g
            return
        (m,) = slots
        m[...] = self.momentum * m - rate * g
        w += self.momentum * m - rate * g if self.nesterov else m


@dataclass(kw_only=True)
class RMSprop(Optimizer):
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False

    def first(self):
        return [0.0] * (1 + bool(self.momentum) + bool(self.centered))

    def rule(self, w, g, rate, v, *more):
        v[...] = self.rho * v + (1 - self.rho) * g**2
        spread = v
        if self.centered:
            mean = more[-1]
            mean[...] = self.rho * mean + (1 - self.rho) * g
            spread = np.maximum(v - mean**2, 0)
        move = rate * g / np.sqrt(spread + self.epsilon)
        if self.momentum:
            more[0][...] = self.momentum * more[0] + move
            move = more[0]
        w -= move


@dataclass(kw_only=True)
class Adam(Optimizer):
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False

    def first(self):
        return [0.0] * (3 if self.amsgrad else 2)

    def rule(self, w, g, rate, m, v, *largest):
        alpha = rate * np.sqrt(1 - self.beta_2**self.steps) / (1 - self.beta_1**self.steps)
        m += (g - m) * (1 - self.beta_1)
        v += (g * g - v) * (1 - self.beta_2)
        for top in largest:
            top[...] = np.maximum(top, v)
        w -= alpha * m / (np.sqrt([v, *largest][-1]) + self.epsilon)


@dataclass(kw_only=True)
class Adamax(Optimizer):
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def first(self):
        return [0.0, 0.0]

    def rule(self, w, g, rate, m, u):
        m += (g - m) * (1 - self.beta_1)
        u[...] = np.maximum(self.beta_2 * u, np.abs(g))
        w -= rate * m / ((1 - self.beta_1**self.steps) * (u + self.epsilon))


@dataclass(kw_only=True)
class Nadam(Optimizer):
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def first(self):
        return [0.0, 0.0]

    def rule(self, w, g, rate, m, v):
        u = self.beta_1 * (1 - 0.5 * 0.96 ** np.arange(1.0, self.steps + 2))
        m += (g - m) * (1 - self.beta_1)
        v += (g * g - v) * (1 - self.beta_2)
        m_hat = u[-1] * m / (1 - np.prod(u)) + (1 - u[-2]) * g / (1 - np.prod(u[:-1]))
        w -= rate * m_hat / (np.sqrt(v / (1 - self.beta_2**self.steps)) + self.epsilon)


@dataclass(kw_only=True)
class Adagrad(Optimizer):
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7

    def first(self):
        return [self.initial_accumulator_value]

    def rule(self, w, g, rate, a):
        a += g**2
        w -= rate * g / np.sqrt(a + self.epsilon)


@dataclass(kw_only=True)
class Adadelta(Optimizer):
    rho: float = 0.95
    epsilon: float = 1e-7

    def first(self):
        return [0.0, 0.0]

    def rule(self, w, g, rate, a, b):
        a[...] = self.rho * a + (1 - self.rho) * g**2
        d = -np.sqrt(b + self.epsilon) / np.sqrt(a + self.epsilon) * g
        b[...] = self.rho * b + (1 - self.rho) * d**2
        w += rate * d


@dataclass(kw_only=True)
class Lion(Optimizer):
    beta_1: float = 0.9
    beta_2: float = 0.99

    def first(self):
        return [0.0]

    def rule(self, w, g, rate, m):
        w -= rate * np.sign(self.beta_1 * m + (1 - self.beta_1) * g)
        m[...] = self.beta_2 * m + (1 - self.beta_2) * g


@dataclass(kw_only=True)
class Ftrl(Optimizer):
    learning_rate_power: float = -0.5
    initial_accumulator_value: float = 0.1
    l1_regularization_strength: float = 0.0
    l2_regularization_strength: float = 0.0
    l2_shrinkage_regularization_strength: float = 0.0
    beta: float = 0.0

    def first(self):
        return [self.initial_accumulator_value, 0.0]

    def rule(self, w, g, rate, a, z):
        p, l1 = -self.learning_rate_power, self.l1_regularization_strength
        n = a + g**2
        z += g + 2 * self.l2_shrinkage_regularization_strength * w - (n**p - a**p) / rate * w
        l2 = self.l2_regularization_strength + self.beta / (2 * rate)
        w[...] = (np.clip(z, -l1, l1) - z) / (n**p / rate + 2 * l2)
        a[...] = n


@dataclass(kw_only=True)
class Lamb(Optimizer):
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def first(self):
        return [0.0, 0.0]

    def rule(self, w, g, rate, m, v):
        m += (g - m) * (1 - self.beta_1)
        v += (g * g - v) * (1 - self.beta_2)
        m_hat, v_hat = m / (1 - self.beta_1**self.steps), v / (1 - self.beta_2**self.steps)
        u = m_hat / (np.sqrt(v_hat) + self.epsilon)
        norm, way = np.sqrt((w**2).sum()), np.sqrt((u**2).sum())
        w -= rate * (norm / way if norm and way else 1.0) * u


@dataclass(kw_only=True)
class Adafactor(Optimizer):
    beta_2_decay: float = -0.8
    epsilon_1: float = 1e-30
    epsilon_2: float = 1e-3
    clip_threshold: float = 1.0
    relative_step: bool = True

    def first(self):
        return [0.0, 0.0]

    def rule(self, w, g, rate, a, b):
        rho = min(rate, 1 / np.sqrt(self.steps))
        keep = 1 - self.steps**self.beta_2_decay
        square = g**2 + self.epsilon_1
        if w.ndim == 2:
            r, c = a[:, 0], b[0]
            r[...] = keep * r + (1 - keep) * square.mean(axis=1)
            c[...] = keep * c + (1 - keep) * square.mean(axis=0)
            v = (r / r.mean())[:, None] * c[None, :]
        else:
            a[...] = keep * a + (1 - keep) * square
            v = a
        u = g / np.sqrt(v)
        u = u / max(1.0, np.sqrt((u**2).mean()) / self.clip_threshold)
        w -= max(self.epsilon_2, np.sqrt((w**2).mean())) * rho * u


@dataclass(kw_only=True)
class Muon(Optimizer):
    """``excluded``: numbers of the matrices that take Adam's steps, too."""

    adam_beta_1: float = 0.9
    adam_beta_2: float = 0.999
    epsilon: float = 1e-7
    adam_weight_decay: float = 0.004
    adam_lr_ratio: float = 1.0
    momentum: float = 0.95
    nesterov: bool = True
    ns_steps: int = 5
    muon_a: float = 3.4445
    muon_b: float = -4.775
    muon_c: float = 2.0315
    rms_rate: float = 0.2
    excluded: tuple = ()

    def first(self):
        return [0.0, 0.0]

    def decay_of(self, i, w):
        return self.adam_weight_decay if w.ndim != 2 or i in self.excluded else self.weight_decay

    def rule(self, w, g, rate, m, v):
        if w.ndim != 2 or self.at in self.excluded:
            powers = 1 - self.adam_beta_1**self.steps, 1 - self.adam_beta_2**self.steps
            m += (g - m) * (1 - self.adam_beta_1)
            v += (g * g - v) * (1 - self.adam_beta_2)
            w -= rate * self.adam_lr_ratio * np.sqrt(powers[1]) / powers[0] * m / (np.sqrt(v) + self.epsilon)
            return
        m[...] = self.momentum * m + g
        u = g + self.momentum * m if self.nesterov else m
        flat = u.T if u.shape[0] > u.shape[1] else u
        x = flat / (np.sqrt((flat**2).sum()) + 1e-7)
        for _ in range(int(self.ns_steps)):
            a = x @ x.T
            x = self.muon_a * x + (self.muon_b * a + self.muon_c * a @ a) @ x
        scale = 1.0 if self.rms_rate < 0 else self.rms_rate * np.sqrt(max(w.shape))
        w -= rate * scale * (x.T if u.shape[0] > u.shape[1] else x)


OPTIMIZERS = {
    "sgd": SGD,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamax": Adamax,
    "nadam": Nadam,
    "adagrad": Adagrad,
    "adadelta": Adadelta,
    "lion": Lion,
    "ftrl": Ftrl,
    "lamb": Lamb,
    "adafactor": Adafactor,
    "muon": Muon,
}


# ---- the network ---------------------------------------------------------------------------------


class Net:
    """Dense layers: ``layers`` lists (units, activation, use_bias), ``weights`` kernel, bias, kernel, ...

    An activation is a name, or a name and parameters.
    """

    def __init__(self, layers: Sequence[tuple[int, str, bool]], weights: Iterable[np.ndarray]):
        self.layers = list(layers)
        self.weights = [np.array(w, dtype=np.float64) for w in weights]

    def _pieces(self):
        weights = iter(self.weights)
        for _, activation, use_bias in self.layers:
            yield activation, next(weights), next(weights) if use_bias else None

    def outputs(self, x):
        """The input and every layer's output."""
        return self._forward(x)[0]

    def _forward(self, x):
        found, before = [np.asarray(x, dtype=np.float64)], []
        for specification, kernel, bias in self._pieces():
            before.append(found[-1] @ kernel + (0 if bias is None else bias))
            found.append(activation(specification)[0](before[-1]))
        return found, before

    def predict(self, x):
        return self.outputs(x)[-1]

    def loss(self, loss, from_logits, x, y, sample_weight=None):
        rows = LOSSES[loss, from_logits](np.asarray(y, dtype=np.float64), self.predict(x))[0]
        return float((rows if sample_weight is None else rows * sample_weight).mean())

    def gradients(self, loss, from_logits, x, y, sample_weight=None):
        """(row losses times their weights, output, gradient of the mean loss for every weight)."""
        found, pre = self._forward(x)
        share = (
            np.ones(len(found[0])) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        )
        rows, delta = LOSSES[loss, from_logits](np.asarray(y, dtype=np.float64), found[-1])
        delta = delta * (share / len(share))[:, None]
        gradients = []
        for (specification, kernel, bias), before, z in reversed(
            list(zip(self._pieces(), found[:-1], pre, strict=True))
        ):
            delta = activation(specification)[1](z, delta)
            gradients += [] if bias is None else [delta.sum(axis=0)]
            gradients.append(before.T @ delta)
            delta = delta @ kernel.T
        return rows * share, found[-1], gradients[::-1]

    def evaluate(self, loss, from_logits, metrics, x, y, sample_weight=None):
        """[loss, *metrics]; metrics do not see the weights, as in Keras's ``metrics=``."""
        y, a = np.asarray(y, dtype=np.float64), self.predict(x)
        return [
            self.loss(loss, from_logits, x, y, sample_weight),
            *(METRICS[m](y, a).mean() for m in metrics),
        ]

    def fit(
        self,
        loss,
        optimizer,
        x,
        y,
        *,
        batch_size,
        orders,
        from_logits=False,
        metrics=(),
        sample_weight=None,
        validation=None,
    ):
        """Train one epoch per row order in ``orders``; return the logs, one row an epoch."""
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        logs = []
        for order in orders:
            sums = np.zeros(1 + len(metrics))
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                weight = None if sample_weight is None else np.asarray(sample_weight)[rows]
                losses, a, gradients = self.gradients(loss, from_logits, x[rows], y[rows], weight)
                sums += [losses.sum(), *(METRICS[m](y[rows], a).sum() for m in metrics)]
                optimizer.step(self.weights, gradients)
            epoch = list(sums / len(order))
            if validation is not None:
                epoch += self.evaluate(loss, from_logits, metrics, *validation)
            logs.append(epoch)
        return np.array(logs)
