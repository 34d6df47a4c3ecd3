"""What several test modules share: problems, digests, finite differences, arrays in awkward memory."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from itertools import count
from unittest import SkipTest

import numpy as np
from oracle import Net, kinks, loss_kinks

THREADS = (1, 2, 3, 5, 8)

HYPER = {
    "sgd": {"learning_rate": 0.01, "momentum": 0.0, "nesterov": 0.0},
    "rmsprop": {"learning_rate": 0.001, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7, "centered": 0.0},
    "adam": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "amsgrad": 0.0},
    "adamax": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7},
    "nadam": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7},
    "adagrad": {"learning_rate": 0.001, "initial_accumulator_value": 0.1, "epsilon": 1e-7},
    "adadelta": {"learning_rate": 0.001, "rho": 0.95, "epsilon": 1e-7},
    "lion": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.99},
    "ftrl": {
        "learning_rate": 0.001,
        "learning_rate_power": -0.5,
        "initial_accumulator_value": 0.1,
        "l1_regularization_strength": 0.0,
        "l2_regularization_strength": 0.0,
        "l2_shrinkage_regularization_strength": 0.0,
        "beta": 0.0,
    },
    "lamb": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7},
    "adafactor": {
        "learning_rate": 0.001,
        "beta_2_decay": -0.8,
        "epsilon_1": 1e-30,
        "epsilon_2": 1e-3,
        "clip_threshold": 1.0,
        "relative_step": 1.0,
    },
    "muon": {
        "learning_rate": 0.001,
        "adam_beta_1": 0.9,
        "adam_beta_2": 0.999,
        "epsilon": 1e-7,
        "adam_weight_decay": 0.004,
        "adam_lr_ratio": 1.0,
        "momentum": 0.95,
        "nesterov": 1.0,
        "ns_steps": 5.0,
        "muon_a": 3.4445,
        "muon_b": -4.775,
        "muon_c": 2.0315,
        "rms_rate": 0.2,
    },
}

# Every line of csrc/optimizers.def that works on single elements, each hyper-parameter at a value of its own.
VARIANTS = {
    "sgd": ("sgd", {"learning_rate": 0.1}),
    "sgd_momentum": ("sgd", {"learning_rate": 0.1, "momentum": 0.9}),
    "sgd_nesterov": ("sgd", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": 1.0}),
    "rmsprop": ("rmsprop", {"learning_rate": 0.02, "rho": 0.8, "epsilon": 1e-4}),
    "rmsprop_momentum": ("rmsprop", {"learning_rate": 0.02, "momentum": 0.6}),
    "rmsprop_centered": ("rmsprop", {"learning_rate": 0.02, "centered": 1.0, "epsilon": 1e-3}),
    "rmsprop_centered_momentum": (
        "rmsprop",
        {"learning_rate": 0.02, "momentum": 0.7, "centered": 1.0, "rho": 0.7, "epsilon": 1e-3},
    ),
    "adam": ("adam", {"learning_rate": 0.01}),
    "adam_amsgrad": ("adam", {"learning_rate": 0.02, "beta_2": 0.7, "amsgrad": 1.0}),
    "adamax": ("adamax", {"learning_rate": 0.02, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}),
    "nadam": ("nadam", {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-4}),
    "adagrad": ("adagrad", {"learning_rate": 0.1, "initial_accumulator_value": 0.3, "epsilon": 1e-3}),
    "adadelta": ("adadelta", {"learning_rate": 3.0, "rho": 0.8, "epsilon": 1e-4}),
    "lion": ("lion", {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.9}),
    "ftrl": (
        "ftrl",
        {
            "learning_rate": 0.2,
            "initial_accumulator_value": 0.4,
            "l1_regularization_strength": 0.03,
            "l2_regularization_strength": 0.02,
            "l2_shrinkage_regularization_strength": 0.01,
            "beta": 0.05,
        },
    ),
    "ftrl_power": ("ftrl", {"learning_rate": 0.1, "learning_rate_power": -0.3}),
}
# The others, whose steps look at whole variables.
DIRECTIONS = {
    "lamb": ("lamb", {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}),
    "adafactor": (
        "adafactor",
        {
            "learning_rate": 0.1,
            "beta_2_decay": -0.6,
            "epsilon_1": 1e-10,
            "epsilon_2": 0.01,
            "clip_threshold": 0.7,
        },
    ),
    "muon": (
        "muon",
        {
            "learning_rate": 0.05,
            "adam_beta_1": 0.8,
            "adam_beta_2": 0.95,
            "adam_weight_decay": 0.3,
            "adam_lr_ratio": 0.5,
            "momentum": 0.9,
            "ns_steps": 3,
            "muon_a": 2.0,
            "muon_b": -1.5,
            "muon_c": 0.5,
            "weight_decay": 0.1,
        },
    ),
}


def new_slots(name, hyper, w):
    """What an optimizer with these settings remembers of w before its first step, by the oracle."""
    import oracle

    options = {key: value for key, value in hyper.items() if key not in ("weight_decay", "clipvalue")}
    return [np.full_like(w, first) for first in oracle.OPTIMIZERS[name](**options).first()]


@contextmanager
def ctrl_c_after(seconds):
    """SIGINT to this process after so long; whoever started us may have had it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)


def run_check(estimator, check):
    """One of scikit-learn's checks. Some are of a ``decision_function``, which no network has."""
    try:
        check(estimator)
    except SkipTest as skipped:
        if "does not have a decision_function" not in str(skipped):
            raise


def digest(arrays) -> str:
    """SHA-256 over the bytes of a list of arrays."""
    sha = hashlib.sha256()
    for a in arrays:
        sha.update(np.ascontiguousarray(a).tobytes())
    return sha.hexdigest()


def same_bits(a, b) -> bool:
    """Equal dtypes, shapes and bytes, where any NaN equals any NaN."""
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    nan = np.isnan(a)
    return np.array_equal(nan, np.isnan(b)) and a[~nan].tobytes() == b[~nan].tobytes()


# ---- problems ------------------------------------------------------------------------------------


def targets(loss, rng, rows, outputs, dtype=np.float64):
    """Targets of the kind that a loss wants, (rows, outputs), or (rows, 1) class ids for a sparse loss."""
    if loss.startswith("sparse") or "generalized" in loss:
        return rng.integers(0, outputs, size=(rows, 1)).astype(dtype)
    if loss == "categorical_hinge":
        return np.eye(outputs, dtype=dtype)[rng.integers(0, outputs, size=rows)]
    if loss.startswith("categorical"):
        # Rows that need not sum to one, as Keras takes them too: softmax's gradient is then a * sum(y) - y.
        return (rng.dirichlet(np.ones(outputs), size=rows) * rng.uniform(0.5, 1.5, size=(rows, 1))).astype(
            dtype
        )
    if loss.startswith("kl"):
        return rng.dirichlet(np.ones(outputs), size=rows).astype(dtype)
    if loss.startswith(("binary", "tversky")):
        return rng.random((rows, outputs)).astype(dtype)
    if loss.endswith("hinge"):
        return rng.integers(0, 2, size=(rows, outputs)).astype(dtype)
    if loss == "poisson":
        return rng.poisson(2.0, size=(rows, outputs)).astype(dtype)
    if loss == "mean_squared_logarithmic_error":
        return rng.gamma(1.0, size=(rows, outputs)).astype(dtype)
    return rng.normal(size=(rows, outputs)).astype(dtype)


def positive(loss):
    """Whether a loss means outputs between 0 and 1, or at least above 0."""
    return any(
        part in loss for part in ("crossentropy", "cross_entropy", "kl_", "poisson", "logarithmic", "tversky")
    )


def random_weights(layers, input_dim, rng, dtype=np.float64, scale=1.0):
    """Kernels of variance scale²/fan_in and small biases."""
    weights = []
    for units, _, use_bias in layers:
        weights.append((scale * rng.normal(size=(input_dim, units)) / np.sqrt(input_dim)).astype(dtype))
        if use_bias:
            weights.append((0.1 * rng.normal(size=units)).astype(dtype))
        input_dim = units
    return weights


def default_activation(loss, from_logits=False):
    """The output activation that goes with a loss."""
    if from_logits:
        return "linear"
    if loss in ("mean_squared_logarithmic_error", "poisson"):
        return "softplus"
    if loss.startswith(("binary", "tversky")):
        return "sigmoid"
    return "softmax" if positive(loss) else "linear"


def gradient_case(activation, loss, from_logits, *, hidden=("tanh",), rows=7, inputs=5, outputs=3):
    """(layers, float64 weights, x, y), every kink (of relu, the absolute value, clipping) well away.

    A finite difference across a kink is no derivative, so seeds are tried until none is near.
    """
    layers = [(4 + i, name, i % 2 == 0) for i, name in enumerate(hidden)] + [(outputs, activation, True)]
    probabilities = positive(loss) and not from_logits
    for seed in count():
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(rows, inputs)), targets(loss, rng, rows, outputs)
        weights = random_weights(layers, inputs, rng)
        if probabilities and activation in ("linear", "relu", "tanh"):
            weights[-2] *= 0.1  # outputs that can pass for probabilities
            weights[-1][...] = rng.uniform(0.4, 0.6, size=outputs)
        if _clear_of_kinks(layers, weights, x, y, loss, probabilities):
            return layers, weights, x, y


def _clear_of_kinks(layers, weights, x, y, loss, probabilities, gap=1e-3):
    net = Net(layers, weights)
    found = net.outputs(x)
    for (activation, kernel, bias), before in zip(net._pieces(), found[:-1], strict=True):
        z = before @ kernel + (0 if bias is None else bias)
        if any(np.abs(z - kink).min() < gap for kink in kinks(activation)):
            return False
    a = found[-1]
    if loss_kinks(loss, y, a).min() < gap:
        return False
    return not probabilities or bool((a > gap).all() and (a < 1 - gap).all())


def central_differences(f, arrays, h=1e-5):
    """df/d(array) for arrays of float64, moved in place."""
    gradients = []
    for a in arrays:
        g = np.empty_like(a)
        for i in np.ndindex(a.shape):
            kept = a[i]
            a[i] = kept + h
            up = f()
            a[i] = kept - h
            down = f()
            a[i] = kept
            g[i] = (up - down) / (2 * h)
        gradients.append(g)
    return gradients


# ---- compiled networks ---------------------------------------------------------------------------


def compiled(
    layers, input_dim, dtype, weights, loss, *, from_logits=False, optimizer="sgd", metrics=(), **hyper
):
    """A native Network with these weights, compiled."""
    from fastnn.kernels.network import Network

    net = Network(input_dim, list(layers), np.dtype(dtype).name)
    net.set_weights([np.ascontiguousarray(w, dtype=dtype) for w in weights])
    net.compile(loss, from_logits, optimizer, {**HYPER[optimizer], **hyper}, list(metrics))
    return net


def train(net, x, y, *, epochs, batch_size, shuffle=False, seed=1, num_threads=1, **more):
    """Run a Training to its end and return it."""
    from fastnn.kernels.training import Training

    training = Training(
        net,
        x,
        y,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        epochs=epochs,
        num_threads=num_threads,
        **more,
    )
    done = 0
    while done < epochs and not training.finished:
        done += training.run(epochs - done, 60.0)
    return training


@contextmanager
def instruction_set(name):
    """Within, everything runs on this instruction set."""
    from fastnn.kernels import runtime

    before = runtime.instruction_set()
    runtime.use_instruction_set(name)
    try:
        assert runtime.instruction_set() == name
        yield
    finally:
        runtime.use_instruction_set(before)


def attempt(call, errors=(ValueError, TypeError)):
    """(the call's result, None), or (None, what the error said)."""
    try:
        return call(), None
    except errors as error:
        return None, str(error)


# ---- models --------------------------------------------------------------------------------------


def mlp(inputs, *layers, seed=0, dtype=None, **compile_arguments):
    """A Sequential of Dense(units, activation), its seed set, compiled where there are arguments to that."""
    import fastnn

    fastnn.utils.set_random_seed(seed)
    model = fastnn.Sequential(
        [fastnn.Input(shape=(inputs,), dtype=dtype)] if dtype else [fastnn.Input(shape=(inputs,))]
    )
    for units, activation in layers:
        model.add(fastnn.layers.Dense(units, activation=activation, dtype=dtype))
    if compile_arguments:
        model.compile(**compile_arguments)
    return model


def iterations(model) -> int:
    return int(np.asarray(model.optimizer.iterations))


def state(model):
    """All that a wrong argument must leave alone: weights, and the optimizer's counter and slots."""
    weights, optimizer = digest(model.get_weights()), getattr(model, "optimizer", None)
    if optimizer is None:
        return weights, None
    # No public name yet for what an optimizer remembers: ask the networks that it trains.
    slots = [w for engine in optimizer._bound() for slot in engine.net.optimizer_slots() for w in slot]
    return weights, iterations(model), digest(slots) if iterations(model) else None


# ---- arrays in awkward memory --------------------------------------------------------------------


def misaligned(a):
    """The same values at an address that no element may have."""
    raw = np.zeros(a.nbytes + 1, dtype=np.uint8)
    view = raw[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    assert a.size == 0 or not view.flags.aligned
    return view


def read_only(a):
    a = np.array(a)
    a.flags.writeable = False
    return a


def every_other(a):
    """The same values, strided along every axis."""
    wide = np.full([2 * n + 1 for n in a.shape], np.nan, dtype=a.dtype)
    view = wide[tuple(slice(0, 2 * n, 2) for n in a.shape)]
    view[...] = a
    return view


def backwards(a):
    """The same values with negative strides."""
    return np.array(a[::-1, ::-1] if a.ndim == 2 else a[::-1])[tuple([slice(None, None, -1)] * a.ndim)]


def big_endian(a):
    return a.astype(a.dtype.newbyteorder(">"))


AWKWARD = {
    "fortran": np.asfortranarray,
    "misaligned": misaligned,
    "read_only": read_only,
    "strided": every_other,
    "backwards": backwards,
    "big_endian": big_endian,
}


# ---- programs of their own -----------------------------------------------------------------------


def run_python(code, *, timeout=120, cwd=None, **environment):
    """Run code in a fresh interpreter; return its standard output."""
    env = {**os.environ, "MPLBACKEND": "Agg", **environment}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout, env=env, cwd=cwd
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


# ---- the order of rows ---------------------------------------------------------------------------


def row_orders(rows, seed, epochs, first=0):
    """The orders in which shuffled epochs visit rows, found from outside.

    `first`: epochs that the network has behind it.
    A linear unit over one-hot rows, one row a step: each step moves just the weight of the row that it saw.
    """
    from fastnn.kernels.training import Training

    eye, ones = np.eye(rows), np.ones((rows, 1))
    net = compiled([(1, "linear", False)], rows, np.float64, [np.zeros((rows, 1))], "mean_squared_error")
    if first:
        train(net, eye, ones, epochs=first, batch_size=rows)
    training = Training(net, eye, ones, batch_size=1, shuffle=True, seed=seed, epochs=epochs, num_threads=1)
    orders, before = [], net.weights()[0]
    for _ in range(epochs):
        order = []
        for _ in range(rows):
            training.run(1, 0.0)
            after = net.weights()[0]
            (moved,) = np.flatnonzero(after != before)
            order.append(moved)
            before = after
        orders.append(np.array(order))
    assert training.epoch == epochs
    return orders


def at_once(works):
    """Run functions in threads of their own, all begun together; return what they raised."""
    errors, start = [], threading.Barrier(len(works))

    def run(work):
        start.wait()
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors
