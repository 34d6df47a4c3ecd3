"""Training loops of one's own: `gradients`, `forward`, `backward`, `input_gradients`, `optimizer.apply`."""

import threading

import numpy as np
import pytest
from support import central_differences, digest, mlp

import fastnn as keras
from fastnn import layers

X = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
Y = np.stack([X[:, 0] * X[:, 1], np.sin(X[:, 2])], axis=1)


def model(optimizer="adam", loss="mse", **options):
    return mlp(4, (20, "tanh"), (2, None), optimizer=optimizer, loss=loss, **options)


def loop(m, apply, epochs=2):
    for _ in range(epochs):
        for first in range(0, 50, 16):
            _, gradients = m.gradients(X[first : first + 16], Y[first : first + 16])
            apply(gradients)


WAYS = {
    "apply": lambda m, g: m.optimizer.apply(g),
    "arrays": lambda m, g: m.optimizer.apply(list(g)),
    "arrays and variables": lambda m, g: m.optimizer.apply(list(g), m.trainable_variables),
    "pairs": lambda m, g: m.optimizer.apply_gradients(zip(g, m.trainable_variables, strict=True)),
    "pairs in another order": lambda m, g: m.optimizer.apply_gradients(
        list(zip(g, m.trainable_variables, strict=True))[::-1]
    ),
    "float64 lists": lambda m, g: m.optimizer.apply([a.astype("float64").tolist() for a in g]),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "optimizer",
    [
        "sgd",
        "adam",
        lambda: keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5), momentum=0.9),
        lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1, clipvalue=0.01),
        lambda: keras.optimizers.Adam(0.01, clipnorm=0.02),
        lambda: keras.optimizers.SGD(0.01, global_clipnorm=0.05, momentum=0.9),
        lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=3),
        lambda: keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=3),
    ],
    ids=["sgd", "adam", "schedule", "decay and clipping", "norms", "global norm", "accumulation", "averages"],
)
def test_a_loop_is_a_fit_to_the_bit(optimizer, way):
    fitted, looped = (model(optimizer() if callable(optimizer) else optimizer) for _ in range(2))
    fitted.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    loop(looped, lambda g: WAYS[way](looped, g))
    looped.optimizer.finalize_variable_values(looped.trainable_variables)  # what fit does at its end
    assert digest(looped.get_weights()) == digest(fitted.get_weights())
    assert looped.optimizer.iterations == fitted.optimizer.iterations > 0
    # and both go on from there alike
    for m in (fitted, looped):
        m.fit(X, Y, batch_size=16, epochs=1, shuffle=False, verbose=0)
    assert digest(looped.get_weights()) == digest(fitted.get_weights())


def test_final_values_are_keras_averages():
    """Without averages the weights stay; else the averages come in their place."""
    theirs = pytest.importorskip("keras")
    for use_ema in (False, True):
        m = model(keras.optimizers.Adam(0.05, use_ema=use_ema, ema_momentum=0.7))
        optimizer = theirs.optimizers.Adam(0.05, use_ema=use_ema, ema_momentum=0.7)
        variables = [theirs.Variable(w) for w in m.get_weights()]
        for _ in range(7):
            _, gradients = m.gradients(X, Y)
            optimizer.apply_gradients(
                [(theirs.ops.array(g), v) for g, v in zip(gradients, variables, strict=True)]
            )
            m.optimizer.apply(gradients)
        before = m.get_weights()
        m.optimizer.finalize_variable_values(m.trainable_variables)
        optimizer.finalize_variable_values(variables)
        assert (digest(before) != digest(m.get_weights())) == use_ema
        for got, wanted in zip(m.get_weights(), variables, strict=True):
            np.testing.assert_allclose(got, wanted.numpy(), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="all trainable weights of a model"):
        m.optimizer.finalize_variable_values(m.trainable_variables[:1])


def test_a_loop_with_dropout_and_batch_normalization_is_a_fit():
    def make():
        keras.utils.set_random_seed(4)
        m = keras.Sequential(
            [
                keras.Input((4,)),
                layers.Dense(12, activation="relu"),
                layers.BatchNormalization(),
                layers.Dropout(0.3),
                layers.Dense(2),
            ]
        )
        m.compile("adam", "mse")
        return m

    fitted, looped = make(), make()
    fitted.fit(X, Y, batch_size=16, epochs=1, shuffle=False, verbose=0)
    loop(looped, looped.optimizer.apply, 1)
    assert digest(looped.get_weights()) == digest(fitted.get_weights())


def test_gradients_are_of_the_loss_that_evaluate_reports():
    m = mlp(4, (7, "tanh"), (2, None), dtype="float64", optimizer="sgd", loss="mse")
    weight = np.linspace(0, 2, 50)
    loss, gradients = m.gradients(X, Y, weight)
    assert loss == pytest.approx(m.evaluate(X, Y, sample_weight=weight, verbose=0), rel=1e-12)
    weights = m.get_weights()

    def reported():
        m.set_weights(weights)
        return m.evaluate(X, Y, sample_weight=weight, verbose=0)

    assert [g.shape for g in gradients] == [v.shape for v in m.trainable_weights]
    for got, want in zip(gradients, central_differences(reported, weights), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-8)


def test_backward_is_the_gradient_of_a_loss_of_ones_own():
    m = model()
    _, want = m.gradients(X, Y)
    y = m.forward(X)
    assert digest(y) == digest(m(X, training=True)) == digest(m.predict(X))
    got, slopes = m.backward(2 * (y - Y) / y.size, inputs=True)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-8)
    np.testing.assert_array_equal(slopes, m.input_gradients(X, upstream=2 * (y - Y) / y.size))
    assert digest(m.backward(np.ones_like(y))) == digest(m.backward(np.ones_like(y)))


def test_an_uncompiled_model_and_an_optimizer_of_ones_own():
    m = mlp(4, (20, "tanh"), (2, None))
    optimizer = keras.optimizers.Adam(0.02)
    first = float(np.square(m.forward(X) - Y).mean())
    for _ in range(200):
        y = m.forward(X)
        gradients = m.backward(2 * (y - Y) / y.size)
        optimizer.apply_gradients(zip(gradients, m.trainable_variables, strict=True))
    assert float(np.square(m.predict(X) - Y).mean()) < 0.2 * first
    assert optimizer.iterations == 200
    assert not m.compiled


def test_another_optimizer_than_the_compiled_one_keeps_its_own_state():
    m, other = model("sgd"), keras.optimizers.Adam(0.01)
    twin = model(keras.optimizers.Adam(0.01))
    for _ in range(3):
        _, g = m.gradients(X, Y)
        other.apply(g)
        _, g = twin.gradients(X, Y)
        twin.optimizer.apply(g)
    assert digest(m.get_weights()) == digest(twin.get_weights())
    m.fit(X, Y, verbose=0)
    assert m.optimizer.iterations == 2
    assert other.iterations == 3


def test_input_gradients():
    m = mlp(4, (20, "gelu"), (2, "tanh"), dtype="float64")
    x = X[:6].astype("float64")
    jacobian = m.input_gradients(x, "all")
    assert jacobian.shape == (6, 2, 4)
    for unit in range(2):
        np.testing.assert_array_equal(m.input_gradients(x, unit), jacobian[:, unit])
        for column in range(4):
            step = np.zeros(4)
            step[column] = 1e-6
            want = (m.predict(x + step) - m.predict(x - step))[:, unit] / 2e-6
            np.testing.assert_allclose(jacobian[:, unit, column], want, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(m.input_gradients(x, -1), jacobian[:, 1])
    np.testing.assert_allclose(
        m.input_gradients(x, upstream=[2.0, -1.0]), 2 * jacobian[:, 0] - jacobian[:, 1]
    )
    one = mlp(4, (3, "relu"), (1, None))
    assert one.input_gradients(X).shape == (50, 4)


def test_input_gradients_leave_alone_what_forward_kept():
    m = model()
    y = m.forward(X)
    want = digest(m.backward(y))
    m.input_gradients(X[:3], "all")
    m.input_gradients(X[:3], 0)
    m.predict(X[:3])
    m.gradients(X[:3], Y[:3])
    assert digest(m.backward(y)) == want


def test_each_thread_keeps_rows_of_its_own():
    m = model()
    y = m.forward(X)
    want, seen = digest(m.backward(y)), []

    def work():
        with pytest.raises(RuntimeError, match="call forward"):
            m.backward(y)
        z = m.forward(X[:5])
        seen.append([g.shape for g in m.backward(z)])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [[(4, 20), (20,), (20, 2), (2,)]]
    assert digest(m.backward(y)) == want


def test_models_that_share_layers_see_each_step():
    m = model("sgd")
    part = keras.Sequential(m.layers[:1])
    before = part.predict(X)
    _, g = m.gradients(X, Y)
    m.optimizer.apply(g)
    after = part.predict(X)
    assert (before != after).any()
    _, g = m.gradients(X, Y)
    m.optimizer.apply(g)
    assert (part.predict(X) != after).any()
    m.layers[0].kernel.assign(np.zeros((4, 20)))
    assert not np.ptp(m.forward(X), axis=0).any()


def test_a_callback_may_take_steps_between_epochs():
    m = model("sgd")

    class Kick(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            _, g = m.gradients(X, Y)
            m.optimizer.apply(g)

    m.fit(X, Y, epochs=3, batch_size=50, verbose=0, callbacks=[Kick()], shuffle=False)
    twin = model("sgd")
    twin.fit(X, Y, epochs=6, batch_size=50, verbose=0, shuffle=False)
    assert digest(m.get_weights()) == digest(twin.get_weights())


def test_frozen_layers_have_no_gradients():
    m = model()
    m.layers[0].trainable = False
    _, g = m.gradients(X, Y)
    assert [a.shape for a in g] == [(20, 2), (2,)]
    kernel = m.layers[0].get_weights()[0]
    m.optimizer.apply(g)
    np.testing.assert_array_equal(m.layers[0].get_weights()[0], kernel)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda m: m.backward(Y), RuntimeError, "call forward"),
        (
            lambda m: (m.forward(X), m.backward(Y[:3])),
            ValueError,
            r"dloss_dy has shape \(3, 2\), but .* \(50, 2\)",
        ),
        (
            lambda m: (m.forward(X), m.backward(np.full_like(Y, np.nan))),
            ValueError,
            "dloss_dy holds NaN in row 0",
        ),
        (lambda m: m.gradients(X, Y[:3]), ValueError, "x has 50 rows, but y has 3"),
        (lambda m: m.gradients(np.where(X > 1, np.nan, X), Y), ValueError, "x holds NaN in row"),
        (lambda m: m.input_gradients(X), ValueError, "has 2 outputs: choose one"),
        (lambda m: m.input_gradients(X, 2), ValueError, "there are 2 outputs"),
        (lambda m: m.input_gradients(X, True), TypeError, "unit's number"),
        (lambda m: m.input_gradients(X, "one"), ValueError, "unit's number or 'all'"),
        (lambda m: m.input_gradients(X, 0, upstream=Y), ValueError, "not both"),
        (lambda m: m.input_gradients(X[:, :3], 0), ValueError, "3 columns"),
        (lambda m: m.optimizer.apply([1.0]), ValueError, "1 gradients, but the model has 4"),
        (lambda m: m.optimizer.apply([None] * 4), ValueError, r"gradients\[0\], of .*kernel, is None"),
        (
            lambda m: m.optimizer.apply([np.zeros(3)] * 4),
            ValueError,
            r"gradients\[0\] has shape \(3,\), but .*kernel",
        ),
        (lambda m: m.optimizer.apply([np.zeros(3)], m.trainable_variables), ValueError, "1 gradients for 4"),
        (
            lambda m: m.optimizer.apply([np.zeros(20)], m.trainable_variables[1:2]),
            ValueError,
            "no gradient for .*kernel",
        ),
        (lambda m: keras.optimizers.SGD().apply([np.zeros(3)]), ValueError, "knows no weights yet"),
        (
            lambda m: keras.optimizers.SGD().apply([np.zeros(3)], [np.zeros(3)]),
            TypeError,
            "weights of a model",
        ),
        (
            lambda m: keras.optimizers.SGD().apply(
                m.get_weights(), mlp(4, (20, None), (2, None)).trainable_variables
            ),
            ValueError,
            "no model that has run",
        ),
    ],
)
def test_misuse_says_what_to_do_and_changes_nothing(call, error, words):
    m = model()
    m.gradients(X, Y)
    before = digest(m.get_weights())
    with pytest.raises(error, match=words):
        call(m)
    assert digest(m.get_weights()) == before
    assert m.optimizer.iterations == 0


def test_no_gradients_are_no_step():
    m = model()
    m.optimizer.apply([])
    m.optimizer.apply_gradients([])
    assert m.optimizer.iterations == 0


def test_a_step_that_would_break_the_weights_is_not_taken():
    m = model("sgd")
    _, g = m.gradients(X, Y)
    before = digest(m.get_weights())
    g[0][:] = np.inf
    with pytest.raises(FloatingPointError, match="not taken"):
        m.optimizer.apply(g)
    assert digest(m.get_weights()) == before
    assert m.optimizer.iterations == 0


def test_steps_during_a_fit_in_another_thread_are_refused():
    m = model()
    _, g = m.gradients(X, Y)
    stop = threading.Event()

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            stop.wait(0.001)

    thread = threading.Thread(target=lambda: m.fit(X, Y, epochs=10_000, verbose=0, callbacks=[Watch()]))
    thread.start()
    try:
        while m._engine.owner is None:
            pass
        with pytest.raises(RuntimeError, match="trained in another thread"):
            m.optimizer.apply(g)
        m.gradients(X, Y)
    finally:
        m.stop_training = True
        stop.set()
        thread.join()


def test_a_residual_of_a_differential_equation():
    """u' = -u, u(0) = 1, on [0, 1], by differences of the network: a loss of its own through one backward."""
    m = mlp(1, (16, "tanh"), (1, None), dtype="float64")
    optimizer, h = keras.optimizers.Adam(0.01), 1e-3
    t = np.linspace(0, 1, 21)[:, None]
    rows = np.concatenate([t - h, t + h, t, [[0.0]]])
    n = len(t)
    for _ in range(1500):
        u = m.forward(rows)
        residual = (u[n : 2 * n] - u[:n]) / (2 * h) + u[2 * n : 3 * n]
        upstream = 2 / n * np.concatenate([-residual / (2 * h), residual / (2 * h), residual, [[0.0]]])
        upstream[-1] = 2 * (u[-1] - 1)
        optimizer.apply(m.backward(upstream))
    np.testing.assert_allclose(m.predict(t), np.exp(-t), atol=0.01)


def test_gradients_may_be_changed_in_place():
    """As the documentation writes it, and with what comes from elsewhere."""
    kept = [np.array(g) for g in model().gradients(X, Y)[1]]
    made = []
    for how in ("their halves", "in place", "assigned"):
        m = model()
        _, gradients = m.gradients(X, Y)
        if how == "their halves":
            gradients = [g * np.float32(0.5) for g in kept]
        elif how == "in place":
            for i in range(len(gradients)):
                gradients[i] *= 0.5
        else:
            for i, g in enumerate(kept):
                gradients[i] = g * np.float32(0.5)
        m.optimizer.apply(gradients)
        made.append(digest(m.get_weights()))
    assert made[0] == made[1] == made[2]
    _, gradients = model().gradients(X, Y)
    with pytest.raises(ValueError, match=r"gradient 0 has shape \(4, 20\).*\(12,\)"):
        gradients[0] = np.zeros(12)
    gradients[1] = 0
    assert not gradients[1].any()
