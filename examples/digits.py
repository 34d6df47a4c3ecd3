"""Handwritten digits, 8 by 8 pixels: 64-64-10, and the curves of its training.

Run it: ``python examples/digits.py [digits.png]``
"""

import sys

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import fastnn as keras

EPOCHS = 100
BATCH_SIZE = 32


def load():
    """1437 images to train on, 360 to test with, the same share of each digit in both; pixels from 0 to 1."""
    x, y = load_digits(return_X_y=True)
    return train_test_split(x / 16, y, test_size=0.2, random_state=42, stratify=y)


def build():
    model = keras.Sequential(
        [
            keras.Input(shape=(64,)),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    # Adam's default rate: 0.001
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def train(seed=0, verbose=0):
    """Train; the ``History`` and ``(loss, accuracy)`` on the test images."""
    x_train, x_test, y_train, y_test = load()
    keras.utils.set_random_seed(seed)
    model = build()
    history = model.fit(
        x_train,
        y_train,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        validation_data=(x_test, y_test),
        verbose=verbose,
    )
    return history, model.evaluate(x_test, y_test, verbose=0)


def main(path="digits.png"):
    history, (loss, accuracy) = train()
    print(f"test images: loss {loss:.4f}, accuracy {accuracy:.4f}")
    history.plot().savefig(path)
    print(f"curves drawn into {path}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
