"""Losses that depend on the batch: reductions, a class to ignore, Dice and Tversky of all rows together."""

import numpy as np
import pytest
from support import digest, instruction_set, mlp
from test_losses import agree, data_to_train, twins

import fastnn
from fastnn import losses
from fastnn.kernels import runtime
from fastnn.kernels.threads import set_num_threads

keras = pytest.importorskip("keras")


@pytest.mark.parametrize(
    ("reduction", "weighted"),
    [("sum", True), ("mean_with_sample_weight", True), ("mean", True), ("mean_with_sample_weight", False)],
)
@pytest.mark.parametrize(
    ("name", "activation", "options"),
    [
        ("huber", None, {"delta": 0.5}),
        ("sparse_categorical_crossentropy", "softmax", {"ignore_class": 1}),
        ("sparse_categorical_crossentropy", None, {"from_logits": True, "ignore_class": 0}),
        ("dice", "sigmoid", {}),
        ("tversky", "softmax", {"alpha": 0.3, "beta": 0.8}),
    ],
    ids=str,
)
def test_training_follows_keras(name, activation, options, reduction, weighted, rng):
    """29 rows in batches of 8, whose last one has 5; validated in such batches too."""
    x, y = data_to_train(name, rng)
    more = {"sample_weight": rng.uniform(0.5, 2, len(x)).astype("f4")} if weighted else {}
    models = twins(name, activation, options, reduction=reduction)
    agree(*models, x, y, validation_data=(x[:13], y[:13]), rtol=1e-3, **more)
    ours, theirs = (m.evaluate(x, y, batch_size=12, verbose=0, **more) for m in models)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
    ours, theirs = (m.test_on_batch(x, y, **more) for m in models)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_a_batch_of_ignored_rows_changes_nothing(rng):
    x, y = rng.normal(size=(16, 4)).astype("f4"), np.full(16, 255)
    loss = losses.SparseCategoricalCrossentropy(ignore_class=255)
    model = mlp(4, (5, "tanh"), (3, "softmax"), loss=loss, optimizer="sgd")
    before = digest(model.get_weights())
    assert model.fit(x, y, batch_size=8, verbose=0).history["loss"] == [0.0]
    assert digest(model.get_weights()) == before
    y[3] = 7
    with pytest.raises(ValueError, match="class 7"):
        model.fit(x, y, verbose=0)


def test_reduction_none_is_refused_where_keras_fails(rng):
    x, y = data_to_train("huber", rng)
    theirs = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    theirs.compile("sgd", keras.losses.Huber(reduction="none"))
    if keras.backend.backend() == "jax":
        with pytest.raises(TypeError, match="scalar"):
            theirs.fit(x, y, verbose=0)
    with pytest.raises(ValueError, match="one number a row"):
        mlp(4, (3, None), loss=losses.Huber(reduction="none"), optimizer="sgd")


class Cubed(losses.Loss):
    """A loss of one's own."""

    def loss(self, y_true, y_pred):
        return (np.abs(y_pred - y_true) ** 3).mean(axis=-1)

    def gradient(self, y_true, y_pred):
        e = y_pred - y_true
        return 3 * e * np.abs(e) / e.shape[-1]


KINDS = {
    "sum": (lambda: losses.MeanSquaredError(reduction="sum"), None),
    "weights": (lambda: losses.MeanSquaredError(reduction="mean_with_sample_weight"), None),
    "dice": (losses.Dice, "sigmoid"),
    "own": (Cubed, None),
}


@pytest.mark.parametrize("normal", [False, True], ids=["plain", "batch norm"])
@pytest.mark.parametrize("hidden", [6, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_same_bits(kind, hidden, normal):
    """For every number of threads and every instruction set, tiny networks among them, and large batches."""
    make, activation = KINDS[kind]
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(700, 5)).astype("f4"), rng.random((700, 2)).astype("f4")
    w = rng.uniform(0, 2, 700).astype("f4")
    found = {}
    for isa in runtime.instruction_sets():
        for threads in (1, 2, 3):
            with instruction_set(isa):
                fastnn.utils.set_random_seed(5)
                between = [fastnn.layers.BatchNormalization()] if normal else []
                model = fastnn.Sequential(
                    [
                        fastnn.Input((5,)),
                        fastnn.layers.Dense(hidden, "relu"),
                        *between,
                        fastnn.layers.Dense(2, activation),
                    ]
                )
                model.compile(fastnn.optimizers.Adam(0.01), make(), metrics=["mae"])
                set_num_threads(threads)
                try:
                    history = model.fit(x, y, batch_size=300, epochs=2, sample_weight=w, verbose=0)
                finally:
                    set_num_threads(None)
            found[isa, threads] = digest([*model.get_weights(), np.array(history.history["loss"])])
    assert len(set(found.values())) == 1, found
