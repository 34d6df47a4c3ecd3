"""fastnn itself on a workload, through the Model API: what is timed is what a user calls."""

import inspect

import fastnn as keras

REDUCED = "precision" in inspect.signature(keras.Sequential.compile).parameters
PREDICTOR = hasattr(keras.Sequential, "predictor")


class Trainer:
    """The model of a workload, with its data.

    Parameters
    ----------
    workload : Workload
        Or anything with its attributes.
    x, y : ndarray
    threads : int or None
        None for the automatic choice.
    precision : str, optional
        As for ``compile``.
    """

    name = "fastnn"

    def __init__(self, workload, x, y, threads=1, precision=None):
        self.workload, self.x, self.y, self.threads = workload, x, y, threads
        self.model = build(workload, precision)

    def fit(self, epochs, shuffle=True):
        """Train; the loss of each epoch."""
        keras.set_num_threads(self.threads)
        history = self.model.fit(
            self.x, self.y, batch_size=self.workload.batch, epochs=epochs, shuffle=shuffle, verbose=0
        )
        return history.history["loss"]

    def loss(self):
        """The loss on all rows."""
        return self.model.evaluate(self.x, self.y, batch_size=self.workload.batch, verbose=0)

    def caller(self):
        """The fastest callable from rows to outputs that there is."""
        keras.set_num_threads(self.threads)
        if PREDICTOR and len(self.x) == 1:
            return self.model.predictor(batch_size=1)
        return self.model.predict

    def predict(self, x):
        """Outputs of rows ``x``."""
        return self.caller()(x)


def build(workload, precision=None):
    """The compiled model, with the workload's first weights."""
    layers = [keras.layers.Dense(units, activation=activation) for units, activation in workload.layers]
    model = keras.Sequential([keras.Input(shape=(workload.inputs,)), *layers])
    optimizer = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}[workload.optimizer]
    options = {"precision": precision} if precision else {}
    model.compile(optimizer=optimizer(learning_rate=workload.learning_rate), loss=workload.loss, **options)
    model.set_weights(workload.initial_weights())
    return model
