"""What the estimators take beside scikit-learn's arguments: against the Model API, or naive twins."""

import functools
import pickle
import warnings

import numpy as np
import pytest
from support import run_check

sklearn = pytest.importorskip("sklearn")

from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.metrics import log_loss, mean_absolute_error, mean_squared_error  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402
from sklearn.pipeline import Pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils import compute_sample_weight  # noqa: E402
from sklearn.utils._param_validation import InvalidParameterError  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

import fastnn  # noqa: E402
from fastnn import MLPClassifier, MLPRegressor, activations, losses, optimizers, regularizers  # noqa: E402
from fastnn.callbacks import Callback, EarlyStopping, History, ReduceLROnPlateau  # noqa: E402
from fastnn.estimators import fit_many  # noqa: E402
from fastnn.estimators.architecture import first_weights  # noqa: E402
from fastnn.layers import Activation, BatchNormalization, Dense, Dropout, LayerNormalization  # noqa: E402
from fastnn.optimizers import schedules  # noqa: E402

ROWS, BATCH = 60, 20
rng = np.random.default_rng(11)
X = rng.normal(size=(ROWS, 6))
Z = X @ rng.normal(size=(6, 3)) + 0.3 * rng.normal(size=(ROWS, 3))
NUMBER = Z[:, 0]
CLASSES = np.array(["a", "b", "c"])[Z.argmax(axis=1)]
BINARY = np.array(["no", "yes"])[(Z[:, 0] > 0.5).astype(int)]
LABELS = (Z > 0.3).astype(int)
X_VAL = rng.normal(size=(31, 6))
VAL_NUMBER = X_VAL @ rng.normal(size=6)
VAL_CLASSES = np.array(["a", "b", "c"])[rng.integers(0, 3, 31)]
WEIGHT = rng.uniform(0.2, 2, ROWS)
WEIGHT_VAL = rng.uniform(0.2, 2, 31)

PLAIN = {
    "hidden_layer_sizes": (8, 5),
    "alpha": 0.0,
    "batch_size": BATCH,
    "shuffle": False,
    "max_iter": 25,
    "tol": 0.0,
    "n_iter_no_change": 1000,
    "random_state": 3,
    "learning_rate_init": 0.01,
}


class Cubed(losses.Loss):
    """A loss of one's own."""

    def loss(self, y_true, y_pred):
        return (np.abs(y_pred - y_true) ** 3).mean(axis=-1)

    def gradient(self, y_true, y_pred):
        e = y_pred - y_true
        return 3 * e * np.abs(e) / e.shape[-1]


def cubed(z):
    return z**3 / 10


def slope_of_cubed(z):
    return 3 * z**2 / 10


def fitted(estimator, x=X, y=NUMBER, method="fit", **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return getattr(estimator, method)(x, y, **arguments)


def regressor(**arguments):
    return MLPRegressor(**{**PLAIN, "loss": losses.MeanSquaredError(), **arguments})


def classifier(**arguments):
    return MLPClassifier(**{**PLAIN, **arguments})


def twin(
    e, outputs=1, last="linear", norm=None, behind=("relu", "relu"), rates=(0, 0), optimizer=None, **more
):
    """A Sequential of the same layers, first weights and seed, compiled for what ``more`` says."""
    stack = []
    for units, activation, rate in zip(e.hidden_layer_sizes, behind, rates, strict=True):
        stack.append(Dense(units, dtype="float64", kernel_regularizer=more.get("regularizer")))
        if norm is not None:
            stack.append(norm(dtype="float64"))
        stack.append(Activation(activation, dtype="float64"))
        if rate:
            stack.append(Dropout(rate, dtype="float64"))
    stack.append(Dense(outputs, activation=last, dtype="float64", kernel_regularizer=more.get("regularizer")))
    model = fastnn.Sequential(stack)
    model.build((None, X.shape[1]))
    generator = np.random.RandomState(e.random_state)
    model.set_weights(
        first_weights(e, [X.shape[1], *e.hidden_layer_sizes, outputs], np.float64, generator).flat()
    )
    model.seed = int(generator.randint(2**31 - 1))
    if optimizer is None:
        optimizer = optimizers.Adam(e.learning_rate_init, epsilon=1e-8)
    model.compile(optimizer, loss=more.get("loss", "mse"))
    return model


def trained(model, y=NUMBER, weight=None):
    history = model.fit(
        X, y, epochs=PLAIN["max_iter"], batch_size=BATCH, shuffle=False, verbose=0, sample_weight=weight
    )
    return history.history["loss"]


def flat(e):
    return e._weights().flat()


def assert_alike(e, model, curve, tolerance=1e-9):
    np.testing.assert_allclose(e.loss_curve_, curve, rtol=tolerance)
    for a, b in zip(flat(e), model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def assert_same(a, b):
    for name in ("loss_curve_", "validation_loss_curve_", "validation_scores_", "n_iter_", "t_"):
        np.testing.assert_array_equal(getattr(a, name, None), getattr(b, name, None), err_msg=name)
    for one, other in zip(flat(a), flat(b), strict=True):
        np.testing.assert_array_equal(one, other)


# ---- layers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "behind",
    [
        ("tanh", "gelu"),
        ("sigmoid", "silu"),
        ("identity", "leaky_relu"),
        ("softmax", "elu"),
        (functools.partial(activations.relu, max_value=0.5), "tanh"),
        (activations.Custom(cubed, slope_of_cubed), "relu"),
    ],
)
def test_an_activation_for_each_layer(behind):
    e = fitted(regressor(activation=list(behind)))
    model = twin(e, behind=["linear" if name == "identity" else name for name in behind])
    assert_alike(e, model, trained(model))
    np.testing.assert_allclose(e.predict(X), model.predict(X, verbose=0)[:, 0], rtol=1e-9)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(e)).predict(X), e.predict(X))


def test_one_activation_is_that_of_all_layers():
    for name, other in (("relu", "relu"), ("logistic", "sigmoid"), ("identity", "linear")):
        assert_same(fitted(regressor(activation=name)), fitted(regressor(activation=[other, name])))


@pytest.mark.parametrize("rates", [(0.3, 0.3), (0.0, 0.5), (0.2, 0.0)])
def test_dropout(rates):
    e = fitted(regressor(dropout=rates[0] if rates[0] == rates[1] else list(rates)))
    model = twin(e, rates=rates)
    assert_alike(e, model, trained(model))
    assert not np.allclose(e.loss_curve_, fitted(regressor()).loss_curve_)
    np.testing.assert_allclose(e.predict(X), model.predict(X, verbose=0)[:, 0], rtol=1e-9)
    np.testing.assert_array_equal(e.predict(X), e.predict(X))


@pytest.mark.parametrize(
    ("name", "layer"), [("batch_norm", BatchNormalization), ("layer_norm", LayerNormalization)]
)
def test_normalization(name, layer):
    e = fitted(regressor(**{name: True}, activation=["tanh", "relu"], dropout=[0.0, 0.2]))
    model = twin(e, norm=layer, behind=("tanh", "relu"), rates=(0, 0.2))
    assert_alike(e, model, trained(model))
    vectors = ["gamma", "beta", "moving_mean", "moving_variance"][: 4 if name == "batch_norm" else 2]
    assert [list(norm) for norm in e.norms_] == [vectors, vectors]
    assert e.norms_[0]["gamma"].shape == (8,)
    assert not np.allclose(e.norms_[0]["gamma"], 1)
    predicted = e.predict(X)
    np.testing.assert_allclose(predicted, model.predict(X, verbose=0)[:, 0], rtol=1e-9)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(e)).predict(X), predicted)
    e.norms_[1]["beta"] += 0.5
    assert not np.allclose(e.predict(X), predicted)


@pytest.mark.parametrize("name", ["batch_norm", "layer_norm"])
def test_normalizations_go_on_where_they_were(name):
    parts = clone(regressor(**{name: True}))
    for _ in range(PLAIN["max_iter"]):
        fitted(parts, method="partial_fit")
    whole = fitted(regressor(**{name: True}))
    for a, b in zip(flat(parts), flat(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    warm = fitted(regressor(**{name: True}, warm_start=True, max_iter=5))
    before = warm.norms_[0]["gamma"].copy()
    fitted(warm)
    assert warm.norms_[0]["gamma"].shape == before.shape
    assert len(warm.loss_curve_) == 10
    assert warm.loss_curve_[5] < warm.loss_curve_[0]
    single = fitted(regressor(**{name: True}), X.astype(np.float32))
    assert single.norms_[0]["beta"].dtype == np.float32


def test_lbfgs_trains_a_layer_normalization():
    e = fitted(regressor(layer_norm=True, solver="lbfgs", max_iter=60))
    np.testing.assert_allclose(e.loss_, mean_squared_error(NUMBER, e.predict(X)), rtol=1e-9)
    assert e.loss_ < 0.1 * np.var(NUMBER)
    assert not np.allclose(e.norms_[0]["gamma"], 1)


def test_networks_without_a_hidden_layer():
    e = fitted(regressor(hidden_layer_sizes=(), activation=[], dropout=0.5, batch_norm=True))
    assert e.norms_ == []
    plain = fitted(regressor(hidden_layer_sizes=()))
    np.testing.assert_array_equal(e.coefs_[0], plain.coefs_[0])


# ---- weights of classes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("early", [False, True, "loss"])
@pytest.mark.parametrize(
    ("y", "class_weight"),
    [
        (BINARY, "balanced"),
        (BINARY, {"no": 0.5, "yes": 3}),
        (CLASSES, "balanced"),
        (CLASSES, {"a": 1, "b": 0.25, "c": 2}),
        (LABELS, "balanced"),
        (LABELS, [{0: 1, 1: 2}, {0: 0.5, 1: 1}, {0: 1, 1: 3}]),
    ],
)
def test_weights_of_classes_are_weights_of_rows(y, class_weight, early):
    for given in (None, WEIGHT):
        ours = classifier(class_weight=class_weight, early_stopping=early, validation_fraction=0.3)
        fitted(ours, y=y, sample_weight=given)
        rows = compute_sample_weight(class_weight, y) * (1 if given is None else given)
        reference = fitted(clone(ours).set_params(class_weight=None), y=y, sample_weight=rows)
        assert_same(ours, reference)
    assert not np.allclose(ours.coefs_[0], fitted(clone(ours).set_params(class_weight=None), y=y).coefs_[0])


def test_weights_of_classes_with_partial_fit():
    weights = {"a": 1, "b": 0.25, "c": 2}
    ours, reference = classifier(class_weight=weights), classifier()
    for rows in (slice(0, 30), np.flatnonzero(CLASSES != "c"), slice(30, 60)):  # one without a class
        y = CLASSES[rows]
        fitted(ours, X[rows], y, method="partial_fit", classes=["a", "b", "c"])
        each = np.array([weights[name] for name in y], dtype=float)
        fitted(reference, X[rows], y, method="partial_fit", classes=["a", "b", "c"], sample_weight=each)
    assert_same(ours, reference)
    with pytest.raises(ValueError, match="not for partial_fit"):
        fitted(classifier(class_weight="balanced"), X, CLASSES, method="partial_fit", classes=["a", "b", "c"])


@pytest.mark.parametrize(
    ("y", "class_weight", "message"),
    [
        (LABELS, {0: 1, 1: 2}, "several labels: give a list"),
        (LABELS, [{0: 1}, {1: 2}], "2 items, but y needs a list of 3"),
        (CLASSES, [{"a": 1}], "1 items, but y needs a dict"),
        (CLASSES, {"a": 1, "z": 2}, "not in class_weight"),
    ],
)
def test_wrong_weights_of_classes(y, class_weight, message):
    with pytest.raises(ValueError, match=message):
        classifier(class_weight=class_weight).fit(X, y)


# ---- penalties, losses, optimizers -------------------------------------------------------------------------


def test_l1():
    e = fitted(regressor(l1=0.4, alpha=0.6))
    # there, a batch's penalty is not divided by its rows
    model = twin(e, regularizer=regularizers.L1L2(0.4 / BATCH, 0.3 / BATCH))
    assert_alike(e, model, trained(model))
    strong = fitted(regressor(l1=40.0, max_iter=300))
    assert np.mean(np.abs(strong.coefs_[0]) < 1e-2) > 0.9 > np.mean(np.abs(e.coefs_[0]) < 1e-2)


REGRESSIONS = [
    ("absolute_error", "mae"),
    ("huber", "huber"),
    ("quantile", losses.Quantile(0.9)),
    (losses.LogCosh(), "log_cosh"),
    (losses.Huber(delta=0.3), losses.Huber(delta=0.3)),
    (losses.mean_absolute_error, "mae"),
    (functools.partial(losses.huber, delta=2.0), losses.Huber(delta=2.0)),
    (Cubed(), Cubed()),
]


@pytest.mark.parametrize(
    ("loss", "theirs"), REGRESSIONS, ids=lambda value: getattr(value, "name", str(value))
)
@pytest.mark.parametrize("outputs", [1, 3])
def test_losses_of_regressors(loss, theirs, outputs):
    y = Z[:, :outputs]
    e = fitted(regressor(loss=loss, quantile=0.9), y=y.squeeze())
    model = twin(e, outputs, loss=theirs)
    assert_alike(e, model, trained(model, y))
    weighted = fitted(
        regressor(loss=loss, quantile=0.9, batch_size=ROWS, max_iter=1), y=y.squeeze(), sample_weight=WEIGHT
    )
    rows = losses.get("mse") if theirs is None else losses.get(theirs)
    start = clone(weighted)
    start.out_activation_ = "identity"
    start._keep(first_weights(start, [6, 8, 5, outputs], np.float64, np.random.RandomState(3)))
    start.n_features_in_ = 6
    p = start._outputs(X)
    values = rows.call(y, p) if isinstance(rows, losses.Loss) else rows(y, p)
    np.testing.assert_allclose(weighted.loss_, np.average(values, weights=WEIGHT), rtol=1e-9)


def test_quantiles_are_quantiles():
    rows = np.zeros((400, 1))
    y = np.random.default_rng(0).exponential(size=400)
    for q in (0.2, 0.9):
        e = fitted(
            regressor(loss="quantile", quantile=q, hidden_layer_sizes=(), batch_size=400, max_iter=3000),
            rows,
            y,
        )
        assert abs(np.mean(y < e.predict(rows[:1])[0]) - q) < 0.02


def test_poisson_as_an_object_has_positive_outputs():
    y = np.exp(NUMBER)
    e = fitted(regressor(loss=losses.Poisson()), y=y)
    assert e.out_activation_ == "exp"
    model = twin(e, last="exponential", loss="poisson")
    assert_alike(e, model, trained(model, y))


CLASSIFICATIONS = [
    (CLASSES, "focal", losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=1.5), "softmax"),
    (BINARY, "focal", losses.BinaryFocalCrossentropy(gamma=1.5), "sigmoid"),
    (CLASSES, losses.CategoricalCrossentropy(label_smoothing=0.1), None, "softmax"),
    (CLASSES, losses.SparseCategoricalCrossentropy(), "categorical_crossentropy", "softmax"),
    (CLASSES, losses.MeanSquaredError(), "mse", "softmax"),
    (CLASSES, Cubed(), None, "softmax"),
    (CLASSES, losses.Dice(axis=None), None, "softmax"),
    (BINARY, losses.BinaryCrossentropy(label_smoothing=0.1), None, "sigmoid"),
    (LABELS, losses.BinaryCrossentropy(), None, "sigmoid"),
]


@pytest.mark.parametrize(("y", "loss", "theirs", "last"), CLASSIFICATIONS)
def test_losses_of_classifiers(y, loss, theirs, last):
    e = fitted(classifier(loss=loss, gamma=1.5), y=y)
    targets = {id(CLASSES): np.eye(3)[Z.argmax(axis=1)], id(BINARY): (BINARY == "yes")[:, None]}
    targets = targets.get(id(y), LABELS).astype(float)
    model = twin(e, targets.shape[1], last, loss=theirs or loss)
    assert_alike(e, model, trained(model, targets))
    np.testing.assert_array_equal(e.predict(X), pickle.loads(pickle.dumps(e)).predict(X))


@pytest.mark.parametrize("y", [CLASSES, BINARY, LABELS])
def test_focal_with_gamma_0_is_the_log_loss(y):
    ours, reference = fitted(classifier(loss="focal", gamma=0), y=y), fitted(classifier(), y=y)
    np.testing.assert_allclose(ours.loss_curve_, reference.loss_curve_, rtol=1e-6)
    for a, b in zip(flat(ours), flat(reference), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("loss", ["absolute_error", "huber", Cubed()])
def test_lbfgs_takes_other_losses(loss):
    e = fitted(regressor(loss=loss, solver="lbfgs", max_iter=200))
    assert e.loss_ < 0.3 * fitted(regressor(loss=loss, max_iter=1)).loss_


def test_a_wrong_gradient_is_told():
    class Wrong(Cubed):
        def gradient(self, y_true, y_pred):
            return -super().gradient(y_true, y_pred)

    with pytest.warns(fastnn.TrainingWarning, match="not the derivative"):
        fitted(regressor(loss=Wrong(), max_iter=1))


@pytest.mark.parametrize("name", sorted(set(optimizers.TABLE) - {"sgd", "adam"}))
def test_solvers_by_name(name):
    e = fitted(regressor(solver=name))
    model = twin(e, optimizer=optimizers.TABLE[name](learning_rate=0.01))
    assert_alike(e, model, trained(model))


MADE = {
    "sgd": lambda: optimizers.SGD(0.02, momentum=0.8),
    "adamw": lambda: optimizers.AdamW(0.02, weight_decay=0.1),
    "averages": lambda: optimizers.Adam(0.02, use_ema=True, ema_momentum=0.9),
    "accumulating": lambda: optimizers.RMSprop(0.02, gradient_accumulation_steps=2),
    "scheduled": lambda: optimizers.Adam(schedules.CosineDecay(0.05, 40)),
    "muon": lambda: optimizers.Muon(0.02),
}


@pytest.mark.parametrize("name", MADE)
def test_optimizers(name):
    given = MADE[name]()
    e = fitted(regressor(solver=given))
    model = twin(e, optimizer=MADE[name]())
    assert_alike(e, model, trained(model))
    again = fitted(clone(e))
    assert_same(e, again)


def test_an_optimizer_spares_what_it_is_told_to():
    given, other = optimizers.AdamW(0.02, weight_decay=0.5), optimizers.AdamW(0.02, weight_decay=0.5)
    given.exclude_from_weight_decay(var_names=["bias"])
    e, model = fitted(regressor(solver=given)), twin(regressor(), optimizer=other)
    other.exclude_from_weight_decay(var_names=["bias"])
    assert_alike(e, model, trained(model))


class Falling(schedules.LearningRateSchedule):
    def __call__(self, step):
        return 0.1 / (1 + step)

    def get_config(self):
        return {}


@pytest.mark.parametrize("schedule", [schedules.ExponentialDecay(0.1, 10, 0.7), Falling()])
@pytest.mark.parametrize("solver", ["sgd", "adam", "rmsprop"])
def test_schedules(schedule, solver):
    e = fitted(regressor(solver=solver, learning_rate=schedule, nesterovs_momentum=False))
    made = {
        "sgd": lambda: optimizers.SGD(schedule, momentum=0.9),
        "adam": lambda: optimizers.Adam(schedule, epsilon=1e-8),
        "rmsprop": lambda: optimizers.RMSprop(schedule),
    }
    model = twin(e, optimizer=made[solver]())
    assert_alike(e, model, trained(model))


@pytest.mark.parametrize("clip", [{"clipnorm": 0.1}, {"clipvalue": 0.02}, {"global_clipnorm": 0.2}])
@pytest.mark.parametrize("solver", ["sgd", "adagrad"])
def test_gradients_are_clipped(clip, solver):
    e = fitted(regressor(solver=solver, momentum=0.0, **clip))
    kind = {"sgd": optimizers.SGD, "adagrad": optimizers.Adagrad}[solver]
    model = twin(e, optimizer=kind(0.01, **clip))
    assert_alike(e, model, trained(model))
    assert not np.allclose(e.loss_curve_, fitted(regressor(solver=solver, momentum=0.0)).loss_curve_)


def test_a_warm_start_with_the_optimizers_memory():
    for solver in ("sgd", "adam", "rmsprop"):
        whole = fitted(regressor(solver=solver, max_iter=20))
        halves = fitted(regressor(solver=solver, max_iter=10, warm_start="optimizer"))
        halves = fitted(pickle.loads(pickle.dumps(halves)))
        assert halves.loss_curve_ == whole.loss_curve_
        for a, b in zip(flat(halves), flat(whole), strict=True):
            np.testing.assert_array_equal(a, b)
        plain = regressor(solver=solver, max_iter=10, warm_start=True)
        fitted(fitted(plain))
        assert plain.loss_curve_[:10] == whole.loss_curve_[:10]
        assert plain.loss_curve_ != whole.loss_curve_
    # what is set between two fits counts
    slower = fitted(regressor(max_iter=10, warm_start="optimizer"))
    fitted(slower.set_params(learning_rate_init=1e-5))
    assert abs(slower.loss_curve_[-1] - slower.loss_curve_[10]) < 1e-3 * slower.loss_curve_[10]
    assert slower.loss_curve_[:10] == fitted(regressor()).loss_curve_[:10]
    fitted(slower.set_params(solver="nadam", learning_rate_init=0.01))
    assert slower.loss_curve_[-1] < slower.loss_curve_[-10]


# ---- validation data ---------------------------------------------------------------------------------------


class Evaluating(Callback):
    """What the estimator as it is says of data after each epoch, by the user's own means."""

    def __init__(self, judge):
        super().__init__()
        self.judge = judge
        self.found, self.logs = [], []

    def on_epoch_end(self, epoch, logs=None):
        self.found.append(self.judge(self.model))
        self.logs.append(dict(logs))


@pytest.mark.parametrize("weight", [None, WEIGHT_VAL])
@pytest.mark.parametrize("early", [False, True, "loss"])
def test_the_validation_curve_is_what_evaluating_says(early, weight):
    def judge(model):
        return (
            log_loss(VAL_CLASSES, model.predict_proba(X_VAL), sample_weight=weight),
            model.score(X_VAL, VAL_CLASSES, sample_weight=weight),
        )

    watching = Evaluating(judge)
    e = classifier(callbacks=[watching], early_stopping=early, alpha=0.7, dropout=0.2, batch_norm=True)
    fitted(e, y=CLASSES, X_val=X_VAL, y_val=VAL_CLASSES, sample_weight_val=weight)
    assert len(e.validation_loss_curve_) == len(e.loss_curve_) == PLAIN["max_iter"]
    expected_loss, expected_score = zip(*watching.found, strict=True)
    np.testing.assert_allclose(e.validation_loss_curve_, expected_loss, rtol=1e-9)
    np.testing.assert_allclose(e.validation_scores_, expected_score, rtol=1e-12)
    assert [sorted(logs) for logs in watching.logs] == [["loss", "val_loss", "val_score"]] * e.n_iter_
    assert [logs["val_loss"] for logs in watching.logs] == e.validation_loss_curve_
    assert e.best_validation_loss_ == min(e.validation_loss_curve_)
    now = judge(e)
    if early == "loss":
        np.testing.assert_allclose(now[0], min(expected_loss), rtol=1e-9)
    elif early:
        assert now[1] == max(expected_score) == e.best_validation_score_
    else:
        np.testing.assert_allclose(now[0], expected_loss[-1], rtol=1e-9)


@pytest.mark.parametrize(
    ("loss", "judge"),
    [
        ("squared_error", lambda y, p: mean_squared_error(y, p) / 2),
        ("absolute_error", mean_absolute_error),
        (Cubed(), lambda y, p: np.mean(np.abs(y - p) ** 3)),
        ("poisson", lambda y, p: sklearn.metrics.mean_poisson_deviance(y, p) / 2),
    ],
)
def test_validation_losses_of_regressors(loss, judge):
    y, y_val = (np.exp(v / 4) for v in (NUMBER, VAL_NUMBER))
    watching = Evaluating(lambda model: judge(y_val, model.predict(X_VAL)))
    e = fitted(regressor(loss=loss, l1=0.1, callbacks=watching), y=y, X_val=X_VAL, y_val=y_val)
    np.testing.assert_allclose(e.validation_loss_curve_, watching.found, rtol=1e-9)


@pytest.mark.parametrize("early", [True, "loss"])
def test_validation_data_take_the_place_of_rows_held_out(early):
    settings = {"early_stopping": early, "validation_fraction": 0.3, "n_iter_no_change": 3, "max_iter": 200}
    e = fitted(classifier(**settings), y=CLASSES)
    generator = np.random.RandomState(PLAIN["random_state"])
    first_weights(e, [6, 8, 5, 3], np.float64, generator)
    one_hot = np.eye(3)[Z.argmax(axis=1)]
    x, x_val, y, y_val, _, _ = train_test_split(
        X, CLASSES, one_hot, random_state=generator, test_size=0.3, stratify=None
    )
    given = fitted(classifier(**settings), x, y, X_val=x_val, y_val=y_val)
    assert_same(e, given)


def test_stopping_on_the_loss():
    settings = {"early_stopping": "loss", "n_iter_no_change": 3, "max_iter": 2000, "tol": 1e-4}
    e = classifier(**settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        e.fit(X, CLASSES, X_val=X_VAL, y_val=VAL_CLASSES)
    curve = np.array(e.validation_loss_curve_)
    assert e.n_iter_ == len(curve) < 2000
    assert (curve[-4:] > curve[:-4].min() - 1e-4).all()
    assert e.best_loss_ is None
    assert e.validation_scores_ is None
    best = fitted(classifier(max_iter=int(curve.argmin()) + 1), y=CLASSES)
    for a, b in zip(flat(e), flat(best), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("early", [False, True, "loss"])
@pytest.mark.parametrize(
    "y", [CLASSES, BINARY, LABELS, NUMBER], ids=["classes", "binary", "labels", "number"]
)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_native_epochs_judge_as_python_does(y, early, solver, monkeypatch):
    """A callback makes Python look at each epoch."""
    kind = regressor if y is NUMBER else classifier
    settings = {"early_stopping": early, "n_iter_no_change": 4, "tol": 1e-3, "max_iter": 150, "alpha": 0.3}
    settings.update(solver=solver, warm_start=True, validation_fraction=0.4)
    if solver == "sgd":
        settings.update(learning_rate="adaptive", learning_rate_init=0.1 if y is not NUMBER else 0.01)
    held = {} if early else {"X_val": X[::3], "y_val": y[::3]}
    if kind is classifier:
        settings["loss"] = "focal" if y is CLASSES else "log_loss"
    by_epoch = kind(**settings, callbacks=[Recording()])
    native = kind(**settings)
    for _ in range(2):
        fitted(by_epoch, y=y, **held)
    if early is not True or y is CLASSES or y is BINARY:  # else there is no native score
        monkeypatch.setattr("fastnn.estimators.validation.Validation.loss", None)
    for _ in range(2):
        fitted(native, y=y, **held)
    assert native.n_iter_ == by_epoch.n_iter_
    assert native.loss_curve_ == by_epoch.loss_curve_
    np.testing.assert_allclose(native.validation_loss_curve_, by_epoch.validation_loss_curve_, rtol=1e-12)
    np.testing.assert_allclose(native.best_validation_loss_, by_epoch.best_validation_loss_, rtol=1e-12)
    if early is True:
        assert native.validation_scores_ == by_epoch.validation_scores_
        assert native.best_validation_score_ == by_epoch.best_validation_score_
    for a, b in zip(flat(native), flat(by_epoch), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("early", [True, "loss"])
def test_divergence_keeps_the_best_weights(early):
    settings = {"activation": "identity", "solver": "sgd", "learning_rate_init": 1e4, "max_iter": 30}
    settings.update(early_stopping=early, alpha=10.0)
    native, by_epoch = classifier(**settings), classifier(**settings, callbacks=[Recording()])
    for e in (native, by_epoch):
        with np.errstate(all="ignore"):
            fitted(e, y=CLASSES)
        assert np.isnan(e.loss_curve_[-1])
        assert e.n_iter_ == 30
    np.testing.assert_array_equal(native.loss_curve_, by_epoch.loss_curve_)
    np.testing.assert_allclose(native.validation_loss_curve_, by_epoch.validation_loss_curve_, rtol=1e-12)
    for a, b in zip(flat(native), flat(by_epoch), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_are_scikit_learns_to_the_bit(dtype):
    """Of outputs that come close, with weights and without, and where all targets are the same."""
    from sklearn.metrics import r2_score

    for targets in (NUMBER, Z, Z.astype(np.float32), np.round(NUMBER).astype(int), np.ones(ROWS)):
        e = fitted(regressor(max_iter=3), X.astype(dtype), targets)
        outputs = e._outputs(X.astype(dtype))
        for weight in (None, WEIGHT):
            ours = e._score(targets.reshape(ROWS, -1), outputs, weight)
            assert ours == r2_score(targets, e.predict(X.astype(dtype)), sample_weight=weight)
    for targets in (CLASSES, BINARY, LABELS):
        e = fitted(classifier(max_iter=5), X.astype(dtype), targets)
        outputs = e._outputs(X.astype(dtype))
        for weight in (None, WEIGHT):
            ours = e._score(e._label_binarizer.transform(targets).astype(bool), outputs, weight)
            assert ours == e.score(X.astype(dtype), targets, sample_weight=weight)


def test_lines_of_validation(capsys):
    for early, word in ((False, "loss"), ("loss", "loss"), (True, "score")):
        e = classifier(verbose=True, early_stopping=early, max_iter=2)
        fitted(e, y=CLASSES, X_val=X_VAL, y_val=VAL_CLASSES)
        lines = capsys.readouterr().out.splitlines()
        assert [line.split("=")[0].split(":")[0] for line in lines] == [
            "Iteration 1, loss ",
            f"Validation {word}",
            "Iteration 2, loss ",
            f"Validation {word}",
        ]


@pytest.mark.parametrize("early", [False, True, "loss"])
def test_validation_data_go_through_pipelines(early):
    shift = np.array([100.0, -3, 0, 5, 2, 1])
    scaler = StandardScaler().fit(X * 7 + shift)
    with sklearn.config_context(enable_metadata_routing=True):
        network = classifier(early_stopping=early)
        network.set_fit_request(X_val=True, y_val=True, sample_weight_val=True)
        pipe = Pipeline([("scale", StandardScaler()), ("mlp", network)], transform_input=["X_val"])
        given = {"X_val": X_VAL * 7 + shift, "y_val": VAL_CLASSES, "sample_weight_val": WEIGHT_VAL}
        fitted(pipe, X * 7 + shift, CLASSES, **given)
    reference = fitted(
        classifier(early_stopping=early),
        scaler.transform(X * 7 + shift),
        CLASSES,
        X_val=scaler.transform(X_VAL * 7 + shift),
        y_val=VAL_CLASSES,
        sample_weight_val=WEIGHT_VAL,
    )
    assert_same(pipe[-1], reference)


def test_validation_data_of_other_kinds():
    from scipy.sparse import csr_array

    dense = fitted(classifier(), y=CLASSES, X_val=X_VAL, y_val=VAL_CLASSES)
    assert_same(fitted(classifier(), csr_array(X), CLASSES, X_val=csr_array(X_VAL), y_val=VAL_CLASSES), dense)
    pd = pytest.importorskip("pandas")
    frame, held = (pd.DataFrame(a, columns=list("uvwxyz")) for a in (X, X_VAL))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        e = classifier().fit(frame, CLASSES, X_val=held, y_val=VAL_CLASSES)
    assert_same(e, dense)
    with pytest.raises(ValueError, match="feature names"):
        classifier().fit(frame, CLASSES, X_val=held[list("zyxwvu")], y_val=VAL_CLASSES)
    labels = fitted(classifier(), y=LABELS, X_val=X, y_val=LABELS)
    p = labels.predict_proba(X)
    rows = -(LABELS * np.log(p) + (1 - LABELS) * np.log(1 - p)).sum(axis=1)
    np.testing.assert_allclose(labels.validation_loss_curve_[-1], rows.mean(), rtol=1e-9)


def test_wrong_validation_data():
    held = {"X_val": X_VAL, "y_val": VAL_CLASSES}
    wrong = [
        ({"X_val": X_VAL}, "given together"),
        ({"y_val": VAL_CLASSES}, "given together"),
        ({"sample_weight_val": WEIGHT_VAL}, "given together"),
        ({**held, "X_val": X_VAL[:, :4]}, "4 features"),
        ({**held, "y_val": VAL_CLASSES[:-1]}, "inconsistent numbers of samples"),
        ({**held, "y_val": np.where(VAL_CLASSES == "a", "new", VAL_CLASSES)}, "classes that y has not"),
        ({**held, "sample_weight_val": WEIGHT}, "sample_weight.shape"),
        ({**held, "X_val": np.where(X_VAL > 2, np.nan, X_VAL)}, "NaN"),
    ]
    for arguments, message in wrong:
        with pytest.raises(ValueError, match=message):
            classifier().fit(X, CLASSES, **arguments)
    with pytest.raises(ValueError, match="y_val has 2 columns, but y has 1"):
        regressor().fit(X, NUMBER, X_val=X_VAL, y_val=np.zeros((31, 2)))
    with pytest.raises(ValueError, match="validation data cannot be used"):
        classifier(solver="lbfgs").fit(X, CLASSES, **held)


# ---- callbacks ---------------------------------------------------------------------------------------------


class Recording(Callback):
    def __init__(self, stop_after=None, on_estimator=None):
        super().__init__()
        self.stop_after, self.on_estimator, self.calls = stop_after, on_estimator, []

    def on_train_begin(self, logs=None):
        self.calls.append("begin")

    def on_train_end(self, logs=None):
        self.calls.append(("end", dict(logs)))

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(epoch)

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append((epoch, dict(logs)))
        if epoch == self.stop_after:
            (self.on_estimator or self.model).stop_training = True


def test_callbacks_are_called_in_their_order():
    watching = Recording()
    e = fitted(regressor(max_iter=3, callbacks=[watching]))
    logs = [{"loss": loss} for loss in e.loss_curve_]
    assert watching.calls == ["begin", 0, (0, logs[0]), 1, (1, logs[1]), 2, (2, logs[2]), ("end", logs[2])]
    assert watching.params == {"verbose": 0, "epochs": 3, "steps": 3}
    assert watching.model is None
    assert_same(e, fitted(regressor(max_iter=3)))


def test_callbacks_end_a_training():
    for on_estimator in (False, True):
        watching = Recording(stop_after=6)
        e = regressor(callbacks=[watching])
        watching.on_estimator = e if on_estimator else None
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            e.fit(X, NUMBER)
        assert e.n_iter_ == len(e.loss_curve_) == 7
        assert watching.calls[-1] == ("end", {"loss": e.loss_})
        assert not hasattr(e, "stop_training")
        watching.on_estimator = None
        assert_same(e, fitted(regressor(max_iter=7)))
        fitted(e, method="partial_fit")
        pickle.loads(pickle.dumps(e))


def test_callbacks_of_the_package():
    history = History()
    stopping = EarlyStopping("val_loss", patience=2, restore_best_weights=True)
    e = regressor(max_iter=400, learning_rate_init=0.05, callbacks=[history, stopping])
    fitted(e, X_val=X_VAL, y_val=VAL_NUMBER)
    assert history.history["loss"] == e.loss_curve_
    assert history.history["val_loss"] == e.validation_loss_curve_
    assert e.n_iter_ < 400
    best = int(np.argmin(e.validation_loss_curve_))
    assert best == e.n_iter_ - 3
    np.testing.assert_allclose(
        mean_squared_error(VAL_NUMBER, e.predict(X_VAL)), e.validation_loss_curve_[best], rtol=1e-9
    )
    history = History()
    lowering = ReduceLROnPlateau("val_loss", patience=1, factor=0.1)
    e = regressor(callbacks=[lowering, history], max_iter=50, learning_rate_init=0.1)
    fitted(e, X_val=X_VAL, y_val=VAL_NUMBER)
    rates = history.history["learning_rate"]
    assert rates[0] == pytest.approx(0.1)
    assert rates[-1] < 0.02
    fixed = regressor(
        callbacks=[ReduceLROnPlateau("loss", patience=0)],
        learning_rate=schedules.CosineDecay(0.1, 9, alpha=0.1),
    )
    with pytest.raises(TypeError, match="follows a schedule"):
        fitted(fixed.set_params(max_iter=300))


def test_what_callbacks_raise():
    class Raising(Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 4:
                raise ZeroDivisionError("of the user's")

    e = regressor(callbacks=[Raising()])
    with pytest.raises(ZeroDivisionError, match="of the user's"):
        e.fit(X, NUMBER)
    assert len(e.loss_curve_) == 5
    for a, b in zip(flat(e), flat(fitted(regressor(max_iter=5))), strict=True):
        np.testing.assert_array_equal(a, b)

    class Batches(Callback):
        def on_train_batch_end(self, batch, logs=None):
            pass

    with pytest.raises(ValueError, match=r"callbacks\[0\], a Batches, has hooks of batches"):
        regressor(callbacks=[Batches()]).fit(X, NUMBER)
    with pytest.raises(TypeError, match="callbacks holds 3"):
        regressor(callbacks=[3]).fit(X, NUMBER)


# ---- many at once, and wrong arguments ---------------------------------------------------------------------

MANY = [
    {"activation": ["tanh", "mish"]},
    {"activation": activations.Custom(cubed, slope_of_cubed)},
    {"dropout": 0.2},
    # biases below it have gradients of 0, whose rounding Adam would make steps of
    {"batch_norm": True, "shuffle": True, "solver": "sgd"},
    {"layer_norm": True, "alpha": 0.1},
    {"l1": 0.2},
    {"loss": "huber", "solver": "rmsprop"},
    {"loss": "quantile", "quantile": 0.8},
    {"loss": Cubed()},
    {"solver": optimizers.AdamW(0.01), "early_stopping": "loss"},
    {"solver": optimizers.Adam(0.01, use_ema=True)},
    {"learning_rate": schedules.CosineDecay(0.05, 50)},
    {"learning_rate": Falling()},
    {"clipnorm": 0.1},
    {"global_clipnorm": 0.1, "hidden_layer_sizes": (4,)},
    {"clipvalue": 0.01, "hidden_layer_sizes": (4,)},
    {"l1": 0.1, "hidden_layer_sizes": (4,)},
    {"dropout": 0.4, "hidden_layer_sizes": (4,)},
    {"callbacks": [Recording(stop_after=9)]},
    {"warm_start": "optimizer"},
    {"layer_norm": True, "solver": "lbfgs"},
]


def test_many_at_once_are_as_they_are_alone():
    """Each twice, so that what could share lanes has somebody to share them with."""
    estimators = [MLPRegressor(**{**PLAIN, "random_state": seed, **more}) for more in MANY for seed in (1, 2)]
    together, alone = [clone(e) for e in estimators], [clone(e) for e in estimators]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for _ in range(2):
            assert fit_many(together, X, NUMBER) == [None] * len(estimators)
            for e in alone:
                e.fit(X, NUMBER)
            for a, b in zip(together, alone, strict=True):
                assert_same(a, b)


def test_many_classifiers_at_once_are_as_they_are_alone():
    options = [{"class_weight": "balanced"}, {"loss": "focal"}, {"loss": losses.Dice(axis=None)}, {}]
    estimators = [classifier(random_state=seed, **more) for more in options for seed in (1, 2)]
    together, alone = [clone(e) for e in estimators], [fitted(clone(e), y=CLASSES) for e in estimators]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit_many(together, X, CLASSES)
    for a, b in zip(together, alone, strict=True):
        assert_same(a, b)


@pytest.mark.parametrize("more", [more for more in MANY if more.get("solver") != "lbfgs"], ids=str)
def test_float32(more):
    single, double = (
        fitted(MLPRegressor(**{**PLAIN, "tol": 1e-4, **clone_of(more)}), X.astype(dtype), NUMBER)
        for dtype in (np.float32, np.float64)
    )
    assert {w.dtype for w in flat(single)} == {np.dtype(np.float32)}
    assert single.predict(X.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(single.loss_curve_, double.loss_curve_, rtol=2e-3)
    np.testing.assert_allclose(single.predict(X), double.predict(X), atol=2e-2)


def clone_of(arguments):
    return {name: clone(value, safe=False) for name, value in arguments.items()}


def test_one_that_raises_does_not_lose_the_others():
    class Raising(Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise ZeroDivisionError

    class Failing(Cubed):
        def loss(self, y_true, y_pred):
            raise ZeroDivisionError

    together = [
        regressor(),
        regressor(callbacks=[Raising()]),
        regressor(loss=Failing()),
        regressor(dropout=0.1),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        errors = fit_many(together, X, NUMBER, on_error="return")
    assert [type(error) for error in errors] == [type(None), ZeroDivisionError, ZeroDivisionError, type(None)]
    assert_same(together[3], fitted(regressor(dropout=0.1)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activation": "softmaxx"}, "'activation' parameter of MLPRegressor must be"),
        ({"solver": "newton"}, "'solver' parameter of MLPRegressor must be"),
        ({"learning_rate": 0.1}, "'learning_rate' parameter"),
        ({"loss": "hubert"}, "'loss' parameter"),
        ({"quantile": 1.0}, "'quantile' parameter"),
        ({"dropout": 1.0}, "'dropout' parameter"),
        ({"batch_norm": 2}, "'batch_norm' parameter"),
        ({"l1": -1.0}, "'l1' parameter"),
        ({"clipnorm": 0.0}, "'clipnorm' parameter"),
        ({"warm_start": "weights"}, "'warm_start' parameter"),
        ({"early_stopping": "score"}, "'early_stopping' parameter"),
        ({"callbacks": "history"}, "'callbacks' parameter"),
    ],
)
def test_wrong_values(arguments, message):
    with pytest.raises(InvalidParameterError, match=message):
        regressor(**arguments).fit(X, NUMBER)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activation": ["relu"]}, "activation has 1 items for 2 hidden layers"),
        ({"activation": ["relu", "rely"]}, r"activation\[1\] must be one of .*'relu'.*, got 'rely'"),
        ({"activation": ["relu", 3]}, r"activation\[1\]"),
        ({"dropout": [0.1]}, "dropout has 1 items for 2 hidden layers"),
        ({"dropout": [0.1, 1.5]}, r"dropout\[1\] must be a number in \[0, 1\), got 1.5"),
        ({"batch_norm": True, "layer_norm": True}, "choose one"),
        ({"clipnorm": 1.0, "clipvalue": 1.0}, "only one of clipnorm"),
        ({"clipnorm": 1.0, "solver": optimizers.SGD()}, r"write SGD\(clipnorm=1.0\)"),
        ({"solver": "lbfgs", "dropout": 0.5, "callbacks": [History()]}, "dropout, callbacks cannot be used"),
        ({"solver": "lbfgs", "batch_norm": True}, "batch_norm cannot be used"),
        ({"loss": losses.BinaryCrossentropy(from_logits=True)}, "from_logits=False"),
        ({"loss": losses.Quantile([0.1, 0.9])}, "quantiles"),
        ({"loss": losses.Huber(reduction="none")}, "reduction"),
    ],
)
def test_what_does_not_go_together(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        regressor(**arguments).fit(X, NUMBER)


def test_losses_that_classifiers_refuse():
    with pytest.raises(ValueError, match="takes class numbers"):
        classifier(loss=losses.SparseCategoricalCrossentropy()).fit(X, BINARY)
    with pytest.raises(NotImplementedError, match="gradient"):
        classifier(loss=lambda y, p: 0).fit(X, BINARY)


FAST = {"max_iter": 40, "hidden_layer_sizes": (20,), "learning_rate_init": 0.02}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [
        MLPClassifier(layer_norm=True, activation=["gelu"], loss="focal", gamma=0.5, l1=1e-4, **FAST),
        MLPRegressor(loss="huber", layer_norm=True, solver="nadam", clipnorm=5.0, **FAST),
    ]
)
def test_scikit_learns_checks(estimator, check):
    run_check(estimator, check)
