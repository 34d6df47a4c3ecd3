"""Many Python threads on one model: one trains, the others see states that it published, whole ones."""

import copy
import importlib.util
import pickle
import sys
import threading

import pytest
from support import at_once, digest, iterations, mlp, state

import fastnn as keras

ROWS, EPOCHS = 64, 1500


@pytest.fixture
def data(rng):
    return rng.normal(size=(ROWS, 4)).astype("f4"), rng.normal(size=(ROWS, 1)).astype("f4")


@pytest.fixture
def impatient():
    """Threads of Python take turns a thousand times as often as they do otherwise."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(before)


def made():
    return mlp(4, (24, "tanh"), (16, "relu"), (1, None), optimizer="adam", loss="mse")


class Published:
    """Every state that a fit of one step an epoch can publish."""

    def __init__(self, x, y):
        self.x, self.y = x, y
        self.outputs, self.losses, self.weights, self.states = set(), set(), set(), {}
        model = made()
        self.note(model)
        record = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: self.note(model))
        model.fit(x, y, batch_size=ROWS, shuffle=False, epochs=EPOCHS, verbose=0, callbacks=[record])
        self.last = state(model)

    def note(self, model):
        self.outputs.add(digest([model.predict(self.x)]))
        self.losses.add(model.evaluate(self.x, self.y, verbose=0))
        self.weights.add(digest(model.get_weights()))
        self.states[iterations(model)] = state(model)


@pytest.mark.parametrize("threads", [1, 2])
def test_eight_threads_see_whole_states(data, threads, tmp_path, impatient):
    x, y = data
    published, model = Published(x, y), made()
    keras.set_num_threads(threads)
    over, seen = threading.Event(), {}

    def train():
        try:
            model.fit(x, y, batch_size=ROWS, shuffle=False, epochs=EPOCHS, verbose=0)
        finally:
            over.set()

    def look(name, what):
        def work():
            found = seen.setdefault(name, [])
            found.append(what())
            while not over.is_set():
                found.append(what())

        return work

    def through_file():
        if importlib.util.find_spec("safetensors") is None:  # as for interpreters without a GIL
            return copy.deepcopy(model)
        path = tmp_path / "model.safetensors"
        model.save(path)
        return keras.models.load_model(path)

    errors = at_once(
        [
            train,
            look("outputs", lambda: digest([model.predict(x)])),
            look("more outputs", lambda: digest([model.predict(x, batch_size=10, verbose=0)])),
            look("snapshots", lambda: digest([model.predictor(ROWS)(x)])),
            look("losses", lambda: model.evaluate(x, y, verbose=0)),
            look("weights", lambda: digest(model.get_weights())),
            look("files", through_file),
            look("pickles", lambda: pickle.loads(pickle.dumps(model))),
        ]
    )
    assert not errors
    assert state(model) == published.last, "the fit comes out as if nobody had looked"
    for name in ("outputs", "more outputs", "snapshots"):
        assert set(seen[name]) <= published.outputs, name
    assert set(seen["losses"]) <= published.losses
    assert set(seen["weights"]) <= published.weights
    for twin in seen["files"] + seen["pickles"]:
        twin.predict(x)  # its network is made, and remembers what the file says
        assert state(twin) == published.states[iterations(twin)]


def test_weights_are_set_all_at_once(data, impatient):
    """Who predicts meanwhile sees the weights before or after, never some of each."""
    x, _ = data
    model, over, seen = made(), threading.Event(), []
    first = model.get_weights()
    second = [w + 0.5 for w in first]
    allowed = set()
    for weights in (first, second):
        model.set_weights(weights)
        allowed |= {digest([model.predict(x)]), digest(model.get_weights())}

    def change():
        try:
            for i in range(2000):
                model.set_weights(second if i % 2 else first)
        finally:
            over.set()

    def look():
        seen.append(digest([model.predict(x)]))
        while not over.is_set():
            seen.append(digest([model.predict(x)]))
            seen.append(digest(model.get_weights()))

    assert not at_once([change, look, look])
    assert set(seen) <= allowed


def test_a_second_fit_is_refused_at_once(data):
    """While the first goes on, which does not notice."""
    x, y = data
    model, twin, refused = made(), made(), []

    class Second(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            def fit():
                with pytest.raises(RuntimeError, match="being trained"):
                    model.fit(x, y, epochs=10**9, verbose=0)
                with pytest.raises(RuntimeError, match="being trained"):
                    model.train_on_batch(x, y)
                with pytest.raises(RuntimeError, match="being trained"):
                    model.set_weights(model.get_weights())
                refused.append(epoch)

            assert not at_once([fit])

    model.fit(x, y, epochs=5, verbose=0, callbacks=[Second()])
    twin.fit(x, y, epochs=5, verbose=0)
    assert refused == [0, 1, 2, 3, 4]
    assert state(model) == state(twin)


def test_eight_fits_at_once(data):
    """Models of their own in threads of their own: each comes out as it does alone."""
    x, y = data
    alone = made()
    alone.fit(x, y, epochs=60, batch_size=16, verbose=0)
    models = [copy.deepcopy(m) for m in [made()] * 8]
    assert not at_once([lambda m=m: m.fit(x, y, epochs=60, batch_size=16, verbose=0) for m in models])
    assert {state(m) for m in models} == {state(alone)}


def test_models_made_at_once_have_seeds_and_names_of_their_own():
    found = []

    def make():
        found.extend(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]) for _ in range(50))

    assert not at_once([make] * 8)
    assert len({m.seed for m in found}) == len({m.name for m in found}) == len(found) == 400
