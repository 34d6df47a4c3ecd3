"""fastnn itself, through the Model API: what is timed is what a user calls."""

import fastnn as keras


class FastnnPeer:
    name = "fastnn"

    def __init__(self, workload, x, y, threads=1):
        self.workload, self.x, self.y, self.threads = workload, x, y, threads
        self.model = build(workload)

    def fit(self, epochs, shuffle=True):
        keras.set_num_threads(self.threads)
        history = self.model.fit(
            self.x, self.y, batch_size=self.workload.batch, epochs=epochs, shuffle=shuffle, verbose=0
        )
        return history.history["loss"]

    def loss(self):
        return self.model.evaluate(self.x, self.y, batch_size=self.workload.batch, verbose=0)


def build(workload):
    """The compiled model, with the workload's first weights."""
    layers = [keras.layers.Dense(units, activation=activation) for units, activation in workload.layers]
    model = keras.Sequential([keras.Input(shape=(workload.inputs,)), *layers])
    optimizer = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}[workload.optimizer]
    model.compile(optimizer=optimizer(learning_rate=workload.learning_rate), loss=workload.loss)
    model.set_weights(workload.initial_weights())
    return model
