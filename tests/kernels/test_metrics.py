"""Compiled metrics against the classes in NumPy, and inside trainings: the same values, the same bits."""

import numpy as np
import pytest
from metric_cases import CLASS, ONE_UNIT, SEVERAL_UNITS, UNITS, data
from support import THREADS, compiled, digest, instruction_set, random_weights, train

from fastnn import losses, metrics
from fastnn.kernels import Measure, metric_results, runtime
from fastnn.kernels.network import Tally
from fastnn.kernels.threads import openmp

ALL = {**UNITS, **CLASS}


def by_numpy(metric, y, p, w):
    """The class's own result, of two batches, in float64 but for what meets a threshold."""
    metric.reset_state()
    half = len(y) // 2
    for part in (slice(0, half), slice(half, None)):
        if len(y[part]):
            metric.update_state(y[part], p[part], None if w is None else w[part])
    return np.atleast_1d(metric.result())


@pytest.mark.parametrize("name", ALL)
def test_against_numpy(name, dtype, isa, rng):
    for rows, units in ((1, 3), (15, 3), (50, 3), (37, 1), (33, 17)):
        if (
            (units == 1 and name in SEVERAL_UNITS)
            or (name in CLASS and units == 1)
            or (units > 1 and name in ONE_UNIT)
        ):
            continue
        y, p, w = data(name, rng, rows, units, dtype)
        metric = ALL[name](metrics)
        measure = metric.measure(units)._replace(weighted=True)
        for weight in (None, w):
            got = metric_results(
                measure, y if y.ndim == 2 else y[:, None], p, weight, class_numbers=name in CLASS
            )
            want = by_numpy(metric, y, p, weight)
            tolerance = 3e-5 if dtype == np.float32 else 1e-9
            np.testing.assert_allclose(
                got, want, rtol=tolerance, atol=tolerance / 10, err_msg=f"{rows} {units}"
            )
            if weight is not None:  # and without `weighted`, weights do not count
                plain = metric_results(
                    measure._replace(weighted=False),
                    y if y.ndim == 2 else y[:, None],
                    p,
                    weight,
                    class_numbers=name in CLASS,
                )
                want = by_numpy(metric, y, p, None)
                np.testing.assert_allclose(plain, want, rtol=tolerance, atol=tolerance / 10)


def test_thresholds_are_met_exactly(dtype):
    """An output at a threshold is not above it; of evenly spaced ones, Keras's rounding decides."""
    p = np.array([[0.0], [0.25], [0.3], [0.5], [1.0]], dtype)
    y = np.ones_like(p)
    for thresholds, want in (([0.25], 3), ([0.0], 4), ([1.0], 0), ([0.5], 1)):
        got = metric_results(metrics.TruePositives(thresholds).measure(1), y, p)
        assert got.tolist() == [want]
    even = metric_results(metrics.TruePositives([0, 0.25, 0.5, 0.75, 1.0]).measure(1), y, p)
    assert even.tolist() == [4, 3, 1, 1, 0]


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (Measure("confusoin"), "Did you mean 'confusion'"),
        (Measure("accuracy", finish="mode"), "unknown finish 'mode'"),
        (Measure("sparse_categorical_accuracy"), "does not take the targets"),
        (Measure("binary_accuracy", (0.5, 1.0)), "takes 1 parameters"),
        (metrics.Precision(class_id=5).measure(3), "unit 5; there are 3"),
        (metrics.MeanIoU(3, sparse_y_pred=False).measure(3), "does not take the targets"),
    ],
)
def test_wrong_measures(measure, message):
    with pytest.raises(ValueError, match=message):
        metric_results(measure, np.zeros((4, 3)), np.zeros((4, 3)))


# ---- inside trainings ----

NETS = {  # inputs, hidden layers, outputs, rows, batch
    "one step an epoch": (3, [(8, "tanh")], 2, 20, 20),
    "fused": (3, [(8, "tanh")], 2, 45, 10),
    "tiny": (5, [(16, "relu"), (8, "tanh")], 3, 45, 10),
    "middle": (20, [(64, "relu")], 3, 130, 33),
    "by blocks": (6, [(30, "relu")], 3, 4200, 4200),
}
MEASURES = [
    metrics.AUC().measure(2)._replace(weighted=True),
    metrics.Precision([0.7, 0.3]).measure(2),
    metrics.F1Score("weighted").measure(2)._replace(weighted=True),
    metrics.R2Score().measure(2),
    metrics.RootMeanSquaredError().measure(2)._replace(weighted=True),
    metrics.BinaryIoU(dtype="float32").measure(2),
    "binary_accuracy",
    Measure("mean_squared_error", finish="batches", weighted=True),
    Measure("binary_crossentropy", finish="batches"),
]


def run(name, dtype, threads, weighted=True):
    inputs, hidden, outputs, rows, batch = NETS[name]
    rng = np.random.default_rng(7)
    layers = [*((units, activation, True) for units, activation in hidden), (outputs, "sigmoid", True)]
    net = compiled(
        layers,
        inputs,
        dtype,
        random_weights(layers, inputs, rng, dtype),
        "binary_crossentropy",
        optimizer="adam",
        metrics=MEASURES,
        learning_rate=0.01,
    )
    x = rng.normal(size=(rows, inputs)).astype(dtype)
    y = (rng.random((rows, outputs)) < 0.4).astype(dtype)
    w = rng.uniform(0, 2, rows).astype(dtype) if weighted else None
    training = train(
        net,
        x,
        y,
        epochs=3,
        batch_size=batch,
        shuffle=True,
        seed=5,
        num_threads=threads,
        sample_weight=w,
        validation=(x[: rows // 2], y[: rows // 2], None if w is None else w[: rows // 2]),
        validation_batch=13,
    )
    return net, training, (x, y, w)


@pytest.mark.parametrize("name", NETS)
def test_same_bits(name, dtype):
    found = {}
    best = runtime.instruction_sets()[0]
    for isa in runtime.instruction_sets():
        with instruction_set(isa):
            for threads in (THREADS if isa == best else (1, 3)) if openmp() else (1,):
                net, training, _ = run(name, dtype, threads)
                found[isa, threads] = digest([*net.weights(), training.logs])
    assert len(set(found.values())) == 1, found


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_validation_is_evaluation(name, dtype, weighted):
    """Validation, what `evaluate` says, at once and in parts, and NumPy on the predictions agree."""
    net, training, (x, y, w) = run(name, dtype, 2, weighted)
    half = len(x) // 2
    part = (x[:half], y[:half], None if w is None else w[:half])
    results = training.logs.shape[1] // 2
    assert results == 1 + sum(net.widths)
    np.testing.assert_array_equal(training.logs[-1, results:], net.evaluate(*part, batch_size=13))
    tally = Tally(net)
    for start in range(0, half, 13):
        found = net.evaluate(*(None if a is None else a[start : start + 13] for a in part), tally=tally)
    assert tally.rows == half
    np.testing.assert_allclose(found, training.logs[-1, results:], rtol=1e-6, atol=1e-7)
    p = net.predict(part[0])
    want = [
        by_numpy(metrics.AUC(), part[1], p, part[2]),
        by_numpy(metrics.Precision([0.7, 0.3]), part[1], p, None),
        by_numpy(metrics.F1Score("weighted"), part[1], p, part[2]),
        by_numpy(metrics.R2Score(), part[1], p, None),
        by_numpy(metrics.RootMeanSquaredError(), part[1], p, part[2]),
        by_numpy(metrics.BinaryIoU(dtype="float32"), part[1], p, None),
        by_numpy(metrics.BinaryAccuracy(), part[1], p, None),
    ]
    batches = [slice(start, start + 13) for start in range(0, half, 13)]
    for loss, weight in ((losses.mean_squared_error, part[2]), (losses.binary_crossentropy, None)):
        rows = loss(part[1], p) * (1 if weight is None else weight)
        want.append([np.mean([rows[batch].mean(dtype="f8") for batch in batches])])
    np.testing.assert_allclose(found[1:], np.concatenate(want), rtol=3e-5, atol=3e-6)


def test_metrics_leave_the_training_alone(dtype):
    """Weights and losses do not depend on what is measured."""
    for name in NETS:
        net, training, (x, y, w) = run(name, dtype, 1)
        rng = np.random.default_rng(7)
        inputs, hidden, outputs, _, batch = NETS[name]
        layers = [*((units, activation, True) for units, activation in hidden), (outputs, "sigmoid", True)]
        bare = compiled(
            layers,
            inputs,
            dtype,
            random_weights(layers, inputs, rng, dtype),
            "binary_crossentropy",
            optimizer="adam",
            learning_rate=0.01,
        )
        alone = train(
            bare, x, y, epochs=3, batch_size=batch, shuffle=True, seed=5, num_threads=1, sample_weight=w
        )
        assert digest(bare.weights()) == digest(net.weights())
        np.testing.assert_array_equal(alone.logs[:, 0], training.logs[:, 0])


def test_a_tally_belongs_to_its_compilation():
    net, _, (x, y, _) = run("fused", np.dtype("f4"), 1)
    tally = Tally(net)
    net.compile("mean_squared_error", False, "sgd", {}, [])
    with pytest.raises(ValueError, match="begin another"):
        net.evaluate(x, y, tally=tally)
