"""Gradients of whole networks, the common activations x every loss, against central differences in float64.

A step of gradient descent with learning rate one moves every weight by its gradient. The difference quotient
is that of the oracle's loss, which ``test_oracle.py`` checks, or that of the loss which the network reports.
"""

import numpy as np
import pytest
from oracle import COMMON, LOSSES, Net
from support import central_differences, compiled, default_activation, gradient_case, train

import fastnn.kernels as k

# From probabilities every activation is meant; logits are not what sigmoid and softmax give. The first
# losses are tried behind all of them, the others behind their usual one and behind tanh.
SHOWN = ("mean_squared_error", "mean_absolute_error", "binary_crossentropy", "categorical_crossentropy")
CASES = [
    (activation, loss, from_logits)
    for loss, from_logits in sorted(LOSSES)
    for activation in COMMON
    if not (from_logits and activation in ("sigmoid", "softmax"))
    and (
        loss.removeprefix("sparse_") in SHOWN or activation in (default_activation(loss, from_logits), "tanh")
    )
]


def gradient(layers, inputs, weights, loss, from_logits, x, y, sample_weight=None, **options):
    net = compiled(layers, inputs, np.float64, weights, loss, from_logits=from_logits, learning_rate=1.0)
    train(net, x, y, epochs=1, batch_size=len(x), sample_weight=sample_weight, **options)
    return [before - after for before, after in zip(weights, net.weights(), strict=True)]


@pytest.mark.parametrize(("activation", "loss", "from_logits"), CASES)
@pytest.mark.parametrize(
    ("hidden", "inputs", "outputs"),
    [
        ((), 5, 3),
        (("tanh",), 5, 3),
        (("relu", "sigmoid"), 17, 2),
        (("softmax", "linear", "tanh"), 6, 5),
        (("tanh",), 3, 1),
    ],
    ids=["1 layer", "2 layers", "3 layers", "4 layers", "1 output"],
)
def test_against_central_differences(activation, loss, from_logits, hidden, inputs, outputs, isa):
    if outputs == 1 and activation == "softmax":
        pytest.skip("a softmax of one unit is constant")
    layers, weights, x, y = gradient_case(
        activation, loss, from_logits, hidden=hidden, inputs=inputs, outputs=outputs
    )
    sample_weight = np.linspace(0.0, 2.0, len(x)) if hidden else None
    net = Net(layers, weights)
    want = central_differences(lambda: net.loss(loss, from_logits, x, y, sample_weight), net.weights)
    got = gradient(layers, inputs, weights, loss, from_logits, x, y, sample_weight)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("activation", "loss", "from_logits"), CASES)
def test_against_central_differences_of_its_own_loss(activation, loss, from_logits, isa):
    """The loss that evaluate reports is the one whose gradient training follows."""
    layers, weights, x, y = gradient_case(activation, loss, from_logits, hidden=("sigmoid",))
    net = compiled(layers, x.shape[1], np.float64, weights, loss, from_logits=from_logits)

    def reported():
        net.set_weights(weights)
        return net.evaluate(x, y)[0]

    want = central_differences(reported, weights)
    for a, b in zip(gradient(layers, x.shape[1], weights, loss, from_logits, x, y), want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("hidden", "rows"), [(70, 600), (300, 40), (3, 1000)])
@pytest.mark.parametrize("loss", ["mean_squared_error", "sparse_categorical_crossentropy"])
def test_larger_networks_against_the_oracle(hidden, rows, loss, isa, rng):
    """Central differences of every weight are too slow here: the oracle's gradients stand in."""
    activation = "linear" if loss.startswith("mean") else "softmax"
    layers = [(hidden, "tanh", True), (hidden + 1, "sigmoid", True), (4, activation, True)]
    x = rng.normal(size=(rows, 19))
    y = (
        rng.integers(0, 4, size=(rows, 1)).astype(float)
        if activation == "softmax"
        else rng.normal(size=(rows, 4))
    )
    from support import random_weights

    weights = random_weights(layers, 19, rng)
    _, _, want = Net(layers, weights).gradients(loss, False, x, y)
    for a, b in zip(gradient(layers, 19, weights, loss, False, x, y, num_threads=3), want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize(("activation", "loss", "from_logits"), CASES)
def test_a_training_step_written_over_the_kernels(activation, loss, from_logits, isa):
    """What the documentation invites users to write gives the step that training takes."""
    layers, weights, x, y = gradient_case(activation, loss, from_logits, hidden=("tanh", "relu"), rows=9)
    trained = compiled(
        layers, x.shape[1], np.float64, weights, loss, from_logits=from_logits, optimizer="adam"
    )
    train(trained, x, y, epochs=1, batch_size=9)
    use_bias = [bias for _, _, bias in layers]
    pieces, rest = [], [w.copy() for w in weights]
    for has_bias in use_bias:
        pieces.append((rest.pop(0), rest.pop(0) if has_bias else None))
    outputs = [x]
    for (kernel, bias), (_, name, _) in zip(pieces, layers, strict=True):
        outputs.append(k.dense_forward(outputs[-1], kernel, bias, name))
    da = k.loss_backward(loss, y, outputs[-1], from_logits=from_logits)
    hyper = {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    updates = []
    for (kernel, bias), (_, name, _), before, after in reversed(
        list(zip(pieces, layers, outputs[:-1], outputs[1:], strict=True))
    ):
        da, dw, db = k.dense_backward(before, kernel, k.activation_backward(name, after, da))
        updates.append((kernel, dw))
        if bias is not None:
            updates.append((bias, db))
    for w, g in updates:
        k.optimizer_update("adam", w, g, [np.zeros_like(w), np.zeros_like(w)], hyper, 1)
    by_hand = [w for kernel, bias in pieces for w in (kernel, bias) if w is not None]
    for a, b, start in zip(trained.weights(), by_hand, weights, strict=True):
        np.testing.assert_allclose(a - start, b - start, rtol=1e-6, atol=1e-9)
