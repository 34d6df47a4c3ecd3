"""What an option costs: a step of one network with it, beside the same step without.

Each row is one option. A step is long enough for its own work to be seen, and short enough for an option
to be.
"""

import numpy as np
import pytest

import fastnn

ROWS, BATCH, INPUTS, HIDDEN, UNITS = 4096, 64, 16, 64, 4


def metric(make):
    return lambda: {"metrics": [make(fastnn.metrics)]}


# option -> what `compile` is told beside optimizer and loss
OPTIONS = {
    "none": dict,
    "metric accuracy": lambda: {"metrics": ["accuracy"]},
    "metric mse": lambda: {"metrics": ["mse"]},
    "metric AUC": metric(lambda m: m.AUC()),
    "metric AUC, multi_label": metric(lambda m: m.AUC(multi_label=True)),
    "metric Precision": metric(lambda m: m.Precision()),
    "metric Recall, top_k": metric(lambda m: m.Recall(top_k=2)),
    "metric F1Score": metric(lambda m: m.F1Score()),
    "metric R2Score": metric(lambda m: m.R2Score()),
    "metric TopKCategoricalAccuracy": metric(lambda m: m.TopKCategoricalAccuracy(2)),
    "metric OneHotMeanIoU": metric(lambda m: m.OneHotMeanIoU(UNITS)),
    "metric PearsonCorrelation": metric(lambda m: m.PearsonCorrelation()),
    "metric weighted mse": lambda: {"weighted_metrics": ["mse"]},
    "metric of one's own": lambda: {"metrics": [lambda y, p: abs(y - p)]},
}


@pytest.mark.parametrize("option", OPTIONS)
def test_options(benchmark, option):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, INPUTS)).astype("f4")
    y = np.eye(UNITS, dtype="f4")[rng.integers(0, UNITS, ROWS)]
    model = fastnn.Sequential(
        [
            fastnn.layers.Dense(HIDDEN, activation="relu"),
            fastnn.layers.Dense(HIDDEN, activation="relu"),
            fastnn.layers.Dense(UNITS, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="categorical_crossentropy", **OPTIONS[option]())
    model.fit(x, y, batch_size=BATCH, verbose=0)
    benchmark.extra_info["steps"] = ROWS // BATCH
    benchmark(lambda: model.fit(x, y, batch_size=BATCH, verbose=0))
