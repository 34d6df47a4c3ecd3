"""Metrics in models: by name, function and object, of the user's own, with weights, and wrong ones."""

import numpy as np
import pytest
from support import mlp

import fastnn
from fastnn import metrics


def problem(rng, rows=60):
    x = rng.normal(size=(rows, 4)).astype("f4")
    y = (x[:, :1] + 0.5 * rng.normal(size=(rows, 1)) > 0).astype("f4")
    return x, y


def model(**compiling):
    return mlp(4, (6, "tanh"), (1, "sigmoid"), loss="binary_crossentropy", **compiling)


class Share(metrics.Metric):
    """Share of outputs above a half; it keeps its state in attributes."""

    def __init__(self, name="share"):
        super().__init__(name=name)
        self.reset_state()

    def update_state(self, y_true, y_pred, sample_weight=None):
        assert y_true.shape == y_pred.shape
        weight = np.ones(len(y_pred)) if sample_weight is None else sample_weight
        self.above += float(((y_pred[:, 0] > 0.5) * weight).sum())
        self.all += float(weight.sum())

    def result(self):
        return self.above / self.all

    def reset_state(self):
        self.above = self.all = 0.0


@pytest.mark.parametrize("batch_size", [60, 16, 7])
@pytest.mark.parametrize("hidden", [6, 300])
def test_own_metrics_see_what_the_native_ones_see(batch_size, hidden, rng):
    """In training, outputs from before each step; else all rows; with weights where asked for."""

    def squared(y_true, y_pred):
        return (y_true - y_pred) ** 2

    x, y = problem(rng)
    w = rng.uniform(0, 2, len(x))
    m = mlp(
        4,
        (hidden, "tanh"),
        (1, "sigmoid"),
        loss="binary_crossentropy",
        metrics=["mse", squared, Share()],
        weighted_metrics=["mse", squared, Share("other")],
    )
    h = m.fit(
        x,
        y,
        batch_size=batch_size,
        epochs=3,
        verbose=0,
        sample_weight=w,
        validation_data=(x[:20], y[:20], w[:20]),
    ).history
    for prefix in ("", "val_"):
        np.testing.assert_allclose(h[f"{prefix}squared"], h[f"{prefix}mse"], rtol=1e-5)
        np.testing.assert_allclose(h[f"{prefix}weighted_squared"], h[f"{prefix}weighted_mse"], rtol=1e-5)
        assert h[f"{prefix}share"] != h[f"{prefix}other"]
    found = m.evaluate(x, y, sample_weight=w, verbose=0, return_dict=True)
    above = m.predict(x)[:, 0] > 0.5
    assert found["share"] == pytest.approx(above.mean())
    assert found["other"] == pytest.approx((above * w).sum() / w.sum(), rel=1e-5)


def test_own_metrics_do_not_change_the_training(rng):
    x, y = problem(rng)
    plain, watched = model(), model(metrics=[Share()])
    watched.set_weights(plain.get_weights())
    watched.seed = plain.seed
    a, b = (m.fit(x, y, epochs=4, verbose=0).history for m in (plain, watched))
    assert a["loss"] == b["loss"]
    for one, other in zip(plain.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_own_metrics_of_class_numbers(rng):
    """Class numbers come as (rows,), as users have them."""
    shapes = []

    def right(y_true, y_pred):
        shapes.append(y_true.shape)
        return y_true == y_pred.argmax(axis=-1)

    x = rng.normal(size=(30, 4)).astype("f4")
    m = mlp(4, (3, "softmax"), loss="sparse_categorical_crossentropy", metrics=["accuracy", right])
    h = m.fit(x, rng.integers(0, 3, 30), epochs=2, batch_size=8, verbose=0).history
    np.testing.assert_allclose(h["right"], h["accuracy"])
    assert set(shapes) == {(8,), (6,)}


def test_own_metrics_with_batches_and_on_batch(rng):
    x, y = problem(rng)
    m = model(metrics=[Share(), metrics.AUC(name="auc")])

    def pieces():
        for start in range(0, 60, 20):
            yield x[start : start + 20], y[start : start + 20]

    h = m.fit(pieces(), epochs=1, verbose=0, validation_data=(x, y)).history
    assert set(h) == {"loss", "share", "auc", "val_loss", "val_share", "val_auc"}
    assert m.evaluate(pieces(), verbose=0) == pytest.approx(m.evaluate(x, y, verbose=0), rel=1e-5)
    before = m.evaluate(x, y, verbose=0)
    assert m.test_on_batch(x, y) == pytest.approx(before)
    assert m.train_on_batch(x, y) == pytest.approx(before, rel=1e-5)


def test_results_that_are_dicts(rng):
    class Two(Share):
        def result(self):
            return {"first": 1.0, "second": np.float32(2)}

    x, y = problem(rng)
    m = model(metrics=[Two()])
    h = m.fit(x, y, epochs=2, verbose=0, validation_split=0.5).history
    assert h["first"] == [1.0, 1.0]
    assert h["val_second"] == [2.0, 2.0]
    assert m.evaluate(x, y, verbose=0)[1:] == [1.0, 2.0]


def test_a_subclass_that_changes_a_metric_runs_in_python(rng):
    class Gini(metrics.AUC):
        def result(self):
            return 2 * super().result() - 1

    class Renamed(metrics.AUC):
        pass

    x, y = problem(rng)
    m = model(metrics=[metrics.AUC(name="auc"), Gini(name="gini"), Renamed(name="same")])
    h = m.fit(x, y, epochs=2, verbose=0).history
    np.testing.assert_allclose(h["gini"], 2 * np.array(h["auc"]) - 1, atol=1e-6)
    assert h["same"] == h["auc"]
    assert [judge.measure is None for judge in m._native("test").judges] == [False, True, False]


def test_several_numbers(rng, capsys):
    """Arrays in the history and the logs, their mean in lines, one by one to monitor."""
    seen = []
    look = fastnn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["precision"]))
    x, y = problem(rng)
    for callbacks in ([], [look]):
        m = model(metrics=[metrics.Precision([0.2, 0.5, 0.8], name="precision")])
        h = m.fit(x, y, epochs=3, verbose=2, validation_split=0.3, callbacks=callbacks).history
        assert [value.shape for value in h["precision"] + h["val_precision"]] == [(3,)] * 6
        line = capsys.readouterr().out.splitlines()[-1]
        assert f"precision: {np.mean(h['precision'][-1]):.4f}" in line
    np.testing.assert_array_equal(seen, h["precision"])
    assert m.evaluate(x, y, verbose=0)[1].shape == (3,)
    with pytest.warns(UserWarning, match="val_precision"):
        m.fit(
            x,
            y,
            verbose=0,
            validation_split=0.3,
            callbacks=[fastnn.callbacks.EarlyStopping("val_precision", mode="max")],
        )
    m.fit(
        x,
        y,
        verbose=0,
        validation_split=0.3,
        callbacks=[fastnn.callbacks.EarlyStopping("val_precision[1]", mode="max")],
    )


def test_automatic_directions(rng):
    m = model(
        metrics=[
            "AUC",
            "mse",
            metrics.TruePositives(name="tp"),
            "mae",
        ]
    )
    assert m.metric_direction("AUC") == "max"
    assert m.metric_direction("mse") == "min"
    assert m.metric_direction("tp") is None
    with pytest.raises(ValueError, match="mode='min' or 'max'"):
        m.fit(*problem(rng), verbose=0, callbacks=[fastnn.callbacks.EarlyStopping("tp")])


def test_compile_config(rng):
    made = model(
        metrics=["accuracy", metrics.AUC(num_thresholds=20)], weighted_metrics=[metrics.F1Score("micro")]
    )
    config = made.get_compile_config()
    again = model()
    again.compile_from_config(config)
    again.set_weights(made.get_weights())
    x, y = problem(rng)
    assert again.evaluate(x, y, verbose=0) == made.evaluate(x, y, verbose=0)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("accuracy", ValueError, "must be a list"),
        (["acuracy"], ValueError, "Did you mean"),
        ([3], TypeError, "must be a name, a function or a Metric"),
        (["sparse_categorical_accuracy"], None, ""),
    ],
)
@pytest.mark.parametrize("argument", ["metrics", "weighted_metrics"])
def test_wrong_metrics(given, error, message, argument):
    if error is None:
        model(**{argument: given})
        return
    with pytest.raises(error, match=message):
        model(**{argument: given})


def test_metrics_that_do_not_fit_the_targets():
    with pytest.raises(ValueError, match="takes class numbers, but the loss"):
        mlp(4, (3, "softmax"), loss="categorical_crossentropy", metrics=["sparse_categorical_accuracy"])
    with pytest.raises(ValueError, match="takes 3 targets a row, but the loss"):
        mlp(4, (3, "softmax"), loss="sparse_categorical_crossentropy", metrics=["AUC"])
    with pytest.raises(ValueError, match="2 label_weights, but there are 3 outputs"):
        mlp(4, (3, "sigmoid"), loss="mse", metrics=[metrics.AUC(label_weights=[1, 2])])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: metrics.AUC(num_thresholds=1), "num_thresholds"),
        (lambda: metrics.AUC(curve="roc-curve"), "curve='roc-curve'"),
        (lambda: metrics.AUC(summation_method="left"), "summation_method='left'"),
        (lambda: metrics.AUC(num_labels=3), "num_labels"),
        (lambda: metrics.Precision(thresholds=1.5), r"in \[0, 1\]"),
        (lambda: metrics.F1Score(average="mean"), "average='mean'"),
        (lambda: metrics.FBetaScore(beta=2), "beta must be a float"),
        (lambda: metrics.F1Score(threshold=0.0), "threshold"),
        (lambda: metrics.R2Score(class_aggregation="mean"), "class_aggregation='mean'"),
        (lambda: metrics.R2Score(num_regressors=-1), "num_regressors"),
        (lambda: metrics.RecallAtPrecision(1.5), r"precision must be in the range \[0, 1\]"),
        (lambda: metrics.SensitivityAtSpecificity(0.5, num_thresholds=0), "num_thresholds"),
        (lambda: metrics.IoU(2, [2]), "class 2"),
        (lambda: metrics.F1Score()(np.zeros(3), np.zeros(3)), r"shape \(rows, units\)"),
        (lambda: metrics.Precision(class_id=3)(np.zeros((4, 2)), np.zeros((4, 2))), "class_id=3"),
        (lambda: metrics.Mean()(np.zeros(3), np.zeros(4)), "sample_weight has shape"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_metric_without_super():
    class Broken(metrics.Metric):
        def __init__(self):
            pass

    with pytest.raises(RuntimeError, match=r"super\(\).__init__"):
        Broken()(1, 2)


def test_state_of_an_own_metric():
    """Variables read like arrays; those of metrics inside a metric are its own too."""

    class Outer(metrics.Metric):
        def __init__(self):
            super().__init__()
            self.inner = metrics.Mean()
            self.count = self.add_weight(shape=(2,), initializer="ones", name="count")

    outer = Outer()
    assert [v.shape for v in outer.variables] == [(2,), (), ()]
    outer.count.assign_add([1, 2])
    np.testing.assert_array_equal(outer.count + 1, [3, 4])
    outer.inner.update_state([1.0, 3.0])
    assert outer.inner.result() == 2.0
    outer.reset_state()
    assert outer.inner.result() == 0.0
    assert outer.count[1] == 0
    with pytest.raises(ValueError, match="has shape"):
        outer.count.assign([1, 2, 3])


def test_rows_of_a_class_to_ignore_as_keras_counts_them():
    rng = np.random.default_rng(0)
    y, p, w = np.array([0, 2, 1, 2, 0]), rng.dirichlet(np.ones(3), 5), rng.uniform(0.5, 2, 5)
    metric = fastnn.metrics.SparseCategoricalCrossentropy(ignore_class=2)
    rows = -np.log(p[np.arange(5), y])
    kept = y != 2
    assert float(metric(y, p)) == pytest.approx(rows[kept].sum() / len(y), rel=1e-5)
    metric.reset_state()
    assert float(metric(y, p, w)) == pytest.approx(np.average(rows[kept], weights=w[kept]), rel=1e-5)
