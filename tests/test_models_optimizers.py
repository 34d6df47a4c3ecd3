"""Optimizers and schedules as users write them: arguments, configs, what stays over fits and compiles."""

import copy
import inspect
import pickle

import numpy as np
import pytest
from support import digest, mlp

import fastnn as keras
from fastnn import optimizers
from fastnn.optimizers import schedules

CLASSES = [
    getattr(optimizers, name) for name in optimizers.__all__ if name[0].isupper() and name != "Optimizer"
]


def data(rows=40, columns=4):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, columns)).astype("float32")
    return x, np.tanh(x[:, :1] - x[:, 1:2])


def fitted(optimizer, epochs=2, **arguments):
    x, y = data()
    model = mlp(4, (5, "tanh"), (1, None), optimizer=optimizer, loss="mse")
    model.fit(x, y, epochs=epochs, batch_size=8, shuffle=False, verbose=0, **arguments)
    return model


def slots_of(model):
    return [w for slot in model.optimizer._bound()[-1].net.optimizer_slots() for w in slot]


@pytest.mark.parametrize("name", sorted(optimizers.TABLE))
def test_all_names_lead_to_the_class(name):
    found = optimizers.get(name)
    assert type(found) is optimizers.TABLE[name]
    assert type(optimizers.get(type(found).__name__)) is type(found)
    assert type(optimizers.get({"class_name": type(found).__name__, "config": {}})) is type(found)
    assert optimizers.get(found) is found
    model = fitted(name)
    assert type(model.optimizer) is type(found)
    assert int(model.optimizer.iterations) == 10


def test_compile_trains_with_rmsprop_by_default():
    x, y = data()
    model = mlp(4, (5, "tanh"), (1, None))
    model.compile(loss="mse")
    assert isinstance(model.optimizer, optimizers.RMSprop)
    losses = model.fit(x, y, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("make", CLASSES, ids=lambda c: c.__name__)
def test_configs_make_the_same_optimizer_again(make):
    names = list(inspect.signature(make).parameters)
    given = {
        "learning_rate": 0.02,
        "weight_decay": 0.1,
        "clipvalue": 0.5,
        "epsilon": 1e-3,
        "momentum": 0.5,
        "beta_2": 0.7,
        "amsgrad": True,
        "centered": True,
        "nesterov": True,
        "initial_accumulator_value": 0.3,
        "learning_rate_power": -0.4,
        "beta_2_decay": -0.5,
        "relative_step": False,
        "exclude_layers": ["dense_1"],
        "exclude_embeddings": False,
        "adam_weight_decay": None,
        "rms_rate": None,
        "ns_steps": 2,
    }
    optimizer = make(**{key: value for key, value in given.items() if key in names})
    config = optimizer.get_config()
    assert set(config) == set(names) - {"kwargs"}
    twin = make.from_config(config)
    assert twin.get_config() == config
    assert optimizers.deserialize(optimizers.serialize(optimizer)).get_config() == config
    assert pickle.loads(pickle.dumps(optimizer)).get_config() == config
    assert digest(fitted(optimizer).get_weights()) == digest(fitted(twin).get_weights())


@pytest.mark.parametrize("make", CLASSES, ids=lambda c: c.__name__)
def test_unknown_arguments(make):
    for bad in ("lr", "decay", "learning_rat"):
        with pytest.raises(TypeError, match=bad) as caught:
            make(**{bad: 0.1})
        assert make.__name__ in str(caught.value)
    with pytest.raises(TypeError, match="learning_rate"):
        make(lr=0.1)
    with pytest.raises(TypeError, match="schedule"):
        make(decay=0.1)


BAD = {
    "two clips": (lambda: optimizers.SGD(clipnorm=1.0, clipvalue=0.5), ["only one", "clipnorm", "clipvalue"]),
    "ema_momentum": (lambda: optimizers.SGD(use_ema=True, ema_momentum=1.5), ["ema_momentum", "1.5"]),
    "ema frequency": (lambda: optimizers.SGD(use_ema=True, ema_overwrite_frequency=0.5), ["0.5", "whole"]),
    "accumulation": (lambda: optimizers.SGD(gradient_accumulation_steps=1), ["accumulation_steps", "2"]),
    "no decay": (lambda: optimizers.AdamW(weight_decay=None), ["AdamW", "weight_decay"]),
    "negative decay": (lambda: optimizers.Adam(weight_decay=-1.0), ["weight_decay", "-1.0"]),
    "text for clip": (lambda: optimizers.Adam(clipnorm="much"), ["clipnorm", "much"]),
    "nan clip": (lambda: optimizers.Adam(clipvalue=float("nan")), ["clipvalue", "nan"]),
    "lion beta_1": (lambda: optimizers.Lion(beta_1=0.0), ["Lion", "beta_1"]),
    "lion beta_1 above": (lambda: optimizers.Lion(beta_1=1.5), ["Lion", "beta_1", "1.5"]),
    "ftrl power": (lambda: optimizers.Ftrl(learning_rate_power=0.5), ["learning_rate_power", "0.5"]),
    "ftrl l1": (lambda: optimizers.Ftrl(l1_regularization_strength=-1), ["l1_regularization_strength"]),
    "ftrl start": (lambda: optimizers.Ftrl(initial_accumulator_value=-1), ["initial_accumulator_value"]),
    "rho": (lambda: optimizers.RMSprop(rho=1.1), ["rho", "1.1"]),
    "beta_2_decay": (lambda: optimizers.Adafactor(beta_2_decay=0.1), ["Adafactor", "beta_2_decay"]),
    "threshold": (lambda: optimizers.Adafactor(clip_threshold=0.0), ["clip_threshold", "0"]),
    "turns": (lambda: optimizers.Muon(ns_steps=61), ["ns_steps", "60"]),
    "half a turn": (lambda: optimizers.Muon(ns_steps=1.5), ["ns_steps", "1.5"]),
    "rms_rate": (lambda: optimizers.Muon(rms_rate=-0.1), ["rms_rate", "-0.1"]),
    "one name": (lambda: optimizers.Muon(exclude_layers="last"), ["exclude_layers", "list"]),
    "lamb beta": (lambda: optimizers.Lamb(beta_1=1.0), ["Lamb", "beta_1"]),
    "rate": (lambda: optimizers.Adagrad(learning_rate=None), ["learning_rate", "None"]),
    "class": (lambda: optimizers.get(optimizers.Lion), ["Lion()"]),
    "steps": (lambda: schedules.ExponentialDecay(0.1, 0, 0.9), ["decay_steps", "0"]),
    "first steps": (lambda: schedules.CosineDecayRestarts(0.1, -3), ["first_decay_steps", "-3"]),
    "t_mul": (lambda: schedules.CosineDecayRestarts(0.1, 3, t_mul=0), ["t_mul"]),
    "decay_rate": (lambda: schedules.InverseTimeDecay(0.1, 1, -1.0), ["decay_rate", "-1.0"]),
    "boundaries": (
        lambda: schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.2]),
        ["2 values", "2 boundaries"],
    ),
    "order": (lambda: schedules.PiecewiseConstantDecay([2, 1], [0.1, 0.2, 0.3]), ["increase"]),
    "values": (lambda: schedules.PiecewiseConstantDecay([1], [0.1, -0.2]), ["values", "-0.2"]),
    "fraction": (lambda: schedules.OneCycle(0.1, 10, 1.5), ["warmup_fraction", "1.5"]),
    "text": (lambda: schedules.CosineDecay("fast", 10), ["initial_learning_rate", "fast"]),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_arguments(name):
    call, words = BAD[name]
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize("name", ["ScheduleFreeAdamW", "LossScaleOptimizer"])
def test_optimizers_that_are_not_there_say_so(name):
    with pytest.raises(NotImplementedError, match="not in fastnn yet"):
        optimizers.get(name)


# ---- weight decay and clipping -------------------------------------------------------------------


def test_weight_decay_and_clipping_may_be_assigned():
    x, y = data()
    model, assigned = (
        fitted(optimizers.Adam(0.01, weight_decay=0.1, clipvalue=0.01)),
        fitted(optimizers.Adam(0.01), 1),
    )
    assigned.set_weights(mlp(4, (5, "tanh"), (1, None)).get_weights())
    assigned.compile(optimizers.Adam(0.01), "mse")
    assigned.optimizer.weight_decay, assigned.optimizer.clipvalue = 0.1, 0.01
    assigned.fit(x, y, epochs=1, batch_size=8, shuffle=False, verbose=0)
    assigned.optimizer.weight_decay, assigned.optimizer.clipvalue = 0.1, 0.01
    assigned.fit(x, y, epochs=1, batch_size=8, shuffle=False, verbose=0)
    assert digest(assigned.get_weights()) == digest(model.get_weights())
    assigned.optimizer.weight_decay = assigned.optimizer.clipvalue = None
    before = digest(assigned.get_weights())
    assigned.optimizer.learning_rate = 0.0
    assigned.fit(x, y, epochs=1, verbose=0)
    assert digest(assigned.get_weights()) == before


def test_exclude_from_weight_decay():
    x, y = data()
    for arguments in ({"var_names": ["kernel", "bias"]}, {"var_list": "all"}, {"var_names": ["ern", "^bi"]}):
        optimizer = optimizers.AdamW(0.0, weight_decay=0.5)
        model = mlp(4, (5, "tanh"), (1, None), optimizer=optimizer, loss="mse")
        if "var_list" in arguments:
            arguments = {"var_list": model.weights}
        optimizer.exclude_from_weight_decay(**arguments)
        before = digest(model.get_weights())
        model.fit(x, y, verbose=0)
        assert digest(model.get_weights()) == before
        with pytest.raises(ValueError, match="before"):
            optimizer.exclude_from_weight_decay(var_names=["kernel"])
    optimizer = optimizers.AdamW()
    kernel, bias = mlp(4, (1, None)).weights
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    assert (optimizer.uses_weight_decay(kernel), optimizer.uses_weight_decay(bias)) == (True, False)
    optimizer.exclude_from_weight_decay(var_list=[kernel])
    assert (optimizer.uses_weight_decay(kernel), optimizer.uses_weight_decay(bias)) == (False, True)
    with pytest.raises(TypeError, match="var_names"):
        optimizer.exclude_from_weight_decay(var_names="bias")


EXTRAS = {
    "clipnorm": {"clipnorm": 1.0},
    "global_clipnorm": {"global_clipnorm": 1.0},
    "use_ema": {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 3},
    "gradient_accumulation_steps": {"gradient_accumulation_steps": 2},
}


@pytest.mark.parametrize("name", sorted(EXTRAS))
def test_extras(name):
    optimizer = optimizers.Adam(**EXTRAS[name])
    assert optimizer.native_extras() == EXTRAS[name]
    assert fitted(optimizer).optimizer is optimizer
    assert {key: getattr(optimizer, key) for key in EXTRAS[name]} == EXTRAS[name]
    assert optimizers.Adam(clipnorm=0.0, clipvalue=None, loss_scale_factor=8.0).native_extras() == {}


def test_a_scaled_loss_is_the_same():
    assert digest(fitted(optimizers.SGD(loss_scale_factor=512.0)).get_weights()) == digest(
        fitted(optimizers.SGD()).get_weights()
    )


# ---- what stays ----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", CLASSES, ids=lambda c: c.__name__)
def test_compiling_again_with_the_same_object_keeps_what_it_remembers(make):
    x, y = data()
    once = fitted(make(0.01), epochs=4)
    twice = fitted(make(0.01), epochs=2)
    twice.compile(twice.optimizer, "mse", metrics=["mae"])
    assert int(twice.optimizer.iterations) == 10
    twice.fit(x, y, epochs=2, batch_size=8, shuffle=False, verbose=0)
    assert int(twice.optimizer.iterations) == 20
    assert digest(twice.get_weights()) == digest(once.get_weights())
    assert digest(slots_of(twice)) == digest(slots_of(once))


def test_an_optimizer_that_comes_back_goes_on_where_it_was():
    x, y = data()
    model = fitted(optimizers.Adam(0.01))
    first, slots = model.optimizer, digest(slots_of(model))
    model.compile("sgd", "mse")
    assert int(model.optimizer.iterations) == 0
    model.evaluate(x, y, verbose=0)
    assert int(first.iterations) == 10
    model.compile(first, "mse")
    model.evaluate(x, y, verbose=0)
    assert int(first.iterations) == 10
    assert digest(slots_of(model)) == slots
    model.compile(optimizers.Adam(0.01), "mse")
    model.evaluate(x, y, verbose=0)
    assert int(model.optimizer.iterations) == 0
    assert not any(w.any() for w in slots_of(model))


def test_memory_of_state_over_fits():
    x, y = data()
    once = fitted(optimizers.Nadam(0.01), epochs=6)
    parts = fitted(optimizers.Nadam(0.01), epochs=1)
    for _ in range(5):
        parts.fit(x, y, epochs=1, batch_size=8, shuffle=False, verbose=0)
    assert digest(parts.get_weights()) == digest(once.get_weights())


# ---- schedules -----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [*schedules._CLASSES], ids=lambda c: c.__name__)
def test_schedules_are_serialised(make):
    given = {
        schedules.PiecewiseConstantDecay: ([3, 5], [0.3, 0.2, 0.1]),
        schedules.ExponentialDecay: (0.1, 10, 0.5),
        schedules.InverseTimeDecay: (0.1, 10, 0.5),
    }.get(make, (0.1, 10))
    schedule = make(*given)
    config = schedules.serialize(schedule)
    assert config["module"] == "keras.optimizers.schedules"
    assert config["config"] == schedule.get_config()
    twin = schedules.deserialize(config)
    assert type(twin) is make
    assert twin.get_config() == schedule.get_config()
    assert twin(7) == schedule(7)
    optimizer = optimizers.deserialize(optimizers.serialize(optimizers.Adam(schedule)))
    assert optimizers.serialize(optimizer)["config"]["learning_rate"] == config
    copied = pickle.loads(pickle.dumps(copy.deepcopy(optimizer)))
    assert copied.get_config() == optimizer.get_config()
    assert digest(fitted(copied).get_weights()) == digest(fitted(optimizers.Adam(schedule)).get_weights())


def test_learning_rate_of_a_schedule():
    x, y = data()
    schedule = schedules.InverseTimeDecay(0.1, 1, 1)
    optimizer = optimizers.SGD(learning_rate=schedule)
    assert float(optimizer.learning_rate) == 0.1
    model = mlp(4, (5, "tanh"), (1, None), optimizer=optimizer, loss="mse")
    model.fit(x, y, epochs=1, batch_size=8, verbose=0)
    assert float(optimizer.learning_rate) == pytest.approx(0.1 / 6)
    with pytest.raises(TypeError, match="InverseTimeDecay"):
        optimizer.learning_rate = 0.1
    optimizer.learning_rate = schedules.PiecewiseConstantDecay([1000], [0.0, 1.0])
    before = digest(model.get_weights())
    model.fit(x, y, epochs=1, batch_size=8, verbose=0)
    assert digest(model.get_weights()) == before
    plain = optimizers.SGD(0.1)
    plain.learning_rate = schedule
    assert float(plain.learning_rate) == 0.1
    assert plain.get_config()["learning_rate"] == schedules.serialize(schedule)


def test_schedules_of_ones_own():
    class Halving(schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.1 * 0.5 ** (step // 4)

        def get_config(self):
            return {}

    class Warmed(schedules.ExponentialDecay):
        def __call__(self, step):
            return 0.1 * 0.5 ** (step // 4)

    wanted = digest(
        fitted(optimizers.SGD(schedules.ExponentialDecay(0.1, 4, 0.5, staircase=True))).get_weights()
    )
    assert digest(fitted(optimizers.SGD(Halving())).get_weights()) == wanted
    assert digest(fitted(optimizers.SGD(Warmed(1, 1, 1))).get_weights()) == wanted
    config = optimizers.serialize(optimizers.SGD(Halving()))
    assert isinstance(optimizers.deserialize(config, {"Halving": Halving})._schedule, Halving)

    class Failing(schedules.LearningRateSchedule):
        def __call__(self, step):
            raise OSError("no rate today")

    with pytest.raises(OSError, match="no rate today"):
        fitted(optimizers.SGD(Failing()))
    with pytest.raises(NotImplementedError, match="__call__"):
        fitted(optimizers.SGD(schedules.LearningRateSchedule()))
    with pytest.raises(NotImplementedError, match="get_config"):
        optimizers.serialize(optimizers.SGD(Failing()))


def test_a_callable_without_arguments():
    assert digest(fitted(optimizers.SGD(lambda: 0.05)).get_weights()) == digest(
        fitted(optimizers.SGD(0.05)).get_weights()
    )


def test_callbacks_see_the_rate_of_a_schedule():
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(float(self.model.optimizer.learning_rate))

    schedule = schedules.ExponentialDecay(0.1, 5, 0.5)
    fitted(optimizers.SGD(schedule), epochs=3, callbacks=[Look()])
    np.testing.assert_allclose(seen, [0.05, 0.025, 0.0125])


@pytest.mark.parametrize(
    "choice",
    [
        {"clipnorm": 0.01},
        {"global_clipnorm": 0.01},
        {"use_ema": True, "ema_momentum": 0.5},
        {"use_ema": True, "ema_overwrite_frequency": 2},
        {"gradient_accumulation_steps": 2},
    ],
    ids=lambda choice: " ".join(choice),
)
@pytest.mark.parametrize("way", ["fit", "apply"])
def test_choices_of_a_step_act_from_the_next_fit_on(choice, way):
    """As with an optimizer that is made with them."""

    def on(m):
        if way == "fit":
            m.fit(*data(), batch_size=10, epochs=2, shuffle=False, verbose=0)
        else:
            for _ in range(4):
                m.optimizer.apply(m.gradients(*data())[1])

    first, twin = (fitted(optimizers.SGD(0.1)) for _ in range(2))
    for key, value in choice.items():
        setattr(first.optimizer, key, value)
    twin.compile(optimizers.SGD(0.1, **choice), "mse")
    before = digest(first.get_weights())
    on(first)
    on(twin)
    assert digest(first.get_weights()) == digest(twin.get_weights()) != before


def test_a_norm_to_clip_by_leaves_what_is_remembered():
    m = fitted(optimizers.Adam(0.01))
    steps = int(m.optimizer.iterations)
    m.optimizer.clipnorm = 0.01
    m.fit(*data(), batch_size=40, epochs=1, verbose=0)
    assert int(m.optimizer.iterations) == steps + 1


class _Chooses(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.use_ema = True
        self.model.evaluate(*data(), verbose=0)


def test_a_running_fit_goes_on_as_it_began():
    first, twin = (fitted(optimizers.SGD(0.1)) for _ in range(2))
    first.fit(*data(), batch_size=10, epochs=2, shuffle=False, verbose=0, callbacks=[_Chooses()])
    twin.fit(*data(), batch_size=10, epochs=2, shuffle=False, verbose=0)
    assert digest(first.get_weights()) == digest(twin.get_weights())


def test_the_most_phases_that_a_step_can_have():
    """As many batch normalisations and turns of Muon as there may be, and all options beside."""

    class Quartic(keras.regularizers.Regularizer):
        def __call__(self, x):
            return 0.01 * np.sum(x**4)

        def gradient(self, x):
            return 0.04 * x**3

    class Square(keras.losses.Loss):
        def loss(self, y_true, y_pred):
            return np.square(y_pred - y_true).mean(axis=-1)

        def gradient(self, y_true, y_pred):
            return 2 * (y_pred - y_true) / y_pred.shape[-1]

    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(40, 5)).astype("f4"), rng.normal(size=(40, 2)).astype("f4")
    found = []
    for loss, threads in ((Square(), 1), (Square(), 2), ("mse", 2)):
        keras.set_num_threads(threads)
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((5,))])
        for _ in range(14):
            model.add(
                keras.layers.Dense(
                    4,
                    kernel_regularizer=keras.regularizers.OrthogonalRegularizer(),
                    kernel_constraint=keras.constraints.MaxNorm(2.0),
                )
            )
            model.add(keras.layers.BatchNormalization())
        model.add(keras.layers.Dense(2, kernel_regularizer=Quartic(), bias_constraint=lambda w: w * 0.9))
        model.compile(keras.optimizers.Muon(0.01, ns_steps=60, clipnorm=1.0, use_ema=True), loss)
        history = model.fit(x, y, batch_size=20, epochs=3, verbose=0).history["loss"]
        _, gradients = model.gradients(x, y)
        model.optimizer.apply(gradients)
        found.append((digest(model.get_weights()), np.asarray(history)))
    assert found[0][0] == found[1][0]
    np.testing.assert_allclose(found[2][1], found[0][1], rtol=1e-4)
    with pytest.raises(NotImplementedError, match="14 batch normalisations"):
        keras.Sequential([*model.layers, keras.layers.BatchNormalization()]).predict(x)
