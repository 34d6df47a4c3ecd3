"""fastnn itself on a workload, through the Model API: what is timed is what a user calls."""

import inspect

import numpy as np

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
        if workload.models > 1:
            self.models = build_many(workload)
        else:
            self.model = build(workload, precision)

    def fit(self, epochs, shuffle=True):
        """Train; the loss of each epoch, of several models their mean."""
        keras.set_num_threads(self.threads)
        if self.workload.models > 1:
            found = keras.fit_many(
                self.models,
                list(self.x),
                list(self.y),
                batch_size=self.workload.batch,
                epochs=epochs,
                shuffle=shuffle,
                verbose=0,
            )
            return np.mean([history.history["loss"] for history in found], axis=0).tolist()
        history = self.model.fit(
            self.x, self.y, batch_size=self.workload.batch, epochs=epochs, shuffle=shuffle, verbose=0
        )
        return history.history["loss"]

    def loss(self):
        """The loss on all rows; of several models, the mean."""
        if self.workload.models > 1:
            rows = zip(self.models, self.x, self.y, strict=True)
            return float(np.mean([model.evaluate(x, y, verbose=0) for model, x, y in rows]))
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


def build_many(workload):
    """The compiled models of a workload of several, each with first weights of its own."""
    stacked = workload.initial_weights()
    if stacked[0].ndim == 2:  # a workload gives one model's at a time, its folder all
        stacked = [
            np.stack(same)
            for same in zip(*map(workload.initial_weights, range(workload.models)), strict=True)
        ]
    return [build(workload, weights=[w[i] for w in stacked]) for i in range(workload.models)]


def build(workload, precision=None, weights=None):
    """The compiled model, with the workload's first weights or others."""
    layers = [keras.layers.Dense(units, activation=activation) for units, activation in workload.layers]
    model = keras.Sequential([keras.Input(shape=(workload.inputs,)), *layers])
    optimizer = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}[workload.optimizer]
    options = {"precision": precision} if precision else {}
    model.compile(optimizer=optimizer(learning_rate=workload.learning_rate), loss=workload.loss, **options)
    model.set_weights(workload.initial_weights() if weights is None else weights)
    return model
