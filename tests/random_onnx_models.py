"""Random models for what leaves fastnn and comes back: any layer, with weights as of trained ones.

python tests/random_onnx_models.py 17      prints what model 17 consists of
"""

import sys

import numpy as np
import oracle

import fastnn
from fastnn import layers
from fastnn.convert.onnx_pieces import activation as _piece

SIZES = (1, 2, 3, 5, 7, 8, 16, 17, 33)
ROWS = 40
# Outputs that grow with e**x or do not end: only as a last activation would they drown everything else.
STEEP = ("exponential",)
ACTIVATIONS = [s for s in oracle.SPECIFICATIONS if (s if isinstance(s, str) else s[0]) not in STEEP]


def activation(specification):
    """The activation of a compiled name and parameters, as the oracle has them."""
    name, parameters = (specification, ()) if isinstance(specification, str) else specification
    return _piece(name, *parameters).options["activation"]


def _dense(rng, units, dtype):
    chosen = activation(ACTIVATIONS[rng.integers(len(ACTIVATIONS))])
    return layers.Dense(units, activation=chosen, use_bias=bool(rng.random() < 0.8), dtype=dtype)


def _normalization(rng, columns, dtype):
    normal = layers.Normalization(dtype=dtype, invert=bool(rng.random() < 0.2))
    normal.adapt(rng.normal(rng.normal(), rng.uniform(0.5, 2, columns), size=(50, columns)))
    return normal


def _between(rng, columns, dtype):
    """A layer that keeps the number of columns."""
    kinds = [
        lambda: layers.BatchNormalization(
            epsilon=10.0 ** -rng.integers(2, 6),
            center=bool(rng.random() < 0.7),
            scale=bool(rng.random() < 0.7),
            dtype=dtype,
        ),
        lambda: layers.LayerNormalization(
            epsilon=10.0 ** -rng.integers(2, 6),
            center=bool(rng.random() < 0.7),
            scale=bool(rng.random() < 0.7),
            dtype=dtype,
        ),
        lambda: layers.RMSNormalization(dtype=dtype),
        lambda: _normalization(rng, columns, dtype),
        lambda: layers.Rescaling(rng.uniform(0.5, 2), rng.normal(), dtype=dtype),
        lambda: layers.Rescaling(rng.uniform(0.5, 2, columns), rng.normal(size=columns), dtype=dtype),
        lambda: layers.PReLU(dtype=dtype),
        lambda: layers.LeakyReLU(rng.uniform(0, 0.5), dtype=dtype),
        lambda: layers.ELU(rng.uniform(0.3, 1.5), dtype=dtype),
        lambda: layers.ReLU(rng.uniform(1, 6), rng.uniform(0, 0.3), rng.normal() / 4, dtype=dtype),
        lambda: layers.Softmax(dtype=dtype),
        lambda: layers.Activation(activation(ACTIVATIONS[rng.integers(len(ACTIVATIONS))]), dtype=dtype),
        lambda: layers.Dropout(0.3, dtype=dtype),
        lambda: layers.AlphaDropout(0.2, dtype=dtype),
        lambda: layers.GaussianNoise(0.1, dtype=dtype),
        lambda: layers.GaussianDropout(0.1, dtype=dtype),
        lambda: layers.ActivityRegularization(1e-3, dtype=dtype),
        lambda: layers.Residual(_inside(rng, columns, dtype), dtype=dtype),
    ]
    return kinds[rng.integers(len(kinds))]()


def _inside(rng, columns, dtype):
    found = [_dense(rng, int(rng.choice(SIZES)), dtype)]
    if rng.random() < 0.3:
        found.append(layers.Residual([_dense(rng, found[0].units, dtype)], dtype=dtype))
    return [*found, _dense(rng, columns, dtype)]


def model(seed):
    """Return random model number ``seed``, built, and rows for it."""
    rng = np.random.default_rng(seed)
    dtype = ("float32", "float64")[seed % 2]
    columns = int(rng.choice(SIZES))
    image = rng.random() < 0.1
    shape = (2, columns) if image else (columns,)
    stack = [layers.Flatten(dtype=dtype)] if image else []
    columns = columns * 2 if image else columns
    inputs = columns
    for _ in range(rng.integers(1, 6)):
        for _ in range(rng.integers(0, 2)):
            stack.append(_between(rng, columns, dtype))
        columns = int(rng.choice(SIZES))
        stack.append(_dense(rng, columns, dtype))
    if rng.random() < 0.3:
        stack.append(layers.LayerNormalization(dtype=dtype))
        stack.append(
            layers.Activation(["softmax", "log_softmax", "exponential"][rng.integers(3)], dtype=dtype)
        )
    made = fastnn.Sequential([layers.Input(shape, dtype=dtype), *stack], name=f"random_{seed}")
    made.set_weights([_weight(rng, v) for v in made.weights])
    return made, rng.normal(size=(ROWS, inputs)).astype(dtype).reshape(ROWS, *shape)


def _weight(rng, v):
    """Values that suit a weight's name."""
    if v.name == "kernel":
        return rng.normal(size=v.shape) / np.sqrt(v.shape[0])
    if v.name in ("gamma", "scale", "moving_variance"):
        return rng.uniform(0.3, 2, v.shape)
    return rng.normal(size=v.shape) / 2


if __name__ == "__main__":
    model(int(sys.argv[1]))[0].summary()
