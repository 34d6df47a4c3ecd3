"""Predictions in real time: a surrogate of a damped spring, asked once a tick, half a microsecond each.

Run it: ``python examples/real_time_inference.py``
"""

import time

import numpy as np

import fastnn as keras

STEP = 0.05  # seconds that one prediction looks ahead
TICKS = 2000


def spring(state, push):
    """Position and velocity of a damped spring after one step: what the model learns."""
    position, velocity = state[..., 0], state[..., 1]
    acceleration = push - 2.0 * position - 0.3 * velocity - 0.5 * position**3
    velocity = velocity + STEP * acceleration
    return np.stack([position + STEP * velocity, velocity], axis=-1)


def train(seed=0):
    """A model of the change in one step, from position, velocity and push."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, size=(20_000, 3)).astype("float32")
    y = ((spring(x[:, :2], x[:, 2]) - x[:, :2]) / STEP).astype("float32")
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input(shape=(3,)),
            keras.layers.Dense(64, activation="tanh"),
            keras.layers.Dense(64, activation="tanh"),
            keras.layers.Dense(2),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(learning_rate=0.002), loss="mse")
    model.fit(x, y, epochs=30, batch_size=64, verbose=0)
    return model


def follow(model, ticks=TICKS):
    """Largest distance of the model's own path from the spring's, and the median seconds of a prediction."""
    predictor = model.predictor()
    row, change = np.zeros(3, "float32"), np.zeros(2, "float32")
    true, seconds, worst = np.array([1.0, 0.0]), [], 0.0
    row[:2] = true
    for tick in range(ticks):
        row[2] = push = np.sin(0.1 * tick)
        began = time.perf_counter()
        predictor(row, change)  # reads row, writes change: nothing is allocated
        seconds.append(time.perf_counter() - began)
        row[:2] += STEP * change
        true = spring(true, push)
        worst = max(worst, float(np.abs(row[:2] - true).max()))
    return worst, float(np.median(seconds))


def main():
    worst, seconds = follow(train())
    print(f"{TICKS} ticks, each from the model's own last state: never off by more than {worst:.3f}")
    print(f"median prediction {seconds * 1e6:.2f} µs")


if __name__ == "__main__":
    main()
