"""Penalties and constraints in training loops in Python, under every optimizer, and their place in a step."""

import numpy as np
import pytest
from test_models_weights import KINDS, Quartic, around, data, halved

import fastnn as keras
from fastnn import constraints, layers, optimizers, regularizers

OPTIMIZERS = {
    "sgd": lambda: optimizers.SGD(0.05),
    "momentum, decay": lambda: optimizers.SGD(0.05, momentum=0.9, weight_decay=0.1),
    "adam": lambda: optimizers.Adam(0.02),
    "clipnorm": lambda: optimizers.Adam(0.02, clipnorm=0.3),
    "global_clipnorm": lambda: optimizers.SGD(0.05, global_clipnorm=0.2),
    "lamb": lambda: optimizers.Lamb(0.02),
    "adafactor": lambda: optimizers.Adafactor(0.02),
    "muon": lambda: optimizers.Muon(0.02),
    "muon, clipnorm": lambda: optimizers.Muon(0.02, clipnorm=0.3),
    "accumulation": lambda: optimizers.SGD(0.05, gradient_accumulation_steps=2),
    "averages": lambda: optimizers.Adam(
        0.02, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2, clipnorm=0.3
    ),
    "all at once": lambda: optimizers.Adam(
        0.02,
        global_clipnorm=0.3,
        weight_decay=0.1,
        gradient_accumulation_steps=2,
        use_ema=True,
        ema_momentum=0.5,
        ema_overwrite_frequency=2,
    ),
}


def batches(x, y, size=8):
    for first in range(0, len(x), size):
        yield x[first : first + size], y[first : first + size]


def compiled(model, optimizer):
    model.compile(OPTIMIZERS[optimizer](), "mse")
    return model


def same(a, b):
    for found, wanted in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_loop_is_a_fit(kind, optimizer):
    """To the bit, the losses included."""
    x, y = data()
    fitted, looped = (compiled(around(KINDS[kind]), optimizer) for _ in range(2))
    looped.seed = fitted.seed
    if fitted.optimizer.use_ema:  # whose averages a fit leaves in the weights' place
        losses = [[fitted.train_on_batch(*batch) for batch in batches(x, y)] for _ in range(2)]
        losses = [np.average(found, weights=[8, 8, 8, 6]) for found in losses]
    else:
        losses = fitted.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0).history["loss"]
    for epoch in range(2):
        found = []
        for batch in batches(x, y):
            loss, gradients = looped.gradients(*batch)
            looped.optimizer.apply(gradients)
            found.append(loss)
        np.testing.assert_allclose(np.average(found, weights=[8, 8, 8, 6]), losses[epoch], rtol=1e-6)
    same(looped, fitted)


@pytest.mark.parametrize("optimizer", ["adam", "clipnorm", "lamb", "adafactor", "muon"])
@pytest.mark.parametrize("kind", ["dense", "orthogonal", "own"])
def test_threads_do_not_show(kind, optimizer):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(150, 4)).astype("f4"), rng.normal(size=(150, 2)).astype("f4")
    models = []
    for threads in (1, 2):
        keras.set_num_threads(threads)
        try:
            model = compiled(around(KINDS[kind]), optimizer)
            model.seed = 3
            model.fit(x, y, batch_size=64, epochs=2, shuffle=False, verbose=0)
            _, gradients = model.gradients(x, y)
            model.optimizer.apply(gradients)
        finally:
            keras.set_num_threads(None)
        models.append(model)
    same(*models)


PENALTIES = {
    "l1": regularizers.L1(0.03),
    "l1l2": regularizers.L1L2(0.03, 0.2),
    "orthogonal": regularizers.OrthogonalRegularizer(0.5),
    "own": Quartic(0.3),
}


def middle(**options):
    keras.utils.set_random_seed(1)
    return around(layers.Dense(5, activation="tanh", **options))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_gradients_have_the_penalties(penalty, training):
    regularizer = PENALTIES[penalty]
    x, y = data()
    plain, model = middle(), middle(kernel_regularizer=regularizer)
    loss, gradients = plain.gradients(x, y, training=training)
    found, slopes = model.gradients(x, y, training=training)
    kernel = model.layers[0].kernel.numpy()
    np.testing.assert_allclose(found, loss + regularizer(kernel), rtol=1e-5)
    np.testing.assert_allclose(found, model.evaluate(x, y, verbose=0), rtol=1e-5)
    np.testing.assert_allclose(slopes[0], gradients[0] + regularizer.gradient(kernel), rtol=1e-4, atol=1e-6)
    for a, b in zip(list(slopes)[1:], list(gradients)[1:], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", ["dense", "normalised", "outputs", "residual"])
def test_gradients_of_penalties_of_outputs(kind):
    """Against differences of the loss that gradients() itself returns."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(9, 4)), rng.normal(size=(9, 2))
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    try:
        model = around(KINDS[kind])
    finally:
        keras.config.set_floatx(before)
    _, gradients = model.gradients(x, y)
    gradients = [np.array(g) for g in gradients]
    for variable, gradient in zip(model.trainable_weights, gradients, strict=True):
        start = variable.numpy()
        for at in np.ndindex(*start.shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = start.copy()
                moved[at] += step
                variable.assign(moved)
                ends.append(model.gradients(x, y)[0])
            np.testing.assert_allclose(gradient[at], (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-7)
        variable.assign(start)


@pytest.mark.parametrize("kind", KINDS)
def test_backward_has_no_penalties(kind):
    """Gradients of a loss of one's own are its own alone, also behind gradients() on the same memory."""
    x, y = data()
    model = around(KINDS[kind])
    plain = keras.Sequential.from_config(unpenalised(model))
    plain.compile("sgd", "mse")
    plain.set_weights(model.get_weights())
    upstream = np.random.default_rng(5).normal(size=y.shape).astype("f4")
    model.gradients(x, y)
    found = []
    for one in (model, plain):
        one.forward(x)
        found.append(one.backward(upstream, inputs=True))
    for a, b in zip(found[0][0], found[1][0], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(found[0][1], found[1][1])


def unpenalised(model):
    """A model's configuration without any penalties."""

    def stripped(config):
        if isinstance(config, dict):
            return {
                k: 0.0 if k in ("l1", "l2") else None if k.endswith("regularizer") else stripped(v)
                for k, v in config.items()
            }
        return [stripped(c) for c in config] if isinstance(config, list) else config

    return stripped(model.get_config())


CONSTRAINTS = {
    "limits": constraints.NonNeg(),
    "norms": constraints.MaxNorm(0.4),
    "own": halved,
}


@pytest.mark.parametrize("form", ["gradients", "arrays", "backward"])
@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("optimizer", ["sgd", "clipnorm", "lamb", "adafactor", "muon"])
def test_apply_constrains(optimizer, constraint, form):
    asked = CONSTRAINTS[constraint]
    x, y = data()
    plain, model = (compiled(middle(**o), optimizer) for o in ({}, {"kernel_constraint": asked}))
    for one in (plain, model):
        if form == "backward":
            gradients = one.backward((one.forward(x) - y) / len(y))
        else:
            _, gradients = one.gradients(x, y)
        one.optimizer.apply([np.array(g) for g in gradients] if form == "arrays" else gradients)
    kernel = plain.layers[0].kernel.numpy()
    assert not np.allclose(kernel, asked(kernel))
    np.testing.assert_allclose(model.layers[0].kernel.numpy(), asked(kernel), rtol=1e-5, atol=1e-7)
    for a, b in zip(model.get_weights()[1:], plain.get_weights()[1:], strict=True):
        np.testing.assert_array_equal(a, b)
    plain.layers[0].kernel.assign(model.layers[0].kernel.numpy())
    np.testing.assert_array_equal(model.predict(x, verbose=0), plain.predict(x, verbose=0))
    np.testing.assert_array_equal(model.forward(x), plain.forward(x))
    for a, b in zip(model.gradients(x, y)[1], plain.gradients(x, y)[1], strict=True):
        np.testing.assert_array_equal(a, b)  # what is kept of weights besides follows them


@pytest.mark.parametrize(
    "optimizer", ["sgd", "adam", "clipnorm", "global_clipnorm", "lamb", "adafactor", "muon"]
)
def test_every_optimizer_sees_the_penalised_gradient(optimizer):
    """A penalty and a constraint by hand, around the steps of a plain model."""
    x, y = data()
    plain = compiled(middle(), optimizer)
    model = compiled(
        middle(kernel_regularizer=PENALTIES["l1l2"], kernel_constraint=constraints.MaxNorm(0.7)), optimizer
    )
    model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    for _ in range(2):
        for batch in batches(x, y):
            _, gradients = plain.gradients(*batch)
            kernel = plain.layers[0].kernel
            slope = gradients[0]
            slope += PENALTIES["l1l2"].gradient(kernel.numpy())
            plain.optimizer.apply(gradients)
            kernel.assign(constraints.MaxNorm(0.7)(kernel.numpy()))
    for a, b in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


def test_the_order_within_a_step():
    """Regularizer, accumulation, clipping, decay, step, average, constraint."""
    rate, clip, decay, momentum, l2, most = 0.1, 0.5, 0.2, 0.6, 0.3, 0.3
    x, y = data()
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(
                2,
                use_bias=False,
                kernel_regularizer=regularizers.L2(l2),
                kernel_constraint=constraints.ClipValue(-most, most),
            ),
        ]
    )
    model.compile(
        optimizers.SGD(
            rate,
            clipnorm=clip,
            weight_decay=decay,
            gradient_accumulation_steps=2,
            use_ema=True,
            ema_momentum=momentum,
            ema_overwrite_frequency=1,
        ),
        "mse",
    )
    w = model.layers[0].kernel.numpy().astype("f8")
    average, kept = np.zeros_like(w), np.zeros_like(w)
    for step, (bx, by) in enumerate(batches(x, y, 5)):
        model.train_on_batch(bx, by)
        kept += 2 * bx.T @ (bx @ w - by) / by.size + 2 * l2 * w
        if step % 2 == 1:
            g = kept / 2
            norm = np.sqrt((g * g).sum())
            g *= clip / max(norm, clip)
            w -= rate * decay * w
            w -= rate * g
            kept[:] = 0
        # as Keras counts, all batches of the first step are the first of the average
        average = momentum * average + (1 - momentum) * w if step >= 2 else w.copy()
        w = np.clip(average, -most, most)
        np.testing.assert_allclose(model.layers[0].kernel.numpy(), w, rtol=1e-4, atol=1e-6)


def test_errors_of_ones_own_come_out_of_the_loop():
    class Breaks(Quartic):
        def gradient(self, x):
            raise ArithmeticError("no gradient today")

    def breaks(w):
        raise ArithmeticError("no weights today")

    x, y = data()
    model = middle(kernel_regularizer=Breaks())
    before = model.get_weights()
    for _ in range(2):
        with pytest.raises(ArithmeticError, match="no gradient today"):
            model.gradients(x, y)
    model.optimizer.apply(model.backward(model.forward(x)))  # which asks for no penalty
    model = middle(kernel_constraint=breaks)
    before = model.get_weights()
    for _ in range(2):
        _, gradients = model.gradients(x, y)
        with pytest.raises(ArithmeticError, match="no weights today"):
            model.optimizer.apply(gradients)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
