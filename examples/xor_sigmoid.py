"""XOR with the Model API: 2-3-1, sigmoid in both layers, mean squared error, plain gradient descent.

Run it: ``python examples/xor_sigmoid.py``
"""

import numpy as np

import fastnn as keras

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype="float32")
Y = np.array([[0], [1], [1], [0]], dtype="float32")

LEARNING_RATE = 9.0  # a sigmoid behind a sigmoid passes back only a sixteenth of the error at most
EPOCHS = 3000
PRINT_EVERY = 500


class PrintLoss(keras.callbacks.Callback):
    """Prints the loss every ``PRINT_EVERY`` epochs."""

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % PRINT_EVERY == 0:
            print(f"epoch {epoch + 1:5d}   loss {logs['loss']:.5f}")


def build():
    # Wide ranges may start a hidden unit where its sigmoid is flat, and it never gets away.
    def small():
        return keras.initializers.RandomUniform(minval=-0.5, maxval=0.5)

    model = keras.Sequential(
        [
            keras.Input(shape=(2,)),
            keras.layers.Dense(3, activation="sigmoid", kernel_initializer=small()),
            keras.layers.Dense(1, activation="sigmoid", kernel_initializer=small()),
        ]
    )
    model.compile(optimizer=keras.optimizers.SGD(learning_rate=LEARNING_RATE), loss="mean_squared_error")
    return model


def train(seed=0, callbacks=None):
    """Train on the four rows at once; the predictions, shape (4, 1)."""
    keras.utils.set_random_seed(seed)
    model = build()
    model.fit(X, Y, batch_size=4, epochs=EPOCHS, verbose=0, callbacks=callbacks)
    return model.predict(X, verbose=0)


def main():
    predictions = train(callbacks=[PrintLoss()])
    for (a, b), prediction in zip(X, predictions[:, 0], strict=True):
        print(f"{a:.0f} xor {b:.0f} = {prediction:.3f}")


if __name__ == "__main__":
    main()
