"""What rows weigh and where they lie: class weights, data frames, memory maps."""

import tracemalloc

import numpy as np
import pytest
from support import mlp, state

from fastnn import data

# ---- class weights ---------------------------------------------------------------------------------


def classifier(kind):
    units, activation, loss = {
        "numbers": (3, "softmax", "sparse_categorical_crossentropy"),
        "one-hot": (3, "softmax", "categorical_crossentropy"),
        "binary": (1, "sigmoid", "binary_crossentropy"),
    }[kind]
    return mlp(4, (5, "tanh"), (units, activation), optimizer="adam", loss=loss, metrics=["accuracy"])


def targets(kind, rng, rows=30):
    labels = rng.choice(
        3 if kind != "binary" else 2, size=rows, p=[0.6, 0.3, 0.1] if kind != "binary" else [0.8, 0.2]
    )
    return labels, np.eye(3)[labels] if kind == "one-hot" else labels


@pytest.mark.parametrize(
    "weights", [{0: 0.5, 1: 2.0, 2: 4.0}, {1: 3.0}, {}, {np.int64(0): 2, 9: 1.0}], ids=str
)
@pytest.mark.parametrize("kind", ["numbers", "one-hot", "binary"])
def test_class_weights_are_sample_weights(kind, weights, rng):
    x = rng.normal(size=(30, 4))
    labels, y = targets(kind, rng)
    each = np.array([float(weights.get(int(label), 1.0)) for label in labels])
    for own in (None, rng.uniform(0, 2, 30)):
        model, twin = classifier(kind), classifier(kind)
        ours = model.fit(
            x,
            y,
            class_weight=weights,
            sample_weight=own,
            epochs=3,
            batch_size=7,
            verbose=0,
            validation_split=0.2,
        )
        theirs = twin.fit(
            x[:24],
            y[:24],
            sample_weight=each[:24] * (1 if own is None else own[:24]),
            epochs=3,
            batch_size=7,
            verbose=0,
            validation_data=(x[24:], y[24:], None if own is None else own[24:]),
        )
        assert ours.history == theirs.history, "weights of classes do not reach the validation"
        assert state(model) == state(twin)


@pytest.mark.parametrize("kind", ["numbers", "one-hot", "binary"])
def test_balanced_class_weights_are_scikit_learns(kind, rng):
    utils = pytest.importorskip("sklearn.utils.class_weight")
    x = rng.normal(size=(30, 4))
    labels, y = targets(kind, rng)
    found = np.unique(labels)
    weights = dict(zip(found, utils.compute_class_weight("balanced", classes=found, y=labels), strict=True))
    model, twin = classifier(kind), classifier(kind)
    ours = model.fit(x, y, class_weight="balanced", epochs=3, verbose=0)
    theirs = twin.fit(x, y, class_weight=weights, epochs=3, verbose=0)
    np.testing.assert_allclose(ours.history["loss"], theirs.history["loss"], rtol=1e-6)


def test_balanced_needs_classes(rng):
    model = mlp(4, (1, None), optimizer="sgd", loss="mse")
    with pytest.raises(ValueError, match=r"balanced.*y\[1\] is 0.5"):
        model.fit(np.ones((3, 4)), [1.0, 0.5, 2.0], class_weight="balanced", verbose=0)


def test_class_weights_round_targets_as_keras_does():
    from fastnn import class_weights

    y = np.array([[0.2], [0.5], [1.5], [0.9], [2.4]])
    found = class_weights.sample_weight({0: 10.0, 1: 20.0, 2: 30.0}, y, None)
    assert found.tolist() == [10.0, 10.0, 30.0, 20.0, 30.0]


def test_class_weights_in_batches_and_single_steps(rng):
    x = rng.normal(size=(30, 4))
    labels, y = targets("numbers", rng)
    weights = {0: 0.5, 2: 3.0}
    each = np.array([weights.get(int(label), 1.0) for label in labels])
    model, twin = classifier("numbers"), classifier("numbers")
    own = rng.uniform(0, 2, 30)
    model.fit(iter([(x[:16], y[:16]), (x[16:], y[16:], own[16:])]), class_weight=weights, verbose=0)
    model.train_on_batch(x, y, class_weight=weights)
    model.train_on_batch(x, y, class_weight="balanced")
    twin.train_on_batch(x[:16], y[:16], each[:16])
    twin.train_on_batch(x[16:], y[16:], (each * own)[16:])
    twin.train_on_batch(x, y, each)
    counts = np.bincount(labels, minlength=3)
    twin.train_on_batch(x, y, (30 / (np.count_nonzero(counts) * np.maximum(counts, 1)))[labels])
    for got, want in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


# ---- data frames -----------------------------------------------------------------------------------

NAMES = ["height", "weight", "age"]


def frame(library, values, names=NAMES):
    module = pytest.importorskip(library)
    return module.DataFrame({name: values[:, i] for i, name in enumerate(names)})


def series(library, values):
    return pytest.importorskip(library).Series(values)


def regression():
    return mlp(3, (4, "tanh"), (1, None), optimizer="adam", loss="mse")


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_and_series_train_as_arrays(library, rng):
    x, y, w = rng.normal(size=(20, 3)), rng.normal(size=20), rng.uniform(0, 2, 20)
    model, twin = regression(), regression()
    given = frame(library, x), series(library, y)
    ours = model.fit(
        *given, sample_weight=series(library, w), epochs=2, verbose=0, validation_data=given
    ).history
    assert ours == twin.fit(x, y, sample_weight=w, epochs=2, verbose=0, validation_data=(x, y)).history
    assert state(model) == state(twin)
    assert model.column_names == NAMES
    assert np.array_equal(model.predict(given[0]), twin.predict(x))
    assert model.evaluate(*given, verbose=0) == twin.evaluate(x, y, verbose=0)
    assert np.array_equal(model.predict(x), twin.predict(x)), "an array has no names"


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_columns_are_remembered_and_checked(library, rng):
    x, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    model = regression()
    model.fit(frame(library, x), y, verbose=0)
    swapped = frame(library, x, ["weight", "height", "age"])
    other = frame(library, x, ["height", "mass", "age"])
    for call in (
        model.predict,
        model.predict_on_batch,
        model,
        lambda f: model.evaluate(f, y, verbose=0),
        lambda f: model.test_on_batch(f, y),
        lambda f: model.train_on_batch(f, y),
        lambda f: model.fit(f, y, verbose=0),
        lambda f: model.predict(iter([f])),
    ):
        before = state(model)
        with pytest.raises(
            ValueError, match=r"another order: \['weight', 'height', 'age'\] instead of \['height"
        ):
            call(swapped)
        with pytest.raises(ValueError, match=r"\['weight'\] missing, and \['mass'\] not seen in training"):
            call(other)
        assert state(model) == before
    with pytest.raises(ValueError, match=r"validation_data: x has the columns .* another order"):
        model.fit(frame(library, x), y, validation_data=(swapped, y), verbose=0)
    fresh = regression()
    with pytest.raises(ValueError, match=r"validation_data: x has the columns .* another order"):
        fresh.fit(frame(library, x), y, validation_data=(swapped, y), verbose=0)
    assert fresh.column_names is None, "a fit that was refused leaves nothing"


def test_columns_without_text_for_names_are_not_remembered(rng):
    pandas = pytest.importorskip("pandas")
    x, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    model = regression()
    model.fit(pandas.DataFrame(x), y, verbose=0)
    assert model.column_names is None
    model.fit(pandas.DataFrame(x, columns=NAMES), y, verbose=0)
    assert model.column_names == NAMES
    model.fit(x, y, verbose=0)
    assert model.column_names == NAMES


def test_columns_of_batches(rng):
    pandas = pytest.importorskip("pandas")
    x, y = pandas.DataFrame(rng.normal(size=(20, 3)), columns=NAMES), rng.normal(size=20)
    model = regression()
    model.fit(iter([(x[:10], y[:10]), (x[10:], y[10:])]), verbose=0)
    assert model.column_names == NAMES
    with pytest.raises(ValueError, match=r"batch 1: x has the columns .* another order"):
        model.fit(iter([(x, y), (x[NAMES[::-1]], y)]), verbose=0)


def test_many_columns_are_named_in_short():
    from fastnn.frames import require_names

    names = [f"c{i}" for i in range(500)]
    with pytest.raises(ValueError, match=r"500 in all") as caught:
        require_names(names, names[::-1], "x")
    assert len(str(caught.value)) < 600


# ---- memory maps -----------------------------------------------------------------------------------


def maps(folder, rng, rows=1 << 18, columns=32):
    """(x, y, their bytes) in files."""
    x = np.memmap(folder / "x", np.float32, "w+", shape=(rows, columns))
    y = np.memmap(folder / "y", np.float32, "w+", shape=(rows, 1))
    x[:] = rng.random((rows, columns), dtype=np.float32)
    y[:] = rng.random((rows, 1), dtype=np.float32)
    for a in (x, y):
        a.flush()
    return (
        np.memmap(folder / "x", np.float32, "r", shape=(rows, columns)),
        np.memmap(folder / "y", np.float32, "r", shape=(rows, 1)),
    )


def test_a_memory_map_stays_a_view(tmp_path, rng):
    x, y = maps(tmp_path, rng, rows=50)
    assert np.shares_memory(data.rows(x, "x", np.dtype("float32")), x)
    last = regression().layers[-1]
    assert np.shares_memory(data.targets(y, "y", np.dtype("float32"), 1, "units", "mse", last), y)


def test_a_memory_map_is_never_read_at_once(tmp_path, rng):
    """Nothing that NumPy allocates comes near the size of the file, nor of its targets."""
    x, y = maps(tmp_path, rng)
    model = mlp(
        32, (4, "relu"), (1, "sigmoid"), optimizer="adam", loss="binary_crossentropy", metrics=["mae"]
    )
    model.predict(x[:2])
    tracemalloc.start()
    try:
        model.fit(x, y, batch_size=1024, validation_split=0.25, verbose=0, shuffle=False)
        model.fit(x, y, batch_size=512, steps_per_epoch=10, epochs=2, verbose=0, shuffle=False)
        model.evaluate(x, y, verbose=0)
        model.evaluate(x, y, steps=3, batch_size=100, verbose=0)
        _, most = tracemalloc.get_traced_memory()
        assert most < y.nbytes / 2 < x.nbytes / 32
        out = model.predict(x)
        _, most = tracemalloc.get_traced_memory()
        assert most < out.nbytes + y.nbytes / 2
    finally:
        tracemalloc.stop()


def test_a_map_larger_than_memory(tmp_path):
    """A file of holes: what is read of it takes time and memory, the rest none."""
    rows, columns = 1 << 26, 300
    path = tmp_path / "holes"
    with open(path, "wb") as file:
        try:
            file.truncate(rows * columns * 4)
        except OSError:
            pytest.skip("this file system has no files of 80 GB")
    x = np.memmap(path, np.float32, "r", shape=(rows, columns))
    y = np.memmap(path, np.float32, "r", shape=(rows, 1))
    model = mlp(columns, (3, "tanh"), (1, None), optimizer="sgd", loss="mse")
    history = model.fit(x, y, batch_size=100, steps_per_epoch=5, epochs=2, shuffle=False, verbose=0)
    assert len(history.epoch) == 2
    assert model.evaluate(x, y, steps=2, batch_size=10, verbose=0) == 0  # all are zeros
    assert model.predict(x, steps=2, batch_size=10).shape == (20, 1)
