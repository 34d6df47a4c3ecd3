"""The oracle itself: gradients against central differences, losses and optimizers against worked numbers."""

import numpy as np
import pytest
from oracle import (
    ACTIVATIONS,
    COMMON,
    EPSILON,
    LOSSES,
    METRICS,
    OPTIMIZERS,
    SGD,
    SPECIFICATIONS,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    Ftrl,
    Lion,
    Nadam,
    Net,
    RMSprop,
    activation as activation_of,
    kinks,
)
from support import central_differences, gradient_case


@pytest.mark.parametrize(("loss", "from_logits"), sorted(LOSSES))
@pytest.mark.parametrize("activation", COMMON)
@pytest.mark.parametrize("hidden", [(), ("tanh",), ("relu", "sigmoid"), ("softmax", "linear", "tanh")])
def test_gradients_match_central_differences(activation, loss, from_logits, hidden):
    layers, weights, x, y = gradient_case(activation, loss, from_logits, hidden=hidden)
    sample_weight = np.linspace(0.0, 2.0, len(x))
    net = Net(layers, weights)
    _, _, gradients = net.gradients(loss, from_logits, x, y, sample_weight)
    expected = central_differences(lambda: net.loss(loss, from_logits, x, y, sample_weight), net.weights)
    for got, want in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("specification", SPECIFICATIONS, ids=str)
def test_activations_against_central_differences(specification):
    forward, backward = activation_of(specification)
    rng, h = np.random.default_rng(3), 1e-6
    z, da = rng.normal(size=(40, 5)) * 3, rng.normal(size=(40, 5))
    for kink in kinks(specification):
        z[np.abs(z - kink) < 1e-3] += 0.01
    got, want = backward(z, da), np.zeros_like(z)
    for j in range(z.shape[1]):
        step = np.zeros(z.shape[1])
        step[j] = h
        want[:, j] = ((forward(z + step) - forward(z - step)) * da).sum(axis=1) / (2 * h)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-8)


def test_activations_by_hand():
    def of(name, z, *p):
        return ACTIVATIONS[name][0](np.array([z]), *p)[0]

    np.testing.assert_allclose(of("gelu", 1.0), 0.8413447460685429486, rtol=1e-15)
    np.testing.assert_allclose(of("gelu", -5.0) / -5, 2.866515718791939117e-7, rtol=1e-14)
    np.testing.assert_allclose(of("mish", 1.0), np.tanh(np.log(1 + np.e)), rtol=1e-14)
    np.testing.assert_allclose(of("squareplus", 3.0, 16.0), 4, rtol=1e-15)
    np.testing.assert_allclose(of("sparsemax", [0.1, 1.1, 0.2]), [0, 0.95, 0.05], rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(of("sparsemax", [5.0, 1.0, 0.0]), [1, 0, 0])
    assert of("relu_general", 2.0, 0.1, 0.0, 1.5, 0.25) == 1.5
    assert of("relu_general", -1.0, 0.1, 0.0, 1.5, 0.25) == -0.125


@pytest.mark.parametrize(
    ("loss", "from_logits", "y", "a", "expected"),
    [
        ("mean_squared_error", False, [[1.0, 3.0]], [[0.0, 1.0]], 2.5),
        ("mean_absolute_error", False, [[1.0, 3.0]], [[0.0, 1.0]], 1.5),
        ("binary_crossentropy", False, [[1.0, 0.0]], [[0.5, 0.25]], (np.log(2) + np.log(4 / 3)) / 2),
        ("binary_crossentropy", False, [[1.0]], [[0.0]], -np.log(EPSILON)),
        ("binary_crossentropy", True, [[0.0, 1, 0, 0]], [[-18.6, 0.51, 2.94, -12.8]], 0.865458),
        ("categorical_crossentropy", False, [[0, 1.0, 0]], [[0.05, 0.95, 0]], -np.log(0.95)),
        ("categorical_crossentropy", False, [[0, 1.0, 0]], [[0.1, 0.6, 0.3]], -np.log(0.6)),
        ("categorical_crossentropy", False, [[0, 1.0, 0]], [[1.0, 6.0, 3.0]], -np.log(0.6)),
        ("categorical_crossentropy", True, [[0, 1.0]], [[np.log(1.0), np.log(3.0)]], np.log(4 / 3)),
        ("sparse_categorical_crossentropy", False, [[2.0]], [[0.1, 0.8, 0.1]], -np.log(0.1)),
        ("sparse_categorical_crossentropy", True, [[0.0]], [[np.log(1.0), np.log(3.0)]], np.log(4)),
    ],
)
def test_losses_by_hand(loss, from_logits, y, a, expected):
    rows, _ = LOSSES[loss, from_logits](np.array(y), np.array(a))
    np.testing.assert_allclose(rows, [expected], rtol=1e-6)


def test_metrics_by_hand():
    a = np.array([[0.2, 0.7, 0.1], [0.5, 0.3, 0.2]])
    assert METRICS["categorical_accuracy"](np.array([[0, 1, 0], [0, 0, 1]]), a).tolist() == [1, 0]
    assert METRICS["sparse_categorical_accuracy"](np.array([[1], [2]]), a).tolist() == [1, 0]
    assert METRICS["binary_accuracy"](
        np.array([[1.0], [0.0], [1.0]]), np.array([[0.6], [0.5], [0.5]])
    ).tolist() == [1, 1, 0]
    assert METRICS["mean_absolute_error"](np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]])).tolist() == [0.5]


def test_sgd_by_hand():
    for nesterov, expected in ((False, [0.8, 0.42]), (True, [0.62, 0.078])):
        w, optimizer = np.array([1.0]), SGD(learning_rate=0.1, momentum=0.9, nesterov=nesterov)
        for want in expected:
            optimizer.step([w], [np.array([2.0])])
            np.testing.assert_allclose(w, want, rtol=1e-12)


def test_adam_by_hand():
    # With a constant gradient both moments, once debiased, are exact: every step is lr * sign(g).
    w, optimizer = np.array([1.0, 1.0]), Adam(learning_rate=0.1, epsilon=0.0)
    for step in range(1, 5):
        optimizer.step([w], [np.array([3.0, -0.25])])
        np.testing.assert_allclose(w, [1 - 0.1 * step, 1 + 0.1 * step], rtol=1e-12)
    # And a changing one, from the definition.
    g1, g2 = 2.0, -1.0
    m = 0.1 * (0.9 * g1 + g2)
    v = 0.001 * (0.999 * g1**2 + g2**2)
    w, optimizer = np.array([0.0]), Adam(learning_rate=0.1, epsilon=0.5)
    optimizer.step([w], [np.array([g1])])
    before = w.copy()
    optimizer.step([w], [np.array([g2])])
    alpha = 0.1 * np.sqrt(1 - 0.999**2) / (1 - 0.9**2)
    np.testing.assert_allclose(w - before, -alpha * m / (np.sqrt(v) + 0.5), rtol=1e-12)


def test_other_optimizers_by_hand():
    """Two steps from w = 1 with gradients 2 and -1, worked out from the formulas with round numbers."""

    def two(optimizer):
        w = np.array([1.0])
        optimizer.step([w], [np.array([2.0])])
        first = w.item()
        optimizer.step([w], [np.array([-1.0])])
        return [first, w.item()]

    v1, v2 = 0.5 * 4, 0.5 * 2 + 0.5 * 1
    first = 1 - 0.1 * 2 / np.sqrt(v1)
    assert two(RMSprop(0.1, rho=0.5, epsilon=0.0)) == pytest.approx([first, first + 0.1 / np.sqrt(v2)])
    # a second move of half the first one and its own
    second = first - (0.5 * (1 - first) - 0.1 / np.sqrt(v2))
    assert two(RMSprop(0.1, rho=0.5, momentum=0.5, epsilon=0.0)) == pytest.approx([first, second])
    # means 1 and 0: variances 2 - 1 and 1.5 - 0
    first = 1 - 0.1 * 2 / np.sqrt(2 - 1)
    assert two(RMSprop(0.1, rho=0.5, centered=True, epsilon=0.0)) == pytest.approx(
        [first, first + 0.1 / np.sqrt(1.5 - 0)]
    )
    # one step of Adam whose moments are exact; then the larger second moment stays: 4 against (3 * 4 + 1) / 4
    assert two(Adam(0.1, beta_1=0.0, beta_2=0.75, epsilon=0.0, amsgrad=True)) == pytest.approx(
        [0.9, 0.9 + 0.1 * np.sqrt(1 - 0.75**2) / np.sqrt(1.0)]
    )
    # norms 2 and max(0.75 * 2, 1)
    assert two(Adamax(0.1, beta_1=0.0, beta_2=0.75, epsilon=0.0)) == pytest.approx([0.9, 0.9 + 0.1 / 1.5])
    assert two(Nadam(0.1, beta_1=0.0, beta_2=0.75, epsilon=0.0)) == pytest.approx(
        [0.9, 0.9 + 0.1 / np.sqrt((3 * 1 + 1) / 4 / (1 - 0.75**2))]
    )
    assert two(Adagrad(0.1, initial_accumulator_value=0.0, epsilon=0.0)) == pytest.approx(
        [0.9, 0.9 + 0.1 / np.sqrt(5)]
    )
    # the first step is sqrt(epsilon) / sqrt(a + epsilon) long, then b = d^2 / 2
    d = np.sqrt(0.5) / np.sqrt(2.5) * 2
    assert two(Adadelta(1.0, rho=0.5, epsilon=0.5)) == pytest.approx(
        [1 - d, 1 - d + np.sqrt(0.5 * d * d + 0.5) / np.sqrt(1.5 + 0.5)]
    )
    assert two(Lion(0.1, beta_1=0.5, beta_2=0.75)) == pytest.approx([0.9, 0.9 + 0.1])  # sign(0.5 * 0.5 - 0.5)
    # sums of squares 0, 4, 5: z = 2 - 20, w = 18 / 20; then z = -18 - 1 - (sqrt 5 - 2) 10 w
    z = -19 - (np.sqrt(5) - 2) * 10 * 0.9
    assert two(Ftrl(0.1, initial_accumulator_value=0.0)) == pytest.approx([0.9, -z / (10 * np.sqrt(5))])
    # what l1 leaves is at most it away; l2 and beta divide
    assert two(Ftrl(0.1, initial_accumulator_value=0.0, l1_regularization_strength=20.0))[0] == 0.0
    assert two(Ftrl(0.1, initial_accumulator_value=0.0, l2_regularization_strength=2.0, beta=0.2))[
        0
    ] == pytest.approx(18 / (20 + 4 + 2))


def test_clipping_comes_before_decay_and_decay_before_the_step():
    w, optimizer = np.array([1.0]), SGD(lambda done: 0.1 * (1 + done), weight_decay=0.5, clipvalue=0.25)
    optimizer.step([w], [np.array([3.0])])
    np.testing.assert_allclose(w, 0.95 - 0.1 * 0.25)
    optimizer.step([w], [np.array([-3.0])])
    np.testing.assert_allclose(w, (0.95 - 0.1 * 0.25) * 0.9 + 0.2 * 0.25)


def test_weighted_epoch_loss_is_divided_by_rows():
    net = Net([(1, "linear", False)], [np.array([[1.0]])])
    logs = net.fit(
        "mean_squared_error",
        SGD(learning_rate=0.0),
        np.array([[1.0], [2.0], [3.0]]),
        np.zeros((3, 1)),
        batch_size=2,
        orders=[np.arange(3)],
        metrics=["mean_absolute_error"],
        sample_weight=np.array([1.0, 0.0, 2.0]),
    )
    np.testing.assert_allclose(logs, [[(1 + 18) / 3, 2.0]])


def test_every_optimizer_lowers_the_loss():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    y = np.tanh(x @ rng.normal(size=(3, 2)))
    rates = {"adadelta": 5.0, "adafactor": 0.1, "adagrad": 0.3, "ftrl": 0.3, "lion": 0.01}
    for name, make in OPTIMIZERS.items():
        net = Net([(2, "tanh", True)], [np.zeros((3, 2)), np.zeros(2)])
        logs = net.fit(
            "mean_squared_error",
            make(learning_rate=rates.get(name, 0.05)),
            x,
            y,
            batch_size=7,
            orders=[np.arange(40)] * 30,
        )
        assert logs[-1, 0] < 0.2 * logs[0, 0]
