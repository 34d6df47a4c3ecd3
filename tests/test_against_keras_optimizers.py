"""Optimizers and their options beside Keras itself, where it is installed: runs, every kind of variable."""

import numpy as np
import pytest

import fastnn

keras = pytest.importorskip("keras")

ROWS, BATCH = 50, 8  # the last batch of an epoch is a short one


def build(k, optimizer):
    layers = k.layers
    model = k.Sequential(
        [
            k.Input((20,)),
            layers.Dense(34, name="first"),
            layers.PReLU(name="slopes"),
            layers.LayerNormalization(name="rows"),
            layers.Dense(3, activation="tanh", use_bias=False, name="narrow"),
            layers.BatchNormalization(name="columns"),
            layers.Dense(17, activation="relu", name="wide"),
            layers.Dense(2, name="last"),
        ]
    )
    model.compile(optimizer=optimizer(k), loss="mse")
    return model


def twins(optimizer):
    rng = np.random.default_rng(3)
    ours, theirs = build(fastnn, optimizer), build(keras, optimizer)
    weights = [0.3 * rng.normal(size=w.shape).astype("f4") for w in theirs.get_weights()]
    names = [v.name for v in theirs.variables]
    for name, w in zip(names, weights, strict=True):
        if "variance" in name or "gamma" in name:
            w[...] = np.abs(w) + 0.5
    for model in (ours, theirs):
        model.set_weights(weights)
    x, y = rng.normal(size=(ROWS, 20)).astype("f4"), rng.normal(size=(ROWS, 2)).astype("f4")
    return (ours, theirs), (x, y)


def agree(models, data, rtol=1e-4, **more):
    given = {"epochs": 3, "batch_size": BATCH, "shuffle": False, "verbose": 0, **more}
    ours, theirs = (m.fit(*data, **given).history for m in models)
    assert list(ours) == list(theirs)
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=rtol, atol=1e-5, err_msg=name)
    for got, want in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
    assert int(models[0].optimizer.iterations) == int(models[1].optimizer.iterations)
    ours, theirs = (m.evaluate(*data, verbose=0) for m in models)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def schedule(k):
    return k.optimizers.schedules.ExponentialDecay(0.02, 7, 0.5, staircase=True)


OPTIONS = {
    "Lamb": lambda k: k.optimizers.Lamb(0.02),
    "Lamb options": lambda k: k.optimizers.Lamb(
        schedule(k), 0.8, 0.9, 1e-4, weight_decay=0.1, clipnorm=0.5, gradient_accumulation_steps=2
    ),
    "Adafactor": lambda k: k.optimizers.Adafactor(0.05),
    "Adafactor options": lambda k: k.optimizers.Adafactor(
        schedule(k), -0.6, 1e-8, 0.01, 0.8, False, weight_decay=0.1, global_clipnorm=0.4
    ),
    "Muon": lambda k: k.optimizers.Muon(0.02, exclude_layers=["last"]),
    "Muon options": lambda k: k.optimizers.Muon(
        schedule(k),
        0.8,
        0.95,
        None,
        weight_decay=0.2,
        clipvalue=0.05,
        exclude_layers=["narrow", "fir"],
        adam_lr_ratio=0.5,
        momentum=0.8,
        ns_steps=3,
        nesterov=False,
        rms_rate=None,
    ),
    "clipnorm": lambda k: k.optimizers.SGD(0.1, clipnorm=0.1),
    "clipnorm decaying": lambda k: k.optimizers.Adam(0.01, clipnorm=0.05, weight_decay=0.2),
    "global_clipnorm": lambda k: k.optimizers.SGD(0.1, momentum=0.5, global_clipnorm=0.3),
    "ema": lambda k: k.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.8),
    "ema overwriting": lambda k: k.optimizers.SGD(
        0.1, use_ema=True, ema_momentum=0.6, ema_overwrite_frequency=3
    ),
    "accumulation": lambda k: k.optimizers.AdamW(
        schedule(k), weight_decay=0.3, clipvalue=0.05, gradient_accumulation_steps=3
    ),
    "accumulation clipnorm ema": lambda k: k.optimizers.RMSprop(
        0.01,
        clipnorm=0.1,
        gradient_accumulation_steps=2,
        use_ema=True,
        ema_momentum=0.9,
        ema_overwrite_frequency=4,
    ),
    "accumulation ema overwriting": lambda k: k.optimizers.SGD(
        schedule(k),
        global_clipnorm=0.5,
        gradient_accumulation_steps=4,
        use_ema=True,
        ema_momentum=0.7,
        ema_overwrite_frequency=2,
    ),
}


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_options(name):
    models, data = twins(OPTIONS[name])
    agree(models, data, validation_split=0.2)
    if models[1].optimizer.use_ema:  # Keras on JAX cannot go on once the averages were taken
        return
    agree(models, data, epochs=2, batch_size=20)  # what it remembers goes on
    for _ in range(2):
        ours, theirs = (m.train_on_batch(*data) for m in models)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def excluding(**arguments):
    def make(k):
        optimizer = k.optimizers.AdamW(0.02, weight_decay=0.5, clipnorm=arguments.pop("clipnorm", None))
        optimizer.exclude_from_weight_decay(**arguments)
        return optimizer

    return make


@pytest.mark.parametrize(
    "arguments",
    [
        {"var_names": ["bias"]},
        {"var_names": ["gamma", "beta", "alpha", "^bi"]},
        {"var_names": ["kernel"], "clipnorm": 0.1},
    ],
    ids=str,
)
def test_exclude_from_weight_decay_by_names(arguments):
    agree(*twins(lambda k: excluding(**dict(arguments))(k)))


def test_exclude_from_weight_decay_by_variables():
    models, data = twins(lambda k: k.optimizers.AdamW(0.02, weight_decay=0.5))
    for model, k in zip(models, (fastnn, keras), strict=True):
        optimizer = k.optimizers.AdamW(0.02, weight_decay=0.5)
        optimizer.exclude_from_weight_decay(var_list=[model.layers[i].kernel for i in (0, 3)])
        model.compile(optimizer=optimizer, loss="mse")
    agree(models, data)


@pytest.mark.parametrize("restore", [False, True])
def test_averages_and_early_stopping(restore):
    """The averages come at the end of fit, unless the best weights do."""
    models, data = twins(lambda k: k.optimizers.SGD(0.3, use_ema=True, ema_momentum=0.5))
    found = []
    for model, k in zip(models, (fastnn, keras), strict=True):
        stop = k.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=restore)
        found.append(
            model.fit(
                *data,
                epochs=12,
                batch_size=BATCH,
                shuffle=False,
                verbose=0,
                validation_split=0.3,
                callbacks=[stop],
            ).history
        )
    assert len(found[0]["loss"]) == len(found[1]["loss"])
    for got, want in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)


def test_averages_with_epochs_that_python_watches():
    models, data = twins(lambda k: k.optimizers.Adam(0.02, use_ema=True, ema_momentum=0.7))
    seen = []
    for model, k in zip(models, (fastnn, keras), strict=True):
        norms = []
        look = k.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs, m=model, n=norms: n.append(np.linalg.norm(m.get_weights()[0]))
        )
        model.fit(*data, epochs=3, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[look])
        seen.append([*norms, np.linalg.norm(model.get_weights()[0])])
    np.testing.assert_allclose(*seen, rtol=1e-4)


@pytest.mark.parametrize(
    "name", [n for n in fastnn.optimizers.__all__ if n[0].isupper() and n != "Optimizer"]
)
def test_optimizers_take_the_same_arguments(name):
    import inspect

    ours, theirs = (
        {
            n: p.default
            for n, p in inspect.signature(getattr(k.optimizers, name).__init__).parameters.items()
            if p.kind is p.POSITIONAL_OR_KEYWORD
        }
        for k in (fastnn, keras)
    )
    assert list(ours.items()) == list(theirs.items())
    ours, theirs = (getattr(k.optimizers, name)(name="one").get_config() for k in (fastnn, keras))
    assert {**ours, "learning_rate": None} == {**theirs, "learning_rate": None}
    assert ours["learning_rate"] == pytest.approx(theirs["learning_rate"])
