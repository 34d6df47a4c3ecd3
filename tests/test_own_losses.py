"""Losses of one's own: a class with loss and gradient in NumPy."""

import threading
import time

import numpy as np
import pytest
from support import ctrl_c_after, mlp
from test_losses_of_batches import Cubed

import fastnn
from fastnn import losses
from fastnn.errors import TrainingWarning


class Square(losses.Loss):
    def loss(self, y_true, y_pred):
        return np.square(y_pred - y_true).mean(axis=-1)

    def gradient(self, y_true, y_pred):
        return 2 * (y_pred - y_true) / y_pred.shape[-1]


class Numbers(losses.Loss):
    """Crossentropy of class numbers, on logits."""

    targets = "class"

    def loss(self, y_true, y_pred):
        assert y_true.ndim == 1
        assert y_true.dtype.kind == "i"
        return losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)

    def gradient(self, y_true, y_pred):
        return fastnn.activations.softmax(y_pred) - np.eye(y_pred.shape[1])[y_true]


class Gaussian(losses.Loss):
    """Negative log likelihood of a normal distribution: outputs are mean and log of the deviation."""

    targets = 1

    def loss(self, y_true, y_pred):
        e = (y_true[:, 0] - y_pred[:, 0]) * np.exp(-y_pred[:, 1])
        return e**2 / 2 + y_pred[:, 1]

    def gradient(self, y_true, y_pred):
        e = (y_true[:, 0] - y_pred[:, 0]) * np.exp(-y_pred[:, 1])
        return np.stack([-e * np.exp(-y_pred[:, 1]), 1 - e**2], axis=1)


@pytest.fixture
def data(rng):
    return rng.normal(size=(50, 4)).astype("f4"), rng.normal(size=(50, 3)).astype("f4")


def model_of(loss, *, units=3, activation=None, normal=False, dtype=None, **more):
    fastnn.utils.set_random_seed(2)
    between = [fastnn.layers.BatchNormalization(dtype=dtype)] if normal else []
    model = fastnn.Sequential(
        [
            fastnn.Input((4,), dtype=dtype),
            fastnn.layers.Dense(7, "tanh", dtype=dtype),
            *between,
            fastnn.layers.Dense(units, activation, dtype=dtype),
        ]
    )
    model.compile(fastnn.optimizers.Adam(0.01), loss, **more)
    return model


@pytest.mark.parametrize("reduction", ["mean", "sum", "mean_with_sample_weight"])
@pytest.mark.parametrize(("activation", "normal"), [(None, False), ("sigmoid", False), (None, True)])
def test_trains_as_the_compiled_one(activation, normal, reduction, data, rng):
    x, y = data
    w = rng.uniform(0, 2, len(x)).astype("f4")
    found = []
    for loss in (Square(reduction=reduction), losses.MeanSquaredError(reduction=reduction)):
        model = model_of(loss, activation=activation, normal=normal, metrics=["mae"])
        history = model.fit(
            x, y, epochs=3, batch_size=16, sample_weight=w, validation_data=(x[:20], y[:20]), verbose=0
        ).history
        values = [model.evaluate(x, y, batch_size=16, sample_weight=w, verbose=0), model.train_on_batch(x, y)]
        found.append((history, values, model.get_weights()))
    (history, values, weights), (theirs, their_values, their_weights) = found
    assert list(history) == list(theirs)
    for key in history:
        np.testing.assert_allclose(history[key], theirs[key], rtol=1e-5)
    np.testing.assert_allclose(values, their_values, rtol=1e-5)
    for a, b in zip(weights, their_weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5)


def test_float64(data):
    x, y = (a.astype("f8") for a in data)
    found = []
    for loss in (Square(), "mse"):
        model = model_of(loss, dtype="float64")
        model.fit(x, y, epochs=3, batch_size=16, verbose=0)
        found.append(model.get_weights())
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_class_numbers(data, rng):
    x, y = data[0], rng.integers(0, 3, 50)
    found = []
    for loss in (Numbers(), losses.SparseCategoricalCrossentropy(from_logits=True)):
        model = model_of(loss, metrics=["accuracy"])
        found.append(model.fit(x, y, epochs=3, batch_size=16, verbose=0).history)
    for key in found[1]:
        np.testing.assert_allclose(found[0][key], found[1][key], rtol=1e-4)


def test_as_many_columns_as_it_says(rng):
    """Mean and deviation of targets, learned together."""
    x = np.zeros((2000, 4), "f4")
    y = rng.normal(3.0, 0.5, size=2000).astype("f4")
    model = model_of(Gaussian(), units=2)
    model.fit(x, y, epochs=60, batch_size=200, verbose=0)
    mean, log_deviation = model.predict(x[:1])[0]
    np.testing.assert_allclose([mean, np.exp(log_deviation)], [3.0, 0.5], rtol=0.05)
    with pytest.raises(ValueError, match="takes 1 target for them"):
        model.fit(x, np.zeros((2000, 2)), verbose=0)


def test_on_arrays(rng):
    y, p = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    rows = (np.abs(p - y) ** 3).mean(axis=-1)
    assert Cubed()(y, p) == pytest.approx(rows.mean())
    assert Cubed(reduction="sum")(y, p) == pytest.approx(rows.sum())
    np.testing.assert_allclose(Cubed(reduction="none")(y, p), rows)


def test_a_gradient_that_is_right_is_not_warned_about(data, recwarn):
    x, y = data
    for loss in (Square(), Cubed()):
        model_of(loss).fit(x, y, verbose=0)
    model_of(Gaussian(), units=2).fit(x, y[:, 0], verbose=0)
    assert not [w for w in recwarn if issubclass(w.category, TrainingWarning)]


def test_a_kink_is_not_warned_about(data, recwarn):
    class Absolute(losses.Loss):
        def loss(self, y_true, y_pred):
            return np.abs(y_pred - y_true).sum(axis=-1)

        def gradient(self, y_true, y_pred):
            return np.sign(y_pred - y_true)

    x = np.zeros((20, 4), "f4")
    model = mlp(4, (3, "relu"), loss=Absolute(), optimizer="sgd")
    model.fit(x, np.zeros((20, 3), "f4"), verbose=0)  # every output is at the kink
    assert not [w for w in recwarn if issubclass(w.category, TrainingWarning)]


def test_a_wrong_gradient_is_named_once(data):
    class Wrong(Square):
        def gradient(self, y_true, y_pred):
            g = super().gradient(y_true, y_pred)
            g[3, 1] += 7
            return g

    x, y = data
    loss = Wrong()
    with pytest.warns(TrainingWarning, match="Worst is row 3, output 1"):
        model_of(loss).fit(x, y, verbose=0)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error", TrainingWarning)
        model_of(loss).fit(x, y, verbose=0)


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_what_it_raises_comes_out_of_fit(where, data):
    class Stumbles(Square):
        calls = 0

        def stumble(self):
            type(self).calls += 1
            if type(self).calls > 60:
                raise LookupError("tired")

        def loss(self, y_true, y_pred):
            if where == "loss":
                self.stumble()
            return super().loss(y_true, y_pred)

        def gradient(self, y_true, y_pred):
            if where == "gradient":
                self.stumble()
            return super().gradient(y_true, y_pred)

    x, y = data
    model = model_of(Stumbles())
    with pytest.raises(LookupError, match="tired") as caught:
        model.fit(x, y, epochs=10_000, batch_size=10, verbose=0)
    assert any("stumble" in entry.name for entry in caught.traceback)
    assert all(np.isfinite(w).all() for w in model.get_weights())
    model.compile("sgd", "mse")  # the model can be used as before
    model.fit(x, y, verbose=0)


@pytest.mark.parametrize(
    ("method", "value", "words"),
    [
        ("loss", lambda y, p: np.square(p - y), "one number a row"),
        ("loss", lambda y, p: 1.0, "one number a row"),
        ("gradient", lambda y, p: (p - y).mean(axis=-1), "shaped as y_pred"),
    ],
)
def test_results_of_other_shapes(method, value, words, data):
    loss = type("Other", (Square,), {method: lambda self, y, p: value(y, p)})()
    with pytest.raises(ValueError, match=words):
        model_of(loss).fit(*data, verbose=0)


def test_ctrl_c(data):
    class Slow(Square):
        def loss(self, y_true, y_pred):
            time.sleep(0.002)
            return super().loss(y_true, y_pred)

    x, y = data
    model = model_of(Slow())
    model.fit(x, y, verbose=0)
    with ctrl_c_after(0.3), pytest.raises(KeyboardInterrupt):
        model.fit(x, y, epochs=100_000, batch_size=5, verbose=0)
    model.fit(x, y, verbose=0)


def test_numbers_in_it_are_not_flushed(data):
    """Python sees the floating-point modes of Python."""
    seen = []

    class Looks(Square):
        def loss(self, y_true, y_pred):
            seen.append(float(np.float32(1e-38) * np.float32(0.1)))
            return super().loss(y_true, y_pred)

    model_of(Looks()).fit(*data, batch_size=10, verbose=0)
    assert min(seen) > 0


def test_a_stream_of_batches(data):
    x, y = data
    found = []
    for loss in (Square(), "mse"):
        model = model_of(loss)
        model.fit(((x[i : i + 10], y[i : i + 10]) for i in range(0, 50, 10)), epochs=1, verbose=0)
        found.append(model.get_weights())
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_without_a_gradient_it_is_refused():
    class NoGradient(losses.Loss):
        def call(self, y_true, y_pred):
            return np.square(y_pred - y_true).mean(axis=-1)

    class NoLoss(losses.Loss):
        def gradient(self, y_true, y_pred):
            return y_pred - y_true

    with pytest.raises(
        NotImplementedError, match=r"no method gradient.*def gradient\(self, y_true, y_pred\)"
    ):
        model_of(NoGradient())
    with pytest.raises(NotImplementedError, match="no method loss"):
        model_of(NoLoss())
    with pytest.raises(ValueError, match="targets"):
        model_of(type("Odd", (Square,), {"targets": "many"})())


def test_call_serves_as_loss(data):
    class Called(losses.Loss):
        def call(self, y_true, y_pred):
            return np.square(y_pred - y_true).mean(axis=-1)

        gradient = Square.gradient

    models = [model_of(Called()), model_of("mse")]
    histories = [m.fit(*data, verbose=0, epochs=2).history["loss"] for m in models]
    np.testing.assert_allclose(*histories, rtol=1e-5)


def test_by_config(data):
    with fastnn.utils.custom_object_scope({"Cubed": Cubed}):
        assert isinstance(losses.get("Cubed"), Cubed)
    form = losses.serialize(Cubed(reduction="sum"))
    again = losses.deserialize(form, custom_objects={"Cubed": Cubed})
    assert isinstance(again, Cubed)
    assert again.reduction == "sum"
    with pytest.raises(ValueError, match="Cubed"):
        losses.deserialize(form)


@pytest.mark.parametrize("normal", [False, True], ids=["plain", "batch normalization"])
@pytest.mark.parametrize(
    "make",
    [
        Square,
        lambda: Square(reduction="sum"),
        lambda: losses.Dice(),
        lambda: losses.MeanSquaredError(reduction="sum"),
        lambda: losses.MeanSquaredError(reduction="mean_with_sample_weight"),
    ],
    ids=["own", "own, sum", "dice", "sum", "mean_with_sample_weight"],
)
def test_a_loop_of_gradients_is_a_fit_to_the_bit(make, normal, data):
    x, y = data[0], np.abs(data[1])
    weight = np.linspace(0.1, 2, len(x), dtype="f4")
    options = {"activation": "sigmoid", "normal": normal}
    fitted, looped = model_of(make(), **options), model_of(make(), **options)
    for first in range(0, len(x), 16):
        batch = slice(first, first + 16)
        reported = fitted.train_on_batch(x[batch], y[batch], sample_weight=weight[batch])
        statistics = looped.gradient_statistics(x[batch], y[batch], weight[batch])
        loss, gradients = looped.gradients(x[batch], y[batch], weight[batch])
        looped.optimizer.apply(gradients)
        assert loss == statistics.loss == reported
    for got, want in zip(looped.get_weights(), fitted.get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", ["own loss", "own metric", "both", "together"])
def test_rows_are_evaluated_once(kind, threads, data):
    """What Python computes is shown the outputs of the same pass that the compiled metrics see."""
    fastnn.set_num_threads(threads)
    computed, of_loss, of_metric = [], [], []

    def f(z):
        computed.append(len(z))
        return np.tanh(z)

    def metric(y_true, y_pred):
        of_metric.append(y_pred)
        return y_pred[:, 0]

    class Watched(Square):
        def loss(self, y_true, y_pred):
            of_loss.append(y_pred)
            return super().loss(y_true, y_pred)

    x, y = (np.tile(a, (40, 1)) for a in data)
    loss = {"own metric": "mse", "together": losses.Dice()}.get(kind) or Watched()
    metrics = [metric, "mse"] if kind in ("own metric", "both") else ["mse"]
    activation = fastnn.activations.Custom(f, lambda z: 1 - np.tanh(z) ** 2)
    model = mlp(4, (6, activation), (3, None), loss=loss, metrics=metrics)
    expected = model.predict(x)
    computed.clear()
    model.evaluate(x, y, batch_size=32, verbose=0)
    assert sum(computed) == len(x) == 2000
    for seen, wanted in ((of_loss, isinstance(loss, Watched)), (of_metric, len(metrics) == 2)):
        assert len(seen) == (63 if wanted else 0)
        if wanted:
            np.testing.assert_array_equal(np.concatenate(seen), expected)


def test_each_thread_gets_what_its_own_call_raised(data):
    """Two threads are within their calls at the same time when both losses raise."""
    both = threading.Barrier(2, timeout=20)

    class Raising(Square):
        def loss(self, y_true, y_pred):
            if not self.ready:
                return super().loss(y_true, y_pred)
            both.wait()
            try:
                raise OSError(threading.current_thread().name)
            finally:
                both.wait()

    loss = Raising()
    loss.ready = False
    x, y = data
    model = model_of(loss)
    model.gradients(x, y)
    before = model.get_weights()
    loss.ready = True
    found = {}

    def run():
        try:
            found[threading.current_thread().name] = model.gradients(x, y)
        except OSError as error:
            found[threading.current_thread().name] = str(error)

    for _ in range(20):
        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 40
    assert found == {name: name for name in found}
    loss.ready = False
    model.gradients(x, y)  # nothing is left over
    for got, wanted in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_what_it_raises_comes_out_of_gradients(data):
    class Broken(Square):
        broken = False

        def gradient(self, y_true, y_pred):
            if self.broken:
                raise KeyError("inside")
            return super().gradient(y_true, y_pred)

    loss = Broken()
    model = model_of(loss)
    want = [np.array(g) for g in model.gradients(*data)[1]]
    loss.broken = True
    for _ in range(2):
        with pytest.raises(KeyError, match="inside"):
            model.gradients(*data)
    loss.broken = False
    for got, g in zip(model.gradients(*data)[1], want, strict=True):
        np.testing.assert_array_equal(got, g)


def test_each_thread_gets_what_its_own_rows_raised(data):
    """Several threads take gradients of one model at once."""
    x, y = data
    together = threading.Barrier(2)

    class Names(Square):
        def gradient(self, y_true, y_pred):
            together.wait(10)
            raise LookupError(f"{len(y_pred)} rows")

    model = model_of(Names())
    found = {}

    def look(rows):
        for _ in range(20):
            try:
                model.gradients(x[:rows], y[:rows])
            except BaseException as error:
                found.setdefault(rows, set()).add(repr(error))

    threads = [threading.Thread(target=look, args=(rows,)) for rows in (20, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {rows: {f"LookupError('{rows} rows')"} for rows in (20, 30)}
