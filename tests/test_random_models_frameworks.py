"""A hundred random models each way through PyTorch and through Keras: the predictions agree.

They differ by at most 1e-6 of the largest magnitude among a model's outputs (element by element it would be a
question of which small outputs are differences of large numbers). Half of the models are float32, in which
normalization and ``x - tanh(x)`` can make more of rounding: of the few for which that is so, the same model
in float64 has to agree so far.
"""

import contextlib
import copy
from contextlib import contextmanager

import numpy as np
import pytest
import random_networks
from random_networks import distance, networks, of_fastnn, of_keras, rows, set_weights

import fastnn
from fastnn.convert import from_keras, from_torch, to_keras, to_torch

MODELS, PARTS = 100, 10
WITHIN, ROUNDING, EXCEPTIONS = 1e-6, 1e-5, 1
# Keras's sparsemax (3.15) is not the projection that it should be, see test_against_frameworks.py.
WITHOUT = {"keras": ("sparsemax",), "torch": ()}


def cases(part, framework):
    """(number, network) of a part of the models."""
    found = enumerate(networks(MODELS, 1, WITHOUT[framework]))
    return [(i, network) for i, network in found if i % PARTS == part]


def dtype_of(i):
    return ("float32", "float64")[i // PARTS % 2]


def rows_for(i, network, dtype):
    x = rows(i, dtype)
    return x.reshape(len(x), -1, 3) if network[0][0] == "Flatten" else x


def made(i, network, dtype):
    """fastnn's model of a network, its weights drawn."""
    model = of_fastnn(network, dtype)
    set_weights(model.weights, np.random.default_rng(i))
    return model


def agree(parts, outputs):
    """Raise AssertionError where ``outputs(i, network, dtype)`` are two arrays that differ."""
    exceptions = 0
    for i, network in parts:
        found = distance(*outputs(i, network, dtype_of(i)))
        if WITHIN < found < ROUNDING and dtype_of(i) == "float32":
            exceptions += 1
            found = distance(*outputs(i, network, "float64"))
        assert found <= WITHIN, (i, dtype_of(i), network)
    assert exceptions <= EXCEPTIONS


def same_bits(ours, theirs):
    for got, want in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)
        assert got.dtype == want.dtype


# ---- PyTorch -------------------------------------------------------------------------------------


def torch_outputs(module, x):
    import torch

    with torch.no_grad():
        return module(torch.tensor(x)).numpy()


@pytest.mark.parametrize("part", range(PARTS))
def test_to_torch(part):
    pytest.importorskip("torch")

    def outputs(i, network, dtype):
        model, x = made(i, network, dtype), rows_for(i, network, dtype)
        module = to_torch(model)
        again = from_torch(module, input_shape=x.shape[1:])
        same_bits(again, model)
        assert distance(again.predict(x), model.predict(x)) <= WITHIN
        return torch_outputs(module, x), model.predict(x)

    agree(cases(part, "torch"), outputs)


@pytest.mark.parametrize("part", range(PARTS))
def test_from_torch(part):
    torch = pytest.importorskip("torch")
    import random_modules

    def outputs(i, module, dtype):
        x = rows(i, dtype)
        x = x.reshape(len(x), -1, 3) if isinstance(module[0], torch.nn.Flatten) else x
        original = copy.deepcopy(module).to(getattr(torch, dtype)).eval()
        model = from_torch(original, input_shape=x.shape[1:])
        assert model.dtype == dtype
        return model.predict(x), torch_outputs(original, x)

    modules = enumerate(random_modules.modules(MODELS, 1))
    agree([(i, module) for i, module in modules if i % PARTS == part], outputs)


# ---- Keras ---------------------------------------------------------------------------------------


@contextmanager
def precision(dtype, monkeypatch):
    """Within, Keras computes in this dtype: a table of its says that float64 is float32 but on TensorFlow."""
    import keras
    from keras.src.backend.common import dtypes

    with monkeypatch.context() as patch, contextlib.ExitStack() as stack:
        if dtype == "float64":
            patch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
            if keras.backend.backend() == "jax":
                import jax

                stack.enter_context(jax.enable_x64(True))
        yield


def keras_outputs(model, x):
    import keras

    return keras.ops.convert_to_numpy(model(x, training=False))


@pytest.mark.filterwarnings("ignore:You are using a softmax over axis", "ignore:__array__ implementation")
@pytest.mark.parametrize("part", range(PARTS))
def test_to_keras(part, monkeypatch):
    pytest.importorskip("keras")

    def outputs(i, network, dtype):
        with precision(dtype, monkeypatch):
            model, x = made(i, network, dtype), rows_for(i, network, dtype)
            twin = to_keras(model)
            again = from_keras(twin)
            same_bits(again, model)
            assert distance(again.predict(x), model.predict(x)) <= WITHIN
            return keras_outputs(twin, x), model.predict(x)

    agree(cases(part, "keras"), outputs)


@pytest.mark.filterwarnings("ignore:You are using a softmax over axis", "ignore:__array__ implementation")
@pytest.mark.parametrize("part", range(PARTS))
def test_from_keras(part, monkeypatch):
    pytest.importorskip("keras")

    def outputs(i, network, dtype):
        with precision(dtype, monkeypatch):
            original = of_keras(network, dtype, ("sequential", "nested", "functional")[i % 3])
            set_weights(original.weights, np.random.default_rng(i))
            model, x = from_keras(original), rows_for(i, network, dtype)
            assert model.dtype == dtype
            return model.predict(x), keras_outputs(original, x)

    agree(cases(part, "keras"), outputs)


# ---- the models themselves: nothing here needs another framework ----


def all_cases(framework):
    return [case for part in range(PARTS) for case in cases(part, framework)]


def kinds(network):
    for kind, arguments in network:
        yield kind
        if "activation" in arguments:
            yield str(arguments["activation"])
        yield from kinds(arguments.get("layers", []))


def test_all_that_there_is_occurs():
    known = {kind for kind in fastnn.layers.LAYERS if kind != "InputLayer"}
    known |= {str(card) for card in random_networks.ACTIVATIONS}
    for framework, without in WITHOUT.items():
        found = {kind for _, network in all_cases(framework) for kind in kinds(network)}
        assert known - found == {str((name, {})) for name in without}
    names = {name for name, _ in random_networks.ACTIVATIONS}
    assert names == {name for name, f in fastnn.activations.FUNCTIONS.items() if name != "glu"}


def test_half_of_them_are_of_float64():
    assert sum(dtype_of(i) == "float64" for i, _ in all_cases("torch")) == MODELS // 2


@pytest.mark.parametrize("part", [0, 1])
def test_a_small_difference_is_found(part):
    def outputs(i, network, dtype):
        model, x = made(i, network, dtype), rows_for(i, network, dtype)
        return model.predict(x + 1e-5), model.predict(x)

    with pytest.raises(AssertionError):
        agree(cases(part, "torch"), outputs)
