"""from_torch and to_torch: module by module, with large numbers and NaN, and what is refused."""

import pickle
import warnings
from collections import OrderedDict

import numpy as np
import pytest
from random_networks import ACTIVATIONS, activation
from support import run_python

import fastnn as keras
from fastnn import layers
from fastnn.convert import from_torch, to_torch

torch = pytest.importorskip("torch")
nn = torch.nn
import random_modules  # noqa: E402  (it needs PyTorch)

USUAL = np.ones(1)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(20240607)


def outputs(module, x):
    with torch.no_grad():
        return module.eval()(torch.tensor(x)).numpy()


def some_rows(dtype, columns, rng):
    """Rows of usual size, of hundreds, and with NaN."""
    x = np.vstack([rng.normal(size=(5, columns)), 100 * rng.normal(size=(3, columns)), np.ones((1, columns))])
    x[-1, -1] = np.nan
    return x.astype(dtype)


def assert_same(got, want, rtol=1e-6, x=USUAL):
    """To rtol of each row's largest magnitude, and the rounding of ``x``; NaN where it is."""
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_array_equal(np.isposinf(got), np.isposinf(want))
    finite = np.isfinite(want)
    scale = np.where(finite, np.abs(want), 0).max(axis=1, keepdims=True)
    off = np.abs(np.where(finite, got, 0) - np.where(finite, want, 0))
    rounding = np.finfo(want.dtype).eps * np.nan_to_num(np.abs(x)).max(axis=-1, keepdims=True)
    assert (off <= rtol * scale + rounding).all(), off.max()


def identity_like(units, dtype):
    """A Linear that passes its columns on, so that what comes behind is seen by itself."""
    linear = nn.Linear(units, units, bias=False, dtype=getattr(torch, dtype.name))
    with torch.no_grad():
        linear.weight.copy_(torch.eye(units))
    return linear


# ---- module by module ----------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [1, 5])
@pytest.mark.parametrize("number", range(len(random_modules.ACTIVATIONS)))
def test_activations_from_torch(number, columns, dtype, rng):
    act = random_modules.ACTIVATIONS[number]().to(getattr(torch, dtype.name))
    module = nn.Sequential(identity_like(columns, dtype), act)
    x = some_rows(dtype, columns, rng)
    model = from_torch(module)
    assert model.dtype == dtype.name
    assert_same(model.predict(x), outputs(module, x), x=x)


@pytest.mark.parametrize("number", range(len(ACTIVATIONS)), ids=lambda i: ACTIVATIONS[i][0])
def test_activations_to_torch(number, dtype, rng):
    act = activation(keras, *ACTIVATIONS[number])
    x = some_rows(dtype, 4, rng)
    kernel = keras.initializers.Identity()
    for units in (1, 4):
        stack = [layers.Dense(units, act, kernel_initializer=kernel, dtype=dtype)]
        model = keras.Sequential([keras.Input((4,), dtype=dtype), *stack])
        module = to_torch(model)
        assert_same(outputs(module, x), model.predict(x), x=x)
        again = from_torch(module).layers[0].activation
        assert (again.name, again.parameters) == (
            model.layers[0].activation.name,
            model.layers[0].activation.parameters,
        )


@pytest.mark.parametrize("columns", [1, 5])
@pytest.mark.parametrize("number", range(len(random_modules.BEHIND)))
def test_modules_from_torch(number, columns, dtype, rng):
    module = nn.Sequential(
        identity_like(columns, dtype), random_modules.BEHIND[number](columns).to(getattr(torch, dtype.name))
    )
    random_modules.set_weights(module)
    x = rng.normal(size=(6, columns)).astype(dtype)
    assert_same(from_torch(module).predict(x), outputs(module, x), 1e-6 if dtype == "float64" else 1e-5)


def test_a_single_module_is_taken(rng):
    x = rng.normal(size=(4, 3)).astype("f4")
    linear = nn.Linear(3, 2)
    np.testing.assert_allclose(from_torch(linear).predict(x), outputs(linear, x), rtol=1e-6, atol=1e-6)


def test_layers_and_names():
    module = nn.Sequential(
        OrderedDict(
            first=nn.Linear(4, 3),
            relu=nn.ReLU(),
            block=nn.Sequential(
                OrderedDict(first=nn.Linear(3, 3, bias=False), norm=nn.BatchNorm1d(3, 1e-4, 0.2))
            ),
            end=nn.Softmax(dim=1),
        )
    )
    model = from_torch(module)
    assert [layer.name for layer in model.layers] == ["first", "first_1", "norm", "end"]
    assert model.layers[0].activation is keras.activations.relu
    assert not model.layers[1].use_bias
    assert (model.layers[2].epsilon, model.layers[2].momentum) == (1e-4, 0.8)
    assert not model.compiled


def test_two_activations_at_the_end(rng):
    module = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Softmax(dim=1))
    x = rng.normal(size=(5, 4)).astype("f4")
    model = from_torch(module)
    assert [type(layer).__name__ for layer in model.layers] == ["Dense", "Activation"]
    assert_same(model.predict(x), outputs(module, x))
    assert_same(outputs(to_torch(model), x), model.predict(x))


def test_one_prelu_for_all_columns(rng):
    module = nn.Sequential(nn.Linear(4, 3), nn.PReLU(init=0.4))
    alpha = from_torch(module).layers[1].alpha
    np.testing.assert_array_equal(alpha.numpy(), np.full(3, 0.4, "f4"))


def test_modules_without_weights_may_be_shared(rng):
    act = nn.Tanh()
    module = nn.Sequential(nn.Linear(4, 4), act, nn.Linear(4, 4), act)
    x = rng.normal(size=(4, 4)).astype("f4")
    assert_same(from_torch(module).predict(x), outputs(module, x))


@pytest.mark.parametrize("arguments", [{"input_shape": (5, 4)}, {"input_dim": 20}, {}])
def test_flatten(arguments, rng):
    module = nn.Sequential(nn.Flatten(), nn.Linear(20, 2))
    model = from_torch(module, **arguments)
    x = rng.normal(size=(3, 5, 4)).astype("f4")
    rows = x if "input_shape" in arguments else x.reshape(3, 20)
    assert_same(model.predict(rows), outputs(module, x))


@pytest.mark.parametrize(
    ("frozen", "trained"), [("all", []), ("bias", ["kernel"]), ("none", ["kernel", "bias"])]
)
def test_requires_grad_is_trainable(frozen, trained):
    linear = nn.Linear(3, 2)
    linear.weight.requires_grad = frozen != "all"
    linear.bias.requires_grad = frozen == "none"
    model = from_torch(nn.Sequential(linear, nn.BatchNorm1d(2)))
    assert [v.name for v in model.layers[0].trainable_weights] == trained
    assert [v.name for v in model.layers[1].trainable_weights] == ["gamma", "beta"]
    again = to_torch(model)
    assert [p.requires_grad for p in again[0].parameters()] == [p.requires_grad for p in linear.parameters()]


def test_frozen_batch_normalization_still_looks_at_batches(rng):
    """As PyTorch's does: requires_grad is about its vectors alone."""
    norm = nn.BatchNorm1d(2).requires_grad_(False)
    model = from_torch(nn.Sequential(nn.Linear(3, 2), norm))
    assert model.layers[1].trainable_weights == []
    model.compile("sgd", "mse")
    model.fit(rng.normal(size=(8, 3)), rng.normal(size=(8, 2)), verbose=0)
    assert np.any(model.layers[1].moving_mean.numpy() != 0)
    np.testing.assert_array_equal(model.layers[1].gamma.numpy(), [1, 1])


def test_trainable_is_requires_grad():
    stack = [
        layers.Dense(3, name="a"),
        layers.Residual([layers.Dense(3, name="b")]),
        layers.Dense(1, name="c"),
    ]
    model = keras.Sequential([keras.Input((3,)), *stack])
    model.layers[1].trainable = False
    found = {name: p.requires_grad for name, p in to_torch(model).named_parameters()}
    assert found.pop("a.weight")
    assert found == {name: not name.startswith("residual") for name in found}
    model.trainable = False
    assert not any(p.requires_grad for p in to_torch(model).parameters())


def test_a_converted_module_trains_on(rng):
    """With dropout, noise and all: the loss falls, and the way back takes what was learned."""
    x = rng.normal(size=(64, 4)).astype("f4")
    y = x @ rng.normal(size=(4, 1)).astype("f4")
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.GaussianNoise(0.01),
            layers.Dense(16, "squareplus"),
            layers.BatchNormalization(),
            layers.Residual([layers.Dense(16, "tanh"), layers.GaussianDropout(0.05)]),
            layers.Dropout(0.05),
            layers.Dense(1),
        ]
    )
    module = to_torch(model).train()
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    losses = []
    torch.manual_seed(0)
    for _ in range(60):
        optimizer.zero_grad()
        loss = ((module(torch.tensor(x)) - torch.tensor(y)) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]
    again = from_torch(module)
    np.testing.assert_allclose(again.predict(x), outputs(module, x), rtol=1e-5, atol=1e-5)


def test_noise_and_dropout_keep_mean_and_spread():
    from fastnn.convert import torch_pieces as pieces

    torch.manual_seed(1)
    x = torch.full((20000,), 3.0)
    noisy = pieces.GaussianNoise(0.5).train()(x)
    dropped = pieces.GaussianDropout(0.2).train()(x)
    assert float(noisy.mean()) == pytest.approx(3, abs=0.02)
    assert float(noisy.std()) == pytest.approx(0.5, rel=0.05)
    assert float(dropped.mean()) == pytest.approx(3, abs=0.05)
    assert float(dropped.std()) == pytest.approx(3 * 0.5, rel=0.05)


def test_the_callers_random_numbers_stay():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3), layers.PReLU(), layers.LayerNormalization()]
    )
    torch.manual_seed(3)
    to_torch(model)
    drawn = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(3))


def test_a_converted_module_can_be_kept(tmp_path, rng):
    stack = [layers.Dense(3, "exponential"), layers.Residual([layers.Dense(3)]), layers.Rescaling(2.0, 1.0)]
    model = keras.Sequential([keras.Input((4,)), *stack])
    module, x = to_torch(model), rng.normal(size=(3, 4)).astype("f4")
    again = pickle.loads(pickle.dumps(module))
    np.testing.assert_array_equal(outputs(again, x), outputs(module, x))
    torch.save(module.state_dict(), tmp_path / "state.pt")
    again.load_state_dict(torch.load(tmp_path / "state.pt"))
    assert "exponential" in repr(module)


def test_names_that_modules_have_themselves():
    """Sequential has a float() and a train(); a layer may be called so."""
    stack = [
        layers.Dense(3, "relu", name="float"),
        layers.Dense(2, name="a.b"),
        layers.Dense(1, name="train"),
    ]
    module = to_torch(keras.Sequential([keras.Input((4,)), *stack]))
    assert list(module._modules) == ["float_1", "float_activation", "a_b", "train_1"]


def test_normalization_of_images_becomes_one_of_images(rng):
    x = rng.normal(size=(9, 2, 3))
    norm = layers.Normalization()
    norm.adapt(x)
    model = keras.Sequential([keras.Input((2, 3)), norm, layers.Flatten(), layers.Dense(2)])
    module = to_torch(model)
    assert_same(outputs(module, x.astype("f4")), model.predict(x))
    assert_same(from_torch(module, input_shape=(2, 3)).predict(x), model.predict(x))


# ---- what is refused -----------------------------------------------------------------------------


class Own(nn.Sequential):
    def forward(self, x):
        return 2 * super().forward(x)


class Derived(nn.Linear):
    pass


def hooked():
    module = nn.Sequential(nn.Linear(4, 3))
    module[0].register_forward_hook(lambda *_: None)
    return module


def old_weight_norm():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Sequential(nn.Linear(4, 3), nn.utils.weight_norm(nn.Linear(3, 3)))


def tied():
    linear = nn.Linear(4, 4)
    return nn.Sequential(linear, nn.ReLU(), linear)


REFUSED = {
    "unknown": (
        lambda: nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.ReLU(), nn.Conv2d(1, 1, 3))),
        r"1\.1: Conv2d.*convert\.md",
    ),
    "derived": (lambda: nn.Sequential(Derived(4, 3)), "0: Derived"),
    "own forward": (
        lambda: nn.Sequential(nn.Linear(4, 4), Own(nn.Linear(4, 4))),
        r"1: Own has a forward\(\)",
    ),
    "own module": (lambda: nn.Bilinear(3, 3, 3), "Bilinear"),
    "hook": (hooked, "0: Linear has hooks"),
    "weight norm": (old_weight_norm, "1: Linear has hooks"),
    "parametrized": (
        lambda: nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3))),
        r"0: Linear has a parametrization of its weight.*remove_parametrizations\(module, 'weight'\)",
    ),
    "tied": (tied, "2: Linear shares its parameters"),
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(3)), "0: LazyLinear has no weights yet"),
    "half": (lambda: nn.Sequential(nn.Linear(4, 3)).half(), r"0: Linear has float16 parameters.*float\(\)"),
    "two dtypes": (
        lambda: nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3).double()),
        r"1: Linear has float64 parameters, but 0: Linear float32",
    ),
    "statistics": (
        lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False)),
        "1: BatchNorm1d: track_running_stats=False",
    ),
    "momentum": (lambda: nn.Sequential(nn.BatchNorm1d(3, momentum=None)), "0: BatchNorm1d: momentum=None"),
    "images": (lambda: nn.Sequential(nn.LayerNorm((2, 3))), r"0: LayerNorm: normalized_shape=\(2, 3\)"),
    "softplus": (lambda: nn.Sequential(nn.Linear(4, 3), nn.Softplus(beta=2)), "1: Softplus: beta=2"),
    "softplus threshold": (lambda: nn.Sequential(nn.Linear(4, 3), nn.Softplus(threshold=5)), "threshold=5"),
    "hardtanh": (lambda: nn.Sequential(nn.Linear(4, 3), nn.Hardtanh(-2, 2)), "1: Hardtanh: limits -2"),
    "softmax": (lambda: nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=0)), "1: Softmax: dim=0"),
    "flatten": (lambda: nn.Sequential(nn.Flatten(0), nn.Linear(4, 3)), "0: Flatten: start_dim=0"),
    "columns": (
        lambda: nn.Sequential(nn.Linear(4, 3), nn.Linear(5, 3)),
        "1: Linear: it takes 5 columns, but gets 3",
    ),
    "prelu": (lambda: nn.Sequential(nn.Linear(4, 3), nn.PReLU(2)), "1: PReLU: it takes 2 columns"),
    "columns unknown": (lambda: nn.Sequential(nn.ReLU(), nn.Tanh()), "input_dim="),
    "empty": (lambda: nn.Sequential(), "input_dim="),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_taken_is_named(case):
    make, words = REFUSED[case]
    with pytest.raises(ValueError, match=f"^from_torch: .*{words}"):
        from_torch(make())


def test_bad_arguments():
    linear = nn.Linear(3, 2)
    with pytest.raises(TypeError, match=r"takes a torch\.nn\.Sequential, got builtins\.int"):
        from_torch(3)
    with pytest.raises(ValueError, match="one of input_dim and input_shape"):
        from_torch(linear, input_dim=3, input_shape=(3,))
    with pytest.raises(ValueError, match="it takes 3 columns, but gets 4"):
        from_torch(linear, input_dim=4)
    with pytest.raises(ValueError, match="input_shape must consist of positive"):
        from_torch(linear, input_shape=(0,))
    with pytest.raises(TypeError, match=r"to_torch takes a fastnn\.Sequential, got torch"):
        to_torch(linear)
    with pytest.raises(ValueError, match="has no weights yet"):
        to_torch(keras.Sequential([layers.Dense(3)]))


def test_an_activation_of_ones_own_is_named():
    own = keras.activations.Custom(np.sin, np.cos, name="sine")
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, own, name="waves")])
    with pytest.raises(ValueError, match=r"layer 'waves' .*'sine' is of your own"):
        to_torch(model)


def test_without_torch_a_sentence_says_so():
    said = run_python(
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "import fastnn\n"
        "for call in (fastnn.convert.from_torch, fastnn.convert.to_torch):\n"
        "    try:\n"
        "        call(fastnn.Sequential())\n"
        "    except ImportError as error:\n"
        "        print(error)\n"
    )
    assert said.count("needs torch") == said.count("pip install torch") == 2
