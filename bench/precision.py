"""What bfloat16 does to training: loss curves and final accuracy against float32, over several seeds.

    python -m bench.precision              # the tables of docs/precision.md; needs scikit-learn
    python -m bench.precision --seeds 2    # fewer
    python -m bench.precision --speed      # times of a step instead, on one thread and on all cores

Both precisions start from the same weights and see the same rows in the same order, so that a difference
is rounding's.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import fastnn as keras
from bench import machine
from bench.peers.fastnn_peer import FastnnPeer
from bench.workloads import WORKLOADS
from fastnn.kernels import runtime
from fastnn.kernels.machine import measure_peak


class Task(NamedTuple):
    """A data set, the network for it and how it is trained."""

    data: Callable[[], tuple[Any, Any]]
    hidden: tuple[int, ...]
    outputs: int
    activation: str
    loss: str
    metric: str
    epochs: int
    batch: int


def digits():
    """scikit-learn's 1797 handwritten digits of 8 x 8 pixels, scaled to [0, 1]."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x / 16, y


def clusters():
    """12,000 points of 40 columns in 10 classes of 3 clusters each, 5 % of the labels at random."""
    rng = np.random.default_rng(1)
    centre = rng.normal(size=(30, 40)) * 1.1
    which = rng.integers(0, 30, size=12_000)
    y = np.where(rng.random(12_000) < 0.05, rng.integers(0, 10, size=12_000), which % 10)
    return centre[which] + rng.normal(size=(12_000, 40)) * 1.5, y


def surface():
    """12,000 points of 20 columns and a smooth, interacting function of them with a noise of 0.1."""
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, size=(12_000, 20))
    y = 2 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 4 * (x[:, 2] - 0.5) ** 2 + 2 * x[:, 3] + x[:, 4] * x[:, 5]
    y = (y - y.mean()) / y.std()
    return x, y + 0.1 * rng.normal(size=len(y))


CLASSES = ("softmax", "sparse_categorical_crossentropy", "accuracy")
VALUES = ("linear", "mean_squared_error", "mean_absolute_error")
TASKS = {
    "digits": Task(digits, (128, 64), 10, *CLASSES, 30, 32),
    "clusters": Task(clusters, (256, 128), 10, *CLASSES, 10, 64),
    "surface": Task(surface, (256, 128), 1, *VALUES, 40, 64),
}


def train(task: Task, x: Any, y: Any, seed: int, precision: str) -> dict[str, list[float]]:
    """Train on four fifths of the rows, validate on the rest; return the history."""
    order = np.random.default_rng(seed).permutation(len(x))
    x, y = x[order].astype("float32"), y[order]
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(units, activation="relu") for units in task.hidden]
    model = keras.Sequential([*layers, keras.layers.Dense(task.outputs, activation=task.activation)])
    model.compile(optimizer="adam", loss=task.loss, metrics=[task.metric], precision=precision)
    return model.fit(x, y, batch_size=task.batch, epochs=task.epochs, validation_split=0.2, verbose=0).history


def mean_and_spread(values: Any) -> str:
    return f"{np.mean(values):.4f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.4f}"


def speed(rounds: int = 9) -> None:
    """Print the best times of a step, float32 and bfloat16 in turn."""
    print("| network, batch | threads | float32 (µs a step) | bfloat16 | times faster | % of the peak |")
    print("|---|---|---|---|---|---|")
    for threads in sorted({1, machine.cores()}):
        peak = measure_peak("bfloat16", 0.2, threads)
        for key in ("W4", "W5", "W6", "W7", "W8"):
            workload = WORKLOADS[key]
            x, y = workload.data(8 * workload.batch)
            best = {}
            peers = {precision: FastnnPeer(workload, x, y, threads) for precision in (None, "bfloat16")}
            for precision, peer in peers.items():
                peer.model.compile(optimizer="adam", loss=workload.loss, precision=precision)
                peer.fit(1)
                best[precision] = float("inf")
            epochs = max(1, round(0.1 * peak / 8 / workload.flops / 4))
            for _ in range(rounds):
                for precision, peer in peers.items():
                    start = time.perf_counter()
                    peer.fit(epochs)
                    best[precision] = min(best[precision], (time.perf_counter() - start) / epochs / 8)
            full, reduced = best[None], best["bfloat16"]
            print(
                f"| {workload.network}, {workload.batch} | {threads} | {full * 1e6:.1f} "
                f"| {reduced * 1e6:.1f} | {full / reduced:.2f} | {workload.flops / reduced / peak:.0%} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--speed", action="store_true")
    arguments = parser.parse_args()
    if arguments.speed:
        speed()
        return
    seeds = arguments.seeds
    print(f"{seeds} seeds; bfloat16 products: {runtime.bfloat16_kind()}\n")
    final, curves = [], []
    for name, task in TASKS.items():
        x, y = task.data()
        runs = {p: [train(task, x, y, s, p) for s in range(seeds)] for p in ("float32", "bfloat16")}
        score = f"val_{task.metric}"
        for precision, histories in runs.items():
            columns = [
                mean_and_spread([h[key][-1] for h in histories]) for key in ("loss", "val_loss", score)
            ]
            final.append(f"| {name} | {precision} | " + " | ".join(columns) + " |")
        pairs = list(zip(runs["bfloat16"], runs["float32"], strict=True))
        apart = mean_and_spread([b[score][-1] - f[score][-1] for b, f in pairs])
        final.append(f"| {name} | difference, seed by seed | | | {apart} |")
        epochs = [e for e in (1, 2, 5, 10, 20, 40) if e <= task.epochs]
        for precision, histories in runs.items():
            losses = [f"{np.mean([h['loss'][e - 1] for h in histories]):.4f}" for e in epochs]
            curves.append(f"| {name} | {precision} | " + " | ".join(losses + [""] * (6 - len(epochs))) + " |")
        worst = max(
            abs(b / f - 1) for bs, fs in pairs for b, f in zip(bs["loss"][:5], fs["loss"][:5], strict=True)
        )
        curves.append(f"| {name} | largest difference of a seed in epochs 1 to 5 | {worst:.2%} | | | | | |")
    print("| data | precision | loss, last epoch | validation loss | accuracy (surface: absolute error) |")
    print("|---|---|---|---|---|")
    print("\n".join(final))
    print("\n| data | loss after epoch | 1 | 2 | 5 | 10 | 20 | 40 |\n|---|---|---|---|---|---|---|---|")
    print("\n".join(curves))


if __name__ == "__main__":
    main()
