"""Three species of iris told apart by four lengths: 4-4-3, the classic first classifier.

Run it: ``python examples/iris.py``
"""

from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import fastnn as keras

EPOCHS = 100
BATCH_SIZE = 10


def load():
    """120 rows to train on and 30 to test with, each feature scaled by what the training rows show of it."""
    x, y = load_iris(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=42)
    scaler = StandardScaler().fit(x_train)
    return scaler.transform(x_train), y_train, scaler.transform(x_test), y_test


def build():
    model = keras.Sequential(
        [
            keras.Input(shape=(4,)),
            keras.layers.Dense(4, activation="relu"),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    # The species come as 0, 1 and 2: "sparse". Adam's default rate is 0.001.
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def train(seed=0, verbose=0):
    """Train on the training rows; ``(loss, accuracy)`` on the test rows."""
    x_train, y_train, x_test, y_test = load()
    keras.utils.set_random_seed(seed)
    model = build()
    model.fit(x_train, y_train, epochs=EPOCHS, batch_size=BATCH_SIZE, verbose=verbose)
    return model.evaluate(x_test, y_test, verbose=0)


def main():
    loss, accuracy = train(verbose=2)
    print(f"test rows: loss {loss:.4f}, accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
