"""Compiling and calling what model.export("model.c") writes: for test_export_c.py."""

import ctypes
import re
import shutil
import subprocess

import numpy as np
from random_models import set_weights

import fastnn as keras

COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
WARNINGS = ["-Wall", "-Wextra", "-pedantic", "-Wconversion", "-Wdouble-promotion", "-Wshadow", "-Werror"]
STRICT = ["-std=c99", *WARNINGS]


def run(*command, cwd=None):
    """Run a program to its end; return its standard output."""
    done = subprocess.run(
        [str(c) for c in command], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{command}\nexit {done.returncode}\n{done.stdout}\n{done.stderr[:4000]}"
    return done.stdout


class Library:
    """Exported models, compiled into one shared object: all sources are included by one file.

    Parameters
    ----------
    programs : dict of str to Program
        By the names of the files, which are identifiers.
    folder : Path
    """

    def __init__(self, programs, folder):
        from fastnn.exporting.c_source import write

        self.programs, self.folder = programs, folder
        for name, found in programs.items():
            write(found, str(folder / f"{name}.c"))
        self.all = folder / "all_of_them.c"
        self.all.write_text("".join(f'#include "{name}.c"\n' for name in programs))
        run(COMPILERS[0], *STRICT, "-O2", "-shared", "-fPIC", "-o", folder / "all.so", self.all, "-lm")
        self._native = ctypes.CDLL(str(folder / "all.so"))

    def predict(self, name, x, one_by_one=False):
        """Return what a model's C computes for rows ``x``."""
        found = self.programs[name]
        x = np.ascontiguousarray(x, found.dtype).reshape(len(x), found.inputs)
        out = np.full((len(x) + 1, found.outputs), -12345.0, found.dtype)
        if one_by_one:
            for row, result in zip(x, out, strict=False):
                getattr(self._native, f"{name}_predict")(_pointer(row), _pointer(result))
        else:
            rows = ctypes.c_size_t(len(x))
            getattr(self._native, f"{name}_predict_rows")(_pointer(x), _pointer(out), rows)
        assert (out[-1] == -12345.0).all(), "it wrote behind its rows"
        return out[:-1]


def _pointer(array):
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)


def stated(source):
    """Return the numbers in the comment at a source's head: {what: number}."""
    head = source.split("*/")[0]
    return {
        name: int(value)
        for name, value in re.findall(
            r"^   (parameters|constants|stack|multiply-adds|operations) +(\d+)", head, re.MULTILINE
        )
    }


# ---- random models -------------------------------------------------------------------------------

WIDTHS = (1, 2, 3, 4, 5, 7, 8, 16, 17)
ACTIVATIONS = sorted(set(keras.activations.FUNCTIONS) - {"glu", "threshold"})


def _layer(rng, columns, depth):
    """Return one layer for so many columns, and how many it returns."""
    k = keras.layers
    kind = rng.integers(0, 16)
    if kind < 5:
        units = int(rng.choice(WIDTHS))
        activation = rng.choice([None, *ACTIVATIONS])
        return k.Dense(units, activation=activation, use_bias=bool(rng.random() < 0.7)), units
    if kind < 7 and depth < 3:
        inner, width = [], columns
        for _ in range(rng.integers(1, 4)):
            layer, width = _layer(rng, width, depth + 1)
            inner.append(layer)
        if width != columns:
            inner.append(k.Dense(columns))
        return k.Residual(inner), columns
    center, scale = (bool(v) for v in rng.random(2) < 0.6)
    makers = [
        lambda: k.BatchNormalization(center=center, scale=scale),
        lambda: k.LayerNormalization(center=center, scale=scale),
        lambda: k.RMSNormalization(epsilon=0.01),
        lambda: k.PReLU(),
        lambda: k.Rescaling(rng.normal(size=columns), 0.3),
        lambda: k.Normalization(mean=rng.normal(size=columns), variance=rng.uniform(0.3, 2, columns)),
        lambda: k.Normalization(mean=0.1, variance=2.0, invert=True),
        lambda: k.ReLU(max_value=1.2, negative_slope=0.1, threshold=0.1),
        lambda: k.LeakyReLU(0.2),
        lambda: k.Softmax(),
        lambda: k.Dropout(0.3),
        lambda: k.GaussianNoise(0.1),
        lambda: k.Activation(str(rng.choice(ACTIVATIONS))),
    ]
    return makers[rng.integers(len(makers))](), columns


def random_model(seed):
    """Return a model of random layers, and rows for it."""
    rng = np.random.default_rng(seed)
    dtype = "float64" if seed % 2 else "float32"
    keras.config.set_floatx(dtype)
    try:
        columns = int(rng.choice(WIDTHS))
        shape = (columns,)
        model = keras.Sequential(name=f"random_{seed}")
        if seed % 10 == 3:
            shape, columns = (columns, 2), 2 * columns
        model.add(keras.Input(shape=shape, dtype=dtype))
        if len(shape) == 2:
            model.add(keras.layers.Flatten())
        for _ in range(rng.integers(1, 7)):
            layer, columns = _layer(rng, columns, 0)
            model.add(layer)
        units = int(rng.choice(WIDTHS))
        model.add(keras.layers.Dense(units, activation=rng.choice([None, None, *ACTIVATIONS])))
        set_weights(model, rng)
    finally:
        keras.config.set_floatx("float32")
    return model, rng.normal(size=(9, *shape)).astype(dtype)
