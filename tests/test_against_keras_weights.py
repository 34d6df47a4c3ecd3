"""What layers ask of their weights beside Keras itself: regularizers, constraints, trainable."""

import numpy as np
import pytest

import fastnn

keras = pytest.importorskip("keras")

ROWS = 50


def pair(build, optimizer="adam", loss="mse", metrics=("mae",)):
    """The same model twice, with the same weights, compiled."""
    models = []
    for k in (fastnn, keras):
        k.utils.set_random_seed(3)
        model = k.Sequential([k.Input((6,)), *build(k)])
        model.compile(
            optimizer=optimizer(k) if callable(optimizer) else optimizer, loss=loss, metrics=list(metrics)
        )
        models.append(model)
    rng = np.random.default_rng(4)
    weights = [w + 0.3 * rng.normal(size=w.shape).astype("f4") for w in models[0].get_weights()]
    for v, w in zip(models[0].weights, weights, strict=True):
        if v.name == "moving_variance":
            w[:] = np.abs(w) + 0.5
    for model in models:
        model.set_weights(weights)
    return models


def data(units=2):
    rng = np.random.default_rng(5)
    return rng.normal(size=(ROWS, 6)).astype("f4"), rng.normal(size=(ROWS, units)).astype("f4")


def agree(models, *, epochs=3, batch_size=16, rtol=1e-3, steps=True, **more):
    x, y = data()
    ours, theirs = models
    more = {"shuffle": False, "verbose": 0, "validation_split": 0.3, **more}
    weight = np.random.default_rng(6).uniform(0, 2, ROWS).astype("f4")
    histories = [
        m.fit(x, y, epochs=epochs, batch_size=batch_size, sample_weight=weight, **more).history
        for m in models
    ]
    assert list(histories[0]) == list(histories[1])
    for key, values in histories[1].items():
        np.testing.assert_allclose(histories[0][key], values, rtol=rtol, atol=1e-5, err_msg=key)
    for v, got, want in zip(ours.weights, ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(got, want, rtol=rtol, atol=1e-4, err_msg=v.path)
    for got, want in zip(
        ours.evaluate(x, y, verbose=0, batch_size=16),
        theirs.evaluate(x, y, verbose=0, batch_size=16),
        strict=True,
    ):
        np.testing.assert_allclose(got, want, rtol=rtol, atol=1e-5)
    pairs = zip(ours.train_on_batch(x, y), theirs.train_on_batch(x, y), strict=True) if steps else ()
    for got, want in pairs:
        np.testing.assert_allclose(got, want, rtol=rtol, atol=1e-5)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x, verbose=0), rtol=rtol, atol=1e-4)


REGULARIZED = {
    "by name": lambda k: [
        k.layers.Dense(9, "tanh", kernel_regularizer="l2", bias_regularizer="l1"),
        k.layers.Dense(2, kernel_regularizer="L1L2"),
    ],
    "by object": lambda k: [
        k.layers.Dense(37, "relu", kernel_regularizer=k.regularizers.L1L2(0.01, 0.02)),
        k.layers.Dense(20, "tanh", kernel_regularizer=k.regularizers.l1(0.005), use_bias=False),
        k.layers.Dense(2, bias_regularizer=k.regularizers.l2(0.3)),
    ],
    "normalised": lambda k: [
        k.layers.Dense(9, use_bias=False),  # whose gradient would be rounding alone
        k.layers.BatchNormalization(gamma_regularizer="l2", beta_regularizer=k.regularizers.L1(0.1)),
        k.layers.PReLU(alpha_regularizer=k.regularizers.L2(0.2)),
        k.layers.LayerNormalization(gamma_regularizer=k.regularizers.L1(0.2), beta_regularizer="l2"),
        k.layers.Dense(2),
    ],
    "frozen": lambda k: [
        k.layers.Dense(9, "tanh", kernel_regularizer="l2", trainable=False),
        k.layers.Dense(2, kernel_regularizer="l2"),
    ],
}


def activities(k, regularizer):
    return [
        k.layers.Dense(9, "tanh", activity_regularizer=regularizer),
        k.layers.Dense(70, "relu"),
        k.layers.ActivityRegularization(l1=0.01, l2=0.02),
        k.layers.Dense(3, "tanh", trainable=False, activity_regularizer="l2"),
        k.layers.Dense(2, activity_regularizer=k.regularizers.L2(0.1)),
    ]


REGULARIZED["outputs"] = lambda k: activities(k, k.regularizers.L1L2(0.01, 0.03))
REGULARIZED["orthogonal"] = lambda k: [
    k.layers.Dense(9, "tanh", kernel_regularizer=k.regularizers.OrthogonalRegularizer(0.3)),
    k.layers.Dense(37, "relu", kernel_regularizer=k.regularizers.orthogonal_regularizer(0.2, mode="columns")),
    k.layers.Dense(2, kernel_regularizer="orthogonal_regularizer", bias_regularizer="l2"),
]


@pytest.mark.parametrize("name", REGULARIZED)
def test_regularizers(name):
    agree(pair(REGULARIZED[name]))


@pytest.mark.parametrize("kind", ["clipnorm", "global_clipnorm", "use_ema", "gradient_accumulation_steps"])
def test_regularizers_and_constraints_with_optimizers_that_see_whole_variables(kind):
    """Penalties are part of the gradients that are shortened or gathered; averages are of what steps left."""
    value = {"clipnorm": 0.1, "global_clipnorm": 0.2, "use_ema": True, "gradient_accumulation_steps": 2}[kind]

    def build(k):
        return [
            k.layers.Dense(37, "tanh", kernel_regularizer="l2", kernel_constraint=k.constraints.MaxNorm(0.9)),
            k.layers.Dense(3, "tanh", kernel_regularizer=k.regularizers.OrthogonalRegularizer(0.3)),
            k.layers.Dense(2, kernel_constraint="non_neg", bias_regularizer="l1"),
        ]

    # Keras cannot go on by steps once its averages have taken the weights' place
    agree(pair(build, lambda k: k.optimizers.Adam(0.01, **{kind: value})), steps=kind != "use_ema")


def test_regularizers_with_a_clipped_and_decaying_optimizer():
    agree(
        pair(
            REGULARIZED["by object"],
            lambda k: k.optimizers.SGD(0.05, momentum=0.9, clipvalue=0.05, weight_decay=0.01),
        )
    )


CONSTRAINED = {
    "norms": lambda k: [
        k.layers.Dense(37, "relu", kernel_constraint=k.constraints.MaxNorm(0.8), bias_constraint="unit_norm"),
        k.layers.Dense(9, "tanh", kernel_constraint=k.constraints.UnitNorm(axis=1)),
        k.layers.Dense(2, kernel_constraint=k.constraints.MinMaxNorm(0.2, 0.9, 0.6, axis=0)),
    ],
    "narrow": lambda k: [
        k.layers.Dense(64, "relu", kernel_constraint=k.constraints.max_norm(2, axis=[0, 1])),
        k.layers.Dense(3, "tanh", kernel_constraint=k.constraints.max_norm(0.5, axis=1)),
        k.layers.Dense(2, kernel_constraint="max_norm", bias_constraint=k.constraints.MaxNorm(0.1)),
    ],
    "signs": lambda k: [
        k.layers.Dense(9, "tanh", kernel_constraint="non_neg"),
        k.layers.PReLU(alpha_constraint=k.constraints.NonNeg()),
        k.layers.BatchNormalization(gamma_constraint="NonNeg", beta_constraint="max_norm"),
        k.layers.LayerNormalization(gamma_constraint="unit_norm", beta_constraint="non_neg"),
        k.layers.Dense(2, bias_constraint=k.constraints.NonNeg),
    ],
    "with penalties": lambda k: [
        k.layers.Dense(9, "tanh", kernel_constraint="max_norm", kernel_regularizer="l2"),
        k.layers.Dense(2, kernel_constraint="non_neg", bias_regularizer="l1"),
    ],
}


@pytest.mark.parametrize("name", CONSTRAINED)
def test_constraints(name):
    agree(pair(CONSTRAINED[name]))


def freeze(*layers):
    def change(model):
        for i in layers:
            model.layers[i].trainable = False

    return change


def whole(model):
    model.trainable = False
    model.trainable = True
    model.layers[0].trainable = False


@pytest.mark.parametrize(
    "change", [freeze(0), freeze(1), freeze(0, 2), freeze(3), freeze(1, 3), whole], ids=range(6)
)
@pytest.mark.parametrize("again", [False, True])
def test_frozen_layers(change, again):
    """Frozen before the first fit, with and without compiling afterwards."""

    def build(k):
        return [
            k.layers.Dense(9, "tanh"),
            k.layers.BatchNormalization(momentum=0.7),
            k.layers.Dense(7, "relu"),
            k.layers.Dense(2),
        ]

    models = pair(build)
    for model, k in zip(models, (fastnn, keras), strict=True):
        change(model)
        if again:
            model.compile(optimizer=k.optimizers.SGD(0.05, momentum=0.9), loss="mse", metrics=["mae"])
    assert [v.name for v in models[0].trainable_weights] == [v.name for v in models[1].trainable_weights]
    assert [layer.trainable for layer in models[0].layers] == [layer.trainable for layer in models[1].layers]
    agree(models)


@pytest.mark.parametrize("name", ["l1", "L1", "l2", "L2", "l1l2", "L1L2", "Regularizer"])
def test_regularizers_by_name(name):
    ours, theirs = fastnn.regularizers.get(name), keras.regularizers.get(name)
    assert type(ours).__name__ == type(theirs).__name__
    if name != "Regularizer":
        config = {key: pytest.approx(value, rel=1e-6) for key, value in theirs.get_config().items()}
        assert ours.get_config() == config
        again = keras.regularizers.deserialize(fastnn.regularizers.serialize(ours))
        assert type(again) is type(theirs)


@pytest.mark.parametrize(
    "name",
    ["max_norm", "MaxNorm", "min_max_norm", "MinMaxNorm", "non_neg", "NonNeg", "unit_norm", "UnitNorm"],
)
def test_constraints_by_name(name):
    ours, theirs = fastnn.constraints.get(name), keras.constraints.get(name)
    assert type(ours).__name__ == type(theirs).__name__
    assert ours.get_config() == theirs.get_config()
    assert type(keras.constraints.deserialize(fastnn.constraints.serialize(ours))) is type(theirs)
    w = np.random.default_rng(1).normal(size=(5, 4)).astype("f4")
    np.testing.assert_allclose(ours(w), theirs(w), rtol=1e-6)
