"""Activations of a user's own in layers, against the compiled ones of the same formula."""

import pickle
import threading
import warnings

import numpy as np
import pytest
from support import central_differences, digest, mlp, run_python

import fastnn as keras
from fastnn import activations, layers

X = np.random.default_rng(0).normal(size=(70, 5)).astype("float32")
Y = np.stack([X[:, 0] * X[:, 1], np.sin(X[:, 2])], axis=1)

TANH = {
    "input": activations.Custom(np.tanh, lambda z: 1 - np.tanh(z) ** 2, name="own"),
    "output": activations.Custom(np.tanh, lambda a: 1 - a**2, reads="output", name="own"),
}


def fresh(name="input"):
    own = TANH[name].form
    return activations.Custom(own.function, own.derivative, own.reads, "own")


def model(hidden, last=None, dtype=None, **options):
    return mlp(
        5,
        (20, hidden),
        (3, hidden),
        (2, last),
        dtype=dtype,
        **{"optimizer": "adam", "loss": "mse", **options},
    )


@pytest.mark.parametrize("reads", TANH)
@pytest.mark.parametrize("last", [False, True], ids=["hidden", "last too"])
def test_training_is_that_of_the_compiled_activation(reads, last):
    own = fresh(reads)
    mine, theirs = (model(f, f if last else None, "float64") for f in (own, "tanh"))
    histories = [
        m.fit(X, Y, epochs=4, batch_size=16, verbose=0, shuffle=False, validation_data=(X[:9], Y[:9])).history
        for m in (mine, theirs)
    ]
    for key in ("loss", "val_loss"):
        np.testing.assert_allclose(histories[0][key], histories[1][key], rtol=1e-9)
    np.testing.assert_allclose(mine.predict(X), theirs.predict(X), rtol=1e-9, atol=1e-12)
    assert mine.evaluate(X, Y, verbose=0) == pytest.approx(theirs.evaluate(X, Y, verbose=0), rel=1e-9)
    for a, b in zip(mine.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-10)
    assert digest([mine.predict(X)]) == digest([mine.forward(X, training=False)])


def test_as_a_layer_of_its_own_with_others_around_it():
    def make(f):
        keras.utils.set_random_seed(3)
        keras.config.set_floatx("float64")
        m = keras.Sequential(
            [
                keras.Input((5,)),
                layers.Activation(f),
                layers.Dense(12),
                layers.BatchNormalization(),
                layers.Activation(f),
                layers.Residual([layers.Dense(12, activation=f)]),
                layers.Dense(2),
            ]
        )
        keras.config.set_floatx("float32")
        m.compile("adam", "mse")
        return m

    mine, theirs = make(fresh()), make("tanh")
    for m in (mine, theirs):
        m.fit(X, Y, epochs=3, batch_size=16, verbose=0, shuffle=False)
    np.testing.assert_allclose(mine.predict(X), theirs.predict(X), rtol=1e-9, atol=1e-12)


def test_gradients_against_central_differences():
    square = activations.Custom(lambda z: z**2 + z, lambda z: 2 * z + 1, name="square")
    m = mlp(5, (4, square), (2, square), dtype="float64", optimizer="sgd", loss="mse")
    _, gradients = m.gradients(X[:9], Y[:9])
    weights = m.get_weights()

    def loss():
        m.set_weights(weights)
        return m.evaluate(X[:9], Y[:9], verbose=0)

    for got, want in zip(gradients, central_differences(loss, weights), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)
    x = X[:4].astype("float64")
    step = 1e-6 * np.eye(5)[0]
    want = (m.predict(x + step) - m.predict(x - step)) / 2e-6
    np.testing.assert_allclose(m.input_gradients(x, "all")[:, :, 0], want, rtol=1e-6, atol=1e-8)


def test_same_bits_for_all_threads():
    found = set()
    for threads in (1, 2, 5):
        keras.set_num_threads(threads)
        try:
            m = model(fresh())
            m.fit(X, Y, epochs=2, batch_size=64, verbose=0)
            found.add(digest([*m.get_weights(), m.predict(X)]))
        finally:
            keras.set_num_threads(None)
    assert len(found) == 1


def test_a_wrong_derivative_is_warned_about_once():
    wrong = activations.Custom(np.tanh, lambda z: 1 - np.tanh(z), name="wrong")
    m = model(wrong)
    with pytest.warns(keras.TrainingWarning, match=r"'wrong': its derivative differs .* most at z = "):
        m.fit(X, Y, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        m.fit(X, Y, verbose=0)
        model(fresh()).fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("f", "error", "words"),
    [
        (lambda z: 1 / 0, ZeroDivisionError, "division"),
        (lambda z: z[:1], ValueError, r"'own': f returned shape \(1, 20\) for an array of shape"),
        (lambda z: z.astype(str), TypeError, "not of numbers"),
        (lambda z: (_ for _ in ()).throw(KeyboardInterrupt), KeyboardInterrupt, "^$"),
    ],
)
@pytest.mark.parametrize("threads", [1, 3])
def test_exceptions_come_out_and_the_model_stays_as_it_was(f, error, words, threads):
    works = [True]

    def now_and_then(z):
        return np.tanh(z) if works[0] else f(z)

    m = model(activations.Custom(now_and_then, lambda z: 1 - np.tanh(z) ** 2, name="own"))
    m.fit(X, Y, verbose=0)
    want, before = m.predict(X), digest(m.get_weights())
    works[0] = False
    keras.set_num_threads(threads)
    try:
        for call in (
            lambda: m.fit(X, Y, verbose=0),
            lambda: m.predict(X),
            lambda: m.evaluate(X, Y, verbose=0),
            lambda: m.gradients(X, Y),
            lambda: m.forward(X),
        ):
            with pytest.raises(error, match=words):
                call()
    finally:
        keras.set_num_threads(None)
    assert digest(m.get_weights()) == before
    works[0] = True
    np.testing.assert_array_equal(m.predict(X), want)
    m.fit(X, Y, verbose=0)


def test_an_exception_in_the_derivative_ends_the_fit_too():
    m = model(activations.Custom(np.tanh, lambda z: 1 / 0, name="own"))
    with pytest.raises(ZeroDivisionError):
        m.fit(X, Y, verbose=0)
    m.predict(X)


@pytest.mark.parametrize("threads", [3, 8])
def test_an_exception_behind_a_normalization_ends_the_step_for_all_threads(threads):
    """Threads that are late see that the rows before it were good: all leave the step at the same barrier."""
    code = f"""
import itertools
import numpy as np
import fastnn as keras

keras.set_num_threads({threads})
x = np.random.default_rng(0).normal(size=(600, 8)).astype("f4")
raised = 0
for i in range(100):
    calls = itertools.count()

    def fail(z):
        if next(calls) >= i % 7:
            raise ZeroDivisionError("f")
        return np.tanh(z)

    own = keras.activations.Custom(fail, lambda z: 1 - np.tanh(z) ** 2)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(40), keras.layers.BatchNormalization()])
    model.add(keras.layers.Activation(own))
    model.add(keras.layers.Dense(1))
    model.compile("sgd", "mse")
    try:
        model.fit(x, x[:, :1], batch_size=600, epochs=3, verbose=0)
    except ZeroDivisionError:
        raised += 1
print(raised)
"""
    assert run_python(code).split() == ["100"]


def test_python_sees_denormals():
    """Compiled code flushes them; functions of one's own run as Python does."""
    seen = []

    def f(z):
        seen.append(float(np.float32(1e-30) * np.float32(1e-10)))
        return z

    m = model(activations.Custom(f, np.ones_like, name="own"))
    m.fit(X, Y, verbose=0)
    m.predict(X)
    assert min(seen) > 0


def test_what_a_function_keeps_stays_valid():
    kept = []

    def f(z):
        kept.append((z, z.copy()))
        z += 0
        return z

    m = model(activations.Custom(f, np.ones_like, name="own"))
    m.fit(X, Y, epochs=2, verbose=0)
    del m
    assert all((a == b).all() for a, b in kept)


def test_predictions_from_several_threads():
    m = model(fresh())
    want, found = m.predict(X), []
    workers = [
        threading.Thread(target=lambda: found.extend(m.predict(X) for _ in range(20))) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 60
    assert all((a == want).all() for a in found)


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.predict(X),
        lambda m: m.evaluate(X, Y, verbose=0),
        lambda m: m.gradients(X, Y),
        lambda m: m.forward(X),
    ],
    ids=["predict", "evaluate", "gradients", "forward"],
)
def test_each_thread_gets_what_its_own_call_raised(call):
    """Of one model, and of two that share the activation; who raised nothing gets numbers."""
    keras.set_num_threads(1)
    both = threading.Barrier(2, timeout=20)
    raising = []

    def f(z):
        if threading.current_thread().name in raising:
            both.wait()
            try:
                raise OSError(threading.current_thread().name)
            finally:
                both.wait()
        return np.tanh(z)

    activation = activations.Custom(f, lambda z: 1 - np.tanh(z) ** 2, name="own")
    models = [model(activation), model(activation)]
    for m in models:
        call(m)  # its first use compares the derivative
    found = {}

    def run(m):
        try:
            found[threading.current_thread().name] = call(m)
        except OSError as error:
            found[threading.current_thread().name] = str(error)

    for first, second in 10 * [models, models[:1] * 2]:
        threads = [threading.Thread(target=run, args=(m,)) for m in (first, second)]
        raising[:] = [thread.name for thread in threads]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 40
    assert found == {name: name for name in found}
    assert np.isfinite(models[0].predict(X)).all()


def test_what_is_refused():
    with pytest.raises(NotImplementedError, match="predict"):
        model(fresh()).predictor()
    m = model(fresh(), precision="bfloat16")
    with pytest.raises(NotImplementedError, match="bfloat16"):
        m.fit(X, Y, verbose=0)


def test_clones_and_pickles():
    m = model(activations.Custom(np.sin, np.cos))
    again = pickle.loads(pickle.dumps(m))
    np.testing.assert_array_equal(again.predict(X), m.predict(X))
    with keras.utils.custom_object_scope({"sin": activations.Custom(np.sin, np.cos)}):
        assert keras.models.clone_model(m).layers[0].activation.name == "sin"
