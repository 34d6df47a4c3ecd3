"""Tiny models of one shape share the lanes of vectors in `fit_many`, with the bits of each one alone."""

import numpy as np
import pytest

import fastnn as keras
from fastnn.callbacks import EarlyStopping
from fastnn.kernels import many, runtime
from fastnn.layers import Dense

ROWS = 43
rng = np.random.default_rng(0)
X = {n: rng.normal(size=(ROWS, n)) for n in (1, 2, 3, 8, 9, 17)}
Z = rng.normal(size=(ROWS, 4))
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.1),
    "nesterov": lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "amsgrad": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
    "adamw, clipped": lambda: keras.optimizers.AdamW(0.01, clipvalue=0.01),
    "rmsprop, centered": lambda: keras.optimizers.RMSprop(0.01, centered=True, momentum=0.5),
    "adagrad": lambda: keras.optimizers.Adagrad(0.1),
    "lion": lambda: keras.optimizers.Lion(0.001),
}
SHAPES = [(2, 8, 1), (8, 6, 1), (3, 8, 2), (1, 1, 1), (9, 4, 1), (17, 7, 1), (8, 9, 1), (3, 5, 2)]
# last activation and loss
HEADS = {
    "linear": ("linear", "mse"),
    "tanh": ("tanh", "mae"),
    "binary": ("sigmoid", "binary_crossentropy"),
    "sigmoid": ("sigmoid", "mse"),
    "huber": ("softplus", "huber"),
    "classes": ("softmax", "sparse_categorical_crossentropy"),
    "shares": ("softmax", "categorical_crossentropy"),
}


def targets(head, outputs):
    if head == "classes":
        return Z[:, :outputs].argmax(axis=1)
    if head in ("binary", "shares"):
        y = np.abs(Z[:, :outputs]) / (1 + np.abs(Z[:, :outputs]))
        return y / y.sum(axis=1, keepdims=True) if head == "shares" else y
    return Z[:, :outputs]


def models_of(count, shape, hidden="tanh", head="linear", optimizer="adam", dtype="float32", use_bias=True):
    inputs, units, outputs = shape
    last, loss = HEADS[head]
    made = []
    for i in range(count):
        keras.utils.set_random_seed(i)
        layers = [
            keras.Input((inputs,)),
            Dense(units, hidden, dtype=dtype, use_bias=use_bias),
            Dense(outputs, last, dtype=dtype, use_bias=use_bias),
        ]
        made.append(keras.Sequential(layers))
        made[-1].compile(OPTIMIZERS[optimizer](), loss)
    return made


@pytest.fixture
def groups(monkeypatch):
    """How the trainings of the first native call were put together."""
    seen = []
    run_many = many.run_many

    def watched(trainings, *rest):
        seen.append(many.sharing(trainings))
        return run_many(trainings, *rest)

    monkeypatch.setattr(keras.many.many, "run_many", watched)
    return seen


def lanes(dtype="float32"):
    single, double = {"avx512": (16, 8), "avx2": (8, 4), "neon": (4, 2), "generic": (4, 4)}[
        runtime.instruction_set()
    ]
    return single if dtype == "float32" else double


def compare(groups, count, x, y, expected, made, **arguments):
    together, alone = made(), made()
    found = keras.fit_many(together, x, y, verbose=0, **arguments)
    assert sum(groups[0]) == count
    assert max(groups[0]) == expected
    for model, other, history in zip(together, alone, found, strict=True):
        assert other.fit(x, y, verbose=0, **arguments).history == history.history
        for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        assert model.optimizer.iterations == other.optimizer.iterations
        model.fit(x, y, verbose=0)  # goes on with the same slots, and the same order of rows
        other.fit(x, y, verbose=0)
        for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.fixture(params=runtime.instruction_sets())
def instruction_set(request):
    before = runtime.instruction_set()
    runtime.use_instruction_set(request.param)
    yield request.param
    runtime.use_instruction_set(before)


@pytest.mark.parametrize("batch", [1, 7, 20, ROWS])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("hidden", ["tanh", "relu", "gelu", "linear", "leaky_relu"])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bits_of_one_alone(instruction_set, groups, shape, hidden, head, optimizer, dtype, batch):
    inputs, _, outputs = shape
    if head in ("classes", "shares") and outputs == 1:
        pytest.skip("one class")
    count = lanes(dtype) + lanes(dtype) // 2 + 1
    compare(
        groups,
        count,
        X[inputs],
        targets(head, outputs),
        lanes(dtype) if shares(shape) else 1,
        lambda: models_of(count, shape, hidden, head, optimizer, dtype),
        batch_size=batch,
        epochs=3,
    )


def shares(shape):
    """Whether lanes take it: few hidden units, and the last layer is a narrow one."""
    _, units, outputs = shape
    return 4 * outputs <= units <= 8


def test_weighted_rows_and_no_biases(instruction_set, groups):
    weight = np.linspace(0, 2, ROWS)
    arguments = {"batch_size": 8, "epochs": 2, "sample_weight": weight}
    y = targets("linear", 1)
    compare(groups, 9, X[3], y, min(9, lanes()), lambda: models_of(9, (3, 6, 1)), **arguments)
    groups.clear()
    arguments["shuffle"] = False
    compare(groups, 9, X[3], y, min(9, lanes()), lambda: models_of(9, (3, 6, 1), use_bias=False), **arguments)


@pytest.mark.parametrize("shape", [(2, 8, 1), (9, 8, 2), (3, 5, 2)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("regularizer", ["l2", "l1", "l1_l2"])
def test_penalties(instruction_set, groups, shape, dtype, regularizer):
    def made():
        models = []
        for i in range(9):
            keras.utils.set_random_seed(i)
            options = {"kernel_regularizer": regularizer, "dtype": dtype}
            models.append(keras.Sequential([Dense(shape[1], "tanh", **options), Dense(shape[2], **options)]))
            models[-1].compile("adam", "mse")
        return models

    y = targets("linear", shape[2])
    wide = lanes(dtype) if shares(shape) else 1
    compare(groups, 9, X[shape[0]], y, min(9, wide), made, batch_size=9, epochs=3)


def test_each_stops_by_itself(groups):
    compare(
        groups,
        11,
        X[2],
        targets("linear", 1),
        min(11, lanes()),
        lambda: models_of(11, (2, 8, 1), optimizer="sgd"),
        epochs=60,
        callbacks=[EarlyStopping("loss", patience=1, min_delta=3e-3)],
    )


def test_data_of_ones_own(groups):
    xs = [X[3] * (i + 1) for i in range(8)]
    ys = [targets("linear", 1) - i for i in range(8)]
    together, alone = models_of(8, (3, 6, 1)), models_of(8, (3, 6, 1))
    keras.fit_many(together, xs, ys, epochs=5, verbose=0)
    assert max(groups[0]) > 1
    for model, other, x, y in zip(together, alone, xs, ys, strict=True):
        other.fit(x, y, epochs=5, verbose=0)
        np.testing.assert_array_equal(model.get_weights()[0], other.get_weights()[0])


def test_what_is_not_alike_does_not_share(groups):
    def made():
        return [
            *models_of(2, (2, 8, 1)),
            *models_of(2, (2, 7, 1)),
            *models_of(2, (2, 8, 1), optimizer="sgd"),
            *models_of(2, (2, 8, 1), head="tanh"),
            *models_of(2, (2, 8, 1), hidden="relu"),
            *models_of(2, (2, 8, 1), use_bias=False),
            *models_of(2, (2, 8, 1), dtype="float64"),
        ]

    compare(groups, 14, X[2], targets("linear", 1), 1 if lanes() > 8 else 2, made, epochs=4)


def test_one_that_diverges_leaves_the_others(groups):
    def made():
        models = models_of(8, (2, 8, 1), optimizer="sgd")
        models[3].set_weights([w * 1e30 for w in models[3].get_weights()])
        return models

    together, alone = made(), made()
    found = keras.fit_many(together, X[2], targets("linear", 1), epochs=6, verbose=0, on_error="return")
    assert max(groups[0]) == min(8, lanes())
    assert isinstance(found[3], FloatingPointError)
    for i in (0, 1, 2, 4, 5, 6, 7):
        alone[i].fit(X[2], targets("linear", 1), epochs=6, verbose=0)
        np.testing.assert_array_equal(together[i].get_weights()[0], alone[i].get_weights()[0])


def test_bits_over_slices_and_threads(monkeypatch):
    """A slice that ends after an epoch or two, models that were further before: lanes are made up anew."""
    monkeypatch.setattr(keras.many, "SLICE", 0.0)
    together, alone = models_of(13, (8, 7, 1)), models_of(13, (8, 7, 1))
    for model in (together[4], alone[4]):
        model.fit(X[8], targets("linear", 1), verbose=0)
    keras.fit_many(together, X[8], targets("linear", 1), epochs=9, batch_size=9, verbose=0, num_threads=3)
    for model, other in zip(together, alone, strict=True):
        other.fit(X[8], targets("linear", 1), epochs=9, batch_size=9, verbose=0)
        for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
