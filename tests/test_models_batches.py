"""fit, evaluate and predict on batches; steps of an epoch; how often to validate."""

import warnings

import numpy as np
import pytest
from support import digest, iterations, mlp, state

import fastnn as keras
from fastnn.callbacks import Callback, EarlyStopping
from fastnn.utils import PyDataset

ROWS, SIZE = 23, 5


@pytest.fixture
def xy(rng):
    return rng.normal(size=(ROWS, 4)).astype(np.float32), rng.normal(size=(ROWS, 2)).astype(np.float32)


def model_of(hidden=(6, "tanh"), **more):
    return mlp(
        4,
        hidden,
        (2, None),
        **{"optimizer": keras.optimizers.Adam(0.05), "loss": "mse", "metrics": ["mae"], **more},
    )


def pieces(*arrays, size=SIZE):
    return [tuple(a[i : i + size] for a in arrays) for i in range(0, len(arrays[0]), size)]


class Pieces(PyDataset):
    """A data set that writes down what it is asked for."""

    def __init__(self, *arrays, size=SIZE):
        super().__init__()
        self.pieces = pieces(*arrays, size=size)
        self.asked, self.told = [], []

    def __len__(self):
        return len(self.pieces)

    def __getitem__(self, index):
        self.asked.append(index)
        return self.pieces[index]

    def on_epoch_begin(self):
        self.told.append("begin")

    def on_epoch_end(self):
        self.told.append("end")


class Sized:
    """``__len__`` and ``__getitem__``, and nothing else."""

    def __init__(self, *arrays):
        self.pieces = pieces(*arrays)

    def __len__(self):
        return len(self.pieces)

    def __getitem__(self, index):
        return self.pieces[index]


class Loader:
    """As PyTorch's loaders: it can be iterated again and again; batches are lists."""

    def __init__(self, *arrays):
        self.pieces = pieces(*arrays)

    def __iter__(self):
        return iter([list(piece) for piece in self.pieces])


KINDS = {
    "generator": lambda *arrays: (piece for _ in range(3) for piece in pieces(*arrays)),
    "PyDataset": Pieces,
    "sized": Sized,
    "loader": Loader,
}
STEPS = -(-ROWS // SIZE)


@pytest.mark.parametrize("hidden", [(6, "tanh"), (90, "relu")], ids=["tiny", "wide"])
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_batches_train_as_the_same_rows_in_one_array(kind, weighted, hidden, xy, rng, isa):
    weight = rng.uniform(0, 2, ROWS).astype(np.float32)
    arrays = (*xy, weight) if weighted else xy
    model, twin = model_of(hidden), model_of(hidden)
    steps = {"steps_per_epoch": STEPS} if kind == "generator" else {}
    ours = model.fit(KINDS[kind](*arrays), epochs=3, shuffle=False, verbose=0, **steps)
    theirs = twin.fit(
        *xy, sample_weight=weight if weighted else None, epochs=3, batch_size=SIZE, shuffle=False, verbose=0
    )
    assert ours.history == theirs.history
    assert ours.epoch == theirs.epoch
    assert state(model) == state(twin)
    assert ours.params == theirs.params if kind != "loader" else ours.params["steps"] is None


@pytest.mark.parametrize("threads", [1, 2])
def test_batches_of_many_sizes(threads, rng):
    """Among them larger ones than the first, which need another workspace, and ones of many blocks."""
    keras.set_num_threads(threads)
    sizes = [3, 1, 40, 700, 5000, 2, 300]
    given = [
        (rng.normal(size=(n, 4)).astype(np.float32), rng.normal(size=(n, 2)).astype(np.float32))
        for n in sizes
    ]
    for hidden in ((6, "tanh"), (90, "relu")):
        model, twin = model_of(hidden), model_of(hidden)
        history = model.fit(iter(given), verbose=0).history
        values = [twin.train_on_batch(*batch) for batch in given]
        assert digest(model.get_weights()) == digest(twin.get_weights())
        means = np.average(values, axis=0, weights=sizes)
        np.testing.assert_allclose([history["loss"][0], history["mae"][0]], means, rtol=1e-5)


def test_one_row_and_one_unit():
    model = mlp(1, (1, None), optimizer="sgd", loss="mse")
    twin = mlp(1, (1, None), optimizer="sgd", loss="mse")
    x, y = np.array([[2.0], [3.0]]), np.array([1.0, 0.0])
    model.fit(iter([(x[:1], y[:1]), (x[1:], y[1:])]), verbose=0)
    twin.fit(x, y, batch_size=1, shuffle=False, verbose=0)
    assert state(model) == state(twin)


def test_an_unbuilt_model_learns_its_columns_from_the_first_batch(xy):
    model = keras.Sequential([keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    model.fit(Pieces(*xy), verbose=0)
    assert model.input_shape == (None, 4)


def test_a_generator_without_steps_is_one_epoch(xy):
    model = model_of()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(model.fit(iter(pieces(*xy)), verbose=0).epoch) == 1
    assert iterations(model) == STEPS


@pytest.mark.parametrize(("epochs", "steps", "taken"), [(2, None, [5]), (4, 2, [2, 2, 1]), (3, 5, [5])])
def test_a_generator_that_runs_out_ends_the_training_with_a_warning(epochs, steps, taken, xy):
    model, seen = model_of(), []

    class Count(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(0)

        def on_train_batch_end(self, batch, logs=None):
            seen[-1] += 1

    with pytest.warns(UserWarning, match="Your input ran out of data"):
        history = model.fit(
            iter(pieces(*xy)), epochs=epochs, steps_per_epoch=steps, callbacks=[Count()], verbose=0
        )
    assert seen == taken
    assert history.epoch == list(range(len(taken)))


def test_a_generator_with_just_enough_batches_does_not_warn(xy):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model_of().fit(iter(pieces(*xy)[:4]), epochs=2, steps_per_epoch=2, verbose=0)


def test_no_more_is_taken_from_a_generator_than_is_trained_on(xy):
    given = iter(pieces(*xy))
    model_of().fit(given, epochs=2, steps_per_epoch=2, verbose=0)
    assert len(list(given)) == STEPS - 4


def test_steps_go_on_where_the_epoch_before_ended(xy):
    data = Pieces(*xy)
    with pytest.warns(UserWarning, match="ran out of data"):
        model_of().fit(data, epochs=4, steps_per_epoch=2, shuffle=False, verbose=0)
    assert data.asked == [0, 1, 2, 3, 4, 0, 1]
    assert data.told == ["begin", "end"] * 4


def test_a_data_set_is_asked_in_another_order_each_epoch(xy):
    data = Pieces(*xy)
    keras.utils.set_random_seed(3)
    model_of().fit(data, epochs=6, verbose=0)
    orders = [tuple(data.asked[i : i + STEPS]) for i in range(0, len(data.asked), STEPS)]
    assert all(sorted(order) == list(range(STEPS)) for order in orders)
    assert len(set(orders)) > 1


def test_a_data_set_without_end(xy):
    class Endless(Pieces):
        __len__ = None
        num_batches = None

        def __getitem__(self, index):
            return super().__getitem__(index % STEPS)

    data = Endless(*xy)
    model_of().fit(data, epochs=3, steps_per_epoch=3, verbose=0)
    assert data.asked == [i % STEPS for i in range(9)]


def test_batch_hooks_and_stopping_within_an_epoch(xy):
    seen = []

    class Stop(Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(("begin", batch))

        def on_train_batch_end(self, batch, logs=None):
            seen.append(("end", batch, sorted(logs)))
            self.model.stop_training = batch == 1

    history = model_of().fit(Pieces(*xy), epochs=3, callbacks=[Stop()], verbose=0)
    names = ["loss", "mae"]
    assert seen == [("begin", 0), ("end", 0, names), ("begin", 1), ("end", 1, names)]
    assert history.epoch == [0]


def test_an_error_in_a_generator_comes_out_and_leaves_the_model_usable(xy):
    def broken():
        yield from pieces(*xy)[:2]
        raise OSError("the disk")

    model = model_of()
    with pytest.raises(OSError, match="the disk"):
        model.fit(broken(), verbose=0)
    assert iterations(model) == 2
    model.fit(*xy, verbose=0)


@pytest.mark.parametrize("kind", ["PyDataset", "sized", "loader"])
def test_validation_on_batches(kind, xy, rng):
    x, y = rng.normal(size=(13, 4)).astype(np.float32), rng.normal(size=(13, 2)).astype(np.float32)
    weight = rng.uniform(0, 2, 13).astype(np.float32)
    model, twin = model_of(), model_of()
    ours = model.fit(*xy, epochs=3, validation_data=KINDS[kind](x, y, weight), verbose=0).history
    theirs = twin.fit(*xy, epochs=3, validation_data=(x, y, weight), verbose=0).history
    assert list(ours) == list(theirs)
    assert state(model) == state(twin)
    for key in theirs:
        np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-6)


def test_validation_on_a_generator_takes_as_many_steps_each_time(xy):
    given = iter(pieces(*xy))
    model = model_of()
    history = model.fit(*xy, epochs=2, validation_data=given, validation_steps=2, verbose=0).history
    assert len(history["val_loss"]) == 2
    assert len(list(given)) == 1
    with pytest.warns(UserWarning, match="validation_data has no more batches"):
        history = model.fit(*xy, validation_data=given, validation_steps=2, verbose=0).history
    assert "val_loss" not in history


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_evaluate_and_predict_on_batches(kind, xy):
    model = model_of()
    one = {"steps": STEPS} if kind == "generator" else {}
    found = model.evaluate(KINDS[kind](*xy), verbose=0, **one)
    np.testing.assert_allclose(found, model.evaluate(*xy, verbose=0), rtol=1e-6)
    outputs = model.predict(KINDS[kind](*xy), verbose=0, **one)
    assert np.array_equal(outputs, model.predict(xy[0], verbose=0))
    np.testing.assert_allclose(
        model.evaluate(KINDS[kind](*xy), verbose=0, steps=2),
        model.evaluate(xy[0][: 2 * SIZE], xy[1][: 2 * SIZE], verbose=0),
        rtol=1e-6,
    )
    assert len(model.predict(KINDS[kind](*xy), steps=2)) == 2 * SIZE


def test_predict_on_batches_of_x_alone(xy):
    model = model_of()
    assert np.array_equal(model.predict(x for (x,) in pieces(xy[0])), model.predict(xy[0]))
    with pytest.raises(ValueError, match=r"x yields no batches"):
        model.predict(iter([]))
    with pytest.raises(ValueError, match=r"batch 1: x"):
        model.predict(iter([xy[0], xy[0][:, :3]]))


def test_hooks_of_evaluate_and_predict_on_batches(xy):
    seen = []

    class Look(Callback):
        def on_test_batch_end(self, batch, logs=None):
            seen.append(("test", batch, sorted(logs)))

        def on_predict_batch_end(self, batch, logs=None):
            seen.append(("predict", batch, len(logs["outputs"])))
            self.model.stop_predicting = batch == 1

    model = model_of()
    model.evaluate(Pieces(*xy), callbacks=[Look()], verbose=0)
    outputs = model.predict(Pieces(*xy), callbacks=[Look()], verbose=0)
    assert seen[:STEPS] == [("test", i, ["loss", "mae"]) for i in range(STEPS)]
    assert seen[STEPS:] == [("predict", 0, SIZE), ("predict", 1, SIZE)]
    assert len(outputs) == 2 * SIZE


def test_progress_on_batches(xy, capsys):
    model_of().fit(iter(pieces(*xy)), verbose=2)
    assert capsys.readouterr().out.startswith("5/5 - ")
    model_of().fit(Pieces(*xy), epochs=2, verbose=1)
    out = capsys.readouterr().out
    assert "Epoch 2/2" in out
    assert "5/5" in out


# ---- steps of an epoch, on arrays ------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(
    ("rows", "size", "steps", "epochs"), [(24, 4, 2, 6), (24, 4, 3, 4), (40, 1, 10, 8), (64, 32, 1, 4)]
)
def test_epochs_of_some_steps_make_up_whole_passes(rows, size, steps, epochs, shuffle, rng, isa):
    x, y = rng.normal(size=(rows, 4)), rng.normal(size=(rows, 2))
    for hidden in ((6, "tanh"), (90, "relu")):
        model = model_of(hidden)
        seen = []

        class Order(Callback):
            def on_epoch_end(self, epoch, logs=None):
                seen.append(digest(self.model.get_weights()))  # noqa: B023

        history = model.fit(
            x, y, batch_size=size, steps_per_epoch=steps, epochs=epochs, shuffle=shuffle, verbose=0
        )
        assert len(history.epoch) == epochs
        assert iterations(model) == steps * epochs
        by_epoch = model_of(hidden)
        again = by_epoch.fit(
            x,
            y,
            batch_size=size,
            steps_per_epoch=steps,
            epochs=epochs,
            shuffle=shuffle,
            verbose=0,
            callbacks=[Order()],
        )
        assert again.history == history.history
        assert state(by_epoch) == state(model)
        if not shuffle:
            twin = model_of(hidden)
            whole = twin.fit(
                x, y, batch_size=size, epochs=steps * epochs * size // rows, shuffle=False, verbose=0
            )
            assert digest(twin.get_weights()) == digest(model.get_weights())
            each = rows // (size * steps)
            np.testing.assert_allclose(
                np.reshape(history.history["loss"], (-1, each)).mean(axis=1), whole.history["loss"], rtol=1e-6
            )


def test_a_pass_of_several_epochs_visits_every_row_once():
    """A linear unit over one-hot rows: each step moves just the weights of the rows that it saw."""
    rows = 40
    for size in (1, 4):
        model = mlp(rows, (1, None), optimizer=keras.optimizers.SGD(0.1), loss="mse")
        model.set_weights([np.zeros((rows, 1)), np.zeros(1)])
        before, moved = model.get_weights()[0], []

        class Look(Callback):
            def on_epoch_end(self, epoch, logs=None):
                nonlocal before
                after = self.model.get_weights()[0]
                moved.append(set(np.flatnonzero(after != before)))  # noqa: B023
                before = after

        model.fit(
            np.eye(rows),
            np.ones(rows),
            batch_size=size,
            steps_per_epoch=8 // size,
            epochs=10,
            verbose=0,
            callbacks=[Look()],
        )
        for one_pass in (moved[:5], moved[5:]):
            assert [len(rows_seen) for rows_seen in one_pass] == [8] * 5
            assert set.union(*one_pass) == set(range(rows))
        assert moved[:5] != moved[5:]


def test_steps_with_validation_and_early_stopping(rng):
    x, y = rng.normal(size=(30, 4)), rng.normal(size=(30, 2))
    results = []
    for more in (
        [],
        [Callback(), type("P", (Callback,), {"on_epoch_end": lambda self, e, logs=None: None})()],
    ):
        model = model_of()
        stopping = EarlyStopping("val_loss", patience=2, restore_best_weights=True)
        history = model.fit(
            x,
            y,
            batch_size=5,
            steps_per_epoch=3,
            epochs=40,
            validation_data=(x[:7], -y[:7]),
            verbose=0,
            callbacks=[stopping, *more],
        )
        results.append((history.history, state(model), stopping.stopped_epoch, stopping.best_epoch))
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("rows", "steps", "size", "batch"), [(10, 2, None, 5), (10, 3, None, 4), (10, 10, None, 1), (9, 3, 3, 3)]
)
def test_steps_without_a_batch_size_divide_the_rows(rows, steps, size, batch, rng):
    x, y = rng.normal(size=(rows, 4)), rng.normal(size=(rows, 2))
    model, twin = model_of(), model_of()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = model.fit(x, y, steps_per_epoch=steps, batch_size=size, epochs=2, verbose=0)
    theirs = twin.fit(x, y, batch_size=batch, epochs=2, verbose=0)
    assert ours.history == theirs.history
    assert state(model) == state(twin)


@pytest.mark.parametrize(("steps", "epochs", "taken"), [(9, 2, 10), (3, 2, 5), (3, 3, 8)])
def test_arrays_that_run_out_within_an_epoch(steps, epochs, taken, rng):
    x, y = rng.normal(size=(10, 4)), rng.normal(size=(10, 2))
    model = model_of()
    with pytest.warns(UserWarning, match="Your input ran out of data: steps_per_epoch"):
        history = model.fit(x, y, batch_size=2, steps_per_epoch=steps, epochs=epochs, verbose=0)
    assert len(history.epoch) == epochs
    assert iterations(model) == taken


def test_evaluate_and_predict_some_steps_of_arrays(rng):
    x, y = rng.normal(size=(10, 4)), rng.normal(size=(10, 2))
    model = model_of()
    assert model.evaluate(x, y, steps=2, batch_size=3, verbose=0) == model.evaluate(x[:6], y[:6], verbose=0)
    assert model.evaluate(x, y, steps=2, verbose=0) == model.evaluate(x, y, verbose=0)
    assert np.array_equal(model.predict(x, steps=2, batch_size=3), model.predict(x[:6]))
    with pytest.warns(UserWarning, match="steps=7"):
        assert len(model.predict(x, steps=7, batch_size=3)) == 10
    for method in (model.predict, lambda x, **more: model.evaluate(x, y, verbose=0, **more)):
        with pytest.raises(ValueError, match="steps must be at least 1"):
            method(x, steps=0)


# ---- how often to validate --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("freq", "epochs"), [(2, [2, 4, 6]), (4, [4]), ([1, 5], [1, 5]), ((7,), []), ({3}, [3])]
)
@pytest.mark.parametrize("initial", [0, 1])
def test_validation_frequency(freq, epochs, initial, xy, rng):
    x, y = rng.normal(size=(9, 4)), rng.normal(size=(9, 2))
    model, twin = model_of(), model_of()
    ours = model.fit(
        *xy, epochs=6, initial_epoch=initial, validation_data=(x, y), validation_freq=freq, verbose=0
    ).history
    theirs = twin.fit(*xy, epochs=6, initial_epoch=initial, validation_data=(x, y), verbose=0).history
    assert ours["loss"] == theirs["loss"]
    expected = [theirs["val_loss"][e - 1 - initial] for e in epochs if e > initial]
    assert ours.get("val_loss", []) == expected
    assert state(model) == state(twin)


def test_validation_steps_take_the_first_rows(xy, rng):
    x, y = rng.normal(size=(11, 4)), rng.normal(size=(11, 2))
    results = []
    for data, more in (
        ((x, y), {"validation_steps": 2, "validation_batch_size": 3}),
        ((x, y), {"validation_steps": 2, "batch_size": 3}),
        ((x[:6], y[:6]), {"batch_size": 3}),
    ):
        model = model_of()
        history = model.fit(*xy, **{"batch_size": 3, **more}, validation_data=data, verbose=0, shuffle=False)
        results.append(history.history["val_loss"])
    assert results[0] == results[1] == results[2]
    model = model_of()
    whole = model.fit(*xy, validation_data=(x, y), verbose=0, shuffle=False).history["val_loss"]
    model = model_of()
    divided = model.fit(*xy, validation_data=(x, y), validation_steps=2, verbose=0, shuffle=False).history
    assert divided["val_loss"] == whole


# ---- going on ---------------------------------------------------------------------------------------


def test_two_fits_are_one(xy):
    model, twin = model_of(), model_of()
    first = model.fit(*xy, epochs=2, shuffle=False, verbose=0)
    second = model.fit(*xy, epochs=5, initial_epoch=2, shuffle=False, verbose=0)
    whole = twin.fit(*xy, epochs=5, shuffle=False, verbose=0)
    assert first.epoch + second.epoch == whole.epoch
    assert first.history["loss"] + second.history["loss"] == whole.history["loss"]
    assert state(model) == state(twin)
    assert second.params == {"verbose": 0, "epochs": 5, "steps": 1}
    assert model.history is second
