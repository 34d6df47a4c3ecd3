"""Activations in ONNX's operators: a function of the name of each compiled one, ``(o, x, *parameters)``.

``o`` is a `Sheet`, or what looks like one: ``fastnn.convert`` calls the same functions to recognise what they
wrote, with parameters that stand for numbers to be found. They may be negated, multiplied and divided.

Where ONNX Runtime's operator is as exact as fastnn's, it is taken; else the function is put together so that
nothing cancels. ONNX Runtime's Sigmoid is off by 2e-7 however small its value, its Elu by 6e-8 beside 0, its
Gelu by 2e-7 for negative inputs; Elu, Selu, Softplus, Softsign, LeakyRelu, PRelu and Erf do not exist there
for float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.activations.functions import SELU_ALPHA, SELU_SCALE

# The tail of the normal distribution, Q(a) = e**(-a * a / 2) * P(u) / (a + k) with u = (a - k) / (a + k): k
# and the coefficients of P, lowest first. Fitted at Chebyshev points for a up to 14 and 39, beyond which Q is
# 0; off by 2e-9 and 3e-15 of P.
NORMAL_TAIL: dict[str, tuple[float, tuple[float, ...]]] = {
    "float32": (
        4.25,
        (
            0.7595542081,
            -0.6251297992,
            0.4182275416,
            -0.2205151739,
            0.08527215378,
            -0.01936726044,
            -0.0007510762282,
            0.002184872175,
            -0.0003646526992,
            -0.000234465724,
        ),
    ),
    "float64": (
        3.5,
        (
            0.7444160754359392,
            -0.5655618160537788,
            0.31542496988780083,
            -0.11605092871384262,
            0.017407832608507205,
            0.006476218910716305,
            -0.003189101156316368,
            -0.00044501282032279033,
            0.0004766580437661057,
            6.70323082853635e-05,
            -7.55895490342091e-05,
            -1.8785174684300486e-05,
            1.1522784936643697e-05,
            5.643079567212157e-06,
            -1.1999727692341025e-06,
            -1.4672278842499845e-06,
            -9.381872142210632e-08,
            2.8695774860816696e-07,
            7.998832118713388e-08,
            -3.106424018380949e-08,
            -1.4050864064776101e-08,
        ),
    ),
}


def _single(o: Any) -> bool:
    return o.dtype == np.float32


def _times(o: Any, factor: Any, x: Any) -> Any:
    return x if factor == 1.0 else o("Mul", factor, x)


def relu(o, x):
    return o("Relu", x)


def relu_max(o, x, high):
    return o("Clip", x, 0.0, high)


def relu_general(o, x, slope, low, high, threshold):
    below = o("Mul", slope, o("Sub", x, threshold))
    bounds = ["" if low == -math.inf else low, "" if high == math.inf else high]
    inside = x if bounds == ["", ""] else o("Clip", x, *(bounds if bounds[1] != "" else bounds[:1]))
    return o("Where", o("Greater", x, threshold), inside, below)


def leaky_relu(o, x, slope):
    if _single(o):
        return o("LeakyRelu", x, alpha=slope)
    return o("Where", o("Less", x, 0.0), o("Mul", slope, x), x)


def sigmoid(o, x):
    return o("Reciprocal", o("Add", o("Exp", o("Neg", x)), 1.0))


def tanh(o, x):
    return o("Tanh", x)


def _expm1(o, x):
    """e**x - 1 = 2 t / (1 - t) with t = tanh(x / 2): for negative x nothing cancels."""
    t = o("Tanh", o("Mul", x, 0.5))
    return o("Div", o("Add", t, t), o("Sub", 1.0, t))


def elu(o, x, alpha):
    return o("Where", o("Greater", x, 0.0), x, _times(o, alpha, _expm1(o, x)))


def selu(o, x):
    both = o("Where", o("Greater", x, 0.0), x, o("Mul", SELU_ALPHA, _expm1(o, x)))
    return o("Mul", SELU_SCALE, both)


def celu(o, x, alpha):
    inner = x if alpha == 1.0 else o("Div", x, alpha)
    return o("Where", o("Greater", x, 0.0), x, _times(o, alpha, _expm1(o, inner)))


def gelu(o, x):
    """x N(x) = max(x, 0) - a Q(a) with a = abs(x), N the normal distribution, Q its tail."""
    k, coefficients = NORMAL_TAIL[o.dtype.name]
    a = o("Abs", x)
    s = o("Reciprocal", o("Add", a, k))
    u = o("Sub", 1.0, o("Mul", 2 * k, s))
    p: Any = coefficients[-1]
    for c in coefficients[-2::-1]:
        p = o("Add", o("Mul", p, u), c)
    density = o("Exp", o("Mul", o("Mul", a, a), -0.5))
    return o("Sub", o("Relu", x), o("Mul", o("Mul", a, s), o("Mul", p, density)))


def gelu_tanh(o, x):
    """x (1 + tanh w) / 2 = x / (1 + e**(-2 w))."""
    linear, cubic = -math.sqrt(8 / math.pi), -math.sqrt(8 / math.pi) * 0.044715
    w = o("Mul", x, o("Add", o("Mul", o("Mul", x, x), cubic), linear))
    return o("Div", x, o("Add", o("Exp", w), 1.0))


def silu(o, x):
    return o("Div", x, o("Add", o("Exp", o("Neg", x)), 1.0))


def softplus(o, x):
    if _single(o):
        return o("Softplus", x)
    # log(1 + e) = log u + (e - (u - 1)) / u, where u is what 1 + e is rounded to
    e = o("Exp", o("Neg", o("Abs", x)))
    u = o("Add", e, 1.0)
    lost = o("Div", o("Sub", e, o("Sub", u, 1.0)), u)
    return o("Add", o("Relu", x), o("Add", o("Log", u), lost))


def mish(o, x):
    return o("Mul", x, o("Tanh", softplus(o, x)))


def log_sigmoid(o, x):
    return o("Neg", softplus(o, o("Neg", x)))


def softsign(o, x):
    return o("Softsign", x) if _single(o) else o("Div", x, o("Add", o("Abs", x), 1.0))


def squareplus(o, x, b):
    """(x + s) / 2 with s = sqrt(x * x + b); for x < 0, where that cancels, b / 2 / (s - x)."""
    root = o("Sqrt", o("Add", o("Mul", x, x), b))
    total = o("Mul", o("Add", o("Abs", x), root), 0.5)
    return o("Where", o("Less", x, 0.0), o("Div", b / 4, total), total)


def exponential(o, x):
    return o("Exp", x)


def hard_sigmoid(o, x):
    return o("Div", o("Clip", o("Add", x, 3.0), 0.0, 6.0), 6.0)


def hard_silu(o, x):
    return o("Mul", x, hard_sigmoid(o, x))


def hard_tanh(o, x):
    return o("Clip", x, -1.0, 1.0)


def tanh_shrink(o, x):
    return o("Sub", x, o("Tanh", x))


# Shrink has its bounds as float32 always, and 0 for NaN.
def soft_shrink(o, x, threshold):
    return o("Sub", x, o("Clip", x, -threshold, threshold))


def hard_shrink(o, x, threshold):
    return o("Where", o("LessOrEqual", o("Abs", x), threshold), 0.0, x)


def threshold(o, x, threshold, value):
    return o("Where", o("LessOrEqual", x, threshold), value, x)


def sparse_sigmoid(o, x):
    return o("Mul", o("Clip", o("Add", x, 1.0), 0.0, 2.0), 0.5)


def sparse_plus(o, x):
    s = sparse_sigmoid(o, x)
    return o("Max", o("Mul", s, s), x)


def softmax(o, x):
    return o("Softmax", x, axis=-1)


def log_softmax(o, x):
    return o("LogSoftmax", x, axis=-1)


def sparsemax(o, x):
    """max(d - tau, 0), d below their largest: of d in falling order, the first k with k d > sum - 1 count."""
    last = np.array([-1], np.int64)
    # ReduceMax may pass NaN by; it has to reach the whole row.
    nan = o("ReduceSum", o("Mul", x, 0.0), last, keepdims=1)
    d = o("Sub", x, o("Add", o("ReduceMax", x, axes=[-1], keepdims=1), nan))
    down = o("TopK", d, o.size(), axis=-1, largest=1, sorted=1)
    sums = o("CumSum", down, np.array(1, np.int64))
    inside = o("Greater", o("Mul", down, o.ranks()), o("Sub", sums, 1.0))
    count = o("ReduceSum", o("Where", inside, 1.0, 0.0), last, keepdims=1)
    total = o("ReduceSum", o("Where", inside, down, 0.0), last, keepdims=1)
    return o("Relu", o("Sub", d, o("Div", o("Sub", total, 1.0), count)))


WRITERS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        relu,
        relu_max,
        relu_general,
        leaky_relu,
        sigmoid,
        tanh,
        elu,
        selu,
        celu,
        gelu,
        gelu_tanh,
        silu,
        mish,
        softplus,
        log_sigmoid,
        softsign,
        squareplus,
        exponential,
        hard_sigmoid,
        hard_silu,
        hard_tanh,
        tanh_shrink,
        soft_shrink,
        hard_shrink,
        threshold,
        sparse_sigmoid,
        sparse_plus,
        softmax,
        log_softmax,
        sparsemax,
    )
}
