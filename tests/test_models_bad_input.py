"""Bad input: an error naming the argument, what came and what was expected, and a model that is as it was."""

import re
import warnings

import numpy as np
import pytest
from support import attempt, iterations, mlp, state

import fastnn as keras
from fastnn.layers import Dense


def regression():
    model = mlp(4, (5, "relu"), (2, None), optimizer="adam", loss="mse", metrics=["mae"])
    model.fit(np.ones((8, 4)), np.ones((8, 2)), epochs=2, batch_size=4, verbose=0)
    return model


def classifier():
    model = mlp(
        4,
        (5, "relu"),
        (3, "softmax"),
        optimizer="adam",
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(np.ones((8, 4)), np.arange(8) % 3, epochs=2, batch_size=4, verbose=0)
    return model


def refused(model, call, names, errors=(ValueError, TypeError)):
    """The call raises, its message holds all names, and nothing in the model has changed; it can go on."""
    before = state(model)
    with pytest.raises(errors) as caught:
        call()
    for name in names:
        assert name in str(caught.value), f"{name!r} is not in: {caught.value}"
    assert state(model) == before
    count = iterations(model)
    outputs = model.layers[-1].units
    model.fit(
        np.ones((8, 4)), np.ones(8) if outputs == 3 else np.ones((8, 2)), epochs=1, batch_size=8, verbose=0
    )
    assert iterations(model) == count + 1


X, Y = np.ones((10, 4)), np.ones((10, 2))


def with_value(a, place, value):
    a = np.array(a, dtype=float)
    a[place] = value
    return a


BAD_X = {
    "columns": (np.ones((10, 5)), ["x", "5", "4"]),
    "vector": (np.ones(10), ["x", "4"]),
    "rank 3": (np.ones((10, 4, 1)), ["x", "(10, 4, 1)"]),
    "scalar": (np.float32(3), ["x"]),
    "none": (None, ["x"]),
    "no rows": (np.ones((0, 4)), ["x", "0"]),
    "empty list": ([], ["x"]),
    "ragged": ([[1, 2, 3, 4], [1, 2]], ["x"]),
    "text": (np.full((10, 4), "a"), ["x"]),
    "objects": (np.full((10, 4), object()), ["x"]),
    "complex": (np.ones((10, 4), complex), ["x", "complex"]),
    "dates": (np.zeros((10, 4), "datetime64[s]"), ["x"]),
    "records": (np.zeros(10, [("a", float), ("b", float), ("c", float), ("d", float)]), ["x"]),
    "dict": ({"a": 1}, ["x"]),
    "nan": (with_value(X, (7, 2), np.nan), ["x", "7"]),
    "infinity": (with_value(X, (7, 2), -np.inf), ["x", "7"]),
    "too large for the dtype": (with_value(X, (7, 2), 1e300), ["x", "7"]),
    "nan in a list": ([[1, 2, 3, 4], [1, 2, float("nan"), 4]] * 5, ["x", "1"]),
    "None in a list": ([[1, 2, 3, None]] * 10, ["x"]),
}


@pytest.mark.parametrize("case", sorted(BAD_X))
@pytest.mark.parametrize("method", ["fit", "train_on_batch", "evaluate", "test_on_batch"])
def test_bad_x(case, method):
    x, names = BAD_X[case]
    model = regression()
    rows = len(x) if isinstance(x, (list, np.ndarray)) and np.ndim(np.asarray(x, dtype=object)) else 10
    more = {} if "batch" in method else {"verbose": 0}
    refused(model, lambda: getattr(model, method)(x, np.ones((rows, 2)), **more), names)


@pytest.mark.parametrize(
    "case",
    sorted(
        set(BAD_X) - {"nan", "infinity", "too large for the dtype", "nan in a list", "no rows", "empty list"}
    ),
)
def test_bad_x_for_predict(case):
    x, names = BAD_X[case]
    model = regression()
    refused(model, lambda: model.predict(x, verbose=0), names)
    refused(model, lambda: model.predict_on_batch(x), names)


def test_predict_of_no_rows():
    model = regression()
    got, error = attempt(lambda: model.predict(np.ones((0, 4)), verbose=0))
    assert "x" in error if error else got.shape == (0, 2)


def test_predict_of_nan_is_nan_in_that_row_only_or_an_error():
    model, x = regression(), with_value(X, (7, 2), np.nan)
    got, error = attempt(lambda: model.predict(x, verbose=0))
    if error:
        assert "x" in error
        assert "7" in error
    else:
        assert np.isfinite(np.delete(got, 7, axis=0)).all()


BAD_Y = {
    "columns": (np.ones((10, 3)), ["y", "3", "2"]),
    "vector for two units": (np.ones(10), ["y", "2"]),
    "one column for two units": (np.ones((10, 1)), ["y", "2"]),
    "rank 3": (np.ones((10, 2, 1)), ["y"]),
    "fewer rows": (np.ones((9, 2)), ["9", "10"]),
    "more rows": (np.ones((11, 2)), ["11", "10"]),
    "none": (None, ["y"]),
    "text": (np.full((10, 2), "a"), ["y"]),
    "complex": (np.ones((10, 2), complex), ["y", "complex"]),
    "nan": (with_value(Y, (3, 1), np.nan), ["y", "3"]),
    "infinity": (with_value(Y, (3, 1), np.inf), ["y", "3"]),
}


@pytest.mark.parametrize("case", sorted(BAD_Y))
@pytest.mark.parametrize("method", ["fit", "train_on_batch", "evaluate", "test_on_batch"])
def test_bad_y(case, method):
    y, names = BAD_Y[case]
    model = regression()
    more = {} if "batch" in method else {"verbose": 0}
    refused(model, lambda: getattr(model, method)(X, y, **more), names)


BAD_LABELS = {
    "too large": (with_value(np.zeros(10), 6, 3), ["y", "3"]),
    "negative": (with_value(np.zeros(10), 6, -1), ["y", "-1"]),
    "fraction": (with_value(np.zeros(10), 6, 0.5), ["y", "0.5"]),
    "nan": (with_value(np.zeros(10), 6, np.nan), ["y", "6"]),
    "one hot": (np.eye(3)[np.zeros(10, int)], ["y", "categorical_crossentropy"]),
    "huge integer": (np.full(10, 2**62), ["y"]),
    "large unsigned": (np.full(10, 2**64 - 1, np.uint64), ["y"]),
    "wraps in int8": (np.full(10, 257), ["y", "257"]),
    "text": (np.array(list("abcabcabca")), ["y"]),
}


@pytest.mark.parametrize("case", sorted(BAD_LABELS))
@pytest.mark.parametrize("method", ["fit", "train_on_batch", "evaluate", "test_on_batch"])
def test_bad_labels(case, method):
    y, names = BAD_LABELS[case]
    model = classifier()
    more = {} if "batch" in method else {"verbose": 0}
    refused(model, lambda: getattr(model, method)(X, y, **more), names)


def test_a_bad_label_in_the_last_batch_is_found_before_anything_is_kept():
    model = classifier()
    y = np.zeros(1000)
    y[-1] = 7
    refused(
        model, lambda: model.fit(np.ones((1000, 4)), y, batch_size=10, shuffle=False, verbose=0), ["y", "7"]
    )
    x = np.ones((1000, 4))
    x[-1, -1] = np.nan
    refused(
        model, lambda: model.fit(x, np.zeros(1000), batch_size=10, shuffle=False, verbose=0), ["x", "999"]
    )


BAD_FIT = {
    "batch size of 0": ({"batch_size": 0}, ["batch_size", "0"]),
    "negative batch size": ({"batch_size": -3}, ["batch_size", "-3"]),
    "fractional batch size": ({"batch_size": 2.5}, ["batch_size", "2.5"]),
    "text for batch size": ({"batch_size": "all"}, ["batch_size"]),
    "negative epochs": ({"epochs": -1}, ["epochs", "-1"]),
    "fractional epochs": ({"epochs": 1.5}, ["epochs", "1.5"]),
    "text for epochs": ({"epochs": "many"}, ["epochs"]),
    "split of 1": ({"validation_split": 1.0}, ["validation_split", "1"]),
    "negative split": ({"validation_split": -0.1}, ["validation_split", "-0.1"]),
    "split of 2": ({"validation_split": 2}, ["validation_split", "2"]),
    "split that leaves no rows": ({"validation_split": 0.95}, ["validation_split", "0.95"]),
    "weights too few": ({"sample_weight": np.ones(9)}, ["sample_weight", "9", "10"]),
    "weights of rank 2": ({"sample_weight": np.ones((10, 3))}, ["sample_weight"]),
    "weight not finite": ({"sample_weight": with_value(np.ones(10), 4, np.nan)}, ["sample_weight", "4"]),
    "weights of text": ({"sample_weight": ["a"] * 10}, ["sample_weight"]),
    "validation alone": ({"validation_data": X}, ["validation_data"]),
    "validation of one": ({"validation_data": (X,)}, ["validation_data"]),
    "validation of four": ({"validation_data": (X, Y, np.ones(10), 1)}, ["validation_data"]),
    "validation columns": (
        {"validation_data": (np.ones((5, 3)), np.ones((5, 2)))},
        ["validation_data", "3", "4"],
    ),
    "validation rows": (
        {"validation_data": (np.ones((5, 4)), np.ones((6, 2)))},
        ["validation_data", "5", "6"],
    ),
    "validation empty": ({"validation_data": (np.ones((0, 4)), np.ones((0, 2)))}, ["validation_data"]),
    "validation nan": ({"validation_data": (with_value(X, (3, 0), np.nan), Y)}, ["validation_data", "3"]),
    "unknown argument": ({"epoch": 3}, ["epoch"]),
    "class weights in a list": ({"class_weight": [1.0, 2.0]}, ["class_weight", "list"]),
    "class weight of a name": ({"class_weight": {"a": 1.0}}, ["class_weight", "'a'"]),
    "class weight of text": ({"class_weight": {0: "1"}}, ["class_weight[0]", "'1'"]),
    "class weight not finite": ({"class_weight": {0: np.inf}}, ["class_weight[0]", "inf"]),
    "another word for class weights": ({"class_weight": "equal"}, ["class_weight", "equal", "balanced"]),
    "no steps": ({"steps_per_epoch": 0}, ["steps_per_epoch", "0"]),
    "fractional steps": ({"steps_per_epoch": 2.5}, ["steps_per_epoch", "2.5"]),
    "no validation steps": ({"validation_steps": 0}, ["validation_steps", "0"]),
    "validation never": ({"validation_freq": 0}, ["validation_freq", "0"]),
    "validation after epoch 0": ({"validation_freq": [0, 2]}, ["validation_freq", "0"]),
    "validation now and then": ({"validation_freq": "often"}, ["validation_freq", "often"]),
}


@pytest.mark.parametrize("case", sorted(BAD_FIT))
def test_bad_arguments_to_fit(case):
    change, names = BAD_FIT[case]
    model = regression()
    refused(model, lambda: model.fit(X, Y, **{"verbose": 0, **change}), names)


def batches(*given):
    yield from given


BAD_BATCHES = {
    "y beside": (lambda: ((batches((X, Y)), Y), {}), ["y", "batch"]),
    "weights beside": (lambda: ((batches((X, Y)),), {"sample_weight": np.ones(10)}), ["sample_weight"]),
    "split": (lambda: ((batches((X, Y)),), {"validation_split": 0.5}), ["validation_split", "batches"]),
    "balanced": (lambda: ((batches((X, Y)),), {"class_weight": "balanced"}), ["balanced", "batches"]),
    "none": (lambda: ((batches(),), {}), ["x", "no batches"]),
    "four of them": (lambda: ((batches((X, Y, Y, Y)),), {}), ["batch 0 of x", "length 4"]),
    "no targets": (lambda: ((batches((X,)),), {}), ["batch 0: y"]),
    "columns": (lambda: ((batches((np.ones((3, 5)), np.ones((3, 2)))),), {}), ["batch 0: x", "5", "4"]),
    "rows": (lambda: ((batches((np.ones((3, 4)), np.ones((4, 2)))),), {}), ["batch 0: x", "3", "4"]),
    "nan": (lambda: ((batches((with_value(X, (3, 1), np.nan), Y)),), {}), ["batch 0: x", "row 3"]),
    "a generator for many validations": (
        lambda: ((X, Y), {"validation_data": batches((X, Y)), "epochs": 3}),
        ["validation_data", "generator"],
    ),
    "a bad validation": (
        lambda: ((X, Y), {"validation_data": batches((X[:, :3], Y))}),
        ["validation_data: batch 0: x", "3", "4"],
    ),
}


@pytest.mark.parametrize("case", sorted(BAD_BATCHES))
def test_bad_batches(case):
    given, names = BAD_BATCHES[case]
    model = regression()
    arguments, more = given()
    before = model.get_weights()
    with pytest.raises((ValueError, TypeError)) as caught:
        model.fit(*arguments, verbose=0, **more)
    for name in names:
        assert name in str(caught.value), f"{name!r} is not in: {caught.value}"
    if case != "a bad validation":  # which is found after the first epoch
        assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    model.fit(X, Y, epochs=1, verbose=0)


def test_a_bad_batch_in_the_middle_ends_the_fit_there():
    model = regression()
    bad = with_value(X, (7, 2), np.inf)
    with pytest.raises(ValueError, match=r"batch 2: x holds .* in row 7, column 2"):
        model.fit(batches((X, Y), (X, Y), (bad, Y)), verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())
    model.fit(X, Y, epochs=1, verbose=0)


def test_execution_hints_are_accepted_and_change_nothing():
    found = []
    for hints in ({}, {"run_eagerly": True, "jit_compile": False, "steps_per_execution": 4}):
        keras.utils.set_random_seed(1)
        model = mlp(4, (2, None))
        model.compile("sgd", "mse", **hints)
        found.append(model.fit(X, Y, epochs=2, verbose=0).history)
    assert found[0] == found[1]


UNKNOWN_NAMES = {
    "optimizer": (lambda: mlp(4, (2, None)).compile("adm", "mse"), ["adm", "adam"]),
    "loss": (
        lambda: mlp(4, (2, None)).compile("sgd", "mean_squared_eror"),
        ["mean_squared_eror", "mean_squared_error"],
    ),
    "metric": (
        lambda: (lambda m: (m.compile("sgd", "mse", metrics=["acuracy"]), m.fit(X, Y, verbose=0)))(
            mlp(4, (2, None))
        ),
        ["acuracy", "accuracy"],
    ),
    "activation": (lambda: Dense(3, activation="rleu"), ["rleu", "relu"]),
    "kernel_initializer": (
        lambda: Dense(3, kernel_initializer="glorot_unifrom"),
        ["glorot_unifrom", "glorot_uniform"],
    ),
    "bias_initializer": (lambda: Dense(3, bias_initializer="zero!"), ["zero!"]),
    "dtype": (lambda: Dense(3, dtype="float23"), ["float23"]),
}


@pytest.mark.parametrize("kind", sorted(UNKNOWN_NAMES))
def test_unknown_names(kind):
    call, names = UNKNOWN_NAMES[kind]
    with pytest.raises((ValueError, NotImplementedError)) as caught:
        call()
    for name in names:
        assert name in str(caught.value)


BAD_OBJECTS = {
    "units of 0": (lambda: Dense(0), ["units", "0"]),
    "negative units": (lambda: Dense(-5), ["units", "-5"]),
    "fractional units": (lambda: Dense(2.5), ["units", "2.5"]),
    "text for units": (lambda: Dense("ten"), ["units", "ten"]),
    "number for activation": (lambda: Dense(3, activation=5), ["activation"]),
    "unknown argument": (lambda: Dense(3, activaton="relu"), ["activaton"]),
    "input of 0": (lambda: keras.Sequential([Dense(3, input_dim=0)]), ["0"]),
    "input of rank 2": (lambda: keras.Sequential([keras.Input((3, 4)), Dense(3)]), ["3, 4"]),
    "input of None": (lambda: keras.Sequential([keras.Input((None,)), Dense(3)]), ["None"]),
    "negative rate": (lambda: keras.optimizers.SGD(learning_rate=-0.1), ["learning_rate", "-0.1"]),
    "rate of nan": (lambda: keras.optimizers.Adam(learning_rate=float("nan")), ["learning_rate", "nan"]),
    "text for rate": (lambda: keras.optimizers.Adam(learning_rate="fast"), ["learning_rate", "fast"]),
    "momentum above 1": (lambda: keras.optimizers.SGD(momentum=1.5), ["momentum", "1.5"]),
    "beta_1 of 1": (lambda: keras.optimizers.Adam(beta_1=1.0), ["beta_1"]),
    "beta_2 above 1": (lambda: keras.optimizers.Adam(beta_2=1.1), ["beta_2", "1.1"]),
    "negative epsilon": (lambda: keras.optimizers.Adam(epsilon=-1e-7), ["epsilon"]),
    "unknown optimizer argument": (lambda: keras.optimizers.Adam(lr=0.1), ["lr"]),
    "seed of text": (lambda: keras.utils.set_random_seed("x"), ["seed"]),
}


@pytest.mark.parametrize("case", sorted(BAD_OBJECTS))
def test_bad_arguments_to_objects(case):
    call, names = BAD_OBJECTS[case]
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    for name in names:
        assert name in str(caught.value)


@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf"), "fast", None])
def test_a_bad_learning_rate_leaves_the_old_one(rate):
    model = regression()
    before = float(np.asarray(model.optimizer.learning_rate))

    def assign():
        model.optimizer.learning_rate = rate

    refused(model, assign, ["learning_rate"])
    assert float(np.asarray(model.optimizer.learning_rate)) == before


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_before_compile(method):
    model = mlp(4, (2, None))
    with pytest.raises((RuntimeError, ValueError), match="compile"):
        getattr(model, method)(X, Y)


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_an_empty_model(method):
    model = keras.Sequential()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="layer"):
        getattr(model, method)(X, Y, verbose=0)
    with pytest.raises(ValueError, match="layer"):
        keras.Sequential().predict(X, verbose=0)


def test_losses_that_do_not_fit_the_output():
    for outputs, activation, loss, y in (
        (1, "sigmoid", "sparse_categorical_crossentropy", np.arange(10) % 3),
        (1, "softmax", "sparse_categorical_crossentropy", np.ones(10)),
    ):
        model = mlp(4, (outputs, activation), optimizer="sgd", loss=loss)
        before = state(model)
        with pytest.raises(ValueError, match=r"y|softmax|units"):
            model.fit(X, y, epochs=1, verbose=0)
        assert state(model) == before


@pytest.mark.parametrize("bad", [2.0, -1.0, 1.0001])
def test_binary_targets_beyond_0_and_1_do_not_pass_in_silence(bad):
    """Keras trains on them; so a warning that names the row will do, or an error."""
    model = mlp(4, (1, "sigmoid"), optimizer="sgd", loss="binary_crossentropy")
    y = with_value(np.zeros(10), 6, bad)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _, error = attempt(lambda: model.fit(X, y, epochs=1, verbose=0))
    said = error or " ".join(str(w.message) for w in caught if w.category is keras.TrainingWarning)
    for part in ("y", "6", f"{bad:g}", "[0, 1]"):
        assert part in said


def test_binary_targets_between_0_and_1_train(rng):
    model = mlp(4, (1, "sigmoid"), optimizer="sgd", loss="binary_crossentropy")
    assert np.isfinite(model.fit(X, rng.random(10), epochs=3, verbose=0).history["loss"]).all()


def test_divergence_names_the_epoch_and_leaves_a_finite_model(rng):
    x, y = rng.normal(size=(40, 4)), rng.normal(size=(40, 2))
    model = mlp(4, (5, "relu"), (2, None), optimizer=keras.optimizers.SGD(1e8), loss="mse")
    with pytest.raises(FloatingPointError, match=r"[Ee]poch \d"):
        model.fit(x, y, epochs=100, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())
    model.compile("sgd", "mse")
    model.set_weights([0.1 * np.ones_like(w) for w in model.get_weights()])
    assert np.isfinite(model.fit(x, y, epochs=2, verbose=0).history["loss"]).all()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("optimizer", "rate"),
    [("SGD", 1.5), ("SGD", 30.0), ("SGD", 1e8), ("RMSprop", 1e37), ("Adam", 1e37)],
)
def test_divergence_keeps_what_was_published_last(optimizer, rate, threads, rng):
    """Weights, what the optimizer remembers and its counter are those of a shorter training."""
    x, y = rng.normal(size=(40, 4)), rng.normal(size=(40, 2))
    make = getattr(keras.optimizers, optimizer)
    model, twin = [mlp(4, (5, None), (2, None), optimizer=make(rate), loss="mse") for _ in range(2)]
    keras.set_num_threads(threads)
    with pytest.raises(FloatingPointError) as caught:
        model.fit(x, y, epochs=1000, batch_size=20, verbose=0)
    said = re.search(
        r"the loss became (inf|nan) in epoch (\d+)|no longer finite in epoch (\d+)", str(caught.value)
    )
    kept, rest = divmod(iterations(model), 2)
    assert rest == 0
    assert kept < int(said[2] or said[3])
    if kept:
        twin.fit(x, y, epochs=kept, batch_size=20, verbose=0)
    assert state(model) == state(twin)


@pytest.mark.parametrize("threads", [1, 2])
def test_weights_that_overflow_in_the_last_step_are_not_published(threads):
    """The loss is that from before the step; only the weights tell."""
    model = mlp(1, (1, None), optimizer=keras.optimizers.SGD(1e38), loss="mse")
    before = state(model)
    keras.set_num_threads(threads)
    with pytest.raises(FloatingPointError, match=r"finite in epoch 1 \(the last epoch's loss was 1\d\d\d"):
        model.fit([[1.0]], [[40.0]], epochs=1, verbose=0)
    assert state(model) == before


def test_a_model_too_large_for_memory_is_an_error():
    with pytest.raises((MemoryError, ValueError, OverflowError)):
        keras.Sequential([Dense(2**40, input_dim=2**40)]).predict(np.ones((1, 2)), verbose=0)


def test_training_in_two_threads_at_once_is_refused_or_serialised(rng):
    """One model trained from two threads: an error in one of them, never mixed weights."""
    import threading

    x, y = rng.normal(size=(400, 4)).astype(np.float32), rng.normal(size=(400, 2)).astype(np.float32)
    model = mlp(4, (30, "relu"), (2, None), optimizer="adam", loss="mse")
    errors, start = [], threading.Barrier(2)

    def work():
        start.wait()
        try:
            model.fit(x, y, epochs=200, batch_size=10, verbose=0)
        except RuntimeError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    twin = mlp(4, (30, "relu"), (2, None), optimizer="adam", loss="mse")
    for _ in range(2 - len(errors)):
        twin.fit(x, y, epochs=200, batch_size=10, verbose=0)
    assert len(errors) < 2
    assert state(model) == state(twin)
