"""Metrics beside Keras's own, where it is installed: on arrays, in configs, and in whole fits."""

import numpy as np
import pytest
from metric_cases import CLASS, ONE_UNIT, UNITS, data
from support import mlp

import fastnn
from fastnn import metrics

keras = pytest.importorskip("keras")

ALL = {**UNITS, **CLASS}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_on_arrays(name, weighted, rng):
    ours, theirs = ALL[name](metrics), ALL[name](keras.metrics)
    units = 1 if name in ONE_UNIT else 3
    y, p, w = data(name, rng, 40, units)
    if "R2" in name:  # Keras's float32 sums lose what is small beside the mean
        y = y - y.mean(axis=0)
    for part in (slice(0, 25), slice(25, None)):
        for metric in (ours, theirs):
            metric.update_state(y[part], p[part], *([w[part]] if weighted else []))
    got, want = ours.result(), np.asarray(theirs.result())
    assert np.shape(got) == want.shape
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6)
    ours.reset_state()
    theirs.reset_state()
    np.testing.assert_allclose(ours(y, p), np.asarray(theirs(y, p)), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", ALL)
def test_configs(name):
    ours, theirs = ALL[name](metrics), ALL[name](keras.metrics)
    config, want = ours.get_config(), theirs.get_config()
    # automatic names count up in each library for itself
    assert {**config, "name": ""} == {**want, "name": ""}
    again = metrics.deserialize(metrics.serialize(ours))
    assert type(again) is type(ours)
    assert again.get_config() == config


def test_names():
    """Every name that Keras knows a metric by."""
    from keras.src.metrics import ALL_OBJECTS_DICT

    for name, kind in ALL_OBJECTS_DICT.items():
        if kind is not keras.metrics.Metric and name not in metrics.METRICS.later:
            assert metrics.METRICS.find(name, "metric").__name__ == kind.__name__


@pytest.mark.parametrize("name", ["reduction", "weights of elements", "weights of rows"])
def test_mean_and_sum(name, rng):
    values = rng.normal(size=(6, 4)).astype("f4")
    weight = {"reduction": None, "weights of elements": rng.random((6, 4)), "weights of rows": rng.random(6)}[
        name
    ]
    for kind in ("Mean", "Sum"):
        ours, theirs = getattr(metrics, kind)(), getattr(keras.metrics, kind)()
        for v in (values, values[0]) if weight is None else (values,):
            ours.update_state(v, weight)
            theirs.update_state(v, None if weight is None else weight.astype("f4"))
        np.testing.assert_allclose(ours.result(), np.asarray(theirs.result()), rtol=1e-5)


# ---- whole fits ----


def twins(kind, make, hidden=7):
    units, activation, loss = {
        "several": (3, "sigmoid", "binary_crossentropy"),
        "binary": (1, "sigmoid", "binary_crossentropy"),
        "one-hot": (3, "softmax", "categorical_crossentropy"),
        "numbers": (3, "softmax", "sparse_categorical_crossentropy"),
        "regression": (2, None, "mse"),
    }[kind]
    fastnn.utils.clear_session()
    keras.utils.clear_session()
    ours = mlp(
        4,
        (hidden, "tanh"),
        (units, activation),
        optimizer=fastnn.optimizers.Adam(0.01),
        loss=loss,
        **make(metrics),
    )
    theirs = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(hidden, "tanh"), keras.layers.Dense(units, activation)]
    )
    theirs.compile(optimizer=keras.optimizers.Adam(0.01), loss=loss, **make(keras.metrics))
    theirs.set_weights(ours.get_weights())
    return ours, theirs


def data_for(kind, rng, rows):
    x = rng.normal(size=(rows, 4)).astype("f4")
    labels = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5)
    y = {
        "several": (rng.random((rows, 3)) < 0.3 + 0.2 * (x[:, :3] > 0)).astype("f4"),
        "binary": (labels > 0).astype("f4")[:, None],
        "one-hot": np.eye(3, dtype="f4")[labels],
        "numbers": labels,
        "regression": (x[:, :2] ** 2).astype("f4"),
    }[kind]
    return x, y, rng.uniform(0.1, 2, rows).astype("f4")


FITS = {
    "several": lambda m: {
        "metrics": [
            m.AUC(),
            m.AUC(multi_label=True, curve="PR"),
            m.F1Score(),
            m.FBetaScore("micro", beta=0.5, threshold=0.4),
            m.Precision([0.3, 0.6]),
            m.Recall(class_id=1),
            m.BinaryAccuracy(threshold=0.4),
            "accuracy",
        ],
        "weighted_metrics": [m.AUC(), m.TruePositives(), m.F1Score(), "mse", m.CosineSimilarity()],
    },
    "binary": lambda m: {
        "metrics": [
            "AUC",
            m.AUC(),
            m.AUC(name="auc"),
            "acc",
            "Precision",
            m.Recall(),
            m.PrecisionAtRecall(0.6),
        ],
        "weighted_metrics": ["acc", "bce", m.AUC(curve="PR"), m.BinaryIoU(dtype="float32")],
    },
    "one-hot": lambda m: {
        "metrics": ["accuracy", m.TopKCategoricalAccuracy(2), m.Precision(top_k=1), m.OneHotMeanIoU(3)],
        "weighted_metrics": ["accuracy", m.F1Score("weighted"), m.CategoricalCrossentropy()],
    },
    "numbers": lambda m: {
        "metrics": ["accuracy", m.SparseTopKCategoricalAccuracy(2), m.MeanIoU(3, sparse_y_pred=False)],
        "weighted_metrics": ["accuracy", m.SparseCategoricalCrossentropy()],
    },
    "regression": lambda m: {
        "metrics": ["mse", m.MeanAbsoluteError(), m.R2Score(), m.RootMeanSquaredError(), "mse"],
        "weighted_metrics": ["mse", "mse", m.R2Score(class_aggregation=None), m.RootMeanSquaredError()],
    },
}


@pytest.mark.parametrize(
    ("kind", "weighted"), [*((kind, True) for kind in FITS), ("several", False), ("regression", False)]
)
@pytest.mark.filterwarnings("ignore:You are passing weight")
def test_fits(kind, weighted, rng):
    """History, its names and their order, with validation and with weights, and what evaluate says."""
    models = twins(kind, FITS[kind])
    x, y, w = data_for(kind, rng, 50)
    validation = data_for(kind, rng, 30)
    more = {"epochs": 3, "batch_size": 16, "shuffle": False, "verbose": 0}
    more["validation_data"] = validation if weighted else validation[:2]
    if weighted:
        more["sample_weight"] = w
    ours, theirs = (m.fit(x, y, **more) for m in models)
    agree(ours.history, theirs.history)
    ours, theirs = (
        m.evaluate(x, y, sample_weight=w if weighted else None, batch_size=16, verbose=0, return_dict=True)
        for m in models
    )
    agree(ours, theirs)


def agree(ours, theirs):
    assert list(ours) == list(theirs)
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=3e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("batch_size", [16, 50, 7])
@pytest.mark.parametrize("hidden", [7, 300])
def test_losses_as_objects(batch_size, hidden, rng):
    """The mean over batches, of which the last is short, in training, validation and evaluation."""

    def make(m):
        losses = fastnn.losses if m is metrics else keras.losses
        return {
            "metrics": [
                losses.MeanSquaredError(),
                "mse",
                losses.Huber(0.3, name="MyHuber"),
                losses.BinaryCrossentropy(reduction="sum"),
                losses.MeanAbsoluteError(reduction="none"),
            ],
            "weighted_metrics": [losses.BinaryCrossentropy(label_smoothing=0.1), losses.LogCosh],
        }

    models = twins("several", make, hidden)
    x, y, _ = data_for("several", rng, 50)
    more = {"epochs": 2, "batch_size": batch_size, "shuffle": False, "verbose": 0}
    more["validation_data"] = data_for("several", rng, 30)[:2]
    ours, theirs = (m.fit(x, y, **more).history for m in models)
    agree(ours, theirs)
    assert "MyHuber" in ours
    if batch_size == 16:
        assert abs(ours["mean_squared_error"][0] - ours["mse"][0]) > 1e-4
    more = {"batch_size": batch_size, "verbose": 0, "return_dict": True}
    agree(*(m.evaluate(x, y, **more) for m in models))
    agree(*(m.test_on_batch(x, y, return_dict=True) for m in models))


@pytest.mark.parametrize("threads", [1, 2])
def test_losses_as_objects_of_many_rows(threads, rng):
    """Batches that begin within the blocks of rows that threads share."""
    x, y, w = data_for("regression", rng, 3000)
    mse = fastnn.losses.MeanSquaredError()
    m = mlp(4, (7, "tanh"), (2, None), loss="mse", metrics=[mse], weighted_metrics=[mse])
    fastnn.set_num_threads(threads)
    found = m.evaluate(x, y, batch_size=700, sample_weight=w, verbose=0)
    rows = ((m.predict(x) - y) ** 2).mean(axis=1)
    parts = [slice(start, start + 700) for start in range(0, 3000, 700)]
    assert found[1] == pytest.approx(np.mean([rows[part].mean() for part in parts]), rel=1e-6)
    assert found[2] == pytest.approx(np.mean([(rows * w)[part].mean() for part in parts]), rel=1e-6)


@pytest.mark.parametrize("name", ["crossentropy", "ce", "CE"])
@pytest.mark.parametrize(
    ("kind", "meant"),
    [
        ("binary", "binary_crossentropy"),
        ("one-hot", "categorical_crossentropy"),
        ("numbers", "sparse_categorical_crossentropy"),
        ("several", "categorical_crossentropy"),
    ],
)
def test_crossentropy_by_output_and_targets(kind, meant, name, rng):
    """Keras chooses so for a loss of this name, and for "accuracy"; as a metric it does not know the name."""
    models = [
        twins(kind, lambda m, given=given: {"metrics": [given, "accuracy"]})[choice]
        for choice, given in enumerate((name, meant))
    ]
    x, y, _ = data_for(kind, rng, 50)
    models[1].set_weights(models[0].get_weights())
    more = {"epochs": 2, "batch_size": 16, "shuffle": False, "verbose": 0, "validation_split": 0.3}
    ours, theirs = (m.fit(x, y, **more).history for m in models)
    assert sorted(ours) == sorted([name, "accuracy", "loss", f"val_{name}", "val_accuracy", "val_loss"])
    agree(ours, dict(sorted((key.replace(meant, name), values) for key, values in theirs.items())))


def test_accuracy_of_logits(rng):
    """Their threshold is 0, or anything."""
    fits = []
    for k in (fastnn, keras):
        m = k.Sequential([k.layers.Input((4,)), k.layers.Dense(1)])
        m.set_weights([np.linspace(-1, 1, 4)[:, None], np.zeros(1)])
        found = [k.metrics.BinaryAccuracy(f"above_{t}", threshold=t) for t in (0.0, -1.0, 1.5)]
        loss = k.losses.BinaryCrossentropy(from_logits=True)
        m.compile("sgd", loss, metrics=[*found, k.metrics.AUC(from_logits=True)])
        x, y, _ = data_for("binary", np.random.default_rng(1), 50)
        fits.append(m.fit(x, y, epochs=2, batch_size=16, shuffle=False, verbose=0).history)
    agree(*fits)
    assert len({fits[0][f"above_{t}"][0] for t in (0.0, -1.0, 1.5)}) == 3


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_own_metrics(rng):
    """A class and a function of the user's own, beside compiled ones."""

    def make(m):
        base = fastnn.metrics if m is metrics else keras.metrics

        class Worst(base.Metric):
            """Mean over the batches of the largest error."""

            def __init__(self, name="worst"):
                super().__init__(name=name)
                self.total = self.add_weight(shape=(), initializer="zeros", name="total")
                self.batches = self.add_weight(shape=(), initializer="zeros", name="batches")

            def update_state(self, y_true, y_pred, sample_weight=None):
                ops = np if m is metrics else keras.ops
                self.total.assign_add(ops.max(abs(y_true - y_pred)))
                self.batches.assign_add(1.0)

            def result(self):
                return self.total / self.batches

        def deviation(y_true, y_pred):
            return (y_true - y_pred) ** 4

        return {"metrics": [Worst(), "mse", deviation], "weighted_metrics": [deviation]}

    models = twins("regression", make)
    x, y, w = data_for("regression", rng, 50)
    more = {"epochs": 3, "batch_size": 16, "shuffle": False, "verbose": 0, "validation_split": 0.2}
    agree(*(m.fit(x, y, sample_weight=w, **more).history for m in models))
    more = {"sample_weight": w, "batch_size": 16, "verbose": 0, "return_dict": True}
    agree(*(m.evaluate(x, y, **more) for m in models))


@pytest.mark.parametrize("monitor", ["val_auc", "auc"])
def test_early_stopping(monitor, rng):
    models = twins("binary", lambda m: {"metrics": [m.AUC()]})
    x, y, _ = data_for("binary", rng, 60)
    histories = []
    for model, library in zip(models, (fastnn, keras), strict=True):
        stop = library.callbacks.EarlyStopping(monitor=monitor, patience=2, min_delta=0.02)
        histories.append(
            model.fit(
                x, y, epochs=30, shuffle=False, verbose=0, validation_data=(x[:30], y[:30]), callbacks=[stop]
            ).history
        )
    assert len(histories[0]["loss"]) < 30
    agree(*histories)
