"""Native memory that cannot be had: MemoryError, nothing leaked, and the model as it was.

Every routine runs once for each of its allocations, which fails: it alone, or with all that follow.
"""

import contextlib
import gc
import warnings

import numpy as np
import pytest
from support import compiled, digest, mlp, random_weights, state

import fastnn
from fastnn import kernels
from fastnn.kernels import memory
from fastnn.kernels.training import Training

FOREVER = 1 << 40
RNG = np.random.default_rng(5)
X, Y = RNG.normal(size=(60, 5)).astype("f4"), RNG.normal(size=(60, 2)).astype("f4")
CLASSES = RNG.integers(0, 3, size=60)


@pytest.fixture(autouse=True, scope="module")
def what_other_tests_left_behind():
    """Is not looked at by each collection: there are thousands."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@contextlib.contextmanager
def refused(first, count):
    """Within, allocations fail from the `first` on."""
    memory.refuse(first, count)
    try:
        yield
    finally:
        memory.refuse(0, 0)


def blocks():
    gc.collect()
    return memory.live()[0]


def plain():
    return mlp(5, (7, "tanh"), (2, None), optimizer="adam", loss="mse", metrics=["mae"])


def wide():
    """With kernels in panels, and work for two threads."""
    return mlp(5, (90, "relu"), (80, "gelu"), (2, None), optimizer="adam", loss="mse")


def everything():
    """Layers that couple rows, keep vectors of their own, and leave room for what they need backward."""
    layers = fastnn.layers
    fastnn.utils.set_random_seed(0)
    model = fastnn.Sequential(
        [
            fastnn.Input(shape=(5,)),
            layers.Dense(9, activation="gelu", kernel_regularizer="l2", kernel_constraint="max_norm"),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
            layers.Residual([layers.Dense(9, activation="softmax"), layers.LayerNormalization()]),
            layers.PReLU(),
            layers.Dense(2, activity_regularizer="l2"),
        ]
    )
    model.compile(fastnn.optimizers.Muon(0.01, clipnorm=1.0, use_ema=True), loss="mse", metrics=["mae"])
    return model


def reduced():
    return mlp(5, (90, "relu"), (80, "relu"), (2, None), optimizer="adam", loss="mse", precision="bfloat16")


def own():
    """With an activation and a loss of the user's own."""
    bump = fastnn.activations.Custom(lambda z: np.exp(-z * z), lambda z: -2 * z * np.exp(-z * z), name="bump")

    class Half(fastnn.losses.Loss):
        def call(self, y_true, y_pred):
            return 0.5 * np.sum((y_pred - y_true) ** 2, axis=-1)

        def gradient(self, y_true, y_pred):
            return y_pred - y_true

    return mlp(5, (7, bump), (2, None), optimizer="sgd", loss=Half())


MODELS = [plain, wide, everything, reduced, own]


def trained(make):
    model = make()
    model.fit(X, Y, epochs=2, batch_size=16, verbose=0)
    return model


class Stopped(Exception):
    pass


class Stops(fastnn.callbacks.Callback):
    """Ends a fit after so many epochs, or batches."""

    def __init__(self, count, batches):
        self.left, self.seen = count, None
        if batches:
            self.on_train_batch_end = self._count
        else:
            self.on_epoch_end = self._count

    def _count(self, index, logs=None):
        self.left -= 1
        if self.left == 0:
            self.seen = state(self.model)
            raise Stopped


def stopping():
    return fastnn.callbacks.EarlyStopping(monitor="val_loss", patience=5, restore_best_weights=True)


# What is done to a trained model. Those that take callbacks may leave it as it was at the end of any epoch.
def fit(model, *callbacks):
    return model.fit(X, Y, epochs=3, batch_size=16, verbose=0, callbacks=callbacks).history


def fit_with_all(model, *callbacks):
    weights = np.linspace(0.5, 1.5, len(X), dtype="f4")
    options = {"validation_split": 0.2, "sample_weight": weights, "callbacks": [*callbacks, stopping()]}
    return model.fit(X, Y, epochs=3, batch_size=16, verbose=0, **options).history


def fit_on_threads(model, *callbacks):
    fastnn.set_num_threads(3)
    try:
        return model.fit(X, Y, epochs=2, batch_size=60, verbose=0, callbacks=callbacks).history
    finally:
        fastnn.set_num_threads(None)


def fit_in_pieces(model, *callbacks):
    class Looks(fastnn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.predict(X[:3], verbose=0)

    return model.fit(X, Y, epochs=2, batch_size=16, verbose=0, callbacks=[*callbacks, Looks()]).history


def train_on_batch(model):
    return model.train_on_batch(X[:20], Y[:20])


def own_loop(model):
    outputs = model.forward(X[:20])
    model.optimizer.apply(model.backward(outputs - Y[:20]))


def gradients(model):
    loss, found = model.gradients(X, Y)
    return [loss, *(np.array(g) for g in found)]


def input_gradients(model):
    return model.input_gradients(X, output="all")


def evaluate(model):
    return model.evaluate(X, Y, batch_size=16, verbose=0)


def predict(model):
    return model.predict(X, verbose=0)


def predictor(model):
    return model.predictor()(X[:1])


def recompile(model):
    model.compile("rmsprop", "mae")


def set_weights(model):
    model.set_weights([w + 1 for w in model.get_weights()])


def clone(model):
    return fastnn.models.clone_model(model).get_weights()


FITS = [fit, fit_with_all, fit_on_threads, fit_in_pieces]
OTHERS = [train_on_batch, own_loop, recompile, set_weights]
ASKING = [gradients, input_gradients, evaluate, predict, predictor, clone]


def held_states(make, action):
    """The states in which a failing `action` may leave a model: as it was, or as an exception would."""
    model = trained(make)
    found = [state(model)]
    if action is own_loop:
        model.forward(X[:20])
        found.append(state(model))
    for count in range(1, 30 if action in FITS else 1):
        model, stops = trained(make), Stops(count, action is fit_in_pieces)
        with contextlib.suppress(Stopped):
            action(model, stops)
        # the second with the averages in the weights' place, where there are any
        found += [stops.seen, state(model)]
        if stops.seen is None:
            break
    return found


def values(result):
    """What an action returned, as arrays."""
    if isinstance(result, dict):
        result = [value for _, value in sorted(result.items())]
    return [np.asarray(value) for value in (result if isinstance(result, (list, tuple)) else [result])]


@pytest.mark.parametrize("count", [1, FOREVER], ids=["one", "all"])
@pytest.mark.parametrize("action", [*FITS, *OTHERS, *ASKING], ids=lambda f: f.__name__)
@pytest.mark.parametrize("make", MODELS, ids=lambda f: f.__name__)
def test_a_model_outlives_memory_that_cannot_be_had(make, action, count):
    if make is own and action in (predictor, clone):
        pytest.skip("not for such models")
    held = held_states(make, action)
    model = trained(make)
    expected = digest(values(action(model))), state(model)
    del model
    before, number, failed = blocks(), 0, True
    while failed:
        model, failed, asked = trained(make), False, memory.requests()
        try:
            with refused(number, count):
                action(model)
        except MemoryError:
            failed = True
            assert state(model) in held, f"allocation {number}"
            if state(model) == held[0]:  # it goes on as if nothing had happened
                assert (digest(values(action(model))), state(model)) == expected, f"allocation {number}"
        else:
            assert memory.requests() - asked <= number, "an allocation failed, and nobody was told"
        del model
        assert blocks() == before, f"allocation {number}"
        number += 1


# ---- what begins without a model, or with several ------------------------------------------------


def building(folder):
    model = everything()
    model.fit(X, Y, epochs=1, verbose=0)
    return model.get_weights()


def saving(folder):
    path = folder / "model.safetensors"
    trained(plain).save(path)
    return fastnn.models.load_model(path).get_weights()


def many_models(folder):
    models = [mlp(5, (n, "tanh"), (2, None), seed=n, optimizer="adam", loss="mse") for n in (4, 6)]
    histories = fastnn.fit_many(models, X, Y, epochs=2, validation_data=(X, Y), verbose=0)
    found = [history.history["loss"] for history in histories]
    return [*found, *fastnn.predict_many(models, X)]


def models_in_lanes(folder):
    models = [mlp(5, (4, "relu"), (1, None), seed=seed, optimizer="adam", loss="mse") for seed in range(20)]
    fastnn.fit_many(models, X, Y[:, :1], epochs=2, verbose=0)
    return fastnn.predict_many(models, X)


def classifying(folder):
    from fastnn.estimators import MLPClassifier

    made = MLPClassifier((6,), max_iter=3, random_state=0, early_stopping=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return made.fit(X, CLASSES).predict_proba(X)


def routines(folder):
    w, b = np.ones((5, 20), "f4"), np.ones(20, "f4")
    z = kernels.dense_forward(X, w, b, "softmax")
    dz = kernels.activation_backward("softmax", z, z)
    forward = kernels.activation_forward("softmax", X)
    results = kernels.metric_results(["mean_absolute_error"], Y, Y)
    return [z, dz, forward, *kernels.dense_backward(X, w, dz), results]


def stream(folder):
    """Batches that grow: memory is laid out in the middle of a training, which ends if there is none."""
    network = compiled([(6, "tanh", True), (2, "linear", True)], 5, "float32", _start(), "mean_squared_error")
    training = Training(network, X[:4], Y[:4], batch_size=4, shuffle=False, seed=0, epochs=1, stream=True)
    training.run(1, 0.0)
    try:
        training.feed(X[:50], Y[:50])
    except MemoryError:
        assert training.finished
        assert training.run(1, 0.0) == 0
        raise
    training.run(1, 0.0)
    training.end_epoch()
    return network.weights()


def _start():
    return random_weights([(6, "tanh", True), (2, "linear", True)], 5, np.random.default_rng(0), np.float32)


WITHOUT = [building, saving, many_models, models_in_lanes, classifying, routines, stream]


@pytest.mark.parametrize("count", [1, FOREVER], ids=["one", "all"])
@pytest.mark.parametrize("action", WITHOUT, ids=lambda f: f.__name__)
def test_nothing_is_left_of_what_could_not_be_had(action, count, tmp_path):
    if action is classifying:
        pytest.importorskip("sklearn")
    expected = digest(values(action(tmp_path)))
    before, number, failed = blocks(), 0, True
    while failed:
        failed, asked = False, memory.requests()
        try:
            with refused(number, count):
                action(tmp_path)
        except MemoryError:
            failed = True
        else:
            assert memory.requests() - asked <= number, "an allocation failed, and nobody was told"
        assert blocks() == before, f"allocation {number}"
        number += 1
    assert number > 1
    assert digest(values(action(tmp_path))) == expected


def test_the_counter_of_live_memory():
    before = memory.live()
    model = trained(plain)
    held = memory.live()
    assert held[0] > before[0]
    assert held[1] > before[1]
    del model
    gc.collect()
    assert memory.live() == before
