"""The activations in C: one entry each, with `predict`'s answers to NaN, infinities and large numbers.

In the texts ``$T`` is the type, ``$p`` the prefix of names, ``$f`` the ending of constants and of libm's
functions. NaN fails every comparison, which decides how each is turned: ``x < 0 ? 0 : x`` keeps it.
"""

from __future__ import annotations

from string import Template
from typing import NamedTuple

import numpy as np

from fastnn.exporting.c_text import Words


class Scalar(NamedTuple):
    """``f(x, parameters)`` of one number: the body of a function."""

    body: str
    parameters: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


SCALARS = {
    "relu": Scalar("return x < 0.0$f ? 0.0$f : x;"),
    "leaky_relu": Scalar("return x < 0.0$f ? slope * x : x;", ("slope",)),
    "relu_max": Scalar("return x < 0.0$f ? 0.0$f : x > most ? most : x;", ("most",)),
    # -inf * 0 would be NaN, so what the slope multiplies is bounded
    "relu_general": Scalar(
        """\
const $T below = x - threshold;
    const $T above = x < low ? low : x;
    if (x > threshold)
        return above > high ? high : above;
    return slope * (below < -$largest ? -$largest : below);""",
        ("slope", "low", "high", "threshold"),
    ),
    # of e^-|x|, which cannot overflow
    "sigmoid": Scalar(
        """\
const $T e = exp$f(-fabs$f(x));
    return (x < 0.0$f ? e : 1.0$f) / (1.0$f + e);"""
    ),
    "tanh": Scalar("return tanh$f(x);"),
    "elu": Scalar("return x > 0.0$f ? x : alpha * expm1$f(x);", ("alpha",)),
    "selu": Scalar(
        "return x > 0.0$f ? 1.05070098735548049$f * x : 1.75809934084737686$f * expm1$f(x);",
    ),
    "celu": Scalar("return x > 0.0$f ? x : alpha * expm1$f(x / alpha);", ("alpha",)),
    # x N(x): erfc, as 1 + erf cancels below zero; bounded where N is 0, as -inf * 0 would be NaN
    "gelu": Scalar(
        """\
const $T normal = 0.5$f * erfc$f(-0.707106781186547524$f * x);
    return (x < -40.0$f ? -40.0$f : x) * normal;"""
    ),
    # x (1 + tanh u) / 2 = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
    "gelu_tanh": Scalar(
        """\
const $T w = x * (1.59576912160573071$f + 0.0713548162726002488$f * x * x);
    return (x < -32.0$f ? -32.0$f : x) * ${p}_sigmoid(w);""",
        needs=("sigmoid",),
    ),
    "silu": Scalar("return (x < -$exp_low ? -$exp_low : x) * ${p}_sigmoid(x);", needs=("sigmoid",)),
    # tanh(log(1 + e^x)) as a quotient in e^-|x|
    "mish": Scalar(
        """\
const $T e = exp$f(-fabs$f(x));
    const $T n = x < 0.0$f ? e * (e + 2.0$f) : 1.0$f + 2.0$f * e;
    const $T d = x < 0.0$f ? n + 2.0$f : n + 2.0$f * e * e;
    return (x < -$exp_low ? -$exp_low : x) * (n / d);"""
    ),
    "softplus": Scalar("return (x < 0.0$f ? 0.0$f : x) + log1p$f(exp$f(-fabs$f(x)));"),
    "log_sigmoid": Scalar("return (x > 0.0$f ? 0.0$f : x) - log1p$f(exp$f(-fabs$f(x)));"),
    "softsign": Scalar(
        """\
const $T u = x > $root ? $root : x < -$root ? -$root : x;
    return u / (1.0$f + fabs$f(u));"""
    ),
    # (x + sqrt(x^2 + b)) / 2; below zero, where that cancels, b / 4 divided by the same of -x
    "squareplus": Scalar(
        """\
const $T u = fabs$f(x);
    const $T sum = 0.5$f * u + 0.5$f * (u > $root ? u : sqrt$f(x * x + b));
    return x < 0.0$f ? 0.25$f * b / sum : sum;""",
        ("b",),
    ),
    "exponential": Scalar("return exp$f(x);"),
    "hard_sigmoid": Scalar(
        """\
const $T u = x + 3.0$f;
    return (u < 0.0$f ? 0.0$f : u > 6.0$f ? 6.0$f : u) / 6.0$f;"""
    ),
    "hard_silu": Scalar("return (x < -3.0$f ? -3.0$f : x) * ${p}_hard_sigmoid(x);", needs=("hard_sigmoid",)),
    "hard_tanh": Scalar("return x < -1.0$f ? -1.0$f : x > 1.0$f ? 1.0$f : x;"),
    "tanh_shrink": Scalar("return x - tanh$f(x);"),
    "soft_shrink": Scalar(
        "return x - (x < -threshold ? -threshold : x > threshold ? threshold : x);", ("threshold",)
    ),
    "hard_shrink": Scalar("return fabs$f(x) <= threshold ? 0.0$f : x;", ("threshold",)),
    "threshold": Scalar("return x <= threshold ? value : x;", ("threshold", "value")),
    "sparse_sigmoid": Scalar(
        """\
const $T u = x + 1.0$f;
    return 0.5$f * (u < 0.0$f ? 0.0$f : u > 2.0$f ? 2.0$f : u);"""
    ),
    "sparse_plus": Scalar(
        """\
const $T s = ${p}_sparse_sigmoid(x);
    return s * s > x ? s * s : x;""",
        needs=("sparse_sigmoid",),
    ),
}

_LARGEST_OF_ROW = """\
    $T largest = x[0];
    for (size_t j = 1; j < n; j++)
        largest = largest > x[j] ? largest : x[j];
"""

# Of whole rows: functions of (n, x, y), where x and y may be the same.
ROWS = {
    "softmax": _LARGEST_OF_ROW
    + """\
    $T sum = 0.0$f;
    for (size_t j = 0; j < n; j++) {
        y[j] = exp$f(x[j] - largest);
        sum += y[j];
    }
    for (size_t j = 0; j < n; j++)
        y[j] /= sum;
""",
    "log_softmax": _LARGEST_OF_ROW
    + """\
    $T sum = 0.0$f;
    for (size_t j = 0; j < n; j++)
        sum += exp$f(x[j] - largest);
    const $T logarithm = log$f(sum);
    for (size_t j = 0; j < n; j++)
        y[j] = x[j] - largest - logarithm;
""",
    "sparsemax": """\
    /* max(0, x - largest - tau), tau so that these sum to 1. Without a sort: from -1 on, tau becomes
       what would do if all that are not below it stayed, until none drops out (Michelot, 1986). It
       never falls. */
"""
    + _LARGEST_OF_ROW
    + """\
    $T tau = -1.0$f;
    int moved = 1;
    for (size_t round = 0; moved && round <= n; round++) {
        $T sum = -1.0$f;
        $T count = 0.0$f;
        for (size_t j = 0; j < n; j++)
            if (!(x[j] - largest < tau)) {
                sum += x[j] - largest;
                count += 1.0$f;
            }
        const $T next = tau > sum / count ? tau : sum / count;
        moved = next > tau;
        tau = next;
    }
    for (size_t j = 0; j < n; j++) {
        const $T above = x[j] - largest - tau;
        y[j] = above < 0.0$f ? 0.0$f : above;
    }
""",
}

# A row divided by its deviation (and by the root of its mean square); share: 1 / n.
NORMALIZERS = {
    "standardize_row": """\
    $T mean = 0.0$f;
    for (size_t j = 0; j < n; j++)
        mean += x[j];
    mean *= share;
    $T variance = 0.0$f;
    for (size_t j = 0; j < n; j++) {
        y[j] = x[j] - mean;
        variance += y[j] * y[j];
    }
    const $T factor = 1.0$f / sqrt$f(variance * share + epsilon);
    for (size_t j = 0; j < n; j++)
        y[j] *= factor;
""",
    "divide_row_by_rms": """\
    $T square = 0.0$f;
    for (size_t j = 0; j < n; j++)
        square += x[j] * x[j];
    const $T factor = 1.0$f / sqrt$f(square * share + epsilon);
    for (size_t j = 0; j < n; j++)
        y[j] = x[j] * factor;
""",
}


def definitions(used: set[str], words: Words) -> list[str]:
    """Return the functions of these names, and those that they call, in an order in which C takes them."""
    used = used | {needed for name in used & set(SCALARS) for needed in SCALARS[name].needs}
    info = np.finfo(words.dtype)
    tokens = {
        "T": words.real,
        "p": words.prefix,
        "f": words.suffix,
        "largest": words.number(float(info.max)),
        "root": "1e19f" if words.suffix else "1e154",  # its square is finite
        "exp_low": "87.0f" if words.suffix else "708.0",  # e^-x is not yet subnormal
    }
    found = []
    for name, (body, parameters, needs) in sorted(SCALARS.items(), key=lambda item: len(item[1].needs)):
        if name in used:
            assert set(needs) <= used
            taken = "".join(f", $T {parameter}" for parameter in parameters)
            found.append(f"static $T ${{p}}_{name}($T x{taken})\n{{\n    {body}\n}}")
    for bodies, more in ((ROWS, ""), (NORMALIZERS, ", $T share, $T epsilon")):
        for name, body in bodies.items():
            if name in used:
                found.append(f"static void ${{p}}_{name}(size_t n{more}, const $T *x, $T *y)\n{{\n{body}}}")
    return [Template(text).substitute(tokens) for text in found]
