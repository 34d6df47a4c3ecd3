"""The programs in examples/: each runs by itself, and does what it claims."""

import importlib.util
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import oracle
import pytest
from oracle import Net

import fastnn as keras

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
NAMES = [
    "xor_from_scratch",
    "xor_sigmoid",
    "binary_tabular",
    "iris",
    "line_fit",
    "digits",
    "real_time_inference",
    "policy_gradient",
    "explain_decision",
    "pipeline_validation",
    "grid_search",
    "optuna_search",
    "dask_search",
    "ensemble_intervals",
    "c_export",
]
STARTS_PROCESSES = ["dask_search"]
SEEDS = range(20)


def load(name):
    for needed in {
        "binary_tabular": ["sklearn"],
        "iris": ["sklearn"],
        "digits": ["sklearn", "matplotlib"],
        "line_fit": ["matplotlib"],
        "explain_decision": ["sklearn"],
        "pipeline_validation": ["sklearn"],
        "grid_search": ["sklearn"],
        "optuna_search": ["sklearn", "optuna"],
        "dask_search": ["sklearn", "dask.distributed"],
        "ensemble_intervals": ["sklearn"],
    }.get(name, []):
        pytest.importorskip(needed)
    if name == "c_export" and not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("needs a C compiler")
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_examples_are_here():
    assert sorted(p.stem for p in EXAMPLES.glob("*.py")) == sorted(NAMES)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in STARTS_PROCESSES else name for name in NAMES],
)
def test_runs_by_itself(name, tmp_path):
    load(name)
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "MPLBACKEND": "Agg"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert "Traceback" not in done.stderr
    pictures = {"line_fit": "line_fit.png", "digits": "digits.png"}
    if name in pictures:
        assert (tmp_path / pictures[name]).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    else:
        assert not list(tmp_path.iterdir())


XOR = np.array([[0], [1], [1], [0]])


def right(predictions):
    """All four rows on the right side, and clearly so."""
    predictions = np.asarray(predictions)
    assert predictions.shape == (4, 1)
    return bool(((predictions > 0.5) == (XOR > 0.5)).all() and np.abs(predictions - 0.5).min() > 0.1)


def test_xor_from_scratch_is_right_for_every_seed():
    example = load("xor_from_scratch")
    wrong = [seed for seed in SEEDS if not right(example.train(seed)[0])]
    assert not wrong
    losses = example.train(0)[1]
    assert len(losses) == example.EPOCHS
    assert losses[-1] < 0.1 * losses[0]


def test_xor_from_scratch_has_the_class_that_was_asked_for():
    example = load("xor_from_scratch")
    network = example.NeuralNetwork(2, 5, 1)
    out = network.forward(example.X)
    assert network.loss(example.Y, out) == pytest.approx(np.mean((out - example.Y) ** 2))
    network.backward(example.X, example.Y)
    network.update_weights(0.1)
    assert network.loss(example.Y, network.forward(example.X)) < np.mean((out - example.Y) ** 2)
    network.train(example.X, example.Y, epochs=3, learning_rate=0.1)


def test_xor_from_scratch_gradients():
    """backward() is the derivative of loss(forward())."""
    from support import central_differences

    example = load("xor_from_scratch")
    network = example.NeuralNetwork(2, 5, 1, seed=3)
    weights = [network.w1, network.b1, network.w2, network.b2]
    network.forward(example.X)
    network.backward(example.X, example.Y)
    want = central_differences(lambda: network.loss(example.Y, network.forward(example.X)), weights)
    for got, expected in zip((network.dw1, network.db1, network.dw2, network.db2), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)


def test_xor_sigmoid_is_right_for_every_seed():
    example = load("xor_sigmoid")
    assert not [seed for seed in SEEDS if not right(example.train(seed))]


def test_xor_sigmoid_prints_its_loss_now_and_then(capsys):
    load("xor_sigmoid").main()
    lines = capsys.readouterr().out.splitlines()
    assert sum("loss" in line for line in lines) >= 3
    assert sum("xor" in line for line in lines) == 4


def test_iris_is_as_good_as_the_oracle():
    """Mean accuracy over 20 seeds >= 0.91, and within 0.01 of NumPy from the same weights and row orders."""
    example = load("iris")
    assert np.mean([example.train(seed)[1] for seed in SEEDS]) >= 0.91

    x, y, x_test, y_test = example.load()
    ours, theirs = [], []
    for seed in SEEDS:
        keras.utils.set_random_seed(seed)
        model, rng = example.build(), np.random.default_rng(seed)
        twin = Net([(4, "relu", True), (3, "softmax", True)], model.get_weights())
        orders = [rng.permutation(len(x)) for _ in range(example.EPOCHS)]
        for order in orders:
            model.fit(x[order], y[order], epochs=1, batch_size=example.BATCH_SIZE, shuffle=False, verbose=0)
        twin.fit(
            "sparse_categorical_crossentropy",
            oracle.Adam(),
            x,
            y[:, None],
            batch_size=example.BATCH_SIZE,
            orders=orders,
        )
        ours.append(model.evaluate(x_test, y_test, verbose=0)[1])
        theirs.append(np.mean(twin.predict(x_test).argmax(axis=1) == y_test))
    assert np.mean(ours) >= 0.91
    assert abs(np.mean(ours) - np.mean(theirs)) <= 0.01


def test_line_fit_is_least_squares():
    example = load("line_fit")
    for seed in range(3):
        x, y = example.points(seed)
        assert y.ndim == 1
        np.testing.assert_allclose(example.fit_line(x, y, seed), np.polyfit(x, y, 1), atol=0.01)


def test_binary_tabular():
    example = load("binary_tabular")
    history = example.train_synthetic("labels").history
    assert history["accuracy"][-1] > 0.9
    assert history["loss"][-1] < 0.6 * history["loss"][0]
    # Targets uniform in [0, 1] hold nothing to learn but their mean: ln 2 is the floor, and it is reached.
    history = example.train_synthetic("uniform").history
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][-1] < min(history["loss"][0], 0.70)
    assert example.train_breast_cancer()[1] >= 0.95


def test_real_time_inference_stays_near_the_spring():
    example = load("real_time_inference")
    worst, seconds = example.follow(example.train(), ticks=500)
    assert worst < 0.2  # the path itself goes from -1 to 1
    assert 0 < seconds < 1e-3


@pytest.mark.parametrize(
    "seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)]
)
def test_digits(seed):
    history, (_, accuracy) = load("digits").train(seed)
    assert accuracy >= 0.97
    assert history.history["val_accuracy"][-1] == pytest.approx(accuracy)


def test_policy_gradient_learns_to_balance():
    example = load("policy_gradient")
    for seed in range(2):
        model, lasted = example.train(seed, rounds=60)
        assert np.mean(lasted[:3]) < 40
        assert np.mean(lasted[-10:]) > 120
        _, _, lengths = example.play(model, np.random.default_rng(99), episodes=50)
        assert lengths.mean() > 120


def test_policy_gradient_worth_of_steps():
    example = load("policy_gradient")
    worth = example.returns(np.array([3, 1]), 4)
    discount = example.DISCOUNT
    want = [[1 + discount + discount**2, 1], [1 + discount, 0], [1, 0], [0, 0]]
    np.testing.assert_allclose(worth, want)


def test_policy_gradient_carts_fall_without_a_policy():
    example = load("policy_gradient")
    carts = example.CartPoles(3, np.random.default_rng(0))
    up = [carts.push(np.array([1, 0, i % 2])) for i in range(100)]
    assert not up[30][:2].any()
    assert up[5].all()


def test_explain_decision_finds_what_decides():
    """Of six columns the second and the fourth decide, with opposite signs."""
    example = load("explain_decision")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 6)).astype("float32")
    y = (2 * x[:, 1] - x[:, 3] > 0).astype("int64")
    model = example.fit(x, y)
    lost = example.needed(model, x[:200], y[:200])
    assert set(np.argsort(lost)[-2:]) == {1, 3}
    assert example.accuracy(model, x, y) > 0.95
    row = np.array([0.1, 1, 0.1, -1, 0.1, 0.1], dtype="float32")
    pushed = example.pushes(model, row)
    assert pushed[1] > pushed[3] > 5 * np.abs(pushed[[0, 2, 4, 5]]).max()
    assert (example.pushes(model, -row)[[1, 3]] < 0).all()


def test_pipeline_validation_stops_where_other_rows_say():
    example = load("pipeline_validation")
    pipe, accuracy = example.train()
    trained = pipe["network"]
    assert accuracy > 0.85
    assert trained.n_iter_ < trained.max_iter
    assert trained.best_validation_loss_ == min(trained.validation_loss_curve_)
    assert trained.coefs_[0].shape == (2 + len(example.CITIES) + len(example.PLANS), 32)


def test_grid_search_finds_what_scikit_learns_search_finds():
    from sklearn.model_selection import GridSearchCV

    example = load("grid_search")
    x, x_test, y, y_test = example.load()
    grid = {**example.GRID, "network__alpha": [1e-2], "network__hidden_layer_sizes": [(4,), (16,)]}
    found = example.search(x, y, grid)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = GridSearchCV(example.pipeline(), grid, cv=5).fit(x, y)
    np.testing.assert_array_equal(
        found.cv_results_["mean_test_score"], reference.cv_results_["mean_test_score"]
    )
    assert found.best_score_ > 0.95
    assert found.score(x_test, y_test) > 0.93


def test_optuna_search_ends_trials_early():
    example = load("optuna_search")
    study = example.search(trials=25)
    states = [trial.state.name for trial in study.trials]
    assert set(states) == {"COMPLETE", "PRUNED"}
    ended = study.trials[states.index("PRUNED")]
    assert example.FIRST_LOOK <= len(ended.intermediate_values) < example.EPOCHS
    assert study.best_value < 0.15


@pytest.mark.slow
def test_dask_search_gives_the_same_bits_and_keeps_to_a_share_of_the_cores():
    example = load("dask_search")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(120, 5)), rng.integers(0, 3, 120)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, threads = example.on_a_cluster(x, y)
        alone = example.search(x, y)
    assert threads == [1] * example.PROCESSES
    np.testing.assert_array_equal(found.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])
    for a, b in zip(found.best_estimator_.coefs_, alone.best_estimator_.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


def test_ensemble_intervals_hold_nine_tenths():
    example = load("ensemble_intervals")
    ways = example.ways()
    assert len(ways) == 2 + (importlib.util.find_spec("crepes") is not None)
    # what one would say knowing nothing of a patient
    y = np.concatenate([example.load(split)[1] * example.load(split)[4] for split in range(3)])
    blind = np.subtract(*np.quantile(y, [0.95, 0.05]))
    for name, way in ways.items():
        judged = np.mean([example.judge(way, split) for split in range(3)], axis=0)
        assert 0.84 < judged[0] < 0.95, (name, judged)
        assert judged[1] < 0.85 * blind, (name, judged, blind)


def test_c_export_answers_as_predict_does(tmp_path):
    example = load("c_export")
    model = example.train()
    x, y = example.measure(300, seed=2)
    found = example.ask(example.build(model, tmp_path), x)
    np.testing.assert_allclose(
        found, model.predict(x, verbose=0), rtol=1e-6, atol=2e-5
    )  # at up to 70 degrees
    assert np.abs(found - y).max() < np.abs(example.uncorrected(x) - y).max() / 5
