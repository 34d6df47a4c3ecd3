"""A line through noisy points: the smallest network there is, one weight and one bias.

Run it: ``python examples/line_fit.py [line_fit.png]``
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.utils import set_random_seed

POINTS = 128
NOISE = 0.3
EPOCHS = 1000  # with the default rate of "sgd", 0.01, and the default batch of 32 rows


def points(seed=0):
    """Points of y = 2x + 3 with noise; both arrays one-dimensional."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, POINTS)
    return x, 2 * x + 3 + rng.normal(0, NOISE, POINTS)


def fit_line(x, y, seed=0, verbose=0):
    """The slope and the intercept that training finds."""
    set_random_seed(seed)
    model = Sequential([Dense(1, input_shape=(1,))])
    model.compile(optimizer="sgd", loss="mean_squared_error")
    model.fit(x, y, epochs=EPOCHS, verbose=verbose)
    kernel, bias = model.get_weights()
    return kernel.item(), bias.item()


def draw(x, y, slope, intercept, path):
    """The points and the line, as a PNG."""
    figure, axes = plt.subplots()
    axes.scatter(x, y, s=12, label="points")
    ends = np.array([x.min(), x.max()])
    axes.plot(ends, slope * ends + intercept, color="tab:red", label=f"y = {slope:.3f} x + {intercept:.3f}")
    axes.set(xlabel="x", ylabel="y")
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(path="line_fit.png"):
    x, y = points()
    slope, intercept = fit_line(x, y)
    print(f"fastnn:     y = {slope:.4f} x + {intercept:.4f}")
    print("np.polyfit: y = {:.4f} x + {:.4f}".format(*np.polyfit(x, y, 1)))
    draw(x, y, slope, intercept, path)
    print(f"drawn into {path}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
