"""The five jobs of the demonstration, each written as a user would write it."""

from __future__ import annotations

import csv
from importlib import resources
from pathlib import Path

import numpy as np

import fastnn as keras
from fastnn._demo.report import Result, fit, fit_with_keras_lines, table
from fastnn.layers import Dense

XOR_X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype="float32")
XOR_Y = np.array([[0], [1], [1], [0]], dtype="float32")
PLOT_NAME = "fastnn-line.png"


def run(seed: int = 0, plots: str | None = ".") -> list[Result]:
    """Run all jobs, print their progress and a closing table.

    Parameters
    ----------
    seed : int
        Seed of the weights, the shuffles and the made-up data.
    plots : str, optional
        The directory for the picture of the fitted line; None to draw nothing.

    Returns
    -------
    list of Result
        The lines of the table.
    """
    if plots is not None and not Path(plots).is_dir():
        raise ValueError(f"--plots: there is no directory {plots!r}.")
    notes: list[str] = []
    jobs = [
        ("XOR: five tanh units, plain gradient descent", xor_tanh),
        ("XOR: three sigmoid units, gradient descent with momentum", xor_sigmoid),
        ("A table of 1000 rows and 8 columns, two classes", synthetic_table),
        ("Iris: three species from four measurements", iris),
        ("A straight line through 100 noisy points of y = 2x + 3", lambda seed: line(seed, plots, notes)),
    ]
    results = []
    for number, (title, job) in enumerate(jobs, start=1):
        print(f"\n[{number}/{len(jobs)}] {title}", flush=True)
        results.append(job(seed))
    print("", *notes, "", table(results), sep="\n")
    return results


def xor_result(model) -> str:
    """Say how many of the four rows a trained model gets right."""
    right = int(np.sum((model.predict(XOR_X, verbose=0) > 0.5) == (XOR_Y > 0.5)))
    return f"{right} of 4 rows right"


def xor_tanh(seed: int) -> Result:
    """XOR with as little as possible: plain gradient descent on a squared error."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([Dense(5, input_dim=2, activation="tanh"), Dense(1, activation="sigmoid")])
    model.compile(optimizer=keras.optimizers.SGD(learning_rate=1.0), loss="mse")
    result = fit(model, XOR_X, XOR_Y, job="XOR, tanh", epochs=5000, batch_size=4)
    result.result = xor_result(model)
    return result


def xor_sigmoid(seed: int) -> Result:
    """XOR with sigmoids throughout, which momentum makes quick."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([Dense(3, input_dim=2, activation="sigmoid"), Dense(1, activation="sigmoid")])
    model.compile(optimizer=keras.optimizers.SGD(learning_rate=1.0, momentum=0.9), loss="mse")
    result = fit(model, XOR_X, XOR_Y, job="XOR, sigmoid", epochs=5000, batch_size=4)
    result.result = xor_result(model)
    return result


def synthetic_table(seed: int) -> Result:
    """Two classes, divided by a curved boundary."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((1500, 8)).astype("float32")
    y = (x[:, 0] + x[:, 1] * x[:, 2] + 0.5 * x[:, 3] ** 2 > 0.5).astype("float32")
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([Dense(10, input_dim=8, activation="relu"), Dense(1, activation="sigmoid")])
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="binary_crossentropy", metrics=["accuracy"])
    result = fit_with_keras_lines(model, x[:1000], y[:1000], job="table", epochs=20, batch_size=32)
    _, accuracy = model.evaluate(x[1000:], y[1000:], verbose=0)
    result.result = f"accuracy {accuracy:.3f} on 500 other rows"
    return result


def load_iris() -> tuple[np.ndarray, np.ndarray]:
    """Return the measurements (150, 4) and the class numbers (150,) of Fisher's irises."""
    text = resources.files("fastnn._demo").joinpath("iris.csv").read_text(encoding="utf-8")
    rows = list(csv.reader(text.splitlines()))[1:]
    names = sorted({row[-1] for row in rows})
    x = np.array([row[:-1] for row in rows], dtype="float32")
    y = np.array([names.index(row[-1]) for row in rows], dtype="int64")
    return x, y


def iris(seed: int) -> Result:
    """Iris, scaled by the mean and deviation of the rows that are trained on."""
    x, y = load_iris()
    order = np.random.default_rng(seed).permutation(len(x))
    test, train = order[:30], order[30:]
    mean, deviation = x[train].mean(axis=0), x[train].std(axis=0)
    x = (x - mean) / deviation
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([Dense(4, input_dim=4, activation="relu"), Dense(3, activation="softmax")])
    model.compile(
        optimizer=keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    result = fit(model, x[train], y[train], job="Iris", epochs=100, batch_size=10)
    _, accuracy = model.evaluate(x[test], y[test], verbose=0)
    result.result = f"accuracy {accuracy:.3f} on 30 other rows"
    return result


def line(seed: int, plots: str | None, notes: list[str]) -> Result:
    """A straight line beside that of least squares; ``notes`` get what became of its picture."""
    rng = np.random.default_rng(seed)
    x = np.linspace(-1, 1, 100, dtype="float32").reshape(-1, 1)
    y = 2 * x[:, 0] + 3 + rng.normal(scale=0.2, size=100).astype("float32")
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([Dense(1, input_shape=(1,))])
    model.compile(optimizer="sgd", loss="mse")
    result = fit(model, x, y, job="line", epochs=1000, batch_size=32)
    kernel, bias = (float(np.ravel(w)[0]) for w in model.get_weights())
    slope, offset = np.polyfit(x[:, 0], y, 1)
    result.result = f"y = {kernel:.3f}x + {bias:.3f} (least squares: {slope:.3f}x + {offset:.3f})"
    notes.append(draw_line(x, y, model.predict(x, verbose=0), plots))
    return result


def draw_line(x, y, fitted, plots: str | None) -> str:
    """Draw points and line where that is wanted and possible; return a sentence that says what was done."""
    if plots is None:
        return "Skipped: the picture of the line, as --no-plots asks."
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return "Skipped: the picture of the line, as matplotlib is not installed."
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(x[:, 0], y, s=12, label="points")
    axes.plot(x[:, 0], fitted[:, 0], color="tab:red", label="fitted line")
    axes.set(xlabel="x", ylabel="y")
    axes.legend()
    path = Path(plots, PLOT_NAME)
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        return f"Skipped: the picture of the line could not be written: {error}"
    return f"Drew the line into {path}."
